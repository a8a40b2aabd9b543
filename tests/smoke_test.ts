// aiosqlite's own tests (aiosqlite/tests/smoke.py), for what is here under the same name.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { connect, Connection, Cursor, OperationalError, ProgrammingError, Row } from "../mod.ts";
import { file, program } from "./helpers.ts";

const TEN = Array.from({ length: 10 }, (_, i) => [i]);

test("a connection can be awaited", async () => {
  const db = await connect(file());
  assert.ok(db instanceof Connection);
  {
    await using cursor = await db.execute("SELECT 1, 2");
    assert.deepEqual(await cursor.fetchAll(), [[1, 2]]);
  }
  await db.close();
});

test("a connection can be used with await using", async () => {
  let db: Connection;
  {
    await using opened = await connect(file());
    db = opened;
    await using cursor = await db.execute("SELECT 1, 2");
    assert.deepEqual(await cursor.fetchAll(), [[1, 2]]);
  }
  assert.equal(db.closed, true);
});

test("a database can be opened by path and by URL", async () => {
  const path = file();
  {
    await using db = await connect(path);
    await db.execute("CREATE TABLE foo (i INTEGER, k INTEGER)");
    await db.execute("INSERT INTO foo (i, k) VALUES (1, 5)");
    await db.commit();
  }
  for (const location of [path, pathToFileURL(path)]) {
    await using db = await connect(location);
    assert.deepEqual(await db.executeFetchAll("SELECT i, k FROM foo"), [[1, 5]]);
  }
});

test("ten connections at once may write to one file", async () => {
  const path = file();
  await using db = await connect(path);
  await db.execute("CREATE TABLE multiple_connections (i INTEGER PRIMARY KEY ASC, k INTEGER)");
  await Promise.all(TEN.map(async ([i]) => {
    await using writer = await connect(path, { timeout: 30_000 });
    await writer.execute("INSERT INTO multiple_connections (k) VALUES (?)", [i]);
    await writer.commit();
  }));
  assert.deepEqual(
    await db.executeFetchAll("SELECT k FROM multiple_connections ORDER BY k"),
    TEN,
  );
});

test("ten queries at once on one connection are all done", async () => {
  const path = file();
  {
    await using db = await connect(path);
    await db.execute("CREATE TABLE multiple_queries (i INTEGER PRIMARY KEY ASC, k INTEGER)");
    await Promise.all(
      TEN.map((set) => db.execute("INSERT INTO multiple_queries (k) VALUES (?)", set)),
    );
    await db.commit();
  }
  await using db = await connect(path);
  assert.deepEqual(await db.executeFetchAll("SELECT k FROM multiple_queries ORDER BY i"), TEN);
});

test("a cursor is iterable", async () => {
  const path = file();
  {
    await using db = await connect(path);
    const cursor = db.cursor();
    await cursor.execute("CREATE TABLE iterable_cursor (i INTEGER PRIMARY KEY ASC, k INTEGER)");
    await cursor.executeMany("INSERT INTO iterable_cursor (k) VALUES (?)", TEN);
    await db.commit();
  }
  await using db = await connect(path);
  const cursor = await db.execute("SELECT k FROM iterable_cursor ORDER BY i");
  const rows = [];
  for await (const row of cursor) rows.push(row);
  assert.deepEqual(rows, TEN);
});

test("a cursor can be used with await using", async () => {
  await using db = await connect(file());
  {
    await using cursor = db.cursor();
    await cursor.execute("CREATE TABLE context_cursor (i INTEGER PRIMARY KEY ASC, k INTEGER)");
    await cursor.executeMany("INSERT INTO context_cursor (k) VALUES (?)", TEN);
    await db.commit();
  }
  await using selected = db.execute("SELECT k FROM context_cursor ORDER BY i");
  const rows = [];
  for await (const row of await selected) rows.push(row);
  assert.deepEqual(rows, TEN);
});

test("the methods of a cursor return it", async () => {
  await using db = await connect(file());
  const cursor = db.cursor();
  assert.ok(cursor instanceof Cursor);
  assert.equal(
    await cursor.execute("CREATE TABLE test_cursor_return_self (i INTEGER, k INTEGER)"),
    cursor,
  );
  const insert = "INSERT INTO test_cursor_return_self (i, k) VALUES (?, ?)";
  assert.equal(await cursor.executeMany(insert, [[1, 1], [2, 2]]), cursor);
  assert.equal(
    await cursor.executeScript("INSERT INTO test_cursor_return_self VALUES (3, 3)"),
    cursor,
  );
  assert.equal(await cursor.execute("SELECT k FROM test_cursor_return_self"), cursor);
  assert.deepEqual(await cursor.fetchAll(), [[1], [2], [3]]);
});

test("the properties of a connection are kept up to date", async () => {
  await using db = await connect(file());
  assert.equal(db.totalChanges, 0);
  const inTransaction = () => db.inTransaction; // a call, since a checked property stays checked
  assert.equal(inTransaction(), false);
  await db.execute("CREATE TABLE test_properties (i INTEGER PRIMARY KEY ASC, k TEXT)");
  assert.equal(inTransaction(), false);
  await db.execute("INSERT INTO test_properties (k) VALUES ('hi')");
  assert.equal(inTransaction(), true);
  await db.commit();
  assert.equal(inTransaction(), false);
  assert.equal(Number(db.totalChanges), 1);
  assert.deepEqual([db.rowFactory, db.textFactory], [null, "string"]);

  const sql = "SELECT k FROM test_properties";
  assert.deepEqual(await db.executeFetchOne(sql), ["hi"]);
  const cursor = await db.execute(sql);
  cursor.rowFactory = Row;
  const row = await cursor.fetchOne() as unknown as Row;
  assert.deepEqual([row[0], row.get("k")], ["hi", "hi"]);

  db.rowFactory = Row;
  db.textFactory = "bytes";
  const bytes = await db.executeFetchOne(sql) as unknown as Row;
  const hi = new Uint8Array([0x68, 0x69]);
  assert.deepEqual([bytes[0], bytes.get("k")], [hi, hi]);
});

test("all rows of a query can be fetched at once", async () => {
  await using db = await connect(file());
  await db.execute("CREATE TABLE test_fetch_all (i INTEGER PRIMARY KEY ASC, k INTEGER)");
  await db.executeMany("INSERT INTO test_fetch_all (k) VALUES (?)", [[10], [24], [16], [32]]);
  await db.commit();
  const cursor = await db.execute("SELECT k FROM test_fetch_all WHERE k < 30");
  assert.deepEqual(await cursor.fetchAll(), [[10], [24], [16]]);
});

test("a file in no folder can't be opened", async () => {
  const failure = (error: unknown) =>
    error instanceof OperationalError && error.message === "unable to open database file" &&
    error.code === "SQLITE_CANTOPEN" && error.errno === 14;
  const bad = "/something/that/shouldnt/exist.db";
  await assert.rejects(async () => {
    await using db = await connect(bad);
    assert.fail(String(db));
  }, failure);
  await assert.rejects(connect(bad), failure);
});

test("a cursor of a closed connection rejects, each time", async () => {
  const db = await connect(file());
  const cursor = await db.execute("SELECT 1, 2");
  await db.close();
  for (let i = 0; i < 2; i++) {
    await assert.rejects(cursor.fetchAll(), {
      name: "ProgrammingError",
      message: "Cannot operate on a closed database.",
    });
  }
});

test("fetches around a close() succeed or reject, and none hangs", async () => {
  const db = await connect(file());
  const cursor = await db.execute("SELECT 1, 2");
  const tasks: Promise<unknown>[] = [];
  for (let i = 0; i < 100; i++) {
    if (i === 50) tasks.push(db.close());
    tasks.push(cursor.fetchAll());
  }
  const ended = await Promise.allSettled(tasks);
  assert.deepEqual(
    ended.map(({ status }) => status),
    ended.map((_, i) => i <= 50 ? "fulfilled" : "rejected"),
  );
  for (const end of ended) {
    if (end.status === "rejected") assert.ok(end.reason instanceof ProgrammingError);
  }
});

test("close() waits until what is queued has been done", async () => {
  const path = file();
  const db = await connect(path, { isolationLevel: null });
  await db.execute("CREATE TABLE foo (i INTEGER)");
  await db.execute("BEGIN");
  const calls = Array.from(
    { length: 1000 },
    (_, i) => db.execute("INSERT INTO foo VALUES (?)", [i]),
  );
  const committed = db.execute("COMMIT");
  await db.close();
  await Promise.all([...calls, committed]);
  await using other = await connect(path);
  assert.deepEqual(await other.executeFetchOne("SELECT count(*) FROM foo"), [1000]);
});

test("close() may be called twice", async () => {
  const db = await connect(file());
  await db.close();
  await db.close();
});

test("a connection that is collected while it is open warns once", async () => {
  const { code, stdout, stderr } = await program(
    `
    const gc = globalThis.gc ?? (() => globalThis.Bun.gc(true));
    const warnings = [];
    process.on("warning", ({ name, message }) => warnings.push(name + ": " + message));
    await (async () => {
      const db = await aiosqlite.connect(args[0]);
      await db.execute("CREATE TABLE t (x)");
    })();
    for (let i = 0; i < 500 && warnings.length === 0; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    console.log(warnings.join("|").replace(args[0], "FILE"));`,
    [file()],
    { env: { NODE_OPTIONS: "--expose-gc", DENO_V8_FLAGS: "--expose-gc" } },
  );
  assert.equal(
    stdout.trim(),
    "ResourceWarning: The connection to FILE was deleted before being closed.",
    stderr,
  );
  assert.equal(code, 0);
});

test("a program that leaves a failed opening behind ends by itself", async () => {
  const { code, stdout } = await program(`
    await aiosqlite.connect("/nowhere/at/all.db").catch((error) => console.log(error.name));
  `);
  assert.deepEqual([code, stdout.trim()], [0, "OperationalError"]);
});
