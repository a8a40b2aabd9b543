/**
 * Hooks: functions that SQLite calls, and the values that it passes and takes.
 *
 * SQLite calls them in the middle of its own work. Nothing may be thrown through C, so each body is
 * one try; what goes wrong in there becomes the answer that stops the statement.
 *
 * @module
 */
import { SQLITE_BLOB, SQLITE_FLOAT, SQLITE_INTEGER, SQLITE_TEXT } from "./datatypes.ts";
import { type Extras, extrasOf } from "./extras.ts";
import { cString } from "./libsqlite3.ts";
import { SQLITE_OK } from "./result_codes.ts";
import { runtime } from "./runtime.ts";
import { NativeBuffer } from "./memory.ts";
import type { Database } from "./sqlite.ts";
import { cText, foldCase } from "./text.ts";
import type { Address, Callback, CType } from "./types.ts";

const SQLITE_UTF8 = 1;
const SQLITE_TRANSIENT = -1n;
const SQLITE_TRACE_STMT = 1;

/** A value as SQLite passes it; TEXT as its bytes. */
export type HookValue =
  | null
  | number
  | bigint
  | { readonly text: Uint8Array }
  | { readonly blob: Uint8Array };

/** What a function gives back: a value, or why there is none. */
export type HookResult = HookValue | { readonly error: string } | { readonly code: number };

/** How an aggregate is computed; `instance` numbers those that are being computed. */
export interface AggregateHooks {
  step(instance: number, values: HookValue[]): HookResult;
  final(instance: number): HookResult;
  value?(instance: number): HookResult;
  inverse?(instance: number, values: HookValue[]): HookResult;
}

const encoder = new TextEncoder();

export class Hooks {
  readonly #database: Database;
  readonly #extras: Required<Extras>;
  /** Functions that SQLite may call, by what they are. */
  readonly #callbacks = new Map<string, Callback[]>();
  /** What is on its way into SQLite; parameters may be waiting in the database's own. */
  readonly #results: NativeBuffer;
  #lastInstance = 0;

  /** Throws when the library lacks what this takes. */
  constructor(database: Database) {
    this.#database = database;
    this.#results = new NativeBuffer(database.library);
    this.#extras = extrasOf(database.library) as Required<Extras>;
    const missing = ["sqlite3_create_function_v2", "sqlite3_trace_v2", "sqlite3_expanded_sql"]
      .filter((name) => !this.#extras[name as keyof Extras]);
    if (missing.length > 0) throw new Error(`The SQLite library lacks ${missing.join(", ")}`);
  }

  /** Makes a function of SQL, or with null removes it. */
  createFunction(
    name: string,
    argCount: number,
    flags: number,
    call: ((values: HookValue[]) => HookResult) | null,
  ): void {
    const key = `function ${foldCase(name)} ${argCount}`;
    const made = call === null ? [] : [
      this.#make(["address", "i32", "address"], (context, count, values) => {
        this.#answer(context!, () => call(this.#values(count!, values!)));
      }),
    ];
    this.#register(key, made, (call = 0n) =>
      this.#extras.sqlite3_create_function_v2(
        this.#database.handle,
        cText(name),
        argCount,
        SQLITE_UTF8 | flags,
        0n,
        call,
        0n,
        0n,
        0n,
      ));
  }

  /** Makes an aggregate, which with `value` and `inverse` is a window function, or removes it. */
  createAggregate(name: string, argCount: number, hooks: AggregateHooks | null): void {
    const key = `function ${foldCase(name)} ${argCount}`;
    if (hooks === null) return this.createFunction(name, argCount, 0, null);
    const { step, value, inverse } = hooks;
    const made = [
      this.#make(["address", "i32", "address"], (context, count, values) => {
        const instance = this.#instance(context!, true);
        this.#check(context!, () => step(instance, this.#values(count!, values!)));
      }),
      this.#make(["address"], (context) => {
        const instance = this.#instance(context!, false);
        this.#answer(context!, () => instance === 0 ? null : hooks.final(instance));
      }),
    ];
    if (value && inverse) {
      made.push(
        this.#make(["address"], (context) => {
          const instance = this.#instance(context!, true);
          this.#answer(context!, () => value(instance));
        }),
        this.#make(["address", "i32", "address"], (context, count, values) => {
          const instance = this.#instance(context!, true);
          this.#check(context!, () => inverse(instance, this.#values(count!, values!)));
        }),
      );
    }
    this.#register(key, made, (step = 0n, final = 0n, value, inverse) => {
      const { handle } = this.#database;
      const function_ = [handle, cText(name), argCount, SQLITE_UTF8, 0n] as const;
      return value === undefined || inverse === undefined
        ? this.#extras.sqlite3_create_function_v2(...function_, 0n, step, final, 0n)
        : this.#extras.sqlite3_create_window_function(
          ...function_,
          step,
          final,
          value,
          inverse,
          0n,
        );
    });
  }

  /** Makes a collation, or with null removes it. `compare` must not throw. */
  createCollation(
    name: string,
    compare: ((one: Uint8Array, other: Uint8Array) => number) | null,
  ): void {
    const types = ["address", "i32", "address", "i32", "address"] as const;
    const made = compare === null ? [] : [
      this.#make(types, (_, length, one, otherLength, other) =>
        compare(
          this.#bytes(this.#address(one!), Number(length)),
          this.#bytes(this.#address(other!), Number(otherLength)),
        ), "i32"),
    ];
    this.#register(`collation ${foldCase(name)}`, made, (call = 0n) => {
      const { handle } = this.#database;
      return this.#extras.sqlite3_create_collation_v2(
        handle,
        cText(name),
        SQLITE_UTF8,
        0n,
        call,
        0n,
      );
    });
  }

  /** Has every action allowed or denied by a function that returns what SQLite is to do. */
  setAuthorizer(
    authorize: ((action: number, ...names: (string | null)[]) => number) | null,
  ): void {
    const types = ["address", "i32", "address", "address", "address", "address"] as const;
    const made = authorize === null ? [] : [
      this.#make(
        types,
        (_, action, ...names) =>
          authorize(Number(action), ...names.map((name) => this.#text(name))),
        "i32",
      ),
    ];
    this.#register("authorizer", made, (call = 0n) => {
      const { handle } = this.#database;
      const [before] = this.#callbacks.get("authorizer") ?? [];
      // Statements that are kept were compiled as the last one has said. To set one has SQLite
      // compile them again; to set none has not.
      if (!call && before) this.#extras.sqlite3_set_authorizer(handle, before.address, 0n);
      return this.#extras.sqlite3_set_authorizer(handle, call, 0n);
    });
  }

  /** Has each statement told when it starts, its parameters filled in. */
  setTrace(trace: ((sql: string) => void) | null): void {
    const made = trace === null ? [] : [
      this.#make(["i32", "address", "address", "address"], (_kind, _, statement) => {
        trace(this.#expanded(this.#address(statement!)));
        return 0;
      }, "i32"),
    ];
    this.#register("trace", made, (call = 0n) => {
      const mask = call ? SQLITE_TRACE_STMT : 0;
      return this.#extras.sqlite3_trace_v2(this.#database.handle, mask, call, 0n);
    });
  }

  /** Has each row told that is inserted, updated or deleted. */
  setUpdateHook(
    tell: ((operation: number, database: string, table: string, rowid: bigint) => void) | null,
  ): void {
    const types = ["address", "i32", "address", "address", "i64"] as const;
    const made = tell === null ? [] : [
      this.#make(types, (_, operation, database, table, rowid) => {
        tell(
          Number(operation),
          this.#text(database) ?? "",
          this.#text(table) ?? "",
          BigInt(rowid!),
        );
      }),
    ];
    this.#register("update", made, (call = 0n) => {
      this.#extras.sqlite3_update_hook(this.#database.handle, call, 0n);
      return SQLITE_OK;
    });
  }

  /** Has each COMMIT asked about; true makes it a ROLLBACK. */
  setCommitHook(ask: (() => boolean) | null): void {
    const made = ask === null ? [] : [this.#make(["address"], () => ask() ? 1 : 0, "i32")];
    this.#register("commit", made, (call = 0n) => {
      this.#extras.sqlite3_commit_hook(this.#database.handle, call, 0n);
      return SQLITE_OK;
    });
  }

  /** Has each ROLLBACK told. */
  setRollbackHook(tell: (() => void) | null): void {
    const made = tell === null ? [] : [this.#make(["address"], () => tell())];
    this.#register("rollback", made, (call = 0n) => {
      this.#extras.sqlite3_rollback_hook(this.#database.handle, call, 0n);
      return SQLITE_OK;
    });
  }

  /** Once the connection is closed. */
  close(): void {
    for (const callbacks of this.#callbacks.values()) callbacks.forEach((one) => one.close());
    this.#callbacks.clear();
    this.#results.free();
  }

  #make(
    parameters: readonly CType[],
    body: (...parameters: (number | bigint)[]) => number | void,
    result: "void" | "i32" = "void",
  ): Callback {
    return runtime.callback({ parameters, result }, (...given) => body(...given) ?? 0);
  }

  /** Has SQLite take new functions, and lets go of those in whose place they are. */
  #register(key: string, made: Callback[], register: (...addresses: Address[]) => number): void {
    const rc = register(...made.map(({ address }) => address));
    if (rc !== SQLITE_OK) {
      made.forEach((one) => one.close());
      throw this.#database.failure();
    }
    this.#callbacks.get(key)?.forEach((one) => one.close());
    this.#callbacks.set(key, made);
  }

  /** An address as it was passed to a function. */
  #address(passed: number | bigint): Address {
    return runtime.address(passed);
  }

  #text(passed: number | bigint | undefined): string | null {
    return passed ? cString(this.#database.library, this.#address(passed)) : null;
  }

  #bytes(address: Address, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (length > 0) this.#database.library.memcpy(bytes, address, runtime.address(length));
    return bytes;
  }

  #values(count: number | bigint, passed: number | bigint): HookValue[] {
    const addresses = new BigUint64Array(Number(count));
    const bytes = this.#bytes(this.#address(passed), addresses.byteLength);
    new Uint8Array(addresses.buffer).set(bytes);
    return Array.from(addresses, (address) => this.#value(runtime.address(address)));
  }

  #value(address: Address): HookValue {
    const extras = this.#extras;
    switch (extras.sqlite3_value_type(address)) {
      case SQLITE_INTEGER: {
        const value = extras.sqlite3_value_double(address);
        return Number.isSafeInteger(value) ? value : BigInt(extras.sqlite3_value_int64(address));
      }
      case SQLITE_FLOAT:
        return extras.sqlite3_value_double(address);
      case SQLITE_TEXT: { // the text first: its length may change with it
        const text = extras.sqlite3_value_text(address);
        return { text: this.#bytes(text, extras.sqlite3_value_bytes(address)) };
      }
      case SQLITE_BLOB: {
        const blob = extras.sqlite3_value_blob(address);
        return { blob: this.#bytes(blob, extras.sqlite3_value_bytes(address)) };
      }
      default:
        return null;
    }
  }

  /** The number of the aggregate that is being computed; 0 when none is and none is to be. */
  #instance(context: number | bigint, begin: boolean): number {
    const { library } = this.#database;
    const address = this.#extras.sqlite3_aggregate_context(this.#address(context), begin ? 8 : 0);
    if (!address) return 0;
    const number = new Float64Array(1);
    const bytes = new Uint8Array(number.buffer);
    library.memcpy(bytes, address, runtime.address(8));
    if (number[0] === 0 && begin) {
      number[0] = ++this.#lastInstance;
      library.memmove(address, bytes, runtime.address(8));
    }
    return number[0]!;
  }

  /** Gives SQLite what `work` returns. */
  #answer(context: number | bigint, work: () => HookResult): void {
    const address = this.#address(context);
    try {
      this.#result(address, work());
    } catch (error) {
      this.#result(address, { error: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Gives SQLite what went wrong, if anything did. */
  #check(context: number | bigint, work: () => HookResult): void {
    this.#answer(context, () => {
      const result = work();
      return typeof result === "object" && result !== null &&
          ("error" in result || "code" in result)
        ? result
        : null;
    });
  }

  #result(context: Address, result: HookResult): void {
    const extras = this.#extras;
    if (result === null) extras.sqlite3_result_null(context);
    else if (typeof result === "bigint") extras.sqlite3_result_int64(context, result);
    else if (typeof result === "number") {
      if (Number.isSafeInteger(result) && !Object.is(result, -0)) {
        extras.sqlite3_result_int64(context, BigInt(result));
      } else extras.sqlite3_result_double(context, result);
    } else if ("text" in result) {
      const { text } = result;
      const address = this.#results.hold(text);
      extras.sqlite3_result_text(context, address, text.length, SQLITE_TRANSIENT);
    } else if ("blob" in result) {
      const { blob } = result;
      const address = this.#results.hold(blob);
      extras.sqlite3_result_blob(context, address, blob.length, SQLITE_TRANSIENT);
    } else if ("code" in result) extras.sqlite3_result_error_code(context, result.code);
    else {
      const message = encoder.encode(result.error);
      extras.sqlite3_result_error(context, cText(result.error), message.length);
    }
  }

  #expanded(statement: Address): string {
    const { library } = this.#database;
    const address = this.#extras.sqlite3_expanded_sql(statement);
    // Longer than SQLite's limit: as it was written.
    if (!address) return cString(library, this.#extras.sqlite3_sql(statement));
    try {
      return cString(library, address);
    } finally {
      library.sqlite3_free(address);
    }
  }
}
