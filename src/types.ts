/**
 * Types of one's own: adapters turn values into what SQLite stores, converters turn columns back.
 *
 * @module
 */
import { foldCase } from "../ffi/text.ts";
import { ProgrammingError } from "./errors.ts";
import { PARSE_COLNAMES, PARSE_DECLTYPES } from "./thread/protocol.ts";
import type { SqlValue } from "./values.ts";

export { PARSE_COLNAMES, PARSE_DECLTYPES };

/** Any class, abstract ones included. */
export type Class<T> = abstract new (...parameters: never[]) => T;

/** Makes what SQLite is to store of a value. */
export type Adapter<T> = (value: T) => SqlValue | boolean;

/** Makes a value of the bytes that SQLite has stored, as text or blob. */
export type Converter = (bytes: Uint8Array) => unknown;

const adapters = new Map<object, Adapter<never>>();
const converters = new Map<string, Converter>();
let converterVersion = 0;

/**
 * Has all values of a class, and of classes that extend it, stored as what `adapter` makes of them.
 * Holds for the whole process, from the next call on.
 *
 * @example
 * ```ts
 * import { connect, registerAdapter } from "@aiosqlite/aiosqlite";
 *
 * class Point {
 *   x = 1;
 *   y = 2;
 * }
 * registerAdapter(Point, ({ x, y }) => `${x};${y}`);
 *
 * await using db = await connect(":memory:");
 * console.log(await db.executeFetchOne("SELECT ?", [new Point()])); // [ "1;2" ]
 * ```
 *
 * What an adapter throws is the `cause` of the `ProgrammingError` that the call rejects with.
 * Throws a `ProgrammingError` itself when it is not given a class and a function.
 * Source: `sqlite3.register_adapter`.
 */
export function registerAdapter<T>(type: Class<T>, adapter: Adapter<T>): void {
  const prototype: unknown = typeof type === "function" ? type.prototype : undefined;
  if (typeof prototype !== "object" || prototype === null) {
    throw new ProgrammingError("An adapter is registered for a class");
  }
  if (typeof adapter !== "function") throw new ProgrammingError("An adapter is a function");
  adapters.set(prototype, adapter);
}

/** What the class of a value, or else one it extends, has registered. */
export function adapterOf(value: object): Adapter<never> | undefined {
  if (adapters.size === 0) return undefined;
  for (let type = Object.getPrototypeOf(value); type; type = Object.getPrototypeOf(type)) {
    const adapter = adapters.get(type);
    if (adapter) return adapter;
  }
  return undefined;
}

/**
 * Has columns of a type read as what `converter` makes of their bytes, on connections that have
 * `detectTypes` set. Holds for the whole process; the case of the name does not matter. NULL, and
 * what is empty, is null without asking.
 *
 * @example
 * ```ts
 * import { connect, PARSE_DECLTYPES, registerConverter } from "@aiosqlite/aiosqlite";
 *
 * registerConverter("json", (bytes) => JSON.parse(new TextDecoder().decode(bytes)));
 *
 * await using db = await connect(":memory:", { detectTypes: PARSE_DECLTYPES });
 * await db.execute("CREATE TABLE t (data JSON)");
 * await db.execute("INSERT INTO t VALUES (?)", [JSON.stringify({ a: [1, 2] })]);
 * console.log(await db.executeFetchOne("SELECT data FROM t")); // [ { a: [ 1, 2 ] } ]
 * ```
 *
 * Throws a `ProgrammingError` when it is not given a name and a function.
 * Source: `sqlite3.register_converter`.
 */
export function registerConverter(name: string, converter: Converter): void {
  if (typeof name !== "string" || name === "") {
    throw new ProgrammingError("A converter is registered for the name of a type");
  }
  if (typeof converter !== "function") throw new ProgrammingError("A converter is a function");
  converters.set(foldCase(name), converter);
  converterVersion++;
}

/** The converter of a type, by its key. */
export function converterOf(key: string): Converter | undefined {
  return converters.get(key);
}

/** The keys of all types that have a converter, and a number that changes with them. */
export function converterKeys(): [version: number, keys: () => string[]] {
  return [converterVersion, () => [...converters.keys()]];
}
