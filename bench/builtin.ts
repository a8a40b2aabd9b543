/**
 * The peer: the runtime's own synchronous driver, behind one small interface.
 *
 * @module
 */
import { createRequire } from "node:module";
import process from "node:process";

/** What the rows use of a synchronous driver. Rows are arrays. */
export interface Builtin {
  readonly name: string;
  exec(sql: string): void;
  prepare(sql: string): {
    get(...parameters: unknown[]): unknown[];
    all(...parameters: unknown[]): unknown[][];
    run(...parameters: unknown[]): void;
    iterate(): Iterable<unknown>;
  };
  close(): void;
}

const require = createRequire(import.meta.url);
const isBun = "bun" in process.versions;

/** Opens a database with the built-in driver of this runtime. */
export function builtin(path: string): Builtin {
  return isBun ? bunSqlite(path) : nodeSqlite(path);
}

function nodeSqlite(path: string): Builtin {
  const { DatabaseSync } = require("node:sqlite");
  const db = new DatabaseSync(path);
  return {
    name: "node:sqlite",
    exec: (sql) => db.exec(sql),
    prepare: (sql) => {
      const statement = db.prepare(sql);
      statement.setReturnArrays(true);
      return statement;
    },
    close: () => db.close(),
  };
}

function bunSqlite(path: string): Builtin {
  const { Database } = require("bun:sqlite");
  const db = new Database(path);
  return {
    name: "bun:sqlite",
    exec: (sql) => db.run(sql),
    prepare: (sql) => {
      const statement = db.prepare(sql);
      return {
        get: (...parameters) => statement.values(...parameters)[0],
        all: (...parameters) => statement.values(...parameters),
        run: (...parameters) => statement.run(...parameters),
        iterate: () => statement.iterate(),
      };
    },
    close: () => db.close(),
  };
}
