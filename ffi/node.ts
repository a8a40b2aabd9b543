/**
 * Node: the optional package `koffi`, else the built-in `node:ffi` (on by default since 26.9).
 *
 * koffi comes first although a call takes 55-60 ns there and may take 5 with node:ffi: where a thread
 * is ended while SQLite calls a function back (by whoever ends the worker that uses a connection),
 * node:ffi aborts the whole process.
 *
 * @module
 */
import { createRequire } from "node:module";
import process from "node:process";
import type { CType, Functions, Runtime, Signature, Table } from "./types.ts";

/** The part of `node:ffi` used here. */
interface NodeFfi {
  dlopen(path: string, symbols: Record<string, never>): {
    lib: {
      getFunction(name: string, signature: NodeSignature): unknown;
      registerCallback(signature: NodeSignature, body: unknown): bigint;
      unregisterCallback(address: bigint): void;
    };
  };
  toArrayBuffer(address: bigint, length: number, copy: boolean): ArrayBuffer;
}
interface NodeSignature {
  arguments: string[];
  return: string;
}

/** The part of `koffi` used here. */
interface Koffi {
  load(path: string): { func(name: string, result: string, parameters: string[]): Foreign };
  proto(result: string, parameters: string[]): unknown;
  pointer(type: unknown): unknown;
  register(body: unknown, type: unknown): unknown;
  address(pointer: unknown): bigint | number;
  unregister(pointer: unknown): void;
  view(address: number, length: number): ArrayBuffer;
}
type Backend = Pick<Runtime, "dlopen" | "callback" | "address" | "view">;
type Foreign = (...parameters: unknown[]) => bigint | number;

const NATIVE = {
  void: "void",
  i32: "int32",
  i64: "int64",
  f64: "double",
  address: "uint64",
  size: "uint64",
  buffer: "buffer",
} as const satisfies Record<CType, string>;

function nodeFfi(ffi: NodeFfi): Backend {
  const type = (type: CType) => type === "f64" ? "float64" : NATIVE[type];
  const native = (signature: Signature): NodeSignature => ({
    arguments: signature.parameters.map(type),
    return: type(signature.result),
  });
  let library: ReturnType<NodeFfi["dlopen"]>["lib"];
  return {
    dlopen: (path, table) => {
      library = ffi.dlopen(path, {}).lib;
      return bind(table, (name, signature) => {
        const quick = QUICK[name];
        if (!quick) return library.getFunction(name, native(signature));
        return quick(library.getFunction(name, wide(native(signature))) as Wide);
      });
    },
    callback: (signature, body) => {
      const owner = library; // by the time it is closed another library may have been loaded
      const address = owner.registerCallback(native(signature), body);
      return { address, close: () => owner.unregisterCallback(address) };
    },
    address: BigInt,
    view: (address, length) => ffi.toArrayBuffer(BigInt(address), length, false),
  };
}

/** A C function whose parameters all are addresses and doubles, and two or more. */
type Wide = (...parameters: unknown[]) => never;

/**
 * The same function, so called. In the ABIs of all processors of 64 bits that Node runs on, a C
 * function finds a small integer in the word that holds a large one, and takes no notice of a
 * parameter too many.
 */
function wide({ arguments: types, return: result }: NodeSignature): NodeSignature {
  const all = types.map((type) => type === "float64" ? type : "pointer");
  return { arguments: all.length === 1 ? [...all, "pointer"] : all, return: result };
}

const WORDS: readonly bigint[] = Array.from({ length: 256 }, (_, i) => BigInt(i));

/** An integer of 32 bits as a word of 64. */
function word(value: number): bigint {
  return WORDS[value] ?? BigInt.asUintN(64, BigInt(value));
}

/** An integer of 64 bits as one without a sign. */
function unsigned(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

/**
 * What is called for each row, value or statement. node:ffi itself hands out functions that check
 * and convert their parameters, all with the same code, so that V8 can't compile a call into its
 * caller: 150 ns each. Wide functions are called without, in 5 ns; and each of these has code of its
 * own, which calls no other.
 */
const QUICK: Record<string, (wide: Wide) => unknown> = {
  sqlite3_step: (f) => (statement: bigint) => f(statement, 0n),
  sqlite3_reset: (f) => (statement: bigint) => f(statement, 0n),
  sqlite3_stmt_status: (f) => (statement: bigint, op: number, reset: number) =>
    f(statement, word(op), word(reset)),
  sqlite3_get_autocommit: (f) => (db: bigint) => f(db, 0n),
  sqlite3_changes64: (f) => (db: bigint) => f(db, 0n),
  sqlite3_total_changes64: (f) => (db: bigint) => f(db, 0n),
  sqlite3_last_insert_rowid: (f) => (db: bigint) => f(db, 0n),
  sqlite3_bind_null: (f) => (statement: bigint, index: number) => f(statement, word(index)),
  sqlite3_bind_int: (f) => (statement: bigint, index: number, value: number) =>
    f(statement, word(index), word(value)),
  sqlite3_bind_int64: (f) => (statement: bigint, index: number, value: bigint) =>
    f(statement, word(index), unsigned(value)),
  sqlite3_bind_double: (f) => (statement: bigint, index: number, value: number) =>
    f(statement, word(index), value),
  sqlite3_bind_text:
    (f) => (statement: bigint, index: number, text: bigint, length: number, free: bigint) =>
      f(statement, word(index), text, word(length), unsigned(free)),
  sqlite3_bind_blob:
    (f) => (statement: bigint, index: number, blob: bigint, length: number, free: bigint) =>
      f(statement, word(index), blob, word(length), unsigned(free)),
  sqlite3_column_value: (f) => (statement: bigint, column: number) => f(statement, word(column)),
  sqlite3_column_type: (f) => (statement: bigint, column: number) => f(statement, word(column)),
  sqlite3_column_double: (f) => (statement: bigint, column: number) => f(statement, word(column)),
  sqlite3_column_int64: (f) => (statement: bigint, column: number) => f(statement, word(column)),
  sqlite3_column_text: (f) => (statement: bigint, column: number) => f(statement, word(column)),
  sqlite3_column_blob: (f) => (statement: bigint, column: number) => f(statement, word(column)),
  sqlite3_column_bytes: (f) => (statement: bigint, column: number) => f(statement, word(column)),
  sqlite3_str_append: (f) => (text: bigint, address: bigint, length: number) =>
    f(text, address, word(length)),
};

function koffiFfi(koffi: Koffi): Backend {
  const type = (type: CType) => type === "buffer" ? "void *" : NATIVE[type];
  const types = (signature: Signature): [string, string[]] => [
    type(signature.result),
    signature.parameters.map(type),
  ];
  return {
    dlopen: (path, table) => {
      const library = koffi.load(path);
      return bind(table, (name, signature) => library.func(name, ...types(signature)));
    },
    callback: (signature, body) => {
      const prototype = koffi.proto(...types(signature));
      const registered = koffi.register(body, koffi.pointer(prototype));
      return {
        address: koffi.address(registered),
        close: () => koffi.unregister(registered),
      };
    },
    address: Number,
    view: (address, length) => koffi.view(address, length),
  };
}

/** Binds each symbol of the table, leaving out those that the library lacks. */
function bind<T extends Table>(
  table: T,
  one: (name: string, signature: Signature) => unknown,
): Functions<T> {
  const found: Record<string, unknown> = {};
  for (const [name, signature] of Object.entries(table)) {
    try {
      found[name] = one(name, signature);
    } catch {
      // Stays undefined: the caller knows which symbols it can do without.
    }
  }
  return found as Functions<T>;
}

/** Node warns in every thread that its FFI is experimental; our documentation says it once. */
function quietly<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

function pick(): Backend {
  const name = "koffi"; // by name, so that other runtimes never fetch it
  let missing;
  try {
    return koffiFfi(createRequire(import.meta.url)(name) as Koffi);
  } catch (error) {
    missing = error;
  }
  const builtin = quietly(() => process.getBuiltinModule?.("node:ffi"));
  if (builtin) return nodeFfi(builtin as unknown as NodeFfi);
  throw new Error(
    `Node ${process.versions.node} has no node:ffi (built in since 26.9) and the package koffi ` +
      "can't be loaded: run npm install koffi",
    { cause: missing },
  );
}

let picked: Backend | undefined;

export const node: Runtime = {
  dlopen: (path, table) => (picked ??= pick()).dlopen(path, table),
  callback: (signature, body) => (picked ??= pick()).callback(signature, body),
  address: (value) => picked!.address(value),
  view: (address, length) => picked!.view!(address, length),
  env: (name) => process.env[name],
};
