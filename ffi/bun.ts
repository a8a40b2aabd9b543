/**
 * Bun: `bun:ffi`.
 *
 * @module
 */
import { createRequire } from "node:module";
import process from "node:process";
import type { Callback, CType, Functions, Runtime, Signature, Table } from "./types.ts";

/** The part of `bun:ffi` used here. */
interface BunFfi {
  dlopen(path: string, symbols: Record<string, Definition>): { symbols: Record<string, unknown> };
  JSCallback: new (body: (...parameters: never[]) => unknown, definition: Definition) => {
    readonly ptr: number | bigint;
    close(): void;
  };
}
interface Definition {
  args: readonly string[];
  returns: string;
}

// By name and on demand: this file is also imported, unused, by the other runtimes, and bundlers
// stop at a literal `bun:` scheme.
const BUN_FFI = "bun:ffi";
const bunFfi = (): BunFfi => createRequire(import.meta.url)(BUN_FFI) as BunFfi;

const NATIVE = {
  void: "void",
  i32: "i32",
  i64: "i64",
  f64: "f64",
  address: "ptr",
  size: "ptr",
  buffer: "buffer",
} as const satisfies Record<CType, string>;

function native(signature: Signature): Definition {
  return {
    args: signature.parameters.map((type) => NATIVE[type]),
    returns: signature.result === "i64" ? "i64_fast" : NATIVE[signature.result],
  };
}

export const bun: Runtime = {
  dlopen<T extends Table>(path: string, table: T): Functions<T> {
    const ffi = bunFfi();
    const symbols = Object.entries(table).map(([name, signature]) =>
      [name, native(signature)] as const
    );
    try {
      return ffi.dlopen(path, Object.fromEntries(symbols)).symbols as Functions<T>;
    } catch {
      // One missing symbol fails them all: they are bound one by one below.
    }
    const found: Record<string, unknown> = {};
    let failure: unknown;
    for (const [name, definition] of symbols) {
      try {
        found[name] = ffi.dlopen(path, { [name]: definition }).symbols[name];
      } catch (error) {
        failure = error; // the caller knows which symbols it can do without
      }
    }
    if (Object.keys(found).length === 0) throw failure;
    return found as Functions<T>;
  },
  callback(signature, body): Callback {
    const callback = new (bunFfi().JSCallback)(body, native(signature));
    return { address: callback.ptr, close: () => callback.close() };
  },
  address: Number, // 15 ns a call, against 20 ns for a bigint
  env(name): string | undefined {
    return process.env[name];
  },
};
