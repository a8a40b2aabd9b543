import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { connect, type Connection, type ConnectOptions, SqliteError } from "../mod.ts";
import * as aiosqlite from "../mod.ts";
import { file, folder, python } from "./helpers.ts";

/** What a promise rejects with, which has to be a SqliteError. */
async function failure(call: PromiseLike<unknown> | (() => unknown)): Promise<SqliteError> {
  try {
    await (typeof call === "function" ? call() : call);
  } catch (error) {
    assert.ok(error instanceof SqliteError, String(error));
    return error;
  }
  assert.fail("did not reject");
}

/** What of an error SQLite says. */
const facts = ({ name, code, errno, offset, sql }: SqliteError) => [name, code, errno, offset, sql];

test("the error classes form the tree of DB-API 2.0", () => {
  const parents = {
    SqliteWarning: "Error",
    SqliteError: "Error",
    InterfaceError: "SqliteError",
    DatabaseError: "SqliteError",
    DataError: "DatabaseError",
    OperationalError: "DatabaseError",
    IntegrityError: "DatabaseError",
    InternalError: "DatabaseError",
    ProgrammingError: "DatabaseError",
    NotSupportedError: "DatabaseError",
  } as const;
  for (const [name, parent] of Object.entries(parents)) {
    const made = aiosqlite[name as keyof typeof parents];
    assert.equal(Object.getPrototypeOf(made), parent === "Error" ? Error : aiosqlite[parent]);
    assert.equal(new made("m").name, name);
  }
});

const CONSTRAINTS = [
  ["INSERT INTO t (u) VALUES (1), (1)", "SQLITE_CONSTRAINT_UNIQUE", 2067],
  ["INSERT INTO t (id) VALUES (1), (1)", "SQLITE_CONSTRAINT_PRIMARYKEY", 1555],
  ["INSERT INTO t (n) VALUES (NULL)", "SQLITE_CONSTRAINT_NOTNULL", 1299],
  ["INSERT INTO t (c) VALUES (-1)", "SQLITE_CONSTRAINT_CHECK", 275],
  ["INSERT INTO t (f) VALUES (99)", "SQLITE_CONSTRAINT_FOREIGNKEY", 787],
  ["INSERT INTO t (id) VALUES ('a')", "SQLITE_MISMATCH", 20],
] as const;

test("a violated constraint is an IntegrityError with its extended code", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript(`PRAGMA foreign_keys = ON;
    CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL DEFAULT 0, c CHECK (c > 0),
      f REFERENCES t (id))`);
  for (const [sql, code, errno] of CONSTRAINTS) {
    assert.deepEqual(facts(await failure(db.execute(sql))), [
      "IntegrityError",
      code,
      errno,
      -1,
      sql,
    ]);
  }
  const many = "INSERT INTO t (u) VALUES (?)";
  assert.deepEqual(
    facts(await failure(db.executeMany(many, [[1], [1]]))),
    ["IntegrityError", "SQLITE_CONSTRAINT_UNIQUE", 2067, -1, many],
  );
});

test("an error in the SQL is an OperationalError with its byte offset", async () => {
  await using db = await connect(":memory:");
  for (
    const [sql, offset, message] of [
      ["SELECT 'é', nope", 13, /^no such column: nope$/],
      ["SELEC 1", 0, /syntax error/],
      ["SELECT * FROM nope", -1, /^no such table: nope$/],
      ["SELECT (", -1, /^incomplete input$/],
    ] as const
  ) {
    const error = await failure(db.execute(sql));
    assert.deepEqual(facts(error), ["OperationalError", "SQLITE_ERROR", 1, offset, sql]);
    assert.match(error.message, message);
  }
});

test("the offset of an error in a script is that in the whole script", async () => {
  await using db = await connect(":memory:");
  const script = "SELECT 'é';\nSELECT nope;";
  assert.deepEqual(
    facts(await failure(db.executeScript(script))),
    ["OperationalError", "SQLITE_ERROR", 1, 20, script],
  );
});

test("a file that is not a database is a DatabaseError", async () => {
  const path = file();
  writeFileSync(path, "This is not a database, but a text of some length.".repeat(20));
  await using db = await connect(path);
  const sql = "SELECT * FROM sqlite_master";
  assert.deepEqual(
    facts(await failure(db.execute(sql))),
    ["DatabaseError", "SQLITE_NOTADB", 26, -1, sql],
  );
});

test("writing to a read-only connection is an OperationalError", async () => {
  const path = file();
  await python(path, "CREATE TABLE t (x)");
  await using db = await connect(path, { readonly: true, isolationLevel: null });
  const sql = "INSERT INTO t VALUES (1)";
  assert.deepEqual(
    facts(await failure(db.execute(sql))),
    ["OperationalError", "SQLITE_READONLY", 8, -1, sql],
  );
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
  const missing = await failure(connect(file(), { readonly: true }));
  assert.deepEqual([missing.name, missing.code, missing.errno], [
    "OperationalError",
    "SQLITE_CANTOPEN",
    14,
  ]);
});

test("opening a folder is an OperationalError", async () => {
  const error = await failure(connect(folder()));
  assert.equal(error.name, "OperationalError");
  assert.match(error.code ?? "", /^SQLITE_CANTOPEN/);
});

test("no message shows a bound value", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x UNIQUE, y)");
  await db.execute("INSERT INTO t VALUES (?, 1)", ["hush"]);
  for (
    const failing of [
      () => db.execute("INSERT INTO t VALUES (?, 1)", ["hush"]),
      () => db.executeMany("INSERT INTO t VALUES (?, 1)", [["hush"]]),
      () => db.execute("SELECT ?, ?", ["hush", { x: "hush" }]),
      () => db.execute("SELECT ?", ["hush", "hush"]),
      () => db.execute("SELECT :a", { b: "hush" }),
      () => db.execute("SELECT ?", ["hush\ud800"]),
      () => db.executeFetchAll("SELECT abs(?)", [-(2n ** 63n)]),
    ]
  ) assert.doesNotMatch((await failure(failing)).message, /hush|922337/);
});

test("a wrong SQL text is refused before it is sent", async () => {
  await using db = await connect(":memory:");
  for (const bad of [undefined, null, 1, new Uint8Array([49])] as unknown[]) {
    const sql = bad as string;
    for (
      const failing of [
        () => db.execute(sql),
        () => db.executeMany(sql, []),
        () => db.executeScript(sql),
        () => db.executeFetchAll(sql),
      ]
    ) assert.equal((await failure(failing)).name, "ProgrammingError");
  }
  for (const sql of ["SELECT 1\0", "\0SELECT 1", "SELECT '\0'"]) {
    const error = await failure(db.execute(sql));
    assert.deepEqual([error.name, error.message], [
      "ProgrammingError",
      "the query contains a null character",
    ]);
    assert.equal((await failure(db.executeScript(sql))).message, error.message);
  }
  for (const sql of ["SELECT '\ud800'", "SELECT '\udc00'"]) {
    assert.equal((await failure(db.execute(sql))).name, "DataError");
    assert.equal((await failure(db.executeScript(sql))).name, "DataError");
  }
});

const OVERFLOW = `SELECT abs(CASE WHEN column1 = 3 THEN -9223372036854775808 ELSE column1 END)
  FROM (VALUES (1), (2), (3), (4))`;
const overflow = ["OperationalError", "SQLITE_ERROR", 1, -1, OVERFLOW];

test("an error after the first rows comes once these have been fetched, and once", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute(OVERFLOW);
  assert.deepEqual([await cursor.fetchOne(), await cursor.fetchOne()], [[1], [2]]);
  const error = await failure(cursor.fetchOne());
  assert.equal(error.message, "integer overflow");
  assert.deepEqual(facts(error), overflow);
  assert.equal(await cursor.fetchOne(), undefined);
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("an error after the first rows reaches every way of fetching", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute(OVERFLOW);
  assert.deepEqual(await cursor.fetchMany(10), [[1], [2]]);
  assert.deepEqual(facts(await failure(cursor.fetchMany(10))), overflow);
  await cursor.execute(OVERFLOW);
  assert.deepEqual(facts(await failure(cursor.fetchAll())), overflow);
  assert.deepEqual(facts(await failure(db.executeFetchAll(OVERFLOW))), overflow);
  const seen: unknown[] = [];
  const loop = async () => {
    for await (const [x] of db.execute(OVERFLOW)) seen.push(x);
  };
  assert.deepEqual(facts(await failure(loop())), overflow);
  assert.deepEqual(seen, [1, 2]);
});

/** Fails far behind the first batch, so that it is prefetching which meets the error. */
const LATE = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
  SELECT CASE WHEN i = 2900 THEN abs(-9223372036854775808 + (i - 2900)) ELSE i END,
    printf('%0500d', i) FROM n`;

async function drain(db: Connection): Promise<void> {
  for await (const _ of db.execute(LATE));
}

test("every error's stack shows the caller", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1)");
  const callers: Record<string, () => Promise<unknown>> = {
    async callsConnect() {
      await connect("/nowhere/at/all.db");
    },
    async callsConnectWrongly() {
      await connect(":memory:", { timeout: -1 });
    },
    async callsExecute() {
      await db.execute("SELECT nope");
    },
    async callsExecuteWrongly() {
      await db.execute("SELECT ?", [undefined]);
    },
    async callsExecuteMany() {
      await db.executeMany("INSERT INTO t VALUES (?)", [[1]]);
    },
    async callsExecuteScript() {
      await db.executeScript("SELECT nope");
    },
    async callsExecuteInsert() {
      await db.executeInsert("INSERT INTO t VALUES (1)");
    },
    async callsExecuteFetchAll() {
      await db.executeFetchAll("SELECT nope");
    },
    async callsExecuteFetchOne() {
      await db.executeFetchOne("SELECT nope");
    },
    async callsCursorExecute() {
      await db.cursor().execute("SELECT nope");
    },
    async callsFetchOne() {
      const cursor = await db.execute("SELECT CAST(x'ff' AS TEXT)");
      await cursor.fetchOne();
    },
    async callsFetchMany() {
      const cursor = await db.execute(OVERFLOW);
      for (;;) await cursor.fetchMany(2);
    },
    async callsFetchAll() {
      const cursor = await db.execute(LATE);
      await cursor.fetchAll();
    },
    async loopsOverExecute() {
      for await (const _ of db.execute("SELECT nope"));
    },
    async callsDrain() {
      await drain(db);
    },
    async callsCommit() {
      await db.executeScript(`PRAGMA foreign_keys = ON;
        CREATE TABLE f (y PRIMARY KEY, x REFERENCES f (y) DEFERRABLE INITIALLY DEFERRED)`);
      await db.execute("INSERT INTO f VALUES (1, 2)");
      await db.commit();
    },
  };
  const silent = [];
  for (const [name, call] of Object.entries(callers)) {
    const { stack = "" } = await failure(call());
    if (!stack.includes(name) || !stack.includes("errors_test.ts")) silent.push(name);
  }
  assert.deepEqual(silent, []);
});

test("a failed call leaves the connection and the cursor usable", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute("SELECT 1");
  await failure(cursor.execute("SELECT nope"));
  assert.equal(cursor.description, null);
  assert.deepEqual(await cursor.fetchAll(), []);
  assert.deepEqual(await (await cursor.execute("SELECT 2")).fetchAll(), [[2]]);
});

test("calls made after close() reject with ProgrammingError", async () => {
  const db = await connect(":memory:");
  await db.close();
  const closed = { name: "ProgrammingError", message: "Cannot operate on a closed database." };
  for (
    const call of [
      () => db.execute("SELECT 1"),
      () => db.executeMany("INSERT INTO t VALUES (?)", [[1]]),
      () => db.executeScript("SELECT 1"),
      () => db.executeInsert("INSERT INTO t VALUES (1)"),
      () => db.executeFetchAll("SELECT 1"),
      () => db.executeFetchOne("SELECT 1"),
      () => db.commit(),
      () => db.rollback(),
      async () => {
        for await (const _ of db.execute("SELECT 1"));
      },
    ]
  ) await assert.rejects(Promise.resolve(call()), closed);
  assert.throws(() => db.cursor(), closed);
  assert.throws(() => db.interrupt(), closed);
  assert.throws(() => db.isolationLevel = null, closed);
  assert.throws(() => db.autocommit = true, closed);
});

const BAD_OPTIONS: Record<string, unknown[]> = {
  timeout: [-1, NaN, "5", null],
  isolationLevel: ["BOGUS", " ", "DEFERRE", "DEFERREDS", "IMMEDIATE\0EXCLUSIVE", "\xe9", 1],
  autocommit: ["LEGACY", "true", 1, null],
  cachedStatements: [-1, 1.5, "1", null],
  readonly: [1, "yes", null],
  uri: [1, null],
  iterChunkSize: [0, -1, 1.5, Infinity],
  rowFactory: ["Row", {}],
  textFactory: ["utf8", null],
  integers: ["string", true],
  library: ["libsqlite3.so", "", 1, "/lib\0"],
  signal: [{}, true],
  nosuch: [1],
};

test("connect() refuses bad options and creates nothing", async () => {
  const path = file();
  for (const [name, values] of Object.entries(BAD_OPTIONS)) {
    for (const value of values) {
      const error = await failure(connect(path, { [name]: value } as ConnectOptions));
      assert.equal(error.name, "ProgrammingError", `${name}: ${value}`);
      assert.ok(error.message.includes(name));
    }
  }
  assert.equal(existsSync(path), false);
});
