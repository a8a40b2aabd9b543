/**
 * The rows about the event loop: whether a timer of 1 ms, started again each time it fires, keeps
 * firing while the database works.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "../mod.ts";
import type { AsyncDriver, Driver } from "./drivers.ts";
import { median, type Result, type Trace } from "./result.ts";
import { count, QUERY_TIME, ROUNDS, ROWS } from "./sizes.ts";

const { gc } = globalThis as { gc?: () => void };

const BEAT = 1;
/** How long the timer runs before the work and after it, in milliseconds. */
const MARGIN = 60;
const ALL = "SELECT id, x, name, n FROM big";
const ENDLESS = "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) " +
  "SELECT count(*) FROM c";

/** Runs the work with the timer beside it. */
async function trace(work: () => unknown): Promise<Trace> {
  const times: number[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const beat = () => {
    times.push(performance.now());
    timer = setTimeout(beat, BEAT);
  };
  beat();
  await sleep(MARGIN);
  const start = performance.now();
  await work();
  const duration = performance.now() - start;
  await sleep(MARGIN);
  clearTimeout(timer);
  return { beats: times.map((time) => time - start), duration };
}

/** The times between beats that overlap with the work, the timer's own millisecond included. */
function gaps({ beats, duration }: Trace): number[] {
  return beats.slice(1)
    .map((beat, i) => [beats[i]!, beat] as const)
    .filter(([from, to]) => to > 0 && from < duration)
    .map(([from, to]) => to - from);
}

const longest = (trace: Trace): number => Math.max(...gaps(trace));

/** The longest stall while all rows are fetched, and a trace of two sides for the chart. */
export async function stall(
  ours: Connection,
  drivers: readonly [Driver, ...Driver[]],
  asyncDrivers: readonly AsyncDriver[],
): Promise<{ result: Result; traces: { ours: Trace; theirs: Trace } }> {
  const works: [name: string, work: () => unknown][] = [["ours", () => ours.executeFetchAll(ALL)]];
  for (const driver of drivers) {
    const statement = driver.prepare(ALL);
    works.push([driver.name, () => statement.all()]);
  }
  for (const driver of asyncDrivers) {
    const statement = await driver.prepare(ALL);
    works.push([driver.name, () => statement.all()]);
  }
  const traces = works.map(() => [] as Trace[]);
  for (const [, work] of works) await work(); // for everything to be compiled
  for (let i = 0; i < ROUNDS; i++) {
    for (const [j, [, work]] of works.entries()) {
      gc?.();
      traces[j]!.push(await trace(work));
    }
  }
  const stalls = traces.map((all) => median(all.map(longest)));
  const [typical, ...theirs] = stalls as [number, ...number[]];
  const result: Result = {
    key: "stall",
    name: `longest stall while fetching ${count(ROWS)} rows`,
    unit: "ms",
    mark: { kind: "absolute", limit: 8 },
    ours: typical,
    worst: Math.max(...traces[0]!.map(longest)),
    peers: Object.fromEntries(theirs.map((stall, i) => [works[i + 1]![0], stall])),
  };
  const typicalOf = (side: 0 | 1) =>
    traces[side]!.find((trace) => longest(trace) === stalls[side])!;
  return { result, traces: { ours: typicalOf(0), theirs: typicalOf(1) } };
}

/** How late timers are during a long query, less how late they are when there is none. */
export async function lateness(ours: Connection): Promise<Result> {
  const p99 = async (work: () => unknown) => {
    const sorted = gaps(await trace(work)).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length * 0.99)]!;
  };
  const query = async () => {
    const running = ours.executeFetchOne(ENDLESS).catch(() => {}); // ended by the interrupt
    await sleep(QUERY_TIME);
    ours.interrupt();
    await running;
  };
  const more: number[] = [];
  for (let i = 0; i < 3; i++) {
    const idle = await p99(() => sleep(QUERY_TIME));
    more.push(await p99(query) - idle);
  }
  return {
    key: "late",
    name: `timers' p99 lateness added by a ${QUERY_TIME / 1000} s query`,
    unit: "ms",
    mark: { kind: "absolute", limit: 1 },
    ours: median(more),
    worst: Math.max(...more),
    peers: {},
  };
}
