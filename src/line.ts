/**
 * Waiting in line: first come, first served, for so long and no longer.
 *
 * @module
 */
import { SQLITE_BUSY } from "../ffi/result_codes.ts";
import { onAbort, type Signal } from "./thread/abort.ts";
import { cancelledBy, Failure } from "./thread/protocol.ts";

/** How to wait. */
export interface Waiting {
  /** Milliseconds. */
  readonly timeout: number;
  /** Ends the waiting. */
  readonly signal?: Signal | undefined;
}

/** Somebody in line, who wants `W`. */
interface Waiter<W, V> {
  readonly wants: W;
  start(value: V): void;
  fail(why: Failure): void;
}

/** Those who wait. `W` is what they want, `V` what they are let in with. */
export class Line<W, V> {
  readonly #waiters: Waiter<W, V>[] = [];
  readonly #busy: () => string;
  readonly #left: () => void;

  /** `busy` says what they wait for; `left` is called after somebody gave up. */
  constructor(busy: () => string, left: () => void = () => {}) {
    this.#busy = busy;
    this.#left = left;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** What the first in line wants. */
  get first(): W | undefined {
    return this.#waiters[0]?.wants;
  }

  /**
   * Waits at the end of the line, or `ahead` of it. Once let in calls `start`, right then, so that
   * the order of the line is that of the calls. Who is not let in gets a failure.
   */
  join<T>(
    wants: W,
    start: (value: V) => T | Promise<T>,
    { timeout, signal }: Waiting,
    ahead = false,
  ): Promise<T | Failure> {
    const { promise, resolve } = Promise.withResolvers<T | Failure>();
    const leave = () => {
      clearTimeout(timer);
      deaf?.();
    };
    const waiter: Waiter<W, V> = {
      wants,
      start: (value) => {
        leave();
        resolve(start(value));
      },
      fail: (why) => {
        leave();
        resolve(why);
      },
    };
    const giveUp = (why: Failure) => {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.fail(why);
      this.#left();
    };
    const deaf = signal && onAbort(signal, () => giveUp(cancelledBy(signal)));
    const timer = setTimeout(() => giveUp(this.#timedOut(timeout)), timeout);
    if (ahead) this.#waiters.unshift(waiter);
    else this.#waiters.push(waiter);
    return promise;
  }

  /** Lets the first in. */
  admit(value: V): void {
    this.#waiters.shift()!.start(value);
  }

  /** Lets in all who want that, past the others. */
  admitAll(wants: W, value: V): void {
    for (const waiter of this.#waiters.filter((one) => one.wants === wants)) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.start(value);
    }
  }

  /** Sends the first away. */
  refuseFirst(why: Failure): void {
    this.#waiters.shift()!.fail(why);
  }

  /** Sends away those who want that. */
  refuse(why: Failure, which: (wants: W) => boolean = () => true): void {
    const refused = this.#waiters.filter(({ wants }) => which(wants));
    for (const waiter of refused) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.fail(why);
    }
  }

  #timedOut(timeout: number): Failure {
    const message = `Timed out after ${timeout} ms: ${this.#busy()}`;
    return new Failure("OperationalError", message, SQLITE_BUSY);
  }
}
