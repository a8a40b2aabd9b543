/**
 * S16: forgets connections without closing them.
 *
 * @module
 */
import process from "node:process";
import { connect } from "../../../mod.ts";
import { collect, count, pause, report, resident, until } from "./measure.ts";

/** What this program finds. */
export interface Report {
  forgotten: number;
  collected: number;
  warnings: number;
  /** When those that were collected have been closed: threads more than before. */
  threads: number;
  /** Growth of resident memory per connection in KiB, the first ones left aside. */
  slope: number;
}

const [path = "", connections = "", measured = ""] = process.argv.slice(2);
const total = Number(connections);
const BATCH = 5;
let warnings = 0;
process.on("warning", ({ name, message }) => {
  if (name === "ResourceWarning" && /before being closed/.test(message)) warnings++;
});
let collected = 0;
const registry = new FinalizationRegistry(() => collected++);

async function forget(): Promise<void> {
  const db = await connect(path, { isolationLevel: null });
  registry.register(db, null);
  await db.executeFetchAll("SELECT * FROM sqlite_master");
}

async function all(until: () => boolean): Promise<void> {
  for (let i = 0; i < 100 && !until(); i++) {
    collect();
    await pause(5);
  }
}

if (measured !== "measured") {
  // Some are collected, the end of the process closes the others.
  for (let i = 0; i < total; i++) await forget();
  await all(() => collected >= total);
  report({ forgotten: total, collected, warnings, threads: 0, slope: 0 });
} else {
  await (await connect(path)).close();
  await pause(1300); // its thread ends
  const threads = count("task");
  let before = NaN;
  const first = Math.max(BATCH, Math.floor(total / 5));
  let forgotten = 0;
  while (forgotten < total) {
    for (let i = 0; i < BATCH; i++, forgotten++) await forget();
    await all(() => collected >= forgotten - 1); // a stack may hold the last one
    if (Number.isNaN(before) && forgotten >= first) before = await resident();
  }
  await all(() => collected >= total);
  const slope = (await resident() - before) / (total - first);
  await until(() => count("task") <= threads, 5000);
  report({ forgotten, collected, warnings, threads: count("task") - threads, slope });
}
