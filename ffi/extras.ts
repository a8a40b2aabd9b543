/**
 * The functions of the library that not every connection needs: they are bound when the first one
 * does, since binding costs a runtime up to 0.1 ms for each.
 *
 * @module
 */
import { fn, type Library } from "./libsqlite3.ts";
import { runtime } from "./runtime.ts";
import type { Functions } from "./types.ts";

/** Any may be missing: who needs it says so. */
export const EXTRAS = {
  // -- content: https://sqlite.org/c3ref/serialize.html

  /** `unsigned char *sqlite3_serialize(sqlite3*, const char *db, sqlite3_int64*, unsigned)` */
  sqlite3_serialize: fn("address", "address", "buffer", "buffer", "i32"),
  /**
   * `int sqlite3_deserialize(sqlite3*, const char *db, unsigned char *data, sqlite3_int64 length,
   * sqlite3_int64 capacity, unsigned)` https://sqlite.org/c3ref/deserialize.html
   */
  sqlite3_deserialize: fn("i32", "address", "buffer", "address", "i64", "i64", "i32"),
  /**
   * `int sqlite3_wal_checkpoint_v2(sqlite3*, const char *db, int mode, int *log, int *done)`
   * https://sqlite.org/c3ref/wal_checkpoint_v2.html
   */
  sqlite3_wal_checkpoint_v2: fn("i32", "address", "buffer", "i32", "buffer", "buffer"),

  // -- extensions: https://sqlite.org/c3ref/load_extension.html

  /** `int sqlite3_load_extension(sqlite3*, const char *file, const char *entry, char **message)` */
  sqlite3_load_extension: fn("i32", "address", "buffer", "address", "buffer"),

  // -- backup: https://sqlite.org/c3ref/backup_finish.html

  /** `sqlite3_backup *sqlite3_backup_init(sqlite3*, const char*, sqlite3*, const char*)` */
  sqlite3_backup_init: fn("address", "address", "buffer", "address", "buffer"),
  /** `int sqlite3_backup_step(sqlite3_backup*, int pages)` */
  sqlite3_backup_step: fn("i32", "address", "i32"),
  /** `int sqlite3_backup_finish(sqlite3_backup*)` */
  sqlite3_backup_finish: fn("i32", "address"),
  /** `int sqlite3_backup_remaining(sqlite3_backup*)` */
  sqlite3_backup_remaining: fn("i32", "address"),
  /** `int sqlite3_backup_pagecount(sqlite3_backup*)` */
  sqlite3_backup_pagecount: fn("i32", "address"),

  // -- incremental blob i/o: https://sqlite.org/c3ref/blob_open.html

  /**
   * `int sqlite3_blob_open(sqlite3*, const char *db, const char *table, const char *column,
   * sqlite3_int64 rowid, int write, sqlite3_blob**)`
   */
  sqlite3_blob_open: fn("i32", "address", "buffer", "buffer", "buffer", "i64", "i32", "buffer"),
  /** `int sqlite3_blob_bytes(sqlite3_blob*)` */
  sqlite3_blob_bytes: fn("i32", "address"),
  /** `int sqlite3_blob_read(sqlite3_blob*, void*, int length, int offset)` */
  sqlite3_blob_read: fn("i32", "address", "buffer", "i32", "i32"),
  /** `int sqlite3_blob_write(sqlite3_blob*, const void*, int length, int offset)` */
  sqlite3_blob_write: fn("i32", "address", "buffer", "i32", "i32"),
  /** `int sqlite3_blob_close(sqlite3_blob*)` */
  sqlite3_blob_close: fn("i32", "address"),
} as const;

export type Extras = Functions<typeof EXTRAS>;

const bound = new WeakMap<Library, Extras>();

/** Binds them to a library that has been loaded. */
export function extrasOf(library: Library): Extras {
  let extras = bound.get(library);
  if (!extras) bound.set(library, extras = runtime.dlopen(library.path, EXTRAS));
  return extras;
}
