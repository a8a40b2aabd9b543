/**
 * The error classes of DB-API 2.0 (PEP 249), and which result code becomes which.
 *
 * @module
 */
import * as resultCodes from "../ffi/result_codes.ts";
import { Failure, type FailureKind } from "./thread/protocol.ts";

/** What SQLite said, besides its message. */
export interface SqliteErrorDetails {
  /** Name of the extended result code, `"SQLITE_CONSTRAINT_UNIQUE"`. */
  code?: string | undefined;
  /** Extended result code, `2067`. */
  errno?: number | undefined;
  /** Byte offset in the SQL of the token at fault, or -1. */
  offset?: number | undefined;
  /** The SQL text that failed. */
  sql?: string | undefined;
  /** What lies behind this error. */
  cause?: unknown;
}

/** An important warning. Source: PEP 249. */
export class SqliteWarning extends Error {
  override readonly name: string = "SqliteWarning";
}

/**
 * Base class of all errors. Those that come from SQLite itself have `code` and `errno`; none has
 * bound values in its message.
 */
export class SqliteError extends Error {
  override readonly name: string = "SqliteError";
  /** Name of SQLite's extended result code, such as `"SQLITE_CONSTRAINT_UNIQUE"`. */
  readonly code: string | undefined;
  /** SQLite's extended result code, such as `2067`. */
  readonly errno: number | undefined;
  /** Byte offset in the SQL of the token at fault, or -1. */
  readonly offset: number;
  /** The SQL text that failed, if it was about one. */
  readonly sql: string | undefined;

  constructor(message: string, details: SqliteErrorDetails = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.code = details.code;
    this.errno = details.errno;
    this.offset = details.offset ?? -1;
    this.sql = details.sql;
  }
}

/** The interface was at fault rather than the database: misuse, or a library that can't be used. */
export class InterfaceError extends SqliteError {
  override readonly name: string = "InterfaceError";
}

/** The database was at fault. */
export class DatabaseError extends SqliteError {
  override readonly name: string = "DatabaseError";
}

/** A value that can't be stored or handed out: too large, out of range, not well-formed. */
export class DataError extends DatabaseError {
  override readonly name: string = "DataError";
}

/** The operation of the database was at fault: locked, full, no such table, interrupted. */
export class OperationalError extends DatabaseError {
  override readonly name: string = "OperationalError";
}

/** A constraint was violated. */
export class IntegrityError extends DatabaseError {
  override readonly name: string = "IntegrityError";
}

/** SQLite ran into an internal error. */
export class InternalError extends DatabaseError {
  override readonly name: string = "InternalError";
}

/** The API was used wrongly: a closed connection, wrong parameters, a bad option. */
export class ProgrammingError extends DatabaseError {
  override readonly name: string = "ProgrammingError";
}

/** The SQLite library does not have what was asked for. */
export class NotSupportedError extends DatabaseError {
  override readonly name: string = "NotSupportedError";
}

const NAMES = new Map(Object.entries(resultCodes).map(([name, code]) => [code as number, name]));

/** CPython's table, `Modules/_sqlite/util.c`. */
function classOf(errno: number): typeof SqliteError {
  switch (errno & 0xff) {
    case resultCodes.SQLITE_INTERNAL:
    case resultCodes.SQLITE_NOTFOUND:
      return InternalError;
    case resultCodes.SQLITE_NOMEM: // Python's MemoryError, which JavaScript does not have
    case resultCodes.SQLITE_ERROR:
    case resultCodes.SQLITE_PERM:
    case resultCodes.SQLITE_ABORT:
    case resultCodes.SQLITE_BUSY:
    case resultCodes.SQLITE_LOCKED:
    case resultCodes.SQLITE_READONLY:
    case resultCodes.SQLITE_INTERRUPT:
    case resultCodes.SQLITE_IOERR:
    case resultCodes.SQLITE_FULL:
    case resultCodes.SQLITE_CANTOPEN:
    case resultCodes.SQLITE_PROTOCOL:
    case resultCodes.SQLITE_EMPTY:
    case resultCodes.SQLITE_SCHEMA:
      return OperationalError;
    case resultCodes.SQLITE_TOOBIG:
      return DataError;
    case resultCodes.SQLITE_CONSTRAINT:
    case resultCodes.SQLITE_MISMATCH:
      return IntegrityError;
    case resultCodes.SQLITE_MISUSE:
    case resultCodes.SQLITE_RANGE:
      return InterfaceError;
    default:
      return DatabaseError;
  }
}

const BY_KIND = {
  ProgrammingError,
  DataError,
  InterfaceError,
  OperationalError,
  InternalError,
  NotSupportedError,
  Cancelled: OperationalError, // has a reason; see unwrap
} as const;

/** Name of a result code; that of its primary code when a newer SQLite has made one up. */
function codeName(errno: number): string {
  return NAMES.get(errno) ?? NAMES.get(errno & 0xff) ?? "SQLITE_UNKNOWN";
}

/** The error that a failure in the worker becomes. */
export function toError(failure: Failure, sql?: string): SqliteError {
  const { kind, message, errno, offset } = failure;
  const made = kind === "sqlite" ? classOf(errno) : BY_KIND[kind];
  const cause = failure.thrown && { cause: failure.thrown.error };
  if (errno < 0) return new made(message, { sql, ...cause });
  return new made(message, { code: codeName(errno), errno, offset, sql, ...cause });
}

/** The reply, or a throw: to be used right after an await, for the stack to be the caller's. */
export function unwrap<T>(reply: T | Failure, sql?: string): T {
  if (!(reply instanceof Failure)) return reply;
  if (reply.reason !== undefined) throw reply.reason;
  const error = toError(reply, sql);
  Error.captureStackTrace(error, unwrap); // the ten lines it has are for what called this
  throw error;
}

/** An error as data, to be thrown again where somebody else has called. */
export function toFailure(error: unknown): Failure {
  if (!(error instanceof SqliteError)) {
    return new Failure("OperationalError", "", -1, -1, error);
  }
  const { name, message, errno, offset } = error;
  if (errno === undefined) return new Failure(name as FailureKind, message);
  return new Failure("sqlite", message, errno, offset);
}
