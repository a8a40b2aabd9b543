/**
 * What the main thread may do with a connection that a worker owns: interrupt what it runs, and
 * close it once the worker has died.
 *
 * @module
 */
import { SQLITE_OK } from "./result_codes.ts";

/** The functions of the library that this takes. */
export interface RemoteFunctions {
  sqlite3_interrupt(db: bigint): void;
  sqlite3_db_mutex(db: bigint): bigint;
  sqlite3_mutex_try(mutex: bigint): number;
  sqlite3_mutex_leave(mutex: bigint): void;
  sqlite3_busy_handler(db: bigint, handler: bigint, context: bigint): number;
  sqlite3_next_stmt(db: bigint, statement: bigint): bigint;
  sqlite3_finalize(statement: bigint): number;
  sqlite3_close_v2(db: bigint): number;
}

export class RemoteDatabase {
  readonly #library: RemoteFunctions;
  readonly #handle: bigint;

  constructor(library: RemoteFunctions, handle: bigint) {
    this.#library = library;
    this.#handle = handle;
  }

  /** Safe at any time until the worker closes the handle; does nothing when nothing runs. */
  interrupt(): void {
    this.#library.sqlite3_interrupt(this.#handle);
  }

  /** Whether no thread is inside SQLite with the handle. */
  isIdle(): boolean {
    const mutex = this.#library.sqlite3_db_mutex(this.#handle);
    if (this.#library.sqlite3_mutex_try(mutex) !== SQLITE_OK) return false;
    this.#library.sqlite3_mutex_leave(mutex);
    return true;
  }

  /**
   * Closes the handle of a worker that is gone, which frees its locks. Returns false while a thread
   * is inside SQLite with it.
   */
  close(): boolean {
    if (!this.isIdle()) return false;
    const library = this.#library;
    const handle = this.#handle;
    // The worker's callbacks are gone with it.
    library.sqlite3_busy_handler(handle, 0n, 0n);
    for (let next; (next = library.sqlite3_next_stmt(handle, 0n));) {
      library.sqlite3_finalize(next);
    }
    library.sqlite3_close_v2(handle);
    return true;
  }
}
