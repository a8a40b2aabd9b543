/**
 * What a connection and its cursors share.
 *
 * @module
 */
import { ProgrammingError } from "./errors.ts";
import { checkCallOptions, type Settings } from "./options.ts";
import type { ColumnDescription } from "./row.ts";
import type { Waiting } from "./line.ts";
import { Scope } from "./scope.ts";
import type { Client } from "./thread/client.ts";
import { StatementCache } from "./thread/slots.ts";
import type { Limits } from "./values.ts";

export class Core {
  readonly settings: Settings;
  readonly limits: Limits;
  readonly statements: StatementCache<readonly ColumnDescription[]>;
  readonly client: Client;
  /** The connection as a scope: what is not inside of a transaction runs here. */
  readonly scope: Scope;
  #lastResult = 0;
  #lastSavepoint = 0;
  closed = false;

  constructor(client: Client, settings: Settings, limits: Limits) {
    this.client = client;
    this.settings = settings;
    this.limits = limits;
    this.statements = new StatementCache(settings.cachedStatements);
    this.scope = new Scope("the connection", null, undefined, () => client.openSince);
    client.onTransactionEnd = () => this.scope.advance();
    client.onCrash = (why) => this.scope.seal(why);
  }

  /** How a call waits for its turn. Throws a `ProgrammingError` for bad options. */
  waiting(options?: unknown): Waiting {
    return { timeout: this.settings.timeout, signal: checkCallOptions(options).signal };
  }

  /** Throws when the connection is closed. */
  check(): void {
    if (this.closed) throw new ProgrammingError("Cannot operate on a closed database.");
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
