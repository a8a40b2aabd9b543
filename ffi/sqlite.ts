/**
 * Database: a connection of SQLite's C API, its names minus the prefix.
 *
 * The only code besides the thread's other half that holds an address. It trusts its caller with
 * ranges and with using nothing after `close()` or `finalize()`; result codes become `SqliteFailure`.
 *
 * @module
 */
import {
  SQLITE_DBCONFIG_DEFENSIVE,
  SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
  SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
  SQLITE_DBCONFIG_TRUSTED_SCHEMA,
} from "./constants.ts";
import { SqliteFailure } from "./failure.ts";
import { cString, type Library, VARIADIC_ON_STACK } from "./libsqlite3.ts";
import { NativeBuffer, plus } from "./memory.ts";
import { SQLITE_ERROR, SQLITE_NOMEM, SQLITE_OK } from "./result_codes.ts";
import { RowMemory } from "./row_memory.ts";
import { runtime } from "./runtime.ts";
import { Statement } from "./statement.ts";
import type { Address, Callback } from "./types.ts";
import { Windows } from "./windows.ts";

const SQLITE_OPEN_NOMUTEX = 0x8000;
const SQLITE_PREPARE_PERSISTENT = 0x1;

/** Statements that have not been finalized. */
export interface OpenStatements extends Iterable<Address> {
  add(statement: Address): unknown;
  delete(statement: Address): unknown;
  clear(): void;
}

export class Database {
  readonly library: Library;
  readonly handle: Address;
  /** What rows may be read from without a call for each value. */
  rowMemory: RowMemory | null = null;
  /** What SQLite's memory is seen through. */
  readonly windows: Windows;
  readonly #values: NativeBuffer;
  readonly #statements: OpenStatements;
  #text: Address;
  #busyHandler: Callback | undefined;
  #progressHandler: Callback | undefined;
  #stop: (() => boolean) | undefined;

  private constructor(library: Library, handle: Address, statements: OpenStatements) {
    this.#statements = statements;
    this.library = library;
    this.handle = handle;
    this.#values = new NativeBuffer(library);
    this.#text = library.sqlite3_str_new(0n);
    this.windows = new Windows(library);
  }

  /** Opens a database with the safe settings in force; `filename` is UTF-8 without NUL. */
  static open(
    library: Library,
    filename: string,
    flags: number,
    trustedSchema: boolean,
    statements: OpenStatements = new Set<Address>(),
  ): Database {
    const out = new BigUint64Array(1);
    const name = new TextEncoder().encode(filename + "\0");
    // One thread owns the handle, and sqlite3_interrupt, the one function that is called from
    // another, needs no mutex. Locking it for each call would take a third of a large fetch.
    const rc = library.sqlite3_open_v2(
      name,
      new Uint8Array(out.buffer),
      flags | SQLITE_OPEN_NOMUTEX,
      0n,
    );
    const handle = runtime.address(out[0]!);
    if (!handle) throw new SqliteFailure(SQLITE_NOMEM, "out of memory", -1);
    const database = new Database(library, handle, statements);
    try {
      library.sqlite3_extended_result_codes(handle, 1);
      if (rc !== SQLITE_OK) throw database.failure();
      database.#secure(trustedSchema);
      database.rowMemory = RowMemory.of(database);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Turns off what plain SQL text could break out with. Fails closed. */
  #secure(trustedSchema: boolean): void {
    this.library.sqlite3_enable_load_extension?.(this.handle, 0);
    // Two plain statements crash the process when this one is on, as in Debian's build.
    this.dbConfig(SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false);
    this.dbConfig(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, false);
    this.dbConfig(SQLITE_DBCONFIG_DEFENSIVE, true);
    this.dbConfig(SQLITE_DBCONFIG_TRUSTED_SCHEMA, trustedSchema);
  }

  /** Sets one of the on/off options, or with null only asks, and returns what is in force. */
  dbConfig(op: number, on: boolean | null): boolean {
    const now = new Int32Array([-1]);
    const out = new Uint8Array(now.buffer);
    const value = on === null ? -1n : on ? 1n : 0n;
    const parameters = VARIADIC_ON_STACK ? [0n, 0n, 0n, 0n, 0n, 0n, value, out] : [value, out];
    const call = this.library.sqlite3_db_config as (...all: unknown[]) => number;
    this.check(call(this.handle, op, ...parameters));
    if (now[0] === -1 || (on !== null && now[0] !== Number(on))) {
      const message = `the SQLite library at ${this.library.path} refuses setting ${op}`;
      throw new SqliteFailure(SQLITE_ERROR, message, -1);
    }
    return now[0] === 1;
  }

  /**
   * Never fails. Only our own statements are finalized: `sqlite3_next_stmt` would give those of
   * virtual tables as well, such as full-text indexes, which finalize them themselves.
   */
  close(): void {
    for (const statement of this.#statements) this.library.sqlite3_finalize(statement);
    this.#statements.clear();
    this.#values.free();
    this.library.sqlite3_free(this.library.sqlite3_str_finish(this.#text));
    this.library.sqlite3_close_v2(this.handle);
    this.#busyHandler?.close();
    this.#progressHandler?.close();
  }

  /** Throws unless the code is SQLITE_OK. */
  check(rc: number): void {
    if (rc !== SQLITE_OK) throw this.failure();
  }

  /**
   * The last failed call's error; read before any other call changes it. `start` is where in the
   * whole text the part began that SQLite was given.
   */
  failure(start = 0): SqliteFailure {
    const { library, handle } = this;
    const at = library.sqlite3_error_offset?.(handle) ?? -1;
    const offset = at < 0 ? -1 : at + start;
    const errno = library.sqlite3_extended_errcode(handle);
    return new SqliteFailure(errno, cString(library, library.sqlite3_errmsg(handle)), offset);
  }

  /**
   * Compiles the first statement of the UTF-8 text. Returns it, or null when there is none but
   * blanks and comments, and the offset of what follows it.
   */
  prepare(sql: Uint8Array, persistent: boolean): [Statement | null, number] {
    return this.#compile(this.#values.hold(withNul(sql)), 0, sql.length, persistent);
  }

  /** The statements of a text, each compiled when the one before has been run. */
  *statements(sql: Uint8Array): Generator<Statement, void, void> {
    const text = new NativeBuffer(this.library); // of its own: they may be many, and take a while
    try {
      const address = text.hold(withNul(sql));
      for (let at = 0; at < sql.length;) {
        const [statement, end] = this.#compile(address, at, sql.length, false);
        at = end;
        if (statement !== null) yield statement;
      }
    } finally {
      text.free();
    }
  }

  /** Compiles the first statement from `start` of the text at an address: one comes back. */
  #compile(
    text: Address,
    start: number,
    end: number,
    persistent: boolean,
  ): [Statement | null, number] {
    const { library } = this;
    const out = new BigUint64Array(2);
    const bytes = new Uint8Array(out.buffer);
    const rc = library.sqlite3_prepare_v3(
      this.handle,
      plus(text, start),
      end - start + 1,
      persistent ? SQLITE_PREPARE_PERSISTENT : 0,
      bytes.subarray(0, 8),
      bytes.subarray(8),
    );
    if (rc !== SQLITE_OK) throw this.failure(start);
    const next = Number(out[1]! - BigInt(text));
    if (out[0] === 0n) return [null, next];
    const statement = runtime.address(out[0]!);
    this.#statements.add(statement);
    return [new Statement(this, statement), next];
  }

  /** Frees a statement. */
  finalize(statement: Address): void {
    this.#statements.delete(statement);
    this.library.sqlite3_finalize(statement);
  }

  /** Copies values into C's memory for `Statement.bindText` and `bindBlob`; until the next call. */
  hold(values: Uint8Array): Address {
    return this.#values.hold(values);
  }

  /** Gives back memory that exceptionally large values took. */
  trim(): void {
    this.#values.trim();
  }

  /** Adds bytes at an address to the text block. */
  appendText(address: Address, length: number): void {
    this.library.sqlite3_str_append(this.#text, address, length);
  }

  /** Moves the text block's bytes out, filling `into` exactly. */
  takeText(into: Uint8Array): void {
    const { library } = this;
    const address = library.sqlite3_str_value(this.#text);
    if (!address) { // it could not hold what was appended
      const errno = library.sqlite3_str_errcode(this.#text);
      throw new SqliteFailure(errno, cString(library, library.sqlite3_errstr(errno)), -1);
    }
    library.memcpy(into, address, runtime.address(into.length));
    library.sqlite3_str_reset(this.#text);
  }

  /** Puts an empty text block in place of one that may have failed, which it would remember. */
  dropText(): void {
    this.library.sqlite3_free(this.library.sqlite3_str_finish(this.#text));
    this.#text = this.library.sqlite3_str_new(0n);
  }

  autocommit(): boolean {
    return this.library.sqlite3_get_autocommit(this.handle) !== 0;
  }

  changes(): number {
    const { library, handle } = this;
    return Number((library.sqlite3_changes64 ?? library.sqlite3_changes)(handle));
  }

  totalChanges(): number {
    const { library, handle } = this;
    return Number((library.sqlite3_total_changes64 ?? library.sqlite3_total_changes)(handle));
  }

  lastInsertRowid(): number | bigint {
    return this.library.sqlite3_last_insert_rowid(this.handle);
  }

  /** Sets a run-time limit, or with -1 only asks, and returns the value it had. */
  limit(category: number, value: number): number {
    return this.library.sqlite3_limit(this.handle, category, value);
  }

  /**
   * Has `wait` called while another connection's lock is in the way, which returns whether to try
   * again, and `stop` as `progressHandler` says. False where callbacks are not permitted.
   */
  setHandlers(wait: (tries: number) => boolean, stop: () => boolean): boolean {
    try {
      this.#busyHandler = runtime.callback(
        { parameters: ["address", "i32"], result: "i32" },
        (_context, tries) => wait(Number(tries)) ? 1 : 0,
      );
    } catch {
      return false;
    }
    this.#stop = stop;
    return this.setBusyHandler();
  }

  /** Has it called again after `setBusyTimeout`; false when there is none. */
  setBusyHandler(): boolean {
    if (!this.#busyHandler) return false;
    this.library.sqlite3_busy_handler(this.handle, this.#busyHandler.address, 0n);
    return true;
  }

  /** Waits for locks in SQLite, which nothing ends before so many milliseconds. */
  setBusyTimeout(milliseconds: number): void {
    this.library.sqlite3_busy_timeout(this.handle, milliseconds);
  }

  /** Has `stop` asked after each so many instructions, for true to interrupt; with 0 no more. */
  progressHandler(instructions: number): void {
    const stop = this.#stop;
    if (!stop) return;
    this.#progressHandler ??= runtime.callback(
      { parameters: ["address"], result: "i32" },
      () => stop() ? 1 : 0,
    );
    const { address } = this.#progressHandler;
    this.library.sqlite3_progress_handler(this.handle, instructions, address, 0n);
  }
}

/** A text with a NUL behind it, which saves SQLite a copy. */
function withNul(text: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(text.length + 1);
  bytes.set(text);
  return bytes;
}
