/**
 * What stops a call before its end: an interrupt, its cancellation, a lock it has waited for too
 * long.
 *
 * @module
 */
import { SQLITE_BUSY, SQLITE_INTERRUPT } from "../../ffi/result_codes.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
import type { Database } from "../../ffi/sqlite.ts";
import type { Channel } from "./channel.ts";
import { clock } from "./clock.ts";
import { Failure } from "./protocol.ts";

/**
 * Milliseconds between tries for a lock, give or take a half. SQLite's own go up to 100: who has
 * waited longest then tries least often, and comes last.
 */
const DELAYS = [1, 2, 5, 10, 15, 20];
/** How many instructions of SQLite's are run before each look whether the call is cancelled: 50 us. */
const LOOK_EVERY = 4000;

export class Stops {
  /** Whether a call can be stopped while it runs; else SQLite itself waits for locks. */
  readonly looks: boolean;
  readonly #channel: Channel;
  readonly #database: Database;
  #timeout: number;
  #interruptsSeen: number;
  /** The call that runs, if it may be cancelled. */
  #call: number | null = null;
  /** What else may stop it, asked every so many instructions, and how many were run since. */
  #watch: (() => boolean) | null = null;
  #watchEvery = 0;
  #watched = 0;

  /** `timeout` is how long to wait for locks, in milliseconds. */
  constructor(channel: Channel, database: Database, timeout: number) {
    this.#channel = channel;
    this.#database = database;
    this.#timeout = timeout;
    this.#interruptsSeen = channel.interrupts();
    this.looks = database.setHandlers(this.#waiter(), () => this.#look());
    if (!this.looks) database.setBusyTimeout(timeout);
  }

  /**
   * From here on an interrupt is meant for this call. Returns whether there was one for the last
   * call, whose mark may still be set.
   */
  start(call: number | null): boolean {
    const interrupts = this.#channel.interrupts();
    const interrupted = interrupts !== this.#interruptsSeen;
    this.#interruptsSeen = interrupts;
    const before = this.#lookEvery();
    this.#call = call;
    this.#watched = 0;
    if (this.#lookEvery() !== before) this.#database.progressHandler(this.#lookEvery());
    return interrupted;
  }

  /** Throws where SQLite can't call a function: Deno permits none with `--allow-ffi=/a/path`. */
  checkCallbacks(): void {
    if (this.looks) return;
    throw new Failure("NotSupportedError", "Callbacks from C are not permitted here");
  }

  /** Has `stop` asked every so many instructions, from the next call on; null for no more. */
  watch(stop: (() => boolean) | null, instructions: number): void {
    if (stop) this.checkCallbacks();
    this.#watch = stop;
    this.#watchEvery = instructions;
    if (this.looks) this.#database.progressHandler(this.#lookEvery());
  }

  /** During `work`, nothing is asked but whether the call is cancelled. */
  unwatched(work: () => void): void {
    const watch = this.#watch;
    this.#watch = null;
    try {
      work();
    } finally {
      this.#watch = watch;
    }
  }

  /** Instructions between two looks; 0 for none. */
  #lookEvery(): number {
    if (!this.#watch) return this.#call === null ? 0 : LOOK_EVERY;
    return this.#call === null ? this.#watchEvery : Math.min(this.#watchEvery, LOOK_EVERY);
  }

  #look(): boolean {
    if (this.#cancelled()) return true;
    if (!this.#watch) return false;
    this.#watched += this.#lookEvery();
    if (this.#watched < this.#watchEvery) return false;
    this.#watched = 0;
    return this.#watch();
  }

  /** Whether the call is to stop: what it waits for does not matter any more. */
  get stopped(): boolean {
    return this.#interrupted() || this.#cancelled() || this.#channel.abandoned;
  }

  /** Throws when the call has been cancelled. */
  check(): void {
    if (this.#cancelled()) throw cancellation();
  }

  /** What an error means. */
  explain(error: unknown): unknown {
    if (!(error instanceof SqliteFailure)) return error;
    const code = error.errno & 0xff;
    if (code !== SQLITE_BUSY && code !== SQLITE_INTERRUPT) return error;
    if (this.#cancelled()) return cancellation();
    // The busy handler gave up since it was interrupted, but SQLite can only say that it is busy.
    return code === SQLITE_BUSY && this.#interrupted() ? interruption() : error;
  }

  /** During `work`, waits for locks at most that long, in milliseconds. */
  within(timeout: number, work: () => void): void {
    const usual = this.#timeout;
    this.#setTimeout(timeout);
    try {
      work();
    } finally {
      this.#setTimeout(usual);
    }
  }

  /** Before another thread uses the handle: nothing may call back into this one. */
  pauseHandlers(): void {
    this.#database.setBusyTimeout(0);
    this.#database.progressHandler(0);
  }

  resumeHandlers(): void {
    if (!this.#database.setBusyHandler()) this.#database.setBusyTimeout(this.#timeout);
    if (this.looks) this.#database.progressHandler(this.#lookEvery());
  }

  #setTimeout(timeout: number): void {
    this.#timeout = timeout;
    if (!this.looks) this.#database.setBusyTimeout(timeout);
  }

  #cancelled(): boolean {
    return this.#call !== null && this.#channel.cancelled(this.#call);
  }

  #interrupted(): boolean {
    return this.#channel.interrupts() !== this.#interruptsSeen;
  }

  /** SQLite's busy handler: waits as SQLite's own would, but ends at once when stopped. */
  #waiter(): (tries: number) => boolean {
    let since = 0;
    const stop = () => this.stopped;
    return (tries) => {
      const now = clock.now();
      if (tries === 0) since = now;
      const left = since + this.#timeout - now;
      if (left <= 0) return false;
      const delay = DELAYS[Math.min(tries, DELAYS.length - 1)]! * (0.5 + Math.random());
      return this.#channel.pause(Math.min(delay, left), stop);
    };
  }
}

/** What an interrupted call fails with. */
export function interruption(): SqliteFailure {
  return new SqliteFailure(SQLITE_INTERRUPT, "interrupted", -1);
}

function cancellation(): Failure {
  return new Failure("Cancelled", "");
}
