/**
 * Scopes: who may use a connection now, and who waits for it.
 *
 * A connection is a scope, a transaction is one within it, and a nested transaction one within
 * that. While an inner scope is open, whatever else wants to run in the outer one waits in line,
 * statements as well as further transactions, and is let through in the order it came.
 *
 * Who runs inside of a transaction is known in two ways: by the handle that is called, and by the
 * asynchronous context, so that calls of the connection from within the transaction's function, and
 * from the tasks it has started, take part in it.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { SQLITE_BUSY } from "../ffi/result_codes.ts";
import { toError } from "./errors.ts";
import { Failure } from "./thread/protocol.ts";

/** How to wait in line. */
export interface Waiting {
  /** Milliseconds. */
  readonly timeout: number;
  /** Ends the waiting; the promise rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The scopes whose functions the current code runs in, innermost first. */
interface Context {
  readonly scope: Scope;
  readonly outer: Context | undefined;
}

const contexts = new AsyncLocalStorage<Context>();

/** Runs a function, and all that it starts, within a scope. */
export function within<T>(scope: Scope, work: () => T): T {
  return contexts.run({ scope, outer: contexts.getStore() }, work);
}

function either(
  one: AbortSignal | undefined,
  other: AbortSignal | undefined,
): AbortSignal | undefined {
  return one && other ? AbortSignal.any([one, other]) : one ?? other;
}

/** Somebody in line. */
interface Waiter {
  /** The scope that is to be opened; null for a statement, which just passes. */
  readonly inner: Scope | null;
  start(): void;
  fail(error: unknown): void;
}

export class Scope {
  /** What to call it in a message: "a transaction (IMMEDIATE)". */
  readonly name: string;
  readonly #parent: Scope | null;
  /** What ends all that is called in it. */
  readonly signal: AbortSignal | undefined;
  /** Whether a transaction is open that is no scope: one that a statement has begun. */
  readonly #occupied: () => boolean;
  /** Makes the error that calls fail with once it has ended. */
  #ended: (() => unknown) | null = null;
  /** It was ended by its signal, so what still runs in its context must not run outside of it. */
  #aborted = false;
  /** That has happened to one inside of it. */
  #hadAborted = false;
  #inner: Scope | null = null;
  #innerSince = 0;
  #line: Waiter[] = [];

  constructor(
    name: string,
    parent: Scope | null,
    signal?: AbortSignal,
    occupied: () => boolean = () => false,
  ) {
    this.name = name;
    this.#parent = parent;
    this.signal = either(signal, parent?.signal);
    this.#occupied = occupied;
  }

  /** Whether it has not ended. */
  get active(): boolean {
    return this.#ended === null;
  }

  /** Throws when it has ended. */
  check(): void {
    if (this.#ended !== null) throw this.#ended();
  }

  /**
   * The scope a call of this one belongs to: itself, or the one inside that the caller runs in.
   * Throws when that has been aborted.
   */
  current(): Scope {
    if (this.#inner === null && !this.#hadAborted) return this;
    for (let context = contexts.getStore(); context; context = context.outer) {
      const { scope } = context;
      if (!scope.#isWithin(this)) continue;
      if (scope.#aborted) scope.check();
      if (scope.active) return scope;
    }
    return this;
  }

  /** Sends a statement when its turn has come, which is at once unless an inner scope is open. */
  send<T>(send: (signal?: AbortSignal) => Promise<T>, waiting: Waiting): Promise<T> {
    const scope = this.current();
    scope.check();
    const signal = either(waiting.signal, scope.signal);
    signal?.throwIfAborted();
    if (scope.#inner === null && (scope.#line.length === 0 || scope.#occupied())) {
      return send(signal);
    }
    return scope.#wait(null, () => send(signal), { timeout: waiting.timeout, signal });
  }

  /** Opens a scope inside when its turn has come, which then keeps all else waiting. */
  async open(inner: Scope, timeout: number, first = false): Promise<void> {
    this.check();
    inner.signal?.throwIfAborted();
    if (this.#inner === null && this.#line.length === 0 && !this.#occupied()) this.#hold(inner);
    else {
      const waiting = { timeout, signal: inner.signal };
      await this.#wait(inner, () => Promise.resolve(), waiting, first);
    }
  }

  /**
   * From now on everything that is called on it fails with what `why` makes, and, when `aborted`,
   * so does everything that is called in its context. Outside, all still wait.
   */
  seal(why: () => unknown, aborted = false): void {
    if (this.#ended !== null) return;
    this.#ended = why;
    this.#aborted = aborted;
    if (aborted) {
      for (let scope = this.#parent; scope; scope = scope.#parent) scope.#hadAborted = true;
    }
    this.#inner?.seal(why, aborted);
    for (const waiter of this.#line.splice(0)) waiter.fail(why());
  }

  /** Lets in who waits outside. */
  leave(): void {
    const parent = this.#parent;
    if (parent === null || parent.#inner !== this) return;
    parent.#inner = null;
    parent.advance();
  }

  /**
   * For a connection that closes: ends what is open inside, which `undo` has to roll back before
   * those in line are let through. Only statements are, no further transactions.
   */
  close(why: () => unknown, undo: () => void): void {
    for (const waiter of this.#line) if (waiter.inner) waiter.fail(why());
    this.#line = this.#line.filter(({ inner }) => inner === null);
    const inner = this.#inner;
    if (inner === null) return;
    inner.seal(why);
    undo();
    inner.leave();
  }

  /** Lets in whoever can be let in. */
  advance(): void {
    while (this.#inner === null && this.#line.length > 0) {
      const { inner, start } = this.#line[0]!;
      if (inner && this.#occupied()) return;
      this.#line.shift();
      if (inner) this.#hold(inner);
      start();
    }
  }

  #hold(inner: Scope): void {
    this.#inner = inner;
    this.#innerSince = performance.now();
  }

  #isWithin(outer: Scope): boolean {
    return this === outer || (this.#parent !== null && this.#parent.#isWithin(outer));
  }

  /** In line, until let in, or out of time, or told to stop. */
  #wait<T>(
    inner: Scope | null,
    send: () => Promise<T>,
    { timeout, signal }: Waiting,
    first = false,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const leave = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const waiter: Waiter = {
      inner,
      // Sends right here: the line's order is that of the sending.
      start: () => {
        leave();
        resolve(send());
      },
      fail: (error) => {
        leave();
        reject(error);
      },
    };
    const giveUp = (error: unknown) => {
      this.#line.splice(this.#line.indexOf(waiter), 1);
      waiter.fail(error);
      this.advance(); // it may have kept others behind it
    };
    const abort = () => giveUp(signal!.reason);
    const timer = setTimeout(() => giveUp(this.#timedOut(timeout)), timeout);
    signal?.addEventListener("abort", abort);
    if (first) this.#line.unshift(waiter);
    else this.#line.push(waiter);
    return promise;
  }

  #timedOut(timeout: number): Error {
    const holder = this.#inner
      ? `${this.#inner.name} has been open for ${
        Math.round(performance.now() - this.#innerSince)
      } ms`
      : "a transaction that an earlier statement began has not been committed or rolled back";
    return toError(
      new Failure("OperationalError", `Timed out after ${timeout} ms: ${holder}`, SQLITE_BUSY),
    );
  }
}
