/**
 * The reliability scoreboard: what has to hold whatever goes wrong, counted and measured.
 *
 * Run in a runtime, this prints a table of all rows, or of those named:
 * `deno run -A tests/fault/scoreboard.ts [quick | full] [S8 S12 ...]`, the same with `bun` or
 * `node`. The tests run the rows at their quick sizes, where the limits of what a busy machine
 * disturbs are wider; the limits of the full sizes are the targets.
 *
 * What may crash, or counts files, threads or memory, runs in a process of its own. A database that
 * is open in this process is looked at by another only.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { connect, SqliteError } from "../../mod.ts";
import {
  command,
  type Ended,
  file,
  folder,
  python,
  root,
  runtimeArguments,
  runtimeName,
} from "../helpers.ts";
import type { Report as AwaitPoints } from "./scoreboard/await_points.ts";
import type { Report as Churn } from "./scoreboard/churn.ts";
import type { Report as Counter } from "./scoreboard/counter.ts";
import type { Cell } from "./scoreboard/death.ts";
import type { Report as Forgotten } from "./scoreboard/forget.ts";
import type { Report as Heartbeat } from "./scoreboard/heartbeat.ts";
import type { Report as Storm } from "./scoreboard/storm.ts";
import type { Report as Stream } from "./scoreboard/stream.ts";

/** How much is run: in every run of the tests, or before a release. */
export type Size = "quick" | "full";

/** One thing that was counted or measured. */
export interface Check {
  what: string;
  target: string;
  measured: string;
  passed: boolean;
}

/** What a row has found. */
export interface RowResult {
  id: string;
  scenario: string;
  checks: Check[];
  passed: boolean;
  /** Milliseconds. */
  took: number;
}

/** A row of the table. */
export interface Row {
  id: string;
  scenario: string;
  run(size: Size): Promise<Check[]>;
}

function show(value: unknown): string {
  if (typeof value !== "number") return typeof value === "string" ? value : JSON.stringify(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(1);
}

function equal(what: string, measured: unknown, expected: unknown): Check {
  const [got, target] = [show(measured), show(expected)];
  return { what, target, measured: got, passed: got === target };
}

/** Of a list of failures: there are none. */
function none(what: string, failures: readonly string[]): Check {
  const measured = failures.length === 0 ? "0" : `${failures.length}: ${failures[0]}`;
  return { what, target: "0", measured, passed: failures.length === 0 };
}

function below(what: string, measured: number, limit: number, unit: string): Check {
  return {
    what,
    target: `< ${show(limit)} ${unit}`,
    measured: `${show(measured)} ${unit}`,
    passed: measured < limit,
  };
}

function atLeast(what: string, measured: number, least: number): Check {
  return {
    what,
    target: `>= ${show(least)}`,
    measured: show(measured),
    passed: measured >= least,
  };
}

/** Says how a program ended, unless that was well. */
function crash({ code, signal, stderr }: Ended): string | undefined {
  if (code === 0 && signal === null) return undefined;
  return `ended with ${signal ?? code}: ${stderr.trim().split("\n").slice(-3).join(" ")}`;
}

function script(name: string): string {
  return fileURLToPath(new URL(`scoreboard/${name}.ts`, import.meta.url));
}

/** Runs one of the programs in a process of this runtime; returns what it prints, line by line. */
async function lines(
  name: string,
  args: readonly unknown[],
  { env = {} as Record<string, string>, timeout = 30 * 60_000 } = {},
): Promise<unknown[]> {
  const collect: Record<string, string> = runtimeName === "deno"
    ? { DENO_V8_FLAGS: "--expose-gc" }
    : {};
  const ended = await command(
    process.execPath,
    [...runtimeArguments(script(name)), ...args.map(String)],
    { timeout, env: { ...collect, ...env } },
  );
  const crashed = crash(ended);
  if (crashed) throw new Error(`${name} ${crashed}`);
  return ended.stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/** The same for a program that prints one report. */
async function child<R>(name: string, args: readonly unknown[]): Promise<R> {
  return (await lines(name, args)).at(-1) as R;
}

/** The command of a runtime, and its arguments before a script's path. */
function runtime(name: "deno" | "bun" | "node"): [program: string, args: string[]] {
  const args = name === "deno" ? ["run", "--quiet", "-A", "--no-lock"] : [];
  if (name === runtimeName) return [process.execPath, args];
  const folders = [join(root, "node_modules/.bin"), ...(process.env.PATH ?? "").split(delimiter)];
  const program = folders.map((folder) => join(folder, name)).find(existsSync);
  if (!program) throw new Error(`${name} is missing, with which this is to run together`);
  return [program, args];
}

/** The runtime that this one is run together with. */
const OTHER = { deno: "bun", bun: "node", node: "deno" } as const;

async function counter(size: Size): Promise<Check[]> {
  const times = size === "full" ? 10_000 : 100;
  const checks: Check[] = [];
  for (const journal of ["WAL", "DELETE"]) {
    const path = file();
    await python(path, `PRAGMA journal_mode = ${journal}`);
    await python(path, "CREATE TABLE counter AS SELECT 0 AS n");
    const flags = folder();
    const names = [runtimeName, OTHER[runtimeName]] as const;
    const run = async (me: typeof names[number], other: string): Promise<Counter> => {
      const [program, args] = runtime(me);
      const ready = [join(flags, me), join(flags, other)];
      const between = size === "full" ? "0" : "1";
      const all = [...args, script("counter"), path, String(times), ...ready, between];
      const ended = await command(program, all, { timeout: 30 * 60_000 });
      const crashed = crash(ended);
      if (crashed) throw new Error(`${me} ${crashed}`);
      return JSON.parse(ended.stdout);
    };
    const found = await Promise.all([run(names[0], names[1]), run(names[1], names[0])]);
    const [[n] = []] = await python(path, "SELECT n FROM counter");
    const label = `${journal}, ${names.join(" + ")}`;
    checks.push(
      equal(`${label}: counted`, n, 2 * times),
      none(`${label}: errors`, found.flatMap(({ errors }) => errors)),
      below(`${label}: longest wait`, Math.max(...found.map((one) => one.longest)), 2000, "ms"),
      // Or they have run one after the other, which proves nothing.
      atLeast(`${label}: met`, found[0].met + found[1].met, 2),
    );
  }
  return checks;
}

async function busySnapshot(size: Size): Promise<Check[]> {
  const rounds = size === "full" ? 1000 : 50;
  const path = file();
  const options = { isolationLevel: null, timeout: 2000 } as const;
  await using a = await connect(path, options);
  await using b = await connect(path, options);
  await a.executeScript("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (0)");
  let seen = 0;
  let retried = 0;
  let slowest = 0;
  const other: string[] = [];
  for (let round = 0; round < rounds; round++) {
    let runs = 0;
    const work = (retries: number) =>
      a.transaction(async (tx) => {
        const [x] = (await tx.executeFetchOne("SELECT x FROM t"))!;
        // The snapshot is no longer the newest, so waiting for the lock would not help.
        if (runs++ === 0) await b.execute("UPDATE t SET x = x + 10");
        await tx.execute("UPDATE t SET x = ?", [Number(x) + 1]);
      }, { retries });
    const start = performance.now();
    await work(0).then(() => other.push("no error"), (error) => {
      const busy = error instanceof SqliteError && error.errno === 517 &&
        error.code === "SQLITE_BUSY_SNAPSHOT";
      if (busy) seen++;
      else other.push(String(error));
    });
    slowest = Math.max(slowest, performance.now() - start);
    runs = 0;
    await work(5).then(() => retried += runs === 2 ? 1 : 0, (error) => other.push(String(error)));
  }
  const [[x] = []] = await python(path, "SELECT x FROM t");
  return [
    equal("SQLITE_BUSY_SNAPSHOT (517) seen", seen, rounds),
    equal("whole transactions that succeeded when retried", retried, rounds),
    none("other outcomes", other),
    below("longest until it is said, timeout 2,000 ms", slowest, 1000, "ms"),
    equal("sum of all that was committed", x, rounds * (10 + 10 + 1)),
  ];
}

async function manyTasks(size: Size): Promise<Check[]> {
  const statements = size === "full" ? 10_000 : 1000;
  const transactions = size === "full" ? 1000 : 100;
  await using db = await connect(":memory:", { isolationLevel: null, timeout: 600_000 });
  let wrong = 0;
  const order: number[] = [];
  await Promise.all(Array.from({ length: statements }, async (_, i) => {
    const row = await db.executeFetchOne("SELECT ?, ?", [i, `row ${i}`]);
    order.push(i);
    if (row?.[0] !== i || row[1] !== `row ${i}`) wrong++;
  }));

  // Within a transaction its number is in `inside`, and in the file's header; the trigger notes it
  // beside every row. Outside both are empty.
  await db.executeScript(`
    CREATE TABLE inside (id INTEGER PRIMARY KEY, who);
    INSERT INTO inside VALUES (1, NULL);
    CREATE TABLE item (who, what);
    CREATE TABLE audit (who, what, inside);
    CREATE TRIGGER noted AFTER INSERT ON item BEGIN
      INSERT INTO audit SELECT NEW.who, NEW.what, inside.who FROM inside;
    END`);
  const INSERT = "INSERT INTO item VALUES (?, ?)";
  const foreign: string[] = [];
  let lost = 0;
  let rolledBack = 0;
  let committed = 0;
  // A result that others are half-way through: its rows look inside as they are fetched.
  const watching = await db.execute(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) " +
      "SELECT (SELECT who FROM inside WHERE id = 1 + 0 * i), zeroblob(2000) FROM n",
  );
  const undo = new Error("undone");
  const block = (i: number) =>
    db.transaction(async (tx) => {
      await tx.execute("UPDATE inside SET who = ?", [i]);
      await tx.execute(`PRAGMA user_version = ${i + 1}`);
      await tx.execute(INSERT, [i, "first"]);
      await null;
      await tx.executeMany(INSERT, [[i, "second"], [i, "third"]]);
      // Calls of the connection from within take part.
      await db.execute(INSERT, [i, "fourth"]);
      const [[count] = []] = await tx.executeFetchAll(
        "SELECT count(*) FROM audit WHERE inside = ?",
        [i],
      );
      if (count !== 4) lost++;
      if (i % 3 === 0) throw undo;
      await tx.execute("UPDATE inside SET who = NULL");
      await tx.execute("PRAGMA user_version = 0");
    }, { mode: i % 2 ? "IMMEDIATE" : "DEFERRED" }).then(() => committed++, (error) => {
      if (error !== undo) foreign.push(String(error));
      rolledBack++;
    });
  await Promise.all(Array.from({ length: transactions }, async (_, i) => {
    const [, , , , [version] = [], rows] = await Promise.all([
      block(i),
      db.execute(INSERT, ["single", i]),
      db.executeScript(`INSERT INTO item VALUES ('script', ${i})`),
      db.executeMany(INSERT, [["many", i], ["many", i]]),
      db.executeFetchOne("PRAGMA user_version"),
      watching.fetchMany(40),
    ]);
    if (version !== 0) foreign.push(`a pragma ran inside of ${version}`);
    for (const [inside] of rows) {
      if (inside !== null) foreign.push(`a fetch ran inside of ${inside}`);
    }
  }));
  await watching.close();
  const audit = await db.executeFetchAll("SELECT who, what, inside FROM audit");
  for (const [who, what, inside] of audit) {
    const own = typeof who === "number";
    if (inside !== (own ? who : null)) foreign.push(`${who} ${what} ran inside of ${inside}`);
  }
  const others = audit.filter(([who]) => typeof who !== "number").length;
  return [
    equal("statements answered wrongly", wrong, 0),
    equal("answers in order", order.filter((i, at) => i === at).length, statements),
    none(`foreign statements inside of ${show(transactions)} transactions`, foreign),
    equal("statements missing inside", lost, 0),
    equal("transactions committed", committed, transactions - Math.ceil(transactions / 3)),
    equal("transactions rolled back", rolledBack, Math.ceil(transactions / 3)),
    equal("rows of the committed", audit.length - others, 4 * committed),
    equal("rows of the others", others, 4 * transactions),
  ];
}

async function cancelStorm(size: Size): Promise<Check[]> {
  const signals = size === "full" ? 2000 : 200;
  const path = file();
  const seed = Math.floor(Math.random() * 2 ** 32);
  const found = await child<Storm>("storm", [path, signals, seed]);
  const [[rows] = []] = await python(path, "SELECT count(*) FROM t");
  const [[integrity] = []] = await python(path, "PRAGMA integrity_check");
  return [
    equal(`signals (seed ${seed})`, found.signals, signals),
    atLeast("calls cut short", found.cancelled, signals / 10),
    atLeast("calls answered all the same", found.answered, 1),
    below("p99 from the abort to the end", found.p99, size === "full" ? 50 : 100, "ms"),
    below("longest", found.longest, 1000, "ms"),
    none("other errors", found.otherErrors),
    none("next statements answered wrongly", found.wrongNext),
    equal("transactions left open", found.leftOpen, 0),
    equal("rows of cancelled calls", found.surplus, 0),
    equal("rows missing of fulfilled calls", found.missing, 0),
    equal("rows that another process sees", rows, found.inserted),
    equal("integrity_check", integrity, "ok"),
  ];
}

async function awaitPoints(size: Size): Promise<Check[]> {
  const path = file();
  const found = await child<AwaitPoints>("await_points", [path, size]);
  const checks = Object.entries(found.points).map(([operation, points]): Check => {
    const cancelled = found.cancelled[operation] ?? 0;
    const through = found.through[operation] ?? 0;
    const wrong = found.wrong.filter((one) => one.startsWith(`${operation} after`));
    // All points have been passed only if the last ones came too late.
    const passed = wrong.length === 0 && cancelled > 0 &&
      (through > 0 || operation === "connect, new threads");
    return {
      what: operation,
      target: "0 wrong, some cancelled, some through",
      measured: `${points} points: ${wrong.length} wrong, ${cancelled} cancelled, ` +
        `${through} through${wrong.length > 0 ? `: ${wrong[0]}` : ""}`,
      passed,
    };
  });
  const locked = await python(path, "DELETE FROM t RETURNING 0").then(() => 0, String);
  return [
    ...checks,
    none("wrong in all", found.wrong),
    equal("handles left", found.handles, 0),
    { ...equal("threads left", found.threads, 0), passed: found.threads <= 0 },
    equal("locks left for another process", locked, 0),
  ];
}

/** How a thread ends, and within how many milliseconds calls reject then. */
const DEATHS: Record<string, number> = { throw: 100, rejection: 100, exit: 100, terminate: 100 };
// Elsewhere a thread has no heap limit of its own: running out of memory there ends the process.
// Here the limit is 64 MiB, which take some time to fill.
if (runtimeName === "node") DEATHS.memory = 1000;

async function death(size: Size): Promise<Check[]> {
  const rounds = size === "full" ? 50 : 1;
  const run = async ([how, soon]: [string, number]): Promise<Check[]> => {
    const place = folder();
    const path = join(place, "test.db");
    const cells = await lines("death", [path, how, rounds, join(place, "order-")]);
    const end = cells.pop() as { survived?: boolean };
    const checks = (cells as Cell[]).map(({ state, rounds, rejects, freed, wrong }): Check => {
      const limit = /query|writes|in C/.test(state) ? 1000 : soon;
      return {
        what: `${how}, ${state}: calls reject; lock free for another process`,
        target: `0 wrong; < ${show(limit)} ms; < 2,000 ms`,
        measured: `${rounds} rounds, ${none("", wrong).measured} wrong; ` +
          `${show(rejects)} ms; ${show(freed)} ms`,
        passed: wrong.length === 0 && rounds > 0 && rejects < limit && freed < 2000,
      };
    });
    const [[integrity] = []] = await python(path, "PRAGMA integrity_check");
    return [
      ...checks,
      equal(`${how}: states`, cells.length, how === "terminate" ? 6 : 5),
      equal(`${how}: process alive`, end.survived, true),
      equal(`${how}: integrity_check`, integrity, "ok"),
    ];
  };
  return await inTurn(Object.entries(DEATHS), 1, run);
}

/** Runs so many at a time. */
async function inTurn<T>(
  all: readonly T[],
  atOnce: number,
  run: (one: T) => Promise<Check[]>,
): Promise<Check[]> {
  const checks: Check[] = [];
  for (let at = 0; at < all.length; at += atOnce) {
    checks.push(...(await Promise.all(all.slice(at, at + atOnce).map(run))).flat());
  }
  return checks;
}

/** How a program ends, and what it says by that. */
const EXITS: Record<string, Pick<Ended, "code" | "signal">> = {
  "natural": { code: 5, signal: null },
  "process.exit()": { code: 7, signal: null },
  "uncaught error": { code: 1, signal: null },
  "SIGTERM": { code: null, signal: "SIGTERM" },
  "SIGTERM, handled": { code: 9, signal: null },
};

/** Runs a program that ends in one way; returns how it did, and how long that took in ms. */
function endOf(
  args: readonly string[],
  how: string,
): Promise<Pick<Ended, "code" | "signal" | "stderr"> & { ends: number }> {
  const child = spawn(process.execPath, [...runtimeArguments(script("exit")), ...args], {
    env: { ...process.env, NO_COLOR: "1" },
  });
  let stdout = "";
  let stderr = "";
  let since = NaN;
  child.stderr.on("data", (data) => stderr += data);
  child.stdout.on("data", (data) => {
    stdout += data;
    if (!how.startsWith("SIGTERM") || !Number.isNaN(since) || !stdout.includes("ready")) return;
    since = Date.now();
    // With `child.kill()` Deno says that the signal was the end, whatever came of it.
    process.kill(child.pid!, "SIGTERM");
  });
  const limit = setTimeout(() => child.kill("SIGKILL"), 20_000);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => {
      if (Number.isNaN(since)) return;
      since = Date.now() - since;
    });
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      const said = /ends (\d+)/.exec(stdout)?.[1];
      const ends = how.startsWith("SIGTERM") ? since : Date.now() - Number(said ?? NaN);
      resolve({ code, signal, stderr, ends });
    });
  });
}

async function exits(size: Size): Promise<Check[]> {
  const rounds = size === "full" ? 20 : 1;
  const cells = Object.keys(EXITS).flatMap((how) =>
    ["idle", "in a query", "in a transaction"].map((state) => ({ how, state }))
  );
  const run = async ({ how, state }: typeof cells[number]): Promise<Check[]> => {
    let longest = 0;
    const wrong: string[] = [];
    let left = 0;
    for (let round = 0; round < rounds; round++) {
      const path = file();
      const { code, signal, stderr, ends } = await endOf([path, how, state], how);
      const expected = EXITS[how]!;
      if (code !== expected.code || signal !== expected.signal) {
        wrong.push(`ended with ${signal ?? code} ${stderr.slice(0, 200)}`);
      }
      if (!(ends < 1000)) wrong.push(`took ${ends} ms`);
      longest = Math.max(longest, ends);
      const files = ["-wal", "-shm", "-journal"].filter((end) => existsSync(path + end));
      left += files.length;
      // A signal leaves no time, and Deno tells nobody of an uncaught error: the data are safe.
      const tidy = state === "idle" && (how === "natural" || how === "process.exit()");
      if (tidy && files.length > 0) wrong.push(`left ${files}`);
      const rows = JSON.stringify(
        await python(path, "SELECT x, integrity_check FROM t, pragma_integrity_check"),
      );
      if (rows !== '[["committed","ok"]]') wrong.push(`rows ${rows}`);
    }
    return [{
      what: `${how}, ${state}`,
      target: "0 wrong; < 1,000 ms",
      measured: `${rounds} rounds, ${none("", wrong).measured} wrong; ${longest} ms; ` +
        `${left} files left`,
      passed: wrong.length === 0,
    }];
  };
  // Two at a time: most of it is the start of programs.
  return await inTurn(cells, 2, run);
}

async function forgottenClose(size: Size): Promise<Check[]> {
  const full = size === "full";
  const runs = full ? 100 : 2;
  const hangs: string[] = [];
  let [collected, warnings, forgotten] = [0, 0, 0];
  for (let i = 0; i < runs; i++) {
    try {
      const [found] = await lines("forget", [file(), 5, "-"], { timeout: 10_000 }) as Forgotten[];
      collected += found!.collected;
      warnings += found!.warnings;
      forgotten += found!.forgotten;
    } catch (error) {
      hangs.push(String(error));
    }
  }
  const many = full ? 1000 : 50;
  const found = await child<Forgotten>("forget", [file(), many, "measured"]);
  return [
    none(`programs that do not end by themselves, of ${runs}`, hangs),
    equal("warnings per collected connection", warnings, collected),
    atLeast(`collected, of ${forgotten}`, collected, forgotten * 0.8),
    equal(`${show(many)} dropped: warnings per collected`, found.warnings, found.collected),
    atLeast(`${show(many)} dropped: collected`, found.collected, many * 0.9),
    // Those that a stack still holds keep theirs.
    below("threads left", found.threads, found.forgotten - found.collected + 1, "threads"),
    // Over so few, what the runtime itself grows by weighs most.
    below("memory per connection", found.slope, full ? 20 : 400, "KiB"),
  ];
}

async function streaming(size: Size): Promise<Check[]> {
  const rows = size === "full" ? 1_000_000 : 200_000;
  const found = await child<Stream>("stream", [file(), rows]);
  return [
    equal("rows", found.rows, rows),
    below("growth of memory", found.growth, 64, "MiB"),
    below("first row", found.first, size === "full" ? 50 : 200, "ms"),
    below("lock free after break", found.freed, size === "full" ? 50 : 200, "ms"),
  ];
}

async function heartbeat(size: Size): Promise<Check[]> {
  const full = size === "full";
  const found = await child<Heartbeat>("heartbeat", [file(), full ? 10_000 : 300]);
  const { nothing, ...busy } = found;
  // Beside other programs on few cores, timers are late whatever this one does.
  const [most, usual] = full ? [20, 10] : [300, 100];
  return Object.entries(busy).map(([name, { p99, longest, timers, calls }]) => ({
    what: `${name}: timers late, p99 and longest`,
    target: `< ${usual} ms, < ${most} ms`,
    measured: `${show(p99)} ms, ${show(longest)} ms (${timers} timers, ${calls} calls; ` +
      `idle: ${show(nothing!.p99)} ms, ${show(nothing!.longest)} ms)`,
    passed: p99 < usual && longest < most && timers > 0 && calls > 0,
  }));
}

async function churn(size: Size): Promise<Check[]> {
  const cycles = size === "full" ? 1000 : 200;
  const found = await child<Churn>("churn", [file(), cycles, 100]);
  return [
    equal("cycles", found.cycles, cycles),
    equal("files left", found.files, 0),
    { ...equal("threads left", found.threads, 0), passed: found.threads <= 0 },
    equal("threads started", found.started, 1),
    equal("threads more than at first, at most", found.most, 0),
    below("memory per cycle", found.slope, size === "full" ? 20 : 60, "KiB"),
  ];
}

/** The rows of the table. */
export const ROWS: readonly Row[] = [
  { id: "S8", scenario: "two runtimes add to one counter", run: counter },
  { id: "S10", scenario: "a snapshot that can't be written to is retried", run: busySnapshot },
  { id: "S11", scenario: "many tasks share a connection", run: manyTasks },
  { id: "S12", scenario: "calls are cancelled at random times", run: cancelStorm },
  { id: "S13", scenario: "calls are cancelled wherever they wait", run: awaitPoints },
  { id: "S14", scenario: "a thread dies", run: death },
  { id: "S15", scenario: "the process ends", run: exits },
  { id: "S16", scenario: "connections are forgotten", run: forgottenClose },
  { id: "S17", scenario: "many rows are read one by one", run: streaming },
  { id: "S18", scenario: "timers while the thread is busy", run: heartbeat },
  { id: "S19", scenario: "connections are opened and closed", run: churn },
];

/** Runs a row; a crash or an error is a failure of it. */
export async function runRow(row: Row, size: Size): Promise<RowResult> {
  const start = performance.now();
  let checks: Check[];
  try {
    checks = await row.run(size);
  } catch (error) {
    checks = [none("errors", [String(error)])];
  }
  const { id, scenario } = row;
  const passed = checks.length > 0 && checks.every(({ passed }) => passed);
  return { id, scenario, checks, passed, took: performance.now() - start };
}

/** Lines of a table of a row's checks. */
export function format({ id, scenario, checks, took }: RowResult): string {
  const rows = checks.map(({ what, target, measured, passed }) =>
    `| ${[id, scenario, what, target, measured, passed ? "pass" : "**FAIL**"].join(" | ")} |`
  );
  return `${rows.join("\n")}\n| ${id} | | | | ${(took / 1000).toFixed(1)} s | |`;
}

async function main(args: readonly string[]): Promise<void> {
  const size = args.includes("quick") ? "quick" : "full";
  const named = args.filter((arg) => arg !== "quick" && arg !== "full");
  const unknown = named.filter((name) => !ROWS.some(({ id }) => id === name));
  if (unknown.length > 0) throw new Error(`There is no row ${unknown.join(", ")}`);
  const rows = ROWS.filter(({ id }) => named.length === 0 || named.includes(id));
  console.log(`Reliability in ${runtimeName}, ${size} sizes\n`);
  console.log("| id | scenario | counted | target | measured | |\n|---|---|---|---|---|---|");
  const failed: string[] = [];
  for (const row of rows) {
    const result = await runRow(row, size);
    console.log(format(result));
    if (!result.passed) failed.push(row.id);
  }
  console.log(`\n${rows.length - failed.length} rows passed, ${failed.length} failed ${failed}`);
  if (failed.length > 0) process.exitCode = 1;
}

if (import.meta.main) await main(process.argv.slice(2));
