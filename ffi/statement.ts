/**
 * Statement: a prepared statement of SQLite's C API, its names minus the prefix.
 *
 * @module
 */
import { SqliteFailure } from "./failure.ts";
import { cString, type Library } from "./libsqlite3.ts";
import { SQLITE_DONE, SQLITE_NOMEM, SQLITE_ROW } from "./result_codes.ts";
import type { RowMemory } from "./row_memory.ts";
import { runtime } from "./runtime.ts";
import type { Database } from "./sqlite.ts";
import type { Address } from "./types.ts";

const SQLITE_STMTSTATUS_REPREPARE = 5;
/** SQLite copies the value before the bind returns, so nothing here has to outlive the call. */
const SQLITE_TRANSIENT = -1n;

export class Statement {
  readonly database: Database;
  readonly handle: Address;
  /** It changes no database file by itself; true of BEGIN and COMMIT, too. */
  readonly readonly: boolean;
  readonly parameterCount: number;
  columnCount: number;
  readonly #library: Library;
  /** Whether a row's values can be read at once; not known before the first row. */
  #fits: boolean | undefined;
  /** Has the values of the row that it stands on, unless they are asked for one by one. */
  #row: RowMemory | null = null;
  /** The value whose type was asked for is taken from there. */
  #inRow = false;
  #parameterNames: (string | null)[] | undefined;
  #firstNamed: number | undefined;

  constructor(database: Database, handle: Address) {
    const library = database.library;
    this.database = database;
    this.handle = handle;
    this.#library = library;
    this.readonly = library.sqlite3_stmt_readonly(handle) !== 0;
    this.parameterCount = library.sqlite3_bind_parameter_count(handle);
    this.columnCount = library.sqlite3_column_count(handle);
  }

  /** Names with their prefix; null for `?`. */
  get parameterNames(): readonly (string | null)[] {
    return this.#parameterNames ??= Array.from({ length: this.parameterCount }, (_, i) => {
      const name = this.#library.sqlite3_bind_parameter_name(this.handle, i + 1);
      return !name ? null : cString(this.#library, name);
    });
  }

  /** The first parameter that has a name, or -1: one that can't be given by position. */
  get firstNamed(): number {
    return this.#firstNamed ??= this.parameterNames.findIndex((name) =>
      name !== null && name[0] !== "?"
    );
  }

  /** True for a row, false at the end. */
  step(): boolean {
    this.#row = null;
    this.#inRow = false;
    const rc = this.#library.sqlite3_step(this.handle);
    if (rc === SQLITE_ROW) return true;
    if (rc === SQLITE_DONE) return false;
    throw this.database.failure();
  }

  /** Ready to be run again. Its code repeats the step's, which has been seen. */
  reset(): void {
    this.#library.sqlite3_reset(this.handle);
  }

  finalize(): void {
    this.database.finalize(this.handle);
  }

  /** How often SQLite compiled it again by itself, since the schema had changed. */
  reprepared(): number {
    return this.#library.sqlite3_stmt_status(this.handle, SQLITE_STMTSTATUS_REPREPARE, 0);
  }

  refreshColumnCount(): void {
    this.#fits = undefined;
    this.columnCount = this.#library.sqlite3_column_count(this.handle);
  }

  columnName(column: number): string {
    return cString(this.#library, this.#library.sqlite3_column_name(this.handle, column));
  }

  columnDecltype(column: number): string | null {
    const address = this.#library.sqlite3_column_decltype(this.handle, column);
    return !address ? null : cString(this.#library, address);
  }

  /** The database, table and column that a column is of; null for an expression. */
  columnOrigin(column: number): [database: string, table: string, column: string] | null {
    const library = this.#library;
    const name = library.sqlite3_column_origin_name?.(this.handle, column);
    if (!name) return null;
    return [
      cString(library, library.sqlite3_column_database_name!(this.handle, column)),
      cString(library, library.sqlite3_column_table_name!(this.handle, column)),
      cString(library, name),
    ];
  }

  /** Has the values of the row that it stands on read at once, if that takes fewer calls. */
  readRow(): void {
    const { rowMemory } = this.database;
    const { columnCount } = this;
    if (rowMemory === null) return;
    if (!(this.#fits ??= rowMemory.fits(this.handle, columnCount))) return;
    rowMemory.read(this.handle, columnCount);
    this.#row = rowMemory;
  }

  /** To be asked for before the value. */
  columnType(column: number): number {
    const type = this.#row === null ? 0 : this.#row.type(column);
    this.#inRow = type !== 0;
    return type || this.#library.sqlite3_column_type(this.handle, column);
  }

  columnInteger(column: number): number {
    if (this.#inRow) return this.#row!.integer();
    return this.#library.sqlite3_column_double(this.handle, column);
  }

  columnDouble(column: number): number {
    if (this.#inRow) return this.#row!.double();
    return this.#library.sqlite3_column_double(this.handle, column);
  }

  columnInt64(column: number): bigint {
    return BigInt(this.#library.sqlite3_column_int64(this.handle, column));
  }

  columnBytes(column: number): number {
    return this.#library.sqlite3_column_bytes(this.handle, column);
  }

  /** Bytes of a value as a BLOB, whatever it is. */
  blobLength(column: number): number {
    // In this order: the first may convert the value, the second then tells its length.
    this.#library.sqlite3_column_blob(this.handle, column);
    return this.#library.sqlite3_column_bytes(this.handle, column);
  }

  /** Adds a TEXT value to the database's text block and returns its length in bytes. */
  appendText(column: number): number {
    const address = this.#textAddress(column);
    const length = this.#textLength(column);
    if (length > 0) this.database.appendText(address, length);
    return length;
  }

  /**
   * Copies a TEXT value and returns its length in bytes, or -1 if it does not fit or the text block
   * is quicker: a window shows it, or one copy at the start takes the place of four calls.
   */
  copyText(column: number, into: Uint8Array, at: number): number {
    const { windows } = this.database;
    const row = this.#row;
    if (this.#inRow && windows.usable) {
      const length = row!.length();
      if (at + length > into.length) return -1;
      if (windows.copy(row!.place(), length, into, at)) return length;
    }
    if (at > 0) return -1;
    const address = this.#textAddress(column);
    const length = this.#textLength(column);
    if (length > into.length) return -1;
    if (length > 0) this.#library.memcpy(into, address, runtime.address(length));
    return length;
  }

  #textAddress(column: number): Address {
    if (this.#inRow) return this.#row!.address();
    const address = this.#library.sqlite3_column_text(this.handle, column);
    if (!address) throw new SqliteFailure(SQLITE_NOMEM, "out of memory", -1);
    return address;
  }

  /** After the address, which may have had the value converted. */
  #textLength(column: number): number {
    return this.#inRow ? this.#row!.length() : this.columnBytes(column);
  }

  /** Copies a BLOB value of exactly this length. */
  copyBlob(column: number, into: Uint8Array): void {
    if (into.length === 0) return;
    const address = this.#library.sqlite3_column_blob(this.handle, column);
    if (!address) throw new SqliteFailure(SQLITE_NOMEM, "out of memory", -1);
    this.#library.memcpy(into, address, runtime.address(into.length));
  }

  /** Moves the database's text block out, filling `into` exactly. */
  takeText(into: Uint8Array): void {
    this.database.takeText(into);
  }

  clearBindings(): void {
    this.#library.sqlite3_clear_bindings(this.handle);
  }

  bindNull(index: number): void {
    this.database.check(this.#library.sqlite3_bind_null(this.handle, index));
  }

  bindInt(index: number, value: number): void {
    this.database.check(this.#library.sqlite3_bind_int(this.handle, index, value));
  }

  bindInt64(index: number, value: bigint): void {
    this.database.check(this.#library.sqlite3_bind_int64(this.handle, index, value));
  }

  bindDouble(index: number, value: number): void {
    this.database.check(this.#library.sqlite3_bind_double(this.handle, index, value));
  }

  /** Binds bytes in C's memory: never a null pointer, so an empty text stays one. */
  bindText(index: number, address: Address, length: number): void {
    this.database.check(
      this.#library.sqlite3_bind_text(this.handle, index, address, length, SQLITE_TRANSIENT),
    );
  }

  /** Likewise a blob. */
  bindBlob(index: number, address: Address, length: number): void {
    this.database.check(
      this.#library.sqlite3_bind_blob(this.handle, index, address, length, SQLITE_TRANSIENT),
    );
  }
}
