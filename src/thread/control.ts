/**
 * One connection in its thread: limits, configuration, content as bytes, extensions, checkpoints.
 *
 * @module
 */
import {
  SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
  SQLITE_DBCONFIG_TRIGGER_EQP,
} from "../../ffi/constants.ts";
import { type Extras, extrasOf } from "../../ffi/extras.ts";
import { cString } from "../../ffi/libsqlite3.ts";
import { SQLITE_BUSY, SQLITE_NOMEM, SQLITE_OK } from "../../ffi/result_codes.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
import type { Database } from "../../ffi/sqlite.ts";
import { runtime } from "../../ffi/runtime.ts";
import { cText } from "../../ffi/text.ts";
import { type ControlOperations, Failure } from "./protocol.ts";

const SQLITE_TXN_NONE = 0;
const SQLITE_DESERIALIZE_FREEONCLOSE = 1;
const SQLITE_DESERIALIZE_RESIZEABLE = 2;

/** A function of the library that a build may lack. */
export function required<K extends keyof Extras>(
  database: Database,
  name: K,
): NonNullable<Extras[K]> {
  const found = extrasOf(database.library)[name];
  if (!found) throw new Failure("NotSupportedError", `This SQLite library has no ${name}()`);
  return found;
}

export class Control implements ControlOperations {
  readonly #database: Database;
  readonly #copying: () => boolean;

  /** `copying` tells whether a backup of the connection is going on. */
  constructor(database: Database, copying: () => boolean) {
    this.#database = database;
    this.#copying = copying;
  }

  limit(category: number, value: number): number {
    return this.#database.limit(category, value);
  }

  config(op: number, on: boolean | null): boolean {
    return this.#database.dbConfig(op, on);
  }

  serialize(name: string): Uint8Array {
    const { library, handle } = this.#database;
    const size = new BigInt64Array([-1n]);
    const data = required(this.#database, "sqlite3_serialize")(
      handle,
      cText(name),
      new Uint8Array(size.buffer),
      0,
    );
    if (!data) {
      if (size[0]! > 0n) throw new SqliteFailure(SQLITE_NOMEM, "out of memory", -1);
      if (size[0] === 0n) return new Uint8Array(); // nothing has been written to it yet
      throw new Failure("OperationalError", `unable to serialize '${name}'`);
    }
    try {
      const bytes = new Uint8Array(Number(size[0]));
      if (bytes.length > 0) library.memcpy(bytes, data, size[0]!);
      return bytes;
    } finally {
      library.sqlite3_free(data);
    }
  }

  deserialize(bytes: Uint8Array, name: string): null {
    const { library, handle } = this.#database;
    const deserialize = required(this.#database, "sqlite3_deserialize");
    const cName = cText(name);
    const state = required(this.#database, "sqlite3_txn_state")(handle, cName);
    // SQLite does not look, and would crash: what reads it has pointers into it.
    if (state > SQLITE_TXN_NONE || this.#copying()) {
      throw new SqliteFailure(SQLITE_BUSY, `unable to deserialize '${name}': it is in use`, -1);
    }
    if (state < SQLITE_TXN_NONE || name.toLowerCase() === "temp") {
      throw new Failure("OperationalError", `unable to deserialize '${name}'`);
    }
    const length = BigInt(bytes.length);
    const data = library.sqlite3_malloc64(length || 1n);
    if (!data) throw new SqliteFailure(SQLITE_NOMEM, "out of memory", -1);
    if (bytes.length > 0) library.memmove(data, bytes, length);
    // SQLite frees the memory in any case.
    const flags = SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE;
    const rc = deserialize(handle, cName, data, length, length, flags);
    if (rc !== SQLITE_OK) throw this.#database.failure();
    // Statements would go on with the old schema if the new one has the same version. Changing an
    // option, whichever, has all compiled again.
    const on = this.#database.dbConfig(SQLITE_DBCONFIG_TRIGGER_EQP, null);
    this.#database.dbConfig(SQLITE_DBCONFIG_TRIGGER_EQP, !on);
    this.#database.dbConfig(SQLITE_DBCONFIG_TRIGGER_EQP, on);
    return null;
  }

  enableLoadExtension(enabled: boolean): null {
    if (!this.#database.library.sqlite3_enable_load_extension) {
      throw new Failure("NotSupportedError", "This SQLite library loads no extensions");
    }
    // Allows the C function alone, never the one of SQL.
    this.#database.dbConfig(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, enabled);
    return null;
  }

  loadExtension(path: string, entryPoint: string | null): null {
    const { library, handle } = this.#database;
    const load = required(this.#database, "sqlite3_load_extension");
    const out = new BigUint64Array(1);
    const entry = entryPoint === null ? 0n : this.#database.hold(cText(entryPoint));
    const rc = load(handle, cText(path), entry, new Uint8Array(out.buffer));
    if (rc === SQLITE_OK) return null;
    const address = runtime.address(out[0]!);
    const message = address ? cString(library, address) : "the extension can't be loaded";
    library.sqlite3_free(address);
    throw new SqliteFailure(rc, message, -1);
  }

  checkpoint(name: string, mode: number): readonly [log: number, checkpointed: number] {
    const counts = new Int32Array(2);
    const bytes = new Uint8Array(counts.buffer);
    const rc = required(this.#database, "sqlite3_wal_checkpoint_v2")(
      this.#database.handle,
      cText(name),
      mode,
      bytes.subarray(0, 4),
      bytes.subarray(4),
    );
    this.#database.check(rc);
    return [counts[0]!, counts[1]!];
  }
}
