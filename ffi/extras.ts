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
  /** `int sqlite3_txn_state(sqlite3*, const char *db)` https://sqlite.org/c3ref/txn_state.html */
  sqlite3_txn_state: fn("i32", "address", "buffer"),
  /**
   * `int sqlite3_wal_checkpoint_v2(sqlite3*, const char *db, int mode, int *log, int *done)`
   * https://sqlite.org/c3ref/wal_checkpoint_v2.html
   */
  sqlite3_wal_checkpoint_v2: fn("i32", "address", "buffer", "i32", "buffer", "buffer"),

  /** `int sqlite3_exec(sqlite3*, const char*, callback, void*, char**)` */
  sqlite3_exec: fn("i32", "address", "buffer", "address", "address", "address"),

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

  // -- functions: https://sqlite.org/c3ref/create_function.html

  /**
   * `int sqlite3_create_function_v2(sqlite3*, const char *name, int nArg, int flags, void *app,
   * xFunc, xStep, xFinal, xDestroy)`
   */
  // deno-fmt-ignore
  sqlite3_create_function_v2:
    fn("i32", "address", "buffer", "i32", "i32", "address", "address", "address", "address", "address"),
  /**
   * `int sqlite3_create_window_function(sqlite3*, const char *name, int nArg, int flags, void *app,
   * xStep, xFinal, xValue, xInverse, xDestroy)`
   */
  // deno-fmt-ignore
  sqlite3_create_window_function:
    fn("i32", "address", "buffer", "i32", "i32", "address", "address", "address", "address", "address", "address"),
  /** `int sqlite3_create_collation_v2(sqlite3*, const char *name, int rep, void*, xCompare, xDestroy)` */
  sqlite3_create_collation_v2: fn(
    "i32",
    "address",
    "buffer",
    "i32",
    "address",
    "address",
    "address",
  ),
  /** `void *sqlite3_aggregate_context(sqlite3_context*, int nBytes)` */
  sqlite3_aggregate_context: fn("address", "address", "i32"),

  // -- values of a function: https://sqlite.org/c3ref/value_blob.html

  /** `int sqlite3_value_type(sqlite3_value*)` */
  sqlite3_value_type: fn("i32", "address"),
  /** `double sqlite3_value_double(sqlite3_value*)` */
  sqlite3_value_double: fn("f64", "address"),
  /** `sqlite3_int64 sqlite3_value_int64(sqlite3_value*)` */
  sqlite3_value_int64: fn("i64", "address"),
  /** `const unsigned char *sqlite3_value_text(sqlite3_value*)` */
  sqlite3_value_text: fn("address", "address"),
  /** `const void *sqlite3_value_blob(sqlite3_value*)` */
  sqlite3_value_blob: fn("address", "address"),
  /** `int sqlite3_value_bytes(sqlite3_value*)` */
  sqlite3_value_bytes: fn("i32", "address"),

  // -- results of a function: https://sqlite.org/c3ref/result_blob.html

  /** `void sqlite3_result_null(sqlite3_context*)` */
  sqlite3_result_null: fn("void", "address"),
  /** `void sqlite3_result_int64(sqlite3_context*, sqlite3_int64)` */
  sqlite3_result_int64: fn("void", "address", "i64"),
  /** `void sqlite3_result_double(sqlite3_context*, double)` */
  sqlite3_result_double: fn("void", "address", "f64"),
  /** `void sqlite3_result_text(sqlite3_context*, const char*, int length, destructor)` */
  sqlite3_result_text: fn("void", "address", "address", "i32", "i64"),
  /** `void sqlite3_result_blob(sqlite3_context*, const void*, int length, destructor)` */
  sqlite3_result_blob: fn("void", "address", "address", "i32", "i64"),
  /** `void sqlite3_result_error(sqlite3_context*, const char*, int length)` */
  sqlite3_result_error: fn("void", "address", "buffer", "i32"),
  /** `void sqlite3_result_error_code(sqlite3_context*, int)` */
  sqlite3_result_error_code: fn("void", "address", "i32"),

  // -- sessions: https://sqlite.org/session.html

  /** `int sqlite3session_create(sqlite3*, const char *db, sqlite3_session**)` */
  sqlite3session_create: fn("i32", "address", "buffer", "buffer"),
  /** `int sqlite3session_attach(sqlite3_session*, const char *table)` */
  sqlite3session_attach: fn("i32", "address", "address"),
  /** `int sqlite3session_changeset(sqlite3_session*, int *length, void **changes)` */
  sqlite3session_changeset: fn("i32", "address", "buffer", "buffer"),
  /** `int sqlite3session_patchset(sqlite3_session*, int *length, void **changes)` */
  sqlite3session_patchset: fn("i32", "address", "buffer", "buffer"),
  /** `void sqlite3session_delete(sqlite3_session*)` */
  sqlite3session_delete: fn("void", "address"),
  /** `int sqlite3changeset_apply(sqlite3*, int, void *changes, xFilter, xConflict, void*)` */
  // deno-fmt-ignore
  sqlite3changeset_apply:
    fn("i32", "address", "i32", "address", "address", "address", "address"),
  /** `int sqlite3changeset_op(iterator*, const char **table, int *columns, int *op, int *indirect)` */
  sqlite3changeset_op: fn("i32", "address", "buffer", "buffer", "buffer", "buffer"),

  // -- hooks

  /** `int sqlite3_set_authorizer(sqlite3*, xAuth, void*)` https://sqlite.org/c3ref/set_authorizer.html */
  sqlite3_set_authorizer: fn("i32", "address", "address", "address"),
  /** `int sqlite3_trace_v2(sqlite3*, unsigned, xCallback, void*)` https://sqlite.org/c3ref/trace_v2.html */
  sqlite3_trace_v2: fn("i32", "address", "i32", "address", "address"),
  /** `char *sqlite3_expanded_sql(sqlite3_stmt*)` https://sqlite.org/c3ref/expanded_sql.html */
  sqlite3_expanded_sql: fn("address", "address"),
  /** `const char *sqlite3_sql(sqlite3_stmt*)` */
  sqlite3_sql: fn("address", "address"),
  /** `void *sqlite3_update_hook(sqlite3*, xCallback, void*)` https://sqlite.org/c3ref/update_hook.html */
  sqlite3_update_hook: fn("address", "address", "address", "address"),
  /** `void *sqlite3_commit_hook(sqlite3*, xCallback, void*)` https://sqlite.org/c3ref/commit_hook.html */
  sqlite3_commit_hook: fn("address", "address", "address", "address"),
  /** `void *sqlite3_rollback_hook(sqlite3*, xCallback, void*)` */
  sqlite3_rollback_hook: fn("address", "address", "address", "address"),
} as const;

export type Extras = Functions<typeof EXTRAS>;

const bound = new WeakMap<Library, Extras>();

/** Binds them to a library that has been loaded. */
export function extrasOf(library: Library): Extras {
  let extras = bound.get(library);
  if (!extras) bound.set(library, extras = runtime.dlopen(library.path, EXTRAS));
  return extras;
}
