/**
 * SQLite for Deno, Bun and Node whose every call is asynchronous and runs off the event loop, on
 * the system's own SQLite library: `aiosqlite` for TypeScript.
 *
 * @example
 * ```ts
 * import { connect } from "@aiosqlite/aiosqlite";
 *
 * await using db = await connect(":memory:");
 * await db.executeScript("CREATE TABLE point (x, y); INSERT INTO point VALUES (1, 2), (3, 4)");
 * for await (const [x, y] of db.execute("SELECT x, y FROM point WHERE x > ?", [0])) {
 *   console.log(x, y);
 * }
 * ```
 *
 * @module
 */
export * from "./ffi/constants.ts";
export * from "./ffi/result_codes.ts";
export type { BackupOptions } from "./src/backup.ts";
export { Blob } from "./src/blob.ts";
export type {
  Aggregate,
  Authorizer,
  FunctionOptions,
  FunctionResult,
  ModuleFunction,
  SqlFunction,
  WindowFunction,
} from "./src/callbacks.ts";
export { connect, Connection } from "./src/connection.ts";
export type { Checkpoint, NameOptions } from "./src/control.ts";
export { Cursor, CursorRequest } from "./src/cursor.ts";
export { registerDates, registerTemporal } from "./src/dates.ts";
export type { DumpOptions } from "./src/dump.ts";
export {
  DatabaseError,
  DataError,
  IntegrityError,
  InterfaceError,
  InternalError,
  NotSupportedError,
  OperationalError,
  ProgrammingError,
  SqliteError,
  type SqliteErrorDetails,
  SqliteWarning,
} from "./src/errors.ts";
export type {
  Autocommit,
  CallOptions,
  ConnectOptions,
  Integers,
  IsolationLevel,
  RowFactoryOption,
  TextFactory,
} from "./src/options.ts";
export { createPool, Pool, type PoolOptions, type PoolStats } from "./src/pool.ts";
export { Request } from "./src/request.ts";
export {
  type ColumnDescription,
  type ColumnOrigin,
  type Described,
  objectRow,
  Row,
  type RowFactory,
} from "./src/row.ts";
export {
  type ApplyOptions,
  Session,
  type SessionOptions,
  SQLITE_CHANGESET_ABORT,
  SQLITE_CHANGESET_CONFLICT,
  SQLITE_CHANGESET_CONSTRAINT,
  SQLITE_CHANGESET_DATA,
  SQLITE_CHANGESET_FOREIGN_KEY,
  SQLITE_CHANGESET_NOTFOUND,
  SQLITE_CHANGESET_OMIT,
  SQLITE_CHANGESET_REPLACE,
} from "./src/session.ts";
export { Savepoint } from "./src/savepoint.ts";
export { Transaction, type TransactionOptions, TransactionType } from "./src/transaction.ts";
export {
  type Adapter,
  type Class,
  type Converter,
  PARSE_COLNAMES,
  PARSE_DECLTYPES,
  registerAdapter,
  registerConverter,
} from "./src/types.ts";
export type { Bindable, SqlParameters, SqlValue } from "./src/values.ts";
export {
  completeStatement,
  paramStyle,
  sqliteVersion,
  sqliteVersionInfo,
  version,
} from "./src/version.ts";
