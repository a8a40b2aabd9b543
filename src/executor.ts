/**
 * The execute family, which connections and transactions have in common.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import type { Core } from "./core.ts";
import { Cursor, type CursorRequest, makeRows } from "./cursor.ts";
import type { CallOptions, RowFactoryOption } from "./options.ts";
import { Result } from "./result.ts";
import { objectRow, Row, type RowFactory } from "./row.ts";
import type { Scope } from "./scope.ts";
import { ALL, type Executed, type Failure, ONE } from "./thread/protocol.ts";
import { checkSql, encodeParameters, type SqlParameters } from "./values.ts";

/** Row factories that call nothing of the user's: they may run at any time. */
const OURS: ReadonlyMap<unknown, RowFactory<unknown>> = new Map<unknown, RowFactory<unknown>>([
  [objectRow, objectRow],
  [Row, (cursor, values) => new Row(cursor, values)],
]);

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
    const result = new Result(this.#core, this.#scope);
    result.settle(await this.#send(result, sql, parameters, ALL, options));
    result.check();
    return result.insertedRowId ?? undefined;
  }

  /** Runs one statement and returns all of its rows. */
  async executeFetchAll(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): Promise<R[]> {
    const result = new Result(this.#core, this.#scope);
    const { rowFactory } = this.#core.settings;
    const maker = OURS.get(rowFactory);
    if (maker) result.makeBy(maker);
    result.settle(await this.#send(result, sql, parameters, ALL, options));
    const rows = this.#rows(result, rowFactory);
    return Array.isArray(rows) ? rows : await rows; // calls are answered in order: not a turn later
  }

  /** Runs one statement and returns its first row; undefined when it has none. */
  async executeFetchOne(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): Promise<R | undefined> {
    const result = new Result(this.#core, this.#scope);
    const { rowFactory } = this.#core.settings;
    result.settle(await this.#send(result, sql, parameters, ONE, options));
    const rows = this.#rows(result, rowFactory);
    return (Array.isArray(rows) ? rows : await rows)[0];
  }

  /** Has one statement run without a cursor: its rows come with the reply, in one round trip. */
  #send(
    result: Result,
    sql: string,
    parameters: unknown,
    rows: typeof ALL | typeof ONE,
    options: unknown,
  ): Promise<Executed | Failure> {
    const core = this.#core;
    core.check();
    checkSql(sql, core.limits);
    const encoded = encodeParameters(parameters, core.limits);
    return result.send(sql, encoded, rows, core.waiting(options));
  }

  #rows(result: Result, factory: RowFactoryOption<unknown>): R[] | Promise<R[]> {
    result.check();
    const rows = result.takeAll();
    if (result.finished(factory)) return rows as R[] | Promise<R[]>;
    const cursor = new Cursor<R>(this.owner, this.#core, this.#scope, result);
    cursor.rowFactory = factory as RowFactoryOption<R>;
    return makeRows(cursor, rows);
  }

  /** A cursor whose calls reject when nothing can be run any more. */
  #cursor(): Cursor<R> {
    return new Cursor<R>(this.owner, this.#core, this.#scope);
  }
}
