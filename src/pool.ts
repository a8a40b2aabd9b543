/**
 * Pool: one connection that writes and several that read, as one database.
 *
 * @module
 */
import { collationKey, functionKey } from "./callbacks.ts";
import { connect, type Connection, coreOf } from "./connection.ts";
import { asCursorRequest, type Cursor, type CursorRequest, finish } from "./cursor.ts";
import { Dispatcher } from "./dispatcher.ts";
import { OperationalError, ProgrammingError } from "./errors.ts";
import { hold } from "./hold.ts";
import { isCalledBy } from "./inside.ts";
import type { Waiting } from "./line.ts";
import { isIterable, readAhead } from "./many.ts";
import {
  type CallOptions,
  checkPoolOptions,
  checkTransactionOptions,
  type ConnectOptions,
} from "./options.ts";
import { Readers } from "./readers.ts";
import { asRequest, type Request } from "./request.ts";
import type { Row } from "./row.ts";
import { Settings } from "./settings.ts";
import type { Transaction, TransactionOptions } from "./transaction.ts";
import { Writer } from "./writer.ts";
import { checkSql, Encoded, type SqlParameters, type SqlValue } from "./values.ts";

/** Options of `createPool`: those of `connect`, and how many readers. */
export interface PoolOptions<R = SqlValue[]> extends ConnectOptions<R> {
  /** How many connections there may be for reading; opened when needed. Default 4. */
  readers?: number | undefined;
}

/** What a pool is doing. */
export interface PoolStats {
  /** Readers that are open. */
  readonly readers: number;
  /** Readers that are in use. */
  readonly busyReaders: number;
  /** How many wait for a reader. */
  readonly waitingReads: number;
  /** Whether a transaction or `write()` has the writer for itself. */
  readonly writing: boolean;
  /** How many wait for the writer. */
  readonly waitingWrites: number;
}

const CLOSED = "Cannot operate on a closed pool.";

/**
 * Opens a database with a pool of connections, in WAL mode: one that writes, and some that read at
 * the same time. Statements that only read, as SQLite says, go to a free reader, all others to the
 * writer, each as a transaction of its own.
 *
 * A database in memory has just the one connection that it can have, and a `readonly` pool leaves
 * the journal mode as it is.
 *
 * @example
 * ```ts
 * import { createPool } from "@aiosqlite/aiosqlite";
 *
 * await using pool = await createPool("visits.db", { readers: 2 });
 * await pool.execute("CREATE TABLE IF NOT EXISTS visit (page TEXT, count INTEGER)");
 * await pool.transaction(async (tx) => {
 *   await tx.execute("INSERT INTO visit VALUES (?, ?)", ["/", 1]);
 * });
 * console.log(await pool.executeFetchAll("SELECT * FROM visit"));
 * ```
 *
 * Rejects as `connect` does, and with an `OperationalError` when WAL mode can't be had.
 */
export function createPool(
  database: string | URL,
  options: PoolOptions<Row> & { rowFactory: typeof Row },
): Request<Pool<Row>>;
export function createPool<R = SqlValue[]>(
  database: string | URL,
  options?: PoolOptions<R>,
): Request<Pool<R>>;
export function createPool<R>(
  database: string | URL,
  options: PoolOptions<R> = {},
): Request<Pool<R>> {
  return asRequest(open<R>(database, options));
}

async function open<R>(database: string | URL, options: unknown): Promise<Pool<R>> {
  const [readers, connectOptions] = checkPoolOptions<R>(options);
  const { signal: _, ...later } = connectOptions;
  const writer = await connect<R>(database, connectOptions);
  try {
    const mode = await journalMode(writer, later.readonly === true);
    // What is in memory has the one connection, and goes with it.
    if (mode === "memory") return new Pool<R>(writer, 0, null);
    return new Pool<R>(writer, readers, (readonly) => {
      return connect<R>(database, readonly ? { ...later, readonly } : later);
    });
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/** Puts the database into WAL mode, unless it can only be read, and returns the mode it is in. */
async function journalMode<R>(writer: Connection<R>, readonly: boolean): Promise<string> {
  const { textFactory } = writer;
  writer.textFactory = "string";
  const cursor = writer.cursor();
  cursor.rowFactory = null;
  await cursor.execute(readonly ? "PRAGMA journal_mode" : "PRAGMA journal_mode = WAL");
  const [mode] = await cursor.fetchOne() as unknown as [string];
  writer.textFactory = textFactory;
  if (readonly || mode === "wal" || mode === "memory") return mode;
  throw new OperationalError(`The database can't be put into WAL mode, it stays in mode '${mode}'`);
}

/**
 * A pool of connections to one database, made by `createPool`. What was written by a call that has
 * been awaited is seen by every read after it.
 *
 * Calls from within the function of `transaction()` and `write()` go to the writer and take part;
 * those from within `read()` that only read use its reader.
 */
export class Pool<R = SqlValue[]> implements AsyncDisposable {
  readonly #readers: Readers<R>;
  readonly #settings = new Settings<R>();
  readonly #writer: Writer<R>;
  readonly #dispatcher: Dispatcher<R>;
  /** Calls that have not ended. */
  readonly #calls = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /** Made by `createPool`. */
  constructor(
    writer: Connection<R>,
    readers: number,
    connect: ((readonly: boolean) => Promise<Connection<R>>) | null,
  ) {
    this.#writer = new Writer(writer, connect && (() => this.#open(connect(false))));
    this.#readers = new Readers(connect ? readers : 0, () => this.#open(connect!(true)));
    this.#dispatcher = new Dispatcher(this.#readers, this.#writer, this.#settings);
  }

  /** Whether `close` has been called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** What the pool is doing now. */
  stats(): PoolStats {
    const { scope } = coreOf(this.#writer.connection);
    const { open, lent, waiting } = this.#readers;
    return {
      readers: open,
      busyReaders: lent,
      waitingReads: waiting,
      writing: scope.held,
      waitingWrites: scope.waiting,
    };
  }

  /**
   * Runs one statement: `await` gives the cursor, `for await` its rows. A reader stays in use until
   * all rows have been fetched or the cursor is closed.
   */
  execute(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): CursorRequest<Cursor<R>, R> {
    return asCursorRequest(this.#execute(sql, parameters, options));
  }

  /**
   * Runs one INSERT, UPDATE, DELETE or REPLACE with each of the parameter sets, all or none. The
   * first 64 KiB of the sets are read now, the rest as they are sent.
   */
  executeMany(
    sql: string,
    sets: Iterable<SqlParameters> | AsyncIterable<SqlParameters>,
    options?: CallOptions,
  ): CursorRequest<Cursor<R>, R> {
    return asCursorRequest(this.#executeMany(sql, sets, options));
  }

  /** Runs the statements of a script, on the writer. */
  executeScript(sql: string, options?: CallOptions): CursorRequest<Cursor<R>, R> {
    return asCursorRequest(this.#executeScript(sql, options));
  }

  /** Runs an INSERT and returns the rowid it has inserted last; undefined when it inserted none. */
  executeInsert(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): Promise<number | bigint | undefined> {
    return this.#route(
      sql,
      parameters,
      options,
      (connection, encoded) => connection.executeInsert(sql, encoded, options),
    );
  }

  /** Runs one statement and returns all of its rows. */
  executeFetchAll(sql: string, parameters?: SqlParameters, options?: CallOptions): Promise<R[]> {
    return this.#route(
      sql,
      parameters,
      options,
      (connection, encoded) => connection.executeFetchAll(sql, encoded, options),
    );
  }

  /** Runs one statement and returns its first row; undefined when it has none. */
  executeFetchOne(
    sql: string,
    parameters?: SqlParameters,
    options?: CallOptions,
  ): Promise<R | undefined> {
    return this.#route(
      sql,
      parameters,
      options,
      (connection, encoded) => connection.executeFetchOne(sql, encoded, options),
    );
  }

  /** Runs a function that has a reader for itself. */
  async read<T>(
    work: (connection: Connection<R>) => T | Promise<T>,
    options?: CallOptions,
  ): Promise<T> {
    this.#check();
    if (this.#readers.most === 0 || this.#writer.held) return await this.write(work, options);
    const current = this.#readers.current();
    if (current) return await work(current);
    return await this.#count(this.#read(work, coreOf(this.#writer.connection).waiting(options)));
  }

  /** Runs a function that has the writer for itself; every statement commits by itself. */
  async write<T>(
    work: (connection: Connection<R>) => T | Promise<T>,
    options?: CallOptions,
  ): Promise<T> {
    this.#check();
    const waiting = coreOf(this.#writer.connection).waiting(options);
    const run = (writer: Connection<R>) => hold(writer, "write()", work, waiting);
    return await this.#count(this.#writer.use(run));
  }

  /** Runs a function in a transaction on the writer, `"IMMEDIATE"` by default. */
  async transaction<T>(
    work: (transaction: Transaction<R>) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    this.#check();
    checkTransactionOptions(options);
    const { mode = "IMMEDIATE" } = options;
    const run = (writer: Connection<R>) => writer.transaction(work, { ...options, mode });
    return await this.#count(this.#writer.use(run));
  }

  /** Makes a function on every connection. See `Connection.createFunction`. */
  async createFunction(...args: Parameters<Connection<R>["createFunction"]>): Promise<void> {
    await this.#onEvery(functionKey(args[0], args[1]), (one) => one.createFunction(...args));
  }

  /** Makes an aggregate on every connection. See `Connection.createAggregate`. */
  async createAggregate(...args: Parameters<Connection<R>["createAggregate"]>): Promise<void> {
    await this.#onEvery(functionKey(args[0], args[1]), (one) => one.createAggregate(...args));
  }

  /** Makes a window function on every connection. See `Connection.createWindowFunction`. */
  async createWindowFunction(
    ...args: Parameters<Connection<R>["createWindowFunction"]>
  ): Promise<void> {
    const make = (one: Connection<R>) => one.createWindowFunction(...args);
    await this.#onEvery(functionKey(args[0], args[1]), make);
  }

  /** Makes a collation on every connection. See `Connection.createCollation`. */
  async createCollation(...args: Parameters<Connection<R>["createCollation"]>): Promise<void> {
    await this.#onEvery(collationKey(args[0]), (one) => one.createCollation(...args));
  }

  /**
   * Closes all connections once the calls made before have ended; rows that have not been fetched
   * are forgotten. Every call of it resolves when all are closed; one from within a function that
   * SQLite calls resolves at once.
   */
  async close(): Promise<void> {
    if (this.#closing === undefined && this.#inside()) {
      throw new ProgrammingError("A pool can't be closed from within a function that uses it.");
    }
    this.#closing ??= this.#close();
    if (!isCalledBy()) await this.#closing; // which would wait for the function that is running
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    while (this.#calls.size > 0) {
      // Who waits for a reader shall not wait for rows that nobody will fetch.
      this.#dispatcher.closeUnread();
      await Promise.allSettled(this.#calls);
    }
    // The writer last: one who can only read could not remove the write-ahead log.
    await this.#readers.close();
    await this.#writer.close();
  }

  /** Opens a connection and makes it like the others. */
  async #open(opening: Promise<Connection<R>>): Promise<Connection<R>> {
    const connection = await opening;
    try {
      await this.#settings.settle(connection);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async #execute(
    sql: string,
    parameters: SqlParameters | undefined,
    options: CallOptions | undefined,
  ): Promise<Cursor<R>> {
    return finished(
      await this.#route(sql, parameters, options, (connection, encoded) => {
        return connection.execute(sql, encoded, options);
      }),
    );
  }

  async #executeMany(
    sql: string,
    sets: Iterable<SqlParameters> | AsyncIterable<SqlParameters>,
    options: CallOptions | undefined,
  ): Promise<Cursor<R>> {
    this.#check();
    const ahead = isIterable(sets) ? readAhead(sets, coreOf(this.#writer.connection).limits) : sets;
    return finished(
      await this.transaction((tx) => tx.executeMany(sql, ahead as typeof sets), options),
    );
  }

  async #executeScript(sql: string, options: CallOptions | undefined): Promise<Cursor<R>> {
    return finished(await this.write((writer) => writer.executeScript(sql), options));
  }

  async #read<T>(
    work: (connection: Connection<R>) => T | Promise<T>,
    waiting: Waiting,
  ): Promise<T> {
    const reader = await this.#readers.borrow(waiting);
    try {
      await this.#settings.settle(reader);
      return await hold(reader, "read()", work, waiting);
    } finally {
      this.#readers.giveBack(reader);
    }
  }

  /** Runs a statement where it belongs. The parameters are read and copied now. */
  async #route<T>(
    sql: string,
    parameters: SqlParameters | undefined,
    options: CallOptions | undefined,
    run: (connection: Connection<R>, encoded: SqlParameters | undefined) => Promise<T>,
  ): Promise<T> {
    this.#check();
    const { limits } = coreOf(this.#writer.connection);
    checkSql(sql, limits);
    const waiting = coreOf(this.#writer.connection).waiting(options);
    const encoded = parameters === undefined
      ? undefined
      : new Encoded(parameters, limits) as unknown as SqlParameters;
    const runOn = (connection: Connection<R>) => run(connection, encoded);
    const call = { sql, parameters: encoded, waiting, run: runOn };
    return await this.#count(this.#dispatcher.dispatch(call));
  }

  /** Does something with the writer now and with every other connection before its next use. */
  async #onEvery(name: string, apply: (connection: Connection<R>) => Promise<void>): Promise<void> {
    this.#check();
    await this.#count(this.#writer.use(async (writer) => {
      await apply(writer);
      this.#settings.add(name, writer, apply);
    }));
  }

  /** Throws when the pool is closed, except for what belongs to a call made before. */
  #check(): void {
    if (this.#closing && !this.#inside()) throw new ProgrammingError(CLOSED);
  }

  /** Whether the code that is running is that of `transaction()`, `write()` or `read()`. */
  #inside(): boolean {
    return this.#writer.held !== undefined || this.#readers.current() !== undefined;
  }

  /** A call that `close()` waits for. */
  async #count<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    try {
      return await call; // nothing else waits for it, or its error would not lead to the caller
    } finally {
      this.#calls.delete(call);
    }
  }
}

/** A cursor that runs nothing else, since what it runs on is the pool's. */
function finished<R>(cursor: Cursor<R>): Cursor<R> {
  finish(cursor);
  return cursor;
}
