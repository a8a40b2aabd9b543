/**
 * S14: ends threads in one way, whatever they are doing.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import process from "node:process";
import type { Worker } from "node:worker_threads";
import { connect, type Connection, SqliteError } from "../../../mod.ts";
import { python } from "../../helpers.ts";
import { NUMBERS, pause, report, watchThreads } from "./measure.ts";

/** What happened in one state of the thread. */
export interface Cell {
  state: string;
  rounds: number;
  /** The longest from the order to die until every call had rejected or been answered, in ms. */
  rejects: number;
  /** The longest until another process could lock the database, its start included, in ms. */
  freed: number;
  wrong: string[];
}

const [path = "", how = "", rounds = "", orders = ""] = process.argv.slice(2);
process.env.SCOREBOARD_ORDERS = orders;

// Has the driver start another file as its thread.
const mortal = new URL("./mortal_worker.ts", import.meta.url);
globalThis.URL = class extends URL {
  constructor(url: string | URL, base?: string | URL) {
    super(String(url) === "./worker.ts" ? mortal : url, base);
  }
} as typeof URL;
const threads = watchThreads();
if (how === "memory") {
  // As without this, only sooner: there is a limit in any case, but of gigabytes.
  type Threads = { Worker: new (url: URL, options: object) => Worker };
  const builtin = createRequire(import.meta.url)("node:worker_threads") as Threads;
  builtin.Worker = class extends builtin.Worker {
    constructor(url: URL, options: object) {
      super(url, { ...options, resourceLimits: { maxOldGenerationSizeMb: 64 } });
    }
  };
  syncBuiltinESMExports();
}

function die(): number {
  const thread = threads.at(-1)!;
  const start = performance.now();
  if (how === "terminate") thread.terminate();
  else writeFileSync(`${orders}${thread.threadId}`, how);
  return start;
}

/** Makes one of the calls that are made meanwhile. */
type Call = () => Promise<void>;

/** Brings the thread into a state. Returns what is under way there, and how to make more calls. */
type State = (db: Connection) => Promise<[under: Promise<unknown>[], call: Call]>;

const INSERT = "INSERT INTO t VALUES ('lost')";
const ROWS = "SELECT a.x, b.x FROM big a, big b";
const ask = (db: { execute: Connection["execute"] }): Call => async () => {
  await db.execute("PRAGMA user_version");
};
const states: Record<string, State> = {
  idle: (db) => Promise.resolve([[], ask(db)]),
  "in a transaction": async (db) => {
    const tx = await db.transaction({ mode: "IMMEDIATE" });
    await tx.execute(INSERT);
    return [[], ask(tx)];
  },
  // Other tasks' calls, which wait for the transaction to end.
  "in line": async (db) => {
    const tx = await db.transaction({ mode: "IMMEDIATE" });
    await tx.execute(INSERT);
    return [[], ask(db)];
  },
  "in a query": async (db) => {
    // Rows come as long as it lives; it goes back and forth between C and JavaScript.
    const query = db.executeFetchAll(ROWS);
    await pause(10);
    return [[query], ask(db)];
  },
  "in a statement that writes": async (db) => {
    await db.execute("BEGIN IMMEDIATE");
    await db.execute(INSERT);
    const sets = Array.from({ length: 200_000 }, (_, i) => [i]);
    const many = db.executeMany("INSERT INTO t VALUES (?)", sets);
    await pause(5);
    return [[many, db.executeFetchAll(ROWS)], ask(db)];
  },
};
if (how === "terminate") {
  // Only from outside can a thread be ended in C. It ends by itself, since some runtimes wait.
  states["in C"] = async (db) => {
    const query = db.execute(`${NUMBERS} SELECT count(*) FROM (SELECT i FROM n LIMIT 500000)`);
    await pause(10);
    return [[query], ask(db)];
  };
}

{
  await using db = await connect(path);
  await db.executeScript(`CREATE TABLE t (x);
    CREATE TABLE big AS ${NUMBERS} SELECT i AS x FROM n LIMIT 3000`);
}

for (const [state, enter] of Object.entries(states)) {
  const cell: Cell = { state, rounds: 0, rejects: 0, freed: 0, wrong: [] };
  for (; cell.rounds < Number(rounds); cell.rounds++) {
    const db = await connect(path, { isolationLevel: null, timeout: 60_000 });
    let errors = 0;
    const failed = (error: unknown) => {
      errors++;
      if (!(error instanceof SqliteError)) cell.wrong.push(`${state}: ${error}`);
    };
    const [under, call] = await enter(db);
    const calls = under.map((one) => one.then(() => {}, failed));
    for (let i = 0; i < 100 && under.length > 0; i++) calls.push(call().catch(failed));
    const start = die();
    // Where nothing is under way, calls go on being made until one fails.
    for (;;) {
      for (let i = 0; i < 20; i++) calls.push(call().catch(failed));
      let limit;
      const hangs = new Promise<void>((_, reject) => {
        limit = setTimeout(reject, 1200, new Error("hangs for 1.2 s"));
      });
      await Promise.race([Promise.all(calls), hangs])
        .catch((error) => cell.wrong.push(`${state}: ${error.message}`));
      clearTimeout(limit);
      if (errors > 0 || performance.now() - start > 1200) break;
      await pause(1);
    }
    cell.rejects = Math.max(cell.rejects, performance.now() - start);
    if (errors === 0) cell.wrong.push(`${state}: no call has failed`);
    const locking = performance.now();
    const rows = await python(path, "DELETE FROM t RETURNING x");
    cell.freed = Math.max(cell.freed, performance.now() - locking);
    if (rows.length > 0) cell.wrong.push(`${state}: ${rows.length} rows of a lost transaction`);
    await using again = await connect(path, { timeout: 1000 });
    const [one] = (await again.executeFetchOne("SELECT 1")) ?? [];
    if (one !== 1) cell.wrong.push(`${state}: SELECT 1 is ${one}`);
    await db.close().catch(() => {}); // it is not to hang
  }
  console.log(JSON.stringify(cell));
}
report({ survived: true });
