/**
 * The worker's prepared statements: those that are kept by slot, and the results still being read.
 *
 * @module
 */
import type { Database } from "../../ffi/sqlite.ts";
import type { Statement } from "../../ffi/statement.ts";
import { type ColumnList, Failure } from "./protocol.ts";
import type { SharedReads } from "./reads.ts";
import type { Columns } from "./rows.ts";
import { interruption } from "./stops.ts";
import { ConvertedColumns, type Types } from "./types.ts";
import { firstWord, skipBlank, verb } from "./sql.ts";

const encoder = new TextEncoder();

/** A statement and what is known about it. */
export class Prepared {
  /** Null when the text holds no statement, only blanks and comments. */
  readonly statement: Statement | null;
  /** What `sqlite3` calls DML, by the first word: it is what begins a transaction by itself. */
  readonly isDml: boolean;
  /** The rows have to be read to the end at once, since they come with changes. */
  readonly changes: boolean;
  readonly inserts: boolean;
  /** It is a SELECT, or VALUES, that changes nothing. */
  readonly selects: boolean;
  /** Stays compiled when its result has been read. */
  kept: boolean;
  /** A result of it is being read. */
  busy = false;
  #columns: ColumnList | null = null;
  #source: Columns | null = null;
  /** The version of the types that these hold for. */
  #types = 0;
  #described = false;
  #reprepared = 0;

  constructor(database: Database, sql: Uint8Array, kept: boolean) {
    const [statement, end] = database.prepare(sql, kept);
    if (skipBlank(sql, end) < sql.length) {
      statement?.finalize();
      throw new Failure("ProgrammingError", "You can only execute one statement at a time.");
    }
    this.statement = statement;
    this.isDml = ["INSERT", "UPDATE", "DELETE", "REPLACE"].includes(firstWord(sql));
    this.changes = statement !== null && !statement.readonly;
    this.inserts = this.changes && ["INSERT", "REPLACE"].includes(verb(sql));
    this.selects = statement?.readonly === true && ["SELECT", "VALUES"].includes(verb(sql));
    this.kept = kept;
  }

  /** The columns when the other side does not know them yet: at first and after a change. */
  describe(types: Types): ColumnList | null {
    if (this.statement === null) return null;
    this.#update(types);
    if (this.#described) return null;
    this.#described = true;
    return this.#columns ??= types.describe(this.statement);
  }

  /** What rows are read from. */
  source(types: Types): Columns {
    const statement = this.statement!;
    if (!types.any) return statement;
    this.#update(types);
    if (this.#source) return this.#source;
    const columns = this.#columns ??= types.describe(statement);
    const any = columns.some(([, , key]) => key !== null);
    return this.#source = any ? new ConvertedColumns(statement, columns) : statement;
  }

  #update({ version }: Types): void {
    if (this.#types === version) return;
    this.#types = version;
    this.#forget();
  }

  #forget(): void {
    this.#described = false;
    this.#columns = null;
    this.#source = null;
  }

  /** Takes note if the step before had SQLite compile the statement again. */
  refresh(): void {
    const reprepared = this.statement!.reprepared();
    if (reprepared === this.#reprepared) return;
    this.#reprepared = reprepared;
    this.#forget();
    this.statement!.refreshColumnCount();
  }

  /** Done with a result: ready for the next, or gone. */
  release(): void {
    this.busy = false;
    if (this.kept) this.statement?.reset();
    else this.statement?.finalize();
  }
}

/** A result that has not been read to its end. */
export interface Run {
  readonly prepared: Prepared;
  readonly statement: Statement;
  /** What its rows are read from; once the first has been stepped to. */
  source: Columns;
  /** It was opened in a `transaction()`. */
  readonly inTransaction: boolean;
  /** Rows changed on the connection before it. */
  readonly changesBefore: number;
  /** What stopped it after rows that had to be handed out first. */
  failure: unknown;
}

/** Results that have not been read to their ends, by number. */
export class Results {
  readonly #reads: SharedReads;
  readonly #runs = new Map<number, Run>();

  constructor(reads: SharedReads) {
    this.#reads = reads;
  }

  add(result: number, run: Run): void {
    this.#runs.set(result, run);
  }

  get(result: number): Run | undefined {
    return this.#runs.get(result);
  }

  /** Forgets the rest of one. */
  reset(result: number): void {
    const run = this.#runs.get(result);
    this.#runs.delete(result);
    run?.prepared.release();
  }

  /** Forgets the rest of those for which that holds. */
  resetAll(which: (result: number, run: Run) => boolean): void {
    for (const [result, run] of this.#runs) if (which(result, run)) this.reset(result);
  }

  /**
   * SQLite interrupts all statements that have begun, and goes on interrupting until all are reset.
   * So results that are being read end here, or the next call would be hit.
   */
  interrupt(): void {
    this.#reads.release();
    for (const run of this.#runs.values()) {
      run.failure ??= interruption();
      run.statement.reset();
    }
  }
}

/** Statements by slot. */
export class Slots {
  readonly #database: Database;
  readonly #texts: Uint8Array[] = [];
  readonly #kept: (Prepared | undefined)[] = [];

  constructor(database: Database) {
    this.#database = database;
  }

  /** Takes note of a slot's new text. What is kept there goes once it is not being read. */
  learn(slot: number, sql: string | null): void {
    if (slot < 0 || sql === null) return;
    const kept = this.#kept[slot];
    if (kept?.busy) kept.kept = false;
    else kept?.statement?.finalize();
    this.#kept[slot] = undefined;
    this.#texts[slot] = encoder.encode(sql);
  }

  /**
   * The statement of a slot, compiled when it is not; of a text that is not kept for slot -1. While
   * a result of the kept statement is being read there is a second one of the same text.
   */
  prepare(slot: number, sql: string | null): Prepared {
    if (slot < 0) return new Prepared(this.#database, encoder.encode(sql!), false);
    const kept = this.#kept[slot];
    if (kept && !kept.busy) return kept;
    const prepared = new Prepared(this.#database, this.#texts[slot]!, !kept);
    // Only what could be compiled is kept: a failure leaves the text, for the next try.
    if (!kept) this.#kept[slot] = prepared;
    return prepared;
  }
}
