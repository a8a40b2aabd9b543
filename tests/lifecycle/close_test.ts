import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { connect, type Connection, type Cursor, ProgrammingError } from "../../mod.ts";
import { file, program, python } from "../helpers.ts";

function isClosed(thing: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ProgrammingError, String(error));
    assert.equal(error.message, `Cannot operate on a closed ${thing}.`);
    return true;
  };
}

test("close() lets everything finish that was called before", async () => {
  const path = file();
  const db = await connect(path);
  await db.execute("CREATE TABLE t (x)");
  const inserts = Array.from(
    { length: 1000 },
    (_, i) => db.executeInsert("INSERT INTO t VALUES (?)", [i]),
  );
  const commit = db.commit();
  const closing = db.close();
  await assert.rejects(db.commit(), isClosed("database"));
  await closing;
  await commit;
  assert.deepEqual(await Promise.all(inserts), Array.from({ length: 1000 }, (_, i) => i + 1));
  assert.deepEqual(await python(path, "SELECT count(*), sum(x) FROM t"), [[1000, 499500]]);
});

test("close() twice is fine", async () => {
  const db = await connect(":memory:");
  assert.equal(db.closed, false);
  await db.close();
  await db.close();
  assert.equal(db.closed, true);
});

test("close() called concurrently resolves for every caller, once it is closed", async () => {
  const path = file();
  const db = await connect(path);
  await db.execute("PRAGMA journal_mode = WAL");
  await db.execute("CREATE TABLE t (x)");
  const closed = () => assert.equal(existsSync(`${path}-wal`), false);
  assert.equal(existsSync(`${path}-wal`), true);
  await Promise.all(Array.from({ length: 10 }, () => db.close().then(closed)));
});

test("close() rolls back what is not committed", async () => {
  const path = file();
  const db = await connect(path);
  await db.execute("CREATE TABLE t (x)");
  await db.execute("INSERT INTO t VALUES (1)");
  assert.equal(db.inTransaction, true);
  await db.close();
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await python(path, "SELECT * FROM t"), []);
});

test("close() removes the WAL, after an interrupt and with a half-read result too", async () => {
  const path = file();
  const db = await connect(path);
  await db.execute("PRAGMA journal_mode = WAL");
  await db.execute("CREATE TABLE t (x)");
  await db.executeMany("INSERT INTO t VALUES (?)", Array.from({ length: 10_000 }, (_, i) => [i]));
  await db.commit();
  const cursor = await db.execute("SELECT a.x FROM t a, t b");
  assert.deepEqual(await cursor.fetchOne(), [0]);
  const query = db.execute("SELECT count(*) FROM t a, t b, t c").catch(() => {});
  const interrupts = setInterval(() => db.interrupt(), 1);
  await query;
  clearInterval(interrupts);
  db.interrupt();
  await db.close();
  assert.deepEqual(["-wal", "-shm", "-journal"].filter((end) => existsSync(path + end)), []);
});

test("await using closes the connection", async () => {
  let db: Connection;
  {
    await using opened = await connect(":memory:");
    db = opened;
    assert.equal(db.closed, false);
  }
  assert.equal(db.closed, true);
  await db[Symbol.asyncDispose]();
});

test("await using closes what a request has opened", async () => {
  let db: Connection;
  {
    await using request = connect(":memory:");
    db = await request;
  }
  assert.equal(db.closed, true);
});

test("await using of a request that nobody awaits closes it, too", async () => {
  const path = file();
  {
    await using _request = connect(path, { isolationLevel: null });
  }
  assert.deepEqual(await python(path, "SELECT * FROM sqlite_master"), []);
});

test("A failure to open leaves nothing behind that keeps the process alive", async () => {
  const { code, stdout, took } = await program(`
    for (let i = 0; i < 5; i++) {
      await aiosqlite.connect("/nowhere/at/all.db").catch((error) => console.log(error.code));
      await aiosqlite.connect(":memory:", { library: "/nowhere.so" }).catch((error) => console.log(error.name));
    }
  `);
  assert.equal(code, 0);
  assert.equal(stdout, "SQLITE_CANTOPEN\nInterfaceError\n".repeat(5));
  assert.ok(took < 3000, `${took} ms`);
});

type Methods = Record<string, unknown[]>;

/** Parameters for every method there is to be, those to come included. */
const CONNECTION: Methods = {
  execute: ["SELECT 1"],
  executeMany: ["INSERT INTO t VALUES (?)", [[1]]],
  executeScript: ["SELECT 1"],
  executeInsert: ["INSERT INTO t VALUES (1)"],
  executeFetchAll: ["SELECT 1"],
  executeFetchOne: ["SELECT 1"],
  cursor: [],
  commit: [],
  rollback: [],
  transaction: [() => {}],
  interrupt: [],
  createFunction: ["f", 0, () => 1],
  createAggregate: ["f", 1, class {}],
  createWindowFunction: ["f", 1, class {}],
  createCollation: ["c", () => 0],
  setAuthorizer: [null],
  setProgressHandler: [null, 1],
  setTraceCallback: [null],
  setUpdateHook: [null],
  setCommitHook: [null],
  setRollbackHook: [null],
  enableLoadExtension: [false],
  loadExtension: ["/nowhere/extension.so"],
  serialize: [],
  deserialize: [new Uint8Array(0)],
  blobOpen: ["t", "x", 1],
  getLimit: [0],
  setLimit: [0, 1000],
  getConfig: [1010],
  setConfig: [1010, true],
};
const CURSOR: Methods = {
  execute: ["SELECT 1"],
  executeMany: ["INSERT INTO t VALUES (?)", [[1]]],
  executeScript: ["SELECT 1"],
  fetchOne: [],
  fetchMany: [],
  fetchAll: [],
};
/** Tested by themselves. */
const APART = ["constructor", "close", "backup", "iterDump"];
/** These return no promise, so they throw. */
const SYNCHRONOUS = ["cursor", "interrupt"];

/** Calls every method of a closed thing. */
async function callAll(target: Connection | Cursor, methods: Methods, thing: string) {
  const prototype = Object.getPrototypeOf(target);
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const method = Object.getOwnPropertyDescriptor(prototype, name)!.value;
    if (typeof method !== "function" || APART.includes(name)) continue;
    assert.ok(Object.hasOwn(methods, name), `${name}() is to be tested here`);
    const call = () => method.apply(target, methods[name]);
    if (SYNCHRONOUS.includes(name)) assert.throws(call, isClosed(thing), name);
    else await assert.rejects(call(), isClosed(thing), name);
  }
}

test("Every method of a closed connection says that it is closed", async () => {
  const db = await connect(":memory:");
  await db.close();
  await callAll(db, CONNECTION, "database");
  await assert.rejects(async () => {
    for await (const row of db.execute("SELECT 1")) assert.fail(String(row));
  }, isClosed("database"));
  assert.throws(() => db.isolationLevel = null, isClosed("database"));
  assert.throws(() => db.autocommit = true, isClosed("database"));
  await db.close();
});

test("Every method of a closed connection's cursor says that it is closed", async () => {
  const db = await connect(":memory:");
  const cursor = await db.execute("SELECT 1 UNION ALL SELECT 2");
  assert.deepEqual(await cursor.fetchOne(), [1]);
  await db.close();
  await callAll(cursor, CURSOR, "database");
  await assert.rejects(async () => {
    for await (const row of cursor) assert.fail(String(row));
  }, isClosed("database"));
  await cursor.close();
});

test("Every method of a closed cursor says that it is closed", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute("SELECT 1 UNION ALL SELECT 2");
  await cursor.close();
  await cursor.close();
  await callAll(cursor, CURSOR, "cursor");
  await assert.rejects(async () => {
    for await (const row of cursor) assert.fail(String(row));
  }, isClosed("cursor"));
  await cursor[Symbol.asyncDispose]();
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("close() in the middle of a loop over rows ends the loop with an error", async () => {
  const db = await connect(":memory:");
  let rows = 0;
  await assert.rejects(async () => {
    const numbers =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    for await (const _ of db.execute(numbers)) if (++rows === 100) await db.close();
  }, isClosed("database"));
  assert.equal(rows, 100);
});
