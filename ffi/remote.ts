/**
 * What the main thread may do with a connection that a worker owns: interrupt what it runs, and
 * close it once the worker has died.
 *
 * @module
 */
import { extrasOf } from "./extras.ts";
import type { Library } from "./libsqlite3.ts";
import { runtime } from "./runtime.ts";
import { cText } from "./text.ts";
import type { Address } from "./types.ts";

/** The functions of the library that this takes. */
export interface RemoteFunctions {
  sqlite3_interrupt(db: Address): void;
  sqlite3_busy_handler(db: Address, handler: Address, context: Address): number;
  sqlite3_progress_handler(db: Address, every: number, handler: Address, context: Address): void;
  sqlite3_finalize(statement: Address): number;
  sqlite3_close_v2(db: Address): number;
}

const ROLLBACK = cText("ROLLBACK");

export class RemoteDatabase {
  readonly #library: RemoteFunctions;
  readonly #handle: Address;

  constructor(library: RemoteFunctions, handle: Address) {
    this.#library = library;
    this.#handle = handle;
  }

  /** Safe at any time until the worker closes the handle; does nothing when nothing runs. */
  interrupt(): void {
    this.#library.sqlite3_interrupt(this.#handle);
  }

  /**
   * Closes the handle of a worker that is gone, which frees its locks. `statements` are those that
   * it had open: virtual tables have others, which they finalize themselves. With
   * `aggregates` SQLite may want to call functions of the worker, which are gone.
   */
  close(statements: Iterable<bigint>, aggregates: boolean): void {
    const library = this.#library;
    const handle = this.#handle;
    const extras = extrasOf(library as Library);
    // The worker's callbacks are gone with it.
    library.sqlite3_busy_handler(handle, 0n, 0n);
    library.sqlite3_progress_handler(handle, 0, 0n, 0n);
    extras.sqlite3_commit_hook?.(handle, 0n, 0n);
    extras.sqlite3_rollback_hook?.(handle, 0n, 0n);
    extras.sqlite3_update_hook?.(handle, 0n, 0n);
    extras.sqlite3_set_authorizer?.(handle, 0n, 0n);
    extras.sqlite3_trace_v2?.(handle, 0, 0n, 0n);
    // To free a statement can be to call an aggregate of the worker's: rather leave its memory.
    if (!aggregates) {
      for (const statement of statements) library.sqlite3_finalize(runtime.address(statement));
    }
    // While a statement is left the handle is not closed, nor its transaction ended. One that the
    // worker had just compiled when it ended is not among those that are known.
    extras.sqlite3_exec?.(handle, ROLLBACK, 0n, 0n, 0n);
    library.sqlite3_close_v2(handle);
  }
}
