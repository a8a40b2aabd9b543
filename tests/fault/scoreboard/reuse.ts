/**
 * How many threads there are when connections come and go.
 *
 * @module
 */
import process from "node:process";
import { connect } from "../../../mod.ts";
import { count, pause, report, until, watchThreads } from "./measure.ts";

/** What this program finds. */
export interface Report {
  /** Threads started, and the most that the process has had more than at first. */
  started: number;
  most: number;
  /** The same for many at once: the first time, the second time, and once they have ended. */
  atOnce: number[];
  left: number;
  wrong: string[];
}

const AT_ONCE = 20;

const cycles = Number(process.argv[2]);
const started = watchThreads();
const found: Report = { started: NaN, most: 0, atOnce: [], left: NaN, wrong: [] };

async function cycle(): Promise<void> {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
}

await cycle();
await pause(1300); // its thread ends
const without = count("task");
for (let i = 0; i < 5; i++) await cycle();
const threads = count("task");
started.length = 0;
for (let i = 0; i < cycles; i++) {
  await cycle();
  found.most = Math.max(found.most, count("task") - threads);
}
found.started = started.length;

/** Opens, uses and closes many, all at once. */
async function many(): Promise<void> {
  const numbers = Array.from({ length: AT_ONCE }, (_, i) => i);
  const connections = await Promise.all(numbers.map(() => connect(":memory:")));
  await Promise.all(connections.map(async (db, i) => {
    await db.execute("CREATE TABLE t (x)");
    await db.execute("INSERT INTO t VALUES (?)", [i]);
  }));
  const rows = await Promise.all(connections.map((db) => db.executeFetchAll("SELECT x FROM t")));
  for (const [i, row] of rows.entries()) {
    if (JSON.stringify(row) !== `[[${i}]]`) found.wrong.push(`${i}: ${JSON.stringify(row)}`);
  }
  await Promise.all(connections.map((db) => db.close()));
  found.atOnce.push(started.length);
}

await many();
await many();
await pause(1300); // all end
await until(() => count("task") <= without, 5000);
found.left = count("task") - without;
await many();
report(found);
