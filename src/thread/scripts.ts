/**
 * Running SQL texts to their ends, and counting what has been changed.
 *
 * @module
 */
import type { Database } from "../../ffi/sqlite.ts";
import type { ThreadHooks } from "./hooks.ts";
import type { Stops } from "./stops.ts";

const encoder = new TextEncoder();

export class Scripts {
  /** Rows changed since the opening. */
  totalChanges = 0;
  readonly #database: Database;
  readonly #stops: Stops;
  readonly #hooks: ThreadHooks;

  constructor(database: Database, stops: Stops, hooks: ThreadHooks) {
    this.#database = database;
    this.#stops = stops;
    this.#hooks = hooks;
  }

  /** Runs statements to their ends, whatever rows they have. */
  run(sql: string): void {
    for (const statement of this.#database.statements(encoder.encode(sql))) {
      try {
        this.#stops.check();
        while (statement.step());
      } finally {
        statement.finalize();
        if (!statement.readonly) this.countChanges();
      }
    }
  }

  /** Likewise, whatever authorizers and progress handlers would say. */
  runUnasked(sql: string): void {
    this.#hooks.silently(() => this.#stops.unwatched(() => this.run(sql)));
  }

  /** Brings the total of changes up to date, and tells whether it has grown. */
  countChanges(): boolean {
    const before = this.totalChanges;
    this.totalChanges = this.#database.totalChanges();
    return this.totalChanges !== before;
  }
}
