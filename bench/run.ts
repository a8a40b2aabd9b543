/**
 * Runs the benchmark in each runtime, one after the other, prints the table and draws the chart.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { connect } from "../mod.ts";
import { chart } from "./chart.ts";
import type { Cold, Idle } from "./fresh.ts";
import { type Column, median, type Report, type Result } from "./result.ts";

const { values: options } = parseArgs({
  options: {
    /** Small sizes: only to see that everything works. */
    quick: { type: "boolean", default: false },
    /** Only these columns, by the beginning of their titles. */
    only: { type: "string" },
    /** Where the chart goes. */
    chart: { type: "string" },
  },
});
const env: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${fileURLToPath(new URL("../node_modules/.bin", import.meta.url))}${delimiter}${
    process.env.PATH ?? ""
  }`,
};
if (options.quick) env.BENCH_QUICK = process.env.BENCH_QUICK = "1";
// After that, since these look at it.
const { COLD_STARTS, count, IDLE_TIME, INSERTS, ROWS, SEED } = await import("./sizes.ts");
const { cell, marksTable, missed, peersTable } = await import("./table.ts");

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** A process hands over its garbage collector, for each round to begin without the last one's. */
const NODE = ["node", "--disable-warning=ExperimentalWarning", "--expose-gc"];
const RUNTIMES = [
  { title: "Deno", command: ["deno", "run", "-A", "--v8-flags=--expose-gc"], others: [] },
  { title: "Bun", command: ["bun", "--expose-gc"], others: [] },
  { title: "Node, koffi", command: NODE, others: ["others"] },
  {
    title: "Node, node:ffi",
    command: [...NODE, "--import", new URL("../scripts/hide_koffi.ts", import.meta.url).href],
    others: [],
  },
];

/** Runs a module in a runtime and hands over the lines it prints. */
async function run(command: string[], line: (text: string) => void): Promise<void> {
  const [program, ...rest] = command;
  const child = spawn(program!, rest, { env, stdio: ["ignore", "pipe", "inherit"] });
  const exit = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", resolve);
  });
  for await (const text of createInterface(child.stdout)) line(text);
  if (await exit !== 0) throw new Error(`${command.join(" ")} has failed`);
}

async function measure(
  { title, command, others }: typeof RUNTIMES[number],
  folder: string,
): Promise<Column> {
  const column: Column = { title, about: "", results: new Map() };
  const add = (result: Result) => {
    column.results.set(result.key, result);
    console.error(`  ${result.name}: ${cell(result)}`);
  };
  await run([...command, file("main.ts"), folder, ...others], (text) => {
    const report = JSON.parse(text) as Report;
    if ("about" in report) console.error(`${title}: ${column.about = report.about}`);
    else if ("note" in report) notes.push(report.note);
    else if ("traces" in report) column.traces = report.traces;
    else add(report.result);
  });
  await fresh([...command, file("fresh.ts")], folder, add);
  return column;
}

/** What takes a new process each time. */
async function fresh(
  command: string[],
  folder: string,
  add: (result: Result) => void,
): Promise<void> {
  const paths = ["fresh-ours.db", "fresh-theirs.db"].map((name) => join(folder, name));
  for (const path of paths) copyFileSync(join(folder, "seed.db"), path);
  const colds: Cold[] = [];
  for (let i = 0; i < COLD_STARTS; i++) {
    await run([...command, "cold", ...paths], (text) => colds.push(JSON.parse(text)));
  }
  const [{ name }] = colds as [Cold];
  const reported = (
    key: string,
    name: string,
    ours: number,
    peers: Record<string, number>,
  ): Result => ({ key, name, unit: "ms", mark: null, ours, peers });
  const theirs = { [name]: median(colds.map((cold) => cold.theirs)) };
  const first = median(colds.map((cold) => cold.ours));
  add(reported("cold", "connect and close, first in the process", first, theirs));
  const thread = median(colds.map((cold) => cold.thread));
  add(reported("thread", "connect and close, with a new thread", thread, {}));
  await run([...command, "idle", ...paths], (text) => {
    const idle = JSON.parse(text) as Idle;
    const cpu = `CPU time of an idle connection in ${IDLE_TIME / 1000} s`;
    add({ ...reported("idle", cpu, idle.cpu, {}), mark: { kind: "absolute", limit: 0 } });
    const memory = "memory of one more idle connection";
    add({ ...reported("memory", memory, idle.ours, { [name]: idle.theirs }), unit: "MB" });
  });
}

/** The same work in C, where that can be compiled; milliseconds by row. */
function limit(folder: string): Record<string, number> {
  const program = join(folder, "limit");
  const compiled = spawnSync("gcc", ["-O2", file("limit.c"), "-o", program, "-lsqlite3"]);
  if (compiled.status !== 0) {
    const why = compiled.error?.message ?? String(compiled.stderr).split("\n")[0];
    notes.push(`C is left out: ${why}`);
    return {};
  }
  const path = join(folder, "c.db");
  copyFileSync(join(folder, "seed.db"), path);
  const { stdout, status } = spawnSync(program, [path, String(INSERTS)], { encoding: "utf8" });
  if (status !== 0) throw new Error("limit.c has failed");
  return JSON.parse(stdout);
}

const notes: string[] = [];
const folder = mkdtempSync(join(tmpdir(), "aiosqlite-bench-"));
try {
  console.error(`Making a table of ${count(ROWS)} rows`);
  {
    await using seed = await connect(join(folder, "seed.db"), { isolationLevel: null });
    await seed.executeScript(SEED);
  }
  const inC = limit(folder);
  const columns: Column[] = [];
  for (const runtime of RUNTIMES) {
    if (options.only && !runtime.title.startsWith(options.only)) continue;
    const own = join(folder, String(columns.length));
    mkdirSync(own);
    copyFileSync(join(folder, "seed.db"), join(own, "seed.db"));
    columns.push(await measure(runtime, own));
    rmSync(own, { recursive: true });
  }
  console.log(marksTable(columns));
  console.log(peersTable(columns, inC));
  for (const note of notes) console.log(note);
  console.log(missed(columns));
  const path = options.chart ?? (options.quick || options.only ? undefined : file("chart.svg"));
  if (path) {
    writeFileSync(path, chart(columns));
    spawnSync("deno", ["fmt", "--quiet", path], { env }); // it has to pass the check as well
  }
} finally {
  rmSync(folder, { recursive: true });
}
