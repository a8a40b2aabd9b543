/**
 * Cursor: runs statements and hands out their rows.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import type { Core, Known } from "./core.ts";
import { DataError, OperationalError, ProgrammingError, unwrap } from "./errors.ts";
import { checkChunkSize, checkRowFactory, checkRows, type RowFactoryOption } from "./options.ts";
import { Request } from "./request.ts";
import { type ColumnDescription, Row } from "./row.ts";
import { Writer } from "./thread/codec.ts";
import type { Receive } from "./thread/client.ts";
import type { ColumnList, Executed, Failure } from "./thread/protocol.ts";
import { readBatch, Undecodable } from "./thread/rows.ts";
import {
  checkSql,
  encodeParameters,
  type SqlParameters,
  type SqlValue,
  typeName,
  writeParameters,
} from "./values.ts";

/** In place of a number of rows. */
export const ALL = -1;
export const ONE = -2;
/** Parameter sets are sent in blocks of about this many bytes. */
const BLOCK_BYTES = 1 << 16;

/** The rows of one execution, as they come in. */
class Result {
  rows: SqlValue[][] = [];
  /** Index of the next row to hand out. */
  next = 0;
  /** No rows are left in the worker. */
  ended = true;
  description: readonly ColumnDescription[] | null = null;
  /** What is to be thrown once the rows before it have been handed out. */
  #failure: { readonly error: unknown } | null = null;

  /** Takes in batches. */
  receiver({ settings }: Core): Receive {
    const decoding = { integers: settings.integers, text: settings.textFactory };
    return (bytes, view, at) => {
      if (this.#failure) return;
      try {
        readBatch(bytes, view, at, decoding, this.rows as unknown[][]);
      } catch (error) {
        this.fail(error);
      }
    };
  }

  get left(): number {
    return this.rows.length - this.next;
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  get failed(): boolean {
    return this.#failure !== null;
  }

  /** Throws what went wrong, once. */
  check(): void {
    if (this.#failure === null) return;
    const { error } = this.#failure;
    this.#failure = null;
    if (!(error instanceof Undecodable)) throw error;
    const name = this.description?.[error.column]?.name ?? error.column;
    if (error.bytes === null) {
      throw new DataError(`The integer in column '${name}' is too large for a number`);
    }
    const text = new TextDecoder().decode(error.bytes.subarray(0, 100));
    throw new OperationalError(`Could not decode to UTF-8 column '${name}' with text '${text}'`);
  }

  /** Up to `count` of the rows that have come in and not been handed out. */
  take(count: number): SqlValue[][] {
    const { rows, next } = this;
    if (next === 0 && count >= rows.length) {
      this.rows = [];
      return rows;
    }
    const taken = rows.slice(next, next + count);
    this.next += taken.length;
    return taken;
  }

  takeOne(): SqlValue[] | undefined {
    if (this.next === this.rows.length) return undefined;
    const row = this.rows[this.next++];
    if (this.next === this.rows.length) {
      this.rows = [];
      this.next = 0;
    }
    return row;
  }
}

// What this file does with a cursor from outside of its class, assigned in there.

/** A step of iterating over a cursor. */
let step: <R>(cursor: Cursor<R>) => Promise<IteratorResult<R, undefined>>;

/** Executes and fetches all rows, or one, in a single round trip. */
export let fetchAtOnce: <R>(
  cursor: Cursor<R>,
  sql: string,
  parameters: unknown,
  rows: typeof ALL | typeof ONE,
) => Promise<R[]>;

/** A forgotten cursor's result is forgotten in the worker, too, where it holds a lock. */
const forgotten = new FinalizationRegistry<[core: WeakRef<Core>, cursor: number]>(
  ([core, cursor]) => {
    const open = core.deref();
    if (open && !open.closed) open.client.call("reset", [cursor]);
  },
);

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
  readonly #id: number;
  #rowFactory: RowFactoryOption<unknown>;
  #iterChunkSize: number;
  #arraySize = 1;
  #result = new Result();
  #filling: Promise<void> | null = null;
  #rowCount = -1;
  #lastRowId: number | bigint | undefined;
  #closed = false;

  /** Made by `connection.cursor()`. */
  constructor(connection: Connection<R>, core: Core) {
    this.connection = connection;
    this.#core = core;
    this.#id = core.nextCursor();
    this.#rowFactory = core.settings.rowFactory;
    this.#iterChunkSize = core.settings.iterChunkSize;
  }

  /** Rows changed by the last statement; -1 when it was not an INSERT, UPDATE, DELETE or REPLACE. */
  get rowCount(): number {
    return this.#rowCount;
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
  execute(sql: string, parameters?: SqlParameters): CursorRequest<this, R> {
    return asCursorRequest(this.#returnThis(this.#run(sql, parameters, 1)));
  }

  /**
   * Runs one INSERT, UPDATE, DELETE or REPLACE with each of the parameter sets. The sets are read
   * as they are sent, the first 64 KiB of them now. Stops at the first failure; what was done
   * before stays.
   */
  executeMany(
    sql: string,
    sets: Iterable<SqlParameters> | AsyncIterable<SqlParameters>,
  ): CursorRequest<this, R> {
    return asCursorRequest(this.#returnThis(this.#runMany(sql, sets)));
  }

  /** Runs the statements of a script to their ends, committing an open transaction first. */
  executeScript(sql: string): CursorRequest<this, R> {
    return asCursorRequest(this.#returnThis(this.#runScript(sql)));
  }

  /** The next row, or undefined when there is none. */
  async fetchOne(): Promise<R | undefined> {
    const result = this.#check();
    while (result.left === 0 && !result.ended) await this.#fill(result, 1);
    const row = result.takeOne();
    if (row !== undefined) return this.#make(row);
    result.check();
    return undefined;
  }

  /** Up to `size` rows, default `arraySize`. */
  async fetchMany(size: number = this.#arraySize): Promise<R[]> {
    const result = this.#check();
    checkRows("size", size);
    while (result.left < size && !result.ended) await this.#fill(result, size - result.left);
    if (result.left === 0) result.check();
    return this.#makeAll(result.take(size));
  }

  /** All rows that are left. */
  async fetchAll(): Promise<R[]> {
    const result = this.#check();
    while (!result.ended) await this.#fill(result, ALL);
    result.check();
    return this.#makeAll(result.take(Infinity));
  }

  /** Forgets the rows that are left. Closing twice is fine. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const open = !this.#result.ended && !this.#core.closed;
    this.#result = new Result();
    if (open) {
      forgotten.unregister(this);
      await this.#core.client.call("reset", [this.#id]);
    }
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The rows that are left. Leaving the loop early loses none: the next loop goes on. */
  [Symbol.asyncIterator](): AsyncIterator<R, undefined, void> {
    return { next: () => this.#step() };
  }

  /** Runs one statement and fetches rows: at least so many, or ALL, or just ONE. */
  async #run(sql: string, parameters: unknown, rows: number): Promise<void> {
    this.#check();
    const core = this.#core;
    checkSql(sql, core.limits);
    const block = encodeParameters(parameters, core.limits);
    const [known, text] = core.statements.get(sql);
    this.#forget();
    const result = new Result();
    const request = [this.#id, known.slot, text, block, rows] as const;
    const reply = await core.client.call("execute", [...request], result.receiver(core));
    const [ended, rowCount, lastRowId, columns] = unwrap(reply, sql);
    if (columns) known.description = describe(columns);
    result.description = known.description;
    this.#rowCount = rowCount;
    if (lastRowId !== null) this.#lastRowId = lastRowId;
    this.#result = result;
    if (!ended) {
      result.ended = false;
      forgotten.register(this, [new WeakRef(core), this.#id], this);
    }
  }

  async #runMany(sql: string, sets: unknown): Promise<void> {
    this.#check();
    checkSql(sql, this.#core.limits);
    this.#forget();
    const sender = new ManySender(this.#core, sql, this.#id);
    try {
      if (isIterable(sets)) {
        for (const set of sets) if (sender.add(set)) await sender.send();
      } else if (isAsyncIterable(sets)) {
        for await (const set of sets) if (sender.add(set)) await sender.send();
      } else {
        throw new ProgrammingError(`Parameter sets are iterable, type '${typeName(sets)}' is not`);
      }
      this.#rowCount = await sender.end();
    } catch (error) {
      await sender.abandon();
      throw error;
    }
  }

  async #runScript(sql: string): Promise<void> {
    this.#check();
    checkSql(sql, this.#core.limits);
    this.#forget();
    unwrap(await this.#core.client.call("executeScript", [sql]), sql);
  }

  async #returnThis(done: Promise<void>): Promise<this> {
    await done;
    return this;
  }

  /** The result; throws when the cursor or its connection is closed. */
  #check(): Result {
    if (this.#closed) throw new ProgrammingError("Cannot operate on a closed cursor.");
    this.#core.check();
    return this.#result;
  }

  /** Puts an empty result in place of the last one. */
  #forget(): void {
    if (!this.#result.ended) forgotten.unregister(this);
    this.#result = new Result();
    this.#rowCount = -1;
  }

  /** Fetches rows; who asks while that goes on waits for the same. Failures go to the result. */
  #fill(result: Result, rows: number): Promise<void> {
    return this.#filling ??= this.#fetch(result, rows);
  }

  async #fetch(result: Result, rows: number): Promise<void> {
    try {
      const { client } = this.#core;
      const reply = await client.call("fetch", [this.#id, rows], result.receiver(this.#core));
      if (!unwrap(reply) && !result.failed) return;
      if (!reply) client.call("reset", [this.#id]);
    } catch (error) {
      result.fail(error);
    } finally {
      this.#filling = null;
    }
    result.ended = true;
    if (this.#result === result) forgotten.unregister(this);
  }

  /** The iterator's step. Rows that have come in are handed out without another async function. */
  #step(): Promise<IteratorResult<R, undefined>> {
    const result = this.#result;
    if (result.left === 0 || this.#closed || this.#core.closed) return this.#stepSlowly();
    try {
      const value = this.#make(result.takeOne()!);
      // The next rows come in while these are used.
      if (!result.ended && result.left < this.#iterChunkSize) {
        this.#fill(result, this.#iterChunkSize);
      }
      return Promise.resolve({ done: false, value });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #stepSlowly(): Promise<IteratorResult<R, undefined>> {
    const result = this.#check();
    while (result.left === 0 && !result.ended) await this.#fill(result, this.#iterChunkSize);
    const row = result.takeOne();
    if (row !== undefined) return { done: false, value: this.#make(row) };
    result.check();
    return { done: true, value: undefined };
  }

  #make(values: SqlValue[]): R {
    const factory = this.#rowFactory;
    if (factory === null) return values as R;
    if (isRowClass(factory)) return new factory(this, values) as R;
    return factory(this, values) as R;
  }

  #makeAll(rows: SqlValue[][]): R[] {
    return this.#rowFactory === null ? rows as R[] : rows.map((values) => this.#make(values));
  }

  static {
    step = (cursor) => cursor.#step();
    fetchAtOnce = async (cursor, sql, parameters, rows) => {
      await cursor.#run(sql, parameters, rows);
      const result = cursor.#result;
      result.check();
      return cursor.#makeAll(result.take(Infinity));
    };
  }
}

/**
 * What `execute` returns: `await` gives the cursor; `for await` goes over the rows right away, and
 * closes the cursor when the loop is left.
 */
export class CursorRequest<C extends Cursor<R>, R> extends Request<C> implements AsyncIterable<R> {
  /** The rows, closing the cursor behind them. */
  [Symbol.asyncIterator](): AsyncIterator<R, undefined, void> {
    let cursor: C | undefined;
    return {
      next: async () => {
        cursor ??= await this;
        return step(cursor);
      },
      return: async () => {
        await (await this).close();
        return { done: true, value: undefined };
      },
    };
  }
}

function asCursorRequest<C extends Cursor<R>, R>(promise: Promise<C>): CursorRequest<C, R> {
  return Object.setPrototypeOf(promise, CursorRequest.prototype);
}

/** Sends parameter sets in blocks, one being encoded while the one before is being run. */
class ManySender {
  readonly #core: Core;
  readonly #sql: string;
  readonly #cursor: number;
  readonly #block = new Writer();
  #running: Promise<Executed | Failure> | null = null;
  #continued = false;
  #changed = 0;

  constructor(core: Core, sql: string, cursor: number) {
    this.#core = core;
    this.#sql = sql;
    this.#cursor = cursor;
  }

  /** Adds a set. True when it is time to send. */
  add(set: unknown): boolean {
    writeParameters(this.#block, set, this.#core.limits);
    return this.#block.length >= BLOCK_BYTES;
  }

  /** Sends what there is, and waits for the block before it. */
  async send(): Promise<void> {
    const { client, statements } = this.#core;
    const [known, text] = statements.get(this.#sql);
    const block = this.#block.bytes.subarray(0, this.#block.length);
    const before = this.#running;
    this.#running = client.call(
      "executeMany",
      [this.#cursor, known.slot, text, block, this.#continued],
    );
    this.#block.clear();
    this.#continued = true;
    await this.#count(before);
  }

  /** Sends the rest and returns the number of rows changed. */
  async end(): Promise<number> {
    if (this.#block.length > 0 || !this.#continued) await this.send();
    await this.#count(this.#running);
    return this.#changed;
  }

  /** After a failure: lets what has been sent come to its end. */
  async abandon(): Promise<void> {
    await this.#running;
    if (this.#continued && !this.#core.closed) this.#core.client.call("reset", [this.#cursor]);
  }

  async #count(running: Promise<Executed | Failure> | null): Promise<void> {
    if (running) this.#changed += Math.max(0, unwrap(await running, this.#sql)[1]);
  }
}

function describe(columns: ColumnList): readonly ColumnDescription[] | null {
  return columns.length === 0
    ? null
    : columns.map(([name, declaredType]) => ({ name, declaredType }));
}

function isRowClass(factory: unknown): factory is typeof Row {
  return factory === Row || (factory as { prototype?: unknown }).prototype instanceof Row;
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
