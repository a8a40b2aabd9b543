/**
 * One open connection in its thread: what each operation does.
 *
 * @module
 */
import { SQLITE_LIMIT_LENGTH, SQLITE_LIMIT_SQL_LENGTH } from "../../ffi/constants.ts";
import { toInteger } from "../../ffi/datatypes.ts";
import { load } from "../../ffi/libsqlite3.ts";
import { SQLITE_ABORT_ROLLBACK, SQLITE_INTERRUPT } from "../../ffi/result_codes.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
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
  type Autocommit,
  type Executed,
  Failure,
  type IsolationLevel,
  type Operation,
  type Operations,
  type PartOperations,
} from "./protocol.ts";
import { type Prepared, type Run, Slots } from "./statements.ts";
import { interruption, Stops } from "./stops.ts";
import { Types } from "./types.ts";

/** Values larger than this are not kept bound once their statement has run. */
const LARGE_PARAMETERS = 1 << 16;
const encoder = new TextEncoder();
/** What changes the database other than by a statement. */
const WRITING: ReadonlySet<Operation> = new Set([
  "openBlob",
  "writeBlob",
  "deserialize",
  "applyChangeset",
]);
const NO_RESULT: Executed = [true, -1, null, null];

export class Session implements Omit<Operations, "open" | keyof PartOperations> {
  readonly database: Database;
  /** What the `open` operation replies. */
  readonly opened: ReturnType<Operations["open"]>;
  /** Rows changed since the opening. */
  totalChanges = 0;
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
  readonly #runs = new Map<number, Run>();
  /** Results whose executeMany has failed: what was sent of it behind is not done. */
  readonly #failed = new Set<number>();
  #isolationLevel: IsolationLevel;
  #autocommit: Autocommit;
  /** The transaction that `begin` began, if it is still on, or that SQLite has rolled back. */
  #transaction: "none" | "open" | "lost" = "none";
  /** What a setter failed with: nobody waits for a setter, so the next call says it. */
  #owed: unknown;
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
    const changed = () => void this.#countChanges();
    this.#sessions = new ThreadSessions(this.database, this.#questions, this.#stops, changed);
    const control = new Control(this.database, () => this.#backups.any);
    this.#parts = [control, this.#blobs, this.#backups, this.#hooks, this.#sessions];
    this.#slots = new Slots(this.database);
    this.#types = new Types(detect);
    this.#isolationLevel = isolationLevel;
    this.#autocommit = autocommit;
    this.opened = [
      this.database.handle,
      this.database.limit(SQLITE_LIMIT_LENGTH, -1),
      this.database.limit(SQLITE_LIMIT_SQL_LENGTH, -1),
      this.#stops.looks,
    ];
    try {
      if (autocommit === false) this.#run("BEGIN");
    } catch (error) {
      this.database.close();
      throw error;
    }
  }

  /** Who performs an operation. Throws when it counts on a transaction that is gone. */
  performer(operation: Operation): object {
    if (this.#transaction === "lost" && WRITING.has(operation)) throw lost();
    return operation in this ? this : this.#parts.find((part) => operation in part)!;
  }

  /** Before each request: its number, and whether it may be cancelled. */
  start(call: number, cancellable: boolean): void {
    this.#questions.call = call;
    if (this.#stops.start(cancellable ? call : null)) this.#interruptRuns();
  }

  /**
   * Before anything is done for a call: throws when it has been cancelled, what a setter failed
   * with, or that the transaction is gone that it counts on.
   */
  #admit(): void {
    this.#stops.check();
    const owed = this.#owed;
    this.#owed = undefined;
    if (owed !== undefined) throw owed;
    if (this.#transaction === "lost") throw lost();
  }

  /** What a handler's throw says to the other half. */
  explain(error: unknown): unknown {
    if (this.#transaction === "open" && this.database.autocommit()) this.#transaction = "lost";
    return this.#stops.explain(error);
  }

  execute(
    result: number,
    slot: number,
    sql: string | null,
    parameters: Span,
    rows: number,
  ): Executed {
    this.#slots.learn(slot, sql);
    this.#admit();
    const prepared = this.#slots.prepare(slot, sql);
    const { statement } = prepared;
    if (statement === null) return NO_RESULT;
    if (prepared.selects && !this.#hooks.any) this.reads.begin();
    else this.reads.release();
    const inTransaction = this.#transaction !== "none";
    const run: Run = {
      prepared,
      statement,
      source: statement,
      inTransaction,
      changesBefore: this.totalChanges,
      failure: undefined,
    };
    prepared.busy = true;
    try {
      bindParameters(statement, new ParameterReader(this.database, parameters));
      this.#beginImplicitly(prepared);
      const ended = this.#fetch(run, prepared.changes ? ALL : rows, this.#types);
      const columns = prepared.describe(this.#types);
      if (!ended) this.#runs.set(result, run);
      else this.#release(run.prepared, parameters.length);
      const changed = prepared.changes && this.#countChanges();
      return [
        ended,
        prepared.isDml ? this.database.changes() : -1,
        changed && prepared.inserts ? toInteger(this.database.lastInsertRowid()) : null,
        columns,
      ];
    } catch (error) {
      this.#release(run.prepared, parameters.length);
      this.#countChanges();
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
      this.#admit();
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
      this.#beginImplicitly(prepared); // another call may have committed since the last block
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
      this.#countChanges();
      this.#release(prepared, sets.length);
    }
  }

  executeScript(sql: string): null {
    this.#admit();
    const commits = this.#autocommit === "legacy" && this.#transaction === "none";
    if (commits && !this.database.autocommit()) this.#run("COMMIT");
    this.#run(sql);
    return null;
  }

  fetch(result: number, rows: number): boolean {
    const run = this.#runs.get(result);
    if (!run) throw new Failure("ProgrammingError", "Cannot operate on a closed cursor.");
    try {
      this.#admit();
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
    const run = this.#runs.get(result);
    if (run) {
      this.#runs.delete(result);
      this.#release(run.prepared, 0);
    }
    return null;
  }

  commit(): null {
    this.#admit();
    return this.#end("COMMIT");
  }

  rollback(): null {
    this.#admit();
    return this.#end("ROLLBACK");
  }

  begin(mode: string, timeout: number): boolean {
    this.#admit();
    if (!this.database.autocommit()) return false;
    this.#stops.within(timeout, () => this.#run(`BEGIN ${mode}`));
    this.#transaction = "open";
    return true;
  }

  end(command: "COMMIT" | "ROLLBACK"): null {
    this.#stops.check();
    // Results that were opened in it end with it.
    for (const [result, run] of this.#runs) if (run.inTransaction) this.reset(result);
    if (command === "COMMIT" && this.#transaction === "lost") throw lost();
    if (command === "ROLLBACK") this.#runSurely(command);
    else if (!this.database.autocommit()) this.#run(command);
    this.#transaction = "none";
    return null;
  }

  undo(sql: string): null {
    if (this.#transaction === "lost") return null;
    try {
      this.#runSurely(sql);
    } catch (error) {
      // What was to be undone may not be committed with the rest.
      this.#runSurely("ROLLBACK");
      throw error;
    }
    return null;
  }

  /** Rolls back, if anything is open, even if that is interrupted: what comes next counts on it. */
  #runSurely(sql: string): void {
    while (!this.database.autocommit()) {
      try {
        return this.#unasked(sql);
      } catch (error) {
        const interrupted = error instanceof SqliteFailure && error.errno === SQLITE_INTERRUPT;
        if (!interrupted) throw error;
        this.#interruptRuns(); // SQLite forgets it once nothing is being read
      }
    }
  }

  control(sql: string): null {
    this.#admit();
    this.#run(sql);
    return null;
  }

  isReadonly(sql: string): boolean {
    this.#admit();
    const prepared = this.#slots.prepare(-1, sql);
    prepared.release();
    return !prepared.changes;
  }

  tidy(since: number): null {
    for (const result of [...this.#runs.keys()]) if (result >= since) this.reset(result);
    this.#runSurely("ROLLBACK");
    this.#transaction = "none";
    return null;
  }

  setConverters(keys: readonly string[]): null {
    this.#types.set(keys);
    return null;
  }

  setIsolationLevel(level: IsolationLevel): null {
    this.#isolationLevel = level;
    if (level === null && this.#transaction === "none") this.#owing(() => this.#end("COMMIT"));
    return null;
  }

  setAutocommit(autocommit: Autocommit): Autocommit {
    this.#owing(() => {
      const open = !this.database.autocommit();
      if (autocommit === true && open) this.#run("COMMIT");
      if (autocommit === false && !open) this.#run("BEGIN");
      this.#autocommit = autocommit;
    });
    return this.#autocommit;
  }

  /** Ends what is open; SQLite rolls back what is not committed. */
  close(): null {
    this.#transaction = "none";
    try {
      // Clears the mark that an interrupt may have left: it would keep the WAL from being removed.
      this.#interruptRuns();
      this.#unasked("SELECT 1");
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

  #end(command: "COMMIT" | "ROLLBACK"): null {
    if (this.#autocommit === true) return null;
    if (!this.database.autocommit()) this.#run(command);
    if (this.#autocommit === false) this.#run("BEGIN");
    return null;
  }

  /** For a setter, whose failure the next call has to say. */
  #owing(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#owed = this.explain(error);
    }
  }

  /**
   * SQLite interrupts all statements that have begun, and goes on interrupting until all are reset.
   * So results that are being read end here, or the next call would be hit.
   */
  #interruptRuns(): void {
    this.reads.release();
    for (const run of this.#runs.values()) {
      run.failure ??= interruption();
      run.statement.reset();
    }
  }

  /** Runs statements to their ends, whatever rows they have. */
  #run(sql: string): void {
    for (const statement of this.database.statements(encoder.encode(sql))) {
      try {
        this.#stops.check();
        while (statement.step());
      } finally {
        statement.finalize();
        if (!statement.readonly) this.#countChanges();
      }
    }
  }

  /** Likewise, whatever authorizers and progress handlers would say. */
  #unasked(sql: string): void {
    this.#hooks.silently(() => this.#stops.unwatched(() => this.#run(sql)));
  }

  #fetch(run: Run, rows: number, types: Types | null): boolean {
    return fetchRows(run, rows, types, this.#rows, this.#explain);
  }

  #beginImplicitly(prepared: Prepared): void {
    if (
      prepared.isDml && this.#autocommit === "legacy" && this.#isolationLevel !== null &&
      this.database.autocommit()
    ) this.#run(`BEGIN ${this.#isolationLevel}`);
  }

  /** Brings the total of changes up to date, and tells whether it has grown. */
  #countChanges(): boolean {
    const before = this.totalChanges;
    this.totalChanges = this.database.totalChanges();
    return this.totalChanges !== before;
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

function lost(): Failure {
  const message = "SQLite has rolled the transaction back";
  return new Failure("OperationalError", message, SQLITE_ABORT_ROLLBACK);
}
