/**
 * Sessions: recording changes, and applying them to another database.
 *
 * @module
 */
import { Callbacks } from "./callbacks.ts";
import { callable, checker, text } from "./checks.ts";
import type { NameOptions } from "./control.ts";
import type { Core } from "./core.ts";
import { ProgrammingError } from "./errors.ts";
import { makeHook } from "./hook.ts";
import { asRequest, type Request } from "./request.ts";
import { typeName } from "./values.ts";

/** Leave a change that can't be made as it is out. */
export const SQLITE_CHANGESET_OMIT = 0;
/** Make it in spite of what is there; not for a constraint. */
export const SQLITE_CHANGESET_REPLACE = 1;
/** Make none of the changes. */
export const SQLITE_CHANGESET_ABORT = 2;
/** The row is there, but with other values. */
export const SQLITE_CHANGESET_DATA = 1;
/** The row is not there. */
export const SQLITE_CHANGESET_NOTFOUND = 2;
/** Another row has its primary key. */
export const SQLITE_CHANGESET_CONFLICT = 3;
/** A constraint is violated. */
export const SQLITE_CHANGESET_CONSTRAINT = 4;
/** Foreign keys are violated once all changes are made. */
export const SQLITE_CHANGESET_FOREIGN_KEY = 5;

/** Options of `createSession`. */
export interface SessionOptions extends NameOptions {
  /** The only table whose changes are recorded. Default: all that have a primary key. */
  table?: string | undefined;
}

/** Options of `applyChangeset`. */
export interface ApplyOptions {
  /** Whether the changes of a table are to be made. Default: all are. A throw aborts. */
  filter?: ((table: string) => unknown) | undefined;
  /**
   * What to do about a change that can't be made as it is: `SQLITE_CHANGESET_OMIT`, `_REPLACE` or
   * `_ABORT` (default). `kind` is `SQLITE_CHANGESET_DATA` and the like, `operation` is
   * `SQLITE_INSERT`, `SQLITE_UPDATE` or `SQLITE_DELETE`. A throw aborts.
   */
  conflict?: ((kind: number, table: string, operation: number) => unknown) | undefined;
}

const checkSessionOptions = checker<{ name: string; table: string | null }>({
  name: [text("name"), "main"],
  table: [text("table"), null],
});
const checkApplyOptions = checker<
  { [K in keyof ApplyOptions]-?: NonNullable<ApplyOptions[K]> | null }
>({ filter: [callable("filter"), null], conflict: [callable("conflict"), null] });

/**
 * Records the changes made on its connection from when it was created. Made by `createSession()`.
 * Source: https://sqlite.org/sessionintro.html
 */
export class Session implements AsyncDisposable {
  readonly #core: Core;
  readonly #id: number;
  #closed = false;

  /** Made by `createSession()`. */
  constructor(core: Core, id: number) {
    this.#core = core;
    this.#id = id;
  }

  /** The changes so far, with what was there before them. */
  async changeset(): Promise<Uint8Array> {
    return await this.#changes(false);
  }

  /** The changes so far, shorter: of what was there before just the primary keys. */
  async patchset(): Promise<Uint8Array> {
    return await this.#changes(true);
  }

  /** Ends the recording; closing twice is fine. */
  async close(): Promise<void> {
    if (this.#closed || this.#core.closed) return;
    this.#closed = true;
    await this.#core.perform("closeSession", [this.#id]);
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #changes(patch: boolean): Promise<Uint8Array> {
    if (this.#closed) throw new ProgrammingError("Cannot operate on a closed session.");
    return await this.#core.perform("sessionChanges", [this.#id, patch]);
  }
}

export abstract class Sessions<R> extends Callbacks<R> {
  readonly #core: Core;

  constructor(core: Core) {
    super(core);
    this.#core = core;
  }

  /**
   * Begins to record changes: those of tables with a primary key, made on this connection.
   *
   * @example
   * ```ts
   * import { connect } from "@aiosqlite/aiosqlite";
   *
   * const schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, x)";
   * await using one = await connect(":memory:", { isolationLevel: null });
   * await using other = await connect(":memory:", { isolationLevel: null });
   * for (const db of [one, other]) await db.execute(schema);
   *
   * await using session = await one.createSession();
   * await one.execute("INSERT INTO t VALUES (1, 'new')");
   * await other.applyChangeset(await session.changeset());
   * console.log(await other.executeFetchAll("SELECT * FROM t")); // [ [ 1, "new" ] ]
   * ```
   *
   * Rejects with a `NotSupportedError` when the library has no sessions.
   */
  createSession(options: SessionOptions = {}): Request<Session> {
    return asRequest(this.#createSession(options));
  }

  /**
   * Makes recorded changes in the main database, all or none. Rejects with an `OperationalError` of
   * code `SQLITE_ABORT` when a conflict was not resolved.
   */
  async applyChangeset(changes: Uint8Array, options: ApplyOptions = {}): Promise<void> {
    const core = this.#core;
    if (!(changes instanceof Uint8Array)) {
      throw new ProgrammingError(`Changes are a Uint8Array, got ${typeName(changes)}`);
    }
    const { filter, conflict } = checkApplyOptions(options);
    const filterHook = filter && core.addHook(makeHook(
      core,
      ([table]) => filter(table as string),
      "filter raised exception",
      { convert: (take) => take ? 1 : 0 },
    ));
    const conflictHook = conflict && core.addHook(makeHook(
      core,
      (values) => conflict(...values as [number, string, number]),
      "conflict raised exception",
      { convert: checkAnswer },
    ));
    try {
      await core.perform("applyChangeset", [changes.slice(), filterHook, conflictHook]);
    } finally {
      for (const hook of [filterHook, conflictHook]) if (hook !== null) core.removeHook(hook);
    }
  }

  async #createSession(options: SessionOptions): Promise<Session> {
    const { name, table } = checkSessionOptions(options);
    return new Session(this.#core, await this.#core.perform("createSession", [name, table]));
  }
}

/** SQLite would take the nearest integer for it, or what is left of its bits. */
function checkAnswer(answer: unknown): unknown {
  const answers: unknown[] = [
    SQLITE_CHANGESET_OMIT,
    SQLITE_CHANGESET_REPLACE,
    SQLITE_CHANGESET_ABORT,
  ];
  if (answers.includes(answer)) return answer;
  throw new ProgrammingError("conflict returns SQLITE_CHANGESET_OMIT, _REPLACE or _ABORT");
}
