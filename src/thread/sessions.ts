/**
 * One connection's recorded changes in its thread.
 *
 * @module
 */
import { Sessions } from "../../ffi/sessions.ts";
import { SQLITE_ABORT, SQLITE_INTERRUPT } from "../../ffi/result_codes.ts";
import type { HookResult } from "../../ffi/hooks.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
import type { Database } from "../../ffi/sqlite.ts";
import type { Address } from "../../ffi/types.ts";
import { checkChanges } from "./changes.ts";
import { Failure, type SessionOperations } from "./protocol.ts";
import type { Questions } from "./questions.ts";
import { interruption, type Stops } from "./stops.ts";

const SQLITE_CHANGESET_ABORT = 2;

export class ThreadSessions implements SessionOperations {
  readonly #database: Database;
  readonly #questions: Questions;
  readonly #stops: Stops;
  readonly #changed: () => void;
  readonly #open = new Map<number, Address>();
  #made: Sessions | undefined;
  #last = 0;

  /** `changed` is called when rows may have been changed. */
  constructor(database: Database, questions: Questions, stops: Stops, changed: () => void) {
    this.#database = database;
    this.#questions = questions;
    this.#stops = stops;
    this.#changed = changed;
  }

  createSession(name: string, table: string | null): number {
    this.#open.set(++this.#last, this.#sessions.create(name, table));
    return this.#last;
  }

  sessionChanges(session: number, patch: boolean): Uint8Array {
    const address = this.#open.get(session);
    if (address !== undefined) return this.#sessions.changes(address, patch);
    throw new Failure("ProgrammingError", "Cannot operate on a closed session.");
  }

  closeSession(session: number): null {
    const address = this.#open.get(session);
    if (address === undefined) return null;
    this.#open.delete(session);
    this.#sessions.delete(address);
    return null;
  }

  applyChangeset(changes: Uint8Array, filter: number | null, conflict: number | null): null {
    this.#stops.checkCallbacks();
    checkChanges(changes);
    let failed: SqliteFailure | undefined;
    const take = (hook: number, table: string): boolean => {
      if (failed) return false;
      const result = this.#questions.ask(hook, [table]);
      if (typeof result === "number") return result !== 0;
      failed = isInterrupt(result)
        ? interruption()
        : new SqliteFailure(SQLITE_ABORT, "filter raised exception", -1);
      return false;
    };
    const answer = (hook: number, values: (number | string)[]): number => {
      const result = this.#questions.ask(hook, values);
      return typeof result === "number" ? result : SQLITE_CHANGESET_ABORT;
    };
    const apply = () =>
      this.#sessions.apply(
        changes,
        filter === null ? null : (table) => take(filter, table),
        (...values) => conflict === null ? SQLITE_CHANGESET_ABORT : answer(conflict, values),
      );
    try {
      this.#applyAll(apply, filter !== null, () => failed);
    } finally {
      this.#changed();
    }
    return null;
  }

  #applyAll(apply: () => void, filters: boolean, failed: () => SqliteFailure | undefined): void {
    if (!filters) apply();
    else {
      // A filter has no way to make SQLite stop, so what is made nevertheless is undone.
      this.#sessions.undoing(() => {
        apply();
        const failure = failed();
        if (failure) throw failure;
      });
    }
  }

  /** Before the connection is closed. */
  close(): void {
    for (const session of [...this.#open.keys()]) this.closeSession(session);
  }

  get #sessions(): Sessions {
    try {
      return this.#made ??= new Sessions(this.#database);
    } catch (error) {
      throw new Failure("NotSupportedError", (error as Error).message);
    }
  }
}

function isInterrupt(result: HookResult): boolean {
  return typeof result === "object" && result !== null && "code" in result &&
    result.code === SQLITE_INTERRUPT;
}
