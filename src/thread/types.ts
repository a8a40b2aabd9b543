/**
 * Which columns are read as bytes, for a converter to make something of them.
 *
 * @module
 */
import { SQLITE_BLOB, SQLITE_NULL } from "../../ffi/datatypes.ts";
import { foldCase } from "../../ffi/text.ts";
import type { Statement } from "../../ffi/statement.ts";
import { type ColumnList, PARSE_COLNAMES, PARSE_DECLTYPES } from "./protocol.ts";
import type { Columns } from "./rows.ts";

/** The types that have converters, and where to look for a column's type. */
export class Types {
  readonly #detect: number;
  #keys: ReadonlySet<string> = new Set();
  /** Changes with the types. */
  version = 0;

  constructor(detect: number) {
    this.#detect = detect;
  }

  /** Whether any column may have a converter. */
  get any(): boolean {
    return this.#keys.size > 0;
  }

  set(keys: readonly string[]): void {
    this.#keys = new Set(keys);
    this.version++;
  }

  /** A statement's columns: name, declared type, and the key of its converter. */
  describe(statement: Statement): ColumnList {
    return Array.from({ length: statement.columnCount }, (_, i) => {
      const name = statement.columnName(i);
      const type = statement.columnDecltype(i);
      const shown = this.#detect & PARSE_COLNAMES ? name.replace(/ ?\[[^]*/, "") : name;
      const key = this.any ? this.#keyOf(name, type) : null;
      return [shown, type, key, statement.columnOrigin(i)] as const;
    });
  }

  #keyOf(name: string, declaredType: string | null): string | null {
    const named = this.#detect & PARSE_COLNAMES ? /\[([^[\]]*)\]/.exec(name)?.[1] : undefined;
    // "NUMBER(10)" is a NUMBER, and "INTEGER NOT NULL" an INTEGER.
    const declared = this.#detect & PARSE_DECLTYPES ? declaredType?.split(/[ (]/)[0] : undefined;
    for (const type of [named, declared]) {
      const key = type && foldCase(type);
      if (key && this.#keys.has(key)) return key;
    }
    return null;
  }
}

/** A statement some of whose columns are read as the bytes of their text or blob. */
export class ConvertedColumns implements Columns {
  readonly #statement: Statement;
  readonly #converted: readonly boolean[];

  constructor(statement: Statement, columns: ColumnList) {
    this.#statement = statement;
    this.#converted = columns.map(([, , key]) => key !== null);
  }

  get columnCount(): number {
    return this.#statement.columnCount;
  }

  readRow(): void {
    this.#statement.readRow();
  }

  columnType(column: number): number {
    const type = this.#statement.columnType(column);
    return this.#converted[column] && type !== SQLITE_NULL ? SQLITE_BLOB : type;
  }

  columnInteger(column: number): number {
    return this.#statement.columnInteger(column);
  }

  columnDouble(column: number): number {
    return this.#statement.columnDouble(column);
  }

  columnInt64(column: number): bigint {
    return this.#statement.columnInt64(column);
  }

  columnBytes(column: number): number {
    // The value as a blob first: a number becomes its text.
    return this.#statement.blobLength(column);
  }

  copyText(column: number, into: Uint8Array, at: number): number {
    return this.#statement.copyText(column, into, at);
  }

  appendText(column: number): number {
    return this.#statement.appendText(column);
  }

  takeText(into: Uint8Array): void {
    this.#statement.takeText(into);
  }

  copyBlob(column: number, into: Uint8Array): void {
    this.#statement.copyBlob(column, into);
  }
}
