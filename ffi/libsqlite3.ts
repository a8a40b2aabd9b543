/**
 * The shared library: where it is found, what it must offer, and its symbol table.
 *
 * @module
 */
import { isAbsolute } from "node:path";
import process from "node:process";
import { runtime } from "./runtime.ts";
import type { Address, CType, Functions } from "./types.ts";

/** The oldest version that has all of the safety settings applied at open (January 2020). */
const MINIMUM_VERSION = 3_031_000;

/** A function of the library, as the table has it. */
export interface Fn<R extends CType, P extends readonly CType[]> {
  readonly result: R;
  readonly parameters: P;
}

export function fn<R extends CType, const P extends readonly CType[]>(
  result: R,
  ...parameters: P
): Fn<R, P> {
  return { result, parameters };
}

function optional<R extends CType, const P extends readonly CType[]>(
  result: R,
  ...parameters: P
): Fn<R, P> & { readonly optional: true } {
  return { result, parameters, optional: true };
}

// On Apple's arm64 the variable arguments of a C function go on the stack, so the six argument
// registers left after `db, op` are filled up first; elsewhere they go where fixed ones would.
export const VARIADIC_ON_STACK: boolean = process.platform === "darwin" && process.arch === "arm64";

const SQLITE_CONFIG_MEMSTATUS = 9;

/** Every C function used, in the order of the C reference's chapters. */
export const TABLE = {
  // -- library: https://sqlite.org/c3ref/libversion.html

  /** `const char *sqlite3_libversion(void)` */
  sqlite3_libversion: fn("address"),
  /** `int sqlite3_libversion_number(void)` */
  sqlite3_libversion_number: fn("i32"),
  /** `int sqlite3_threadsafe(void)` https://sqlite.org/c3ref/threadsafe.html */
  sqlite3_threadsafe: fn("i32"),
  /** `int sqlite3_config(int op, ...)`, here `int value` https://sqlite.org/c3ref/config.html */
  sqlite3_config: VARIADIC_ON_STACK
    ? fn("i32", "i32", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "i64")
    : fn("i32", "i32", "i64"),
  /** `int sqlite3_complete(const char *sql)` https://sqlite.org/c3ref/complete.html */
  sqlite3_complete: fn("i32", "buffer"),
  /** `void *sqlite3_malloc64(sqlite3_uint64)` https://sqlite.org/c3ref/free.html */
  sqlite3_malloc64: fn("address", "i64"),
  /** `void sqlite3_free(void*)` */
  sqlite3_free: fn("void", "address"),

  // -- connection

  /**
   * `int sqlite3_open_v2(const char *filename, sqlite3 **ppDb, int flags, const char *zVfs)`
   * https://sqlite.org/c3ref/open.html
   */
  sqlite3_open_v2: fn("i32", "buffer", "buffer", "i32", "address"),
  /** `int sqlite3_close_v2(sqlite3*)` https://sqlite.org/c3ref/close.html */
  sqlite3_close_v2: fn("i32", "address"),
  /**
   * `int sqlite3_db_config(sqlite3*, int op, ...)`, here `int onoff, int *now`
   * https://sqlite.org/c3ref/db_config.html
   */
  sqlite3_db_config: VARIADIC_ON_STACK
    // deno-fmt-ignore
    ? fn("i32", "address", "i32", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "buffer")
    : fn("i32", "address", "i32", "i64", "buffer"),
  /** `int sqlite3_extended_result_codes(sqlite3*, int onoff)` */
  sqlite3_extended_result_codes: fn("i32", "address", "i32"),
  /** `int sqlite3_enable_load_extension(sqlite3*, int onoff)`; not in macOS's own library */
  sqlite3_enable_load_extension: optional("i32", "address", "i32"),
  /** `int sqlite3_limit(sqlite3*, int id, int newVal)` https://sqlite.org/c3ref/limit.html */
  sqlite3_limit: fn("i32", "address", "i32", "i32"),
  /** `int sqlite3_busy_timeout(sqlite3*, int ms)` https://sqlite.org/c3ref/busy_timeout.html */
  sqlite3_busy_timeout: fn("i32", "address", "i32"),
  /**
   * `int sqlite3_busy_handler(sqlite3*, int(*)(void*,int), void*)`
   * https://sqlite.org/c3ref/busy_handler.html
   */
  sqlite3_busy_handler: fn("i32", "address", "address", "address"),
  /**
   * `void sqlite3_progress_handler(sqlite3*, int, int(*)(void*), void*)`
   * https://sqlite.org/c3ref/progress_handler.html
   */
  sqlite3_progress_handler: fn("void", "address", "i32", "address", "address"),
  /** `void sqlite3_interrupt(sqlite3*)` https://sqlite.org/c3ref/interrupt.html */
  sqlite3_interrupt: fn("void", "address"),
  /** `int sqlite3_get_autocommit(sqlite3*)` https://sqlite.org/c3ref/get_autocommit.html */
  sqlite3_get_autocommit: fn("i32", "address"),
  /** `int sqlite3_changes(sqlite3*)` https://sqlite.org/c3ref/changes.html */
  sqlite3_changes: fn("i32", "address"),
  /** `sqlite3_int64 sqlite3_changes64(sqlite3*)`, since 3.37 */
  sqlite3_changes64: optional("i64", "address"),
  /** `int sqlite3_total_changes(sqlite3*)` https://sqlite.org/c3ref/total_changes.html */
  sqlite3_total_changes: fn("i32", "address"),
  /** `sqlite3_int64 sqlite3_total_changes64(sqlite3*)`, since 3.37 */
  sqlite3_total_changes64: optional("i64", "address"),
  /** `sqlite3_int64 sqlite3_last_insert_rowid(sqlite3*)` */
  sqlite3_last_insert_rowid: fn("i64", "address"),

  // -- errors: https://sqlite.org/c3ref/errcode.html

  /** `int sqlite3_extended_errcode(sqlite3*)` */
  sqlite3_extended_errcode: fn("i32", "address"),
  /** `const char *sqlite3_errmsg(sqlite3*)` */
  sqlite3_errmsg: fn("address", "address"),
  /** `const char *sqlite3_errstr(int)` */
  sqlite3_errstr: fn("address", "i32"),
  /** `int sqlite3_error_offset(sqlite3*)`, since 3.38 */
  sqlite3_error_offset: optional("i32", "address"),

  // -- statement

  /**
   * `int sqlite3_prepare_v3(sqlite3*, const char *sql, int nByte, unsigned int flags,
   * sqlite3_stmt **ppStmt, const char **pzTail)` https://sqlite.org/c3ref/prepare.html
   */
  sqlite3_prepare_v3: fn("i32", "address", "address", "i32", "i32", "buffer", "buffer"),
  /** `int sqlite3_finalize(sqlite3_stmt*)` https://sqlite.org/c3ref/finalize.html */
  sqlite3_finalize: fn("i32", "address"),
  /** `int sqlite3_reset(sqlite3_stmt*)` https://sqlite.org/c3ref/reset.html */
  sqlite3_reset: fn("i32", "address"),
  /** `int sqlite3_step(sqlite3_stmt*)` https://sqlite.org/c3ref/step.html */
  sqlite3_step: fn("i32", "address"),
  /** `int sqlite3_stmt_readonly(sqlite3_stmt*)` https://sqlite.org/c3ref/stmt_readonly.html */
  sqlite3_stmt_readonly: fn("i32", "address"),
  /** `int sqlite3_stmt_status(sqlite3_stmt*, int op, int reset)` */
  sqlite3_stmt_status: fn("i32", "address", "i32", "i32"),

  // -- parameters: https://sqlite.org/c3ref/bind_blob.html

  /** `int sqlite3_bind_parameter_count(sqlite3_stmt*)` */
  sqlite3_bind_parameter_count: fn("i32", "address"),
  /** `const char *sqlite3_bind_parameter_name(sqlite3_stmt*, int)` */
  sqlite3_bind_parameter_name: fn("address", "address", "i32"),
  /** `int sqlite3_clear_bindings(sqlite3_stmt*)` */
  sqlite3_clear_bindings: fn("i32", "address"),
  /** `int sqlite3_bind_null(sqlite3_stmt*, int)` */
  sqlite3_bind_null: fn("i32", "address", "i32"),
  /** `int sqlite3_bind_int(sqlite3_stmt*, int, int)` */
  sqlite3_bind_int: fn("i32", "address", "i32", "i32"),
  /** `int sqlite3_bind_int64(sqlite3_stmt*, int, sqlite3_int64)` */
  sqlite3_bind_int64: fn("i32", "address", "i32", "i64"),
  /** `int sqlite3_bind_double(sqlite3_stmt*, int, double)` */
  sqlite3_bind_double: fn("i32", "address", "i32", "f64"),
  /** `int sqlite3_bind_text(sqlite3_stmt*, int, const char*, int n, void(*)(void*))` */
  sqlite3_bind_text: fn("i32", "address", "i32", "address", "i32", "i64"),
  /** `int sqlite3_bind_blob(sqlite3_stmt*, int, const void*, int n, void(*)(void*))` */
  sqlite3_bind_blob: fn("i32", "address", "i32", "address", "i32", "i64"),

  // -- columns: https://sqlite.org/c3ref/column_blob.html

  /** `int sqlite3_column_count(sqlite3_stmt*)` */
  sqlite3_column_count: fn("i32", "address"),
  /** `const char *sqlite3_column_name(sqlite3_stmt*, int)` */
  sqlite3_column_name: fn("address", "address", "i32"),
  /** `const char *sqlite3_column_decltype(sqlite3_stmt*, int)` */
  sqlite3_column_decltype: fn("address", "address", "i32"),
  /** `const char *sqlite3_column_database_name(sqlite3_stmt*, int)`; a build may lack these three */
  sqlite3_column_database_name: optional("address", "address", "i32"),
  /** `const char *sqlite3_column_table_name(sqlite3_stmt*, int)` */
  sqlite3_column_table_name: optional("address", "address", "i32"),
  /** `const char *sqlite3_column_origin_name(sqlite3_stmt*, int)` */
  sqlite3_column_origin_name: optional("address", "address", "i32"),
  /** `int sqlite3_column_type(sqlite3_stmt*, int)` */
  sqlite3_column_type: fn("i32", "address", "i32"),
  /** `double sqlite3_column_double(sqlite3_stmt*, int)` */
  sqlite3_column_double: fn("f64", "address", "i32"),
  /** `sqlite3_int64 sqlite3_column_int64(sqlite3_stmt*, int)` */
  sqlite3_column_int64: fn("i64", "address", "i32"),
  /** `const unsigned char *sqlite3_column_text(sqlite3_stmt*, int)` */
  sqlite3_column_text: fn("address", "address", "i32"),
  /** `const void *sqlite3_column_blob(sqlite3_stmt*, int)` */
  sqlite3_column_blob: fn("address", "address", "i32"),
  /** `int sqlite3_column_bytes(sqlite3_stmt*, int)` */
  sqlite3_column_bytes: fn("i32", "address", "i32"),
  /** `sqlite3_value *sqlite3_column_value(sqlite3_stmt*, int)` */
  sqlite3_column_value: fn("address", "address", "i32"),

  // -- growing strings: https://sqlite.org/c3ref/str_append.html

  /** `sqlite3_str *sqlite3_str_new(sqlite3*)` */
  sqlite3_str_new: fn("address", "address"),
  /** `char *sqlite3_str_finish(sqlite3_str*)` */
  sqlite3_str_finish: fn("address", "address"),
  /** `void sqlite3_str_append(sqlite3_str*, const char*, int n)` */
  sqlite3_str_append: fn("void", "address", "address", "i32"),
  /** `void sqlite3_str_reset(sqlite3_str*)` */
  sqlite3_str_reset: fn("void", "address"),
  /** `int sqlite3_str_errcode(sqlite3_str*)` */
  sqlite3_str_errcode: fn("i32", "address"),
  /** `char *sqlite3_str_value(sqlite3_str*)` */
  sqlite3_str_value: fn("address", "address"),
} as const;

/**
 * C's own functions on memory, which are how bytes are copied in and out of it. They are found
 * through SQLite's library, which itself uses them, so that a permission for that one file is
 * enough; two names for one job, since a symbol is bound with one signature only.
 */
const MEMORY_TABLE = {
  /** `void *memcpy(void *to, const void *from, size_t)`: out of C; its result is of no use */
  memcpy: fn("void", "buffer", "address", "size"),
  /** `void *memmove(void *to, const void *from, size_t)`: into C */
  memmove: fn("void", "address", "buffer", "size"),
  /** `size_t strlen(const char*)` */
  strlen: fn("i64", "address"),
} as const;

type Loaded<T extends typeof TABLE | typeof MEMORY_TABLE> =
  & {
    readonly [K in keyof T as T[K] extends { optional: true } ? never : K]-?: NonNullable<
      Functions<T>[K]
    >;
  }
  & { readonly [K in keyof T as T[K] extends { optional: true } ? K : never]?: Functions<T>[K] };

/** The loaded library: the functions of the table, and where they came from. */
export type Library = Loaded<typeof TABLE> & Loaded<typeof MEMORY_TABLE> & {
  readonly path: string;
};

/** Absolute paths at which systems keep their SQLite, first match wins. */
function candidates(): string[] {
  switch (process.platform) {
    case "darwin":
      return [
        "/usr/lib/libsqlite3.dylib", // in the dyld cache: no file to see, yet it loads
        "/opt/homebrew/opt/sqlite/lib/libsqlite3.dylib",
        "/usr/local/opt/sqlite/lib/libsqlite3.dylib",
      ];
    case "win32":
      return ["C:\\Windows\\System32\\winsqlite3.dll"];
    default: {
      const machine = ({ x64: "x86_64", arm64: "aarch64" } as Record<string, string>)[process.arch];
      return [
        `/usr/lib/${machine ?? process.arch}-linux-gnu/libsqlite3.so.0`, // Debian, Ubuntu
        "/usr/lib64/libsqlite3.so.0", // Fedora, openSUSE
        "/usr/lib/libsqlite3.so.0", // Arch, Alpine
        "/usr/local/lib/libsqlite3.so.0",
      ];
    }
  }
}

const INSTALL = ({
  linux:
    "apt install libsqlite3-0, dnf install sqlite-libs, pacman -S sqlite or apk add sqlite-libs",
  darwin: "brew install sqlite",
} as Record<string, string>)[process.platform] ?? "name a SQLite library";

/** No usable library: says what was tried and what to do. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";
}

const loaded = new Map<string, Library>();

/**
 * Loads the library: `path` alone when given, else the environment's `AIOSQLITE_LIBRARY` alone,
 * else the system's. A name without a folder is refused, since it may be taken from the current
 * directory. The library is loaded once for each thread and never closed.
 */
export function load(path: string | undefined): Library {
  const chosen = path ?? (runtime.env("AIOSQLITE_LIBRARY") || undefined);
  const known = loaded.get(chosen ?? "");
  if (known) return known;
  if (runtime.unsupported) throw new LibraryError(runtime.unsupported);
  const tried: string[] = [];
  let denied = false;
  for (const candidate of chosen === undefined ? candidates() : [chosen]) {
    try {
      const library = open(candidate);
      loaded.set(chosen ?? "", library);
      return library;
    } catch (error) {
      denied ||= error instanceof Error && error.name === "NotCapable";
      tried.push(`  ${candidate}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const advice = denied
    ? "Allow it to be loaded (--allow-ffi)"
    : `Install it (${INSTALL}), or give its absolute path as the option library or in the ` +
      "environment variable AIOSQLITE_LIBRARY";
  throw new LibraryError(`Cannot load the SQLite library, tried:\n${tried.join("\n")}\n${advice}`);
}

function open(path: string): Library {
  if (!isAbsolute(path)) throw new Error("not an absolute path");
  const functions = runtime.dlopen(path, TABLE);
  // Windows looks for a symbol in the named library only, not in those that it uses.
  const memoryPath = process.platform === "win32" ? "C:\\Windows\\System32\\msvcrt.dll" : path;
  const memory = runtime.dlopen(memoryPath, MEMORY_TABLE);
  const found: Record<string, unknown> = { ...functions, ...memory };
  const missing = Object.entries({ ...TABLE, ...MEMORY_TABLE })
    .filter(([name, signature]) => !found[name] && !("optional" in signature))
    .map(([name]) => name);
  if (missing.length > 0) {
    const rest = missing.length > 4 ? ` and ${missing.length - 4} more` : "";
    throw new Error(`lacks ${missing.slice(0, 4).join(", ")}${rest}`);
  }
  const library = { ...found, path } as unknown as Library;
  const version = library.sqlite3_libversion_number();
  if (version < MINIMUM_VERSION) {
    throw new Error(`is SQLite ${dotted(version)}, older than ${dotted(MINIMUM_VERSION)}`);
  }
  if (library.sqlite3_threadsafe() === 0) throw new Error("was built without thread safety");
  forgoMemoryStatistics(library);
  return library;
}

/**
 * Without them each allocation is spared a lock and two counters, as SQLite's documentation advises:
 * where it is built without its lookaside memory, as Debian's is, an INSERT takes a sixth less. It is
 * a setting of the whole process, which SQLite refuses once it is in use.
 */
function forgoMemoryStatistics(library: Library): void {
  const call = library.sqlite3_config as (...all: unknown[]) => number;
  const fill = VARIADIC_ON_STACK ? [0n, 0n, 0n, 0n, 0n, 0n, 0n] : [];
  call(SQLITE_CONFIG_MEMSTATUS, ...fill, 0n);
}

function dotted(version: number): string {
  return [version / 1e6, version / 1e3 % 1e3, version % 1e3].map(Math.floor).join(".");
}

/** The C string at an address, up to its NUL; "" for a null pointer. */
export function cString(library: Library, address: Address): string {
  if (!address) return "";
  const bytes = new Uint8Array(Number(library.strlen(address)) + 1);
  library.memcpy(bytes, address, runtime.address(bytes.length));
  return new TextDecoder().decode(bytes.subarray(0, -1));
}
