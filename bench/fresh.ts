/**
 * What only a process that has done nothing else can tell: the first connection's time, and what an
 * idle connection costs. Prints one line of JSON.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Connection } from "../mod.ts";
import { builtin } from "./builtin.ts";
import { IDLE_TIME } from "./sizes.ts";

/** What comes of each task, in milliseconds and megabytes. */
export interface Cold {
  readonly name: string;
  readonly ours: number;
  readonly theirs: number;
  /** Another connection while the first is open, which needs a thread of its own. */
  readonly thread: number;
}
export interface Idle {
  readonly name: string;
  readonly cpu: number;
  readonly ours: number;
  readonly theirs: number;
}

const { gc } = globalThis as { gc?: () => void };

/** Connections among which the memory is shared out. */
const MANY = 8;
const SELECT = "SELECT name FROM big WHERE id = 1";

async function time(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function cold(ourPath: string, theirPath: string): Promise<Cold> {
  const reconnect = async () => await (await connect(ourPath)).close();
  const ours = await time(reconnect);
  let name = "";
  const theirs = await time(() => {
    const db = builtin(theirPath);
    db.close();
    name = db.name;
  });
  await using _first = await connect(ourPath); // takes the warm thread
  return { name, ours, theirs, thread: await time(reconnect) };
}

async function idle(ourPath: string, theirPath: string): Promise<Idle> {
  const before = cpuTimes();
  const kept = [await open(ourPath)];
  await sleep(300); // what comes up with it, comes up
  const started = [...cpuTimes().keys()].filter((thread) => !before.has(thread));
  const start = cpuTimes();
  await sleep(IDLE_TIME);
  const end = cpuTimes();
  // One that has ended meanwhile tells nothing any more.
  const lasting = started.filter((id) => end.has(id));
  const cpu = lasting.reduce((sum, id) => sum + end.get(id)! - (start.get(id) ?? 0), 0);
  const ours = await perConnection(async () => kept.push(await open(ourPath)));
  for (const db of kept) await db.close();

  const theirDrivers = [builtin(theirPath)];
  const theirs = await perConnection(() => {
    const db = builtin(theirPath);
    db.prepare(SELECT).get();
    theirDrivers.push(db);
  });
  for (const db of theirDrivers) db.close();
  return { name: theirDrivers[0]!.name, cpu: cpu / 1e6, ours, theirs };
}

async function open(path: string): Promise<Connection> {
  const db = await connect(path);
  await db.executeFetchOne(SELECT);
  return db;
}

/** Megabytes of resident memory that one more takes. */
async function perConnection(openOne: () => unknown): Promise<number> {
  gc?.();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < MANY; i++) await openOne();
  await sleep(300);
  gc?.();
  return (process.memoryUsage().rss - before) / MANY / 2 ** 20;
}

/**
 * Nanoseconds of CPU by thread. Where there is no /proc, what the whole process has used stands for
 * a thread that appears with the connection: too much rather than too little.
 */
let asked = 0;
function cpuTimes(): Map<string, number> {
  const tasks = "/proc/self/task";
  try {
    const threads = readdirSync(tasks);
    return new Map(threads.map((thread) => {
      const [used] = readFileSync(`${tasks}/${thread}/schedstat`, "utf8").split(" ");
      return [thread, Number(used)];
    }));
  } catch {
    const { user, system } = process.cpuUsage();
    return asked++ === 0 ? new Map() : new Map([["all", (user + system) * 1000]]);
  }
}

const [task, ourPath, theirPath] = process.argv.slice(2) as [string, string, string];
console.log(JSON.stringify(await (task === "cold" ? cold : idle)(ourPath, theirPath)));
