/**
 * One connection's transactions in its thread: those that statements begin by themselves, as
 * `isolationLevel` and `autocommit` say, and those of `transaction()`.
 *
 * @module
 */
import { SQLITE_ABORT_ROLLBACK, SQLITE_INTERRUPT } from "../../ffi/result_codes.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
import type { Database } from "../../ffi/sqlite.ts";
import {
  type Autocommit,
  Failure,
  type IsolationLevel,
  type Operation,
  type TransactionOperations,
} from "./protocol.ts";
import type { Scripts } from "./scripts.ts";
import type { Results } from "./statements.ts";
import type { Stops } from "./stops.ts";

/** What changes the database other than by a statement. */
const WRITING: ReadonlySet<Operation> = new Set([
  "openBlob",
  "writeBlob",
  "deserialize",
  "applyChangeset",
]);

export class Transactions implements TransactionOperations {
  readonly #database: Database;
  readonly #stops: Stops;
  readonly #scripts: Scripts;
  readonly #results: Results;
  #isolationLevel: IsolationLevel;
  #autocommit: Autocommit;
  /** The one that `begin` began, if it is still on, or that SQLite has rolled back. */
  #explicit: "none" | "open" | "lost" = "none";
  /** What a setter failed with: nobody waits for a setter, so the next call says it. */
  #owed: unknown;

  constructor(
    database: Database,
    stops: Stops,
    scripts: Scripts,
    results: Results,
    isolationLevel: IsolationLevel,
    autocommit: Autocommit,
  ) {
    this.#database = database;
    this.#stops = stops;
    this.#scripts = scripts;
    this.#results = results;
    this.#isolationLevel = isolationLevel;
    this.#autocommit = autocommit;
    if (autocommit === false) scripts.run("BEGIN");
  }

  /** Whether the transaction is on that `begin` began, or has not been ended since it was lost. */
  get explicit(): boolean {
    return this.#explicit !== "none";
  }

  /**
   * Before anything is done for a call: throws when it has been cancelled, what a setter failed
   * with, or that the transaction is gone that it counts on.
   */
  admit(): void {
    this.#stops.check();
    const owed = this.#owed;
    this.#owed = undefined;
    if (owed !== undefined) throw owed;
    if (this.#explicit === "lost") throw lost();
  }

  /** Likewise for what is not a statement: throws only when it would write, and stay. */
  admitOther(operation: Operation): void {
    if (this.#explicit === "lost" && WRITING.has(operation)) throw lost();
  }

  /** What an error means, which may have ended the transaction. */
  explain(error: unknown): unknown {
    if (this.#explicit === "open" && this.#database.autocommit()) this.#explicit = "lost";
    return this.#stops.explain(error);
  }

  /** Before a statement that changes rows. */
  beginImplicitly(): void {
    const begins = this.#autocommit === "legacy" && this.#isolationLevel !== null;
    if (begins && this.#database.autocommit()) this.#scripts.run(`BEGIN ${this.#isolationLevel}`);
  }

  /** Before a script. */
  commitImplicitly(): void {
    const commits = this.#autocommit === "legacy" && this.#explicit === "none";
    if (commits && !this.#database.autocommit()) this.#scripts.run("COMMIT");
  }

  /** The handle is going to be closed: it can't be asked any more what has become of them. */
  forget(): void {
    this.#explicit = "none";
  }

  commit(): null {
    this.admit();
    return this.#end("COMMIT");
  }

  rollback(): null {
    this.admit();
    return this.#end("ROLLBACK");
  }

  begin(mode: string, timeout: number): boolean {
    this.admit();
    if (!this.#database.autocommit()) return false;
    this.#stops.within(timeout, () => this.#scripts.run(`BEGIN ${mode}`));
    this.#explicit = "open";
    return true;
  }

  end(command: "COMMIT" | "ROLLBACK"): null {
    this.#stops.check();
    // Results that were opened in it end with it.
    this.#results.resetAll((_, run) => run.inTransaction);
    if (command === "COMMIT" && this.#explicit === "lost") throw lost();
    if (command === "ROLLBACK") this.#runSurely(command);
    else if (!this.#database.autocommit()) this.#scripts.run(command);
    this.#explicit = "none";
    return null;
  }

  control(sql: string): null {
    this.admit();
    this.#scripts.run(sql);
    return null;
  }

  undo(sql: string): null {
    if (this.#explicit === "lost") return null;
    try {
      this.#runSurely(sql);
    } catch (error) {
      // What was to be undone may not be committed with the rest.
      this.#runSurely("ROLLBACK");
      throw error;
    }
    return null;
  }

  tidy(since: number): null {
    this.#results.resetAll((result) => result >= since);
    this.#runSurely("ROLLBACK");
    this.#explicit = "none";
    return null;
  }

  setIsolationLevel(level: IsolationLevel): null {
    this.#isolationLevel = level;
    if (level === null && this.#explicit === "none") this.#owing(() => this.#end("COMMIT"));
    return null;
  }

  setAutocommit(autocommit: Autocommit): Autocommit {
    this.#owing(() => {
      const open = !this.#database.autocommit();
      if (autocommit === true && open) this.#scripts.run("COMMIT");
      if (autocommit === false && !open) this.#scripts.run("BEGIN");
      this.#autocommit = autocommit;
    });
    return this.#autocommit;
  }

  #end(command: "COMMIT" | "ROLLBACK"): null {
    if (this.#autocommit === true) return null;
    if (!this.#database.autocommit()) this.#scripts.run(command);
    if (this.#autocommit === false) this.#scripts.run("BEGIN");
    return null;
  }

  /** Rolls back, if anything is open, even if that is interrupted: what comes next counts on it. */
  #runSurely(sql: string): void {
    while (!this.#database.autocommit()) {
      try {
        return this.#scripts.runUnasked(sql);
      } catch (error) {
        const interrupted = error instanceof SqliteFailure && error.errno === SQLITE_INTERRUPT;
        if (!interrupted) throw error;
        this.#results.interrupt(); // SQLite forgets it once nothing is being read
      }
    }
  }

  /** For a setter, whose failure the next call has to say. */
  #owing(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#owed = this.explain(error);
    }
  }
}

function lost(): Failure {
  const message = "SQLite has rolled the transaction back";
  return new Failure("OperationalError", message, SQLITE_ABORT_ROLLBACK);
}
