import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Connection, type ConnectOptions } from "../mod.ts";
import { file } from "./helpers.ts";

/** A connection, and another one to the same file, which does not wait for locks by default. */
async function pair(options: ConnectOptions = {}, timeout = 0): Promise<
  { db: Connection; other: Connection } & AsyncDisposable
> {
  const path = file();
  const db = await connect(path, { isolationLevel: null });
  await db.executeScript("CREATE TABLE t (x UNIQUE); CREATE TABLE u (x)");
  await db.close();
  const opened = [
    await connect(path, options),
    await connect(path, { timeout, isolationLevel: null }),
  ] as const;
  return {
    db: opened[0],
    other: opened[1],
    [Symbol.asyncDispose]: async () => {
      for (const one of opened) await one.close();
    },
  };
}

async function rows(db: Connection): Promise<unknown[]> {
  return (await db.executeFetchAll("SELECT x FROM t ORDER BY x")).map(([x]) => x);
}

const BUSY = { name: "OperationalError", code: "SQLITE_BUSY" };

/** A statement, and whether a transaction is open when it has run. */
const BEGINS: [sql: string, begins: boolean][] = [
  ["INSERT INTO t VALUES (1)", true],
  ["insert into t values (1)", true],
  ["/* c */ -- d\n INSERT INTO t VALUES (1)", true],
  ["\t\r\n\f UPDATE t SET x = 1", true],
  ["DELETE FROM t", true],
  ["REPLACE INTO t VALUES (1)", true],
  ["INSERT INTO t SELECT 1 WHERE 0", true],
  ["INSERT INTO t VALUES (1) RETURNING x", true],
  ["SAVEPOINT s", true],
  ["BEGIN", true],
  ["WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", false],
  ["EXPLAIN INSERT INTO t VALUES (1)", false],
  ["SELECT * FROM t", false],
  ["CREATE TABLE v (x)", false],
  ["DROP TABLE u", false],
  ["PRAGMA user_version = 3", false],
  ["VACUUM", false],
  ["", false],
];

for (const [sql, begins] of BEGINS) {
  test(`${JSON.stringify(sql)} begins ${begins ? "a" : "no"} transaction`, async () => {
    await using db = await connect(":memory:");
    await db.executeScript("CREATE TABLE t (x); CREATE TABLE u (x)");
    assert.equal(db.inTransaction, false);
    await db.execute(sql);
    assert.equal(db.inTransaction, begins);
    await db.commit();
    assert.equal(db.inTransaction, false);
  });
}

test("commit() makes changes visible to others, which they are not before", async () => {
  await using both = await pair();
  const { db, other } = both;
  await db.execute("INSERT INTO t VALUES (1)");
  await db.executeMany("INSERT INTO t VALUES (?)", [[2], [3]]);
  assert.deepEqual(await rows(other), []);
  assert.deepEqual(await rows(db), [1, 2, 3]);
  await db.commit();
  assert.deepEqual(await rows(other), [1, 2, 3]);
});

test("executeMany() and executeInsert() begin a transaction", async () => {
  await using both = await pair();
  const { db } = both;
  await db.executeMany("INSERT INTO t VALUES (?)", [[1]]);
  assert.equal(db.inTransaction, true);
  await db.commit();
  await db.executeInsert("INSERT INTO t VALUES (2)");
  assert.equal(db.inTransaction, true);
});

test("rollback() undoes changes, DDL in the transaction included", async () => {
  await using both = await pair();
  const { db, other } = both;
  await db.execute("INSERT INTO t VALUES (1)");
  await db.execute("DROP TABLE u");
  await db.execute("CREATE TABLE v (x)");
  assert.equal(db.inTransaction, true);
  await db.rollback();
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await rows(other), []);
  assert.deepEqual(
    await db.executeFetchAll("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"),
    [["t"], ["u"]],
  );
});

test("commit() and rollback() with nothing to do do nothing", async () => {
  await using db = await connect(":memory:");
  await db.commit();
  await db.commit();
  await db.rollback();
  await db.rollback();
  assert.equal(db.inTransaction, false);
});

test("close() rolls back what is not committed", async () => {
  await using both = await pair();
  await both.db.execute("INSERT INTO t VALUES (1)");
  await both.db.close();
  assert.deepEqual(await rows(both.other), []);
  await both.other.execute("INSERT INTO t VALUES (2)");
});

test("a failing INSERT leaves the transaction it began open", async () => {
  await using both = await pair();
  const { db, other } = both;
  await other.execute("INSERT INTO t VALUES (1)");
  await assert.rejects(db.execute("INSERT INTO t VALUES (1)"), { name: "IntegrityError" });
  assert.equal(db.inTransaction, true);
  await db.rollback();
  await other.execute("INSERT INTO t VALUES (2)");
});

test("an ON CONFLICT ROLLBACK empties the transaction, and commit() then does nothing", async () => {
  for (const begin of ["", "BEGIN"]) {
    await using both = await pair();
    const { db, other } = both;
    await db.execute(begin);
    await db.execute("INSERT INTO t VALUES (1)");
    const failing = db.execute("INSERT OR ROLLBACK INTO t VALUES (1)");
    await assert.rejects(failing, { name: "IntegrityError" });
    assert.equal(db.inTransaction, false);
    await db.commit();
    assert.deepEqual(await rows(other), []);
  }
});

test("INSERT OR ABORT keeps earlier rows, FAIL keeps its own first ones, too", async () => {
  for (const [how, kept] of [["ABORT", [1]], ["FAIL", [1, 2]], ["IGNORE", [1, 2]]] as const) {
    await using db = await connect(":memory:");
    await db.execute("CREATE TABLE t (x UNIQUE)");
    await db.execute("INSERT INTO t VALUES (1)");
    await db.execute(`INSERT OR ${how} INTO t VALUES (2), (1)`).catch(() => {});
    await db.commit();
    assert.deepEqual(await rows(db), kept);
  }
});

test("isolationLevel says how a transaction begins", async () => {
  // A write to a temporary table tells: by itself it locks nothing of the file.
  const locks = { DEFERRED: [false, false], IMMEDIATE: [true, false], EXCLUSIVE: [true, true] };
  for (const [level, [writes, reads]] of Object.entries(locks)) {
    const isolationLevel = level as "DEFERRED";
    await using both = await pair({ isolationLevel });
    const { db, other } = both;
    await db.execute("CREATE TEMP TABLE s (x)");
    for (let round = 0; round < 2; round++) {
      await db.execute("INSERT INTO s VALUES (1)");
      const busy = (call: PromiseLike<unknown>) =>
        Promise.resolve(call).then(() => false, (error) => error.code === "SQLITE_BUSY");
      assert.equal(await busy(rows(other)), reads, level);
      assert.equal(await busy(other.execute("INSERT INTO u VALUES (1)")), writes, level);
      await db.commit();
      db.isolationLevel = null;
      db.isolationLevel = isolationLevel; // set later it means the same
    }
  }
});

test("isolationLevel null begins nothing, and leaves BEGIN to the caller", async () => {
  await using both = await pair({ isolationLevel: null });
  const { db, other } = both;
  assert.equal(db.isolationLevel, null);
  await db.execute("INSERT INTO t VALUES (1)");
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await rows(other), [1]);
  await db.execute("BEGIN IMMEDIATE");
  await db.execute("INSERT INTO t VALUES (2)");
  assert.equal(db.inTransaction, true);
  await db.rollback();
  assert.deepEqual(await rows(other), [1]);
});

test("isolationLevel is read back as it is in force, whatever its case", async () => {
  for (
    const [given, read] of [
      ["", "DEFERRED"],
      ["DEFERRED", "DEFERRED"],
      ["immediate", "IMMEDIATE"],
      ["Exclusive", "EXCLUSIVE"],
      [null, null],
    ]
  ) {
    const isolationLevel = given as "DEFERRED";
    await using db = await connect(":memory:", { isolationLevel });
    assert.equal(db.isolationLevel, read);
    db.isolationLevel = null;
    db.isolationLevel = isolationLevel;
    assert.equal(db.isolationLevel, read);
  }
  await using db = await connect(":memory:");
  assert.equal(db.isolationLevel, "DEFERRED");
});

test("a bad isolationLevel or autocommit is refused and changes nothing", async () => {
  await using db = await connect(":memory:", { isolationLevel: "IMMEDIATE" });
  const levels = [
    "BOGUS",
    " ",
    "DEFERRE",
    "DEFERREDS",
    "IMMEDIATE\0EXCLUSIVE",
    "\u0131mmediate",
    1,
  ];
  for (const bad of [...levels, undefined] as unknown[]) {
    assert.throws(() => db.isolationLevel = bad as null, { name: "ProgrammingError" });
  }
  for (const bad of ["a", "LEGACY", 12, null, undefined] as unknown[]) {
    assert.throws(() => db.autocommit = bad as boolean, { name: "ProgrammingError" });
  }
  assert.deepEqual([db.isolationLevel, db.autocommit], ["IMMEDIATE", "legacy"]);
});

test("setting isolationLevel to null commits an open transaction, in the order of calls", async () => {
  await using both = await pair();
  const { db, other } = both;
  const inserted = db.execute("INSERT INTO t VALUES (1)");
  db.isolationLevel = null;
  const autocommitted = db.execute("INSERT INTO t VALUES (2)");
  await Promise.all([inserted, autocommitted]);
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await rows(other), [1, 2]);
});

test("when a setter's COMMIT fails, the next call rejects, and only that", async () => {
  for (const set of ["isolationLevel", "autocommit"]) {
    await using db = await connect(":memory:");
    await db.executeScript(`PRAGMA foreign_keys = ON;
      CREATE TABLE t (x PRIMARY KEY, y REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED)`);
    await db.execute("INSERT INTO t VALUES (1, 2)");
    if (set === "isolationLevel") db.isolationLevel = null;
    else db.autocommit = true;
    await assert.rejects(db.executeFetchAll("SELECT 1"), {
      name: "IntegrityError",
      code: "SQLITE_CONSTRAINT_FOREIGNKEY",
    });
    assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
    assert.equal(db.inTransaction, true);
  }
});

test("autocommit false has a transaction open at all times", async () => {
  await using both = await pair({ autocommit: false });
  const { db, other } = both;
  assert.deepEqual([db.autocommit, db.inTransaction], [false, true]);
  await db.execute("INSERT INTO t VALUES (1)");
  await db.commit();
  assert.equal(db.inTransaction, true);
  assert.deepEqual(await rows(other), [1]);
  await db.execute("INSERT INTO t VALUES (2)");
  await db.rollback();
  assert.equal(db.inTransaction, true);
  assert.deepEqual(await rows(db), [1]);
  await db.execute("CREATE TABLE v (x)");
  await db.execute("INSERT INTO t VALUES (3)");
  await db.close();
  assert.deepEqual(await rows(other), [1]);
});

test("autocommit true begins nothing, and commit() and rollback() do nothing", async () => {
  await using both = await pair({ autocommit: true });
  const { db, other } = both;
  await db.execute("INSERT INTO t VALUES (1)");
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await rows(other), [1]);
  await db.execute("BEGIN");
  await db.execute("INSERT INTO t VALUES (2)");
  await db.commit();
  await db.rollback();
  assert.equal(db.inTransaction, true);
  assert.deepEqual(await rows(other), [1]);
  await db.execute("COMMIT");
  assert.deepEqual(await rows(other), [1, 2]);
});

test("setting autocommit begins or commits, unless that is so already", async () => {
  await using both = await pair();
  const { db, other } = both;
  assert.equal(db.autocommit, "legacy");
  await db.execute("INSERT INTO t VALUES (1)");
  db.autocommit = false;
  assert.deepEqual(await rows(db), [1]);
  assert.equal(db.inTransaction, true);
  assert.deepEqual(await rows(other), []);
  db.autocommit = true;
  assert.deepEqual(await rows(db), [1]);
  assert.deepEqual([db.autocommit, db.inTransaction], [true, false]);
  assert.deepEqual(await rows(other), [1]);
  db.autocommit = false;
  await rows(db);
  assert.equal(db.inTransaction, true);
  db.autocommit = "legacy";
  await db.commit();
  assert.equal(db.inTransaction, false);
});

test("setting isolationLevel to null keeps the promise of autocommit", async () => {
  for (const autocommit of [false, true]) {
    await using both = await pair({ autocommit });
    const { db, other } = both;
    if (autocommit) await db.execute("BEGIN");
    await db.execute("INSERT INTO t VALUES (1)");
    db.isolationLevel = null;
    await rows(db);
    // As commit() in each mode: false begins anew, true does nothing at all.
    assert.equal(db.inTransaction, true);
    assert.deepEqual(await rows(other), autocommit ? [] : [1]);
  }
});

test("executeScript() commits an open transaction first, in legacy mode only", async () => {
  for (const [autocommit, visible] of [["legacy", [1]], [false, []], [true, []]] as const) {
    await using both = await pair({ autocommit });
    const { db, other } = both;
    if (autocommit !== false) await db.execute("BEGIN");
    await db.execute("INSERT INTO t VALUES (1)");
    await db.executeScript("SELECT 1");
    assert.equal(db.inTransaction, autocommit !== "legacy");
    assert.deepEqual(await rows(other), visible);
  }
  await using both = await pair({ isolationLevel: null });
  await both.db.execute("BEGIN");
  await both.db.executeScript("SELECT 1");
  assert.equal(both.db.inTransaction, false);
});

test("a lock conflict rejects at once with timeout 0, and needs no rollback", async () => {
  await using both = await pair({ timeout: 0 });
  const { db, other } = both;
  await other.execute("BEGIN IMMEDIATE");
  await assert.rejects(db.execute("INSERT INTO t VALUES (1)"), BUSY);
  await other.execute("COMMIT");
  await db.execute("INSERT INTO t VALUES (1)");
  await db.commit();
  assert.deepEqual(await rows(other), [1]);
});

test("a write waits for another connection's lock", async () => {
  await using both = await pair({ timeout: 20_000, isolationLevel: "IMMEDIATE" }, 20_000);
  const { db, other } = both;
  await other.execute("BEGIN IMMEDIATE");
  let waited = false;
  const writing = db.execute("INSERT INTO t VALUES (1)").then(() => assert.equal(waited, true));
  await other.execute("INSERT INTO t VALUES (2)");
  waited = true;
  await other.execute("COMMIT");
  await writing;
  await db.commit();
  assert.deepEqual(await rows(other), [1, 2]);
});

const FILL = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
  INSERT INTO t SELECT printf('%0500d', i) FROM n`;

test("commit() and rollback() let a SELECT that is being read go on", async () => {
  for (const end of ["commit", "rollback"] as const) {
    await using db = await connect(":memory:", { isolationLevel: null });
    await db.execute("CREATE TABLE t (x)");
    await db.execute(FILL);
    db.isolationLevel = "DEFERRED";
    const cursor = await db.execute("SELECT x FROM t");
    assert.equal(Number((await cursor.fetchOne())?.[0]), 1);
    await db.execute("UPDATE t SET x = x WHERE rowid = 1");
    await db[end]();
    const rest = (await cursor.fetchAll()).map(([x]) => Number(x));
    assert.deepEqual(rest, Array.from({ length: 1999 }, (_, i) => i + 2));
  }
});

test("rolling back a schema change ends a SELECT that is being read", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (x)");
  await db.execute(FILL);
  await db.execute("BEGIN");
  await db.execute("CREATE TABLE v (x)");
  const cursor = await db.execute("SELECT x FROM t");
  await db.rollback();
  await assert.rejects(cursor.fetchAll(), {
    name: "OperationalError",
    code: "SQLITE_ABORT_ROLLBACK",
  });
});
