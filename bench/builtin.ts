/**
 * The peer in every runtime: its own synchronous driver.
 *
 * @module
 */
import { createRequire } from "node:module";
import process from "node:process";
import type { Driver } from "./drivers.ts";

export type Builtin = Driver;

const require = createRequire(import.meta.url);

export const isBun: boolean = "bun" in process.versions;
export const isNode: boolean = !isBun && !("deno" in process.versions);

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
      return {
        get: (...parameters) => statement.get(...parameters),
        all: () => statement.all(),
        objects: () => {
          statement.setReturnArrays(false);
          return statement.all();
        },
        iterate: () => statement.iterate(),
        run: (...parameters) => statement.run(...parameters),
      };
    },
    reopen: () => new DatabaseSync(path).close(),
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
        all: () => statement.values(),
        objects: () => statement.all(),
        iterate: () => statement.iterate(),
        run: (...parameters) => statement.run(...parameters),
      };
    },
    reopen: () => new Database(path).close(),
    close: () => db.close(),
  };
}
