/**
 * One connection's recorded changes in its thread.
 *
 * @module
 */
import { Sessions } from "../../ffi/sessions.ts";
import type { Database } from "../../ffi/sqlite.ts";
import type { Address } from "../../ffi/types.ts";
import { Failure, type SessionOperations } from "./protocol.ts";
import type { Questions } from "./questions.ts";

const SQLITE_CHANGESET_ABORT = 2;

export class ThreadSessions implements SessionOperations {
  readonly #database: Database;
  readonly #questions: Questions;
  readonly #open = new Map<number, Address>();
  #made: Sessions | undefined;
  #last = 0;

  constructor(database: Database, questions: Questions) {
    this.#database = database;
    this.#questions = questions;
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
    const number = (hook: number, values: (number | string)[], otherwise: number) => {
      const result = this.#questions.ask(hook, values);
      return typeof result === "number" ? result : otherwise;
    };
    this.#sessions.apply(
      changes,
      filter === null ? null : (table) => number(filter, [table], 0) !== 0,
      (kind, table, operation) =>
        conflict === null
          ? SQLITE_CHANGESET_ABORT
          : number(conflict, [kind, table, operation], SQLITE_CHANGESET_ABORT),
    );
    return null;
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
