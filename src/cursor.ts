/**
 * Cursor: runs statements and hands out their rows.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import type { Core } from "./core.ts";
import { ProgrammingError, unwrap } from "./errors.ts";
import {
  type CallOptions,
  checkChunkSize,
  checkRowFactory,
  checkRows,
  type RowFactoryOption,
} from "./options.ts";
import { type Signal, unlessAborted } from "./thread/abort.ts";
import { Request } from "./request.ts";
import { Result } from "./result.ts";
import { type ColumnDescription, Row } from "./row.ts";
import { isIterable, ManySender } from "./many.ts";
import type { Scope } from "./scope.ts";
import { clock } from "./thread/clock.ts";
import { ALL } from "./thread/protocol.ts";
import { TURN, turn } from "./thread/turns.ts";
import {
  checkSql,
  encodeParameters,
  type SqlParameters,
  type SqlValue,
  typeName,
} from "./values.ts";

/** Rows as they came in, which take a while to be put together if there are many. */
type Taken = SqlValue[][] | Promise<SqlValue[][]>;

// What this file does with a cursor from outside of its class, assigned in there.

/** A step of iterating over a cursor. */
let step: <R>(cursor: Cursor<R>) => Promise<IteratorResult<R, undefined>>;

/** Has a cursor closed if a step fails: a loop does not leave by itself what has failed it. */
let closeOnFailure: <R>(cursor: Cursor<R>) => void;

/** Makes rows of what has been fetched, as the cursor does. */
export let makeRows: <R>(cursor: Cursor<R>, rows: Taken) => R[] | Promise<R[]>;

/**
 * Calls a function as soon as no rows of the cursor's last statement are left in the worker; false
 * when none are now.
 */
export let whenRead: <R>(cursor: Cursor<R>, then: () => void) => boolean;

/** Has a cursor refuse further statements: what it runs on is not its own. */
export let finish: <R>(cursor: Cursor<R>) => void;

/** The result of a cursor that is collected is forgotten in the worker, too: it holds a lock. */
const forgotten = new FinalizationRegistry<Result>((result) => result.close());

/**
 * Runs statements and hands out their rows, of type `R`. Made by `connection.cursor()` and by every
 * `execute`. Several may be in use at once; using one from two tasks shares out its rows.
 *
 * Source: `sqlite3.Cursor`, `aiosqlite.Cursor`.
 */
export class Cursor<R = SqlValue[]> implements AsyncIterable<R>, AsyncDisposable {
  /** The connection it was made by. */
  readonly connection: Connection<R>;
  readonly #core: Core;
  readonly #scope: Scope;
  #rowFactory: RowFactoryOption<unknown>;
  #iterChunkSize: number;
  #arraySize = 1;
  #result: Result;
  /** Something has been run already. */
  #used: boolean;
  #lastRowId: number | bigint | undefined;
  #closed = false;
  #finished = false;
  #closesOnFailure = false;
  /** Steps of iterating, and when others have last had a turn in between. */
  #steps = 0;
  #turned = 0;

  /** Made by `connection.cursor()`. */
  constructor(
    connection: Connection<R>,
    core: Core,
    scope: Scope,
    result?: Result,
  ) {
    this.connection = connection;
    this.#core = core;
    this.#scope = scope;
    this.#used = result !== undefined;
    this.#result = result ?? new Result(core, scope);
    this.#rowFactory = core.settings.rowFactory;
    this.#iterChunkSize = core.settings.iterChunkSize;
  }

  /** Rows changed by the last statement; -1 when it was not an INSERT, UPDATE, DELETE or REPLACE. */
  get rowCount(): number {
    return this.#result.rowCount;
  }

  /** Rowid of the last row inserted by `execute` on this cursor; undefined before there is one. */
  get lastRowId(): number | bigint | undefined {
    return this.#lastRowId;
  }

  /** The columns of the last statement; null when it has no rows to give. */
  get description(): readonly ColumnDescription[] | null {
    return this.#result.description;
  }

  /** Default number of rows of `fetchMany`. */
  get arraySize(): number {
    return this.#arraySize;
  }

  set arraySize(rows: number) {
    this.#arraySize = checkRows("arraySize", rows);
  }

  /** Rows in a chunk of `for await`. */
  get iterChunkSize(): number {
    return this.#iterChunkSize;
  }

  set iterChunkSize(rows: number) {
    this.#iterChunkSize = checkChunkSize(rows);
  }

  /** What rows are made by; null for arrays. Taken over from the connection at first. */
  get rowFactory(): RowFactoryOption<R> {
    return this.#rowFactory as RowFactoryOption<R>;
  }

  set rowFactory(factory: RowFactoryOption<R>) {
    this.#rowFactory = checkRowFactory(factory);
  }

  /**
   * Runs one statement. Parameters are read and copied now. Of a large result only the first rows
   * are fetched; it stays open until the rest has been fetched or the cursor is closed or re-used.
   */
  execute(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): CursorRequest<this, R> {
    return asCursorRequest(this.#run(sql, parameters, options));
  }

  /**
   * Runs one INSERT, UPDATE, DELETE or REPLACE with each of the parameter sets. The sets are read
   * as they are sent, the first 64 KiB of them now; behind these, what is called meanwhile may run
   * in between. Stops at the first failure; what was done before stays.
   */
  executeMany(
    sql: string,
    sets: Iterable<SqlParameters> | AsyncIterable<SqlParameters>,
    options?: CallOptions,
  ): CursorRequest<this, R> {
    return asCursorRequest(this.#runMany(sql, sets, options));
  }

  /** Runs the statements of a script to their ends, committing an open transaction first. */
  executeScript(sql: string, options?: CallOptions): CursorRequest<this, R> {
    return asCursorRequest(this.#runScript(sql, options));
  }

  /** The next row, or undefined when there is none. */
  async fetchOne(): Promise<R | undefined> {
    const result = this.#checkResult();
    while (result.ready === 0 && result.pending) await result.fill(1);
    result.checkUse();
    const row = result.takeOne();
    if (row !== undefined) return this.#make(row);
    result.check();
    return undefined;
  }

  /** Up to `size` rows, default `arraySize`. */
  async fetchMany(size: number = this.#arraySize): Promise<R[]> {
    const result = this.#checkResult();
    checkRows("size", size);
    while (result.ready < size && result.pending) await result.fill(size - result.ready);
    result.checkUse();
    if (result.ready === 0) result.check();
    const rows = this.#makeAll(result, result.take(size));
    return Array.isArray(rows) ? rows : await rows;
  }

  /** All rows that are left. */
  async fetchAll(): Promise<R[]> {
    const result = this.#checkResult();
    while (result.pending) await result.fill(ALL);
    result.checkUse();
    result.check();
    const rows = this.#makeAll(result, result.takeAll());
    return Array.isArray(rows) ? rows : await rows;
  }

  /** Forgets the rows that are left. Closing twice is fine. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    forgotten.unregister(this);
    await this.#result.close();
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The rows that are left. Leaving the loop early loses none: the next loop goes on. */
  [Symbol.asyncIterator](): AsyncIterator<R, undefined, void> {
    return { next: () => this.#step() };
  }

  async #run(sql: string, parameters: unknown, options: unknown): Promise<this> {
    this.#checkSql(sql);
    const block = encodeParameters(parameters, this.#core.limits);
    const waiting = this.#core.waiting(options);
    const result = this.#start();
    result.settle(await result.send(sql, block, 1, waiting));
    if (result.insertedRowId !== null) this.#lastRowId = result.insertedRowId;
    if (result.open && !this.#closed) forgotten.register(this, result, this);
    return this;
  }

  async #runMany(sql: string, sets: unknown, options: unknown): Promise<this> {
    this.#checkSql(sql);
    const waiting = this.#core.waiting(options);
    const result = this.#start();
    const scope = this.#scope.current();
    const signal = scope.signalWith(waiting.signal);
    const sender = new ManySender(this.#core, scope, sql, waiting);
    try {
      if (isIterable(sets)) {
        for (const set of sets) if (sender.add(set)) await sender.send();
      } else if (isAsyncIterable(sets)) {
        await unlessAborted(sender.sendAll(sets, signal), signal);
      } else {
        throw new ProgrammingError(`Parameter sets are iterable, type '${typeName(sets)}' is not`);
      }
      result.rowCount = await sender.end();
      return this;
    } catch (error) {
      await sender.abandon();
      throw error;
    }
  }

  async #runScript(sql: string, options: unknown): Promise<this> {
    this.#checkSql(sql);
    const { client } = this.#core;
    const waiting = this.#core.waiting(options);
    this.#start();
    const send = (signal?: Signal) => client.call("executeScript", [sql], undefined, signal);
    unwrap(await this.#scope.send(send, waiting), sql);
    return this;
  }

  #checkSql(sql: unknown): asserts sql is string {
    this.#check();
    if (this.#finished) {
      throw new ProgrammingError("The cursor of a pool runs no further statement");
    }
    checkSql(sql, this.#core.limits);
  }

  /** The result; throws when the cursor or its connection is closed. */
  #check(): Result {
    if (this.#closed) throw new ProgrammingError("Cannot operate on a closed cursor.");
    this.#core.check();
    return this.#result;
  }

  #checkResult(): Result {
    const result = this.#check();
    result.checkUse();
    return result;
  }

  /** Puts a new result in place of the last one, if there was one. */
  #start(): Result {
    if (!this.#used) {
      this.#used = true;
      return this.#result;
    }
    forgotten.unregister(this);
    this.#result.close();
    return this.#result = new Result(this.#core, this.#scope);
  }

  /** The iterator's step. Rows that have come in are handed out without another async function. */
  #step(): Promise<IteratorResult<R, undefined>> {
    const result = this.#result;
    if (
      result.ready === 0 || this.#closed || this.#core.closed || result.aborted || this.#overdue()
    ) return this.#stepSlowly();
    try {
      const value = this.#make(result.takeOne()!);
      result.fetchAhead(this.#iterChunkSize); // the next rows come in while these are used
      return Promise.resolve({ done: false, value });
    } catch (error) {
      return this.#failed(error);
    }
  }

  async #failed(error: unknown): Promise<never> {
    if (this.#closesOnFailure) await this.close();
    throw error;
  }

  /** Whether steps have followed each other without an end for too long. */
  #overdue(): boolean {
    return (++this.#steps & 0x7f) === 0 && clock.now() - this.#turned > TURN;
  }

  async #stepSlowly(): Promise<IteratorResult<R, undefined>> {
    try {
      return await this.#stepFilling();
    } catch (error) {
      return await this.#failed(error);
    }
  }

  async #stepFilling(): Promise<IteratorResult<R, undefined>> {
    const result = this.#checkResult();
    if (result.ready > 0) await turn();
    while (result.ready === 0 && result.pending) await result.fill(this.#iterChunkSize);
    this.#turned = clock.now();
    result.checkUse();
    const row = result.takeOne();
    if (row !== undefined) return { done: false, value: this.#make(row) };
    result.check();
    return { done: true, value: undefined };
  }

  #make(values: SqlValue[], factory: RowFactoryOption<unknown> = this.#rowFactory): R {
    if (factory === null) return values as R;
    if (isRowClass(factory)) return new factory(this, values) as R;
    return factory(this, values) as R;
  }

  #makeAll(result: Result, rows: Taken): R[] | Promise<R[]> {
    const factory = this.#rowFactory;
    if (result.finished(factory)) return rows as R[] | Promise<R[]>;
    return this.#makeInTurns(result, rows, factory);
  }

  /**
   * Makes rows, in place; of so many that it takes a while, with a turn for everybody else now and
   * then.
   */
  async #makeInTurns(
    result: Result,
    taken: Taken,
    factory: RowFactoryOption<unknown>,
  ): Promise<R[]> {
    // At once if it can be, or what a factory throws would not lead to the caller.
    const rows: unknown[] = Array.isArray(taken) ? taken : await taken;
    let start = clock.now();
    for (let i = 0; i < rows.length; i++) {
      rows[i] = this.#make(result.convert(rows[i] as SqlValue[]), factory);
      if ((i & 0xff) === 0xff && clock.now() - start > TURN) {
        await turn();
        start = clock.now();
      }
    }
    return rows as R[];
  }

  static {
    whenRead = (cursor, then) => {
      const { open } = cursor.#result;
      if (open) cursor.#result.onEnd = then;
      return open;
    };
    finish = (cursor) => {
      cursor.#finished = true;
    };
    step = (cursor) => cursor.#step();
    closeOnFailure = (cursor) => {
      cursor.#closesOnFailure = true;
    };
    makeRows = (cursor, rows) => cursor.#makeAll(cursor.#result, rows);
  }
}

/**
 * What `execute` returns: `await` gives the cursor; `for await` goes over the rows right away, and
 * closes the cursor when the loop is left or fails.
 */
export class CursorRequest<C extends Cursor<R>, R> extends Request<C> implements AsyncIterable<R> {
  /** The rows, closing the cursor behind them. */
  [Symbol.asyncIterator](): AsyncIterator<R, undefined, void> {
    let cursor: C | undefined;
    const begin = async () => {
      cursor = await this;
      closeOnFailure(cursor);
      return await step(cursor);
    };
    return {
      next: () => cursor ? step(cursor) : begin(),
      return: async () => {
        await (await this).close();
        return { done: true, value: undefined };
      },
    };
  }
}

// As for every request: or an await would wrap it, and lose the caller's stack.
Object.defineProperty(CursorRequest.prototype, "constructor", { value: Promise });

/** Makes a request of a promise, in place; see `asRequest`. */
export function asCursorRequest<C extends Cursor<R>, R>(promise: Promise<C>): CursorRequest<C, R> {
  return Object.setPrototypeOf(promise, CursorRequest.prototype);
}

function isRowClass(factory: unknown): factory is typeof Row {
  return factory === Row || (factory as { prototype?: unknown }).prototype instanceof Row;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
