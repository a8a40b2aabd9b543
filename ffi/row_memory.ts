/**
 * The values of a row, read where SQLite keeps them: two calls for all of them, or one where a window
 * shows them, instead of two or three for each.
 *
 * A `sqlite3_value` is opaque, so nothing about it is believed unseen. Each thread compares the
 * layout below, which 3.40 and 3.54 have, with what the C API says of a row of all kinds of
 * values; if anything differs, every row is read by the C API. So is each value that is not plainly
 * of one kind, and each BLOB. Only bytes from a row's first to its last value are read, and these
 * addresses come from SQLite.
 *
 * @module
 */
import {
  SQLITE_BLOB,
  SQLITE_FLOAT,
  SQLITE_INTEGER,
  SQLITE_NULL,
  SQLITE_TEXT,
} from "./datatypes.ts";
import type { Library } from "./libsqlite3.ts";
import { runtime } from "./runtime.ts";
import type { Database } from "./sqlite.ts";
import type { Statement } from "./statement.ts";
import type { Address } from "./types.ts";
import type { Windows } from "./windows.ts";

// Where the parts of a value are, in bytes from its start.
/** A double or an integer of 64 bits. */
const NUMBER = 0;
/** The address of a text. */
const TEXT = 8;
/** A text's length in bytes, of 32 bits. */
const LENGTH = 16;
/** Which of the parts are valid, of 16 bits. */
const FLAGS = 20;
/** A text's encoding, of 8 bits. */
const ENCODING = 22;

// Flags.
const MEM_NULL = 0x01;
const MEM_STR = 0x02;
const MEM_INT = 0x04;
const MEM_REAL = 0x08;
/** With more than one of these set, only SQLite knows which of them counts. */
const MEM_KINDS = 0x3f;

const SQLITE_UTF8 = 1;

/** Every kind of value, integers of one and of two words, and texts with and without bytes. */
const SAMPLE = new TextEncoder().encode(
  "SELECT 7, -8, 1234567890123456, -1234567890123456, 2.5, -1e300, 'text', '', NULL, " +
    "x'0102'",
);

/** By library, the bytes from one value to the next; 0 where the layout is not this one. */
const strides = new WeakMap<Library, number>();

/** The values of the row that a statement stands on. */
export class RowMemory {
  readonly #library: Library;
  readonly #windows: Windows;
  /** Bytes from a value to the next one. */
  readonly #stride: number;
  /** Addresses are numbers in this runtime. */
  readonly #numbers = typeof runtime.address(0n) === "number";
  /** A row's values, where no window shows them. */
  #bytes = new Uint8Array(0);
  #copy: DataView = new DataView(this.#bytes.buffer);
  /** How many these are. */
  #size: Address = 0n;
  /** Shows the row's values, from here on. */
  #view: DataView = this.#copy;
  #start = 0;
  /** Where the value starts whose type was asked for. */
  #at = 0;

  private constructor({ library, windows }: Database, stride: number) {
    this.#library = library;
    this.#windows = windows;
    this.#stride = stride;
  }

  /** For a database that nobody uses yet; null if the layout is not the one that is known. */
  static of(database: Database): RowMemory | null {
    const { library } = database;
    let stride = strides.get(library);
    if (stride === undefined) {
      stride = RowMemory.#probe(database);
      strides.set(library, stride);
    }
    return stride === 0 ? null : new RowMemory(database, stride);
  }

  static #probe(database: Database): number {
    const { library } = database;
    const [statement] = database.prepare(SAMPLE, false);
    try {
      statement!.step();
      const stride = distance(library, statement!.handle, 1);
      if (stride <= ENCODING || stride > 256 || stride % 8 !== 0) return 0;
      return new RowMemory(database, stride).#agrees(statement!, library) ? stride : 0;
    } finally {
      statement!.finalize();
    }
  }

  /** Whether all values are seen as the C API hands them out. */
  #agrees(sample: Statement, library: Library): boolean {
    const { handle, columnCount } = sample;
    if (!this.fits(handle, columnCount)) return false;
    this.read(handle, columnCount);
    for (let i = 0; i < columnCount; i++) {
      const type = sample.columnType(i);
      if (this.type(i) !== (type === SQLITE_BLOB ? 0 : type)) return false;
      if (type === SQLITE_INTEGER || type === SQLITE_FLOAT) {
        const value = type === SQLITE_INTEGER ? this.integer() : this.double();
        if (value !== sample.columnDouble(i)) return false;
      } else if (type === SQLITE_TEXT) {
        if (this.length() !== sample.columnBytes(i)) return false;
        if (this.address() !== library.sqlite3_column_text(handle, i)) return false;
      }
    }
    return true;
  }

  /** Whether the values of the row that a statement stands on follow each other: all its rows do. */
  fits(statement: Address, count: number): boolean {
    if (count === 1) return this.#windows.usable; // else the C API takes as few calls
    return distance(this.#library, statement, count - 1) === (count - 1) * this.#stride;
  }

  /** Has the values of a row at hand, of a statement that fits. */
  read(statement: Address, count: number): void {
    const size = count * this.#stride;
    const address = this.#library.sqlite3_column_value(statement, 0);
    if (this.#windows.usable) {
      const number = Number(address);
      const window = this.#windows.find(number, size);
      if (window !== null) {
        this.#view = window.view;
        this.#start = number - window.base | 0;
        return;
      }
    }
    if (size !== this.#bytes.length) this.#resize(size);
    this.#library.memcpy(this.#bytes, address, this.#size);
    this.#view = this.#copy;
    this.#start = 0;
  }

  #resize(size: number): void {
    this.#bytes = new Uint8Array(size);
    this.#copy = new DataView(this.#bytes.buffer);
    this.#size = runtime.address(size);
  }

  /** A value's type, or 0 if the C API has to be asked for it and for the value. */
  type(column: number): number {
    const at = this.#at = this.#start + column * this.#stride;
    switch (this.#view.getUint16(at + FLAGS, true) & MEM_KINDS) {
      case MEM_INT:
        return SQLITE_INTEGER;
      case MEM_REAL:
        return SQLITE_FLOAT;
      case MEM_STR:
        return this.#view.getUint8(at + ENCODING) === SQLITE_UTF8 ? SQLITE_TEXT : 0;
      case MEM_NULL:
        return SQLITE_NULL;
      default:
        return 0;
    }
  }

  // Of the value whose type was asked for last:

  /** Of an INTEGER, the nearest double. */
  integer(): number {
    const at = this.#at + NUMBER;
    return this.#view.getInt32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }

  double(): number {
    return this.#view.getFloat64(this.#at + NUMBER, true);
  }

  /** Bytes of a TEXT. */
  length(): number {
    return this.#view.getInt32(this.#at + LENGTH, true);
  }

  /** Where a TEXT is, until the statement's next step. */
  address(): Address {
    return this.#numbers ? this.place() : this.#view.getBigUint64(this.#at + TEXT, true);
  }

  /** The same as a number: over a bigint it would take as long as the rest of the value. */
  place(): number {
    const at = this.#at + TEXT;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }
}

/** Bytes from the first value of the row that a statement stands on to another one. */
function distance(library: Library, statement: Address, column: number): number {
  const [from, to] = [0, column].map((i) => BigInt(library.sqlite3_column_value(statement, i)));
  return Number(to! - from!);
}
