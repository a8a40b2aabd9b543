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
import { unwrap } from "./errors.ts";
import { Line, type Waiting } from "./line.ts";
import { either, type Signal } from "./thread/abort.ts";
import { clock } from "./thread/clock.ts";
import { cancelledBy, type Failure } from "./thread/protocol.ts";

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

export class Scope {
  /** What to call it in a message: "a transaction (IMMEDIATE)". */
  readonly name: string;
  readonly #parent: Scope | null;
  /** What ends all that is called in it. */
  readonly signal: Signal | undefined;
  /** Since when a transaction is open that is no scope, but one that a statement has begun. */
  readonly #occupiedSince: () => number | null;
  /** What calls fail with once it has ended. */
  #ended: Failure | null = null;
  /** One inside of it has been aborted. */
  #hadAborted = false;
  /** Called when it ends. */
  onEnd: () => void = () => {};
  #inner: Scope | null = null;
  #innerSince = 0;
  /** Those who wait, for a scope to be opened or, with null, for a statement to pass. */
  readonly #line = new Line<Scope | null, void>(() => this.#describe(), () => this.advance());

  constructor(
    name: string,
    parent: Scope | null,
    signal?: Signal,
    occupiedSince: () => number | null = () => null,
  ) {
    this.name = name;
    this.#parent = parent;
    this.signal = either(signal, parent?.signal);
    this.#occupiedSince = occupiedSince;
  }

  /** Whether a scope is open inside. */
  get held(): boolean {
    return this.#inner !== null;
  }

  /** How many wait in line. */
  get waiting(): number {
    return this.#line.length;
  }

  /** Whether it has not ended. */
  get active(): boolean {
    return this.#ended === null;
  }

  /** Whether a signal has ended it, or a crash. */
  get broken(): boolean {
    return this.#ended !== null && this.#ended.kind !== "ProgrammingError";
  }

  /** The signal for a call in it that has one of its own. */
  signalWith(own: Signal | undefined): Signal | undefined {
    return either(own, this.signal);
  }

  /** Throws when it has ended. */
  check(): void {
    if (this.#ended !== null) unwrap(this.#ended);
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
      // What still runs in its context must not run outside of it, nor on another thread.
      if (scope.broken || this.#ended) scope.check();
      if (scope.active) return scope;
    }
    return this;
  }

  /**
   * Sends a statement when its turn has come: at once, unless an inner scope is open or others wait.
   * While a transaction is open that is no scope, statements pass those who want to open one: they
   * may be what ends it.
   */
  send<T>(
    send: (signal?: Signal) => Promise<T>,
    waiting: Waiting,
  ): Promise<T | Failure> {
    const scope = this.current();
    scope.check();
    const signal = either(waiting.signal, scope.signal);
    if (signal?.aborted) return Promise.resolve(cancelledBy(signal));
    if (scope.#inner === null && (scope.#line.length === 0 || scope.#occupied())) {
      return send(signal);
    }
    return scope.#line.join(null, () => send(signal), { timeout: waiting.timeout, signal });
  }

  /** Opens a scope inside when its turn has come, which then keeps all else waiting. */
  async open(inner: Scope, timeout: number, first = false): Promise<void> {
    this.check();
    inner.signal?.throwIfAborted();
    if (this.#inner === null && this.#line.length === 0 && !this.#occupied()) this.#hold(inner);
    else {
      const waiting = { timeout, signal: inner.signal };
      unwrap(await this.#line.join(inner, () => {}, waiting, first));
    }
  }

  /**
   * From now on everything that is called on it fails; if it has been cancelled, so does everything
   * that is called in its context. Outside, all still wait.
   */
  seal(why: Failure): void {
    if (this.#ended !== null) return;
    this.#ended = why;
    this.onEnd();
    if (why.kind === "Cancelled") {
      for (let scope = this.#parent; scope; scope = scope.#parent) scope.#hadAborted = true;
    }
    this.#inner?.seal(why);
    this.#line.refuse(why);
  }

  /** Lets in who waits outside. */
  leave(): void {
    const parent = this.#parent;
    if (parent === null || parent.#inner !== this) return;
    parent.#inner = null;
    parent.advance();
  }

  /**
   * For a connection that closes: ends what is open inside, which `undo` rolls back before those in
   * line are let through. Only statements are, no further transactions.
   */
  async close(why: Failure, undo: () => Promise<unknown>): Promise<void> {
    this.#line.refuse(why, (inner) => inner !== null);
    const inner = this.#inner;
    if (inner === null) return;
    inner.seal(why);
    await undo();
    inner.leave();
  }

  /** Waits for inner scopes to be closed, and for its turn. */
  async turn(timeout: number): Promise<void> {
    if (this.#inner === null && this.#line.length === 0) return;
    unwrap(await this.#line.join(null, () => {}, { timeout, signal: this.signal }));
  }

  /** Lets in whoever can be let in. */
  advance(): void {
    this.#inner?.advance();
    while (this.#inner === null && this.#line.length > 0) {
      const inner = this.#line.first!;
      if (inner && this.#occupied()) return this.#line.admitAll(null);
      if (inner) this.#hold(inner);
      this.#line.admit();
    }
  }

  #occupied(): boolean {
    return this.#occupiedSince() !== null;
  }

  #hold(inner: Scope): void {
    this.#inner = inner;
    this.#innerSince = clock.now();
  }

  #isWithin(outer: Scope): boolean {
    return this === outer || (this.#parent !== null && this.#parent.#isWithin(outer));
  }

  #describe(): string {
    const since = this.#inner ? this.#innerSince : this.#occupiedSince() ?? clock.now();
    const name = this.#inner?.name ?? "a transaction that an earlier statement began";
    return `${name} has been open for ${Math.round(clock.now() - since)} ms`;
  }
}
