/**
 * Runs every check, then all tests in each runtime, those that are about C once more with Node's own
 * FFI, and sums them up. What a task does is said in deno.json.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { delimiter } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const CHECKS = ["format", "lint", "check", "arrows", "signatures", "publishable", "examples"];

/** A runtime's task, and where its closing lines say what became of the tests. */
interface Suite {
  readonly task: string;
  readonly passed: readonly RegExp[];
  readonly failed: readonly RegExp[];
  readonly skipped: readonly RegExp[];
}

const NODE: Suite = {
  task: "test:node",
  passed: [/^\S+ pass (\d+)$/gm],
  failed: [/^\S+ fail (\d+)$/gm, /^\S+ cancelled (\d+)$/gm],
  skipped: [/^\S+ skipped (\d+)$/gm, /^\S+ todo (\d+)$/gm],
};
const NODE_FFI: Suite = { ...NODE, task: "test:node-ffi" };

const SUITES: readonly Suite[] = [
  {
    task: "test",
    passed: [/^(?:ok|FAILED) \| (\d+) passed/gm],
    failed: [/^(?:ok|FAILED) \| .*?(\d+) failed/gm],
    skipped: [/^(?:ok|FAILED) \| .*?(\d+) ignored/gm],
  },
  {
    task: "test:bun",
    passed: [/^ *(\d+) pass$/gm],
    failed: [/^ *(\d+) fail$/gm],
    skipped: [/^ *(\d+) skip$/gm, /^ *(\d+) todo$/gm],
  },
  NODE,
];

/** Milliseconds after which a task is taken to hang. */
const LIMIT = 5 * 60_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, NO_COLOR: "1" };

const total = { passed: 0, failed: 0, skipped: 0 };

/** Runs a task, showing what it prints. Returns that, and whether it went well. */
function run(task: string): Promise<{ output: string; ok: boolean }> {
  console.log(`\n== ${task}`);
  // In a process group, for what it has started to end with it.
  const child = spawn("deno", ["task", "--quiet", task], { cwd: root, env, detached: true });
  const end = (signal: "SIGTERM" | "SIGKILL") => process.kill(-child.pid!, signal);
  const timers = [
    setTimeout(() => end("SIGTERM"), LIMIT), // on which Node says which file it is in
    setTimeout(() => end("SIGKILL"), LIMIT + 5000),
  ];
  const interrupt = () => {
    end("SIGKILL");
    process.exit(130);
  };
  process.once("SIGINT", interrupt);
  let output = "";
  child.stdout.pipe(process.stdout, { end: false });
  child.stderr.pipe(process.stderr, { end: false });
  child.stdout.on("data", (data) => output += data);
  child.stderr.on("data", (data) => output += data);
  return new Promise((resolve) => {
    child.on("close", (code) => {
      timers.forEach(clearTimeout);
      process.off("SIGINT", interrupt);
      resolve({ output: stripVTControlCharacters(output), ok: code === 0 });
    });
  });
}

/** Sum of the numbers that the patterns find last. */
function count(output: string, patterns: readonly RegExp[]): number {
  return patterns
    .map((pattern) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0))
    .reduce((a, b) => a + b);
}

/** Runs all tests in one runtime; returns how many there were. */
async function runSuite({ task, ...patterns }: Suite): Promise<number> {
  const { output, ok } = await run(task);
  const passed = count(output, patterns.passed);
  const failed = count(output, patterns.failed);
  const skipped = count(output, patterns.skipped);
  total.passed += passed;
  total.skipped += skipped;
  // No test at all, or a crash beside the tests, is a failure, too.
  const sound = ok && passed > 0;
  total.failed += sound ? failed : Math.max(failed, 1);
  return passed + failed + skipped;
}

for (const task of CHECKS) total[(await run(task)).ok ? "passed" : "failed"]++;

const counts: number[] = [];
for (const suite of SUITES) counts.push(await runSuite(suite));
const ffi = await runSuite(NODE_FFI);
const alike = counts.every((tests) => tests === counts[0]);
if (!alike) total.failed++; // some test was left out
console.log(`\nTests in Deno, Bun and Node: ${counts.join(", ")}${alike ? "" : ", not alike"}`);
console.log(`Tests with node:ffi: ${ffi}`);

const { passed, failed, skipped } = total;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 ? 1 : 0;
