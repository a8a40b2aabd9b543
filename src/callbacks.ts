/**
 * Functions that SQLite calls: functions of SQL, aggregates, collations, hooks.
 *
 * They are ordinary closures and run on the thread they were made on. SQLite's thread waits for
 * what they return, or for what their promise resolves to.
 *
 * @module
 */
import { SQLITE_DENY, SQLITE_IGNORE } from "../ffi/constants.ts";
import { SQLITE_OK } from "../ffi/result_codes.ts";
import { foldCase } from "../ffi/text.ts";
import { checker, INT_MAX, oneOf, text } from "./checks.ts";
import { Control } from "./control.ts";
import type { Core } from "./core.ts";
import { ProgrammingError } from "./errors.ts";
import { makeHook } from "./hook.ts";
import type { Hook } from "./thread/answers.ts";
import { type SqlValue, typeName } from "./values.ts";

/** What SQLite is given back: a value that can be bound, or a promise of one. */
export type FunctionResult = unknown;

/** A function of SQL. */
export type SqlFunction = (...values: SqlValue[]) => FunctionResult;

/**
 * A function of SQL that is called on the connection's own thread, without asking this one: much
 * faster, but it shares nothing with this thread, and has to return its result at once.
 */
export interface ModuleFunction {
  /** The module's URL, such as `import.meta.resolve("./functions.ts")`. */
  module: string | URL;
  /** What the function is exported as. Default `"default"`. */
  export?: string | undefined;
}

/** Options of `createFunction`. */
export interface FunctionOptions {
  /** The same values always give the same result: it may be used in indexes. Default false. */
  deterministic?: boolean | undefined;
  /** It can't be called from views, triggers and the like. Default false. */
  directOnly?: boolean | undefined;
}

/** An aggregate: one of it is made for each group. */
export interface Aggregate {
  step(...values: SqlValue[]): unknown;
  finalize(): FunctionResult;
}

/** An aggregate that can be used as a window function. */
export interface WindowFunction extends Aggregate {
  value(): FunctionResult;
  inverse(...values: SqlValue[]): unknown;
}

/** Allows, ignores or denies an action, by `SQLITE_OK`, `SQLITE_IGNORE` or `SQLITE_DENY`. */
export type Authorizer = (
  action: number,
  arg1: string | null,
  arg2: string | null,
  database: string | null,
  trigger: string | null,
) => number | Promise<number>;

const SQLITE_DETERMINISTIC = 0x800;
const SQLITE_DIRECTONLY = 0x80000;

const TRUTH = { convert: (result: unknown) => result ? 1 : 0 };

/** What an authorizer can answer besides that the action is denied. */
const ANSWERS: ReadonlySet<unknown> = new Set([SQLITE_OK, SQLITE_IGNORE]);

/** The methods of an aggregate, as the other side numbers them. */
const METHODS = ["step", "finalize", "value", "inverse"] as const;

const encoder = new TextEncoder();

const checkFunctionOptions = checker<Required<{ [K in keyof FunctionOptions]: boolean }>>({
  deterministic: [oneOf("deterministic", true, false), false],
  directOnly: [oneOf("directOnly", true, false), false],
});

export abstract class Callbacks<R> extends Control<R> {
  readonly #core: Core;
  /** The number of what is registered under a name. */
  readonly #registered = new Map<string, number>();

  constructor(core: Core) {
    super(core);
    this.#core = core;
  }

  /**
   * Makes a function that SQL can call, or with null removes it. `argCount` -1 is for any number
   * of arguments. What it throws is the `cause` of the statement's error.
   *
   * @example
   * ```ts
   * import { connect } from "@aiosqlite/aiosqlite";
   *
   * await using db = await connect(":memory:");
   * await db.createFunction("reverse", 1, (text) => [...String(text)].reverse().join(""));
   * console.log(await db.executeFetchOne("SELECT reverse('abc')")); // [ "cba" ]
   * ```
   *
   * Source: `sqlite3`'s `create_function`.
   */
  async createFunction(
    name: string,
    argCount: number,
    fn: SqlFunction | ModuleFunction | null,
    options: FunctionOptions = {},
  ): Promise<void> {
    const key = functionKey(name, argCount);
    const { deterministic, directOnly } = checkFunctionOptions(options);
    const flags = (deterministic ? SQLITE_DETERMINISTIC : 0) | (directOnly ? SQLITE_DIRECTONLY : 0);
    const core = this.#core;
    if (isModuleFunction(fn)) {
      const { module, export: exported = "default" } = fn;
      const register = () =>
        core.perform("createModuleFunction", [name, argCount, flags, String(module), exported]);
      return await this.#register(key, null, register);
    }
    checkCallable(fn);
    const hook = fn &&
      makeHook(core, (values) => fn(...values), "user-defined function raised exception");
    const register = (number: number | null) =>
      core.perform("createFunction", [name, argCount, flags, number]);
    await this.#register(key, hook, register);
  }

  /**
   * Makes an aggregate of a class with the methods `step(...)` and `finalize()`, or with null
   * removes it. Of a group without rows nothing is made: it is NULL.
   * Source: `sqlite3`'s `create_aggregate`.
   */
  async createAggregate(
    name: string,
    argCount: number,
    type: (new () => Aggregate) | null,
  ): Promise<void> {
    await this.#createAggregate(name, argCount, type, false);
  }

  /**
   * Likewise a window function, whose class has the methods `value()` and `inverse(...)`, too.
   * Source: `sqlite3`'s `create_window_function`.
   */
  async createWindowFunction(
    name: string,
    argCount: number,
    type: (new () => WindowFunction) | null,
  ): Promise<void> {
    await this.#createAggregate(name, argCount, type, true);
  }

  /**
   * Makes a collation: of two texts the first is less, equal or greater as the result is negative,
   * 0 or positive. With null it is removed. When it throws, the call rejects; SQLite may have taken
   * the texts for equal, so roll back what has written to an index of it.
   * Source: `sqlite3`'s `create_collation`.
   */
  async createCollation(
    name: string,
    compare: ((one: string, other: string) => number | Promise<number>) | null,
  ): Promise<void> {
    const key = collationKey(name);
    checkCallable(compare);
    const hook = compare && makeHook(
      this.#core,
      ([one, other]) => compare(one as string, other as string),
      "user-defined collation raised exception",
      { convert: (result) => Math.sign(Number(result)) || 0, heard: false },
    );
    const register = (number: number | null) =>
      this.#core.perform("createCollation", [name, number]);
    await this.#register(key, hook, register);
  }

  /**
   * Has every action of a statement allowed or denied while it is compiled. A throw, or any result
   * but `SQLITE_OK`, `SQLITE_IGNORE` and `SQLITE_DENY`, denies. It is not asked whether
   * `transaction()` may roll back.
   * Source: `sqlite3`'s `set_authorizer`, https://sqlite.org/c3ref/set_authorizer.html
   */
  async setAuthorizer(authorize: Authorizer | null): Promise<void> {
    checkCallable(authorize);
    const hook = authorize &&
      makeHook(
        this.#core,
        (values) => authorize(...values as unknown as Parameters<Authorizer>),
        "authorizer raised exception",
        { convert: (result) => ANSWERS.has(result) ? result : SQLITE_DENY },
      );
    await this.#register(
      "authorizer",
      hook,
      (number) => this.#core.perform("setAuthorizer", [number]),
    );
  }

  /**
   * Has a function called after every `n` instructions of SQLite's; a truthy result, or a throw,
   * interrupts the statement. Source: `sqlite3`'s `set_progress_handler`.
   */
  async setProgressHandler(progress: (() => unknown) | null, n: number): Promise<void> {
    checkCallable(progress);
    if (progress && !(Number.isInteger(n) && n >= 1 && n <= INT_MAX)) {
      throw new ProgrammingError("A number of instructions is an integer from 1 on");
    }
    const hook = progress &&
      makeHook(this.#core, () => progress(), "progress raised exception", TRUTH);
    await this.#register(
      "progress",
      hook,
      (number) => this.#core.perform("setProgressHandler", [number, progress ? n : 0]),
    );
  }

  /** Has a function told each statement when it starts, its parameters filled in. */
  async setTraceCallback(trace: ((sql: string) => unknown) | null): Promise<void> {
    checkCallable(trace);
    const hook = trace && makeHook(this.#core, ([sql]) => trace(sql as string), "");
    await this.#register(
      "trace",
      hook,
      (number) => this.#core.perform("setTraceCallback", [number]),
    );
  }

  /**
   * Has a function told each row that is inserted, updated or deleted: `SQLITE_INSERT`,
   * `SQLITE_UPDATE` or `SQLITE_DELETE`, the names of the database and the table, and the rowid. The
   * statement does not wait for it. When it throws, the call rejects with an `OperationalError`, but
   * the change has been made: roll back.
   * Source: https://sqlite.org/c3ref/update_hook.html
   */
  async setUpdateHook(
    hook:
      | ((operation: number, database: string, table: string, rowid: number | bigint) => unknown)
      | null,
  ): Promise<void> {
    checkCallable(hook);
    const made = hook && makeHook(
      this.#core,
      (values) => hook(...values as unknown as Parameters<typeof hook>),
      "update hook raised exception",
      { convert: () => null, heard: false },
    );
    await this.#register("update", made, (number) => this.#core.perform("setUpdateHook", [number]));
  }

  /**
   * Has a function called before each COMMIT; a truthy result, or a throw, rolls back instead, and
   * the statement rejects with an `IntegrityError` of code `SQLITE_CONSTRAINT_COMMITHOOK`.
   * Source: https://sqlite.org/c3ref/commit_hook.html
   */
  async setCommitHook(hook: (() => unknown) | null): Promise<void> {
    checkCallable(hook);
    const made = hook && makeHook(this.#core, () => hook(), "commit hook raised exception", TRUTH);
    await this.#register("commit", made, (number) => this.#core.perform("setCommitHook", [number]));
  }

  /** Has a function called after each ROLLBACK. What it throws is ignored. */
  async setRollbackHook(hook: (() => unknown) | null): Promise<void> {
    checkCallable(hook);
    const made = hook && makeHook(this.#core, () => hook(), "");
    await this.#register(
      "rollback",
      made,
      (number) => this.#core.perform("setRollbackHook", [number]),
    );
  }

  async #createAggregate(
    name: string,
    argCount: number,
    type: (new () => Aggregate) | null,
    window: boolean,
  ): Promise<void> {
    const key = functionKey(name, argCount);
    checkCallable(type);
    if (type) this.#core.client.hasAggregates = true;
    const instances = new Map<number, Aggregate>();
    const call = async (values: SqlValue[]): Promise<unknown> => {
      const [method, instance, ...rest] = values as [number, number, ...SqlValue[]];
      const name = METHODS[method]!;
      let aggregate = instances.get(instance);
      if (!aggregate) instances.set(instance, aggregate = new type!());
      if (name === "finalize") instances.delete(instance);
      const run = (aggregate as WindowFunction)[name];
      if (typeof run !== "function") throw new MissingMethod(name);
      const result = await (run as SqlFunction).apply(aggregate, rest);
      return name === "step" || name === "inverse" ? null : result;
    };
    const hook = type && makeHook(this.#core, call, (error, values) => {
      const method = METHODS[values[0] as number]!;
      return error instanceof MissingMethod
        ? `user-defined aggregate's '${method}' method not defined`
        : `user-defined aggregate's '${method}' method raised error`;
    });
    const register = (number: number | null) =>
      this.#core.perform("createAggregate", [name, argCount, window, number]);
    await this.#register(key, hook, register);
  }

  /** Has a hook take the place of what is registered under the key. */
  async #register(
    key: string,
    hook: Hook | null,
    perform: (number: number | null) => Promise<unknown>,
  ): Promise<void> {
    const core = this.#core;
    const number = hook && core.addHook(hook);
    try {
      await perform(number);
    } catch (error) {
      if (number !== null) core.removeHook(number);
      throw error;
    }
    const before = this.#registered.get(key);
    if (before !== undefined) core.removeHook(before);
    if (number !== null) this.#registered.set(key, number);
    else this.#registered.delete(key);
  }
}

class MissingMethod extends ProgrammingError {
  constructor(name: string) {
    super(`The class has no method '${name}'`);
  }
}

function isModuleFunction(fn: unknown): fn is ModuleFunction {
  if (typeof fn !== "object" || fn === null) return false;
  const { module, export: exported } = fn as Partial<ModuleFunction>;
  const url = module instanceof URL || (typeof module === "string" && URL.canParse(module));
  if (url && (exported === undefined || typeof exported === "string")) return true;
  throw new ProgrammingError("A function of a module is { module: URL, export: name }");
}

function checkCallable(value: unknown): void {
  if (value === null || typeof value === "function") return;
  throw new ProgrammingError(`parameter must be callable, got ${typeName(value)}`);
}

/** What a function is known by: its name, and how many arguments it has. Checks both. */
export function functionKey(name: string, argCount: number): string {
  if (!Number.isInteger(argCount) || argCount < -1 || argCount > 127) {
    throw new ProgrammingError("A number of arguments is an integer from -1 to 127");
  }
  return `function ${checkName(name)} ${argCount}`;
}

/** Likewise a collation. */
export function collationKey(name: string): string {
  return `collation ${checkName(name)}`;
}

function checkName(name: string): string {
  if (encoder.encode(text("name")(name)).length > 255) {
    throw new ProgrammingError("A name is up to 255 bytes");
  }
  return foldCase(name);
}
