import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { connect, type Connection, OperationalError, ProgrammingError } from "../mod.ts";
import { file, program, python } from "./helpers.ts";

test("connect() opens a file that another process then reads", async () => {
  const path = file();
  {
    await using db = await connect(path);
    await db.execute("CREATE TABLE t (x)");
    await db.execute("INSERT INTO t VALUES (?)", ["é"]);
    await db.commit();
  }
  assert.deepEqual(await python(path, "SELECT x FROM t"), [["é"]]);
});

test("connect() rejects when the file can't be opened", async () => {
  await assert.rejects(
    connect("/nowhere/at/all.db"),
    (error: unknown) => error instanceof OperationalError && /unable to open/.test(error.message),
  );
});

test("connect() takes a file URL, whatever characters it has", async () => {
  const path = file("a b%20ü?#.db");
  await python(path, "CREATE TABLE t (x)");
  await using db = await connect(pathToFileURL(path));
  await db.execute("INSERT INTO t VALUES (1)");
  await db.commit();
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});

test("connect() takes a URI only if told so", async () => {
  const path = file();
  await python(path, "CREATE TABLE t (x)");
  const uri = `${pathToFileURL(path)}?mode=ro`;
  for (const database of [uri, new URL(uri)]) {
    await using db = await connect(database, { uri: true, isolationLevel: null });
    await assert.rejects(db.execute("INSERT INTO t VALUES (1)"), { code: "SQLITE_READONLY" });
  }
  await assert.rejects(connect(new URL(uri)), ProgrammingError);
  await assert.rejects(connect(uri), { code: "SQLITE_CANTOPEN" });
});

test("connect() refuses a bad name", async () => {
  for (const bad of ["a\0b", "\ud800", 1, null, undefined, new URL("http://x/y")] as unknown[]) {
    await assert.rejects(connect(bad as string), { name: "ProgrammingError" });
  }
});

test("await using of what connect() returns closes the connection", async () => {
  let db: Connection | undefined;
  {
    await using opening = connect(":memory:");
    db = await opening;
    assert.equal(db.closed, false);
  }
  assert.equal(db.closed, true);
});

test("a signal that is aborted rejects the opening with its reason", async () => {
  const reason = new Error("enough");
  const same = (error: unknown) => error === reason;
  await assert.rejects(connect(":memory:", { signal: AbortSignal.abort(reason) }), same);
  const controller = new AbortController();
  const opening = connect(":memory:", { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(opening, same);
  const late = new AbortController();
  await using db = await connect(":memory:", { signal: late.signal });
  late.abort(reason);
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("Connection.executeInsert() returns the rowid, or undefined when nothing was inserted", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)");
  assert.equal(await db.executeInsert("INSERT INTO t (u) VALUES (?)", ["a"]), 1);
  assert.equal(await db.executeInsert("INSERT INTO t (u) VALUES (?), (?)", ["b", "c"]), 3);
  assert.equal(await db.executeInsert("INSERT INTO t (u) VALUES ('d') RETURNING u"), 4);
  assert.equal(await db.executeInsert("INSERT OR IGNORE INTO t (u) VALUES ('a')"), undefined);
  assert.equal(await db.executeInsert("INSERT INTO t (id) VALUES (-5)"), -5);
  const huge = 2n ** 63n - 1n;
  assert.equal(await db.executeInsert("INSERT INTO t (id) VALUES (?)", [huge]), huge);
  assert.equal(await db.executeInsert("UPDATE t SET u = NULL"), undefined);
});

test("Connection.executeFetchOne() returns the first row and holds no lock", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3)");
  assert.deepEqual(await db.executeFetchOne("SELECT x FROM t ORDER BY x DESC"), [3]);
  assert.equal(await db.executeFetchOne("SELECT x FROM t WHERE x > ?", [3]), undefined);
  const returned = db.executeFetchOne("UPDATE t SET x = x + 1 RETURNING x");
  assert.deepEqual(await returned, [2]);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[2], [3], [4]]);
  await db.commit();
  await db.execute("DROP TABLE t");
});

test("Connection.executeFetchAll() returns all rows of a large result", async () => {
  await using db = await connect(":memory:");
  const rows = await db.executeFetchAll(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n",
    [100_000],
  );
  assert.equal(rows.length, 100_000);
  assert.ok(rows.every(([i], at) => i === at + 1));
});

test("calls are served in the order they are made", async () => {
  await using db = await connect(":memory:");
  const results = await Promise.all([
    db.execute("CREATE TABLE t (x)"),
    db.execute("INSERT INTO t VALUES (1)"),
    db.executeMany("INSERT INTO t VALUES (?)", [[2], [3]]),
    db.commit(),
    db.executeScript("UPDATE t SET x = x * 10"),
    db.executeFetchAll("SELECT x FROM t"),
    db.execute("DROP TABLE t"),
  ]);
  assert.deepEqual(results[5], [[10], [20], [30]]);
});

test("parameters are read when the call is made", async () => {
  await using db = await connect(":memory:");
  const bytes = new Uint8Array([1]);
  const parameters: unknown[] = [1, bytes];
  const result = db.executeFetchAll("SELECT ?, ?", parameters);
  parameters[0] = 2;
  bytes[0] = 2;
  assert.deepEqual(await result, [[1, new Uint8Array([1])]]);
});

test("totalChanges and inTransaction tell of the last answered call, and can't be set", async () => {
  await using db = await connect(":memory:");
  assert.deepEqual([db.totalChanges, db.inTransaction, db.closed], [0, false, false]);
  await db.execute("CREATE TABLE t (x)");
  assert.deepEqual([db.totalChanges, db.inTransaction], [0, false]);
  await db.execute("INSERT INTO t VALUES (1), (2)");
  assert.deepEqual([db.totalChanges, db.inTransaction], [2, true]);
  await db.execute("SELECT * FROM t");
  assert.deepEqual([db.totalChanges, db.inTransaction], [2, true]);
  await db.executeScript("DELETE FROM t");
  assert.deepEqual([db.totalChanges, db.inTransaction], [4, false]);
  assert.throws(() => {
    (db as { inTransaction: boolean }).inTransaction = true;
  }, TypeError);
});

/** Sets that take several blocks of 64 KiB. */
function* sets(count: number, bad = -1): Generator<[number, string]> {
  for (let i = 1; i <= count; i++) yield [i === bad ? 1 : i, String(i).padStart(200, "0")];
}

const INSERT = "INSERT INTO t VALUES (?, ?)";

async function withTable(): Promise<Connection> {
  const db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x UNIQUE, y)");
  return db;
}

const summary = (db: Connection) =>
  db.executeFetchOne("SELECT count(*), total(x), total(length(y)) FROM t");

test("executeMany() takes any iterable, also one far larger than a block", async () => {
  async function* later() {
    for (const set of sets(3000)) {
      if (set[0] % 1000 === 0) await Promise.resolve();
      yield set;
    }
  }
  const many = [[...sets(3000)], new Set(sets(3000)), sets(3000), later()];
  for (const iterable of many) {
    await using db = await withTable();
    const cursor = await db.executeMany(INSERT, iterable);
    assert.equal(cursor.rowCount, 3000);
    assert.equal(cursor.description, null);
    assert.deepEqual(await summary(db), [3000, 4501500, 600000]);
    assert.equal(db.totalChanges, 3000);
  }
});

test("executeMany() takes mappings, and no sets at all", async () => {
  await using db = await withTable();
  const named = "INSERT INTO t VALUES (:x, @y)";
  await db.executeMany(named, [{ x: 1, y: "a" }, new Map([["x", "2"], ["y", "b"]])]);
  assert.equal((await db.executeMany(INSERT, [])).rowCount, 0);
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), [[1, "a"], ["2", "b"]]);
});

test("executeMany() refuses what is not DML, and sets that are not iterable", async () => {
  await using db = await withTable();
  for (const sql of ["SELECT ?, ?", "CREATE TABLE u (x)", "BEGIN"]) {
    await assert.rejects(db.executeMany(sql, [[1, 2]]), {
      name: "ProgrammingError",
      message: "executeMany() can only execute DML statements.",
    });
  }
  for (const bad of [1, null, undefined, {}, "ab"] as unknown[]) {
    await assert.rejects(db.executeMany(INSERT, bad as []), { name: "ProgrammingError" });
  }
  assert.deepEqual(await summary(db), [0, 0, 0]);
});

test("executeMany() stops at the first failure, and what was done before stays", async () => {
  for (const bad of [3, 1500, 3000]) {
    await using db = await withTable();
    let finished = false;
    const source = function* () {
      try {
        yield* sets(3000, bad);
      } finally {
        finished = true;
      }
    };
    await assert.rejects(db.executeMany(INSERT, source()), { code: "SQLITE_CONSTRAINT_UNIQUE" });
    assert.equal(finished, true);
    assert.equal((await summary(db))?.[0], bad - 1);
    assert.equal(db.inTransaction, true);
    await db.rollback();
    assert.equal((await db.executeMany(INSERT, sets(10))).rowCount, 10);
  }
});

test("executeMany() rejects with what its iterable throws", async () => {
  const thrown = new Error("no more");
  async function* asynchronous(count: number) {
    yield* sets(count);
    throw thrown;
  }
  function* synchronous(count: number) {
    yield* sets(count);
    throw thrown;
  }
  for (const source of [synchronous, asynchronous]) {
    for (const count of [0, 2000]) {
      await using db = await withTable();
      const cursor = db.cursor();
      const many = cursor.executeMany(INSERT, source(count));
      await assert.rejects(many, (error) => error === thrown);
      assert.equal(cursor.rowCount, -1);
      await db.rollback();
      await cursor.executeMany(INSERT, sets(3));
      assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1], [2], [3]]);
    }
  }
});

test("executeMany()'s iterable may query the same connection", async () => {
  await using db = await withTable();
  await db.executeMany(INSERT, sets(2000));
  await db.execute("CREATE TABLE u (x, y)");
  async function* source() {
    for await (const [x, y] of db.execute("SELECT x, y FROM t ORDER BY x")) yield [x, y];
  }
  assert.equal((await db.executeMany("INSERT INTO u VALUES (?, ?)", source())).rowCount, 2000);
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t EXCEPT SELECT * FROM u"), []);
});

test("executeMany() rejects when its iterable closes the connection", async () => {
  await using db = await withTable();
  function* source() {
    yield [1, "a"];
    db.close();
    yield [2, "b"];
  }
  await assert.rejects(db.executeMany(INSERT, source()), {
    name: "ProgrammingError",
    message: "Cannot operate on a closed database.",
  });
});

const ENDLESS = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
  SELECT count(*) FROM n`;

/** Interrupts until the call, which may not have begun yet, has come to an end. */
async function interruptUntilDone(db: Connection, call: PromiseLike<unknown>): Promise<void> {
  const timer = setInterval(() => db.interrupt(), 1);
  try {
    await assert.rejects(Promise.resolve(call), {
      name: "OperationalError",
      code: "SQLITE_INTERRUPT",
      errno: 9,
      message: "interrupted",
    });
  } finally {
    clearInterval(timer);
  }
}

test("interrupt() ends what runs, and the connection works on", async () => {
  await using db = await connect(":memory:");
  db.interrupt();
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
  await interruptUntilDone(db, db.execute(ENDLESS));
  assert.deepEqual(await db.executeFetchOne("SELECT 2"), [2]);
});

test("interrupt() ends a wait for a lock", async () => {
  const path = file();
  await using other = await connect(path);
  await using db = await connect(path, { timeout: 60_000 });
  await other.execute("BEGIN EXCLUSIVE");
  await interruptUntilDone(db, db.execute("CREATE TABLE t (x)"));
  await other.rollback();
  await db.execute("CREATE TABLE t (x)");
});

test("interrupt() does not affect later calls while another result is being read", async () => {
  const db = await withTable();
  await db.executeMany(INSERT, sets(2000));
  const cursor = await db.execute("SELECT x, y FROM t ORDER BY x");
  await interruptUntilDone(db, db.execute(ENDLESS));
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
  await cursor.close();
  await db.close();
});

test("close() after an interrupt() closes, whatever result is being read", async () => {
  const path = file();
  const db = await connect(path);
  await db.execute("CREATE TABLE t (x, y)");
  await db.executeMany(INSERT, sets(2000));
  await db.commit();
  await db.execute("SELECT x, y FROM t ORDER BY x");
  await interruptUntilDone(db, db.execute(ENDLESS));
  await db.close();
  await using other = await connect(path, { timeout: 0 });
  await other.execute("DROP TABLE t");
});

test("close() waits for the calls made before, and may be called often", async () => {
  const path = file();
  const db = await connect(path, { isolationLevel: null });
  const calls = [
    db.execute("CREATE TABLE t (x)"),
    ...Array.from({ length: 200 }, (_, i) => db.execute("INSERT INTO t VALUES (?)", [i])),
  ];
  const closing = [db.close(), db.close(), db[Symbol.asyncDispose]()];
  assert.equal(db.closed, true);
  const late = assert.rejects(db.execute("SELECT 1"), { name: "ProgrammingError" });
  assert.deepEqual(await Promise.all(closing), [undefined, undefined, undefined]);
  await Promise.all(calls);
  await late;
  await db.close();
  assert.deepEqual(await python(path, "SELECT count(*) FROM t"), [[200]]);
});

test("a program with an open connection ends by itself", async () => {
  const { code, stdout } = await program(`
    const db = await aiosqlite.connect(":memory:");
    console.log(await db.executeFetchOne("SELECT 42"));
  `);
  assert.equal(code, 0);
  assert.match(stdout, /42/);
});

test("autocommit stays what it was if setting it fails", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript(`PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
    CREATE TABLE t (x REFERENCES p DEFERRABLE INITIALLY DEFERRED)`);
  for (const before of ["legacy", false] as const) {
    db.autocommit = before;
    if (before === "legacy") await db.execute("BEGIN");
    await db.execute("INSERT INTO t VALUES (7)");
    db.autocommit = true;
    await assert.rejects(db.execute("SELECT 1"), { code: "SQLITE_CONSTRAINT_FOREIGNKEY" });
    assert.equal(db.autocommit, before);
    await db.rollback();
  }
  await db.execute("INSERT INTO t VALUES (7)");
  db.autocommit = true;
  db.autocommit = "legacy"; // which succeeds, whatever comes of the one before
  await assert.rejects(db.execute("SELECT 1"), { code: "SQLITE_CONSTRAINT_FOREIGNKEY" });
  assert.equal(db.autocommit, "legacy");
});
