/**
 * Values and messages as bytes.
 *
 * A message is a length, then self-describing values: a tag each, and what the tag says; then up to
 * three bytes of no meaning, since it has whole words. The same tags serve for parameters and for
 * the cells of a row (see rows.ts).
 *
 * @module
 */

export const NULL = 0;
/** An integer of 32 bits. */
export const INT32 = 1;
/** An integer of 64 bits; a `bigint`. */
export const INT64 = 2;
/** An integer that a double holds exactly; a `number`. */
export const INTEGER = 3;
/** A double. */
export const FLOAT = 4;
/** UTF-8: a length, then the bytes (in a row batch the bytes are in the batch's text block). */
export const TEXT = 5;
/** A length, then the bytes. */
export const BLOB = 6;
export const FALSE = 7;
export const TRUE = 8;
export const ARRAY = 9;
/** In parameters: a value that can't be bound, with the failure it is if it has to be. */
export const REFUSED = 10;
/** Parameters: a length, then these. */
export const PARAMETERS = 11;

/** What a parameter set starts with: none given, by position, or by name. */
export const NONE = 0;
export const SEQUENCE = 1;
export const MAPPING = 2;

/** What a message may be made of. */
export type Plain =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Span
  | readonly Plain[];

/** A part of some bytes: what a view is, at a tenth of the price. Parameters are passed as such. */
export class Span {
  readonly bytes: Uint8Array;
  /** Of these bytes. */
  readonly view: DataView;
  readonly start: number;
  readonly end: number;

  constructor(bytes: Uint8Array, view: DataView, start: number, end: number) {
    this.bytes = bytes;
    this.view = view;
    this.start = start;
    this.end = end;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** A view of it. */
  subarray(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Up to this length a text is coded in a loop: the call alone costs more. */
const SHORT_TEXT = 40;
/** Up to this length bytes are copied in a loop, for the same reason. */
const SHORT_SPAN = 64;
/** From this length on a text's size is computed first, instead of allowing for the largest. */
const LONG_TEXT = 1 << 16;
/** Lengths are of 32 bits. */
const LARGEST = 2 ** 32 - 64;
/** A buffer that has grown beyond this is dropped once it is empty. */
export const KEEP = 1 << 20;

/** A message can't have that many bytes. */
export class TooLarge extends RangeError {}

/** Appends to a buffer that grows. */
export class Writer {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  length = 0;

  constructor(capacity: number = 1024) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `count` more bytes and returns where they start. */
  reserve(count: number): number {
    const at = this.length;
    if (at + count > this.bytes.length) {
      if (at + count > LARGEST) throw new TooLarge("more than 4 GiB at once");
      const grown = new Uint8Array(Math.max(this.bytes.length * 2, at + count));
      grown.set(this.bytes.subarray(0, at));
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.length = at + count;
    return at;
  }

  /** Begins a message with room for its length, and returns where. */
  begin(): number {
    return this.reserve(4);
  }

  /** Ends the message that begins there, with the four bytes for its length. */
  end(at: number): void {
    this.reserve(-this.length & 3);
    this.view.setUint32(at, this.length - at - 4, true);
  }

  /** Empties it, and gives exceptional memory back. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > KEEP) {
      this.bytes = new Uint8Array(1024);
      this.view = new DataView(this.bytes.buffer);
    }
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.bytes[at] = value;
  }

  u32(value: number): void {
    const at = this.reserve(4);
    this.view.setUint32(at, value, true);
  }

  f64(value: number): void {
    const at = this.reserve(8);
    this.view.setFloat64(at, value, true);
  }

  int32(value: number): void {
    const at = this.reserve(5);
    this.bytes[at] = INT32;
    this.view.setInt32(at + 1, value, true);
  }

  int64(value: bigint): void {
    const at = this.reserve(9);
    this.bytes[at] = INT64;
    this.view.setBigInt64(at + 1, value, true);
  }

  /** `tag` is INTEGER or FLOAT. */
  double(tag: number, value: number): void {
    const at = this.reserve(9);
    this.bytes[at] = tag;
    this.view.setFloat64(at + 1, value, true);
  }

  /** A length and the text in UTF-8. */
  text(value: string): void {
    const start = this.reserve(5);
    this.bytes[start] = TEXT;
    if (value.length > SHORT_TEXT || !this.#ascii(value)) {
      const most = value.length < LONG_TEXT ? value.length * 3 : utf8Length(value);
      const at = this.reserve(most);
      this.length = at + encoder.encodeInto(value, this.bytes.subarray(at)).written;
    }
    this.view.setUint32(start + 1, this.length - start - 5, true);
  }

  /** Appends a short text if it is ASCII. */
  #ascii(value: string): boolean {
    const at = this.reserve(value.length);
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) {
        this.length = at;
        return false;
      }
      this.bytes[at + i] = code;
    }
    return true;
  }

  blob(value: Uint8Array): void {
    const at = this.reserve(5 + value.length);
    this.bytes[at] = BLOB;
    this.view.setUint32(at + 1, value.length, true);
    this.bytes.set(value, at + 5);
  }

  /** Bytes as they are. */
  append(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.bytes.set(bytes, at);
  }

  /** Likewise. */
  appendSpan(span: Span): void {
    const { bytes, start, length } = span;
    if (length > SHORT_SPAN) return this.append(span.subarray());
    const at = this.reserve(length);
    for (let i = 0; i < length; i++) this.bytes[at + i] = bytes[start + i]!;
  }

  /** What has been written since it had that length. */
  span(start: number): Span {
    return new Span(this.bytes, this.view, start, this.length);
  }

  value(value: Plain): void {
    if (typeof value === "number") {
      const small = value | 0;
      if (small === value && !Object.is(value, -0)) this.int32(value);
      else this.double(FLOAT, value);
    } else if (typeof value === "string") this.text(value);
    else if (value === null) this.u8(NULL);
    else if (typeof value === "boolean") this.u8(value ? TRUE : FALSE);
    else if (typeof value === "bigint") this.int64(value);
    else if (value instanceof Span) {
      this.u8(PARAMETERS);
      this.u32(value.length);
      this.appendSpan(value);
    } else if (value instanceof Uint8Array) this.blob(value);
    else this.array(value);
  }

  array(values: readonly Plain[]): void {
    const at = this.reserve(5);
    this.bytes[at] = ARRAY;
    this.view.setUint32(at + 1, values.length, true);
    for (const value of values) this.value(value);
  }
}

/** Reads what a writer wrote. */
export class Reader {
  bytes: Uint8Array;
  view: DataView;
  at: number;

  constructor(
    bytes: Uint8Array = new Uint8Array(1024),
    view: DataView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    at = 0,
  ) {
    this.bytes = bytes;
    this.view = view;
    this.at = at;
  }

  u8(): number {
    return this.bytes[this.at++]!;
  }

  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  i32(): number {
    this.at += 4;
    return this.view.getInt32(this.at - 4, true);
  }

  f64(): number {
    this.at += 8;
    return this.view.getFloat64(this.at - 8, true);
  }

  i64(): bigint {
    this.at += 8;
    return this.view.getBigInt64(this.at - 8, true);
  }

  /** A view of the next `length` bytes, which the next message will overwrite. */
  take(length: number): Uint8Array {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  /** The next `length` bytes, likewise. */
  span(length: number): Span {
    this.at += length;
    return new Span(this.bytes, this.view, this.at - length, this.at);
  }

  text(length: number): string {
    const start = this.at;
    this.at += length;
    return decodeText(this.bytes, start, this.at);
  }

  value(): Plain {
    const tag = this.u8();
    switch (tag) {
      case NULL:
        return null;
      case INT32:
        return this.i32();
      case INT64:
        return this.i64();
      case INTEGER:
      case FLOAT:
        return this.f64();
      case TEXT:
        return this.text(this.u32());
      case BLOB:
        return this.take(this.u32());
      case FALSE:
      case TRUE:
        return tag === TRUE;
      case PARAMETERS:
        return this.span(this.u32());
      default:
        return this.array();
    }
  }

  /** Moves past a value. */
  skip(): void {
    switch (this.u8()) {
      case INT32:
        this.at += 4;
        break;
      case INT64:
      case INTEGER:
      case FLOAT:
        this.at += 8;
        break;
      case TEXT:
      case BLOB: {
        const length = this.u32();
        this.at += length;
        break;
      }
      case REFUSED:
        this.value();
    }
  }

  array(): Plain[] {
    return this.values();
  }

  /** A number of values, and these. */
  values(): Plain[] {
    const values: Plain[] = new Array(this.u32());
    for (let i = 0; i < values.length; i++) values[i] = this.value();
    return values;
  }
}

/** Decodes UTF-8; throws a `TypeError` when it is not valid. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= SHORT_TEXT) {
    let text = "";
    let at = start;
    for (; at < end; at++) {
      const code = bytes[at]!;
      if (code > 0x7f) break;
      text += String.fromCharCode(code);
    }
    if (at === end) return text;
  }
  return decoder.decode(bytes.subarray(start, end));
}

/** Number of bytes of a well-formed text in UTF-8. */
export function utf8Length(value: string): number {
  let length = value.length;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code > 0x7f) length += code > 0x7ff && (code & 0xf800) !== 0xd800 ? 2 : 1;
  }
  return length;
}
