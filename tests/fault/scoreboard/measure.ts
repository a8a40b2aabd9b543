/**
 * What the scoreboard's programs measure with. Each is a process of its own, and says what it has
 * found as JSON in its last line.
 *
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";

export { pause };

/** Rows without end. */
export const NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

/** Says what was found. */
export function report(found: object): void {
  console.log(JSON.stringify(found));
}

/** The value that a share of all values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** What runtimes start for their own compiling and collecting, whenever they see fit. */
const HELPERS =
  /^(JITWorker|HeapHelper|JSCWarmUp|Bun Pool|mi-scavenger|V8 |node-V8|DelayedTask|SignalInsp|ollector Thread)/;

/** Open files of this process; or its threads, the runtime's helpers left aside. */
export function count(what: "fd" | "task"): number {
  const names = readdirSync(`/proc/self/${what}`);
  if (what === "fd") return names.length;
  return names.filter((task) => {
    try {
      return !HELPERS.test(readFileSync(`/proc/self/task/${task}/comm`, "utf8"));
    } catch {
      return false; // it has just ended
    }
  }).length;
}

/** How often this process has a file open; a look at the links opens nothing. */
export function handles(path: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false; // the one that reading the folder had open
    }
  }).length;
}

/** Waits until something holds; returns whether it does. */
export async function until(holds: () => boolean, milliseconds: number): Promise<boolean> {
  for (const end = performance.now() + milliseconds; !holds();) {
    if (performance.now() > end) return false;
    await pause(5);
  }
  return true;
}

interface Collecting {
  Bun?: { gc(synchronously: boolean): void };
  gc?: () => void;
}

/** Collects garbage. Deno needs `--expose-gc` from outside, the others nothing. */
export const collect: () => void = (() => {
  const { Bun, gc } = globalThis as Collecting;
  if (Bun) return () => Bun.gc(true);
  if (gc) return () => gc();
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
})();

/** Resident memory in KiB, garbage left aside. */
export async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect();
    await pause(1);
  }
  return process.memoryUsage().rss / 1024;
}

/** A generator of random numbers below 1 that can be repeated. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Threads that were started from here on, the last one used last. */
export function watchThreads(): Worker[] {
  const threads: Worker[] = [];
  const { ref, unref } = Worker.prototype;
  const use = (thread: Worker) => {
    const at = threads.indexOf(thread);
    if (at >= 0) threads.splice(at, 1);
    threads.push(thread);
  };
  Worker.prototype.ref = function () {
    use(this);
    return ref.call(this);
  };
  Worker.prototype.unref = function () {
    use(this);
    return unref.call(this);
  };
  return threads;
}
