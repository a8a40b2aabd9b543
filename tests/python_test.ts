import assert from "node:assert/strict";
import { test } from "node:test";
import {
  completeStatement,
  connect,
  type ConnectOptions,
  type Cursor,
  DataError,
  IntegrityError,
  OperationalError,
  ProgrammingError,
  SQLITE_DENY,
  SQLITE_LIMIT_LENGTH,
  SQLITE_LIMIT_SQL_LENGTH,
} from "../mod.ts";
import { file } from "./helpers.ts";

// What CPython's own tests of sqlite3 ask for and the other tests here do not.

const plain = { isolationLevel: null } as const;

/** What the trace callback is told during some work. */
async function traced(
  options: ConnectOptions<unknown[]>,
  work: (db: Awaited<ReturnType<typeof connect<unknown[]>>>) => Promise<unknown>,
): Promise<string[]> {
  await using db = await connect<unknown[]>(":memory:", options);
  await db.executeScript("CREATE TABLE t (x UNIQUE ON CONFLICT ABORT, y)");
  const statements: string[] = [];
  await db.setTraceCallback((sql) => statements.push(sql.trim()));
  await work(db);
  await db.setTraceCallback(null);
  return statements;
}

// -- test_dbapi: CursorTests

test("lastRowId: REPLACE sets it, what inserts nothing keeps it", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x UNIQUE)");
  assert.equal(cursor.lastRowId, undefined);
  const after = async (sql: string, expected: number | bigint | undefined) => {
    await cursor.execute(sql).catch((error) => assert.ok(error instanceof IntegrityError));
    assert.equal(cursor.lastRowId, expected, sql);
  };
  await after("UPDATE t SET x = 1", undefined);
  await after("INSERT INTO t VALUES (5, 'a')", 5);
  for (const [id, verb] of ["REPLACE", "INSERT OR REPLACE"].entries()) {
    await after(`${verb} INTO t (x) VALUES ('a')`, 6 + id);
  }
  for (const verb of ["IGNORE", "FAIL", "ABORT", "ROLLBACK"]) {
    await cursor.execute("REPLACE INTO t VALUES (20, 'b')");
    await after(`INSERT OR ${verb} INTO t (x) VALUES ('b')`, 20);
  }
  await after("UPDATE t SET x = 'c'", 20);
  await after("SELECT 1", 20);
  await after("DELETE FROM t", 20);
  await cursor.executeMany("INSERT INTO t VALUES (?, ?)", [[90, 1], [91, 2]]);
  assert.equal(cursor.lastRowId, 20); // as of execute() only
  await after("INSERT INTO t VALUES (9007199254740993, 'd')", 9007199254740993n);
});

test("A comment before a statement hides neither its rowCount nor that it changes rows", async () => {
  const comments = [
    "",
    "-- c\n",
    "/* c */",
    "/* -- messy *r /* /* ** *- *-- */",
    " \t\n-- a\r\n/**/",
  ];
  for (const comment of comments) {
    await using db = await connect(":memory:");
    await db.execute("CREATE TABLE t (x)");
    const cursor = await db.execute(`${comment}INSERT INTO t VALUES (1), (2)`);
    assert.equal(cursor.rowCount, 2, comment);
    assert.equal(db.inTransaction, true, comment);
    await cursor.execute(`${comment}UPDATE t SET x = 3 RETURNING x`);
    assert.equal(cursor.rowCount, 2, comment);
    await cursor.executeMany(`${comment}DELETE FROM t WHERE x = ?`, [[3], [4]]);
    assert.equal(cursor.rowCount, 2, comment);
  }
});

test("VACUUM, PRAGMA and DDL have no rowCount", async () => {
  await using db = await connect(":memory:", plain);
  const cursor = db.cursor();
  assert.equal(cursor.rowCount, -1);
  for (const sql of ["CREATE TABLE t (x)", "PRAGMA user_version = 3", "VACUUM", "SELECT 1"]) {
    assert.equal((await cursor.execute(sql)).rowCount, -1, sql);
  }
});

test("completeStatement() says whether a statement has its end", () => {
  assert.equal(completeStatement("SELECT 't'"), false);
  assert.equal(completeStatement("SELECT 't';"), true);
  assert.equal(completeStatement("SELECT ';"), false);
  assert.equal(completeStatement("CREATE TRIGGER t AFTER INSERT ON t BEGIN SELECT 1;"), false);
});

test("A statement as long as the limit is run, one that is longer is a DataError", async () => {
  await using db = await connect(":memory:");
  await db.setLimit(SQLITE_LIMIT_SQL_LENGTH, 20);
  assert.deepEqual(await db.executeFetchOne("SELECT 1".padEnd(20)), [1]);
  for (
    const call of [
      () => db.execute("SELECT 1".padEnd(21)),
      () => db.executeMany("INSERT INTO t VALUES (?)".padEnd(21), [[1]]),
      () => db.executeScript("SELECT 1".padEnd(21)),
    ]
  ) {
    await assert.rejects(async () => await call(), DataError);
  }
});

test("Cursors by the hundreds that nobody closes do no harm", async () => {
  await using db = await connect(":memory:");
  const cursors: Cursor[] = [];
  for (let i = 0; i < 500; i++) {
    cursors.push(await db.execute("SELECT ? UNION ALL SELECT 0 UNION ALL SELECT 1", [i]));
  }
  assert.deepEqual(await cursors[321]!.fetchAll(), [[321], [0], [1]]);
});

// -- test_dbapi: SqliteOnConflictTests

for (const begin of ["BEGIN", ""]) {
  test(`OR ROLLBACK ends ${begin ? "an explicit" : "an implicit"} transaction`, async () => {
    await using db = await connect(":memory:", begin ? plain : {});
    await db.execute("CREATE TABLE t (name UNIQUE)");
    if (begin) await db.execute(begin);
    await db.execute("INSERT INTO t VALUES ('a')");
    const insert = "INSERT OR ROLLBACK INTO t VALUES ('a')";
    await assert.rejects(db.execute(insert), { code: "SQLITE_CONSTRAINT_UNIQUE" });
    assert.equal(db.inTransaction, false);
    await db.commit();
    await db.rollback();
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
    await db.execute("INSERT INTO t VALUES ('b')");
    await db.commit();
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), [["b"]]);
  });
}

test("OR IGNORE keeps the first, OR REPLACE the last, in executeMany() as well", async () => {
  await using db = await connect(":memory:");
  for (const [verb, kept, changed] of [["IGNORE", 1, 2], ["REPLACE", 3, 4]]) {
    const cursor = await db.executeScript("DROP TABLE IF EXISTS t; CREATE TABLE t (a UNIQUE, b)");
    const sets = [["x", 1], ["y", 2], ["x", 3], ["y", 2]];
    await cursor.executeMany(`INSERT OR ${verb} INTO t VALUES (?, ?)`, sets);
    assert.equal(cursor.rowCount, changed);
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM t ORDER BY a"), [["x", kept], [
      "y",
      2,
    ]]);
  }
});

// -- test_dbapi: executescript

test("executeScript() steps each SELECT to its end: a function is called for every row", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3)");
  const seen: unknown[] = [];
  await db.createFunction("f", 1, (x) => {
    seen.push(x);
    return null;
  });
  await db.executeScript("SELECT f(x) FROM t; /* c */ SELECT f(x + 10) FROM t -- c");
  assert.deepEqual(seen, [1, 2, 3, 11, 12, 13]);
});

test("executeScript() commits what BEGIN began, and leaves open what it begins", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.execute("BEGIN");
  await db.execute("INSERT INTO t VALUES (1)");
  await db.executeScript("SELECT 1");
  assert.equal(db.inTransaction, false);
  await db.executeScript("BEGIN; INSERT INTO t VALUES (2)");
  assert.equal(db.inTransaction, true);
  await db.rollback();
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
});

// -- test_regression

test("A column's name keeps blanks and brackets when they mean no type", async () => {
  await using db = await connect(":memory:");
  for (const name of ["foo bar", "foo baz [datetime]", "[x]", " a "]) {
    const cursor = await db.execute(`SELECT 1 AS "${name}"`);
    assert.equal(cursor.description![0]!.name, name);
  }
});

test("PRAGMAs whose columns have odd names are described", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute("PRAGMA page_size");
  assert.equal(cursor.description?.length, 1);
  await cursor.execute("PRAGMA schema_version");
  assert.equal((await cursor.fetchAll()).length, 1);
});

test("A cursor may not be driven wrongly by executeMany()'s own generator", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x, y)");
  for (const how of ["execute", "executeMany", "close", "fetchAll"]) {
    const cursor = db.cursor();
    const inner: Promise<unknown>[] = [];
    const sets = function* () {
      yield [1, how];
      inner.push(
        how === "execute"
          ? cursor.execute("INSERT INTO t VALUES (7, 'inner')").then(() => {})
          : how === "executeMany"
          ? cursor.executeMany("INSERT INTO t VALUES (?, 'inner')", [[7]]).then(() => {})
          : how === "close"
          ? cursor.close()
          : cursor.fetchAll(),
      );
      yield [2, how];
    };
    const outer = (async () => await cursor.executeMany("INSERT INTO t VALUES (?, ?)", sets()))();
    await Promise.allSettled([outer, ...inner]);
    await Promise.allSettled(inner);
    const [count] = (await db.executeFetchOne("SELECT count(*) FROM t WHERE y = ?", [how]))!;
    const ended = await outer.then(() => true, () => false);
    assert.ok(count === (ended ? 2 : 0) || !ended, `${how}: ${count} rows`);
    assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
  }
});

test("Parameters that change while they are read are those of the call, or are refused", async () => {
  await using db = await connect(":memory:");
  const parameters: unknown[] = [1, 2];
  parameters[0] = {
    valueOf: () => {
      parameters.length = 0;
      return 1;
    },
  };
  await assert.rejects(
    (async () => await db.execute("SELECT ?, ?", parameters as number[]))(),
    ProgrammingError,
  );
  const shrinking = {
    *[Symbol.iterator]() {
      yield 1;
      parameters.length = 0;
      yield 2;
    },
  };
  assert.deepEqual(await db.executeFetchOne("SELECT ?, ?", shrinking), [1, 2]);
});

test("commit() in a loop over rows neither repeats nor loses any", async () => {
  await using db = await connect(":memory:");
  await db.executeScript(
    "CREATE TABLE t (x); CREATE TABLE u (x); INSERT INTO t VALUES (0), (1), (2)",
  );
  const seen: unknown[] = [];
  const cursor = db.cursor();
  cursor.iterChunkSize = 1;
  for await (const [x] of await cursor.execute("SELECT x FROM t")) {
    seen.push(x);
    await db.execute("INSERT INTO u VALUES (?)", [x as number]);
    await db.commit();
  }
  assert.deepEqual(seen, [0, 1, 2]);
});

for (const how of ["exhausted", "closed", "executed again", "left to the collector"]) {
  test(`DROP TABLE works once a cursor on it is ${how}`, async () => {
    await using db = await connect(":memory:");
    await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3), (4), (5)");
    await db.createFunction("write", 1, (x) => x);
    // A small result is read to its end at once, unless a function of ours takes its time.
    const column = how === "left to the collector" ? "x" : "write(x)";
    let cursor: Cursor | null = await db.execute(`SELECT ${column} FROM t`);
    assert.deepEqual(await cursor.fetchOne(), [1]);
    if (how === "exhausted") await cursor.fetchAll();
    if (how === "closed") await cursor.close();
    if (how === "executed again") await cursor.execute("SELECT 1");
    cursor = null;
    await db.execute("DROP TABLE t");
    await db.commit();
    await assert.rejects(db.execute("SELECT * FROM t"), /no such table/);
  });
}

for (const how of ["closed", "executed again", "left open"]) {
  test(`rollback(), then the same SELECT: no row twice, the old cursor being ${how}`, async () => {
    await using db = await connect(":memory:");
    await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (0), (1), (2)");
    const sql = "SELECT x FROM t";
    await db.execute("UPDATE t SET x = x + 10");
    const cursor = await db.execute(sql);
    assert.deepEqual(await cursor.fetchOne(), [10]);
    await db.rollback();
    if (how === "closed") await cursor.close();
    if (how === "executed again") await cursor.execute(sql);
    assert.deepEqual(await db.executeFetchAll(sql), [[0], [1], [2]]);
    if (how === "executed again") assert.deepEqual(await cursor.fetchAll(), [[0], [1], [2]]);
    if (how === "left open") assert.deepEqual(await cursor.fetchAll(), [[11], [12]]);
  });
}

test("Cursors over two connections see what is there when they begin (gh-94028)", async () => {
  const path = file();
  await using one = await connect(path, plain);
  await using two = await connect(path, plain);
  await one.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (0), (1), (2)");
  const cursors = [one.cursor(), one.cursor(), two.cursor()];
  const count = async (cursor: Cursor) =>
    (await (await cursor.execute("SELECT x FROM t")).fetchAll()).length;
  for (let rows = 3; rows < 8; rows++) {
    for (const cursor of cursors) assert.equal(await count(cursor), rows);
    await (rows % 2 ? one : two).execute("INSERT INTO t VALUES (?)", [rows]);
  }
});

// -- test_transactions

for (
  const [given, begin] of [
    [undefined, "BEGIN DEFERRED"],
    ["", "BEGIN DEFERRED"],
    ["DEFERRED", "BEGIN DEFERRED"],
    ["IMMEDIATE", "BEGIN IMMEDIATE"],
    ["EXCLUSIVE", "BEGIN EXCLUSIVE"],
    [null, null],
  ] as const
) {
  test(`isolationLevel ${JSON.stringify(given)} sends exactly what it should`, async () => {
    const insert = "INSERT INTO t (x) VALUES (1)";
    const expected = begin === null ? [insert] : [begin, insert, "COMMIT"];
    const work = async (
      db: { execute(sql: string): PromiseLike<unknown>; commit(): Promise<void> },
    ) => {
      await db.execute(insert);
      await db.commit();
    };
    assert.deepEqual(await traced({ isolationLevel: given }, work), expected);
    assert.deepEqual(
      await traced({}, (db) => {
        if (given !== undefined) db.isolationLevel = given;
        return work(db);
      }),
      expected,
    );
  });
}

test("The trace shows bound values, each set of executeMany(), and its BEGIN and COMMIT", async () => {
  const statements = await traced({}, async (db) => {
    await db.execute("SELECT ?, ?", ["é😀'", null]);
    await db.executeMany("INSERT INTO t VALUES (?, ?)", [[1, "a"], [2, 1.5]]);
    await db.commit();
  });
  assert.deepEqual(statements, [
    "SELECT 'é😀''', NULL",
    "BEGIN DEFERRED",
    "INSERT INTO t VALUES (1, 'a')",
    "INSERT INTO t VALUES (2, 1.5)",
    "COMMIT",
  ]);
});

test("The trace shows a statement once, also when the schema has changed before it", async () => {
  const path = file();
  await using db = await connect(path, plain);
  await using other = await connect(path, plain);
  await db.execute("CREATE TABLE t (x)");
  await db.executeFetchAll("SELECT * FROM t");
  const statements: string[] = [];
  await db.setTraceCallback((sql) => statements.push(sql));
  await other.execute("CREATE TABLE u (x)");
  await db.executeFetchAll("SELECT * FROM t");
  await db.setTraceCallback(null);
  assert.deepEqual(statements, ["SELECT * FROM t"]);
});

test("The trace of values too long to be shown has the statement as it was written", async () => {
  const sql = "SELECT ? AS x";
  const statements = await traced({}, async (db) => {
    await db.setLimit(SQLITE_LIMIT_LENGTH, 1000);
    await db.executeFetchAll(sql, ["x".repeat(999)]);
    await db.executeFetchAll(sql, ["short"]);
  });
  assert.deepEqual(statements, [sql, "SELECT 'short' AS x"]);
});

test("autocommit false: the trace of commit(), rollback() and close()", async () => {
  const statements = await traced({ autocommit: false }, async (db) => {
    await db.execute("INSERT INTO t VALUES (1, 1)");
    await db.commit();
    await db.rollback();
    db.autocommit = true;
    await db.execute("INSERT INTO t VALUES (2, 2)");
    await db.commit();
    db.autocommit = false;
    await db.execute("SELECT 1");
  });
  assert.deepEqual(statements, [
    "INSERT INTO t VALUES (1, 1)",
    "COMMIT",
    "BEGIN",
    "ROLLBACK",
    "BEGIN",
    "COMMIT",
    "INSERT INTO t VALUES (2, 2)",
    "BEGIN",
    "SELECT 1",
  ]);
});

for (const autocommit of ["legacy", true, false] as const) {
  test(`autocommit ${autocommit}: what begins and ends a transaction`, async () => {
    const path = file();
    await using db = await connect(path, { autocommit });
    await using other = await connect(path, plain);
    const open = autocommit === false;
    assert.equal(db.inTransaction, open);
    await db.execute("CREATE TABLE t (x)");
    assert.equal(db.inTransaction, open);
    await db.commit();
    assert.equal(db.inTransaction, open);
    await db.execute("INSERT INTO t VALUES (1)");
    assert.equal(db.inTransaction, autocommit !== true);
    await db.rollback();
    assert.equal(db.inTransaction, open);
    const rows = autocommit === true ? [[1]] : [];
    assert.deepEqual(await other.executeFetchAll("SELECT x FROM t"), rows);
    await db.execute("INSERT INTO t VALUES (2)");
    await db.executeScript("SELECT 1");
    assert.equal(db.inTransaction, open); // legacy mode has committed
    if (!open) assert.deepEqual(await other.executeFetchOne("SELECT max(x) FROM t"), [2]);
  });
}

for (const begin of ["BEGIN", "BEGIN IMMEDIATE"]) {
  test(`DDL after ${begin} is undone by rollback()`, async () => {
    await using db = await connect(":memory:");
    await db.execute(begin);
    await db.execute("CREATE TABLE t (x)");
    await db.rollback();
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM sqlite_schema"), []);
  });
}

test("DROP TABLE and PRAGMA work within an implicit transaction", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.execute("INSERT INTO t VALUES (1)");
  await db.execute("PRAGMA user_version = 5");
  await db.execute("DROP TABLE t");
  assert.equal(db.inTransaction, true);
  await db.rollback();
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), []);
  assert.deepEqual(await db.executeFetchOne("PRAGMA user_version"), [0]);
});

test("COMMIT that finds the database locked rolls back with transaction(), and frees it", async () => {
  const path = file();
  await using db = await connect(path, { timeout: 0 });
  await using other = await connect(path, { ...plain, timeout: 0 });
  await db.execute("CREATE TABLE t (x)");
  const reading = await other.execute("BEGIN");
  await reading.execute("SELECT * FROM t");
  await assert.rejects(db.transaction((tx) => tx.execute("INSERT INTO t VALUES (1)")), {
    name: "OperationalError",
    code: "SQLITE_BUSY",
    message: "database is locked",
  });
  assert.equal(db.inTransaction, false);
  await other.execute("COMMIT");
  await other.execute("INSERT INTO t VALUES (2)");
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[2]]);
});

// -- test_hooks, test_userfunctions

test("A collation's result of any size keeps its sign, and the last of a name counts", async () => {
  await using db = await connect(":memory:");
  for (const factor of [2 ** 32, -(2 ** 32), Infinity, -0.25]) {
    await db.createCollation("mine", (a, b) => a === b ? 0 : (a < b ? -1 : 1) * factor);
    const rows = await db.executeFetchAll(
      "SELECT x FROM (SELECT 'b' AS x UNION SELECT 'a' UNION SELECT 'c') ORDER BY x COLLATE mine",
    );
    const sorted = [["a"], ["b"], ["c"]];
    assert.deepEqual(rows, factor > 0 ? sorted : sorted.reverse(), String(factor));
  }
  await db.createCollation("mine", null);
  await assert.rejects(db.execute("SELECT 'a' ORDER BY 1 COLLATE mine"), {
    name: "OperationalError",
    message: "no such collation sequence: mine",
  });
});

test("An authorizer that throws, or says anything else, denies", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE t (x)");
  const answers: (() => unknown)[] = [
    () => SQLITE_DENY,
    () => 0.5,
    () => 2 ** 32,
    () => "0",
    () => undefined,
    () => {
      throw new Error("no");
    },
  ];
  for (const answer of answers) {
    await db.setAuthorizer(answer as () => number);
    await assert.rejects(db.execute("SELECT x FROM t"), (error) => {
      assert.ok(error instanceof Error && "code" in error);
      assert.equal(error.code, "SQLITE_AUTH");
      return true;
    });
    await db.setAuthorizer(null);
    await db.execute("SELECT x FROM t");
  }
});

test("A group without rows asks nothing of an aggregate, NULL is passed on as such", async () => {
  await using db = await connect(":memory:");
  let made = 0;
  const seen: unknown[] = [];
  await db.createAggregate(
    "collect",
    1,
    class {
      constructor() {
        made++;
      }
      step(value: unknown) {
        seen.push(value);
      }
      finalize() {
        return seen.length;
      }
    },
  );
  assert.deepEqual(await db.executeFetchOne("SELECT collect(1) WHERE 0"), [null]);
  assert.equal(made, 0);
  assert.deepEqual(await db.executeFetchOne("SELECT collect(NULL)"), [1]);
  assert.deepEqual(seen, [null]);
});

test("A deterministic function may be used in an index, another may not", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.createFunction("pure", 1, (x) => x, { deterministic: true });
  await db.createFunction("impure", 1, (x) => x);
  await db.execute("CREATE INDEX i ON t (x) WHERE pure(x) IS NOT NULL").then(
    () => {},
    (error) => assert.match(error.message, /unsafe use/), // a schema is not trusted
  );
  await assert.rejects(
    db.execute("CREATE INDEX j ON t (x) WHERE impure(x) IS NOT NULL"),
    OperationalError,
  );
});
