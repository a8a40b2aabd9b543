/**
 * One connection's hooks in its thread: each asks the function of main that it stands for.
 *
 * @module
 */
import { SQLITE_DENY } from "../../ffi/constants.ts";
import { SQLITE_OK, SQLITE_TOOBIG } from "../../ffi/result_codes.ts";
import { toInteger } from "../../ffi/datatypes.ts";
import { type HookResult, Hooks, type HookValue } from "../../ffi/hooks.ts";
import type { Database } from "../../ffi/sqlite.ts";
import { Failure, type HookOperations } from "./protocol.ts";
import type { Questions } from "./questions.ts";
import type { Stops } from "./stops.ts";

type Callable = (...values: unknown[]) => unknown;

async function importFunction(module: string, exported: string): Promise<Callable> {
  let found: unknown;
  try {
    found = (await import(module))[exported];
  } catch (error) {
    throw new Failure("ProgrammingError", `The module ${module} can't be imported: ${error}`);
  }
  if (typeof found === "function") return found as Callable;
  throw new Failure("ProgrammingError", `The module ${module} exports no function '${exported}'`);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function toPlain(value: HookValue): unknown {
  if (typeof value !== "object" || value === null) return value;
  return "text" in value ? decoder.decode(value.text) : value.blob;
}

/** What SQLite is to be given; anything else is an error. */
function resultOf(value: unknown): HookResult {
  if (value === null || (typeof value === "number" && value === value)) return value;
  if (typeof value === "number") return null; // NaN
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "bigint") {
    return BigInt.asIntN(64, value) === value ? value : { code: SQLITE_TOOBIG };
  }
  if (typeof value === "string" && value.isWellFormed()) return { text: encoder.encode(value) };
  if (value instanceof Uint8Array) return { blob: value };
  throw new TypeError(`a value of type '${typeof value}' can't be stored`);
}

/** Which method of an aggregate is called. */
const STEP = 0;
const FINAL = 1;
const VALUE = 2;
const INVERSE = 3;

export class ThreadHooks implements HookOperations {
  readonly #database: Database;
  readonly #questions: Questions;
  readonly #stops: Stops;
  #made: Hooks | undefined;
  #silent = false;

  constructor(database: Database, questions: Questions, stops: Stops) {
    this.#database = database;
    this.#questions = questions;
    this.#stops = stops;
  }

  createFunction(name: string, argCount: number, flags: number, hook: number | null): null {
    this.#hooks.createFunction(
      name,
      argCount,
      flags,
      hook === null ? null : ((values) => this.#ask(hook, values)),
    );
    return null;
  }

  async createModuleFunction(
    name: string,
    argCount: number,
    flags: number,
    module: string,
    exported: string,
  ): Promise<null> {
    const call = await importFunction(module, exported);
    this.#hooks.createFunction(name, argCount, flags, (values) => {
      try {
        return resultOf(call(...values.map(toPlain)));
      } catch (error) {
        return { error: `${name}() raised exception: ${(error as Error)?.message ?? error}` };
      }
    });
    return null;
  }

  createAggregate(name: string, argCount: number, window: boolean, hook: number | null): null {
    const call = (method: number) => (instance: number, values: HookValue[] = []): HookResult =>
      this.#ask(hook!, [method, instance, ...values]);
    this.#hooks.createAggregate(
      name,
      argCount,
      hook === null ? null : {
        step: call(STEP),
        final: call(FINAL),
        ...(window && { value: call(VALUE), inverse: call(INVERSE) }),
      },
    );
    return null;
  }

  createCollation(name: string, hook: number | null): null {
    this.#hooks.createCollation(
      name,
      hook === null
        ? null
        : ((one, other) => this.#compare(hook, [{ text: one }, { text: other }])),
    );
    return null;
  }

  /** SQLite takes no error from a collation, and would go on with a wrong order: interrupts it. */
  #compare(hook: number, texts: readonly HookValue[]): number {
    const result = this.#ask(hook, texts);
    if (typeof result === "number") return result;
    this.#database.library.sqlite3_interrupt(this.#database.handle);
    return 0;
  }

  setAuthorizer(hook: number | null): null {
    this.#hooks.setAuthorizer(
      hook === null
        ? null
        : ((action, ...names) =>
          this.#silent ? SQLITE_OK : this.#number(hook, [action, ...names], SQLITE_DENY)),
    );
    return null;
  }

  setProgressHandler(hook: number | null, instructions: number): null {
    this.#stops.watch(hook === null ? null : (() => this.#number(hook, [], 1) !== 0), instructions);
    return null;
  }

  setTraceCallback(hook: number | null): null {
    this.#hooks.setTrace(hook === null ? null : ((sql) => this.#questions.tell(hook, [sql])));
    return null;
  }

  setUpdateHook(hook: number | null): null {
    this.#hooks.setUpdateHook(
      hook === null
        ? null
        : ((operation, database, table, rowid) =>
          this.#questions.tell(hook, [operation, database, table, toInteger(rowid)])),
    );
    return null;
  }

  setCommitHook(hook: number | null): null {
    this.#hooks.setCommitHook(hook === null ? null : (() => this.#number(hook, [], 1) !== 0));
    return null;
  }

  setRollbackHook(hook: number | null): null {
    this.#hooks.setRollbackHook(hook === null ? null : (() => this.#questions.tell(hook, [])));
    return null;
  }

  /** Whether there are functions that SQLite may call. */
  get any(): boolean {
    return this.#made !== undefined;
  }

  /** During `work` no authorizer is asked: it has to be done. */
  silently(work: () => void): void {
    this.#silent = true;
    try {
      work();
    } finally {
      this.#silent = false;
    }
  }

  /** Once the connection is closed. */
  close(): void {
    this.#made?.close();
  }

  get #hooks(): Hooks {
    this.#stops.checkCallbacks();
    try {
      return this.#made ??= new Hooks(this.#database);
    } catch (error) {
      throw new Failure("NotSupportedError", (error as Error).message);
    }
  }

  #ask(hook: number, values: readonly (HookValue | string)[]): HookResult {
    return this.#questions.ask(hook, values);
  }

  /** A number that a hook gives back, or another if it gives none. */
  #number(hook: number, values: readonly (HookValue | string)[], otherwise: number): number {
    const result = this.#ask(hook, values);
    return typeof result === "number" ? result : otherwise;
  }
}
