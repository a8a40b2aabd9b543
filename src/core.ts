/**
 * What a connection and its cursors share.
 *
 * @module
 */
import { isCalledBy } from "./inside.ts";
import { ProgrammingError, unwrap } from "./errors.ts";
import { checkCallOptions, type Settings } from "./options.ts";
import type { ColumnDescription } from "./row.ts";
import type { Waiting } from "./line.ts";
import { Scope } from "./scope.ts";
import type { Hook } from "./thread/answers.ts";
import type { Client } from "./thread/client.ts";
import { converterKeys } from "./types.ts";
import type { Operation, Reply, Request as Operands } from "./thread/protocol.ts";
import type { Signal } from "./thread/abort.ts";
import type { Decoding } from "./thread/rows.ts";
import { StatementCache } from "./thread/slots.ts";
import type { Limits } from "./values.ts";

/** The columns of a result. */
export interface ResultColumns {
  readonly description: readonly ColumnDescription[] | null;
  /** The key of each column's converter; null when none has one. */
  readonly converters: readonly (string | null)[] | null;
}

export class Core {
  readonly settings: Settings;
  limits: Limits;
  /** How values are read that are asked for from now on. */
  decoding: Decoding;
  readonly statements: StatementCache<ResultColumns>;
  readonly client: Client;
  /** The connection as a scope: what is not inside of a transaction runs here. */
  readonly scope: Scope;
  readonly #waiting: Waiting;
  #converters = 0;
  #lastHook = 0;
  #lastResult = 0;
  #lastSavepoint = 0;
  closed = false;

  constructor(client: Client, settings: Settings, limits: Limits) {
    this.client = client;
    this.settings = settings;
    this.limits = limits;
    this.decoding = { integers: settings.integers, text: settings.textFactory };
    this.#waiting = { timeout: settings.timeout, signal: undefined };
    this.statements = new StatementCache(settings.cachedStatements);
    this.scope = new Scope("the connection", null, undefined, () => client.openSince);
    client.onTransactionEnd = () => this.scope.advance();
    client.onCrash = (why) => this.scope.seal(why);
  }

  /** How a call waits for its turn. Throws a `ProgrammingError` for bad options. */
  waiting(options?: unknown): Waiting {
    if (options === undefined) return this.#waiting;
    return { timeout: this.#waiting.timeout, signal: checkCallOptions(options).signal };
  }

  /** Has the worker do something, in its turn. */
  async perform<O extends Operation>(
    operation: O,
    request: Operands<O>,
    options?: unknown,
  ): Promise<Reply<O>> {
    this.check();
    const send = (signal?: Signal) => this.client.call(operation, request, undefined, signal);
    return unwrap<Reply<O>>(await this.scope.send(send, this.waiting(options)));
  }

  /** Throws when the connection is closed. */
  check(): void {
    if (isCalledBy(this)) {
      throw new ProgrammingError("A function can't use the connection that is calling it.");
    }
    if (this.closed) throw new ProgrammingError("Cannot operate on a closed database.");
  }

  /** Tells the worker which types have converters, if it has to know and does not. */
  tellConverters(): void {
    if (this.settings.detectTypes === 0) return;
    const [version, keys] = converterKeys();
    if (version === this.#converters) return;
    this.#converters = version;
    this.client.call("setConverters", [keys()]);
  }

  /** Has a function called when SQLite asks for that number, and returns it. */
  addHook(hook: Hook): number {
    this.client.hooks.set(++this.#lastHook, hook);
    return this.#lastHook;
  }

  removeHook(number: number): void {
    this.client.hooks.delete(number);
  }

  /** A number for a result. */
  nextResult(): number {
    return this.#lastResult = (this.#lastResult + 1) & 0x7fffffff;
  }

  /** A name for a savepoint. */
  nextSavepoint(): string {
    return `aiosqlite_${++this.#lastSavepoint}`;
  }
}
