/**
 * What executeMany sends: blocks of parameter sets.
 *
 * @module
 */
import type { Core } from "./core.ts";
import { unwrap } from "./errors.ts";
import type { Waiting } from "./line.ts";
import type { Scope } from "./scope.ts";
import type { Signal } from "./thread/abort.ts";
import { Writer } from "./thread/codec.ts";
import { type Executed, type Failure, type Request, requestSize } from "./thread/protocol.ts";
import { Encoded, type Limits, writeParameters } from "./values.ts";

/** Parameter sets are sent in blocks of about this many bytes. */
const BLOCK_BYTES = 1 << 16;

/**
 * Reads and copies the first sets now, as far as a block goes, for a call whose turn is later. The
 * rest is read when it is sent.
 */
export function readAhead(sets: Iterable<unknown>, limits: Limits): Iterable<unknown> {
  const iterator = sets[Symbol.iterator]();
  const first: Encoded[] = [];
  let done = false;
  for (let bytes = 0; !done && bytes < BLOCK_BYTES;) {
    const next = iterator.next();
    done = next.done === true;
    if (done) break;
    const encoded = new Encoded(next.value, limits);
    first.push(encoded);
    bytes += encoded.span.length;
  }
  return continueWith(first, iterator, done);
}

function* continueWith(
  first: Iterable<unknown>,
  iterator: Iterator<unknown>,
  done: boolean,
): Generator<unknown> {
  try {
    yield* first;
    for (let next; !done && !(next = iterator.next()).done;) yield next.value;
    done = true;
  } finally {
    if (!done) iterator.return?.();
  }
}

/** Sends parameter sets in blocks, one being encoded while the one before is being run. */
export class ManySender {
  readonly #core: Core;
  readonly #scope: Scope;
  readonly #sql: string;
  readonly #waiting: Waiting;
  readonly #id: number;
  #block = new Writer(2 * BLOCK_BYTES);
  #running: Promise<Executed | Failure> | null = null;
  #continued = false;
  #changed = 0;

  constructor(core: Core, scope: Scope, sql: string, waiting: Waiting) {
    this.#core = core;
    this.#scope = scope;
    this.#sql = sql;
    this.#waiting = waiting;
    this.#id = core.nextResult();
  }

  /** Adds a set. True when it is time to send. */
  add(set: unknown): boolean {
    const start = this.#block.length;
    try {
      writeParameters(this.#block, set, this.#core.limits);
    } catch (error) {
      this.#block.length = start; // the sets before it are whole
      throw error;
    }
    return this.#block.length >= BLOCK_BYTES;
  }

  /** Adds and sends sets as they come. */
  async sendAll(sets: AsyncIterable<unknown>, signal: Signal | undefined): Promise<void> {
    for await (const set of sets) {
      signal?.throwIfAborted();
      if (this.add(set)) await this.send();
    }
  }

  /** Sends what there is, and waits for the block before it. */
  async send(): Promise<void> {
    this.#core.check(); // the iterable may have closed the connection
    const { client, statements } = this.#core;
    const block = this.#block.span(0);
    const continued = this.#continued;
    const before = this.#running;
    this.#running = this.#scope.send((signal) => {
      const refusal = client.refusal(requestSize(this.#sql, block));
      if (refusal) return Promise.resolve(refusal);
      const [known, text] = statements.get(this.#sql);
      const request: Request<"executeMany"> = [this.#id, known.slot, text, block, continued];
      return client.call("executeMany", request, undefined, signal);
    }, this.#waiting);
    this.#block = new Writer(2 * BLOCK_BYTES);
    this.#continued = true;
    await this.#count(before);
  }

  /** Sends the rest and returns the number of rows changed. */
  async end(): Promise<number> {
    if (this.#block.length > 0 || !this.#continued) await this.send();
    await this.#count(this.#running);
    return this.#changed;
  }

  /** After a failure: the sets before it are run, and what has been sent comes to its end. */
  async abandon(): Promise<void> {
    if (this.#block.length > 0 && !this.#core.closed) this.send().catch(() => {});
    await this.#running;
    if (this.#continued && !this.#core.closed) this.#core.client.call("reset", [this.#id]);
  }

  async #count(running: Promise<Executed | Failure> | null): Promise<void> {
    if (running) this.#changed += Math.max(0, unwrap(await running, this.#sql)[1]);
  }
}

/** Whether it can be gone through with `for`; a string is none. */
export function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}
