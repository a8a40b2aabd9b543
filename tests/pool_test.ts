import assert from "node:assert/strict";
import { existsSync, renameSync } from "node:fs";
import { test } from "node:test";
import {
  connect,
  type Connection,
  createPool,
  type Cursor,
  objectRow,
  OperationalError,
  Pool,
  type PoolOptions,
  ProgrammingError,
  SqliteError,
} from "../mod.ts";
import { file, program, python } from "./helpers.ts";

const CLOSED = { name: "ProgrammingError", message: "Cannot operate on a closed pool." };
const NO_TABLE = { name: "OperationalError", message: "no such table: nonsense" };
/** Rows without end, read from a table: while any are left this holds a snapshot of it. */
const ENDLESS =
  "WITH RECURSIVE n(i) AS (SELECT count(*) FROM t UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

/** A pool of a new database with a table `t (x)`. */
async function table(options: PoolOptions = {}, path = file()): Promise<Pool> {
  const pool = await createPool(path, { timeout: 2000, ...options });
  await pool.execute("CREATE TABLE t (x)");
  return pool;
}

async function values(db: { executeFetchAll: Pool["executeFetchAll"] }): Promise<unknown[]> {
  return (await db.executeFetchAll("SELECT x FROM t ORDER BY rowid")).flat();
}

/** A promise to be fulfilled from outside. */
function gate(): PromiseWithResolvers<void> {
  return Promise.withResolvers<void>();
}

/** A function that returns when it has been called so many times, and throws if that never is. */
function meeting(size: number): () => Promise<void> {
  const all = gate();
  all.promise.catch(() => {});
  const timer = setTimeout(() => all.reject(new Error("not all have come")), 3000);
  return () => {
    if (--size === 0) {
      clearTimeout(timer);
      all.resolve();
    }
    return all.promise;
  };
}

interface Held extends AsyncDisposable {
  leave(): Promise<void>;
}

/** Runs a function that waits to be let go, and returns once it does. */
async function hold(use: (wait: () => Promise<void>) => Promise<unknown>): Promise<Held> {
  const [entered, left] = [gate(), gate()];
  const used = use(() => {
    entered.resolve();
    return left.promise;
  });
  await Promise.race([entered.promise, used]);
  const leave = async () => {
    left.resolve();
    await used;
  };
  return { leave, [Symbol.asyncDispose]: leave };
}

/** Has a transaction hold the writer, in which that has run. */
function holdWriter(pool: Pool, sql = "INSERT INTO t VALUES ('uncommitted')"): Promise<Held> {
  return hold((wait) =>
    pool.transaction(async (tx) => {
      await tx.execute(sql);
      await wait();
    })
  );
}

/** Has all of so many readers in use. */
function holdReaders(pool: Pool, count: number): Promise<Held> {
  return hold((wait) => {
    const met = meeting(count);
    return Promise.all(
      Array.from({ length: count }, () =>
        pool.read(async () => {
          await met();
          await wait();
        })),
    );
  });
}

/** What a query says on the writer and on each of so many readers. */
async function onEach(pool: Pool, readers: number, sql: string): Promise<unknown[]> {
  const met = meeting(readers);
  const answers = Array.from({ length: readers }, () =>
    pool.read(async (db) => {
      await met();
      return (await db.executeFetchAll(sql)).flat();
    }));
  const writer = pool.write(async (db) => (await db.executeFetchAll(sql)).flat());
  return await Promise.all([writer, ...answers]);
}

/** The error is that of a wait for too long, for this. */
function busy(what: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof OperationalError, String(error));
    assert.equal(error.code, "SQLITE_BUSY");
    assert.match(error.message, what);
    return true;
  };
}

/** Settles in good time, which what hangs would not. */
async function soon<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("hangs")), 3000);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// --- opening and closing ---

test("createPool() puts the database into WAL mode, and close() leaves no WAL behind", async () => {
  const path = file();
  {
    await using pool = await createPool(path);
    assert.ok(pool instanceof Pool);
    await pool.execute("CREATE TABLE t (x)");
    await pool.execute("INSERT INTO t VALUES (1)");
    assert.deepEqual(await values(pool), [1]);
    assert.equal(pool.closed, false);
    assert.deepEqual(await python(path, "PRAGMA journal_mode"), [["wal"]]);
    assert.ok(existsSync(`${path}-wal`));
  }
  assert.equal(existsSync(`${path}-wal`), false);
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});

test("await using the request of createPool() closes the pool", async () => {
  const path = file();
  let pool: Pool;
  {
    await using request = createPool(path);
    pool = await request;
    await pool.execute("CREATE TABLE t (x)");
  }
  assert.equal(pool.closed, true);
  assert.equal(existsSync(`${path}-wal`), false);
});

test("close() leaves no WAL, whichever connection is done last", async () => {
  for (let i = 0; i < 10; i++) {
    const path = file();
    const pool = await table({ readers: 3 }, path);
    await onEach(pool, 3, "SELECT count(*) FROM t");
    await pool.close();
    assert.equal(existsSync(`${path}-wal`), false, `round ${i}`);
  }
});

test("close() leaves no WAL when a reader is the last to be done", async () => {
  const path = file();
  const pool = await table({}, path);
  await pool.executeMany("INSERT INTO t VALUES (?)", Array.from({ length: 500 }, (_, i) => [i]));
  const cursor = await pool.execute("SELECT a.x, b.x FROM t a, t b");
  const rest = cursor.fetchAll().catch(() => {}); // may go on, or be told of the close
  await pool.close();
  assert.equal(existsSync(`${path}-wal`), false);
  await rest;
});

test("readers are opened when they are needed, and never more than may be", async () => {
  await using pool = await table({ readers: 2 });
  assert.equal(pool.stats().readers, 0);
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.equal(pool.stats().readers, 0);
  for (let i = 0; i < 5; i++) assert.deepEqual(await values(pool), [1]);
  assert.equal(pool.stats().readers, 1);
  let [inside, most] = [0, 0];
  const met = meeting(2); // no less than two, either
  await Promise.all(Array.from({ length: 20 }, () =>
    pool.read(async (db) => {
      most = Math.max(most, ++inside);
      await met();
      await db.executeFetchOne("SELECT 1");
      inside--;
    })));
  assert.deepEqual([most, pool.stats().readers, pool.stats().busyReaders], [2, 2, 0]);
});

test("readers: 0 has the writer do everything", async () => {
  await using pool = await table({ readers: 0, timeout: 30 });
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await values(pool), [1]);
  await pool.read(async (db) => assert.deepEqual(await values(db), [1]));
  assert.equal(pool.stats().readers, 0);
  await using held = await holdWriter(pool);
  await assert.rejects(values(pool), busy(/a transaction \(IMMEDIATE\) has been open/));
  await held.leave();
  assert.deepEqual(await values(pool), [1, "uncommitted"]);
});

test("readers: 1 serves one read after the other", async () => {
  await using pool = await table({ readers: 1 });
  await pool.execute("INSERT INTO t VALUES (1)");
  const read = Promise.all(Array.from({ length: 20 }, () => values(pool)));
  assert.equal(pool.stats().waitingReads, 20);
  assert.deepEqual(await read, Array.from({ length: 20 }, () => [1]));
  assert.deepEqual([pool.stats().readers, pool.stats().waitingReads], [1, 0]);
});

test("stats() tells what is open, in use and waited for", async () => {
  await using pool = await table({ readers: 2 });
  const idle = { readers: 0, busyReaders: 0, waitingReads: 0, writing: false, waitingWrites: 0 };
  assert.deepEqual(pool.stats(), idle);
  await using readers = await holdReaders(pool, 2);
  await using writer = await holdWriter(pool);
  const calls = [
    values(pool),
    pool.read(() => {}),
    pool.execute("INSERT INTO t VALUES (1)"),
    pool.write(() => {}),
    pool.transaction(() => {}),
  ];
  assert.deepEqual(
    pool.stats(),
    { readers: 2, busyReaders: 2, waitingReads: 2, writing: true, waitingWrites: 3 },
  );
  await Promise.all([readers.leave(), writer.leave(), ...calls]);
  assert.deepEqual(pool.stats(), { ...idle, readers: 2 });
  await pool.close();
  assert.deepEqual(pool.stats(), idle);
});

// --- where statements go ---

test("statements that read go to readers, which see the state before an open transaction", async () => {
  await using pool = await table({ readers: 2 });
  await pool.execute("INSERT INTO t VALUES (1)");
  await using _held = await holdWriter(pool);
  const texts: Record<string, unknown[][]> = {
    "SELECT x FROM t": [[1]],
    "/* first */ -- second\n  select x from t": [[1]],
    "WITH a AS (SELECT x FROM t) SELECT x FROM a": [[1]],
    "VALUES ((SELECT count(*) FROM t)), (2)": [[1], [2]],
    "PRAGMA table_info(t)": [[0, "x", "", 0, null, 0]],
    "PRAGMA query_only": [[0]],
  };
  for (const [sql, rows] of Object.entries(texts)) {
    for (let i = 0; i < 2; i++) assert.deepEqual(await pool.executeFetchAll(sql), rows, sql);
    assert.deepEqual(await pool.executeFetchOne(sql), rows[0], sql);
    assert.deepEqual(await (await pool.execute(sql)).fetchAll(), rows, sql);
  }
  assert.ok((await pool.executeFetchAll("EXPLAIN SELECT x FROM t")).length > 3);
  assert.equal((await pool.executeFetchAll("EXPLAIN QUERY PLAN SELECT x FROM t")).length, 1);
  assert.equal(pool.stats().busyReaders, 0);
});

test("statements that write go to the writer, however they begin", async () => {
  await using pool = await table({ timeout: 30 });
  const texts = [
    "INSERT INTO t VALUES (1)",
    "-- a comment\n\t/* and another */ insert into t values (2)",
    "REPLACE INTO t VALUES (3)",
    "WITH n(i) AS (VALUES (4)) INSERT INTO t SELECT i FROM n",
    "INSERT INTO t VALUES (5) RETURNING x",
    "UPDATE t SET x = x + 10",
    "DELETE FROM t WHERE x = 11",
    "CREATE TABLE other (x)",
    "PRAGMA user_version = 7",
    "DROP TABLE other",
  ];
  {
    await using _held = await holdWriter(pool, "SELECT 1");
    const wait = (sql: string) =>
      assert.rejects(pool.execute(sql), busy(/a transaction \(IMMEDIATE\) has been open/), sql);
    await Promise.all(texts.map(wait));
  }
  for (const sql of texts) await pool.execute(sql);
  assert.deepEqual(await values(pool), [12, 13, 14, 15]);
  assert.deepEqual(await pool.executeFetchOne("PRAGMA user_version"), [7]);
});

test("a statement without parameters, blank or only a comment, does nothing", async () => {
  await using pool = await table();
  for (const sql of ["", "  ", "-- nothing", ";"]) {
    assert.deepEqual(await pool.executeFetchAll(sql), []);
  }
});

test("rows and numbers of a statement that writes come back", async () => {
  await using pool = await table();
  assert.equal(await pool.executeInsert("INSERT INTO t VALUES (?), (?)", ["a", "b"]), 2);
  assert.equal(await pool.executeInsert("UPDATE t SET x = x"), undefined);
  const cursor = await pool.execute("UPDATE t SET x = upper(x) RETURNING rowid, x");
  assert.equal(cursor.rowCount, 2);
  assert.deepEqual(await cursor.fetchAll(), [[1, "A"], [2, "B"]]);
  assert.deepEqual(
    await pool.executeFetchOne("INSERT INTO t VALUES (:x) RETURNING x", { x: "c" }),
    ["c"],
  );
  const names = [];
  for await (const [x] of pool.execute("SELECT x FROM t WHERE x > ?", ["A"])) names.push(x);
  assert.deepEqual(names, ["B", "c"]);
});

test("what only the writer has can be read, such as a temporary table", async () => {
  await using pool = await table();
  await pool.execute("CREATE TEMP TABLE mine (x)");
  await pool.execute("INSERT INTO mine VALUES (1)");
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await pool.executeFetchAll("SELECT x FROM mine"), [[1]]);
    assert.deepEqual(await pool.executeFetchOne("SELECT x FROM temp.mine"), [1]);
  }
  assert.equal(pool.stats().busyReaders, 0);
});

test("a text that has been read by readers is still found once only the writer can", async () => {
  await using pool = await table();
  await pool.execute("INSERT INTO t VALUES ('main')");
  assert.deepEqual(await values(pool), ["main"]);
  await pool.execute("DROP TABLE t");
  await pool.execute("CREATE TEMP TABLE t (x)");
  await pool.execute("INSERT INTO t VALUES ('temporary')");
  assert.deepEqual(await values(pool), ["temporary"]);
});

test("an error has the statement and ends in the caller's file, wherever it ran", async () => {
  await using pool = await table();
  await pool.execute("CREATE TABLE u (x UNIQUE)");
  const failing: [sql: string, message: RegExp, offset: number][] = [
    ["SELECT x FROM nonsense", /^no such table: nonsense$/, -1],
    ["SELECT nonsense FROM t", /^no such column: nonsense$/, 7],
    ["INSERT INTO nonsense VALUES (1)", /^no such table: nonsense$/, -1],
    ["SELECT abs(-9223372036854775808)", /^integer overflow$/, -1],
    ["INSERT INTO u VALUES (1), (1)", /^UNIQUE constraint failed: u\.x$/, -1],
  ];
  for (const [sql, message, offset] of failing) {
    for (const method of ["execute", "executeFetchAll", "executeFetchOne"] as const) {
      const error = await caught(async () => await pool[method](sql));
      assert.match(error.message, message);
      assert.deepEqual([error.sql, error.offset], [sql, offset]);
      assert.match(error.stack!, /pool_test\.ts/, `${method}: ${sql}`);
    }
  }
  const loop = await caught(async () => {
    for await (const _ of pool.execute("SELECT nonsense")) assert.fail();
  });
  assert.match(loop.stack!, /pool_test\.ts/);
  assert.equal(pool.stats().busyReaders, 0);
});

/** The error of SQLite's that a function rejects with. */
async function caught(work: () => Promise<unknown>): Promise<SqliteError> {
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof SqliteError, String(error));
    return error;
  }
  assert.fail("did not reject");
}

test("several statements at once are refused, and none has run", async () => {
  await using pool = await table();
  for (const sql of ["SELECT 1; INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1); SELECT 1"]) {
    await assert.rejects(pool.execute(sql), { name: "ProgrammingError", message: /one statement/ });
  }
  assert.deepEqual(await values(pool), []);
});

for (
  const sql of [
    "BEGIN",
    "begin immediate",
    "/* now */ COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT a",
    "RELEASE a",
    "ROLLBACK TO a",
    "; BEGIN",
    "\uFEFFBEGIN", // SQLite takes a byte order mark for a blank
  ]
) {
  test(`${JSON.stringify(sql)} is refused by a pool`, async () => {
    await using pool = await table({ timeout: 50 });
    await assert.rejects(
      pool.execute(sql),
      (error: unknown) => error instanceof ProgrammingError && error.sql === sql,
    );
    await assert.rejects(pool.executeFetchAll(sql), ProgrammingError);
    await pool.write((db) => assert.equal(db.inTransaction, false));
  });
}

test("parameters are read and copied when a call is made", async () => {
  await using pool = await table({ readers: 1 });
  await using readers = await holdReaders(pool, 1);
  await using writer = await holdWriter(pool, "SELECT 1");
  const bytes = new Uint8Array([1, 2]);
  const sequence: unknown[] = [bytes, "a"];
  const named: Record<string, unknown> = { x: bytes };
  const calls = [
    pool.executeFetchOne("SELECT ?, ?", sequence as never),
    pool.executeFetchAll("SELECT :x", named as never),
    pool.executeFetchOne("INSERT INTO t VALUES (?) RETURNING x", [bytes]),
  ];
  bytes.fill(9);
  sequence[1] = Symbol();
  sequence.push(3);
  delete named.x;
  await Promise.all([readers.leave(), writer.leave()]);
  const copy = new Uint8Array([1, 2]);
  assert.deepEqual(await Promise.all(calls), [[copy, "a"], [[copy]], [copy]]);
});

test("executeMany() reads its first sets when the call is made, as a connection's does", async () => {
  await using pool = await table();
  await using writer = await holdWriter(pool, "SELECT 1");
  const sets = [[1], [2]];
  const many = pool.executeMany("INSERT INTO t VALUES (?)", sets);
  sets[0]![0] = 9;
  await writer.leave();
  await many;
  assert.deepEqual(await values(pool), [1, 2]);
});

test("a bad parameter, text or option is refused before anything is sent", async () => {
  await using pool = await table();
  const refused = async (name: string, call: () => PromiseLike<unknown>) => {
    await assert.rejects(async () => await call(), { name });
  };
  for (const bad of [[undefined], [{}], [Symbol()], 7, "text"]) {
    const name = "ProgrammingError";
    await refused(name, () => pool.execute("SELECT :a", bad as never));
    await refused(name, () => pool.executeFetchAll("INSERT INTO t VALUES (:a)", bad as never));
    await refused(name, () => pool.executeInsert("INSERT INTO t VALUES (:a)", bad as never));
  }
  await refused("DataError", () => pool.executeFetchOne("SELECT ?", ["\ud800"]));
  await refused("DataError", () => pool.execute("INSERT INTO t VALUES (?)", [2n ** 64n]));
  for (const sql of [7, undefined, null, ["SELECT 1"], "SELECT '\0'"]) {
    for (const method of ["execute", "executeFetchAll", "executeFetchOne", "executeInsert"]) {
      await refused("ProgrammingError", () => pool[method as "execute"](sql as never));
    }
    await refused("ProgrammingError", () => pool.executeScript(sql as never));
    await refused("ProgrammingError", () => pool.executeMany(sql as never, [[1]]));
  }
  await refused("DataError", () => pool.execute("SELECT '\ud800'"));
  for (const options of [{ signal: 7 }, { timeout: 7 }, 7, null]) {
    await refused("ProgrammingError", () => pool.execute("SELECT 1", [], options as never));
    await refused("ProgrammingError", () => pool.read(() => {}, options as never));
    await refused("ProgrammingError", () => pool.write(() => {}, options as never));
  }
  assert.deepEqual(
    pool.stats(),
    { readers: 0, busyReaders: 0, waitingReads: 0, writing: false, waitingWrites: 0 },
  );
  assert.deepEqual(await values(pool), []);
});

test("a wrong number of parameters is refused, and the reader is free again", async () => {
  await using pool = await table({ readers: 1 });
  await assert.rejects(pool.execute("SELECT ?, ?", [1]), { name: "ProgrammingError" });
  await assert.rejects(pool.executeFetchAll("SELECT :a", { b: 1 }), { name: "ProgrammingError" });
  assert.equal(pool.stats().busyReaders, 0);
  assert.deepEqual(await pool.executeFetchOne("SELECT 1"), [1]);
});

test("executeMany() is all or none", async () => {
  await using pool = await createPool(file());
  await pool.execute("CREATE TABLE t (x UNIQUE)");
  const insert = "INSERT INTO t VALUES (?)";
  await assert.rejects(
    pool.executeMany(insert, [[1], [2], [1]]),
    { name: "IntegrityError", code: "SQLITE_CONSTRAINT_UNIQUE", sql: insert },
  );
  assert.deepEqual(await values(pool), []);
  await assert.rejects(pool.executeMany(insert, [[1], [undefined]] as never), ProgrammingError);
  assert.deepEqual(await values(pool), []);
  const cursor = await pool.executeMany(
    insert,
    (async function* () {
      for (let i = 0; i < 3; i++) yield [i];
    })(),
  );
  assert.equal(cursor.rowCount, 3);
  assert.deepEqual(await values(pool), [0, 1, 2]);
  await assert.rejects(pool.executeMany("SELECT ?", [[1]]), { message: /DML/ });
});

test("executeScript() runs on the writer, and what it leaves open is undone", async () => {
  await using pool = await table();
  await pool.executeScript("INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); COMMIT;");
  assert.deepEqual(await values(pool), [1, 2]);
  await assert.rejects(
    pool.executeScript("BEGIN; INSERT INTO t VALUES (3)"),
    { name: "ProgrammingError", message: /left a transaction open/ },
  );
  await assert.rejects(
    pool.executeScript("BEGIN; INSERT INTO t VALUES (4); SELECT nonsense; COMMIT"),
    { name: "OperationalError", message: "no such column: nonsense" },
  );
  await pool.execute("INSERT INTO t VALUES (5)");
  assert.deepEqual(await values(pool), [1, 2, 5]);
});

test("a write that has been awaited is seen by every read after it", async () => {
  await using pool = await table({ readers: 4 });
  await onEach(pool, 4, "SELECT 1");
  await pool.execute("INSERT INTO t VALUES (0)");
  for (let i = 1; i <= 300; i++) {
    await pool.execute("UPDATE t SET x = ?", [i]);
    // Each of the readers, in turn.
    const seen = Array.from({ length: 4 }, () => pool.executeFetchOne("SELECT x FROM t"));
    for (const row of await Promise.all(seen)) assert.deepEqual(row, [i]);
  }
});

test("as many reads run at once as there are readers", async () => {
  await using pool = await table({ readers: 3 });
  const met = meeting(3); // each goes on only once all three are there
  const read = pool.read.bind(pool);
  const answers = [1, 2, 3].map((i) =>
    read(async (db) => {
      await db.executeFetchOne("SELECT count(*) FROM t");
      await met();
      return (await db.executeFetchOne("SELECT ?", [i]))![0];
    })
  );
  assert.deepEqual(await Promise.all(answers), [1, 2, 3]);
});

// --- read(), write(), transaction() ---

test("transaction() commits when its function fulfils, and rolls back when it throws", async () => {
  await using pool = await table();
  const value = await pool.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    return 42;
  });
  assert.equal(value, 42);
  const mine = new Error("mine");
  const failing = pool.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (2)");
    throw mine;
  });
  await assert.rejects(failing, (error) => error === mine);
  assert.deepEqual(await values(pool), [1]);
  assert.equal(pool.stats().writing, false);
});

for (const options of [undefined, {}, { mode: undefined }]) {
  test(`transaction() takes the write lock at once, with ${JSON.stringify(options)}`, async () => {
    const path = file();
    await using pool = await table({}, path);
    await using other = await connect(path, { timeout: 0, isolationLevel: null });
    const begin = () => other.execute("BEGIN IMMEDIATE");
    await pool.transaction(() => assert.rejects(begin(), { code: "SQLITE_BUSY" }), options);
    await begin();
  });
}

test("transaction() takes other modes, and refuses what is none", async () => {
  const path = file();
  await using pool = await table({}, path);
  await using other = await connect(path, { timeout: 0, isolationLevel: null });
  await pool.transaction(async () => {
    await other.execute("INSERT INTO t VALUES (1)");
  }, { mode: "DEFERRED" });
  assert.deepEqual(await values(pool), [1]);
  for (const options of [{ mode: "BOGUS" }, { nested: 1 }, { retry: 1 }, 7, null]) {
    await assert.rejects(
      pool.transaction(() => assert.fail("has run"), options as never),
      { name: "ProgrammingError" },
      JSON.stringify(options),
    );
  }
});

test("calls of the pool within transaction() take part in it", async () => {
  await using pool = await table();
  const failing = pool.transaction(async () => {
    await pool.execute("INSERT INTO t VALUES (1)");
    await pool.executeMany("INSERT INTO t VALUES (?)", [[2], [3]]);
    await pool.executeScript("INSERT INTO t VALUES (4)");
    assert.equal(await pool.executeInsert("INSERT INTO t VALUES (5)"), 5);
    await Promise.all([6, 7].map(async (x) => {
      await null;
      await pool.execute("INSERT INTO t VALUES (?)", [x]);
    }));
    await pool.write((db) => db.execute("INSERT INTO t VALUES (8)"));
    assert.deepEqual(await values(pool), [1, 2, 3, 4, 5, 6, 7, 8]);
    for await (const [x] of pool.execute("SELECT max(x) FROM t")) assert.equal(x, 8);
    throw new Error("mine");
  });
  await assert.rejects(failing, { message: "mine" });
  assert.deepEqual(await values(pool), []);
  assert.equal(pool.stats().busyReaders, 0);
});

test("read() within transaction() and write() sees what they have written", async () => {
  await using pool = await table();
  await pool.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    assert.deepEqual(await pool.read(values), [1]);
    assert.deepEqual(await pool.read(() => values(pool)), [1]);
  });
  await pool.write(async (db) => {
    await db.execute("BEGIN");
    await db.execute("INSERT INTO t VALUES (2)");
    assert.deepEqual(await pool.read(values), [1, 2]);
    await db.execute("COMMIT");
  });
});

test("a transaction() within another fails alone", async () => {
  await using pool = await table();
  await pool.transaction(async (outer) => {
    await outer.execute("INSERT INTO t VALUES (1)");
    const failing = pool.transaction(async (inner) => {
      await inner.execute("INSERT INTO t VALUES (2)");
      await pool.execute("INSERT INTO t VALUES (3)");
      throw new Error("mine");
    });
    await assert.rejects(failing, { message: "mine" });
    await pool.transaction((inner) => inner.execute("INSERT INTO t VALUES (4)"));
    await pool.transaction((tx) => assert.equal(tx, outer), { nested: "join" });
    await assert.rejects(pool.transaction(() => {}, { nested: "error" }), ProgrammingError);
  });
  assert.deepEqual(await values(pool), [1, 4]);
});

test("write() has the writer for itself, and each statement commits", async () => {
  const path = file();
  await using pool = await table({}, path);
  const order: string[] = [];
  const later = gate();
  const written = pool.write(async (db) => {
    assert.ok(pool.stats().writing);
    await db.execute("INSERT INTO t VALUES (1)");
    later.resolve();
    await pool.execute("INSERT INTO t VALUES (2)"); // takes part
    await pool.write((same) => assert.equal(same, db));
    assert.deepEqual(await python(path, "SELECT x FROM t"), [[1], [2]]);
    order.push("write");
    return "done";
  });
  await later.promise;
  const other = pool.execute("INSERT INTO t VALUES (3)").then(() => order.push("other"));
  assert.equal(pool.stats().waitingWrites, 1);
  assert.equal(await written, "done");
  await other;
  assert.deepEqual(order, ["write", "other"]);
  assert.deepEqual(await values(pool), [1, 2, 3]);
});

test("a transaction() within write() rolls back alone", async () => {
  await using pool = await table();
  await pool.write(async (db) => {
    await db.execute("INSERT INTO t VALUES (1)");
    for (const owner of [db, pool]) {
      const failing = owner.transaction(async () => {
        await pool.execute("INSERT INTO t VALUES (2)");
        throw new Error("mine");
      });
      await assert.rejects(failing, { message: "mine" });
    }
    await pool.transaction((tx) => tx.execute("INSERT INTO t VALUES (3)"));
  });
  assert.deepEqual(await values(pool), [1, 3]);
});

test("a transaction that write() leaves open is undone and reported", async () => {
  await using pool = await table();
  const left = { name: "ProgrammingError", message: "write() left a transaction open" };
  const leaving = pool.write(async (db) => {
    await db.execute("BEGIN");
    await db.execute("INSERT INTO t VALUES (1)");
  });
  await assert.rejects(leaving, left);
  const mine = new Error("mine");
  const throwing = pool.write(async (db) => {
    await db.execute("BEGIN");
    await db.execute("INSERT INTO t VALUES (2)");
    throw mine;
  });
  await assert.rejects(throwing, (error) => error === mine);
  await pool.execute("INSERT INTO t VALUES (3)");
  await pool.transaction((tx) => tx.execute("INSERT INTO t VALUES (4)"));
  assert.deepEqual(await values(pool), [3, 4]);
});

test("a transaction's handle that write() leaves open is undone, and the writer goes on", async () => {
  await using pool = await table();
  const leaving = pool.write(async (db) => {
    const tx = await db.transaction();
    await tx.execute("INSERT INTO t VALUES (1)");
  });
  await assert.rejects(leaving, { name: "ProgrammingError" });
  await assert.rejects(pool.execute("INSERT INTO nonsense VALUES (1)"), NO_TABLE);
  await pool.execute("INSERT INTO t VALUES (2)");
  await pool.transaction((tx) => tx.execute("INSERT INTO t VALUES (3)"));
  assert.deepEqual(await values(pool), [2, 3]);
});

test("read() has a reader for itself, which refuses to write", async () => {
  await using pool = await table({ readers: 1 });
  await pool.execute("INSERT INTO t VALUES (1)");
  const value = await pool.read(async (db) => {
    for (const sql of ["INSERT INTO t VALUES (2)", "CREATE TABLE u (x)", "DROP TABLE t"]) {
      await assert.rejects(db.execute(sql), { code: "SQLITE_READONLY", name: "OperationalError" });
    }
    return await values(db);
  });
  assert.deepEqual(value, [1]);
});

test("reads of the pool within read() use its reader, even the only one", async () => {
  await using pool = await table({ readers: 1 });
  await pool.execute("INSERT INTO t VALUES (1)");
  await pool.read(async (db) => {
    await db.execute("BEGIN");
    assert.deepEqual(await values(db), [1]);
    await using _cursor = await pool.execute(ENDLESS);
    await pool.execute("INSERT INTO t VALUES (2)"); // goes to the writer
    // Its snapshot is from before, which only the same reader sees.
    assert.deepEqual(await values(pool), [1]);
    assert.deepEqual(await pool.read(values), [1]);
    await pool.read((same) => assert.equal(same, db));
    await Promise.all([1, 2].map(async () => {
      await null;
      assert.deepEqual(await values(pool), [1]);
    }));
    await db.execute("COMMIT");
  });
  assert.deepEqual(await values(pool), [1, 2]);
  assert.equal(pool.stats().readers, 1);
});

test("writes of the pool within read() go to the writer", async () => {
  await using pool = await table({ readers: 1 });
  await pool.read(async () => {
    await pool.execute("INSERT INTO t VALUES (1)");
    await pool.execute("WITH n(i) AS (VALUES (2)) INSERT INTO t SELECT i FROM n");
    await pool.executeMany("INSERT INTO t VALUES (?)", [[3]]);
    await pool.write((db) => db.execute("INSERT INTO t VALUES (4)"));
    await pool.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES (5)");
      assert.deepEqual(await values(pool), [1, 2, 3, 4, 5]);
    });
    assert.deepEqual(await values(pool), [1, 2, 3, 4, 5]);
  });
});

test("a transaction that read() leaves open is undone and reported", async () => {
  await using pool = await table({ readers: 1 });
  const leaving = pool.read(async (db) => {
    await db.execute("BEGIN");
    await values(db);
  });
  await assert.rejects(leaving, { message: "read() left a transaction open" });
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await values(pool), [1]);
});

test("a result that read() leaves half read holds no snapshot", async () => {
  await using pool = await table({ readers: 1 });
  const cursor = await pool.read((db) => db.execute(ENDLESS));
  assert.equal(pool.stats().busyReaders, 0);
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await values(pool), [1]);
  await assert.rejects(cursor.fetchOne(), { message: "Cannot operate on a closed cursor." });
});

test("what throws in read() and write() is thrown by them, as it is", async () => {
  await using pool = await table();
  for (const method of ["read", "write", "transaction"] as const) {
    const mine = new Error(method);
    const same = (error: unknown) => error === mine;
    const throws = () => {
      throw mine;
    };
    await assert.rejects(pool[method](throws), same);
    await assert.rejects(pool[method](() => Promise.reject(mine)), same);
  }
  const { busyReaders, writing } = pool.stats();
  assert.deepEqual([busyReaders, writing], [0, false]);
});

test("a task that outlives its read(), write() or transaction() goes on outside", async () => {
  await using pool = await table({ readers: 1 });
  const ended = gate();
  const late: Promise<unknown>[] = [];
  for (const method of ["read", "write", "transaction"] as const) {
    await pool[method](() => {
      const insert = () => pool.execute("INSERT INTO t VALUES (?)", [method]);
      late.push(ended.promise.then(() => values(pool)).then(insert));
    });
  }
  ended.resolve();
  await Promise.all(late);
  assert.deepEqual((await values(pool)).sort(), ["read", "transaction", "write"]);
});

test("200 concurrent transfers and reads: every read sees the same total", async () => {
  const pool = await createPool(file(), { readers: 3, timeout: 60_000 });
  await using _ = pool;
  await pool.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance)");
  await pool.executeMany(
    "INSERT INTO account (balance) VALUES (?)",
    Array.from({ length: 10 }, () => [100]),
  );
  const sum = "SELECT sum(balance) FROM account";
  const add = "UPDATE account SET balance = balance + ? WHERE id = ?";
  let failed = 0;
  await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    switch (i % 4) {
      case 0:
        return assert.deepEqual(await pool.executeFetchOne(sum), [1000]);
      case 1:
        return await pool.read(async (db) => {
          await db.execute("BEGIN");
          const all = await db.executeFetchAll("SELECT balance FROM account");
          assert.equal(all.flat().reduce((a, b) => Number(a) + Number(b), 0), 1000);
          assert.deepEqual(await pool.executeFetchOne(sum), [1000]);
          await db.execute("COMMIT");
        });
    }
    const transfer = pool.transaction(async (tx) => {
      await tx.execute(add, [-i, 1 + i % 10]);
      await null;
      if (i % 3 === 0) throw new Error("changed my mind");
      await pool.execute(add, [i, 1 + (i + 1) % 10]);
    });
    await transfer.catch(() => failed++);
  }));
  assert.ok(failed > 10);
  assert.deepEqual(await pool.executeFetchOne(sum), [1000]);
  assert.ok((await pool.executeFetchAll("SELECT 1 FROM account WHERE balance <> 100")).length > 0);
});

// --- waiting ---

test("those who wait for a reader are served in the order they came", async () => {
  const order: unknown[] = [];
  const rowFactory = (_: unknown, [value]: unknown[]) => order.push(value);
  await using pool = await createPool<number>(file(), { readers: 1, rowFactory });
  const held = await holdReaders(pool as never, 1);
  const calls = Array.from({ length: 30 }, (_, i) => {
    if (i % 3 === 0) return pool.read((db) => db.executeFetchOne("SELECT ?", [i]));
    if (i % 3 === 1) return pool.executeFetchAll("SELECT ?", [i]);
    return pool.execute("SELECT ?", [i]).then((cursor) => cursor.fetchOne());
  });
  assert.equal(pool.stats().waitingReads, 30);
  await Promise.all([held.leave(), ...calls]);
  // A cursor has its row made by fetchOne(), when the next may have had its turn already.
  const [made, fetched] = [0, 1].map((k) => order.filter((i) => (Number(i) % 3 === 2) === !!k));
  const expected = Array.from({ length: 30 }, (_, i) => i);
  assert.deepEqual(made, expected.filter((i) => i % 3 !== 2));
  assert.deepEqual(fetched, expected.filter((i) => i % 3 === 2));
});

test("those who wait for the writer are served in the order they came", async () => {
  await using pool = await table();
  const held = await holdWriter(pool, "SELECT 1");
  const insert = "INSERT INTO t VALUES (?)";
  const calls = Array.from({ length: 30 }, (_, i): PromiseLike<unknown> => {
    if (i % 5 === 0) return pool.execute(insert, [i]);
    if (i % 5 === 1) return pool.transaction((tx) => tx.execute(insert, [i]));
    if (i % 5 === 2) return pool.write((db) => db.execute(insert, [i]));
    if (i % 5 === 3) return pool.executeMany(insert, [[i]]);
    return pool.executeScript(`INSERT INTO t VALUES (${i})`);
  });
  assert.equal(pool.stats().waitingWrites, 30);
  await Promise.all([held.leave(), ...calls]);
  assert.deepEqual(await values(pool), Array.from({ length: 30 }, (_, i) => i));
});

for (const readers of [1, 2]) {
  test(`waiting too long for ${readers} readers is SQLITE_BUSY, and says so`, async () => {
    await using pool = await table({ readers, timeout: 300 }); // time to open them
    await using held = await holdReaders(pool, readers);
    const why = readers === 1 ? /after 300 ms: the reader is busy/ : /all 2 readers are busy/;
    const calls: (() => PromiseLike<unknown>)[] = [
      () => pool.executeFetchAll("SELECT 1"),
      () => pool.executeFetchOne("SELECT 1"),
      () => pool.execute("SELECT 1"),
      () => pool.read(() => assert.fail("has run")),
    ];
    const errors = calls.map((call) => caught(async () => await call()));
    assert.equal(pool.stats().waitingReads, calls.length);
    for (const error of await Promise.all(errors)) {
      busy(why)(error);
      assert.match(error.stack!, /pool_test\.ts/);
    }
    assert.equal(pool.stats().waitingReads, 0);
    await held.leave();
    assert.deepEqual(await pool.executeFetchOne("SELECT 1"), [1]);
  });
}

test("waiting too long for the writer is SQLITE_BUSY, and says what holds it", async () => {
  await using pool = await table({ timeout: 30 });
  const insert = "INSERT INTO t VALUES (1)";
  const calls: (() => PromiseLike<unknown>)[] = [
    () => pool.execute(insert),
    () => pool.executeMany("INSERT INTO t VALUES (?)", [[1]]),
    () => pool.executeScript(insert),
    () => pool.write(() => assert.fail("has run")),
    () => pool.transaction(() => assert.fail("has run")),
  ];
  {
    await using _held = await hold((wait) => pool.write(wait));
    for (const call of calls) {
      const error = await caught(async () => await call());
      busy(/write\(\) has been open for \d+ ms/)(error);
      assert.match(error.stack!, /pool_test\.ts/);
    }
    await assert.rejects(pool.transaction(() => {}, { timeout: 5 }), busy(/after 5 ms/));
  }
  assert.deepEqual(await values(pool), []);
  await pool.execute(insert);
});

test("a signal ends the waiting for a reader at once, and the others are served", async () => {
  await using pool = await table({ readers: 1 });
  const held = await holdReaders(pool, 1);
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error("no longer");
  const same = (error: unknown) => error === reason;
  const before = pool.executeFetchOne("SELECT 1");
  const aborted = [
    pool.execute("SELECT 2", [], { signal }),
    pool.executeFetchAll("SELECT 2", [], { signal }),
    pool.read(() => assert.fail("has run"), { signal }),
  ];
  const after = pool.executeFetchOne("SELECT 3");
  assert.equal(pool.stats().waitingReads, 5);
  controller.abort(reason);
  assert.equal(pool.stats().waitingReads, 2);
  for (const call of aborted) await assert.rejects(async () => await call, same);
  await held.leave();
  assert.deepEqual(await Promise.all([before, after]), [[1], [3]]);
  await assert.rejects(pool.executeFetchOne("SELECT 4", [], { signal }), same);
  await assert.rejects(pool.read(() => assert.fail("has run"), { signal }), same);
  assert.equal(pool.stats().busyReaders, 0);
});

test("a signal ends the waiting for the writer at once, and the others are served", async () => {
  await using pool = await table();
  const held = await holdWriter(pool, "SELECT 1");
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error("no longer");
  const insert = "INSERT INTO t VALUES (?)";
  const before = pool.execute(insert, [1]);
  const aborted: PromiseLike<unknown>[] = [
    pool.execute(insert, ["aborted"], { signal }),
    pool.executeMany(insert, [["aborted"]], { signal }),
    pool.executeScript("INSERT INTO t VALUES ('aborted')", { signal }),
    pool.write(() => assert.fail("has run"), { signal }),
    pool.transaction(() => assert.fail("has run"), { signal }),
  ];
  const after = pool.execute(insert, [2]);
  controller.abort(reason);
  assert.equal(pool.stats().waitingWrites, 2);
  for (const call of aborted) {
    await assert.rejects(async () => await call, (error) => error === reason);
  }
  await Promise.all([held.leave(), before, after]);
  assert.deepEqual(await values(pool), [1, 2]);
});

test("a signal ends a query that runs, and its reader is free again", async () => {
  await using pool = await table({ readers: 1 });
  const count = ENDLESS.replace("SELECT i FROM", "SELECT count(*) FROM");
  for (const method of ["executeFetchAll", "read", "write"] as const) {
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error("no longer");
    const query = method === "executeFetchAll"
      ? pool.executeFetchAll(count, [], { signal })
      : pool[method]((db: Connection) => db.executeFetchAll(count), { signal });
    setTimeout(() => controller.abort(reason), 20);
    await assert.rejects(query, (error) => error === reason);
    const { busyReaders, writing } = pool.stats();
    assert.deepEqual([busyReaders, writing], [0, false], method);
    assert.deepEqual(await values(pool), []);
    await pool.write((db) => db.execute("DELETE FROM t"));
  }
});

test("a write() whose signal is aborted in a transaction is undone, and the writer goes on", async () => {
  await using pool = await table();
  for (const begin of ["BEGIN", "transaction"]) {
    const controller = new AbortController();
    const reason = new Error("no longer");
    const written = pool.write(async (db) => {
      const inside = begin === "BEGIN" ? db : await db.transaction();
      if (inside === db) await db.execute("BEGIN");
      await inside.execute("INSERT INTO t VALUES (1)");
      controller.abort(reason);
      await gate().promise;
    }, { signal: controller.signal });
    await assert.rejects(written, (error) => error === reason);
    await assert.rejects(pool.execute("INSERT INTO nonsense VALUES (1)"), NO_TABLE);
    assert.deepEqual(await values(pool), []);
    await pool.transaction((tx) => tx.execute("DELETE FROM t"));
  }
});

// --- cursors ---

test("a cursor keeps its reader until its rows have been fetched or it is closed", async () => {
  await using pool = await table({ readers: 1 });
  await pool.executeMany("INSERT INTO t VALUES (?)", Array.from({ length: 5000 }, (_, i) => [i]));
  const all = "SELECT x, zeroblob(100) FROM t";
  const busyReaders = () => pool.stats().busyReaders;
  const ends: Record<string, () => Promise<unknown>> = {
    "fetchAll()": async () => (await pool.execute(all)).fetchAll(),
    "fetchMany()": async () => (await pool.execute(all)).fetchMany(5001),
    "close()": async () => await (await pool.execute(all)).close(),
    "await using": async () => {
      await using cursor = await pool.execute(all);
      assert.equal(busyReaders(), 1);
      assert.equal((await cursor.fetchMany(2)).length, 2);
      assert.equal(busyReaders(), 1);
    },
    "for await": async () => {
      let rows = 0;
      for await (const _ of pool.execute(all)) if (++rows === 1) assert.equal(busyReaders(), 1);
      assert.equal(rows, 5000);
    },
    "for await with break": async () => {
      for await (const _ of pool.execute(all)) break;
    },
    "for await with throw": async () => {
      await assert.rejects(async () => {
        for await (const _ of pool.execute(all)) throw new Error("mine");
      }, { message: "mine" });
    },
    "a failure": async () => {
      const cursor = await pool.execute(
        "SELECT zeroblob(100), abs(CASE WHEN x < 4000 THEN x ELSE -9223372036854775808 END) FROM t",
      );
      assert.equal(busyReaders(), 1);
      await assert.rejects(cursor.fetchAll(), { message: "integer overflow" });
    },
  };
  for (const [how, end] of Object.entries(ends)) {
    await end();
    assert.equal(busyReaders(), 0, how);
    await pool.execute("UPDATE t SET x = x");
    assert.deepEqual(await pool.executeFetchOne("SELECT count(*) FROM t"), [5000], how);
  }
});

test("a cursor whose rows have all come in keeps no reader", async () => {
  await using pool = await table({ readers: 1 });
  const cursor = await pool.execute("VALUES (1), (2), (3)");
  assert.equal(pool.stats().busyReaders, 0);
  assert.deepEqual(await pool.executeFetchOne("SELECT 4"), [4]);
  assert.deepEqual(await cursor.fetchAll(), [[1], [2], [3]]);
});

test("a half-read cursor has those wait that need its reader, and then lets them in", async () => {
  await using pool = await table({ readers: 1 });
  const cursor = await pool.execute(ENDLESS);
  const waits = pool.executeFetchOne("SELECT 1");
  assert.deepEqual([await cursor.fetchOne(), await cursor.fetchOne()], [[0], [1]]);
  assert.equal(pool.stats().waitingReads, 1);
  await cursor.close();
  assert.deepEqual(await waits, [1]);
});

test("a half-read cursor whose signal is aborted gives its reader back", async () => {
  await using pool = await table({ readers: 1, timeout: 500 });
  const controller = new AbortController();
  const { signal } = controller;
  const cursor = await pool.execute(ENDLESS, [], { signal });
  controller.abort(new Error("no longer"));
  // None of its rows can be fetched any more.
  assert.deepEqual(await pool.executeFetchOne("SELECT 1"), [1]);
  await assert.rejects(cursor.fetchOne(), { message: "no longer" });
});

test("a reader is given back once, though its last rows come in after the loop is left", async () => {
  await using pool = await table({ readers: 1 });
  // The first row fills a batch, and the loop asks for the second, the last, ahead.
  let waiting: Promise<Cursor>;
  for await (const _ of pool.execute("SELECT zeroblob(70000) UNION ALL SELECT 1")) {
    waiting = pool.execute(ENDLESS);
    break;
  }
  await using cursor = await waiting!;
  assert.equal(pool.stats().busyReaders, 1);
  const next = pool.executeFetchOne("SELECT 1");
  assert.equal(pool.stats().waitingReads, 1);
  await cursor.close();
  assert.deepEqual(await next, [1]);
});

test("a cursor that is used again leaves no snapshot behind on a reader", async () => {
  await using pool = await table({ readers: 1 });
  assert.deepEqual(await values(pool), []);
  const cursor = await pool.execute("SELECT 1");
  // To be refused, or to have the reader for itself for so long.
  await cursor.execute(ENDLESS).catch((error) => assert.ok(error instanceof ProgrammingError));
  await pool.execute("INSERT INTO t VALUES (1)");
  const seen = values(pool);
  if (pool.stats().waitingReads === 0) assert.deepEqual(await seen, [1]);
  await cursor.close();
  assert.deepEqual(await seen, [1]);
});

test("a cursor that is collected gives its reader back", async () => {
  const { code, stdout, stderr } = await program(
    `
    const gc = globalThis.gc ?? (() => globalThis.Bun.gc(true));
    const pool = await aiosqlite.createPool(args[0], { readers: 1, timeout: 60_000 });
    await pool.execute("CREATE TABLE t (x)");
    async function forget() {
      await pool.execute(${JSON.stringify(ENDLESS)});
    }
    await forget();
    const { busyReaders } = pool.stats();
    for (let tries = 0; tries < 500 && pool.stats().busyReaders > 0; tries++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    console.log(busyReaders, pool.stats().busyReaders, await pool.executeFetchOne("SELECT 7"));
    await pool.close();`,
    [file()],
    { env: { NODE_OPTIONS: "--expose-gc", DENO_V8_FLAGS: "--expose-gc" } },
  );
  assert.deepEqual([code, stdout.trim(), stderr.trim()], [0, "1 0 [ 7 ]", ""]);
});

// --- what breaks ---

/** Runs in a process of its own, in which `kill(i)` ends the thread started as the i-th. */
async function survives(source: string): Promise<void> {
  const prelude = `
    import assert from "node:assert/strict";
    import { once } from "node:events";
    import { Worker } from "node:worker_threads";
    const threads = [];
    const { unref } = Worker.prototype;
    Worker.prototype.unref = function () {
      if (!threads.includes(this)) threads.push(this);
      return unref.call(this);
    };
    async function kill(i) {
      const alive = setInterval(() => {}, 1000); // a thread that ends is not waited for
      const exited = once(threads.at(i), "exit");
      threads.at(i).terminate();
      await exited;
      clearInterval(alive);
    }
    const ended = { name: "OperationalError", message: /thread ended/ };
    const ENDLESS = ${JSON.stringify(ENDLESS)};
    const path = args[0];
    const pool = await aiosqlite.createPool(path, { readers: 1, timeout: 2000 });
    await pool.execute("CREATE TABLE t (x)");
    await pool.execute("PRAGMA cache_size = 123");
    assert.deepEqual(await pool.executeFetchAll("SELECT x FROM t"), []);
    assert.equal(threads.length, 2);
    const writer = 0, reader = 1;
    const works = async (x) => {
      await pool.execute("INSERT INTO t VALUES (?)", [x]);
      assert.deepEqual(await pool.executeFetchOne("SELECT x FROM t WHERE x = ?", [x]), [x]);
      await pool.transaction((tx) => tx.execute("UPDATE t SET x = x"));
      const of = (db) => db.executeFetchOne("PRAGMA cache_size");
      assert.deepEqual([await pool.read(of), await pool.write(of)], [[123], [123]]);
      assert.equal(pool.stats().readers, 1);
      assert.equal(pool.stats().busyReaders, 0);
    };
  `;
  const after = `
    await pool.close();
    console.log("survived");
  `;
  const { code, signal, stdout, stderr } = await program(prelude + source + after, [file()]);
  assert.deepEqual([code, signal, stdout], [0, null, "survived\n"], stderr);
}

test("a reader whose thread ends while idle is replaced", () =>
  survives(`
    await kill(reader);
    await works(1);
  `));

test("a reader whose thread ends in a call or a loop is replaced", () =>
  survives(`
    await assert.rejects(pool.read(async (db) => {
      await kill(reader);
      await db.execute("SELECT 1");
    }), ended);
    await works(1);
    await assert.rejects(async () => {
      for await (const [i] of pool.execute(ENDLESS)) if (i === 1) await kill(-1);
    }, ended);
    await works(2);
    const cursor = await pool.execute(ENDLESS);
    const waits = pool.executeFetchAll("SELECT count(*) FROM t");
    await kill(-1);
    await cursor.close();
    assert.deepEqual(await waits, [[2]]);
    await works(3);
  `));

test("a writer whose thread ends is replaced", () =>
  survives(`
    await kill(writer);
    await works(1);
    await assert.rejects(pool.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES ('lost')");
      await kill(-1);
      await tx.execute("INSERT INTO t VALUES ('lost, too')");
    }), ended);
    await works(2);
    await assert.rejects(pool.write(async (db) => {
      await kill(-1);
      await db.execute("INSERT INTO t VALUES ('lost')");
    }), ended);
    await Promise.all([3, 4, 5].map((x) => pool.execute("INSERT INTO t VALUES (?)", [x])));
    assert.equal(threads.length, 5);
    assert.deepEqual((await pool.executeFetchAll("SELECT x FROM t")).flat(), [1, 2, 3, 4, 5]);
  `));

test("close() fulfils though threads have ended while idle", () =>
  survives(`
    await kill(reader);
    await kill(writer);
  `));

test("close() closes a reader that is still being opened, too", () =>
  survives(`
    const other = await aiosqlite.createPool(path);
    const controller = new AbortController();
    const waits = other.executeFetchOne("SELECT 1", [], { signal: controller.signal });
    controller.abort(); // nobody waits for it any more
    await assert.rejects(waits);
    assert.equal(threads.length, 4);
    const ends = threads.slice(2).map((thread) => once(thread, "exit"));
    await other.close();
    // Without a connection, a thread ends after a moment.
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("a connection is open")), 3000);
    });
    await Promise.race([Promise.all(ends), late]);
    clearTimeout(timer);
  `));

test("a connection that its user closes in read() or write() is replaced", async () => {
  await using pool = await table({ readers: 1 });
  await pool.read((db) => db.close());
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await values(pool), [1]);
  await pool.write((db) => db.close());
  await pool.execute("INSERT INTO t VALUES (2)");
  await pool.transaction((tx) => tx.execute("INSERT INTO t VALUES (3)"));
  assert.deepEqual(await values(pool), [1, 2, 3]);
  const closing = pool.read((db) => db.close());
  const waits = Promise.all([1, 2].map(() => values(pool)));
  await closing;
  assert.deepEqual(await waits, [[1, 2, 3], [1, 2, 3]]);
  assert.deepEqual([pool.stats().readers, pool.stats().busyReaders], [1, 0]);
});

test("a reader that is closed by its cursor's connection is replaced", async () => {
  await using pool = await table({ readers: 1, timeout: 500 });
  const cursor = await pool.execute(ENDLESS);
  await cursor.connection.close();
  await assert.rejects(cursor.fetchMany(1e6), { message: "Cannot operate on a closed database." });
  await cursor.close();
  assert.deepEqual(await values(pool), []);
  assert.deepEqual([pool.stats().readers, pool.stats().busyReaders], [1, 0]);
});

test("when a reader can't be opened the call rejects, and the pool is not stuck", async () => {
  const path = file();
  await using pool = await table({ readers: 2 }, path);
  renameSync(path, `${path}.away`);
  const calls = [
    () => pool.executeFetchAll("SELECT x FROM t"),
    async () => await pool.execute("SELECT x FROM t"),
    () => pool.read(() => assert.fail("has run")),
  ];
  const errors = await Promise.all(calls.map(caught));
  renameSync(`${path}.away`, path);
  for (const error of errors) {
    assert.deepEqual([error.name, error.code], ["OperationalError", "SQLITE_CANTOPEN"]);
    assert.match(error.stack!, /pool_test\.ts/);
  }
  const { readers, busyReaders, waitingReads } = pool.stats();
  assert.deepEqual([readers, busyReaders, waitingReads], [0, 0, 0]);
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await Promise.all([values(pool), values(pool)]), [[1], [1]]);
});

// --- settings ---

test("PRAGMA name = value reaches the writer, open readers, and those opened later", async () => {
  await using pool = await table({ readers: 3 });
  await using held = await holdReaders(pool, 2);
  const set = pool.execute("PRAGMA cache_size = 77");
  await set;
  await pool.executeFetchAll("/* = */ pragma main . CACHE_SPILL=333");
  await held.leave();
  assert.equal(pool.stats().readers, 2);
  assert.deepEqual(await onEach(pool, 3, "PRAGMA cache_size"), [[77], [77], [77], [77]]);
  assert.deepEqual(await onEach(pool, 3, "PRAGMA cache_spill"), [[333], [333], [333], [333]]);
  await pool.execute("PRAGMA cache_size = 78");
  await pool.execute("PRAGMA cache_size = 77");
  assert.deepEqual(await onEach(pool, 3, "PRAGMA cache_size"), [[77], [77], [77], [77]]);
  await pool.write((db) => db.close());
  await pool.read((db) => db.close());
  assert.deepEqual(await onEach(pool, 3, "PRAGMA cache_size"), [[77], [77], [77], [77]]);
});

test("PRAGMA name(value) sets on every connection, as PRAGMA name = value does", async () => {
  await using pool = await table({ readers: 2 });
  for (const sql of ["PRAGMA cache_size(77)", "PRAGMA foreign_keys (on)"]) await pool.execute(sql);
  assert.deepEqual(await onEach(pool, 2, "PRAGMA cache_size"), [[77], [77], [77]]);
  assert.deepEqual(await onEach(pool, 2, "PRAGMA foreign_keys"), [[1], [1], [1]]);
});

test("a setting holds for later connections though its signal is aborted by then", async () => {
  await using pool = await table({ readers: 2 });
  const controller = new AbortController();
  await pool.execute("PRAGMA cache_size = 77", [], { signal: controller.signal });
  controller.abort(new Error("no longer"));
  assert.deepEqual(await onEach(pool, 2, "PRAGMA cache_size"), [[77], [77], [77]]);
});

test("ATTACH and DETACH reach every connection, with the parameters they had", async () => {
  const other = file("other.db");
  {
    await using db = await connect(other, { isolationLevel: null });
    await db.executeScript("CREATE TABLE o (x); INSERT INTO o VALUES ('attached')");
  }
  await using pool = await table({ readers: 2 });
  await values(pool); // a reader is open, the other is not
  const parameters = [other, "side"];
  await pool.execute("ATTACH ? AS ?", parameters);
  parameters[0] = "nonsense";
  const sql = "SELECT x FROM side.o";
  assert.deepEqual(await onEach(pool, 2, sql), [["attached"], ["attached"], ["attached"]]);
  assert.deepEqual(await pool.executeFetchAll(sql), [["attached"]]);
  await pool.execute("INSERT INTO side.o VALUES ('written')");
  assert.deepEqual(await pool.executeFetchAll(sql), [["attached"], ["written"]]);
  await pool.write((db) => db.close());
  await pool.read((db) => db.close());
  assert.deepEqual((await onEach(pool, 2, `${sql} LIMIT 1`)).flat(), Array(3).fill("attached"));
  await pool.execute("DETACH side");
  const missing = { message: "no such table: side.o" };
  await assert.rejects(pool.executeFetchAll(sql), missing);
  await assert.rejects(onEach(pool, 1, sql), missing);
});

test("ATTACH, DETACH and the same ATTACH again work on connections opened later, too", async () => {
  const other = file("other.db");
  await using pool = await table({ readers: 2 });
  for (let i = 0; i < 2; i++) {
    if (i > 0) await pool.execute("DETACH side");
    await pool.execute("ATTACH ? AS side", [other]);
  }
  const sql = "SELECT count(*) FROM side.sqlite_schema";
  assert.deepEqual(await onEach(pool, 2, sql), [[0], [0], [0]]);
});

test("a persistent pragma is written once, and does not come back later", async () => {
  const path = file();
  await using pool = await table({ readers: 1 }, path);
  await pool.execute("PRAGMA user_version = 5");
  assert.deepEqual(await pool.executeFetchOne("PRAGMA user_version"), [5]);
  assert.deepEqual(await python(path, "PRAGMA user_version"), [[5]]);
  await pool.transaction((tx) => tx.execute("PRAGMA user_version = 6"));
  await pool.write((db) => db.close());
  await pool.execute("INSERT INTO t VALUES (1)"); // by another writer
  assert.deepEqual(await pool.executeFetchOne("PRAGMA user_version"), [6]);
});

test("a setting that fails is not remembered", async () => {
  await using pool = await table({ readers: 1 });
  const failing: [sql: string, RegExp][] = [
    ["ATTACH '/nonsense/a.db' AS side", /unable to open database/],
    ["DETACH nonsense", /no such database: nonsense/],
    ["PRAGMA nonsense.cache_size = 7", /unknown database nonsense/],
    ["PRAGMA cache_size = 7; PRAGMA cache_size = 8", /one statement at a time/],
  ];
  for (const [sql, message] of failing) {
    const error = await caught(async () => await pool.execute(sql));
    assert.match(error.message, message);
  }
  assert.deepEqual(await values(pool), []);
  await pool.write((db) => db.close());
  await pool.read((db) => db.close());
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await values(pool), [1]);
});

test("when a reader can't be made like the others the call rejects, and the pool goes on", async () => {
  for (const opened of [true, false]) {
    const other = file("other.db");
    await using pool = await table({ readers: 1 });
    if (opened) await values(pool);
    await pool.execute("ATTACH ? AS side", [other]);
    renameSync(other, `${other}.away`);
    const error = await caught(() => values(pool));
    renameSync(`${other}.away`, other);
    assert.equal(error.code, "SQLITE_CANTOPEN");
    assert.equal(pool.stats().busyReaders, 0);
    assert.deepEqual(await onEach(pool, 1, "SELECT count(*) FROM side.sqlite_schema"), [[0], [0]]);
  }
});

test("what a reader could not do, though SQLite says that it reads, is done on the writer", async () => {
  await using pool = await table({ readers: 1 });
  await pool.execute("CREATE INDEX i ON t (x)");
  await pool.executeFetchAll("SELECT * FROM t WHERE x = 'a'"); // would like to have statistics
  for (const sql of ["PRAGMA optimize", "/* now */ pragma main.optimize(0x02)"]) {
    await pool.execute(sql);
  }
  await pool.execute("PRAGMA auto_vacuum = FULL");
  await pool.execute("VACUUM");
  assert.deepEqual(await pool.executeFetchOne("PRAGMA auto_vacuum"), [1]);
});

test("checkpoints and the like run where they can", async () => {
  await using pool = await table({ readers: 1 });
  await values(pool);
  for (let i = 0; i < 2; i++) {
    const [row] = await pool.executeFetchAll("PRAGMA wal_checkpoint(TRUNCATE)");
    assert.deepEqual(row, [0, 0, 0]);
  }
  await pool.execute("PRAGMA optimize");
  await pool.execute("ANALYZE");
  await pool.execute("VACUUM");
  assert.deepEqual(await pool.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);
});

// --- kinds of databases, options ---

test('":memory:" is one connection, which reads what it has written', async () => {
  await using pool = await createPool(":memory:", { readers: 3 });
  await pool.execute("CREATE TABLE t (x)");
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await Promise.all([values(pool), pool.read(values)]), [[1], [1]]);
  const failing = pool.transaction(async () => {
    await pool.execute("INSERT INTO t VALUES (2)");
    assert.deepEqual(await pool.read(values), [1, 2]);
    throw new Error("mine");
  });
  await assert.rejects(failing, { message: "mine" });
  for await (const [x] of pool.execute("SELECT x FROM t")) {
    await pool.execute("INSERT INTO t VALUES (?)", [Number(x) + 10]);
    break;
  }
  assert.deepEqual(await values(pool), [1, 11]);
  assert.equal(pool.stats().readers, 0);
});

for (const mode of ["delete", "wal"]) {
  test(`a readonly pool reads a database in mode ${mode}, and leaves it as it is`, async () => {
    const path = file();
    await using db = await connect(path, { isolationLevel: null });
    await db.execute(`PRAGMA journal_mode = ${mode}`);
    await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    {
      await using pool = await createPool(path, { readonly: true, readers: 2 });
      assert.deepEqual(await values(pool), [1]);
      assert.deepEqual(await onEach(pool, 2, "SELECT x FROM t"), [[1], [1], [1]]);
      const readonly = { name: "OperationalError", code: "SQLITE_READONLY" };
      await assert.rejects(pool.execute("INSERT INTO t VALUES (2)"), readonly);
      await assert.rejects(pool.execute("CREATE TABLE u (x)"), readonly);
      await assert.rejects(pool.transaction((tx) => tx.execute("DELETE FROM t")), readonly);
      await db.execute("INSERT INTO t VALUES (3)");
      assert.deepEqual(await values(pool), [1, 3]);
    }
    assert.deepEqual(await python(path, "PRAGMA journal_mode"), [[mode]]);
  });
}

test("a readonly pool needs a database that exists", async () => {
  const path = file();
  const opening = createPool(path, { readonly: true });
  await assert.rejects(async () => await opening, { code: "SQLITE_CANTOPEN" });
  assert.equal(existsSync(path), false);
});

test("a database that can't be put into WAL mode is refused, and closed", async () => {
  const path = file();
  const opening = createPool(`file:${path}?nolock=1`, { uri: true });
  await assert.rejects(async () => await opening, {
    name: "OperationalError",
    message: /WAL mode.*'delete'/,
  });
  await using db = await connect(path, { isolationLevel: null, timeout: 0 });
  await db.execute("BEGIN IMMEDIATE");
  const waiting = createPool(path, { timeout: 20 });
  await assert.rejects(async () => await waiting, { code: "SQLITE_BUSY" });
  await db.execute("COMMIT");
  await using _pool = await createPool(path);
});

test("bad options are refused", async () => {
  const path = file();
  const bad: Record<string, unknown[]> = {
    readers: [-1, 1.5, "2", NaN, Infinity, null, 1n],
    isolationLevel: ["DEFERRED", "IMMEDIATE", "", "BOGUS", 7],
    autocommit: [false, "yes", 1],
    rowFactory: [7],
    textFactory: ["utf-8"],
    integers: ["exact"],
    timeout: [-1, "1"],
    cachedStatements: [-1],
    reader: [1],
    signal: [7],
  };
  for (const [name, list] of Object.entries(bad)) {
    for (const value of list) {
      await assert.rejects(
        async () => await createPool(path, { [name]: value } as never),
        (error: unknown) => error instanceof ProgrammingError && error.message.includes(name),
        `${name}: ${String(value)}`,
      );
    }
  }
  for (const options of [null, 7, "readers"]) {
    await assert.rejects(async () => await createPool(path, options as never), ProgrammingError);
  }
  for (const database of ["", 7, undefined, new URL("http://localhost/a.db")]) {
    await assert.rejects(async () => await createPool(database as never), ProgrammingError);
  }
  assert.equal(existsSync(path), false);
  const options = { isolationLevel: null, autocommit: true, readers: undefined } as const;
  await using pool = await createPool(new URL(`file://${path}`), options);
  await pool.execute("CREATE TABLE t (x)");
});

test("the signal of createPool() ends the opening, and nothing later", async () => {
  const path = file();
  const controller = new AbortController();
  const { signal } = controller;
  await using pool = await table({ signal }, path);
  const reason = new Error("no longer");
  controller.abort(reason);
  assert.deepEqual(await values(pool), []);
  await pool.write((db) => db.close());
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await values(pool), [1]);
  const opening = createPool(path, { signal });
  await assert.rejects(async () => await opening, (error) => error === reason);
});

test("rowFactory, textFactory and integers hold for every connection", async () => {
  const row = Object.assign(Object.create(null), { a: 1n, b: new Uint8Array([0xc3, 0xa9]) });
  const options = { readers: 2, rowFactory: objectRow, textFactory: "bytes", integers: "bigint" };
  await using pool: Pool = await createPool(file(), options as never) as never;
  const sql = "SELECT 1 AS a, 'é' AS b";
  assert.deepEqual(await onEach(pool, 2, sql), [[row], [row], [row]]);
  assert.deepEqual(await pool.executeFetchOne(sql), row);
  for await (const each of pool.execute(sql)) assert.deepEqual(each, row);
  await pool.write((db) => db.close());
  await pool.read((db) => db.close());
  assert.deepEqual(await onEach(pool, 2, sql), [[row], [row], [row]]);
});

test("a textFactory that throws does not keep a pool from being opened", async () => {
  const textFactory = () => {
    throw new Error("mine");
  };
  await using pool = await createPool(file(), { textFactory });
  await assert.rejects(pool.executeFetchOne("SELECT 'a'"), { message: "mine" });
  assert.deepEqual(await pool.executeFetchOne("SELECT 1"), [1]);
});

// --- close() ---

test("close() waits for the calls made before, and refuses those after", async () => {
  const path = file();
  const pool = await table({ readers: 1 }, path);
  const [readers, writer] = [await holdReaders(pool, 1), await holdWriter(pool)];
  const before = [
    pool.executeFetchOne("SELECT 1"),
    pool.read((db) => db.executeFetchOne("SELECT 2")),
    pool.executeMany("INSERT INTO t VALUES (?)", [[1]]).then(() => 3),
    pool.write((db) => db.execute("INSERT INTO t VALUES (2)")).then(() => 4),
    pool.transaction(async () => {
      await null; // belongs to a call made before, so it goes on within
      await pool.execute("INSERT INTO t VALUES (3)");
      return (await pool.executeFetchOne("SELECT count(*) FROM t"))![0];
    }),
  ];
  const closing = pool.close();
  assert.equal(pool.closed, true);
  const after: (() => PromiseLike<unknown>)[] = [
    () => pool.execute("SELECT 1"),
    () => pool.executeFetchAll("SELECT 1"),
    () => pool.executeFetchOne("SELECT 1"),
    () => pool.executeInsert("INSERT INTO t VALUES (1)"),
    () => pool.executeMany("INSERT INTO t VALUES (?)", [[1]]),
    () => pool.executeScript("SELECT 1"),
    () => pool.read(() => {}),
    () => pool.write(() => {}),
    () => pool.transaction(() => {}),
  ];
  for (const call of after) await assert.rejects(async () => await call(), CLOSED);
  await Promise.all([readers.leave(), writer.leave()]);
  await closing;
  assert.deepEqual(await Promise.all(before), [[1], [2], 3, 4, 4]);
  for (const call of after) await assert.rejects(async () => await call(), CLOSED);
  assert.deepEqual(
    await python(path, "SELECT x FROM t"),
    [["uncommitted"], [1], [2], [3]],
  );
});

test("close() may be called twice and at once", async () => {
  const pool = await table();
  const query = values(pool);
  await Promise.all([pool.close(), pool.close(), pool[Symbol.asyncDispose]()]);
  await pool.close();
  assert.deepEqual(await query, []);
});

test("close() does not wait for rows that nobody fetches", async () => {
  const pool = await table({ readers: 2 });
  const cursors = [await pool.execute(ENDLESS), await pool.execute(ENDLESS)];
  const waits = pool.executeFetchOne("SELECT 1"); // for one of their readers
  await soon(pool.close());
  assert.deepEqual(await waits, [1]);
  for (const cursor of cursors) {
    await assert.rejects(cursor.fetchMany(1e6), { message: /^Cannot operate on a closed/ });
    await cursor.close();
  }
});

test("close() does not wait for rows of cursors that calls in line come to have", async () => {
  const pool = await table({ readers: 1, timeout: 1000 });
  const calls = Promise.allSettled([1, 2, 3].map(async () => await pool.execute(ENDLESS)));
  await soon(pool.close());
  assert.deepEqual((await calls).map(({ status }) => status), Array(3).fill("fulfilled"));
});

test("close() from within the pool's own function rejects, and the pool goes on", async () => {
  await using pool = await table();
  for (const method of ["read", "write", "transaction"] as const) {
    await pool[method](async () => {
      const closing = pool.close();
      await assert.rejects(soon(closing), { name: "ProgrammingError", message: /from within/ });
    });
  }
  assert.equal(pool.closed, false);
  await pool.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(await values(pool), [1]);
});

test("close() rejects, but does not throw, in a function whose signal has been aborted", async () => {
  await using pool = await table();
  const controller = new AbortController();
  const done = gate();
  const aborted = pool.transaction(async () => {
    controller.abort(new Error("no longer"));
    await null;
    let closing: Promise<void> | undefined;
    try {
      closing = pool.close();
    } finally {
      closing?.catch(() => {}).then(done.resolve) ?? done.reject(new Error("close() has thrown"));
    }
  }, { signal: controller.signal });
  await assert.rejects(aborted, { message: "no longer" });
  await done.promise;
});

// --- the end of the process ---

const IDLE = `
  const pool = await aiosqlite.createPool(args[0], { readers: 2 });
  await pool.execute("CREATE TABLE t (x)");
  await pool.execute("INSERT INTO t VALUES (1)");
  await Promise.all([1, 2].map(() => pool.read((db) => db.execute("SELECT x FROM t"))));
`;

test("a process ends by itself with a pool that is open, idle and has rows left", async () => {
  const source = `${IDLE} await pool.execute(${JSON.stringify(ENDLESS)});`;
  const ended = await program(source, [file()]);
  assert.deepEqual([ended.code, ended.signal, ended.stderr], [0, null, ""]);
  assert.ok(ended.took < 3000, `took ${ended.took} ms`);
});

for (const [how, end] of [["by itself", ""], ["by process.exit()", "process.exit();"]]) {
  test(`a process that ends ${how} leaves no WAL of an open pool`, async () => {
    const path = file();
    const ended = await program(`${IDLE} ${end}`, [path]);
    assert.deepEqual([ended.code, ended.signal], [0, null], ended.stderr);
    assert.equal(existsSync(`${path}-wal`), false);
    assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
  });
}

test("process.exit() in a pool's transaction keeps nothing of it", async () => {
  const path = file();
  const ended = await program(
    `
    ${IDLE}
    await pool.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES (2)");
      process.exit(7);
    });
  `,
    [path],
  );
  assert.deepEqual([ended.code, ended.signal], [7, null], ended.stderr);
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});
