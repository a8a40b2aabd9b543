/**
 * What concerns a connection as a whole: limits, configuration, its content as bytes, extensions,
 * checkpoints.
 *
 * @module
 */
import {
  SQLITE_DBCONFIG_ENABLE_FKEY,
  SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
  SQLITE_DBCONFIG_TRUSTED_SCHEMA,
  SQLITE_LIMIT_LENGTH,
  SQLITE_LIMIT_SQL_LENGTH,
  SQLITE_LIMIT_WORKER_THREADS,
} from "../ffi/constants.ts";
import { Blob } from "./blob.ts";
import { checker, checkSignal, INT_MAX, oneOf, text } from "./checks.ts";
import type { Core } from "./core.ts";
import { checkDumpOptions, dump, type DumpOptions } from "./dump.ts";
import { DataError, NotSupportedError, ProgrammingError } from "./errors.ts";
import { Executor } from "./executor.ts";
import type { CallOptions } from "./options.ts";
import { asRequest, type Request } from "./request.ts";
import { typeName } from "./values.ts";

/** How thorough a checkpoint is: https://sqlite.org/c3ref/wal_checkpoint_v2.html */
const CHECKPOINT_MODES = { PASSIVE: 0, FULL: 1, RESTART: 2, TRUNCATE: 3 } as const;

/** What a checkpoint has found and done. */
export interface Checkpoint {
  /** Frames in the write-ahead log; -1 when the database is not in WAL mode. */
  readonly log: number;
  /** Frames of it that are in the database now; -1 likewise. */
  readonly checkpointed: number;
}

/** Options that name one of the connection's databases. */
export interface NameOptions {
  /** `"main"` (default), `"temp"`, or the name given with ATTACH. */
  name?: string | undefined;
}

/** Options of `blobOpen`. */
export interface BlobOptions extends NameOptions {
  /** It is not to be written. Default false. */
  readonly?: boolean | undefined;
}

/** Options of `checkpoint`. */
export interface CheckpointOptions extends NameOptions, CallOptions {
  /** How thorough it is. Default `"PASSIVE"`. */
  mode?: keyof typeof CHECKPOINT_MODES | undefined;
}

const name: [check: (value: unknown) => string, fallback: string] = [text("name"), "main"];
const checkNameOptions = checker<{ name: string }>({ name });
const checkBlobOptions = checker<{ name: string; readonly: boolean }>({
  name,
  readonly: [oneOf("readonly", true, false), false],
});
const checkCheckpointOptions = checker<
  { name: string; mode: keyof typeof CHECKPOINT_MODES; signal: AbortSignal | undefined }
>({
  name,
  mode: [oneOf("mode", "PASSIVE", "FULL", "RESTART", "TRUNCATE"), "PASSIVE"],
  signal: [checkSignal, undefined],
});
const checkExtensionOptions = checker<{ entryPoint: string | null }>({
  entryPoint: [text("entryPoint"), null],
});

export abstract class Control<R> extends Executor<R> {
  readonly #core: Core;

  constructor(core: Core) {
    super(core, core.scope);
    this.#core = core;
  }

  /**
   * The value of one of the connection's limits, by `SQLITE_LIMIT_LENGTH` and the like. Rejects
   * with a `ProgrammingError` for a category that does not exist. Source: `sqlite3`'s `getlimit`.
   */
  async getLimit(category: number): Promise<number> {
    return await this.setLimit(category, -1);
  }

  /**
   * Sets a limit and gives the value it had; one above the upper bound of the library is cut down to
   * that, a negative one changes nothing. Source: `sqlite3`'s `setlimit`.
   */
  async setLimit(category: number, limit: number): Promise<number> {
    if (!Number.isInteger(category) || category < 0 || category > SQLITE_LIMIT_WORKER_THREADS) {
      throw new ProgrammingError("'category' is out of bounds");
    }
    if (!Number.isInteger(limit) || limit < ~INT_MAX || limit > INT_MAX) {
      throw new ProgrammingError("A limit is an integer of 32 bits");
    }
    const before = await this.#core.perform("limit", [category, limit]);
    if (limit >= 0 && (category === SQLITE_LIMIT_LENGTH || category === SQLITE_LIMIT_SQL_LENGTH)) {
      // What is checked before it is sent has to know it as well.
      const now = await this.#core.perform("limit", [category, -1]);
      const key = category === SQLITE_LIMIT_LENGTH ? "length" : "sqlLength";
      this.#core.limits = { ...this.#core.limits, [key]: now };
    }
    return before;
  }

  /**
   * Whether one of the connection's options is on, by `SQLITE_DBCONFIG_ENABLE_FKEY` and the like.
   * Rejects with a `ProgrammingError` for one that does not exist. Source: `sqlite3`'s `getconfig`.
   */
  async getConfig(op: number): Promise<boolean> {
    return await this.#core.perform("config", [checkConfig(op), null]);
  }

  /**
   * Turns an option on or off, and gives the value it has then. `fts3_tokenizer` can't be turned on:
   * by it plain SQL can crash the process. Source: `sqlite3`'s `setconfig`.
   */
  async setConfig(op: number, on: boolean = true): Promise<boolean> {
    if (typeof on !== "boolean") throw new ProgrammingError("An option is true or false");
    if (checkConfig(op) === SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER && on) {
      throw new NotSupportedError("fts3_tokenizer() stays off: it lets SQL crash the process");
    }
    return await this.#core.perform("config", [op, on]);
  }

  /**
   * The content of a database as the bytes of a file. Rejects with an `OperationalError` when there
   * is none of that name. Source: `sqlite3`'s `serialize`, https://sqlite.org/c3ref/serialize.html
   */
  async serialize(options: NameOptions = {}): Promise<Uint8Array> {
    return await this.#core.perform("serialize", [checkNameOptions(options).name]);
  }

  /**
   * Puts the bytes of a database's file, which are copied now, in place of a database, in memory.
   * Whether they are one shows with the first statement. Rejects with an `OperationalError` of code
   * `SQLITE_BUSY` while it is in use: a result or a blob is being read, a transaction is open.
   * Source: `sqlite3`'s `deserialize`.
   */
  async deserialize(bytes: Uint8Array, options: NameOptions = {}): Promise<void> {
    if (!(bytes instanceof Uint8Array)) {
      throw new ProgrammingError(`deserialize() takes a Uint8Array, got ${typeName(bytes)}`);
    }
    const { name } = checkNameOptions(options);
    await this.#core.perform("deserialize", [bytes.slice(), name]);
  }

  /**
   * The statements that make the database again, with its rows, as `for await` asks for them. Those
   * of one dump that is being read are consistent if nothing is written meanwhile: read it within a
   * `transaction()` for that. Source: `sqlite3`'s `iterdump`, whose output it is.
   */
  iterDump(options: DumpOptions = {}): AsyncIterableIterator<string> {
    return dump(this.#core, checkDumpOptions(options).filter);
  }

  /**
   * Opens the value in a column of the row with this rowid, to be read and, unless `readonly`,
   * written in parts. Rejects with an `OperationalError` when there is no such value.
   * Source: `sqlite3`'s `blobopen`.
   */
  blobOpen(
    table: string,
    column: string,
    rowid: number | bigint,
    options: BlobOptions = {},
  ): Request<Blob> {
    return asRequest(this.#blobOpen(table, column, rowid, options));
  }

  async #blobOpen(
    table: string,
    column: string,
    rowid: number | bigint,
    options: BlobOptions,
  ): Promise<Blob> {
    const { name, readonly } = checkBlobOptions(options);
    const value = [text("table")(table), text("column")(column)] as const;
    const row = Number.isSafeInteger(rowid) ? BigInt(rowid) : rowid;
    if (typeof row !== "bigint" || BigInt.asIntN(64, row) !== row) {
      throw new DataError("A rowid is an integer of 64 bits");
    }
    const [id, length] = await this.#core.perform("openBlob", [name, ...value, row, readonly]);
    return new Blob(this.#core, id, length);
  }

  /**
   * Allows or forbids `loadExtension`; the SQL function stays forbidden in any case. Rejects with a
   * `NotSupportedError` when the library can't, as that of macOS.
   */
  async enableLoadExtension(enabled: boolean): Promise<void> {
    await this.#core.perform("enableLoadExtension", [enabled === true]);
  }

  /**
   * Loads an extension from a shared library. `entryPoint` is the function to call, by default the
   * one that SQLite makes of the file's name. Only load what you trust: it runs in your process.
   */
  async loadExtension(
    path: string,
    options: { entryPoint?: string | undefined } = {},
  ): Promise<void> {
    const { entryPoint } = checkExtensionOptions(options);
    await this.#core.perform("loadExtension", [text("path")(path), entryPoint]);
  }

  /**
   * Moves the write-ahead log into the database. `mode` is `"PASSIVE"` (default: as much as is
   * possible without waiting), `"FULL"`, `"RESTART"` or `"TRUNCATE"`; those reject with an
   * `OperationalError` of code `SQLITE_BUSY` when others are in the way for too long.
   * Source: https://sqlite.org/c3ref/wal_checkpoint_v2.html
   */
  async checkpoint(options: CheckpointOptions = {}): Promise<Checkpoint> {
    const { name, mode, signal } = checkCheckpointOptions(options);
    const request: [string, number] = [name, CHECKPOINT_MODES[mode]];
    const [log, checkpointed] = await this.#core.perform("checkpoint", request, { signal });
    return { log, checkpointed };
  }
}

function checkConfig(op: unknown): number {
  // The options in between are all of the kind that is on or off.
  const last = SQLITE_DBCONFIG_TRUSTED_SCHEMA;
  if (
    Number.isInteger(op) && (op as number) >= SQLITE_DBCONFIG_ENABLE_FKEY && op as number <= last
  ) {
    return op as number;
  }
  throw new ProgrammingError(`Unknown config 'op': ${String(op)}`);
}
