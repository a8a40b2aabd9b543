/**
 * What the rows use of other drivers, and those that Node may have besides its own.
 *
 * @module
 */
import { createRequire } from "node:module";

/** What the rows use of a synchronous driver. Rows are arrays unless said otherwise. */
export interface Driver {
  readonly name: string;
  exec(sql: string): void;
  prepare(sql: string): Statement;
  /** Opens another connection to the same file and closes it. */
  reopen(): void;
  close(): void;
}

export interface Statement {
  get(...parameters: unknown[]): unknown[];
  all(): unknown[][];
  objects(): Record<string, unknown>[];
  /** Rows as this driver makes them when it iterates: arrays, or objects where it has only those. */
  iterate(): Iterable<unknown>;
  run(...parameters: unknown[]): unknown;
}

/** What the rows use of an asynchronous driver. */
export interface AsyncDriver {
  readonly name: string;
  exec(sql: string): Promise<void>;
  prepare(sql: string): Promise<AsyncStatement>;
  reopen(): Promise<void>;
  close(): Promise<void>;
}

export interface AsyncStatement {
  get(...parameters: unknown[]): Promise<unknown[]>;
  all(): Promise<unknown[][]>;
  objects(): Promise<Record<string, unknown>[]>;
  iterate(): Promise<Iterable<unknown>>;
  run(...parameters: unknown[]): Promise<unknown>;
}

/** They have a folder of their own, since nobody needs them but this table. */
const requirePeer = createRequire(new URL("./peers/package.json", import.meta.url));

/** better-sqlite3, a synchronous driver compiled for Node. */
export function betterSqlite3(path: string): Driver {
  const Database = requirePeer("better-sqlite3");
  const db = new Database(path);
  return {
    name: "better-sqlite3",
    exec: (sql) => db.exec(sql),
    prepare: (sql) => {
      const statement = db.prepare(sql);
      if (statement.reader) statement.raw(true);
      return {
        get: (...parameters) => statement.get(...parameters),
        all: () => statement.all(),
        objects: () => statement.raw(false).all(),
        iterate: () => statement.iterate(),
        run: (...parameters) => statement.run(...parameters),
      };
    },
    reopen: () => {
      new Database(path).close();
    },
    close: () => db.close(),
  };
}

/**
 * libsql, a driver in Rust, by its promises: those of `prepare` and of a query's beginning are made
 * on another thread, while `get`, `run` and the reading of rows block this one.
 */
export function libsql(path: string): AsyncDriver {
  const Database = requirePeer("libsql/promise");
  const db = new Database(path);
  return {
    name: "libsql/promise",
    exec: async (sql) => await db.exec(sql),
    prepare: async (sql) => {
      const statement = await db.prepare(sql);
      if (statement.reader) statement.raw(true);
      return {
        get: (...parameters) => statement.get(...parameters),
        all: () => statement.all(),
        objects: () => statement.raw(false).all(),
        iterate: () => statement.iterate(),
        run: (...parameters) => statement.run(...parameters),
      };
    },
    reopen: async () => {
      const another = new Database(path);
      await another.close();
    },
    close: async () => await db.close(),
  };
}
