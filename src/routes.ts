/**
 * Where a pool's statements go: to a reader or to the writer.
 *
 * @module
 */
import { type Connection, coreOf } from "./connection.ts";
import { Failure } from "./thread/protocol.ts";
import { firstVerb, isForWriter, settingOf } from "./thread/sql.ts";

/**
 * To a reader; to a reader if SQLite says that it reads only; to the writer; to every connection;
 * or nowhere, since the next one could run on another connection.
 */
export type Route = "read" | "ask" | "write" | "all" | "refuse";

/** How many texts it is remembered of. */
const KNOWN_TEXTS = 1000;
/** What may read only: SQLite is asked of each text. All else goes to the writer. */
const MAY_READ = ["SELECT", "WITH", "VALUES", "PRAGMA", "EXPLAIN"];
const TRANSACTION_WORDS = ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"];

export class Routes {
  readonly #known = new Map<string, Route>();

  /** Where a statement goes, as far as that is known. */
  of(sql: string): Route {
    return this.#known.get(sql) ?? this.#learn(sql, guess(sql));
  }

  /** Asks SQLite whether a statement reads only. */
  async ask<R>(sql: string, reader: Connection<R>): Promise<boolean> {
    const reads = await coreOf(reader).client.call("isReadonly", [sql]);
    // What does not compile there, for want of a temporary table say, may do so in the writer.
    if (reads instanceof Failure) return false;
    this.#learn(sql, reads ? "read" : "write");
    return reads;
  }

  #learn(sql: string, route: Route): Route {
    if (this.#known.size >= KNOWN_TEXTS) this.#known.clear();
    this.#known.set(sql, route);
    return route;
  }
}

function guess(sql: string): Route {
  const word = firstVerb(sql);
  if (TRANSACTION_WORDS.includes(word)) return "refuse";
  if (settingOf(sql) !== null) return "all";
  return MAY_READ.includes(word) && !isForWriter(sql) ? "ask" : "write";
}
