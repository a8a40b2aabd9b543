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

interface Setting {
  readonly name: string;
  readonly sql: string;
  readonly parameters: SqlParameters | undefined;
  readonly number: number;
}

export class Settings<R> {
  #all: Setting[] = [];
  #last = 0;
  /** The last setting that a connection has. */
  readonly #settled = new WeakMap<Connection<R>, number>();

  /** A statement that has been carried out on a connection shall be so on all. */
  add(sql: string, parameters: SqlParameters | undefined, done: Connection<R>): void {
    const name = settingOf(sql)!;
    // The last value of a pragma counts; what is attached and detached has its order.
    if (name !== "ATTACH" && name !== "DETACH") {
      this.#all = this.#all.filter((setting) => setting.name !== name);
    }
    this.#all.push({ name, sql, parameters, number: ++this.#last });
    this.#settled.set(done, this.#last);
  }

  /** Brings a connection up to date. */
  async settle(connection: Connection<R>): Promise<void> {
    const settled = this.#settled.get(connection) ?? 0;
    for (const { sql, parameters, number } of this.#all) {
      if (number <= settled) continue;
      try {
        await (await connection.execute(sql, parameters)).close();
      } catch (error) {
        // What a reader may not change is in the file, where the writer has put it.
        if (!(error instanceof SqliteError) || error.errno !== SQLITE_READONLY) throw error;
      }
      this.#settled.set(connection, number);
    }
  }
}
