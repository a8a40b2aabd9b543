/**
 * One open connection in its thread: what each operation does.
 *
 * @module
 */
import { SQLITE_LIMIT_LENGTH, SQLITE_LIMIT_SQL_LENGTH } from "../../ffi/constants.ts";
import { toInteger } from "../../ffi/datatypes.ts";
import { load } from "../../ffi/libsqlite3.ts";
import { Database } from "../../ffi/sqlite.ts";
import { Addresses } from "./addresses.ts";
import { bindParameters, ParameterReader } from "./bind.ts";
import { Backups } from "./backups.ts";
import { Blobs } from "./blobs.ts";
import type { Span } from "./codec.ts";
import { Control } from "./control.ts";
import { ThreadHooks } from "./hooks.ts";
import { ThreadSessions } from "./sessions.ts";
import { Questions } from "./questions.ts";
import { fetchRows, type Rows } from "./fetch.ts";
import { type Incoming, SharedReads } from "./reads.ts";
import type { Channel } from "./channel.ts";
import {
  ALL,
  type Executed,
  Failure,
  type Operation,
  type Operations,
  type PartOperations,
} from "./protocol.ts";
import { Scripts } from "./scripts.ts";
import { type Prepared, Results, type Run, Slots } from "./statements.ts";
import { Stops } from "./stops.ts";
import { Transactions } from "./transactions.ts";
import { Types } from "./types.ts";

/** Values larger than this are not kept bound once their statement has run. */
const LARGE_PARAMETERS = 1 << 16;
const NO_RESULT: Executed = [true, -1, null, null];

export class Session implements Omit<Operations, "open" | keyof PartOperations> {
  readonly database: Database;
  /** What the `open` operation replies. */
  readonly opened: ReturnType<Operations["open"]>;
  /** The lock that statements share which only read. */
  readonly reads: SharedReads;
  readonly #blobs: Blobs;
  readonly #backups: Backups;
  readonly #hooks: ThreadHooks;
  readonly #sessions: ThreadSessions;
  readonly #questions: Questions;
  readonly #parts: readonly object[];
  readonly #channel: Channel;
  readonly #stops: Stops;
  readonly #rows: Rows;
  readonly #slots: Slots;
  readonly #types: Types;
  readonly #scripts: Scripts;
  readonly #results: Results;
  readonly #transactions: Transactions;
  /** Results whose executeMany has failed: what was sent of it behind is not done. */
  readonly #failed = new Set<number>();
  /** `explain`, to be handed on. */
  readonly #explain = (error: unknown): unknown => this.explain(error);

  constructor(
    channel: Channel,
    incoming: Incoming,
    rows: Rows,
    ...request: Parameters<Operations["open"]>
  ) {
    const [filename, flags, trustedSchema, timeout, isolationLevel, autocommit, detect, path] =
      request;
    channel.takeHandle();
    const statements = new Addresses(channel.statements);
    this.database = Database.open(load(path), filename, flags, trustedSchema, statements);
    this.#channel = channel;
    this.#stops = new Stops(channel, this.database, timeout);
    this.reads = new SharedReads(this.database, incoming, this.#stops);
    this.#rows = rows;
    this.#blobs = new Blobs(this.database);
    this.#backups = new Backups(this.database, this.#stops);
    this.#questions = new Questions(channel, () => this.#stops.stopped);
    this.#hooks = new ThreadHooks(this.database, this.#questions, this.#stops);
    this.#scripts = new Scripts(this.database, this.#stops, this.#hooks);
    this.#results = new Results(this.reads);
    const changed = () => void this.#scripts.countChanges();
    this.#sessions = new ThreadSessions(this.database, this.#questions, this.#stops, changed);
    const control = new Control(this.database, () => this.#backups.any);
    this.#slots = new Slots(this.database);
    this.#types = new Types(detect);
    this.opened = [
      this.database.handle,
      this.database.limit(SQLITE_LIMIT_LENGTH, -1),
      this.database.limit(SQLITE_LIMIT_SQL_LENGTH, -1),
      this.#stops.looks,
    ];
    try {
      this.#transactions = new Transactions(
        this.database,
        this.#stops,
        this.#scripts,
        this.#results,
        isolationLevel,
        autocommit,
      );
    } catch (error) {
      this.database.close();
      throw error;
    }
    this.#parts = [
      this.#transactions,
      control,
      this.#blobs,
      this.#backups,
      this.#hooks,
      this.#sessions,
    ];
  }

  /** Rows changed since the opening. */
  get totalChanges(): number {
    return this.#scripts.totalChanges;
  }

  /** Who performs an operation. Throws when it counts on a transaction that is gone. */
  performer(operation: Operation): object {
    this.#transactions.admitOther(operation);
    return operation in this ? this : this.#parts.find((part) => operation in part)!;
  }

  /** Before each request: its number, and whether it may be cancelled. */
  start(call: number, cancellable: boolean): void {
    this.#questions.call = call;
    if (this.#stops.start(cancellable ? call : null)) this.#results.interrupt();
  }

  /** What a handler's throw says to the other half. */
  explain(error: unknown): unknown {
    return this.#transactions.explain(error);
  }

  execute(
    result: number,
    slot: number,
    sql: string | null,
    parameters: Span,
    rows: number,
  ): Executed {
    this.#slots.learn(slot, sql);
    this.#transactions.admit();
    const prepared = this.#slots.prepare(slot, sql);
    const { statement } = prepared;
    if (statement === null) return NO_RESULT;
    if (prepared.selects && !this.#hooks.any) this.reads.begin();
    else this.reads.release();
    const run: Run = {
      prepared,
      statement,
      source: statement,
      inTransaction: this.#transactions.explicit,
      changesBefore: this.totalChanges,
      failure: undefined,
    };
    prepared.busy = true;
    try {
      bindParameters(statement, new ParameterReader(this.database, parameters));
      if (prepared.isDml) this.#transactions.beginImplicitly();
      const ended = this.#fetch(run, prepared.changes ? ALL : rows, this.#types);
      const columns = prepared.describe(this.#types);
      if (!ended) this.#results.add(result, run);
      else this.#release(run.prepared, parameters.length);
      const changed = prepared.changes && this.#scripts.countChanges();
      return [
        ended,
        prepared.isDml ? this.database.changes() : -1,
        changed && prepared.inserts ? toInteger(this.database.lastInsertRowid()) : null,
        columns,
      ];
    } catch (error) {
      this.#release(run.prepared, parameters.length);
      this.#scripts.countChanges();
      throw error;
    }
  }

  executeMany(
    result: number,
    slot: number,
    sql: string | null,
    sets: Span,
    continued: boolean,
  ): Executed {
    this.#slots.learn(slot, sql);
    if (!continued) this.#failed.delete(result);
    else if (this.#failed.has(result)) return NO_RESULT;
    try {
      this.#transactions.admit();
      const changed = this.#executeSets(this.#slots.prepare(slot, sql), sets);
      return [true, changed, null, null];
    } catch (error) {
      this.#failed.add(result);
      throw error;
    }
  }

  #executeSets(prepared: Prepared, sets: Span): number {
    const { statement } = prepared;
    if (statement === null) return -1;
    prepared.busy = true;
    try {
      if (!prepared.isDml && !prepared.inserts) {
        throw new Failure("ProgrammingError", "executeMany() can only execute DML statements.");
      }
      // For each block, since another call may have committed behind the last one.
      if (prepared.isDml) this.#transactions.beginImplicitly();
      const reader = new ParameterReader(this.database, sets);
      let changed = 0;
      while (reader.at < reader.end) {
        bindParameters(statement, reader);
        while (statement.step()); // rows of a RETURNING are nobody's
        statement.reset();
        changed += this.database.changes();
      }
      return changed;
    } finally {
      this.#scripts.countChanges();
      this.#release(prepared, sets.length);
    }
  }

  executeScript(sql: string): null {
    this.#transactions.admit();
    this.#transactions.commitImplicitly();
    this.#scripts.run(sql);
    return null;
  }

  fetch(result: number, rows: number): boolean {
    const run = this.#results.get(result);
    if (!run) throw new Failure("ProgrammingError", "Cannot operate on a closed cursor.");
    try {
      this.#transactions.admit();
      if (run.failure) throw run.failure;
      const ended = this.#fetch(run, rows, null);
      if (ended) this.reset(result);
      return ended;
    } catch (error) {
      this.reset(result);
      throw error;
    }
  }

  reset(result: number): null {
    this.#failed.delete(result);
    this.#results.reset(result);
    return null;
  }

  isReadonly(sql: string): boolean {
    this.#transactions.admit();
    const prepared = this.#slots.prepare(-1, sql);
    prepared.release();
    return !prepared.changes;
  }

  setConverters(keys: readonly string[]): null {
    this.#types.set(keys);
    return null;
  }

  /** Ends what is open; SQLite rolls back what is not committed. */
  close(): null {
    this.#transactions.forget();
    try {
      // Clears the mark that an interrupt may have left: it would keep the WAL from being removed.
      this.#results.interrupt();
      this.#scripts.runUnasked("SELECT 1");
    } finally {
      this.#channel.giveUpHandle();
      this.#blobs.close();
      this.#sessions.close();
      this.#backups.close();
      this.database.close();
      this.#hooks.close();
    }
    return null;
  }

  #fetch(run: Run, rows: number, types: Types | null): boolean {
    return fetchRows(run, rows, types, this.#rows, this.#explain);
  }

  /** Done with a result. */
  #release(prepared: Prepared, parameterBytes: number): void {
    if (parameterBytes > LARGE_PARAMETERS) {
      prepared.statement?.reset();
      prepared.statement?.clearBindings();
      this.database.trim();
    }
    prepared.release();
  }
}
