/**
 * Deno: `Deno.dlopen`.
 *
 * Addresses are declared `u64`, never `pointer`: the `Deno.UnsafePointer*` classes need a blanket
 * `--allow-ffi`, plain calls work under `--allow-ffi=/path/of/the/library`
 * (https://github.com/denoland/deno/issues/15511).
 *
 * @module
 */
import type { Callback, CType, Functions, Runtime, Signature, Table } from "./types.ts";

const NATIVE = {
  void: "void",
  i32: "i32",
  i64: "i64",
  f64: "f64",
  address: "u64",
  size: "u64",
  buffer: "buffer",
} as const satisfies Record<CType, Deno.NativeResultType>;

function native(signature: Signature): Deno.ForeignFunction {
  return {
    parameters: signature.parameters.map((type) => NATIVE[type] as Deno.NativeType),
    result: NATIVE[signature.result],
    optional: true,
  };
}

/** Before 2.7.6 a thread's `Atomics.notify` does not reach the event loop, so nothing ever ends. */
function unsupported(): string | undefined {
  const [major, minor, patch] = Deno.version.deno.split(".").map((part) => parseInt(part));
  const number = major! * 1e6 + minor! * 1e3 + patch!;
  return number < 2_007_006
    ? `Deno ${Deno.version.deno} is too old: 2.7.6 or newer is needed`
    : undefined;
}

export const deno: Runtime = {
  get unsupported(): string | undefined {
    return unsupported();
  },
  dlopen<T extends Table>(path: string, table: T): Functions<T> {
    const symbols = Object.fromEntries(
      Object.entries(table).map(([name, signature]) => [name, native(signature)]),
    );
    // A symbol that the library lacks is null here.
    return Deno.dlopen(path, symbols).symbols as unknown as Functions<T>;
  },
  callback(signature, body): Callback {
    const { parameters, result } = native(signature);
    const callback = new Deno.UnsafeCallback(
      { parameters, result } as Deno.UnsafeCallbackDefinition,
      body as never,
    );
    return {
      address: Deno.UnsafePointer.value(callback.pointer),
      close: () => callback.close(),
    };
  },
  address: BigInt,
  env(name): string | undefined {
    // Asked first, since reading without the permission would prompt the user.
    const { state } = Deno.permissions.querySync({ name: "env", variable: name });
    return state === "granted" ? Deno.env.get(name) : undefined;
  },
};
