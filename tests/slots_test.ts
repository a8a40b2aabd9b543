import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { connect } from "../mod.ts";
import { StatementCache } from "../src/thread/slots.ts";
import { program } from "./helpers.ts";

test("a text is to be sent the first time only and keeps its slot", () => {
  const cache = new StatementCache<string>(3);
  const [a, sent] = cache.get("a");
  assert.equal(sent, "a");
  assert.equal(a.slot, 0);
  assert.equal(a.sql, "a");
  assert.equal(a.columns, null);
  const [b, sentB] = cache.get("b");
  assert.equal(sentB, "b");
  assert.equal(b.slot, 1);
  assert.deepEqual(cache.get("a"), [a, null]);
  assert.deepEqual(cache.get("a"), [a, null]);
  assert.deepEqual(cache.get("b"), [b, null]);
});

test("what is known of a statement stays with it while it is kept", () => {
  const cache = new StatementCache<string>(2);
  cache.get("a")[0].columns = "of a";
  cache.get("b");
  assert.equal(cache.get("a")[0].columns, "of a");
  cache.get("c");
  cache.get("d");
  assert.equal(cache.get("a")[0].columns, null);
});

test("the least recently used text gives up its slot", () => {
  const cache = new StatementCache<string>(3);
  for (const sql of ["a", "b", "c", "a", "a"]) cache.get(sql);
  const [d, sent] = cache.get("d");
  assert.equal(sent, "d");
  assert.equal(d.slot, 1);
  assert.equal(cache.get("a")[1], null);
  assert.equal(cache.get("c")[1], null);
  const [b, sentB] = cache.get("b");
  assert.equal(sentB, "b");
  assert.equal(b.slot, 1);
});

test("with a capacity of one each other text takes the slot over", () => {
  const cache = new StatementCache<string>(1);
  for (const sql of ["a", "b", "a"]) {
    const [known, sent] = cache.get(sql);
    assert.equal(sent, sql);
    assert.equal(known.slot, 0);
    assert.equal(cache.get(sql)[1], null);
  }
});

test("with a capacity of zero nothing is kept", () => {
  const cache = new StatementCache<string>(0);
  for (let i = 0; i < 2; i++) {
    const [known, sent] = cache.get("a");
    assert.equal(sent, "a");
    assert.equal(known.slot, -1);
  }
});

test("a long text is not kept and drives out nothing", () => {
  const cache = new StatementCache<string>(1);
  cache.get("a");
  const long = "x".repeat((1 << 16) + 1);
  for (let i = 0; i < 2; i++) {
    const [known, sent] = cache.get(long);
    assert.equal(sent, long);
    assert.equal(known.slot, -1);
  }
  assert.equal(cache.get("a")[1], null);
});

test("whatever is asked for, a receiver that remembers slots has the right text", () => {
  const text = fc.integer({ min: 0, max: 12 }).map((n) => `SELECT ${n}`);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 6 }), fc.array(text), (capacity, texts) => {
      const cache = new StatementCache<string>(capacity);
      const slots: string[] = [];
      const recent: string[] = [];
      for (const sql of texts) {
        const [known, sent] = cache.get(sql);
        assert.equal(known.sql, sql);
        assert.equal(sent === null, recent.includes(sql));
        if (known.slot < 0) assert.equal(sent, sql);
        else {
          assert.ok(known.slot < capacity);
          if (sent !== null) slots[known.slot] = sent;
          assert.equal(slots[known.slot], sql);
        }
        if (recent.includes(sql)) recent.splice(recent.indexOf(sql), 1);
        recent.push(sql);
        if (recent.length > capacity) recent.shift();
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

// A statement that is not kept is finalized early, and using it then crashes: hence the processes.

test("with no cache every statement runs and is described", async () => {
  const { code, stdout, stderr } = await program(`
    const db = await aiosqlite.connect(":memory:", { cachedStatements: 0 });
    for (const n of [1, 2, 1, 1]) {
      const cursor = await db.execute("SELECT " + n + " AS n");
      console.log(cursor.description[0].name, ...await cursor.fetchOne());
    }
    await db.close();
  `);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "n 1\nn 2\nn 1\nn 1\n");
});

test("a long SQL text, which is not kept, runs and is described", async () => {
  const { code, stdout, stderr } = await program(`
    const db = await aiosqlite.connect(":memory:");
    const sql = "SELECT 1 AS n" + " ".repeat(70_000) + "WHERE ?";
    for (const n of [1, 0, 1]) {
      const cursor = await db.execute(sql, [n]);
      console.log(cursor.description[0].name, (await cursor.fetchAll()).length);
    }
    await db.close();
  `);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "n 1\nn 0\nn 1\n");
});

test("a statement runs to its end while another cursor is reading the same", async () => {
  const { code, stdout, stderr } = await program(`
    const db = await aiosqlite.connect(":memory:");
    const sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) " +
      "SELECT i FROM n";
    const open = await db.execute(sql, [1_000_000]);
    for (const n of [1, 2, 3]) {
      const cursor = await db.execute(sql, [n]);
      console.log(cursor.description[0].name, (await cursor.fetchAll()).length);
    }
    console.log((await open.fetchAll()).length);
    await db.close();
  `);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "i 1\ni 2\ni 3\n1000000\n");
});

test("a small cache runs the statements that were asked for", async () => {
  for (const cachedStatements of [1, 2, 128]) {
    await using db = await connect(":memory:", { cachedStatements });
    for (const n of [1, 2, 3, 1, 1, 2, 3, 3, 2, 1]) {
      assert.deepEqual(await db.executeFetchOne(`SELECT ${n}`), [n]);
    }
  }
});

test("three cursors that read the same statement at once have a row each", async () => {
  await using db = await connect(":memory:", { cachedStatements: 1 });
  const sql = "WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
  const cursors = [await db.execute(sql, [0]), await db.execute(sql, [100])];
  assert.deepEqual(await db.executeFetchOne("SELECT 'other'"), ["other"]);
  cursors.push(await db.execute(sql, [200]));
  for (const [i, cursor] of cursors.entries()) {
    assert.deepEqual(await cursor.fetchMany(2), [[i * 100], [i * 100 + 1]]);
  }
  for (const [i, cursor] of cursors.entries()) {
    assert.deepEqual((await cursor.fetchMany(5000)).at(-1), [i * 100 + 5001]);
    await cursor.close();
  }
});

test("a text that did not compile is compiled again the next time", async () => {
  await using db = await connect(":memory:");
  await assert.rejects(db.executeFetchAll("SELECT * FROM t"), { name: "OperationalError" });
  await db.execute("CREATE TABLE t (x)");
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
  await assert.rejects(db.execute("SELECT 1; SELECT 2"), { name: "ProgrammingError" });
  await assert.rejects(db.execute("SELECT 1; SELECT 2"), { name: "ProgrammingError" });
});

test("a statement that a failed setter kept from running is the one that runs next", async () => {
  await using db = await connect(":memory:", { cachedStatements: 1 });
  await db.executeScript(`PRAGMA foreign_keys = ON;
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);`);
  await db.execute("INSERT INTO child VALUES (5)");
  db.isolationLevel = null; // its COMMIT fails, which the next call says
  const count = "SELECT count(*) FROM child";
  await assert.rejects(db.executeFetchAll(count), { name: "IntegrityError" });
  assert.deepEqual(await db.executeFetchAll(count), [[1]]);
  await db.rollback();
  assert.deepEqual(await db.executeFetchAll("SELECT id FROM child"), []);
});
