/**
 * The execute family, which connections and transactions have in common.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import type { Core } from "./core.ts";
import { Cursor, type CursorRequest, fetchAtOnce } from "./cursor.ts";
import type { CallOptions } from "./options.ts";
import type { Scope } from "./scope.ts";
import { ALL, ONE } from "./thread/protocol.ts";
import type { SqlParameters } from "./values.ts";

/** Runs statements, each on a cursor of its own. `R` is the type of a row. */
export abstract class Executor<R> {
  readonly #core: Core;
  readonly #scope: Scope;

  constructor(core: Core, scope: Scope) {
    this.#core = core;
    this.#scope = scope;
  }

  /** The connection that cursors name as theirs. */
  protected abstract get owner(): Connection<R>;

  /** A new cursor. Throws a `ProgrammingError` when nothing can be run any more. */
  cursor(): Cursor<R> {
    this.#core.check();
    this.#scope.check();
    return this.#cursor();
  }

  /** Runs one statement: `await` gives the cursor, `for await` its rows. See `Cursor.execute`. */
  execute(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): CursorRequest<Cursor<R>, R> {
    return this.#cursor().execute(sql, parameters, options);
  }

  /** Runs one statement with each of the parameter sets. See `Cursor.executeMany`. */
  executeMany(
    sql: string,
    sets: Iterable<SqlParameters> | AsyncIterable<SqlParameters>,
    options?: CallOptions,
  ): CursorRequest<Cursor<R>, R> {
    return this.#cursor().executeMany(sql, sets, options);
  }

  /** Runs the statements of a script. See `Cursor.executeScript`. */
  executeScript(sql: string, options?: CallOptions): CursorRequest<Cursor<R>, R> {
    return this.#cursor().executeScript(sql, options);
  }

  /** Runs an INSERT and returns the rowid it has inserted last; undefined when it inserted none. */
  async executeInsert(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): Promise<number | bigint | undefined> {
    const cursor = this.#cursor();
    await fetchAtOnce(cursor, sql, parameters, ALL, options);
    return cursor.lastRowId;
  }

  /** Runs one statement and returns all of its rows. */
  executeFetchAll(sql: string, parameters?: SqlParameters, options?: CallOptions): Promise<R[]> {
    return fetchAtOnce(this.#cursor(), sql, parameters, ALL, options);
  }

  /** Runs one statement and returns its first row; undefined when it has none. */
  async executeFetchOne(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): Promise<R | undefined> {
    return (await fetchAtOnce(this.#cursor(), sql, parameters, ONE, options))[0];
  }

  /** A cursor whose calls reject when nothing can be run any more. */
  #cursor(): Cursor<R> {
    return new Cursor<R>(this.owner, this.#core, this.#scope);
  }
}
