import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../../mod.ts";
import { file, program } from "../helpers.ts";

const MB = 1 << 20;
const MILLION = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)";

test("10,000 statements at once each get their own answer", async () => {
  await using db = await connect(":memory:");
  const rows = await Promise.all(
    Array.from({ length: 10_000 }, (_, i) => db.executeFetchOne("SELECT ?, ?", [i, `row ${i}`])),
  );
  for (const [i, row] of rows.entries()) assert.deepEqual(row, [i, `row ${i}`]);
});

test("Failures among 10,000 statements at once go to those that failed", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x UNIQUE)");
  const inserts = await Promise.allSettled(
    Array.from({ length: 10_000 }, (_, i) => db.execute("INSERT INTO t VALUES (?)", [i % 5000])),
  );
  for (const [i, insert] of inserts.entries()) {
    assert.equal(insert.status, i < 5000 ? "fulfilled" : "rejected", String(i));
  }
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [5000]);
});

test("Streaming 1,000,000 rows takes little memory", { timeout: 60_000 }, async () => {
  // In a process of its own: what other tests have left behind is theirs.
  const { stdout, stderr } = await program(`
    const db = await aiosqlite.connect(":memory:");
    const { rss } = process.memoryUsage();
    let most = rss;
    let sum = 0;
    const sql = "${MILLION} SELECT i, printf('row %060d', i) FROM n";
    for await (const [i, text] of db.execute(sql)) {
      sum += i + text.length;
      if (i % 10_000 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    console.log(JSON.stringify([sum, (most - rss) / ${MB}]));
    await db.close();
  `);
  const [sum, growth] = JSON.parse(stdout || `["${stderr}", 0]`);
  assert.equal(sum, 500_000_500_000 + 64 * 1_000_000);
  assert.ok(growth < 100, `${growth} MB`);
});

test("A slow reader makes the thread wait, not the memory grow", async () => {
  await using db = await connect(":memory:");
  const rows = db.execute(`${MILLION} SELECT i, zeroblob(1000) FROM n`)[Symbol.asyncIterator]();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 100; i++) assert.equal((await rows.next()).value?.[0], i + 1);
  const start = process.cpuUsage();
  await pause(500); // a gigabyte would be here by now
  const { user, system } = process.cpuUsage(start);
  const growth = process.memoryUsage().rss - before;
  assert.ok(growth < 50 * MB, `${Math.round(growth / MB)} MB`);
  assert.ok(user + system < 200_000, `${user + system} us`);
  assert.equal((await rows.next()).value?.[0], 101);
  await rows.return!();
});

test("Breaking out of a loop over 1,000,000 rows frees the lock", async () => {
  const path = file();
  await using db = await connect(path);
  await db.execute("CREATE TABLE t (x)");
  await db.execute(`INSERT INTO t ${MILLION} SELECT i FROM n`);
  await db.commit();
  await using other = await connect(path, { timeout: 0 });
  const before = process.memoryUsage().rss;
  for (let round = 0; round < 20; round++) {
    let rows = 0;
    for await (const [x] of db.execute("SELECT x FROM t")) {
      assert.equal(x, ++rows);
      if (rows === 10) break;
    }
    await other.execute("UPDATE t SET x = x WHERE rowid = ?", [1]);
    await other.commit(); // refused while the other still reads
  }
  const growth = process.memoryUsage().rss - before;
  assert.ok(growth < 100 * MB, `${Math.round(growth / MB)} MB`);
});

test("A throw in a loop over rows frees the lock", async () => {
  const path = file();
  await using db = await connect(path);
  await db.execute("CREATE TABLE t (x)");
  await db.executeMany("INSERT INTO t VALUES (?)", Array.from({ length: 50_000 }, (_, i) => [i]));
  await db.commit();
  await assert.rejects(async () => {
    for await (const _ of db.execute("SELECT x FROM t")) throw new Error("mine");
  }, /mine/);
  await using other = await connect(path, { timeout: 0 });
  await other.execute("DELETE FROM t");
  await other.commit();
});

test("Other statements run while a result is half read", async () => {
  await using db = await connect(":memory:");
  let sum = 0;
  for await (const [i] of db.execute(`${MILLION} SELECT i FROM n LIMIT 2000`)) {
    sum += (await db.executeFetchOne("SELECT ? * 2", [i as number]))![0] as number;
  }
  assert.equal(sum, 2 * 2001 * 1000);
});

test(
  "Opening and closing 100 connections leaks no file and no thread",
  { skip: process.platform !== "linux" && "counts what is in /proc", timeout: 60_000 },
  async () => {
    const path = file();
    const use = async () => {
      await using db = await connect(path);
      await db.executeFetchOne("SELECT * FROM sqlite_master");
    };
    const count = (what: "fd" | "task") => readdirSync(`/proc/self/${what}`).length;
    for (let i = 0; i < 10; i++) await use(); // the runtime's own threads start as needed
    const [files, threads] = [count("fd"), count("task")];
    for (let i = 0; i < 100; i++) await use();
    // Nothing tells when the operating system is done with a thread that has ended.
    for (let i = 0; i < 300; i++) {
      if (count("fd") <= files + 5 && count("task") <= threads + 5) break;
      await pause(10);
    }
    assert.ok(count("fd") <= files + 5, `${files} files before, ${count("fd")} after`);
    assert.ok(count("task") <= threads + 5, `${threads} threads before, ${count("task")} after`);
  },
);
