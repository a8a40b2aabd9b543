/**
 * What has been set on a pool, by PRAGMA, ATTACH and DETACH, and which connections have it.
 *
 * @module
 */
import { SQLITE_READONLY } from "../ffi/result_codes.ts";
import type { Connection } from "./connection.ts";
import { SqliteError } from "./errors.ts";
import { settingOf } from "./thread/sql.ts";
import type { SqlParameters } from "./values.ts";

interface Setting<R> {
  /** What it sets: the last of a name counts. */
  readonly name: string;
  readonly apply: (connection: Connection<R>) => Promise<unknown>;
  readonly number: number;
}

export class Settings<R> {
  #all: Setting<R>[] = [];
  #last = 0;
  /** The last setting that a connection has. */
  readonly #settled = new WeakMap<Connection<R>, number>();

  /** A statement that has been carried out on a connection shall be so on all. */
  addStatement(sql: string, parameters: SqlParameters | undefined, done: Connection<R>): void {
    this.add(settingOf(sql)!, done, async (connection) => {
      await (await connection.execute(sql, parameters)).close();
    });
  }

  /** What has been done with a connection shall be done with all. */
  add(name: string, done: Connection<R>, apply: Setting<R>["apply"]): void {
    // What is attached and detached has its order; of all else the last counts.
    if (name !== "ATTACH" && name !== "DETACH") {
      this.#all = this.#all.filter((setting) => setting.name !== name);
    }
    this.#all.push({ name, apply, number: ++this.#last });
    this.#settled.set(done, this.#last);
  }

  /** Brings a connection up to date. */
  async settle(connection: Connection<R>): Promise<void> {
    const settled = this.#settled.get(connection) ?? 0;
    for (const { apply, number } of this.#all) {
      if (number <= settled) continue;
      try {
        await apply(connection);
      } catch (error) {
        // What a reader may not change is in the file, where the writer has put it.
        if (!(error instanceof SqliteError) || error.errno !== SQLITE_READONLY) throw error;
      }
      this.#settled.set(connection, number);
    }
  }
}
