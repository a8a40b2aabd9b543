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
import { clock } from "./clock.ts";
import type { Stops } from "./stops.ts";

/** How long the lock is kept at most, in milliseconds: others may be waiting to write. */
const LONGEST = 1;
const ANYTHING = new TextEncoder().encode("SELECT 1 FROM sqlite_master");

/** Calls that have come in. */
export interface Incoming {
  /**
   * Whether the next one, which may read, came in together with that which is handled, or before it,
   * and somebody waits for its answer. (Nobody waits for the end of a cursor: it would go on holding
   * the lock once all is answered.)
   */
  readonly asksNext: boolean;
}

export class SharedReads {
  readonly #database: Database;
  readonly #incoming: Incoming;
  readonly #stops: Stops;
  #statement: Statement | null = null;
  #held = false;
  #since = 0;
  /** Another connection is in the way. */
  #refused = false;

  constructor(database: Database, incoming: Incoming, stops: Stops) {
    this.#database = database;
    this.#incoming = incoming;
    this.#stops = stops;
  }

  /** Before a statement that only reads. */
  begin(): void {
    if (this.#held && clock.now() - this.#since > LONGEST) this.release();
    if (this.#held || this.#refused || !this.#incoming.asksNext) return;
    if (!this.#database.autocommit()) return; // a transaction holds its locks anyway
    this.#since = clock.now();
    try {
      // The statement itself waits for who is in the way.
      this.#stops.within(0, () => {
        this.#statement ??= this.#database.prepare(ANYTHING, true)[0];
        this.#held = this.#statement!.step();
      });
    } catch {
      this.#statement?.reset();
      this.#refused = true;
    }
  }

  /** Behind each call: what comes in after it may have been called later. */
  end(): void {
    if (this.#incoming.asksNext) return;
    this.release();
    this.#refused = false;
  }

  /** Gives the lock back. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#statement!.reset();
  }
}
