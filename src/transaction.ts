/**
 * Transactions.
 *
 * @module
 */
import { SQLITE_BUSY } from "../ffi/result_codes.ts";
import type { Connection } from "./connection.ts";
import type { Core } from "./core.ts";
import { onAbort, type Signal, unlessAborted } from "./thread/abort.ts";
import { ProgrammingError, SqliteError, unwrap } from "./errors.ts";
import { Executor } from "./executor.ts";
import { type CallOptions, checkTransactionOptions, type TransactionSettings } from "./options.ts";
import { asRequest, type Request } from "./request.ts";
import { quoteSavepoint, Savepoint } from "./savepoint.ts";
import { Scope, within } from "./scope.ts";
import { clock } from "./thread/clock.ts";
import { cancelledBy, Failure } from "./thread/protocol.ts";
import { quoteName } from "./thread/sql.ts";
import type { SqlValue } from "./values.ts";

/** How a transaction takes its locks: https://sqlite.org/lang_transaction.html */
export const TransactionType = {
  /** With its first statement: a read lock, then a write lock once it writes. */
  deferred: "DEFERRED",
  /** The write lock at once. The one to use for a transaction that is going to write. */
  immediate: "IMMEDIATE",
  /** At once, and in rollback-journal mode readers are kept out, too. */
  exclusive: "EXCLUSIVE",
} as const;

/** One of `"DEFERRED"`, `"IMMEDIATE"` and `"EXCLUSIVE"`. */
export type TransactionType = typeof TransactionType[keyof typeof TransactionType];

/** Options of `transaction`; all may be left out. */
export interface TransactionOptions {
  /** How it takes its locks. Default `"DEFERRED"`. Without effect for a nested one. */
  mode?: TransactionType | undefined;
  /**
   * What to do within a transaction of the same connection: `"savepoint"` (default) nests one that
   * can fail alone, `"join"` takes part in the outer one, `"error"` rejects.
   */
  nested?: "savepoint" | "join" | "error" | undefined;
  /** Milliseconds to wait for the connection and for SQLite's lock. Default: the connection's. */
  timeout?: number | undefined;
  /** Ends the waiting and what runs, and rolls back at once instead of committing. */
  signal?: AbortSignal | undefined;
  /**
   * How often to run the whole function again when it fails since the database is busy. Default 0.
   */
  retries?: number | undefined;
}

const ENDED = new Failure("ProgrammingError", "The transaction has ended.");
/** Held weakly, for a forgotten transaction not to hold its connection. */
const transactions = new WeakMap<Scope, WeakRef<Transaction<never>>>();

/** The transaction that a scope is, if it is one. */
export function transactionOf(scope: Scope): Transaction<never> | undefined {
  return transactions.get(scope)?.deref();
}

async function begin<R>(
  connection: Connection<R>,
  core: Core,
  on: Scope,
  options: unknown,
): Promise<Transaction<R>> {
  const settings = checkTransactionOptions(options);
  const outer = transactionOf(on.current());
  if (outer && settings.nested === "join") return outer[JOIN]() as unknown as Transaction<R>;
  return await open(connection, core, on, settings);
}

/** Opens a transaction, or one nested in that which the caller runs in. */
async function open<R>(
  connection: Connection<R>,
  core: Core,
  on: Scope,
  settings: TransactionSettings,
): Promise<Transaction<R>> {
  core.check();
  const parent = on.current();
  parent.check();
  const { mode, signal, timeout = core.settings.timeout } = settings;
  if (transactions.has(parent)) return await nest<R>(connection, core, parent, settings, timeout);
  if (core.settings.autocommit === false) {
    throw new ProgrammingError("With autocommit false a transaction is always open");
  }
  const scope = new Scope(`a transaction (${mode})`, parent, signal);
  // All waiting together takes no longer than that.
  const deadline = clock.now() + timeout;
  const left = () => Math.max(0, Math.ceil(deadline - clock.now()));
  for (let again = false;; again = true) {
    await parent.open(scope, left(), again);
    const begun = await core.client.call("begin", [mode, left()], undefined, scope.signal);
    // Not begun: a statement sent before has opened a transaction of its own, so it is still on.
    if (begun !== true) scope.leave();
    if (unwrap(begun)) return await new Transaction<R>(connection, core, scope, null)[START]();
  }
}

async function nest<R>(
  connection: Connection<R>,
  core: Core,
  parent: Scope,
  { nested, signal }: TransactionSettings,
  timeout: number,
): Promise<Transaction<R>> {
  if (nested === "error") throw new ProgrammingError("A transaction is already active");
  const name = core.nextSavepoint();
  const scope = new Scope("a nested transaction", parent, signal);
  await parent.open(scope, timeout);
  const sql = `SAVEPOINT ${quoteName(name)}`;
  const reply = await core.client.call("control", [sql], undefined, scope.signal);
  if (reply !== null) scope.leave();
  unwrap(reply);
  return await new Transaction<R>(connection, core, scope, name)[START]();
}

/** Runs a function within a transaction: commits when it fulfils, rolls back when it throws. */
async function runTransaction<R, T>(
  connection: Connection<R>,
  core: Core,
  on: Scope,
  work: (transaction: Transaction<R>) => T | Promise<T>,
  options: unknown,
): Promise<T> {
  const settings = checkTransactionOptions(options);
  const outer = transactionOf(on.current());
  if (outer && settings.nested === "join") return await work(outer as unknown as Transaction<R>);
  for (let tries = 0;; tries++) {
    try {
      const transaction = await open(connection, core, on, settings);
      return await transaction[RUN](work);
    } catch (error) {
      if (outer || tries >= settings.retries || !isBusy(error)) throw error;
      // Random, so that those that met do not meet again.
      await unlessAborted(delay(Math.random() * Math.min(5 * 2 ** tries, 250)), settings.signal);
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof SqliteError && ((error.errno ?? 0) & 0xff) === SQLITE_BUSY;
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// What is done with a transaction in this file alone.
const START = Symbol("start");
const RUN = Symbol("run");
const JOIN = Symbol("join");

/**
 * An open transaction. While it is, statements of other tasks on the connection wait. Disposing of
 * it without `commit()` rolls back. Once it has ended, so have its cursors, and every call rejects
 * with a `ProgrammingError`.
 */
export class Transaction<R = SqlValue[]> extends Executor<R> implements AsyncDisposable {
  readonly #connection: Connection<R>;
  readonly #core: Core;
  readonly #scope: Scope;
  /** The savepoint of a nested one. */
  readonly #savepoint: string | null;
  /** Ended by a call of its own, not by a close of the connection. */
  #settled = false;
  /** Its rolling back after an abort. */
  #aborting: Promise<void> | undefined;

  /** Made by `transaction()`. */
  constructor(connection: Connection<R>, core: Core, scope: Scope, savepoint: string | null) {
    super(core, scope);
    this.#connection = connection;
    this.#core = core;
    this.#scope = scope;
    this.#savepoint = savepoint;
  }

  protected override get owner(): Connection<R> {
    return this.#connection;
  }

  /** Whether it has neither been committed nor rolled back. */
  get active(): boolean {
    return this.#scope.active;
  }

  /**
   * Commits, and ends the transaction. When that fails, as with `SQLITE_BUSY`, it is rolled back
   * and the error thrown.
   */
  async commit(options?: CallOptions): Promise<void> {
    this.#check();
    const signal = this.#scope.signalWith(this.#core.waiting(options).signal);
    signal?.throwIfAborted();
    await this.#scope.turn(this.#core.settings.timeout);
    this.#check();
    this.#seal();
    try {
      const reply = await this.#finish(true, signal);
      if (reply !== null) await this.#finish(false);
      unwrap(reply);
    } finally {
      this.#scope.leave();
    }
  }

  /** Rolls back, and ends the transaction. A nested one undoes what was done in it. */
  async rollback(): Promise<void> {
    this.#check();
    this.#seal();
    try {
      unwrap(await this.#finish(false));
    } finally {
      this.#scope.leave();
    }
  }

  /** Undoes what was done since a savepoint of that name, and keeps the savepoint. */
  async rollbackTo(name: string): Promise<void> {
    await this.#control(`ROLLBACK TO ${quoteSavepoint(name)}`);
  }

  /** Sets a savepoint; any name is safe, and one is made up by default. */
  savepoint(name: string = this.#core.nextSavepoint()): Request<Savepoint> {
    return asRequest(this.#setSavepoint(name));
  }

  /**
   * Opens a transaction nested in this one, or runs a function in one. Concurrent ones of the same
   * parent wait for each other.
   */
  transaction(options?: TransactionOptions): Request<Transaction<R>>;
  transaction<T>(
    work: (transaction: Transaction<R>) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>;
  transaction<T>(
    first?: TransactionOptions | ((transaction: Transaction<R>) => T | Promise<T>),
    options?: TransactionOptions,
  ): Request<Transaction<R>> | Promise<T> {
    return transact(this.#connection, this.#core, this.#scope, first, options);
  }

  /** Rolls back unless it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.active) await this.rollback();
  }

  /** Runs the function of `transaction(work)`. */
  async [RUN]<T>(work: (transaction: Transaction<R>) => T | Promise<T>): Promise<T> {
    const { signal } = this.#scope;
    try {
      const value = await unlessAborted(within(this.#scope, async () => await work(this)), signal);
      if (this.active) await this.commit();
      else if (!this.#settled) this.#scope.check(); // closed in the middle
      return value;
    } catch (error) {
      // The first error counts, whatever comes of the rollback.
      if (this.active) await this.rollback().catch(() => {});
      await this.#aborting; // whoever hears of it shall find the connection free
      if (this.#core.client.over) this.#scope.leave();
      throw error;
    }
  }

  /** It is open: heeds its signal. Rejects when that has been aborted meanwhile, once rolled back. */
  async [START](): Promise<this> {
    const { signal } = this.#scope;
    transactions.set(this.#scope, new WeakRef(this as unknown as Transaction<never>));
    if (!signal) return this;
    const abort = () => {
      this.#aborting = this.#abort(signal);
    };
    this.#scope.onEnd = onAbort(signal, abort);
    if (signal.aborted) abort();
    if (this.#aborting) await this.#aborting;
    this.#scope.check();
    return this;
  }

  /** A handle that takes part in it. */
  [JOIN](): Transaction<R> {
    return new JoinedTransaction<R>(this.#connection, this.#core, this.#scope, this);
  }

  async #setSavepoint(name: string): Promise<Savepoint> {
    await this.#control(`SAVEPOINT ${quoteSavepoint(name)}`);
    return new Savepoint(name, (sql) => this.#control(sql), () => this.#undo(name));
  }

  /** Undoes what was done since a savepoint, and forgets it; nothing to do once it has ended. */
  async #undo(name: string): Promise<void> {
    if (!this.active) return;
    const quoted = quoteSavepoint(name);
    const { client } = this.#core;
    const send = () => client.call("undo", [`ROLLBACK TO ${quoted}; RELEASE ${quoted}`]);
    unwrap(await this.#scope.send(send, this.#core.waiting()));
  }

  async #control(sql: string): Promise<void> {
    const { client } = this.#core;
    const send = (signal?: Signal) => client.call("control", [sql], undefined, signal);
    unwrap(await this.#scope.send(send, this.#core.waiting()), sql);
  }

  /** Rolls back at once, whatever `work` still does: the connection is free for others. */
  async #abort(signal: Signal): Promise<void> {
    if (!this.active) return;
    this.#scope.seal(cancelledBy(signal));
    await this.#finish(false);
    this.#scope.leave();
  }

  /** Throws when it can't be ended, or has been. */
  #check(): void {
    this.#core.check();
    this.#scope.check();
    if (this.#scope.current() !== this.#scope) {
      throw new ProgrammingError("A transaction can't be ended from within one nested in it.");
    }
  }

  /** From here on nothing more runs in it. */
  #seal(): void {
    this.#settled = true;
    this.#scope.seal(ENDED);
  }

  #finish(commit: boolean, signal?: Signal): Promise<null | Failure> {
    const { client } = this.#core;
    if (this.#savepoint === null) {
      return client.call("end", [commit ? "COMMIT" : "ROLLBACK"], undefined, signal);
    }
    const name = quoteName(this.#savepoint);
    if (commit) return client.call("control", [`RELEASE ${name}`], undefined, signal);
    return client.call("undo", [`ROLLBACK TO ${name}; RELEASE ${name}`]);
  }
}

/** A handle of `nested: "join"`: the outer transaction decides what becomes of it all. */
class JoinedTransaction<R> extends Transaction<R> {
  readonly #outer: Transaction<R>;

  constructor(connection: Connection<R>, core: Core, scope: Scope, outer: Transaction<R>) {
    super(connection, core, scope, null);
    this.#outer = outer;
  }

  override async commit(): Promise<void> {}

  override rollback(): Promise<void> {
    return this.#outer.rollback();
  }

  override async [Symbol.asyncDispose](): Promise<void> {}
}

/** `transaction()` of a connection or of a transaction, in both of its forms. */
export function transact<R, T>(
  connection: Connection<R>,
  core: Core,
  on: Scope,
  first: TransactionOptions | ((transaction: Transaction<R>) => T | Promise<T>) | undefined,
  options: TransactionOptions | undefined,
): Request<Transaction<R>> | Promise<T> {
  if (typeof first !== "function") {
    return asRequest(begin(connection, core, on, first));
  }
  return runTransaction(connection, core, on, first, options);
}
