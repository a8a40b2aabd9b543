import assert from "node:assert/strict";
import { test } from "node:test";
import {
  connect,
  type Connection,
  type ConnectOptions,
  ProgrammingError,
  SQLITE_DBCONFIG_DEFENSIVE,
  sqliteVersionInfo,
} from "../mod.ts";
import { chinook, command, file, program } from "./helpers.ts";

async function dumpOf(db: Connection, filter?: string): Promise<string[]> {
  const statements: string[] = [];
  for await (const statement of db.iterDump({ filter })) statements.push(statement);
  return statements;
}

/** The dump of a database that a script makes. */
async function dumpOfScript(script: string, options: ConnectOptions = {}, filter?: string) {
  await using db = await connect(":memory:", options);
  await db.executeScript(script);
  return await dumpOf(db, filter);
}

/** What Python's sqlite3 makes of a file. */
async function dumpByPython(path: string): Promise<string[]> {
  const script = "import json, sqlite3, sys\n" +
    "print(json.dumps(list(sqlite3.connect(sys.argv[1]).iterdump())))\n";
  const ended = await command("python3", ["-c", script, path]);
  assert.equal(ended.code, 0, ended.stderr);
  return JSON.parse(ended.stdout);
}

/** A new database made by the statements of a dump. */
async function restored(statements: readonly string[]): Promise<Connection> {
  const db = await connect(":memory:");
  // A virtual table is restored by writing to the schema, which is not allowed by itself.
  await db.setConfig(SQLITE_DBCONFIG_DEFENSIVE, false);
  await db.executeScript(statements.join("\n"));
  await db.setConfig(SQLITE_DBCONFIG_DEFENSIVE, true);
  return db;
}

const VARIED = `
  CREATE TABLE "index" ("index" blob);
  INSERT INTO "index" VALUES (X'01'), (X''), (zeroblob(3));
  CREATE TABLE "quoted name" ("quoted "" field" TEXT, [another one], \`third\`);
  INSERT INTO "quoted name" VALUES ('quoted '' value', 'new
line', 'ünïcödé 😀');
  CREATE TABLE t1 (id INTEGER PRIMARY KEY, s1 TEXT, t1_i1 INTEGER NOT NULL, i2 INTEGER UNIQUE,
    unique_constraint TEXT CONSTRAINT unique_constraint UNIQUE CHECK (length(s1) > 0));
  INSERT INTO t1 VALUES (1, 'foo', 10, 20, 'a'), (2, 'foo2', -9223372036854775808, 30, NULL);
  CREATE TABLE numbers (x);
  INSERT INTO numbers VALUES (0.1), (1e300), (-1.5), (9007199254740993), (NULL), (1.0);
  CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, x);
  INSERT INTO counted (x) VALUES ('a'), ('b'), ('c');
  DELETE FROM counted WHERE id = 3;
  CREATE TABLE strict_key (a TEXT PRIMARY KEY, b) WITHOUT ROWID;
  INSERT INTO strict_key VALUES ('z', 1), ('a', 2);
  CREATE TABLE empty (x);
  CREATE TABLE computed (a, b AS (a * 2) STORED, c AS (a + 1));
  INSERT INTO computed VALUES (1), (2);
  CREATE INDEX i1 ON t1 (s1);
  CREATE UNIQUE INDEX partial ON t1 (i2) WHERE i2 > 5;
  CREATE TRIGGER trigger_1 UPDATE OF i2 ON t1 BEGIN UPDATE t1 SET i2 = new.i2 WHERE 0; END;
  CREATE VIEW v1 AS SELECT * /* with a comment */ FROM t1;
`;

test("the dump of an empty database begins and ends a transaction", async () => {
  assert.deepEqual(await dumpOfScript(""), ["BEGIN TRANSACTION;", "COMMIT;"]);
});

test("iterDump() gives what Python's sqlite3 gives, statement by statement", async () => {
  const path = file();
  await using db = await connect(path);
  await db.executeScript(VARIED);
  const statements = await dumpOf(db);
  assert.deepEqual(statements, await dumpByPython(path));
  assert.ok(statements.length > 30);
});

test("what a dump makes is the same database", async () => {
  const statements = await dumpOfScript(VARIED);
  await using db = await restored(statements);
  assert.deepEqual(await dumpOf(db), statements);
  assert.deepEqual(await db.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);
  assert.deepEqual(await db.executeFetchAll("SELECT typeof(x), x FROM numbers"), [
    ["real", 0.1],
    ["real", 1e300],
    ["real", -1.5],
    ["integer", 9007199254740993n],
    ["null", null],
    ["real", 1],
  ]);
  assert.deepEqual(await db.executeFetchAll("SELECT c, b, a FROM computed"), [[2, 2, 1], [
    3,
    4,
    2,
  ]]);
});

test("names of tables and columns may have quotes", async () => {
  const script = [
    'CREATE TABLE "a""b\'s" ("c""d", "e\'f");',
    `INSERT INTO "a""b's" VALUES('x''y"z',1);`,
  ];
  const statements = await dumpOfScript(script.join("\n"));
  assert.deepEqual(statements, ["BEGIN TRANSACTION;", ...script, "COMMIT;"]);
  await using db = await restored(statements);
  assert.deepEqual(await db.executeFetchAll(`SELECT * FROM "a""b's"`), [[`x'y"z`, 1]]);
});

test("text with null characters is dumped whole", async () => {
  const values = ["a\0b", "\0", "é\0'", "plain", new Uint8Array([0, 1, 0]), null, 1.5];
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.executeMany("INSERT INTO t VALUES (?)", values.map((value) => [value]));
  const statements = await Array.fromAsync(db.iterDump());
  assert.ok(statements.includes(`INSERT INTO "t" VALUES('plain');`));
  await using copy = await connect(":memory:");
  await copy.executeScript(statements.join("\n"));
  const rows = await copy.executeFetchAll("SELECT x, typeof(x) = 'text' FROM t");
  assert.deepEqual(rows, values.map((value) => [value, Number(typeof value === "string")]));
});

test("what ends in a comment is dumped as a statement of its own", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE t (x)");
  await db.execute("CREATE VIEW v AS SELECT x FROM t -- of t");
  await db.execute("CREATE INDEX i ON t (x) -- first\n -- second");
  const statements = await Array.fromAsync(db.iterDump());
  await using copy = await connect(":memory:");
  await copy.executeScript(statements.join("\n"));
  const schema = "SELECT type, name FROM sqlite_master ORDER BY name";
  assert.deepEqual(await copy.executeFetchAll(schema), await db.executeFetchAll(schema));
});

test("counters of AUTOINCREMENT come last, and go on where they were", async () => {
  const statements = await dumpOfScript(`
    CREATE TABLE "t'1" (id INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE t2 (id INTEGER PRIMARY KEY AUTOINCREMENT);
    INSERT INTO "t'1" VALUES (NULL), (NULL);
    INSERT INTO t2 VALUES (9007199254740993);
    DELETE FROM "t'1" WHERE id = 2;
  `);
  assert.deepEqual(statements.slice(-4), [
    'DELETE FROM "sqlite_sequence";',
    `INSERT INTO "sqlite_sequence" VALUES('t''1',2);`,
    `INSERT INTO "sqlite_sequence" VALUES('t2',9007199254740993);`,
    "COMMIT;",
  ]);
  await using db = await restored(statements);
  assert.equal(await db.executeInsert(`INSERT INTO "t'1" VALUES (NULL)`), 3);
});

test("statistics are restored by ANALYZE of the schema", async () => {
  const script = `
    CREATE TABLE t (x); CREATE INDEX i ON t (x); INSERT INTO t VALUES (1), (1), (2); ANALYZE;
  `;
  const path = file();
  await using db = await connect(path);
  await db.executeScript(script);
  const statements = await dumpOf(db);
  assert.deepEqual(statements, [
    "BEGIN TRANSACTION;",
    'ANALYZE "sqlite_master";',
    `INSERT INTO "sqlite_stat1" VALUES('t','i','3 2');`,
    "CREATE TABLE t (x);",
    'INSERT INTO "t" VALUES(1);',
    'INSERT INTO "t" VALUES(1);',
    'INSERT INTO "t" VALUES(2);',
    "CREATE INDEX i ON t (x);",
    "COMMIT;",
  ]);
  assert.deepEqual(await dumpByPython(path), statements);
  await using copy = await restored(statements);
  assert.deepEqual(await copy.executeFetchAll("SELECT * FROM sqlite_stat1"), [["t", "i", "3 2"]]);
});

test("virtual tables are made by an entry in the schema", async () => {
  const path = file();
  await using db = await connect(path);
  await db.executeScript(`
    CREATE VIRTUAL TABLE words USING fts4(example);
    INSERT INTO words VALUES ('one two'), ('it''s three');
    CREATE VIRTUAL TABLE box USING rtree(id, x0, x1);
    INSERT INTO box VALUES (1, 0.5, 2.5);
  `);
  const statements = await dumpOf(db);
  const theirs = await dumpByPython(path);
  // Old versions (3.11.2 is one) make plain statements of them, whose tables then exist twice.
  if (theirs.includes("PRAGMA writable_schema=ON;")) assert.deepEqual(statements, theirs);
  assert.deepEqual(statements.slice(0, 4), [
    "BEGIN TRANSACTION;",
    "PRAGMA writable_schema=ON;",
    "INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)VALUES('table','box','box',0," +
    "'CREATE VIRTUAL TABLE box USING rtree(id, x0, x1)');",
    'INSERT INTO "box" VALUES(1,0.5,2.5);',
  ]);
  assert.equal(
    statements.filter((statement) => statement.includes("writable_schema=ON")).length,
    1,
  );
  assert.deepEqual(statements.slice(-2), ["PRAGMA writable_schema=OFF;", "COMMIT;"]);
});

test("a virtual table that keeps no rows of its own is restored as the schema is read again", async () => {
  const statements = await dumpOfScript("CREATE VIRTUAL TABLE v USING fts4(example)", {}, "v");
  assert.deepEqual(statements.slice(1, -1), [
    "PRAGMA writable_schema=ON;",
    "INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)" +
    "VALUES('table','v','v',0,'CREATE VIRTUAL TABLE v USING fts4(example)');",
    "PRAGMA writable_schema=OFF;",
  ]);
  await using db = await restored(statements);
  const sql = "SELECT name FROM sqlite_master";
  assert.deepEqual(await db.executeFetchAll(sql), [["v"]]);
});

test("a dump with a virtual table is refused while the schema is defended", async () => {
  const statements = await dumpOfScript("CREATE VIRTUAL TABLE v USING fts4(example)", {}, "v");
  await using db = await connect(":memory:");
  await assert.rejects(db.executeScript(statements.join("\n")), /may not be modified/);
});

test("foreign keys are turned off by a dump with violations only", async () => {
  const script = `
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id REFERENCES parent);
    INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);
  `;
  const good = await dumpOfScript(script);
  assert.equal(good[0], "BEGIN TRANSACTION;");
  const bad = await dumpOfScript(`${script} INSERT INTO child VALUES (2);`);
  assert.deepEqual(bad.slice(0, 2), ["PRAGMA foreign_keys=OFF;", "BEGIN TRANSACTION;"]);
  assert.equal(bad.filter((statement) => statement.includes("foreign_keys")).length, 1);
  await using db = await connect(":memory:");
  await db.execute("PRAGMA foreign_keys = ON");
  await db.executeScript(bad.join("\n"));
  assert.deepEqual(await db.executeFetchAll("SELECT id FROM child"), [[1], [2]]);
});

test("a filter leaves what has another name, as LIKE says", async () => {
  const script = `
    CREATE TABLE some_table_2 (id_1 INTEGER); INSERT INTO some_table_2 VALUES (3), (4);
    CREATE TABLE test_table_1 (id_2 INTEGER); INSERT INTO test_table_1 VALUES (1), (2);
    CREATE TABLE test_table_2 (id_3 INTEGER);
    CREATE INDEX some_index_1 ON test_table_1 (id_2);
    CREATE INDEX test_index ON test_table_2 (id_3);
    CREATE TRIGGER test_trigger INSERT ON test_table_1 BEGIN SELECT 1; END;
    CREATE VIEW test_view AS SELECT 1;
    CREATE VIEW some_view AS SELECT 1;
  `;
  const of = async (filter: string) => {
    const statements = await dumpOfScript(script, {}, filter);
    assert.deepEqual([statements[0], statements.at(-1)], ["BEGIN TRANSACTION;", "COMMIT;"]);
    return statements.slice(1, -1);
  };
  const one = [
    "CREATE TABLE test_table_1 (id_2 INTEGER);",
    'INSERT INTO "test_table_1" VALUES(1);',
    'INSERT INTO "test_table_1" VALUES(2);',
  ];
  assert.deepEqual(await of("test_table_1"), one);
  assert.deepEqual(await of("TEST_TABLE__"), [...one, "CREATE TABLE test_table_2 (id_3 INTEGER);"]);
  assert.deepEqual(await of("test%"), [
    ...one,
    "CREATE TABLE test_table_2 (id_3 INTEGER);",
    "CREATE INDEX test_index ON test_table_2 (id_3);",
    "CREATE TRIGGER test_trigger INSERT ON test_table_1 BEGIN SELECT 1; END;",
    "CREATE VIEW test_view AS SELECT 1;",
  ]);
  assert.deepEqual(await of("%\\_%"), []);
  assert.deepEqual(await of("' OR 1 --"), []);
  assert.deepEqual(await of("nothing"), []);
  assert.deepEqual(await of("%"), await dumpOfScript(script).then((all) => all.slice(1, -1)));
});

test("an empty filter is none, as in Python; null as well", async () => {
  const script = "CREATE TABLE t (x);";
  const all = ["BEGIN TRANSACTION;", "CREATE TABLE t (x);", "COMMIT;"];
  assert.deepEqual(await dumpOfScript(script, {}, ""), all);
  assert.deepEqual(await dumpOfScript(script, {}, null as never), all);
});

test("iterDump() refuses a filter that is no text, when it is called", async () => {
  await using db = await connect(":memory:");
  for (const filter of [1, true, [], {}, Symbol("x")] as unknown[]) {
    assert.throws(() => db.iterDump({ filter: filter as string }), ProgrammingError);
  }
});

test("what the connection makes of rows, texts and types does not matter", async () => {
  const expected = await dumpOfScript(VARIED);
  const odd: ConnectOptions[] = [
    { textFactory: "bytes", integers: "bigint" },
    { textFactory: () => "wrong", integers: "number", rowFactory: () => ["wrong"] },
    { iterChunkSize: 1, cachedStatements: 0, detectTypes: 3 },
    { isolationLevel: null },
    { autocommit: true },
  ];
  for (const options of odd) assert.deepEqual(await dumpOfScript(VARIED, options), expected);
  await using db = await connect(":memory:", { rowFactory: () => [1] });
  const { rowFactory, textFactory } = db;
  await dumpOf(db);
  assert.deepEqual([db.rowFactory, db.textFactory], [rowFactory, textFactory]);
});

test("a dump changes nothing and begins nothing", async () => {
  await using db = await connect(":memory:");
  await db.executeScript(VARIED);
  const { totalChanges } = db;
  await dumpOf(db);
  assert.deepEqual([db.totalChanges, db.inTransaction], [totalChanges, false]);
});

test("a dump shows what the connection's open transaction has done", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.execute("INSERT INTO t VALUES (1)");
  assert.equal(db.inTransaction, true);
  assert.deepEqual((await dumpOf(db)).slice(1, -1), [
    "CREATE TABLE t (x);",
    'INSERT INTO "t" VALUES(1);',
  ]);
  assert.equal(db.inTransaction, true);
});

test("a large table is dumped as it is asked for", async () => {
  await using db = await connect(":memory:");
  await db.executeScript(`
    CREATE TABLE t (x);
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000)
      SELECT i FROM n;
  `);
  let next = 1;
  for await (const statement of db.iterDump()) {
    if (!statement.startsWith("INSERT")) continue;
    assert.equal(statement, `INSERT INTO "t" VALUES(${next++});`);
    // The connection can be used meanwhile.
    if (next % 1000 === 0) assert.deepEqual(await db.executeFetchOne("SELECT ?", [next]), [next]);
  }
  assert.equal(next, 3001);
});

test("leaving the loop early frees the locks", async () => {
  const path = file();
  await using db = await connect(path, { isolationLevel: null });
  await db.executeScript(`
    CREATE TABLE t (x);
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000)
      SELECT i || hex(zeroblob(500)) FROM n; -- more than is read at once
  `);
  await using other = await connect(path, { isolationLevel: null, timeout: 0 });
  let seen = 0;
  for await (const statement of db.iterDump()) {
    if (!statement.startsWith("INSERT")) continue;
    seen++;
    // While it is being read nothing else is committed.
    await other.execute("BEGIN");
    await other.execute("DROP TABLE t");
    await assert.rejects(other.execute("COMMIT"), { code: "SQLITE_BUSY" });
    await other.execute("ROLLBACK");
    break;
  }
  assert.equal(seen, 1);
  await other.execute("DROP TABLE t");
  assert.deepEqual(await dumpOf(db), ["BEGIN TRANSACTION;", "COMMIT;"]);
});

test("return() ends a dump, before it has begun too", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const begun = db.iterDump();
  assert.deepEqual(await begun.next(), { done: false, value: "BEGIN TRANSACTION;" });
  await begun.return!();
  assert.deepEqual(await begun.next(), { done: true, value: undefined });
  const untouched = db.iterDump();
  await untouched.return!();
  assert.deepEqual(await untouched.next(), { done: true, value: undefined });
  await db.execute("DROP TABLE t");
});

test("two dumps at once do not disturb each other", async () => {
  await using db = await connect(":memory:");
  await db.executeScript(VARIED);
  const [one, two] = await Promise.all([dumpOf(db), dumpOf(db)]);
  assert.deepEqual(one, two);
});

test("within a transaction() a dump is of one state", async () => {
  const path = file();
  await using db = await connect(path);
  await db.execute("PRAGMA journal_mode = WAL");
  await db.executeScript("CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO a VALUES (1)");
  await using other = await connect(path, { isolationLevel: null });
  const statements: string[] = [];
  await db.transaction(async () => {
    for await (const statement of db.iterDump()) {
      if (statements.push(statement) === 2) await other.execute("INSERT INTO b VALUES (2)");
    }
  });
  assert.deepEqual(statements.slice(1, -1), [
    "CREATE TABLE a (x);",
    'INSERT INTO "a" VALUES(1);',
    "CREATE TABLE b (x);",
  ]);
  assert.ok((await dumpOf(db)).includes('INSERT INTO "b" VALUES(2);'));
});

test("a table that is dropped meanwhile is an error, and the connection goes on", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE a (x); CREATE TABLE b (x);");
  const read = async () => {
    for await (const statement of db.iterDump()) {
      if (statement === "CREATE TABLE b (x);") await db.execute("DROP TABLE b");
    }
  };
  await assert.rejects(read(), { name: "OperationalError" });
  assert.deepEqual((await dumpOf(db)).slice(1, -1), ["CREATE TABLE a (x);"]);
});

test("a dump of a closed connection rejects, and so does one that is under way", async () => {
  const closed = { name: "ProgrammingError", message: "Cannot operate on a closed database." };
  const db = await connect(":memory:");
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3)");
  const begun = db.iterDump();
  const rows = db.iterDump();
  await begun.next();
  for (let i = 0; i < 3; i++) await rows.next();
  await db.close();
  await assert.rejects(begun.next(), closed);
  await assert.rejects(rows.next(), closed);
  await assert.rejects((async () => await db.iterDump().next())(), closed);
});

test("values of great length are dumped whole", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (a, b)");
  await db.execute("INSERT INTO t VALUES (?, zeroblob(500000))", ["'".repeat(300_000)]);
  const statement = (await dumpOf(db))[2]!;
  const expected = `INSERT INTO "t" VALUES('${"'".repeat(600_000)}',X'${"0".repeat(1_000_000)}');`;
  assert.ok(statement === expected);
});

test("infinities are written as what SQLite reads as such", async () => {
  const statements = await dumpOfScript(
    "CREATE TABLE t (a, b, c TEXT); INSERT INTO t VALUES (9e999, -9e999, 'Inf'), (1, 'Inf', '-Inf')",
  );
  assert.deepEqual(statements.slice(2, -1), [
    `INSERT INTO "t" VALUES(9.0e+999,-9.0e+999,'Inf');`,
    `INSERT INTO "t" VALUES(1,'Inf','-Inf');`,
  ]);
  await using db = await restored(statements);
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), [
    [Infinity, -Infinity, "Inf"],
    [1, "Inf", "-Inf"],
  ]);
});

test("a table with as many columns as a table may have is dumped", async () => {
  await using db = await connect(":memory:");
  const names = Array.from({ length: 2000 }, (_, i) => `c${i}`);
  await db.execute(`CREATE TABLE t (${names.join()})`);
  await db.execute(`INSERT INTO t VALUES (${names.map((_, i) => i).join()})`);
  assert.equal((await dumpOf(db))[2], `INSERT INTO "t" VALUES(${names.map((_, i) => i).join()});`);
});

const path = chinook();

test("Chinook's dump is that of Python's sqlite3, and makes it again", {
  skip: path === undefined ? "the sample database is not here" : false,
}, async () => {
  await using db = await connect(path!);
  const statements = await dumpOf(db);
  assert.ok(statements.length > 10_000);
  assert.deepEqual(statements, await dumpByPython(path!));
  await using copy = await restored(statements);
  const tables = await db.executeFetchAll(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
  );
  assert.ok(tables.length > 5);
  for (const [name] of tables) {
    const sql = `SELECT * FROM "${name}" ORDER BY 1, 2`;
    assert.deepEqual(await copy.executeFetchAll(sql), await db.executeFetchAll(sql));
  }
});

test("a STRICT table is dumped and restored", async () => {
  const [major, minor] = sqliteVersionInfo();
  if (major === 3 && minor < 37) return; // before them
  const statements = await dumpOfScript("CREATE TABLE t (a INT, b ANY) STRICT;");
  assert.deepEqual(statements[1], "CREATE TABLE t (a INT, b ANY) STRICT;");
  await using db = await restored(statements);
  await assert.rejects(db.execute("INSERT INTO t VALUES ('x', 1)"), { name: "IntegrityError" });
});

test("converters have no part in a dump", async () => {
  // In a process of its own, since a converter is there for good.
  const ended = await program(`
aiosqlite.registerConverter("text", () => "converted");
await using db = await aiosqlite.connect(":memory:", { detectTypes: aiosqlite.PARSE_DECLTYPES });
await db.executeScript("CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('kept')");
const rows = await db.executeFetchAll("SELECT x FROM t");
console.log(JSON.stringify([rows, await Array.fromAsync(db.iterDump())]));
`);
  assert.equal(ended.code, 0, ended.stderr);
  assert.deepEqual(JSON.parse(ended.stdout), [[["converted"]], [
    "BEGIN TRANSACTION;",
    "CREATE TABLE t (x TEXT);",
    `INSERT INTO "t" VALUES('kept');`,
    "COMMIT;",
  ]]);
});
