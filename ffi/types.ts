/**
 * The one small interface that the three runtimes implement, and the C types it speaks of.
 *
 * An address is what the runtime receives and passes quickest: a `number` in Bun and with koffi,
 * else a `bigint` (a C `uintptr_t` declared as an unsigned 64-bit integer); no runtime's pointer type
 * leaves its file. So is a size, which is as wide. The null pointer is passed as `0n`, and received
 * as something falsy. Measured: 6-14 ns to receive one, against up to 50 ns for Deno's pointers.
 *
 * @module
 */

/** An address in C's memory. */
export type Address = bigint | number;

/** C types of the symbol table. `buffer` is a `Uint8Array` whose bytes C reads or writes. */
export type CType = "void" | "i32" | "i64" | "f64" | "address" | "size" | "buffer";

/** Parameter types and result type of one C function; `optional` when some builds lack it. */
export interface Signature {
  readonly parameters: readonly CType[];
  readonly result: CType;
  readonly optional?: true;
}

/** A symbol table: C function name to signature. */
export type Table = { readonly [symbol: string]: Signature };

/** The JavaScript type that a C type is passed as. */
export type Passed<T extends CType> = T extends "void" ? void
  : T extends "i32" | "f64" ? number
  : T extends "i64" ? bigint
  : T extends "address" | "size" ? Address
  : Uint8Array;

/**
 * The JavaScript type that a C type is returned as. An integer of 64 bits is exact, but which of the
 * two it is differs by runtime and by value: where a number will do it is the cheaper one.
 */
export type Returned<T extends CType> = T extends "i64" ? number | bigint : Passed<T>;

/** The JavaScript types of a parameter list. */
export type PassedAll<P extends readonly CType[]> = { -readonly [I in keyof P]: Passed<P[I]> };

/** The JavaScript function that calls a C function of signature `S`. */
export type Call<S extends Signature> = (
  ...parameters: PassedAll<S["parameters"]>
) => Returned<S["result"]>;

/** The functions of a table, those that the library lacks left undefined. */
export type Functions<T extends Table> = { readonly [K in keyof T]?: Call<T[K]> };

/** A JavaScript function as C sees it. */
export interface Callback {
  readonly address: Address;
  close(): void;
}

/** What a JavaScript runtime has to offer. */
export interface Runtime {
  /** Why this version of the runtime can't be used; undefined when it can. */
  readonly unsupported?: string | undefined;
  /** Loads a shared library and binds what it has of the table; throws when it can't be loaded. */
  dlopen<const T extends Table>(path: string, table: T): Functions<T>;
  /**
   * Makes a C function pointer that calls `body` on this thread, until it is closed, which it has
   * to be: in Deno a thread that ends with one open leaks file descriptors. The body must not
   * throw: what a throw does differs by runtime, up to an abort.
   */
  callback(signature: Signature, body: (...parameters: (number | bigint)[]) => number): Callback;
  /** An address, or a size, as it is passed quickest. */
  address(value: bigint | number): Address;
  /**
   * Bytes in C's memory, not a copy of them, where a call takes so long that this is worth while;
   * throws where it is not to be had.
   */
  view?(address: number, length: number): ArrayBuffer;
  /** An environment variable, or undefined when it is unset or may not be read. */
  env(name: string): string | undefined;
}
