/**
 * S17: reads many rows one after the other, and stops early.
 *
 * @module
 */
import process from "node:process";
import { connect } from "../../../mod.ts";
import { NUMBERS, pause, report } from "./measure.ts";

/** What this program finds. */
export interface Report {
  rows: number;
  /** Most that resident memory has grown by, in MiB. */
  growth: number;
  /** Milliseconds to the first row. */
  first: number;
  /** The longest from leaving a loop until the lock was free, in milliseconds. */
  freed: number;
}

const [path = "", rows = ""] = process.argv.slice(2);
const found: Report = { rows: 0, growth: 0, first: NaN, freed: 0 };
await using db = await connect(path, { isolationLevel: null });
await db.executeScript(`CREATE TABLE t (x);
  INSERT INTO t ${NUMBERS} SELECT i FROM n LIMIT 50000`);

const before = process.memoryUsage().rss;
const start = performance.now();
let sum = 0;
const sql = `${NUMBERS} SELECT i, printf('row %060d', i) FROM n LIMIT ?`;
for await (const [i, text] of db.execute(sql, [Number(rows)])) {
  if (++found.rows === 1) found.first = performance.now() - start;
  sum += Number(i);
  if (String(text).length !== 64) throw new Error(`row ${i} is ${text}`);
  if (found.rows % 1000 === 0) {
    found.growth = Math.max(found.growth, (process.memoryUsage().rss - before) / 2 ** 20);
  }
}
if (sum !== (found.rows * (found.rows + 1)) / 2) throw new Error(`the sum is ${sum}`);

await using other = await connect(path, { isolationLevel: null, timeout: 0 });
for (let round = 0; round < 20; round++) {
  let read = 0;
  for await (const [x] of db.execute("SELECT x FROM t")) {
    if (x !== ++read) throw new Error(`row ${read} is ${x}`);
    if (read < 10) continue;
    // The lock is there, or it would not be seen to go.
    const locked = await other.execute("UPDATE t SET x = x WHERE rowid = 1")
      .then(() => false, () => true);
    if (!locked) throw new Error("a loop over rows holds no lock");
    break;
  }
  const left = performance.now();
  while (
    await other.execute("UPDATE t SET x = x WHERE rowid = 1").then(() => false, () => true)
  ) {
    if (performance.now() - left > 5000) break;
    await pause(0);
  }
  found.freed = Math.max(found.freed, performance.now() - left);
}
report(found);
