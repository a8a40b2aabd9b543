/**
 * Copying one connection's database to another connection's, in the thread of the first.
 *
 * @module
 */
import { SQLITE_BUSY, SQLITE_DONE, SQLITE_LOCKED, SQLITE_OK } from "../../ffi/result_codes.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
import type { Database } from "../../ffi/sqlite.ts";
import type { Address } from "../../ffi/types.ts";
import { cString } from "../../ffi/libsqlite3.ts";
import { cText } from "../../ffi/text.ts";
import { required } from "./control.ts";
import type { BackupOperations, BackupStep } from "./protocol.ts";
import type { Stops } from "./stops.ts";

/** Pages copied between two looks whether the backup has been cancelled. */
const SLICE = 1000;

export class Backups implements BackupOperations {
  readonly #database: Database;
  readonly #stops: Stops;
  readonly #open = new Map<number, Address>();
  #last = 0;

  constructor(database: Database, stops: Stops) {
    this.#database = database;
    this.#stops = stops;
  }

  lend(): null {
    this.#stops.pauseHandlers();
    return null;
  }

  takeBack(): null {
    this.#stops.resumeHandlers();
    return null;
  }

  startBackup(target: number | bigint, targetName: string, name: string): number {
    this.#stops.check(); // once that is cancelled, the target is not lent any more
    const { library, handle } = this.#database;
    const start = required(this.#database, "sqlite3_backup_init");
    const backup = start(target, cText(targetName), handle, cText(name));
    if (!backup) {
      const errno = library.sqlite3_extended_errcode(target);
      throw new SqliteFailure(errno, cString(library, library.sqlite3_errmsg(target)), -1);
    }
    this.#open.set(++this.#last, backup);
    return this.#last;
  }

  stepBackup(id: number, pages: number): BackupStep {
    const backup = this.#open.get(id)!;
    const step = required(this.#database, "sqlite3_backup_step");
    let status: number;
    let left = pages > 0 ? pages : Infinity;
    do {
      this.#stops.check();
      status = step(backup, Math.min(left, SLICE));
      left -= SLICE;
    } while (status === SQLITE_OK && left > 0);
    if (![SQLITE_OK, SQLITE_DONE, SQLITE_BUSY, SQLITE_LOCKED].includes(status & 0xff)) {
      const { library } = this.#database;
      throw new SqliteFailure(status, cString(library, library.sqlite3_errstr(status)), -1);
    }
    return [
      status & 0xff,
      required(this.#database, "sqlite3_backup_remaining")(backup),
      required(this.#database, "sqlite3_backup_pagecount")(backup),
    ];
  }

  finishBackup(id: number): null {
    const backup = this.#open.get(id);
    if (backup === undefined) return null;
    this.#open.delete(id);
    required(this.#database, "sqlite3_backup_finish")(backup);
    return null;
  }

  /** Whether a backup of the connection is going on. */
  get any(): boolean {
    return this.#open.size > 0;
  }

  /** Before the connection is closed. */
  close(): void {
    for (const id of [...this.#open.keys()]) this.finishBackup(id);
  }
}
