/**
 * Measures this driver beside the runtime's own, in one runtime: rounds in turn, medians of all.
 *
 * @module
 */
import assert from "node:assert/strict";
import process from "node:process";
import { measure } from "mitata";
import { sqliteVersion } from "../mod.ts";
import { open, type Row, rows } from "./rows.ts";

const ROUNDS = 7;

/** Median nanoseconds of one round. */
async function round(work: () => unknown, samples: number): Promise<number> {
  const { p50 } = await measure(work, {
    min_samples: samples,
    max_samples: samples,
    min_cpu_time: 0,
    warmup_samples: samples > 1 ? 2 : 0,
    // One call a sample, so that an awaited call is timed as one.
    batch_threshold: 0,
  });
  return p50;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

async function compare(row: Row): Promise<[ours: number, theirs: number]> {
  assert.deepEqual(await row.ours(), row.theirs(), row.name);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    ours.push(await round(row.ours, row.samples));
    theirs.push(await round(row.theirs, row.samples));
  }
  return [median(ours), median(theirs)];
}

function duration(nanoseconds: number): string {
  return nanoseconds < 1e6
    ? `${(nanoseconds / 1e3).toFixed(1)} us`
    : `${(nanoseconds / 1e6).toFixed(1)} ms`;
}

const runtime =
  Object.entries(process.versions).find(([name]) => name === "deno" || name === "bun") ??
    ["node", process.versions.node];
await using sides = await open();
console.log(`${runtime.join(" ")}, SQLite ${sqliteVersion()} against ${sides.theirs.name}`);
for (const row of rows(sides)) {
  const [ours, theirs] = await compare(row);
  const cells = [
    duration(ours),
    duration(theirs),
    `${(ours / theirs).toFixed(2)}x`,
    `<= ${row.mark}x`,
  ];
  console.log(`  ${row.name.padEnd(36)}${cells.map((cell) => cell.padStart(12)).join("")}`);
}
