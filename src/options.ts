/**
 * The options of a connection, of its calls, of a transaction, and of a pool.
 *
 * @module
 */
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { checker, checkSignal, checkTimeout, integer, oneOf, refuse } from "./checks.ts";
import { ProgrammingError } from "./errors.ts";
import type { RowFactory } from "./row.ts";
import type { Row } from "./row.ts";
import type { SqlValue } from "./values.ts";
import type { Autocommit, IsolationLevel } from "./thread/protocol.ts";

export type { Autocommit, IsolationLevel };

/** What makes rows: a function, the class `Row`, or null for arrays. */
export type RowFactoryOption<R> = RowFactory<R> | typeof Row | null;

/** What TEXT is read as: strings, their UTF-8 bytes, or what a function makes of the bytes. */
export type TextFactory = "string" | "bytes" | ((bytes: Uint8Array) => unknown);

/** How INTEGER is read: exact in any case, always `bigint`, or `number` or an error. */
export type Integers = "auto" | "bigint" | "number";

/** Options of `connect`; all may be left out. */
export interface ConnectOptions<R = SqlValue[]> {
  /** Milliseconds to wait for locks of other connections. Default 5000. */
  timeout?: number | undefined;
  /**
   * How an INSERT, UPDATE, DELETE or REPLACE begins a transaction when none is open; null for not
   * at all. `""` is `"DEFERRED"`, the default. Source: `sqlite3`.
   */
  isolationLevel?: IsolationLevel | "" | Lowercase<NonNullable<IsolationLevel>> | undefined;
  /**
   * `"legacy"`, the default: as `isolationLevel` says. True: SQLite's own autocommit. False: a
   * transaction is always open. Source: Python 3.12's `sqlite3`.
   */
  autocommit?: Autocommit | undefined;
  /**
   * Where to look for the type that tells which converter reads a column: `PARSE_DECLTYPES` (1),
   * `PARSE_COLNAMES` (2), or their sum, by which the name counts first. Default 0: nowhere.
   */
  detectTypes?: number | undefined;
  /** Prepared statements kept, least recently used first out. Default 128. */
  cachedStatements?: number | undefined;
  /** Open for reading only. Default false. */
  readonly?: boolean | undefined;
  /** Take a name that starts with `file:` as a URI (https://sqlite.org/uri.html). Default false. */
  uri?: boolean | undefined;
  /**
   * Let views, triggers, generated columns, CHECKs and indexes use functions that are not known to
   * be harmless; before SQLite 3.41 those of JSON are among them. Only for files whose schema you
   * trust. Default false. Source: https://sqlite.org/pragma.html#pragma_trusted_schema
   */
  trustedSchema?: boolean | undefined;
  /** Rows in a chunk of `for await`. Default 64. */
  iterChunkSize?: number | undefined;
  /** What rows are: null for arrays (default), `Row`, `objectRow`, or a function. */
  rowFactory?: RowFactoryOption<R> | undefined;
  /** What TEXT is read as. Default `"string"`. */
  textFactory?: TextFactory | undefined;
  /** How INTEGER is read. Default `"auto"`: `number` when exact, else `bigint`. */
  integers?: Integers | undefined;
  /** Absolute path of the SQLite library. Default: the system's, or `AIOSQLITE_LIBRARY`. */
  library?: string | undefined;
  /** Aborts the opening. */
  signal?: AbortSignal | undefined;
}

/** The options with their defaults filled in. */
export interface Settings {
  timeout: number;
  isolationLevel: IsolationLevel;
  autocommit: Autocommit;
  detectTypes: number;
  cachedStatements: number;
  readonly: boolean;
  uri: boolean;
  trustedSchema: boolean;
  iterChunkSize: number;
  rowFactory: RowFactoryOption<unknown>;
  readonly textFactory: TextFactory;
  readonly integers: Integers;
  library: string | null;
  signal: AbortSignal | undefined;
}

/** Checks an isolation level, of any case. */
export function checkIsolationLevel(value: unknown): IsolationLevel {
  if (value === null) return null;
  if (value === "") return "DEFERRED";
  // Not more than ASCII letters change their case: "ı" is not an "I".
  const upper = typeof value === "string" && /^[a-z]+$/i.test(value) ? value.toUpperCase() : value;
  return isLevel(upper);
}

const isLevel = oneOf<IsolationLevel>(
  "isolationLevel",
  "DEFERRED",
  "IMMEDIATE",
  "EXCLUSIVE",
  null,
);

/** Checks who controls transactions. */
export const checkAutocommit: (value: unknown) => Autocommit = oneOf<Autocommit>(
  "autocommit",
  "legacy",
  true,
  false,
);

/** Checks a row factory. */
export function checkRowFactory(value: unknown): RowFactoryOption<unknown> {
  if (value === null || typeof value === "function") return value as RowFactoryOption<unknown>;
  refuse("rowFactory", "null or a function", value);
}

/** Checks a text factory. */
export function checkTextFactory(value: unknown): TextFactory {
  if (value === "string" || value === "bytes" || typeof value === "function") {
    return value as TextFactory;
  }
  refuse("textFactory", "'string', 'bytes' or a function", value);
}

/** Checks the size of a chunk. */
export const checkChunkSize: (value: unknown) => number = integer("iterChunkSize", 1);

/** Checks a number of rows. */
export function checkRows(name: string, value: unknown): number {
  return integer(name, 0)(value);
}

function checkLibrary(value: unknown): string {
  // A bare name may be taken from the current directory.
  if (typeof value === "string" && isAbsolute(value) && !value.includes("\0")) return value;
  refuse("library", "an absolute path", value);
}

/** Checks all options and fills in the defaults. Throws a `ProgrammingError` for a bad one. */
export const checkOptions: (options: unknown) => Settings = checker<Settings>({
  timeout: [checkTimeout, 5000],
  isolationLevel: [checkIsolationLevel, "DEFERRED"],
  autocommit: [checkAutocommit, "legacy"],
  detectTypes: [oneOf("detectTypes", 0, 1, 2, 3), 0],
  cachedStatements: [integer("cachedStatements", 0), 128],
  readonly: [oneOf("readonly", true, false), false],
  uri: [oneOf("uri", true, false), false],
  trustedSchema: [oneOf("trustedSchema", true, false), false],
  iterChunkSize: [checkChunkSize, 64],
  rowFactory: [checkRowFactory, null],
  textFactory: [checkTextFactory, "string"],
  integers: [oneOf<Integers>("integers", "auto", "bigint", "number"), "auto"],
  library: [checkLibrary, null],
  signal: [checkSignal, undefined],
});

/** The file name that SQLite is to be given. */
export function checkDatabase(database: unknown, uri: boolean): string {
  let name = database;
  if (database instanceof URL) {
    if (database.protocol !== "file:") refuse("database", "a URL with file:", database.href);
    if (!uri && (database.search || database.hash)) {
      throw new ProgrammingError("Bad database: a URL with parameters needs the option uri");
    }
    name = uri ? database.href : fileURLToPath(database);
  }
  if (typeof name !== "string") refuse("database", "a path or a URL", database);
  if (name === "") throw new ProgrammingError("Bad database: the name is empty");
  if (name.includes("\0") || !name.isWellFormed()) {
    throw new ProgrammingError("Bad database: the name has a null character or a lone surrogate");
  }
  if (name === ":memory:" || (uri && name.startsWith("file:")) || isAbsolute(name)) return name;
  // Many builds take any name that starts with "file:" as a URI; a path is a path.
  return `./${name}`;
}

/** Options of a single call; all may be left out. */
export interface CallOptions {
  /**
   * Ends the call, which then rejects with the signal's reason: one that has not begun never runs,
   * one that runs is interrupted, and no other call is. Holds for the rows of a result as well. If
   * SQLite does not notice for 50 ms, in the middle of counting all rows, say, results that are half
   * read on the connection end as well.
   */
  signal?: AbortSignal | undefined;
}

/** Checks the options of a single call. */
export const checkCallOptions: (options: unknown) => { signal: AbortSignal | undefined } = checker<
  { signal: AbortSignal | undefined }
>({ signal: [checkSignal, undefined] });

/** The options of a transaction with their defaults filled in. */
export interface TransactionSettings {
  mode: NonNullable<IsolationLevel>;
  nested: "savepoint" | "join" | "error";
  timeout: number | undefined;
  signal: AbortSignal | undefined;
  retries: number;
}

type Mode = NonNullable<IsolationLevel>;

/** Checks the options of a transaction and fills in the defaults. */
export const checkTransactionOptions: (options: unknown) => TransactionSettings = checker<
  TransactionSettings
>({
  mode: [oneOf<Mode>("mode", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"), "DEFERRED"],
  nested: [
    oneOf<TransactionSettings["nested"]>("nested", "savepoint", "join", "error"),
    "savepoint",
  ],
  timeout: [checkTimeout, undefined],
  signal: [checkSignal, undefined],
  retries: [integer("retries", 0), 0],
});

/** Checks the options of a pool: the number of readers, and what each connection is opened with. */
export function checkPoolOptions<R>(options: unknown): [readers: number, ConnectOptions<R>] {
  if (typeof options !== "object" || options === null) refuse("options", "an object", options);
  const { readers = 4, ...rest } = options as ConnectOptions<R> & { readers?: number };
  // Statements go to one connection or another, so none may leave a transaction open behind it.
  const { isolationLevel = null, autocommit = "legacy" } = checkOptions(rest);
  if (rest.isolationLevel !== undefined && isolationLevel !== null) {
    refuse(
      "isolationLevel",
      "null for a pool, whose statements commit by themselves",
      isolationLevel,
    );
  }
  if (autocommit === false) refuse("autocommit", "true or 'legacy' for a pool", autocommit);
  return [integer("readers", 0)(readers), { ...rest, isolationLevel: null }];
}
