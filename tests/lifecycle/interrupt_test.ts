import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect, OperationalError } from "../../mod.ts";

const NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
const ENDLESS = `${NUMBERS} SELECT count(*) FROM n`;

function isInterrupt(error: unknown): boolean {
  assert.ok(error instanceof OperationalError, String(error));
  assert.deepEqual([error.code, error.errno], ["SQLITE_INTERRUPT", 9]);
  return true;
}

/** No event tells that a statement has begun; after this it has. */
const begun = () => pause(50);

test("interrupt() ends an endless query; the connection goes on", async () => {
  await using db = await connect(":memory:");
  const query = assert.rejects(db.execute(ENDLESS), isInterrupt);
  await begun();
  const start = performance.now();
  db.interrupt();
  await query;
  assert.ok(performance.now() - start < 500);
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("interrupt() leaves alone what is queued behind", async () => {
  await using db = await connect(":memory:");
  const query = assert.rejects(db.execute(ENDLESS), isInterrupt);
  const behind = Array.from({ length: 100 }, (_, i) => db.executeFetchOne("SELECT ?", [i]));
  await begun();
  db.interrupt();
  await query;
  assert.deepEqual(await Promise.all(behind), Array.from({ length: 100 }, (_, i) => [i]));
});

test("interrupt() does nothing to an idle connection", async () => {
  await using db = await connect(":memory:");
  for (let i = 0; i < 100; i++) {
    db.interrupt();
    assert.deepEqual(await db.executeFetchOne("SELECT ?", [i]), [i]);
  }
});

test("interrupt() ends a loop over endless rows", async () => {
  await using db = await connect(":memory:");
  // Between two batches nothing runs, so that one interrupt may hit nothing.
  const interrupts = setInterval(() => db.interrupt(), 1);
  try {
    await assert.rejects(async () => {
      for await (const _ of db.execute(`${NUMBERS} SELECT i FROM n`));
    }, isInterrupt);
  } finally {
    clearInterval(interrupts);
  }
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("interrupt() while another result is half read leaves alone what comes after", async () => {
  await using db = await connect(":memory:");
  await using cursor = await db.execute(`${NUMBERS} SELECT i FROM n`);
  assert.deepEqual(await cursor.fetchOne(), [1]);
  const query = assert.rejects(db.execute(ENDLESS), isInterrupt);
  const behind = db.executeFetchOne("SELECT 1");
  await begun();
  db.interrupt();
  await query;
  assert.deepEqual(await behind, [1]);
  assert.deepEqual(await db.executeFetchOne("SELECT 2"), [2]);
});

test("interrupt() ends fetchAll() of endless rows", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute(`${NUMBERS} SELECT i FROM n`);
  const all = assert.rejects(cursor.fetchAll(), isInterrupt);
  await begun();
  db.interrupt();
  await all;
});

test("interrupt() of a SELECT leaves the transaction open", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.execute("INSERT INTO t VALUES (1)");
  const query = assert.rejects(db.execute(ENDLESS), isInterrupt);
  await begun();
  db.interrupt();
  await query;
  assert.equal(db.inTransaction, true);
  await db.commit();
  await db.rollback();
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
});

test("interrupt() of an INSERT undoes it; inTransaction says what SQLite says", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const insert = assert.rejects(
    db.execute(`INSERT INTO t ${NUMBERS} SELECT i FROM n`),
    isInterrupt,
  );
  await begun();
  db.interrupt();
  await insert;
  const open = db.inTransaction;
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [0]);
  assert.equal(db.inTransaction, open);
  await db.rollback();
  assert.equal(db.inTransaction, false);
});

test("interrupt() ends executeScript() and executeMany()", async () => {
  await using db = await connect(":memory:");
  const script = assert.rejects(db.executeScript(`SELECT 1; ${ENDLESS}; SELECT 2`), isInterrupt);
  await begun();
  db.interrupt();
  await script;
  await db.execute("CREATE TABLE t (x)");
  const many = assert.rejects(
    db.executeMany(`INSERT INTO t ${NUMBERS} SELECT i FROM n WHERE ?`, [[1]]),
    isInterrupt,
  );
  await begun();
  db.interrupt();
  await many;
});

test("interrupt() at any moment: each statement succeeds or is interrupted", async () => {
  await using db = await connect(":memory:");
  const storm = setInterval(() => db.interrupt(), 1);
  try {
    const query = `${NUMBERS} SELECT count(*) FROM (SELECT i FROM n LIMIT ?)`;
    const lengths = Array.from({ length: 300 }, (_, i) => 1 + (i * 7919) % 20_000);
    const all = await Promise.allSettled(lengths.map((n) => db.executeFetchOne(query, [n])));
    for (const [i, one] of all.entries()) {
      if (one.status === "fulfilled") assert.deepEqual(one.value, [lengths[i]]);
      else isInterrupt(one.reason);
    }
  } finally {
    clearInterval(storm);
  }
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});
