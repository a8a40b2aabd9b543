import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { connect } from "../../mod.ts";
import { command, type Ended, file, runtimeArguments } from "../helpers.ts";
import { fileURLToPath } from "node:url";
import { NUMBERS, watchThreads } from "./scoreboard/measure.ts";
import type { Report as Reuse } from "./scoreboard/reuse.ts";
import { type Row, type RowResult, ROWS, runRow } from "./scoreboard.ts";

const skip = process.platform !== "linux" && "counts files and threads in /proc";

/** How many connections there are in turn. */
const TURNS = 500;

/** Rows that count rather than measure, and wait for threads to end. */
const WAITING = ROWS.filter(({ id }) => id === "S13");

let waited: Promise<[reuse: Ended, rows: RowResult[]]> | undefined;

/** Runs these rows all at once and what counts threads with them, beside nothing else. */
function waiting(): Promise<[reuse: Ended, rows: RowResult[]]> {
  const script = fileURLToPath(new URL("scoreboard/reuse.ts", import.meta.url));
  return waited ??= Promise.all([
    command(process.execPath, [...runtimeArguments(script), String(TURNS)]),
    Promise.all(WAITING.map((row) => runRow(row, "quick"))),
  ]);
}

async function result(row: Row): Promise<RowResult> {
  const at = WAITING.indexOf(row);
  return at < 0 ? await runRow(row, "quick") : (await waiting())[1][at]!;
}

for (const row of ROWS) {
  test(`Scoreboard ${row.id}: ${row.scenario}`, { timeout: 120_000, skip }, async () => {
    const { checks } = await result(row);
    assert.ok(checks.length > 0);
    assert.deepEqual(checks.filter(({ passed }) => !passed), []);
  });
}

test(`Threads: ${TURNS} connections in turn take one, 20 at once the same 20 again`, {
  timeout: 60_000,
  skip,
}, async () => {
  const [ended] = await waiting();
  assert.deepEqual([ended.code, ended.signal], [0, null], ended.stderr);
  const found: Reuse = JSON.parse(ended.stdout);
  assert.deepEqual(found.wrong, []);
  assert.equal(found.started, 1);
  assert.equal(found.most, 0);
  // The third time comes after all have ended.
  assert.deepEqual(found.atOnce, [20, 20, 40]);
  assert.ok(found.left <= 0, `${found.left} threads left`);
});

const threads = watchThreads();

/** The thread used last, which has to be the same as that one. */
function sameThread(as?: unknown): unknown {
  const thread = threads.at(-1);
  assert.ok(thread);
  if (as !== undefined) assert.equal(thread, as, "another thread");
  return thread;
}

const SETTINGS = [
  "foreign_keys",
  "cache_size",
  "query_only",
  "synchronous",
  "recursive_triggers",
  "temp_store",
  "journal_mode",
  "locking_mode",
];

test("Threads: the next connection sees nothing of the state of the one before", async () => {
  const path = file();
  const state = async (db: Awaited<ReturnType<typeof connect>>) => {
    const settings = [];
    for (const name of SETTINGS) settings.push(await db.executeFetchOne(`PRAGMA ${name}`));
    return [
      ...settings,
      await db.executeFetchAll("SELECT name FROM pragma_database_list"),
      await db.executeFetchAll("SELECT name FROM sqlite_temp_master"),
      await db.executeFetchOne("SELECT last_insert_rowid(), changes(), total_changes()"),
      await db.executeFetchOne("SELECT 'A' LIKE 'a'"),
      [db.inTransaction, db.totalChanges, db.isolationLevel, db.autocommit],
    ];
  };
  let fresh: unknown;
  {
    await using db = await connect(path);
    await db.execute("CREATE TABLE t (x)");
    fresh = await state(db);
  }
  const thread = sameThread();
  {
    await using db = await connect(path, { isolationLevel: "EXCLUSIVE", timeout: 1 });
    sameThread(thread);
    await db.executeScript(`
      PRAGMA temp_store = MEMORY; ATTACH ':memory:' AS other; CREATE TEMP TABLE mine (x); CREATE TABLE other.t (y);
      PRAGMA foreign_keys = ON; PRAGMA cache_size = 7; PRAGMA synchronous = OFF;
      PRAGMA recursive_triggers = ON; PRAGMA case_sensitive_like = ON;
      PRAGMA locking_mode = EXCLUSIVE; INSERT INTO mine VALUES (1), (2), (3)`);
    db.isolationLevel = null;
    db.isolationLevel = "IMMEDIATE";
    await db.execute("INSERT INTO t VALUES ('not committed')");
    await db.execute("PRAGMA query_only = ON");
    assert.notDeepEqual(await state(db), fresh);
    assert.equal(db.inTransaction, true);
  }
  await using db = await connect(path);
  sameThread(thread);
  assert.deepEqual(await state(db), fresh);
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
  await assert.rejects(db.execute("SELECT * FROM mine"), /no such table/);
});

test("Threads: the next connection sees nothing of the statements of the one before", async () => {
  let thread: unknown;
  for (let round = 0; round < 5; round++) {
    await using db = await connect(":memory:", { cachedStatements: 4 });
    thread = sameThread(thread);
    // The same texts, but tables of other columns, and other texts in the same places.
    const columns = Array.from({ length: round + 1 }, (_, i) => `c${i}_${round}`);
    await db.execute(`CREATE TABLE t (${columns})`);
    await db.execute(`INSERT INTO t VALUES (${columns.map(() => round)})`);
    await using cursor = await db.execute("SELECT * FROM t");
    assert.deepEqual(cursor.description?.map(({ name }) => name), columns);
    assert.deepEqual(await cursor.fetchAll(), [columns.map(() => round)]);
    for (let i = 0; i < 10; i++) {
      const value = `${round} ${i}`;
      assert.deepEqual(await db.executeFetchOne(`SELECT '${value}', ?`, [i]), [value, i]);
    }
    // What is left half read, and a failed executeMany, whose numbers the next one uses as well.
    await db.execute(`${NUMBERS} SELECT i FROM n`);
    await db.execute("CREATE UNIQUE INDEX u ON t (1)");
    await assert.rejects(db.executeMany(`INSERT INTO t DEFAULT VALUES`, [[], []]));
    await db.rollback();
  }
});

test("Threads: the next connection is hit by no interrupt or abort of the one before", async () => {
  let thread: unknown;
  for (let round = 0; round < 30; round++) {
    const db = await connect(":memory:", { isolationLevel: null, timeout: 0 });
    thread = sameThread(thread);
    const controller = new AbortController();
    const { signal } = controller;
    const calls = Array.from(
      { length: 50 },
      (_, i) => db.executeFetchOne(`${NUMBERS} SELECT count(*), ? FROM n`, [i], { signal }),
    );
    const settled = Promise.allSettled(calls);
    const tx = db.transaction({ mode: "IMMEDIATE" }).catch(() => {});
    // Before or while it closes; an interrupt can come before only.
    const closing = round % 2 ? undefined : db.close();
    setTimeout(() => {
      if (!db.closed) db.interrupt();
      controller.abort();
    }, round % 4);
    await settled;
    if (!db.closed) db.interrupt();
    await (closing ?? db.close());
    await tx;
    assert.ok((await settled).every(({ status }) => status === "rejected"));

    await using next = await connect(":memory:", { isolationLevel: null });
    sameThread(thread);
    const { signal: never } = new AbortController();
    const rows = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        next.executeFetchOne(
          `${NUMBERS} SELECT count(*), ? FROM (SELECT i FROM n LIMIT 100)`,
          [i],
          { signal: never },
        )),
    );
    assert.deepEqual(rows, Array.from({ length: 100 }, (_, i) => [100, i]));
  }
});
