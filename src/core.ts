/**
 * What a connection and its cursors share.
 *
 * @module
 */
import { ProgrammingError } from "./errors.ts";
import type { Settings } from "./options.ts";
import type { ColumnDescription } from "./row.ts";
import type { Client } from "./thread/client.ts";
import { type KnownStatement, StatementCache } from "./thread/slots.ts";
import type { Limits } from "./values.ts";

/** A prepared statement as cursors know it. */
export type Known = KnownStatement<readonly ColumnDescription[]>;

export class Core {
  readonly settings: Settings;
  readonly limits: Limits;
  readonly statements: StatementCache<readonly ColumnDescription[]>;
  readonly client: Client;
  #lastCursor = 0;
  closed = false;

  constructor(client: Client, settings: Settings, limits: Limits) {
    this.client = client;
    this.settings = settings;
    this.limits = limits;
    this.statements = new StatementCache(settings.cachedStatements);
  }

  /** Throws when the connection is closed. */
  check(): void {
    if (this.closed) throw new ProgrammingError("Cannot operate on a closed database.");
  }

  /** A number for a cursor's result. */
  nextCursor(): number {
    return this.#lastCursor = (this.#lastCursor + 1) & 0x7fffffff;
  }
}
