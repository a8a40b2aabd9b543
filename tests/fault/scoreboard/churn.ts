/**
 * S19: opens and closes connections.
 *
 * @module
 */
import process from "node:process";
import { connect } from "../../../mod.ts";
import { count, pause, report, resident, until, watchThreads } from "./measure.ts";

/** What this program finds. */
export interface Report {
  cycles: number;
  /** Once it is over: open files, and threads, more than before. */
  files: number;
  threads: number;
  /** Growth of resident memory per cycle in KiB, the first cycles left aside. */
  slope: number;
  /** Threads that were started, and the most that there were more than after the first cycles. */
  started: number;
  most: number;
}

const WARM_UP = 10;

const [path = "", times = "", aside = ""] = process.argv.slice(2);
const started = watchThreads();

async function cycle(): Promise<void> {
  await using db = await connect(path);
  await db.execute("CREATE TABLE IF NOT EXISTS t (x)");
  await db.execute("INSERT INTO t VALUES (1)");
  await db.commit();
  await db.executeFetchAll("SELECT * FROM t LIMIT 10");
}

for (let i = 0; i < WARM_UP; i++) await cycle();
await pause(1300); // the warm thread ends
const files = count("fd");
const threads = count("task");
started.length = 0;

// Memory by least squares over samples, for no single one to decide.
const samples: [cycle: number, kib: number][] = [];
let before = NaN;
let most = 0;
for (let i = 0; i < Number(times); i++) {
  await cycle();
  if (i === WARM_UP) before = count("task");
  if (i > WARM_UP) most = Math.max(most, count("task") - before);
  if (i >= Number(aside) && i % 10 === 0) samples.push([i, await resident()]);
}
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const x = mean(samples.map(([i]) => i));
const y = mean(samples.map(([, kib]) => kib));
const slope = mean(samples.map(([i, kib]) => (i - x) * (kib - y))) /
  mean(samples.map(([i]) => (i - x) ** 2));

await until(() => count("fd") <= files && count("task") <= threads, 5000);
report({
  cycles: Number(times),
  files: count("fd") - files,
  threads: count("task") - threads,
  slope,
  started: started.length,
  most,
});
