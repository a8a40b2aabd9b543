/**
 * S18: how late timers are while the thread is busy.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { connect } from "../../../mod.ts";
import { NUMBERS, pause, quantile, report } from "./measure.ts";

/** How late the timers were, in milliseconds. */
export interface Late {
  p99: number;
  longest: number;
  timers: number;
  /** Calls that were answered meanwhile. */
  calls: number;
}

/** What this program finds, by what went on. */
export type Report = Record<string, Late>;

const INTERVAL = 5;

const [path = "", milliseconds = ""] = process.argv.slice(2);
const found: Report = {};

/** Measures while one call after the other is made. */
async function measure(name: string, call: () => Promise<unknown>): Promise<void> {
  const late: number[] = [];
  let calls = 0;
  let due = performance.now() + INTERVAL;
  const end = performance.now() + Number(milliseconds);
  let timer: ReturnType<typeof setTimeout>;
  const beat = () => {
    const now = performance.now();
    late.push(now - due);
    due = now + INTERVAL;
    timer = setTimeout(beat, INTERVAL);
  };
  timer = setTimeout(beat, INTERVAL);
  while (performance.now() < end) {
    await call();
    calls++;
  }
  clearTimeout(timer);
  // Busy to the end: what is overdue counts as well.
  late.push(Math.max(0, performance.now() - due));
  found[name] = {
    p99: quantile(late, 0.99),
    longest: Math.max(...late),
    timers: late.length,
    calls,
  };
}

await using db = await connect(path, { isolationLevel: null, timeout: 60_000 });
await db.executeScript(`CREATE TABLE t (x);
  CREATE TABLE big AS ${NUMBERS} SELECT i, printf('row %d', i) AS text FROM n LIMIT 50000`);
await pause(100);

await measure("nothing", () => pause(50));
const count = `${NUMBERS} SELECT count(*) FROM (SELECT i FROM n LIMIT 300000)`;
await measure("heavy queries", () => db.executeFetchOne(count));
await measure(
  "100 short queries at a time",
  () => Promise.all(Array.from({ length: 100 }, () => db.executeFetchOne("SELECT 1"))),
);
await measure("fetching 50,000 rows", () => db.executeFetchAll("SELECT * FROM big"));
await measure("reading 50,000 rows in a loop", async () => {
  for await (const _ of db.execute("SELECT * FROM big"));
});

const holder = spawn("python3", [
  "-c",
  "import sqlite3, sys, time\n" +
  "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n" +
  "c.execute('BEGIN IMMEDIATE')\n" +
  "print('locked', flush=True)\n" +
  "time.sleep(float(sys.argv[2]) / 1000)\n",
  path,
  milliseconds,
], { stdio: ["ignore", "pipe", "inherit"] });
await once(holder.stdout, "data");
let waited = NaN;
await measure("waiting for another process", async () => {
  const start = performance.now();
  await db.execute("INSERT INTO t VALUES (1)");
  if (Number.isNaN(waited)) waited = performance.now() - start;
  await pause(0);
});
// The lock was really waited for.
if (!(waited > Number(milliseconds) / 2)) throw new Error(`waited ${waited} ms`);
report(found);
