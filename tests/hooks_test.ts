import assert from "node:assert/strict";
import { test } from "node:test";
import {
  connect,
  type Connection,
  createPool,
  DatabaseError,
  IntegrityError,
  OperationalError,
  ProgrammingError,
  SQLITE_DELETE,
  SQLITE_DENY,
  SQLITE_FUNCTION,
  SQLITE_IGNORE,
  SQLITE_INSERT,
  SQLITE_LIMIT_LENGTH,
  SQLITE_OK,
  SQLITE_READ,
  SQLITE_SELECT,
  SQLITE_TRANSACTION,
  SQLITE_UPDATE,
  SqliteError,
  type SqlValue,
} from "../mod.ts";
import { file } from "./helpers.ts";

/** The first value of the first row. */
async function one(
  db: Pick<Connection, "executeFetchOne">,
  sql: string,
  parameters: SqlValue[] = [],
): Promise<unknown> {
  return (await db.executeFetchOne(sql, parameters))?.[0];
}

/** What the promise rejects with. */
async function errorOf(promise: PromiseLike<unknown>): Promise<SqliteError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof SqliteError, String(error));
    return error;
  }
  assert.fail("did not reject");
}

/** The rows 1 to `count` as `n(i)`. */
const numbers = (count: number) =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${count}) `;

/** A connection with a table, every statement of which commits by itself. */
async function withTable(): Promise<Connection> {
  const db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (x)");
  return db;
}

// Collations

const WORDS = "SELECT w FROM (SELECT 'b' AS w UNION ALL SELECT 'C' UNION ALL SELECT 'a') ";
const reverse = (one: string, other: string) => one < other ? 1 : one > other ? -1 : 0;

test("a collation sorts, compares and serves an index", async () => {
  await using db = await connect(":memory:");
  await db.createCollation("reverse", reverse);
  assert.deepEqual(
    await db.executeFetchAll(`${WORDS} ORDER BY w COLLATE reverse`),
    [["b"], ["a"], ["C"]],
  );
  assert.equal(await one(db, "SELECT 'a' > 'b' COLLATE REVERSE"), 1);
  await db.execute("CREATE TABLE t (x TEXT COLLATE reverse UNIQUE)");
  await db.executeMany("INSERT INTO t VALUES (?)", [["a"], ["c"], ["b"]]);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t ORDER BY x"), [["c"], ["b"], ["a"]]);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t WHERE x = 'b'"), [["b"]]);
  assert.equal(await one(db, "PRAGMA integrity_check"), "ok");
});

const RESULTS: [name: string, result: unknown][] = [
  ["2**32", 2 ** 32],
  ["2**40", 2 ** 40],
  ["0.001", 0.001],
  ["infinity", Infinity],
  ["a bigint", 2n ** 70n],
  ["true", true],
];

for (const [name, result] of RESULTS) {
  test(`the sign of a collation's result counts: ${name}`, async () => {
    await using db = await connect(":memory:");
    const negative = typeof result === "bigint" ? -result : -Number(result);
    const compare = (one: string, other: string) =>
      one < other ? negative : one > other ? result : 0;
    await db.createCollation("c", compare as never);
    assert.deepEqual(
      await db.executeFetchAll(`${WORDS} ORDER BY w COLLATE c`),
      [["C"], ["a"], ["b"]],
    );
    assert.equal(await one(db, "SELECT 'a' < 'b' COLLATE c"), 1);
    assert.equal(await one(db, "SELECT 'b' < 'a' COLLATE c"), 0);
  });
}

test("NaN, undefined and null are equal to a collation", async () => {
  await using db = await connect(":memory:");
  for (const result of [NaN, undefined, null, "text", {}]) {
    await db.createCollation("c", () => result as never);
    assert.equal(await one(db, "SELECT 'a' = 'b' COLLATE c"), 1);
  }
});

test("an asynchronous collation", async () => {
  await using db = await connect(":memory:");
  await db.createCollation("c", async (one, other) => {
    await null;
    return reverse(one, other);
  });
  const rows = await db.executeFetchAll(`${WORDS} ORDER BY w COLLATE c`);
  assert.deepEqual(rows, [["b"], ["a"], ["C"]]);
});

test("a collation is given texts as they are", async () => {
  await using db = await connect(":memory:");
  const seen: string[][] = [];
  await db.createCollation("c", (one, other) => {
    seen.push([one, other]);
    return 0;
  });
  for (const pair of [["", "a"], ["a\0b", "ü😀"], ["x".repeat(50_000), "y"]]) {
    await one(db, "SELECT ? = ? COLLATE c", pair);
    assert.deepEqual(seen.pop()!.sort(), pair.sort());
  }
});

test("a collation that throws ends the statement", async () => {
  await using db = await connect(":memory:");
  const cause = new Error("no order");
  for (
    const compare of [() => {
      throw cause;
    }, () => Promise.reject(cause)]
  ) {
    await db.createCollation("c", compare);
    const error = await errorOf(db.executeFetchAll(`${WORDS} ORDER BY w COLLATE c`));
    assert.ok(error instanceof OperationalError);
    assert.equal(error.cause, cause);
    assert.equal(await one(db, "SELECT 1"), 1);
  }
});

test("a collation that throws where SQLite does not notice fails the call", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  const cause = new Error("no order");
  let fails = false;
  await db.createCollation("c", (one, other) => {
    if (fails) throw cause;
    return one < other ? -1 : Number(one > other);
  });
  await db.executeScript("CREATE TABLE t (x COLLATE c); CREATE INDEX i ON t (x)");
  await db.execute("INSERT INTO t VALUES ('b')");
  fails = true;
  const insert = (tx: Pick<typeof db, "execute">) => tx.execute("INSERT INTO t VALUES ('a')");
  const error = await errorOf(db.transaction(insert));
  assert.ok(error instanceof OperationalError);
  assert.equal(error.cause, cause);
  fails = false;
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t ORDER BY x"), [["b"]]);
  assert.deepEqual(await db.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);
});

test("a collation is replaced and removed", async () => {
  await using db = await connect(":memory:");
  const sql = `${WORDS} ORDER BY w COLLATE ünï`;
  await db.createCollation("ünï", () => 0);
  await db.executeFetchAll(sql);
  await db.createCollation("ünï", reverse);
  assert.deepEqual(await db.executeFetchAll(sql), [["b"], ["a"], ["C"]]);
  await db.createCollation("ünï", null);
  const error = await errorOf(db.executeFetchAll(sql));
  assert.equal(error.message, "no such collation sequence: ünï");
  await db.createCollation("never", null);
});

test("the case of ASCII letters in a collation's name does not matter, that of others does", async () => {
  await using db = await connect(":memory:");
  const names = ["É", "é", "\u212a", "k"]; // the third is a K to Unicode
  const calls: number[] = [];
  for (const [i, name] of names.entries()) {
    await db.createCollation(name, () => {
      calls.push(i);
      return 0;
    });
  }
  for (const name of [...names, "K"]) await one(db, `SELECT 'a' = 'b' COLLATE ${name}`);
  assert.deepEqual(calls, [0, 1, 2, 3, 3]);
});

test("a pool goes by functions and collations as SQLite does: without the case of letters", async () => {
  await using pool = await createPool(file(), { readers: 1 });
  for (const [name, value] of [["f", 1], ["F", 2]] as const) {
    await pool.createFunction(name, 0, () => value);
    await pool.createCollation(name, () => value);
  }
  assert.deepEqual(await pool.executeFetchOne("SELECT f()"), [2]);
  await pool.createFunction("F", 0, null);
  await assert.rejects(async () => await pool.executeFetchOne("SELECT f()"), /no such function/);
  await assert.rejects(pool.createFunction(1 as unknown as string, 0, null), ProgrammingError);
});

test("a pool that is closed from within a function closes once that has ended", async () => {
  const pool = await createPool(file(), { readers: 1 });
  await pool.createFunction("f", 0, async () => {
    await pool.close();
    return 7;
  });
  assert.deepEqual(await pool.executeFetchOne("SELECT f()"), [7]);
  await pool.close();
  await assert.rejects(async () => await pool.executeFetchOne("SELECT 1"), ProgrammingError);
});

test("a collation in use by rows that are being read stays", async () => {
  await using db = await connect(":memory:");
  await db.createCollation("c", reverse);
  const cursor = await db.execute(`${numbers(500)}SELECT 'a' < 'b' COLLATE c FROM n`);
  assert.deepEqual(await cursor.fetchMany(2), [[0], [0]]);
  const message = "unable to delete/modify collation sequence due to active statements";
  for (const compare of [null, () => 0]) {
    assert.equal((await errorOf(db.createCollation("c", compare))).message, message);
  }
  assert.equal((await cursor.fetchAll()).length, 498);
});

test("what is no function is refused", async () => {
  await using db = await connect(":memory:");
  for (const value of [1, "f", undefined, {}] as unknown as null[]) {
    const calls = [
      db.createCollation("c", value),
      db.setAuthorizer(value),
      db.setProgressHandler(value, 1),
      db.setTraceCallback(value),
      db.setUpdateHook(value),
      db.setCommitHook(value),
      db.setRollbackHook(value),
    ];
    for (const call of calls) {
      const error = await errorOf(call);
      assert.ok(error instanceof ProgrammingError);
      assert.match(error.message, /callable/);
    }
  }
});

// Authorizer

test("an authorizer is told each action", async () => {
  await using db = await withTable();
  const seen: unknown[][] = [];
  await db.setAuthorizer((...action) => {
    seen.push(action);
    return SQLITE_OK;
  });
  await db.execute("SELECT x, upper(x) FROM t");
  assert.deepEqual(seen, [
    [SQLITE_SELECT, null, null, null, null],
    [SQLITE_READ, "t", "x", "main", null],
    [SQLITE_FUNCTION, null, "upper", null, null],
    [SQLITE_READ, "t", "x", "main", null],
  ]);
});

test("an authorizer is told the trigger or the view", async () => {
  await using db = await withTable();
  await db.executeScript(`
    CREATE TABLE log (x);
    CREATE TRIGGER tü AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.x); END;
  `);
  const seen: unknown[][] = [];
  await db.setAuthorizer((...action) => {
    seen.push(action);
    return SQLITE_OK;
  });
  await db.execute("INSERT INTO t VALUES (1)");
  assert.deepEqual(seen.filter((action) => action[0] === SQLITE_INSERT), [
    [SQLITE_INSERT, "t", null, "main", null],
    [SQLITE_INSERT, "log", null, "main", "tü"],
  ]);
});

test("an authorizer denies and ignores", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (open, secret)");
  await db.execute("INSERT INTO t VALUES (1, 2)");
  await db.commit();
  let answer: number | Promise<number> = SQLITE_DENY;
  await db.setAuthorizer((action, _, column) =>
    action === SQLITE_READ && column === "secret" ? answer : SQLITE_OK
  );
  const error = await errorOf(db.execute("SELECT open, secret FROM t"));
  assert.ok(error instanceof DatabaseError);
  assert.equal(error.code, "SQLITE_AUTH");
  assert.equal(error.message, "access to t.secret is prohibited");
  assert.deepEqual(await db.executeFetchOne("SELECT open FROM t"), [1]);
  answer = SQLITE_IGNORE;
  assert.deepEqual(await db.executeFetchOne("SELECT open, secret FROM t"), [1, null]);
  answer = Promise.resolve(SQLITE_DENY);
  await errorOf(db.execute("SELECT secret FROM t"));
  await db.setAuthorizer(null);
  assert.deepEqual(await db.executeFetchOne("SELECT open, secret FROM t"), [1, 2]);
});

test("a statement that an authorizer has left without columns has them when it may", async () => {
  await using db = await connect(":memory:");
  await db.setAuthorizer((action) => action === SQLITE_SELECT ? SQLITE_IGNORE : SQLITE_OK);
  assert.deepEqual(await db.executeFetchAll("SELECT 1 AS one"), []);
  await db.setAuthorizer(null);
  const cursor = await db.execute("SELECT 1 AS one");
  assert.deepEqual(cursor.description?.map(({ name }) => name), ["one"]);
  assert.deepEqual(await cursor.fetchAll(), [[1]]);
});

const DENIED: [name: string, answer: unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["0.5", 0.5],
  ["NaN", NaN],
  ["3", 3],
  ["-1", -1],
  ["2**32", 2 ** 32],
  ["a text", "0"],
  ["false", false],
  ["a bigint", 0n],
  ["an object", {}],
];

for (const [name, answer] of DENIED) {
  test(`an authorizer that returns anything else denies: ${name}`, async () => {
    await using db = await connect(":memory:");
    for (const given of [answer, Promise.resolve(answer)]) {
      await db.setAuthorizer(() => given as number);
      const error = await errorOf(db.execute("SELECT 1"));
      assert.equal(error.code, "SQLITE_AUTH");
    }
    await db.setAuthorizer(null);
    assert.equal(await one(db, "SELECT 1"), 1);
  });
}

test("an authorizer that throws denies, and the throw is the cause", async () => {
  await using db = await connect(":memory:");
  const cause = new Error("no");
  for (
    const authorize of [() => {
      throw cause;
    }, () => Promise.reject(cause)]
  ) {
    await db.setAuthorizer(authorize);
    const error = await errorOf(db.execute("SELECT 1"));
    assert.equal(error.code, "SQLITE_AUTH");
    assert.equal(error.cause, cause);
  }
  await db.setAuthorizer(null);
});

test("an authorizer also sees the BEGIN that comes by itself", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const seen: unknown[] = [];
  await db.setAuthorizer((action, what) => {
    if (action === SQLITE_TRANSACTION) seen.push(what);
    return SQLITE_OK;
  });
  await db.execute("INSERT INTO t VALUES (1)");
  await db.commit();
  assert.deepEqual(seen, ["BEGIN", "COMMIT"]);
});

test("close() resolves whatever an authorizer or a progress handler says", async () => {
  for (const begin of [false, true]) {
    for (const which of ["authorizer", "progress"]) {
      const db = await connect(":memory:");
      await db.execute("CREATE TABLE t (x)");
      if (begin) await db.execute("INSERT INTO t VALUES (1)");
      if (which === "authorizer") await db.setAuthorizer(() => SQLITE_DENY);
      else await db.setProgressHandler(() => true, 1);
      await db.close();
      assert.equal(db.closed, true);
    }
  }
});

// Progress handler

test("a progress handler is called every n instructions", async () => {
  await using db = await connect(":memory:");
  const calls: number[] = [];
  for (const n of [1, 1000, 10_000, 2 ** 31 - 1]) {
    let count = 0;
    await db.setProgressHandler(() => {
      count++;
      return 0;
    }, n);
    await one(db, `${numbers(1000)}SELECT count(*) FROM n`);
    calls.push(count);
  }
  assert.ok(calls[0]! > calls[1]! && calls[1]! > calls[2]! && calls[2]! > 0, calls.join());
  assert.equal(calls[3], 0);
});

test("a progress handler interrupts", async () => {
  await using db = await connect(":memory:");
  for (const answer of [true, 1, "yes", {}, Promise.resolve(1)]) {
    await db.setProgressHandler(() => answer, 100);
    const error = await errorOf(db.execute(`${numbers(1e9)}SELECT count(*) FROM n`));
    assert.ok(error instanceof OperationalError);
    assert.equal(error.code, "SQLITE_INTERRUPT");
  }
  for (const answer of [false, 0, "", null, undefined, Promise.resolve(0)]) {
    await db.setProgressHandler(() => answer, 100);
    assert.equal(await one(db, `${numbers(1000)}SELECT count(*) FROM n`), 1000);
  }
});

test("a progress handler that throws interrupts, and the throw is the cause", async () => {
  await using db = await connect(":memory:");
  const cause = new Error("no");
  for (
    const progress of [() => {
      throw cause;
    }, () => Promise.reject(cause)]
  ) {
    await db.setProgressHandler(progress, 100);
    const error = await errorOf(db.execute(`${numbers(1e9)}SELECT count(*) FROM n`));
    assert.equal(error.code, "SQLITE_INTERRUPT");
    assert.equal(error.cause, cause);
  }
  await db.setProgressHandler(null, 0);
  assert.equal(await one(db, `${numbers(1000)}SELECT count(*) FROM n`), 1000);
});

test("numbers of instructions that are none", async () => {
  await using db = await connect(":memory:");
  for (const n of [0, -1, 1.5, NaN, Infinity, 2 ** 31, "1", undefined] as number[]) {
    const error = await errorOf(db.setProgressHandler(() => 0, n));
    assert.ok(error instanceof ProgrammingError);
  }
});

test("a progress handler and a signal on the same call", async () => {
  await using db = await connect(":memory:");
  const controller = new AbortController();
  let calls = 0;
  await db.setProgressHandler(() => {
    if (++calls === 5) controller.abort();
    return 0;
  }, 10_000);
  const call = db.executeFetchAll(`${numbers(1e9)}SELECT count(*) FROM n`, [], {
    signal: controller.signal,
  });
  await assert.rejects(async () => await call, { name: "AbortError" });
  assert.ok(calls >= 5);
  const { signal } = new AbortController();
  calls = 10;
  await db.executeFetchAll(`${numbers(10_000)}SELECT count(*) FROM n`, [], { signal });
  const withSignal = calls - 10;
  calls = 10;
  await db.executeFetchAll(`${numbers(10_000)}SELECT count(*) FROM n`);
  const without = calls - 10;
  assert.ok(
    without > 0 && Math.abs(withSignal - without) <= without / 2,
    `${withSignal} ${without}`,
  );
});

// Trace

test("a trace callback is told statements with their parameters filled in", async () => {
  await using db = await withTable();
  const seen: string[] = [];
  await db.setTraceCallback((sql) => seen.push(sql));
  await db.execute("SELECT ?, :a, 'lit'", [1, "it's"]).then(() => {}, () => {});
  await db.execute("SELECT ?, ?, ?, ?", [1.5, "it's ü😀", null, new Uint8Array([1, 255])]);
  await db.execute("SELECT :a", { a: "x" });
  assert.deepEqual(seen.slice(-2), ["SELECT 1.5, 'it''s ü😀', NULL, x'01ff'", "SELECT 'x'"]);
  await db.setTraceCallback(null);
  await db.execute("SELECT 5");
  assert.equal(seen.at(-1), "SELECT 'x'");
});

test("a trace callback is told each row of executeMany, BEGIN and COMMIT", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const seen: string[] = [];
  await db.setTraceCallback((sql) => seen.push(sql));
  await db.executeMany("INSERT INTO t VALUES (?)", [["a"], [2], [null]]);
  await db.commit();
  assert.deepEqual(seen.map((sql) => sql.trim()), [
    "BEGIN DEFERRED",
    "INSERT INTO t VALUES ('a')",
    "INSERT INTO t VALUES (2)",
    "INSERT INTO t VALUES (NULL)",
    "COMMIT",
  ]);
});

test("a statement that is too long with its parameters is told as it was written", async () => {
  await using db = await connect(":memory:");
  const seen: string[] = [];
  await db.setTraceCallback((sql) => seen.push(sql));
  await db.setLimit(SQLITE_LIMIT_LENGTH, 1000);
  await db.execute("SELECT ?, ?", ["x".repeat(600), "y".repeat(600)]);
  assert.equal(seen.at(-1), "SELECT ?, ?");
});

test("a trace callback that throws is ignored, and is nobody's cause", async () => {
  await using db = await withTable();
  let calls = 0;
  for (
    const trace of [() => {
      calls++;
      throw new Error("trace");
    }, () => {
      calls++;
      return Promise.reject(new Error("trace"));
    }]
  ) {
    await db.setTraceCallback(trace);
    assert.equal(await one(db, "SELECT 1"), 1);
    assert.equal(
      (await errorOf(db.execute("INSERT INTO t VALUES (abs(-9223372036854775808))"))).cause,
      undefined,
    );
  }
  assert.equal(calls, 4);
});

test("a statement that is compiled again is told once", async () => {
  const path = file();
  await using db = await connect(path, { isolationLevel: null });
  await using other = await connect(path, { isolationLevel: null });
  await db.execute("CREATE TABLE t (x)");
  const seen: string[] = [];
  await db.setTraceCallback((sql) => seen.push(sql));
  await db.execute("SELECT * FROM t");
  await other.execute("CREATE TABLE u (x)");
  await db.execute("SELECT * FROM t");
  assert.deepEqual(seen, ["SELECT * FROM t", "SELECT * FROM t"]);
});

// Update, commit and rollback hooks

test("an update hook is told each row", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("ATTACH ':memory:' AS zwei; CREATE TABLE t (x); CREATE TABLE zwei.ü (x)");
  const seen: unknown[][] = [];
  await db.setUpdateHook((...row) => seen.push(row));
  await db.execute("INSERT INTO t VALUES (1), (2)");
  await db.execute("UPDATE t SET x = 3 WHERE rowid = 2");
  await db.execute("DELETE FROM t WHERE x = 1");
  await db.execute("INSERT INTO zwei.ü (rowid, x) VALUES (?, 0)", [2n ** 63n - 1n]);
  await db.execute("INSERT INTO t (rowid, x) VALUES (?, 0)", [-5]);
  assert.deepEqual(seen, [
    [SQLITE_INSERT, "main", "t", 1],
    [SQLITE_INSERT, "main", "t", 2],
    [SQLITE_UPDATE, "main", "t", 2],
    [SQLITE_DELETE, "main", "t", 1],
    [SQLITE_INSERT, "zwei", "ü", 2n ** 63n - 1n],
    [SQLITE_INSERT, "main", "t", -5],
  ]);
  await db.setUpdateHook(null);
  await db.execute("INSERT INTO t VALUES (1)");
  assert.equal(seen.length, 6);
});

test("an update hook sees all rows of a large statement before its promise resolves", async () => {
  await using db = await withTable();
  let count = 0;
  await db.setUpdateHook(() => {
    count++;
  });
  await db.execute(`INSERT INTO t ${numbers(50_000)}SELECT i FROM n`);
  assert.equal(count, 50_000);
});

test("an update hook that throws fails the call, when the change has been made", async () => {
  await using db = await withTable();
  const thrown = new Error("hook");
  let calls = 0;
  await db.setUpdateHook(() => {
    if (calls++ === 1) throw thrown;
    return Promise.reject(new Error("which nobody waits for"));
  });
  for (
    const call of [
      () => db.execute("INSERT INTO t VALUES (1), (2), (3)"),
      () => db.executeMany("INSERT INTO t VALUES (?)", [[1], [2], [3]]),
      () => db.executeScript("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2), (3)"),
      () => db.executeFetchAll("INSERT INTO t VALUES (1), (2), (3) RETURNING x"),
    ]
  ) {
    calls = 0;
    const error = await errorOf(call());
    assert.ok(error instanceof OperationalError, String(error));
    assert.equal(error.message, "update hook raised exception");
    assert.equal(error.cause, thrown);
    assert.equal(calls, 3);
  }
  assert.equal(await one(db, "SELECT count(*) FROM t"), 12);
  calls = 0;
  const failing = db.transaction((tx) => tx.executeMany("INSERT INTO t VALUES (?)", [[1], [2]]));
  assert.equal((await errorOf(failing) as Error).cause, thrown);
  assert.equal(await one(db, "SELECT count(*) FROM t"), 12);
  await db.setUpdateHook(null);
  await db.execute("INSERT INTO t VALUES (1)");
});

test("a commit hook lets commit or rolls back", async () => {
  await using db = await withTable();
  let answer: unknown = 0;
  let calls = 0;
  let rollbacks = 0;
  await db.setCommitHook(() => {
    calls++;
    return answer;
  });
  await db.setRollbackHook(() => rollbacks++);
  for (answer of [0, false, null, undefined, "", Promise.resolve(false)]) {
    await db.execute("INSERT INTO t VALUES (1)");
  }
  assert.deepEqual([calls, rollbacks], [6, 0]);
  for (answer of [1, true, "x", {}, Promise.resolve(true)]) {
    const error = await errorOf(db.execute("INSERT INTO t VALUES (2)"));
    assert.ok(error instanceof IntegrityError);
    assert.equal(error.code, "SQLITE_CONSTRAINT_COMMITHOOK");
  }
  assert.deepEqual([calls, rollbacks], [11, 5]);
  await db.setCommitHook(null);
  await db.execute("INSERT INTO t VALUES (3)");
  assert.deepEqual([calls, rollbacks], [11, 5]);
  assert.equal(await one(db, "SELECT count(*) FROM t"), 7);
});

test("a commit hook in a transaction", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const cause = new Error("not now");
  let refuse = true;
  await db.setCommitHook(() => {
    if (refuse) throw cause;
  });
  await db.execute("INSERT INTO t VALUES (1)");
  const error = await errorOf(db.commit());
  assert.ok(error instanceof IntegrityError);
  assert.equal(error.cause, cause);
  assert.equal(db.inTransaction, false);
  await assert.rejects(db.transaction((tx) => tx.execute("INSERT INTO t VALUES (2)")), (error) => {
    assert.ok(error instanceof IntegrityError);
    assert.equal(error.code, "SQLITE_CONSTRAINT_COMMITHOOK");
    assert.equal(error.cause, cause);
    return true;
  });
  assert.equal(db.inTransaction, false);
  refuse = false;
  await db.transaction((tx) => tx.execute("INSERT INTO t VALUES (3)"));
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[3]]);
});

test("a rollback hook is told each rollback", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  let count = 0;
  await db.setRollbackHook(() => count++);
  await db.execute("INSERT INTO t VALUES (1)");
  await db.rollback();
  assert.equal(count, 1);
  await assert.rejects(db.transaction(() => {
    throw new Error("no");
  }));
  assert.equal(count, 2);
  await db.setRollbackHook(null);
  await db.execute("INSERT INTO t VALUES (1)");
  await db.rollback();
  assert.equal(count, 2);
});

// All of them

/** Sets every hook, each of which writes its name. */
async function setAll(db: Connection, seen: string[]): Promise<void> {
  await db.createFunction("f", 1, (x) => {
    seen.push("function");
    return x;
  });
  await db.createCollation("c", () => {
    seen.push("collation");
    return 0;
  });
  await db.setTraceCallback(() => seen.push("trace"));
  await db.setUpdateHook(() => seen.push("update"));
  await db.setCommitHook(() => void seen.push("commit"));
  await db.setRollbackHook(() => seen.push("rollback"));
  await db.setProgressHandler(() => void seen.push("progress"), 1_000_000);
  await db.setAuthorizer((action) => {
    if (action === SQLITE_INSERT) seen.push("authorizer");
    return SQLITE_OK;
  });
}

test("many hooks at once, in their order", async () => {
  await using db = await withTable();
  const seen: string[] = [];
  await setAll(db, seen);
  seen.length = 0;
  await db.execute("INSERT INTO t VALUES (f('a' = 'b' COLLATE c))").then(() => seen.push("done"));
  assert.deepEqual(seen, [
    "authorizer",
    "trace",
    "collation",
    "function",
    "update",
    "commit",
    "done",
  ]);
  seen.length = 0;
  await errorOf(db.executeScript("BEGIN; INSERT INTO t VALUES (1); ROLLBACK; SELECT missing"));
  assert.deepEqual(seen, ["trace", "authorizer", "trace", "update", "trace", "rollback"]);
});

test("each hook is called before the promise of its own statement", async () => {
  await using db = await withTable();
  const order: unknown[] = [];
  await db.setUpdateHook((_operation, _database, _table, rowid) => order.push(-rowid as number));
  const inserts = Array.from(
    { length: 100 },
    (_, i) => db.execute("INSERT INTO t VALUES (0)").then(() => order.push(i + 1)),
  );
  await Promise.all(inserts);
  for (let i = 1; i <= 100; i++) assert.ok(order.indexOf(-i) < order.indexOf(i), order.join());
});

test("hooks are set and removed while rows are half read", async () => {
  await using db = await withTable();
  await db.execute(`INSERT INTO t ${numbers(20_000)}SELECT i - 1 FROM n`);
  const cursor = await db.execute("SELECT x FROM t ORDER BY rowid");
  assert.deepEqual(await cursor.fetchMany(2), [[0], [1]]);
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) {
    await db.setTraceCallback(i % 2 ? null : () => seen.push("trace"));
    await db.setUpdateHook(i % 2 ? null : () => seen.push("update"));
    await db.setCommitHook(i % 2 ? null : () => void seen.push("commit"));
    await db.setRollbackHook(i % 2 ? null : () => seen.push("rollback"));
    await db.setProgressHandler(i % 2 ? null : () => void seen.push("progress"), 10);
    await db.setAuthorizer(i % 2 ? null : () => SQLITE_OK);
    await db.createFunction(`f${i}`, 0, () => i);
    await db.createCollation(`c${i}`, () => 0);
    assert.deepEqual(await cursor.fetchMany(2), [[2 + 2 * i], [3 + 2 * i]]);
  }
  assert.equal((await cursor.fetchAll()).length, 19_992);
  assert.ok(seen.includes("progress"));
});

test("rows being read go on after a collation has thrown in another statement", async () => {
  await using db = await withTable();
  await db.executeMany("INSERT INTO t VALUES (?)", Array.from({ length: 500 }, (_, i) => [i]));
  await db.createCollation("c", () => {
    throw new Error("no order");
  });
  const cursor = await db.execute("SELECT x FROM t ORDER BY rowid");
  await cursor.fetchMany(2);
  await errorOf(db.executeFetchAll(`${WORDS} ORDER BY w COLLATE c`));
  // What is being read may end with it, as by interrupt(), but what comes next goes well.
  assert.equal(await one(db, "SELECT 1"), 1);
  await cursor.close();
  assert.equal(await one(db, "SELECT 2"), 2);
});

test("hooks of a closed connection", async () => {
  const db = await withTable();
  const seen: string[] = [];
  await setAll(db, seen);
  await db.close();
  const before = seen.length;
  const calls = [
    db.createCollation("c", null),
    db.setAuthorizer(null),
    db.setProgressHandler(null, 1),
    db.setTraceCallback(null),
    db.setUpdateHook(null),
    db.setCommitHook(null),
    db.setRollbackHook(null),
    db.setCommitHook(() => 1),
  ];
  for (const call of calls) {
    const error = await errorOf(call);
    assert.ok(error instanceof ProgrammingError);
    assert.equal(error.message, "Cannot operate on a closed database.");
  }
  await using next = await withTable(); // on the same thread
  await next.execute("INSERT INTO t VALUES (1)");
  assert.equal(seen.length, before);
});

test("hooks can't use their connection", async () => {
  await using db = await withTable();
  const errors: Promise<SqliteError>[] = [];
  const use = () => {
    errors.push(errorOf(db.execute("SELECT 1")));
    return 0;
  };
  await db.createCollation("c", use);
  await db.setTraceCallback(use);
  await db.setUpdateHook(use);
  await db.setCommitHook(use);
  await db.setRollbackHook(use);
  await db.setAuthorizer(use);
  await db.setProgressHandler(use, 5);
  await db.executeScript(
    "INSERT INTO t VALUES ('a' = 'b' COLLATE c); BEGIN; INSERT INTO t VALUES (1); ROLLBACK",
  );
  await db.setProgressHandler(null, 1);
  assert.ok(errors.length >= 10);
  for (const error of await Promise.all(errors)) {
    assert.equal(error.message, "A function can't use the connection that is calling it.");
  }
});

test("hooks of interrupted statements", async () => {
  await using db = await connect(":memory:");
  const never = new Promise<number>(() => {});
  const kinds: [set: (called: () => Promise<number>) => Promise<void>, sql: string][] = [
    [(called) => db.createCollation("c", called), "SELECT 'a' = 'b' COLLATE c"],
    [(called) => db.setProgressHandler(called, 5), `${numbers(1000)}SELECT i FROM n`],
    [(called) => db.setCommitHook(called), "CREATE TABLE t (x)"],
    [(called) => db.setAuthorizer(called), "SELECT 1"],
  ];
  for (const [set, sql] of kinds) {
    const entered = Promise.withResolvers<void>();
    await set(() => {
      entered.resolve();
      return never;
    });
    const call = db.execute(sql).then(() => {}, () => {});
    await entered.promise;
    db.interrupt();
    await call;
    await db.setProgressHandler(null, 1);
    await db.setAuthorizer(null);
    assert.equal(await one(db, "SELECT 1"), 1);
  }
});

// Pools

test("a pool's functions and collations are on the writer and on all readers", async () => {
  await using pool = await createPool(file(), { readers: 3 });
  await pool.read((reader) => reader.execute("SELECT 1")); // one is open already
  await pool.createFunction("twice", 1, (x) => 2 * (x as number));
  await pool.createCollation("reverse", reverse);
  await pool.createAggregate(
    "product",
    1,
    class {
      #product = 1;
      step(x: SqlValue) {
        this.#product *= x as number;
      }
      finalize() {
        return this.#product;
      }
    },
  );
  const check = async (db: Pick<Connection, "executeFetchOne">) => {
    const sql = "SELECT twice(21), 'a' > 'b' COLLATE reverse, product(3)";
    assert.deepEqual(await db.executeFetchOne(sql), [42, 1, 3]);
  };
  await pool.write(check);
  let arrived = 0;
  const all = Promise.withResolvers<void>();
  await Promise.all([1, 2, 3].map(() =>
    pool.read(async (reader) => {
      if (++arrived === 3) all.resolve();
      await all.promise; // three readers at once: two of them are new
      await check(reader);
    })
  ));
  assert.equal(pool.stats().readers, 3);
  await pool.execute("CREATE TABLE t (x)");
  await pool.execute("INSERT INTO t VALUES (twice(4))");
  assert.deepEqual(await pool.executeFetchOne("SELECT twice(x) FROM t"), [16]);
});

test("a pool's functions are on connections that take the place of others", async () => {
  await using pool = await createPool(file(), { readers: 1 });
  await pool.createFunction("f", 0, () => "first");
  await pool.createFunction("f", 0, () => "second");
  await pool.createCollation("c", () => 0);
  const sql = "SELECT f(), 'a' = 'b' COLLATE c";
  for (const use of ["read", "write"] as const) {
    assert.deepEqual(await pool[use]((one) => one.executeFetchOne(sql)), ["second", 1]);
    await pool[use]((one) => one.close());
    assert.deepEqual(await pool[use]((one) => one.executeFetchOne(sql)), ["second", 1]);
  }
});

test("a pool's functions are removed from all, and from those to come", async () => {
  await using pool = await createPool(file(), { readers: 2 });
  await pool.createFunction("f", 0, () => 1);
  await pool.createCollation("c", () => 0);
  assert.equal(await pool.read((reader) => one(reader, "SELECT f()")), 1);
  await pool.createFunction("f", 0, null);
  await pool.createCollation("c", null);
  await pool.read((reader) => reader.close());
  for (const sql of ["SELECT f()", "SELECT 'a' = 'b' COLLATE c"]) {
    await errorOf(pool.read((reader) => reader.execute(sql)));
    await errorOf(pool.write((writer) => writer.execute(sql)));
  }
});

test("of a pool's functions the one that was made last counts, however it is written", async () => {
  await using pool = await createPool(file(), { readers: 1 });
  await pool.createFunction("F", 0, () => 1);
  await pool.createFunction("f", 0, () => 2);
  await pool.createFunction("F", 0, () => 3);
  assert.equal(await pool.write((writer) => one(writer, "SELECT f()")), 3);
  assert.equal(await pool.read((reader) => one(reader, "SELECT f()")), 3);
});

test("a pool's function that a connection refuses", async () => {
  await using pool = await createPool(file(), { readers: 1 });
  assert.ok(await errorOf(pool.createFunction("f", 200, () => 1)) instanceof ProgrammingError);
  assert.equal(await pool.read((reader) => one(reader, "SELECT 1")), 1);
});

test("a pool's function uses the pool's other connections", async () => {
  await using pool = await createPool(file(), { readers: 2 });
  await pool.execute("CREATE TABLE t (x)");
  await pool.execute("INSERT INTO t VALUES (5)");
  await pool.createFunction("f", 0, () => one(pool as unknown as Connection, "SELECT x FROM t"));
  assert.deepEqual(await pool.executeFetchOne("SELECT f() + 1"), [6]);
});
