/**
 * The readers of a pool: connections for reading, opened as they are needed, each lent to one
 * borrower at a time.
 *
 * @module
 */
import { type Connection, coreOf } from "./connection.ts";
import { toFailure, unwrap } from "./errors.ts";
import { isHeld } from "./hold.ts";
import { Line, type Waiting } from "./line.ts";

/** Whether a connection can still be used. */
export function usable<R>(connection: Connection<R>): boolean {
  return !connection.closed && !coreOf(connection).client.over;
}

/** Closes a connection that may be broken: it has said so where it was used. */
export function closeAnyway<R>(connection: Connection<R>): Promise<void> {
  return connection.close().catch(() => {});
}

export class Readers<R> {
  /** How many there may be. */
  readonly most: number;
  readonly #open: () => Promise<Connection<R>>;
  readonly #idle: Connection<R>[] = [];
  readonly #lent = new Set<Connection<R>>();
  readonly #line: Line<null, Connection<R>>;
  readonly #openings = new Set<Promise<void>>();
  #closed = false;

  constructor(most: number, open: () => Promise<Connection<R>>) {
    this.most = most;
    this.#open = open;
    this.#line = new Line(() => {
      if (this.#openings.size > 0) return "a reader has not been opened yet";
      return most === 1 ? "the reader is busy" : `all ${most} readers are busy`;
    });
  }

  /** Readers that are open. */
  get open(): number {
    return this.#idle.length + this.#lent.size;
  }

  /** Readers that are lent. */
  get lent(): number {
    return this.#lent.size;
  }

  /** How many wait for one. */
  get waiting(): number {
    return this.#line.length;
  }

  /** The reader lent to the code that is running. */
  current(): Connection<R> | undefined {
    for (const reader of this.#lent) if (isHeld(reader)) return reader;
    return undefined;
  }

  /** Lends a reader, at once or in turn. */
  async borrow(waiting: Waiting): Promise<Connection<R>> {
    waiting.signal?.throwIfAborted();
    for (let reader; (reader = this.#idle.pop());) {
      if (usable(reader)) return this.#lend(reader);
    }
    const turn = this.#line.join(null, (reader) => reader, waiting);
    this.#grow();
    return unwrap(await turn);
  }

  /** Takes one back, and lends it to whoever waits longest. A broken one is replaced. */
  giveBack(reader: Connection<R>): void {
    if (!this.#lent.delete(reader)) return;
    if (usable(reader)) this.#offer(reader);
    else this.#grow();
  }

  /** Closes all, and those that are just being opened. */
  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#idle.splice(0), ...this.#lent];
    this.#lent.clear();
    await Promise.all(all.map(closeAnyway));
    await Promise.all(this.#openings);
  }

  #lend(reader: Connection<R>): Connection<R> {
    this.#lent.add(reader);
    return reader;
  }

  async #offer(reader: Connection<R>): Promise<void> {
    if (this.#closed) await closeAnyway(reader);
    else if (this.#line.length > 0) this.#line.admit(this.#lend(reader));
    else this.#idle.push(reader);
  }

  /** Opens readers for those in line, as far as there may be more. */
  async #grow(): Promise<void> {
    const opening = this.#openings.size;
    if (opening >= this.#line.length || this.open + opening >= this.most) return;
    const added = this.#add();
    this.#openings.add(added);
    await added;
    this.#openings.delete(added);
    if (this.open === 0) await this.#grow();
  }

  async #add(): Promise<void> {
    try {
      await this.#offer(await this.#open());
    } catch (error) {
      // If others are open, one of those will do.
      if (this.open === 0 && this.#line.length > 0) this.#line.refuseFirst(toFailure(error));
    }
  }
}
