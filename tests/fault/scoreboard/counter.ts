/**
 * S8: adds to a counter that another process adds to as well.
 *
 * @module
 */
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
import { connect } from "../../../mod.ts";
import { pause, report, until } from "./measure.ts";

/** What this program finds. */
export interface Report {
  done: number;
  errors: string[];
  /** The longest that one transaction took, in milliseconds. */
  longest: number;
  /** How often the other process came in between. */
  met: number;
}

const [path = "", times = "", me = "", other = "", between = ""] = process.argv.slice(2);
const found: Report = { done: 0, errors: [], longest: 0, met: 0 };
await using db = await connect(path, { timeout: 10_000 });
await db.executeFetchOne("SELECT n FROM counter"); // compiled, and the thread warm

writeFileSync(me, "");
if (!await until(() => existsSync(other), 20_000)) throw new Error("the other process is missing");

let last = -1;
for (let i = 0; i < Number(times); i++) {
  const start = performance.now();
  try {
    await db.transaction(async (tx) => {
      const n = Number((await tx.executeFetchOne("SELECT n FROM counter"))![0]);
      await tx.execute("UPDATE counter SET n = ?", [n + 1]);
      if (last >= 0 && n !== last) found.met++;
      last = n + 1;
    }, { mode: "IMMEDIATE" });
    found.done++;
  } catch (error) {
    found.errors.push(String(error));
  }
  found.longest = Math.max(found.longest, performance.now() - start);
  // Else the few of a short run can all come before the other process has its first turn.
  if (Number(between) > 0) await pause(Number(between));
}
report(found);
