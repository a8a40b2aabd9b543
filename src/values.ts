/**
 * What may be bound, and how it is checked and copied when a call is made. What gets past here is
 * in range for SQLite: a bad value fails with the caller's stack, and nothing has been sent.
 *
 * @module
 */
import { SQLITE_TOOBIG } from "../ffi/result_codes.ts";
import { DataError, ProgrammingError, toError } from "./errors.ts";
import {
  FLOAT,
  MAPPING,
  NONE,
  NULL,
  REFUSED,
  SEQUENCE,
  type Span,
  TooLarge,
  utf8Length,
  Writer,
} from "./thread/codec.ts";
import { Failure } from "./thread/protocol.ts";
import { type Adapter, adapterOf } from "./types.ts";

/**
 * A value as SQLite stores it: NULL, INTEGER, REAL, TEXT or BLOB. An INTEGER is read as a `number`
 * when that is exact and as a `bigint` when it is not.
 */
export type SqlValue = null | number | bigint | string | Uint8Array;

/** A value that can be bound. `boolean` is stored as 0 or 1. */
export type Bindable = SqlValue | boolean | ArrayBufferView | ArrayBufferLike;

/** Parameters of a statement: by position for `?`, by name without prefix for `:a`, `@a`, `$a`. */
export type SqlParameters =
  | Iterable<unknown>
  | { readonly [name: string]: unknown }
  | ReadonlyMap<string, unknown>;

/** The largest values that the connection's SQLite takes, in bytes. */
export interface Limits {
  readonly length: number;
  readonly sqlLength: number;
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/**
 * Parameters are written one behind the other, and shared out as spans: in some runtimes a small
 * array of its own costs as much as all the rest. Once it is full, those who have spans keep it.
 */
const ARENA = 1 << 14;
let arena = new Writer(2 * ARENA);
let writing = false;

/** Parameters that have been checked and encoded already. */
export class Encoded {
  readonly span: Span;
  constructor(parameters: unknown, limits: Limits) {
    this.span = encodeParameters(parameters, limits);
  }
}

/** Checks and encodes the parameters of one statement. */
export function encodeParameters(parameters: unknown, limits: Limits): Span {
  if (parameters === undefined) return NO_PARAMETERS;
  if (parameters instanceof Encoded) return parameters.span;
  // An adapter or an iterator of the caller's may itself end up here.
  if (writing) return writeTo(new Writer(), parameters, limits);
  writing = true;
  try {
    return writeTo(arena, parameters, limits);
  } finally {
    writing = false;
    if (arena.length > ARENA) arena = new Writer(2 * ARENA);
  }
}

/** Appends parameters and tells where they are. */
function writeTo(writer: Writer, parameters: unknown, limits: Limits): Span {
  const start = writer.length;
  try {
    writeParameters(writer, parameters, limits);
    return writer.span(start);
  } catch (error) {
    writer.length = start;
    throw error instanceof TooLarge ? new DataError(`Too large: ${error.message}`) : error;
  }
}

const NO_PARAMETERS = oneByte(NONE);

function oneByte(byte: number): Span {
  const writer = new Writer(1);
  writer.u8(byte);
  return writer.span(0);
}

/** Encodes what a function gives SQLite back, or says why it can't be. */
export function encodeResult(value: unknown, limits: Limits): Uint8Array | Failure {
  const writer = new Writer(64);
  const refusal = writeValue(writer, value, limits);
  return refusal ?? writer.bytes.subarray(0, writer.length);
}

/** Appends one encoded parameter set. */
export function writeParameters(writer: Writer, parameters: unknown, limits: Limits): void {
  if (parameters instanceof Encoded) return writer.appendSpan(parameters.span);
  if (Array.isArray(parameters)) return writeSequence(writer, parameters, limits);
  if (typeof parameters === "object" && parameters !== null) {
    if (parameters instanceof Map) return writeMapping(writer, parameters.entries(), limits);
    if (Symbol.iterator in parameters) {
      return writeSequence(writer, Array.from(parameters as Iterable<unknown>), limits);
    }
    const prototype = Object.getPrototypeOf(parameters);
    if (prototype === null || Object.getPrototypeOf(prototype) === null) {
      return writeMapping(writer, Object.entries(parameters), limits);
    }
  }
  throw new ProgrammingError(`Parameters of type '${typeName(parameters)}' are not supported`);
}

function writeSequence(writer: Writer, values: readonly unknown[], limits: Limits): void {
  const count = values.length;
  writer.u8(SEQUENCE);
  writer.u32(count);
  for (let i = 0; i < count; i++) {
    const refusal = writeValue(writer, values[i], limits);
    if (refusal) {
      const { kind, message, errno } = refusal;
      throw toError(new Failure(kind, `Error binding parameter ${i + 1}: ${message}`, errno));
    }
  }
}

function writeMapping(
  writer: Writer,
  entries: Iterable<readonly [unknown, unknown]>,
  limits: Limits,
): void {
  writer.u8(MAPPING);
  const at = writer.reserve(4);
  let count = 0;
  for (const [name, value] of entries) {
    if (typeof name !== "string") {
      throw new ProgrammingError(`A parameter's name is a string, got ${typeName(name)}`);
    }
    if (!name.isWellFormed()) continue; // no SQL text can have such a name
    writer.text(name);
    const refusal = writeValue(writer, value, limits);
    // Only the statement knows whether it uses this one. If not, it may be anything.
    if (refusal) {
      writer.u8(REFUSED);
      writer.array([refusal.kind, refusal.message, refusal.errno]);
    }
    count++;
  }
  writer.view.setUint32(at, count, true);
}

/** Appends a value, or appends nothing and returns why. */
function writeValue(
  writer: Writer,
  value: unknown,
  limits: Limits,
  adapts = true,
): Failure | void {
  switch (typeof value) {
    case "number":
      return writeNumber(writer, value);
    case "string":
      return writeText(writer, value, limits);
    case "bigint":
      if (value < INT64_MIN || value > INT64_MAX) {
        return new Failure("DataError", "integer out of the range of 64 bits");
      }
      return writer.int64(value);
    case "boolean":
      return writer.int32(value ? 1 : 0);
  }
  if (value === null) return writer.u8(NULL);
  const adapter = typeof value === "object" && adapts ? adapterOf(value) : undefined;
  if (adapter) return writeAdapted(writer, value, adapter, limits);
  const bytes = bytesOf(value);
  if (bytes && isDetached(value as object)) {
    return new Failure("ProgrammingError", "its buffer is detached");
  }
  if (bytes) return tooLong(bytes.length, limits) ?? writer.blob(bytes);
  return new Failure("ProgrammingError", `type '${typeName(value)}' is not supported`);
}

/** Appends what an adapter makes of a value. */
function writeAdapted(
  writer: Writer,
  value: unknown,
  adapter: Adapter<never>,
  limits: Limits,
): Failure | void {
  let adapted: unknown;
  try {
    adapted = adapter(value as never);
  } catch (error) {
    const message = `The adapter of type '${typeName(value)}' raised an error`;
    throw new ProgrammingError(message, { cause: error });
  }
  const refusal = writeValue(writer, adapted, limits, false);
  if (!refusal) return;
  const message = `the adapter of type '${typeName(value)}' returned: ${refusal.message}`;
  return new Failure(refusal.kind, message, refusal.errno);
}

function writeNumber(writer: Writer, value: number): void {
  const small = value | 0;
  if (small === value && (small !== 0 || !Object.is(value, -0))) writer.int32(small);
  else if (Number.isSafeInteger(value) && value !== 0) writer.int64(BigInt(value));
  else if (value !== value) writer.u8(NULL);
  else writer.double(FLOAT, value);
}

function writeText(writer: Writer, value: string, limits: Limits): Failure | void {
  // Up to three bytes a unit: most texts need not be measured.
  if (value.length * 3 > limits.length) {
    const refusal = tooLong(utf8Length(value), limits);
    if (refusal) return refusal;
  }
  if (!value.isWellFormed()) return new Failure("DataError", "text with a lone surrogate");
  writer.text(value);
}

function tooLong(length: number, limits: Limits): Failure | undefined {
  if (length <= limits.length) return undefined;
  const message = `string or blob too big (${length} bytes, the limit is ${limits.length})`;
  return new Failure("DataError", message, SQLITE_TOOBIG);
}

/** The bytes of a buffer or a view, not copied; undefined when it is neither. */
function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) {
    if (isDetached(value)) return new Uint8Array(); // its length can't even be asked for
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) {
    return isDetached(value) ? new Uint8Array() : new Uint8Array(value);
  }
  return undefined;
}

/** Whether the bytes of a buffer or a view have been given away, so that there are none. */
function isDetached(value: object): boolean {
  const buffer = ArrayBuffer.isView(value) ? value.buffer : value;
  return buffer instanceof ArrayBuffer && buffer.detached;
}

/** What to call the type of a value in a message. */
export function typeName(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  return Object.getPrototypeOf(value)?.constructor?.name || "object";
}

/** Checks an SQL text. */
export function checkSql(sql: unknown, limits: Limits): asserts sql is string {
  if (typeof sql !== "string") {
    throw new ProgrammingError(`SQL has to be a string, got ${typeName(sql)}`);
  }
  if (sql.includes("\0")) {
    throw new ProgrammingError("the query contains a null character", { sql });
  }
  if (!sql.isWellFormed()) throw new DataError("the query has a lone surrogate", { sql });
  if (sql.length * 3 > limits.sqlLength && utf8Length(sql) > limits.sqlLength) {
    throw toError(new Failure("DataError", "query string is too large", SQLITE_TOOBIG));
  }
}
