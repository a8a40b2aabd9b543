/**
 * Sessions: changes to a database as bytes that can be applied to another.
 *
 * @module
 */
import { type Extras, extrasOf } from "./extras.ts";
import { cString } from "./libsqlite3.ts";
import { SQLITE_OK } from "./result_codes.ts";
import { runtime } from "./runtime.ts";
import { SqliteFailure } from "./failure.ts";
import type { Database } from "./sqlite.ts";
import { cText } from "./text.ts";
import type { Address, Callback } from "./types.ts";

export class Sessions {
  readonly #database: Database;
  readonly #extras: Required<Extras>;

  /** Throws when the library has no sessions. */
  constructor(database: Database) {
    const extras = extrasOf(database.library);
    if (!extras.sqlite3session_create) throw new Error("The SQLite library has no sessions");
    this.#database = database;
    this.#extras = extras as Required<Extras>;
  }

  /** Begins to record the changes of a table, or of all. */
  create(name: string, table: string | null): Address {
    const out = new BigUint64Array(1);
    const { handle } = this.#database;
    this.#check(
      this.#extras.sqlite3session_create(handle, cText(name), new Uint8Array(out.buffer)),
    );
    const session = runtime.address(out[0]!);
    const rc = table === null
      ? this.#extras.sqlite3session_attach(session, 0n)
      : this.#extras.sqlite3session_attach(session, this.#database.hold(cText(table)));
    if (rc !== SQLITE_OK) {
      this.delete(session);
      this.#check(rc);
    }
    return session;
  }

  /** The changes so far; a patchset has less of what was there before. */
  changes(session: Address, patch: boolean): Uint8Array {
    const length = new Int32Array(1);
    const out = new BigUint64Array(1);
    const get = patch
      ? this.#extras.sqlite3session_patchset
      : this.#extras.sqlite3session_changeset;
    this.#check(get(session, new Uint8Array(length.buffer), new Uint8Array(out.buffer)));
    const address = runtime.address(out[0]!);
    const { library } = this.#database;
    try {
      const bytes = new Uint8Array(length[0]!);
      if (bytes.length > 0) library.memcpy(bytes, address, runtime.address(bytes.length));
      return bytes;
    } finally {
      library.sqlite3_free(address);
    }
  }

  delete(session: Address): void {
    this.#extras.sqlite3session_delete(session);
  }

  /**
   * Applies changes: `filter` tells which tables, `conflict` what to do about a change that can't be
   * made as it is. Neither may throw.
   */
  apply(
    changes: Uint8Array,
    filter: ((table: string) => boolean) | null,
    conflict: (kind: number, table: string, operation: number) => number,
  ): void {
    const { library, handle } = this.#database;
    const callbacks: Callback[] = [];
    const make = (...made: Parameters<typeof runtime.callback>): Address => {
      const callback = runtime.callback(...made);
      callbacks.push(callback);
      return callback.address;
    };
    const data = library.sqlite3_malloc64(BigInt(changes.length || 1));
    try {
      if (changes.length > 0) library.memmove(data, changes, runtime.address(changes.length));
      const rc = this.#extras.sqlite3changeset_apply(
        handle,
        changes.length,
        data,
        filter === null ? 0n : make(
          { parameters: ["address", "address"], result: "i32" },
          (_, table) => filter(cString(library, runtime.address(table!))) ? 1 : 0,
        ),
        make(
          { parameters: ["address", "i32", "address"], result: "i32" },
          (_, kind, change) => {
            const [table, operation] = this.#change(runtime.address(change!));
            return conflict(Number(kind), table, operation);
          },
        ),
        0n,
      );
      this.#check(rc);
    } finally {
      library.sqlite3_free(data);
      for (const callback of callbacks) callback.close();
    }
  }

  /** Does some work; when that throws, what it has done to the databases is undone. */
  undoing(work: () => void): void {
    const run = (sql: string) =>
      this.#extras.sqlite3_exec(this.#database.handle, cText(sql), 0n, 0n, 0n);
    this.#check(run("SAVEPOINT aiosqlite_changes"));
    try {
      work();
      this.#check(run("RELEASE aiosqlite_changes"));
    } catch (error) {
      run("ROLLBACK TO aiosqlite_changes; RELEASE aiosqlite_changes");
      throw error;
    }
  }

  #change(change: Address): [table: string, operation: number] {
    const table = new BigUint64Array(1);
    const numbers = new Int32Array(3);
    const bytes = new Uint8Array(numbers.buffer);
    this.#extras.sqlite3changeset_op(
      change,
      new Uint8Array(table.buffer),
      bytes.subarray(0, 4),
      bytes.subarray(4, 8),
      bytes.subarray(8, 12),
    );
    return [cString(this.#database.library, runtime.address(table[0]!)), numbers[1]!];
  }

  /** These functions return a code, which the connection need not know. */
  #check(rc: number): void {
    if (rc === SQLITE_OK) return;
    const { library, handle } = this.#database;
    const same = (library.sqlite3_extended_errcode(handle) & 0xff) === (rc & 0xff);
    if (same) throw this.#database.failure();
    throw new SqliteFailure(rc, cString(library, library.sqlite3_errstr(rc)), -1);
  }
}
