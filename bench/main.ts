/**
 * Measures this driver beside its peers, in one runtime: rounds in turn, medians of all. Prints a
 * line of JSON for each row.
 *
 * @module
 */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { measure } from "mitata";
import { sqliteVersion } from "../mod.ts";
import { builtin } from "./builtin.ts";
import { type AsyncDriver, betterSqlite3, type Driver, libsql } from "./drivers.ts";
import { lateness, stall } from "./loop.ts";
import { median, type Report, type Result } from "./result.ts";
import { type Comparison, comparisons, openOurs } from "./rows.ts";
import { ROUNDS, WARM_UP } from "./sizes.ts";

const [folder, others] = process.argv.slice(2) as [string, string | undefined];

function report(report: Report): void {
  console.log(JSON.stringify(report));
}

/** A copy of the seed for each driver: two SQLites on one file would break its locks. */
function copyFor(name: string): string {
  const path = join(folder, `${name}.db`);
  copyFileSync(join(folder, "seed.db"), path);
  return path;
}

/** Opens a driver that need not be there. */
function optional<D>(name: string, open: (path: string) => D): D[] {
  try {
    return [open(copyFor(name))];
  } catch (error) {
    report({ note: `${name} is left out: ${String(error).split("\n")[0]}` });
    return [];
  }
}

/** Runs it until it is compiled: compilers need processors, too, of which there may be two. */
async function warmUp(work: () => unknown): Promise<void> {
  for (const start = performance.now(); performance.now() - start < WARM_UP;) await work();
}

/** Median milliseconds of one round. */
async function round(work: () => unknown, samples: number): Promise<number> {
  const { p50 } = await measure(work, {
    min_samples: samples,
    max_samples: samples,
    min_cpu_time: 0,
    warmup_samples: samples > 1 ? 2 : 0,
    // One call a sample, so that an awaited call is timed as one.
    batch_threshold: 0,
    // Only where there is much of it: while garbage is collected the other threads fall asleep. By
    // itself mitata takes Bun.gc(true), which throws away all compiled code as well.
    gc: samples === 1 ? (globalThis as unknown as { gc: () => void }).gc : false,
  });
  return p50 / 1e6;
}

async function compare(
  row: Comparison,
  [theirs, ...more]: readonly [Driver, ...Driver[]],
  asyncDrivers: readonly AsyncDriver[],
): Promise<Result> {
  const { key, name, mark, samples } = row;
  const answer = await row.ours();
  const works: [name: string, work: () => unknown][] = [];
  const add = async (driver: string, work: () => unknown) => {
    assert.deepEqual(await work(), answer, `${name}: ${driver}`);
    works.push([driver, work]);
  };
  await add(theirs.name, row.sync(theirs));
  for (const driver of more) await add(driver.name, row.sync(driver));
  for (const driver of asyncDrivers) await add(driver.name, await row.async(driver));

  for (const work of [row.ours, ...works.map(([, work]) => work)]) await warmUp(work);
  const ours: number[] = [];
  const peers = works.map(() => [] as number[]);
  for (let i = 0; i < ROUNDS; i++) {
    ours.push(await round(row.ours, samples));
    for (const [j, [, work]] of works.entries()) peers[j]!.push(await round(work, samples));
  }
  return {
    key,
    name,
    unit: "ms",
    mark,
    ours: median(ours),
    peers: Object.fromEntries(works.map(([name], j) => [name, median(peers[j]!)])),
  };
}

const [runtime, version] =
  Object.entries(process.versions).find(([name]) => name === "deno" || name === "bun") ??
    ["node", process.versions.node];
const drivers: [Driver, ...Driver[]] = [builtin(copyFor("builtin"))];
const asyncDrivers: AsyncDriver[] = [];
if (others === "others") {
  drivers.push(...optional("better-sqlite3", betterSqlite3));
  asyncDrivers.push(...optional("libsql", libsql));
}
await using ours = await openOurs(copyFor("ours"));
const theirs = drivers[0];
const [theirVersion] = theirs.prepare("SELECT sqlite_version()").get();
const about = `${runtime} ${version}, SQLite ${sqliteVersion()}`;
report({ about: `${about} against ${theirs.name} with ${theirVersion}` });
for (const driver of drivers.slice(1)) {
  const [version] = driver.prepare("SELECT sqlite_version()").get();
  report({ note: `${driver.name} has SQLite ${version}` });
}
for (const driver of asyncDrivers) {
  const [version] = await (await driver.prepare("SELECT sqlite_version()")).get();
  report({ note: `${driver.name} has SQLite ${version}` });
}
for (const row of comparisons(ours)) {
  report({ result: await compare(row, drivers, asyncDrivers) });
}
const { result, traces } = await stall(ours.arrays, drivers, asyncDrivers);
report({ result });
report({ traces });
report({ result: await lateness(ours.arrays) });
for (const driver of drivers) driver.close();
for (const driver of asyncDrivers) await driver.close();
