/**
 * Shows what asynchronous SQLite is for: heavy queries while a heartbeat on the event loop tells
 * how late it is kept, here and with the runtime's own, synchronous driver. Without an argument on
 * a million made-up events, with a path on the largest tables of that database.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";
import { type Builtin, builtin } from "../bench/builtin.ts";
import { connect, type Connection, sqliteVersion } from "../mod.ts";

const EVENTS = 1_000_000;
/** Rows that a full scan of somebody's table looks at. */
const SCANNED = 1_000_000;
/** Milliseconds from one heartbeat to the next. */
const BEAT = 5;

interface Query {
  readonly name: string;
  readonly sql: string;
  /** Rows are looked at one by one and not kept. */
  readonly scan?: true;
}

/** What a query came to; times in milliseconds. */
interface Outcome {
  readonly answer: unknown[] | Digest;
  readonly took: number;
  readonly late: number;
}

const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number, text: string) => colours ? `\x1b[${code}m${text}\x1b[0m` : text;
const integer = (value: number) => value.toLocaleString("en-US");
const duration = (ms: number) =>
  ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;

/** Beats on the event loop, and remembers how late it was at worst. */
class Heartbeat {
  #last = performance.now();
  #worst = 0;
  readonly #timer = setInterval(() => this.#beat(), BEAT);

  #beat(): void {
    const now = performance.now();
    this.#worst = Math.max(this.#worst, now - this.#last - BEAT);
    this.#last = now;
  }

  stop(): number {
    this.#beat(); // the one that is due
    clearInterval(this.#timer);
    return this.#worst;
  }
}

/** Does some work under a heartbeat. */
async function watch<T>(work: () => T | Promise<T>): Promise<[T, took: number, late: number]> {
  const heart = new Heartbeat();
  await new Promise((resolve) => setTimeout(resolve, 4 * BEAT));
  const start = performance.now();
  try {
    const result = await work();
    return [result, performance.now() - start, heart.stop()];
  } finally {
    heart.stop();
  }
}

/** Counts rows and adds up their values. */
class Digest {
  length = 0;
  sum = 0;

  add(row: object): void {
    this.length++;
    for (const value of Array.isArray(row) ? row : Object.values(row)) {
      if (typeof value === "number" || typeof value === "bigint") this.sum += Number(value) % 1e6;
      else if (value !== null) this.sum += value.length;
    }
  }
}

async function runOurs(db: Connection, { sql, scan }: Query): Promise<Outcome> {
  const [answer, took, late] = await watch(async () => {
    if (!scan) return await db.executeFetchAll(sql);
    const digest = new Digest();
    for await (const row of db.execute(sql)) digest.add(row);
    return digest;
  });
  return { answer, took, late };
}

async function runTheirs(db: Builtin, { sql, scan }: Query): Promise<Outcome> {
  const [answer, took, late] = await watch(() => {
    if (!scan) return db.prepare(sql).all();
    const digest = new Digest();
    for (const row of db.prepare(sql).iterate()) digest.add(row as object);
    return digest;
  });
  return { answer, took, late };
}

function printHead(theirs: string): void {
  const over = "".padEnd(38) + "aiosqlite".padStart(22) + theirs.padStart(24);
  const under = "query".padEnd(30) + "rows".padStart(10) +
    "time".padStart(10) + "loop late".padStart(12) + "time".padStart(12) + "loop late".padStart(12);
  console.log(`\n${paint(1, over)}\n${paint(2, under)}`);
}

function printRow({ name }: Query, ours: Outcome, theirs: Outcome): void {
  const late = (ms: number) => paint(ms < 50 ? 32 : 31, duration(ms).padStart(12));
  console.log(
    name.slice(0, 30).padEnd(30) + integer(ours.answer.length).padStart(10) +
      duration(ours.took).padStart(10) + late(ours.late) +
      duration(theirs.took).padStart(12) + late(theirs.late),
  );
}

/** Runs the queries on both sides, and closes with what that came to. */
async function compare(db: Connection, folder: string, queries: Query[]): Promise<void> {
  // Another SQLite in this process must never open the same file: closing it drops our locks.
  const copy = join(folder, "copy.db");
  await db.execute("VACUUM INTO ?", [copy]);
  const peer = builtin(copy);
  printHead(peer.name);
  let took = 0;
  let ourLate = 0;
  let theirLate = 0;
  for (const query of queries) {
    const ours = await runOurs(db, query);
    const theirs = await runTheirs(peer, query);
    printRow(query, ours, theirs);
    if (!isDeepStrictEqual(ours.answer, theirs.answer)) throw new Error("the answers differ");
    took += ours.took;
    ourLate = Math.max(ourLate, ours.late);
    theirLate = Math.max(theirLate, theirs.late);
  }
  peer.close();
  console.log(
    `\nBoth gave the same answers. While SQLite worked for ${duration(took)}, this process was ` +
      `free to do\nanything else within ${duration(ourLate)}; with ${peer.name} it was stuck for ` +
      `up to ${duration(theirLate)}.`,
  );
}

const NAMES = [
  "page_view",
  "page_view",
  "page_view",
  "search",
  "search",
  "add_to_cart",
  "purchase",
];
const COUNTRIES = ["BR", "DE", "IN", "JP", "KE", "NO", "US"];

/** Thirty days of events, the same ones every time. */
function* makeEvents(progress: (done: number) => void): Generator<unknown[]> {
  let seed = 1;
  const random = (below: number) => {
    seed = Math.imul(seed, 1664525) + 1013904223 | 0;
    return (seed >>> 8) % below;
  };
  for (let i = 0; i < EVENTS; i++) {
    if (i % 20_000 === 0) progress(i);
    const name = NAMES[random(NAMES.length)]!;
    const properties = {
      country: COUNTRIES[random(COUNTRIES.length)],
      path: `/item/${random(500)}`,
      cents: name === "purchase" ? 99 + random(20_000) : 0,
    };
    const user = random(1 + random(20_000)); // some come more often
    yield [user, name, JSON.stringify(properties), 1_767_225_600 + Math.floor(i * 2.592)];
  }
}

const EVENT_QUERIES: Query[] = [
  { name: "events per name", sql: "SELECT name, count(*) FROM event GROUP BY name" },
  {
    name: "revenue per country, from JSON",
    sql: `SELECT json_extract(properties, '$.country'), sum(json_extract(properties, '$.cents'))
          FROM event GROUP BY 1 ORDER BY 2 DESC`,
  },
  {
    name: "distinct users per day",
    sql: "SELECT date(at, 'unixepoch'), count(DISTINCT user_id) FROM event GROUP BY 1",
  },
  {
    name: "sessions per user, by window",
    sql: `SELECT user_id, count(*) FROM (
            SELECT user_id, at - lag(at) OVER (PARTITION BY user_id ORDER BY at) AS pause FROM event
          ) WHERE pause IS NULL OR pause > 1800 GROUP BY user_id ORDER BY 2 DESC, 1 LIMIT 1000`,
  },
];

function showProgress(done: number): void {
  if (!process.stdout.isTTY) return;
  const bar = "#".repeat(Math.floor(done / EVENTS * 30)).padEnd(30, ".");
  process.stdout.write(`\r[${bar}] ${integer(done)} of ${integer(EVENTS)} events`);
}

async function demonstrateEvents(folder: string): Promise<void> {
  await using db = await connect(join(folder, "events.db"));
  await db.execute("CREATE TABLE event (user_id INTEGER, name TEXT, properties TEXT, at INTEGER)");
  const [, took, late] = await watch(async () => {
    await db.executeMany("INSERT INTO event VALUES (?, ?, ?, ?)", makeEvents(showProgress));
    await db.commit();
  });
  if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
  console.log(
    `Loaded ${integer(EVENTS)} events in ${duration(took)}, with the event loop at most ` +
      `${duration(late)} late.`,
  );
  await compare(db, folder, EVENT_QUERIES);
}

const quote = (name: unknown) => `"${String(name).replaceAll('"', '""')}"`;

/** Its three largest tables, largest first. */
async function largestTables(db: Connection): Promise<string[]> {
  const names = await db.executeFetchAll(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' " +
      "AND name NOT LIKE 'sqlite!_%' ESCAPE '!'",
  );
  const sizes = new Map<string, number>();
  for (const [name] of names) {
    const row = await db.executeFetchOne(`SELECT count(*) FROM ${quote(name)}`);
    sizes.set(String(name), Number(row![0]));
  }
  return [...sizes].toSorted((a, b) => b[1] - a[1]).slice(0, 3).map(([name]) => name);
}

/** A count, a grouping by the first column that is not in the primary key, and a full scan. */
async function tableQueries(db: Connection, table: string): Promise<Query[]> {
  const columns = await db.executeFetchAll("SELECT name, pk FROM pragma_table_info(?)", [table]);
  const [column] = columns.find(([, key]) => key === 0) ?? columns[0]!;
  const [from, by] = [quote(table), quote(column)];
  return [
    { name: `count ${table}`, sql: `SELECT count(*) FROM ${from}` },
    {
      name: `${table} by ${column}`,
      sql: `SELECT ${by}, count(*) FROM ${from} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1000`,
    },
    { name: `scan ${table}`, sql: `SELECT * FROM ${from} LIMIT ${SCANNED}`, scan: true },
  ];
}

async function demonstrateFile(path: string, folder: string): Promise<void> {
  await using db = await connect(path, { readonly: true });
  const tables = await largestTables(db);
  if (tables.length === 0) throw new Error("the database has no tables");
  const queries: Query[] = [];
  for (const table of tables) queries.push(...await tableQueries(db, table));
  console.log(`The largest tables of ${path}: ${tables.join(", ")}.`);
  await compare(db, folder, queries);
}

const folder = mkdtempSync(join(tmpdir(), "aiosqlite-demo-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(130));

const versions = process.versions as Record<string, string | undefined>;
const runtime = versions.deno ? "deno" : versions.bun ? "bun" : "node";
const path = process.argv[2];
try {
  const heading = `SQLite ${sqliteVersion()} off the event loop of ${runtime} ${versions[runtime]}`;
  console.log(`${paint(1, heading)}\n`);
  await (path === undefined ? demonstrateEvents(folder) : demonstrateFile(path, folder));
} catch (error) {
  console.error(`\n${error}`);
  process.exitCode = 1;
}
