/**
 * Row batches as bytes: the number of rows, the cells of row after row, then all their text in one
 * block. The block is decoded with one call and cut up, which is what makes large results cheap.
 *
 * @module
 */
import { SQLITE_BLOB, SQLITE_FLOAT, SQLITE_INTEGER, SQLITE_TEXT } from "../../ffi/datatypes.ts";
import { BLOB, decodeText, FLOAT, INT32, INT64, INTEGER, NULL, TEXT, Writer } from "./codec.ts";

/** What a batch reads of the statement that stands on a row. */
export interface Columns {
  readonly columnCount: number;
  /** Right before a row's values are asked for. */
  readRow(): void;
  columnType(column: number): number;
  columnInteger(column: number): number;
  columnDouble(column: number): number;
  columnInt64(column: number): bigint;
  columnBytes(column: number): number;
  /** Copies a TEXT value and returns its length, or -1 if it goes to the text block more quickly. */
  copyText(column: number, into: Uint8Array, at: number): number;
  /** Adds a TEXT value to a text block and returns its length. */
  appendText(column: number): number;
  /** Moves that block out. */
  takeText(into: Uint8Array): void;
  /** Copies a BLOB value of exactly this length. */
  copyBlob(column: number, into: Uint8Array): void;
}

/** Number of rows, of columns, bytes of the cells, bytes of the text. */
const HEADER = 16;
/** Bytes of a cell at most, a BLOB's own aside. */
const CELL = 9;

/** Writes one batch to the end of a writer, row by row. */
export class BatchWriter {
  readonly #writer: Writer;
  #start = 0;
  #textLength = 0;
  /** The first of these bytes, as far as texts have been copied; the rest is in the text block. */
  readonly #copied = new Writer(1 << 16);
  #row: Columns | undefined;
  rowCount = 0;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** Bytes so far. */
  get length(): number {
    return this.#writer.length - this.#start + this.#textLength;
  }

  begin(): void {
    this.#start = this.#writer.reserve(HEADER);
    this.#textLength = 0;
    this.#copied.length = 0;
    this.rowCount = 0;
  }

  /** Appends the row that the statement stands on. */
  add(row: Columns): void {
    const writer = this.#writer;
    const count = row.columnCount;
    this.#row = row;
    // Room for all cells is made at once, a BLOB's bytes aside, and written to right here: a call
    // for each cell would take as long as SQLite takes.
    let at = writer.reserve(count * CELL);
    let { bytes, view } = writer;
    row.readRow();
    for (let i = 0; i < count; i++) {
      switch (row.columnType(i)) {
        case SQLITE_INTEGER: {
          const value = row.columnInteger(i);
          const small = value | 0;
          if (small === value) {
            bytes[at] = INT32;
            view.setInt32(at + 1, small, true);
            at += 5;
          } else if (Number.isSafeInteger(value)) {
            bytes[at] = INTEGER;
            view.setFloat64(at + 1, value, true);
            at += 9;
          } else { // a double holds it no more
            bytes[at] = INT64;
            view.setBigInt64(at + 1, row.columnInt64(i), true);
            at += 9;
          }
          break;
        }
        case SQLITE_FLOAT:
          bytes[at] = FLOAT;
          view.setFloat64(at + 1, row.columnDouble(i), true);
          at += 9;
          break;
        case SQLITE_TEXT:
          bytes[at] = TEXT;
          view.setUint32(at + 1, this.#addText(row, i), true);
          at += 5;
          break;
        case SQLITE_BLOB: {
          const length = row.columnBytes(i);
          writer.length = at;
          writer.reserve(5 + length + (count - i) * CELL);
          ({ bytes, view } = writer);
          bytes[at] = BLOB;
          view.setUint32(at + 1, length, true);
          row.copyBlob(i, bytes.subarray(at + 5, at + 5 + length));
          at += 5 + length;
          break;
        }
        default:
          bytes[at++] = NULL;
      }
    }
    writer.length = at;
    this.rowCount++;
  }

  /** Takes a text into the block and returns its length. */
  #addText(row: Columns, column: number): number {
    const copied = this.#copied;
    let length = -1;
    if (copied.length === this.#textLength) {
      length = row.copyText(column, copied.bytes, copied.length);
    }
    if (length >= 0) copied.length += length;
    else length = row.appendText(column);
    this.#textLength += length;
    return length;
  }

  end(): void {
    const writer = this.#writer;
    const row = this.#row!;
    const cells = writer.length - this.#start - HEADER;
    writer.appendSpan(this.#copied.span(0));
    const rest = this.#textLength - this.#copied.length;
    if (rest > 0) {
      const at = writer.reserve(rest);
      row.takeText(writer.bytes.subarray(at, at + rest));
    }
    writer.view.setUint32(this.#start, this.rowCount, true);
    writer.view.setUint32(this.#start + 4, row.columnCount, true);
    writer.view.setUint32(this.#start + 8, cells, true);
    writer.view.setUint32(this.#start + 12, this.#textLength, true);
  }
}

/** How values are handed out. */
export interface Decoding {
  readonly integers: "auto" | "bigint" | "number";
  readonly text: "string" | "bytes" | ((bytes: Uint8Array) => unknown);
}

/** A value can't be handed out as asked for. */
export class Undecodable extends Error {
  readonly column: number;
  readonly reason: "text" | "length" | "integer";
  /** The start of a text that is not UTF-8. */
  readonly bytes: Uint8Array;
  constructor(
    column: number,
    reason: "text" | "length" | "integer",
    bytes: Uint8Array = new Uint8Array(),
  ) {
    super(reason);
    this.column = column;
    this.reason = reason;
    this.bytes = bytes;
  }
}

/** A text with more bytes than this may be too long for a string, where it is ASCII. */
const LONGEST_STRING = 2 ** 29 - 25;

/** What a batch is made of: its rows, or those before one that can't be handed out. */
export interface Batch {
  readonly rows: unknown[][];
  readonly failure: { readonly error: unknown } | null;
}

/** Reads the batch at `at`, its rows as arrays. All that it returns are copies. */
export function readBatch(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  decoding: Decoding,
): Batch {
  const rows: unknown[][] = new Array(view.getUint32(at, true));
  try {
    readRows(bytes, view, at, decoding, rows);
    return { rows, failure: null };
  } catch (error) {
    rows.length = rows.findIndex((row) => row === undefined);
    return { rows, failure: { error } };
  }
}

function readRows(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  decoding: Decoding,
  rows: unknown[][],
): void {
  const columnCount = view.getUint32(at + 4, true);
  const cells = view.getUint32(at + 8, true);
  const textLength = view.getUint32(at + 12, true);
  const textStart = at + HEADER + cells;
  const text = decoding.text === "string"
    ? new TextBlock(bytes, textStart, textLength)
    : new ByteBlock(bytes, textStart, decoding.text);
  const { integers } = decoding;
  at += HEADER;
  for (let r = 0; r < rows.length; r++) {
    const row: unknown[] = new Array(columnCount);
    for (let c = 0; c < columnCount; c++) {
      switch (bytes[at++]) {
        case INT32: {
          const value = view.getInt32(at, true);
          row[c] = integers === "bigint" ? BigInt(value) : value;
          at += 4;
          break;
        }
        case INTEGER: {
          const value = view.getFloat64(at, true);
          row[c] = integers === "bigint" ? BigInt(value) : value;
          at += 8;
          break;
        }
        case INT64:
          if (integers === "number") throw new Undecodable(c, "integer");
          row[c] = view.getBigInt64(at, true);
          at += 8;
          break;
        case FLOAT:
          row[c] = view.getFloat64(at, true);
          at += 8;
          break;
        case TEXT:
          row[c] = text.next(view.getUint32(at, true), c);
          at += 4;
          break;
        case BLOB: {
          const length = view.getUint32(at, true);
          at += 4;
          row[c] = bytes.slice(at, at + length);
          at += length;
          break;
        }
        default:
          row[c] = null;
      }
    }
    rows[r] = row;
  }
}

/** A batch's texts as strings, in order. */
class TextBlock {
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;
  /** The block as one string; null when some text in it is not UTF-8, or may not be. */
  readonly #all: string | null;
  readonly #ascii: boolean;
  #used = 0;

  constructor(bytes: Uint8Array, start: number, length: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = start + length;
    this.#all = decodeOrNull(bytes, start, start + length);
    // Only ASCII has as many UTF-16 units as bytes, and then a text is where its bytes are.
    this.#ascii = this.#all !== null && this.#all.length === length;
  }

  next(length: number, column: number): string {
    const start = this.#at;
    const end = this.#at = start + length;
    if (this.#ascii) {
      const used = this.#used;
      this.#used += length;
      return this.#all!.slice(used, this.#used);
    }
    if (this.#all !== null && this.#between(start) && this.#between(end)) {
      const used = this.#used;
      this.#used += utf16Length(this.#bytes, start, end);
      return this.#all.slice(used, this.#used);
    }
    const text = decodeOrNull(this.#bytes, start, end);
    if (text === null) {
      if (length > LONGEST_STRING) throw new Undecodable(column, "length");
      throw new Undecodable(column, "text", this.#bytes.slice(start, Math.min(end, start + 100)));
    }
    return text;
  }

  /**
   * Whether a character ends there. A text that is cut off within one is not UTF-8, even where the
   * text behind it makes it whole.
   */
  #between(at: number): boolean {
    return at === this.#end || (this.#bytes[at]! & 0xc0) !== 0x80;
  }
}

/** A batch's texts as bytes, or as what a function makes of them. */
class ByteBlock {
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #make: "bytes" | ((bytes: Uint8Array) => unknown);

  constructor(bytes: Uint8Array, start: number, make: "bytes" | ((b: Uint8Array) => unknown)) {
    this.#bytes = bytes;
    this.#at = start;
    this.#make = make;
  }

  next(length: number, _column: number): unknown {
    const text = this.#bytes.slice(this.#at, this.#at += length);
    return this.#make === "bytes" ? text : this.#make(text);
  }
}

/** UTF-16 units of valid UTF-8: one a character, two for those of four bytes. */
function utf16Length(bytes: Uint8Array, start: number, end: number): number {
  let units = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
  }
  return units;
}

function decodeOrNull(bytes: Uint8Array, start: number, end: number): string | null {
  try {
    return decodeText(bytes, start, end);
  } catch {
    return null;
  }
}
