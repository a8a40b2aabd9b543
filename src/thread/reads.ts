/**
 * Reading at one time what was asked for at one time.
 *
 * To take the file's lock for a statement and give it back takes longer than a small statement
 * itself. So while further calls wait that were made before the lock was taken, it is kept for
 * them: by a statement of our own that is not read to its end.
 *
 * Every statement still sees a state that the database had between its call and its answer, and no
 * lock is held once nothing is asked for any more.
 *
 * @module
 */
import type { Database } from "../../ffi/sqlite.ts";
import type { Statement } from "../../ffi/statement.ts";
import type { Stops } from "./stops.ts";

/** How long the lock is kept at most, in milliseconds: others may be waiting to write. */
const LONGEST = 1;
const ANYTHING = new TextEncoder().encode("SELECT 1 FROM sqlite_master");

/** Calls that have come in. */
export interface Waiting {
  /** Whether another one has come in behind the one that is handled. */
  readonly hasNext: boolean;
  /** How often the pipe has been read: those that came in with the same reading were made before. */
  readonly fills: number;
}

export class SharedReads {
  readonly #database: Database;
  readonly #waiting: Waiting;
  readonly #stops: Stops;
  #statement: Statement | null = null;
  #held = false;
  #since = 0;
  /** The reading of the pipe that it is for, or for which it could not be taken. */
  #fill = -1;
  #refused = -1;

  constructor(database: Database, waiting: Waiting, stops: Stops) {
    this.#database = database;
    this.#waiting = waiting;
    this.#stops = stops;
  }

  /** Before a statement that only reads. */
  begin(): void {
    const { fills, hasNext } = this.#waiting;
    if (this.#held && (fills !== this.#fill || performance.now() - this.#since > LONGEST)) {
      this.release();
    }
    if (this.#held || !hasNext || fills === this.#refused || !this.#database.autocommit()) return;
    this.#fill = fills;
    this.#since = performance.now();
    try {
      // Should another connection be in the way, the statement itself waits for it.
      this.#stops.within(0, () => {
        this.#statement ??= this.#database.prepare(ANYTHING, 0, true)[0];
        this.#held = this.#statement!.step();
      });
    } catch {
      this.#statement?.reset();
      this.#refused = fills; // what is in the way may be so for a while
    }
  }

  /** Behind a statement. */
  end(): void {
    if (this.#held && !this.#waiting.hasNext) this.release();
  }

  /** Gives the lock back. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#statement!.reset();
  }
}
