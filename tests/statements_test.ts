import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Connection } from "../mod.ts";
import { file } from "./helpers.ts";

/** With 0, 1 and fewer kept statements than are used, and with enough of them. */
const SIZES = [0, 1, 3, 128];

/** Rows that are far more than one batch. */
const MANY = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
  SELECT i, printf('%0500d', i) FROM n`;

async function each(work: (db: Connection, size: number) => Promise<void>): Promise<void> {
  for (const cachedStatements of SIZES) {
    await using db = await connect(":memory:", { cachedStatements });
    await work(db, cachedStatements);
  }
}

test("a statement run again gives its new result, however many are kept", async () => {
  await each(async (db) => {
    await db.execute("CREATE TABLE t (x)");
    for (let i = 1; i <= 5; i++) {
      await db.execute("INSERT INTO t VALUES (?)", [i]);
      assert.deepEqual(await db.executeFetchAll("SELECT count(*), sum(x) FROM t"), [
        [i, i * (i + 1) / 2],
      ]);
    }
  });
});

test("more statements than are kept may be interleaved", async () => {
  await each(async (db) => {
    const calls = [];
    for (let i = 0; i < 400; i++) {
      const which = (i * i) % 7;
      calls.push(db.executeFetchAll(`SELECT ${which} AS c${which}, ?`, [i]));
    }
    const results = await Promise.all(calls);
    assert.deepEqual(results, results.map((_, i) => [[(i * i) % 7, i]]));
  });
});

test("more results than statements are kept may be read at once", async () => {
  await each(async (db) => {
    const cursors = await Promise.all(
      Array.from({ length: 6 }, (_, i) => db.execute(`SELECT ${i}, * FROM (${MANY})`)),
    );
    for (const [i, cursor] of cursors.entries()) {
      assert.deepEqual(cursor.description?.[0]?.name, String(i));
      assert.deepEqual((await cursor.fetchOne())?.slice(0, 2), [i, 1]);
    }
    for (const [i, cursor] of cursors.toReversed().entries()) {
      const rest = await cursor.fetchAll();
      assert.equal(rest.length, 1999);
      assert.deepEqual(rest.at(-1)?.slice(0, 2), [5 - i, 2000]);
    }
  });
});

test("one SQL text open in three cursors gives each its own rows", async () => {
  await each(async (db) => {
    const sql = `SELECT ?, * FROM (${MANY})`;
    const [a, b, c] = [db.cursor(), db.cursor(), db.cursor()];
    await Promise.all([a.execute(sql, ["a"]), b.execute(sql, ["b"]), c.execute(sql, ["c"])]);
    assert.deepEqual((await a.fetchOne())?.slice(0, 2), ["a", 1]);
    assert.deepEqual((await b.fetchMany(2)).map((row) => row.slice(0, 2)), [["b", 1], ["b", 2]]);
    assert.deepEqual((await c.fetchOne())?.slice(0, 2), ["c", 1]);
    await a.close();
    assert.deepEqual((await b.fetchOne())?.slice(0, 2), ["b", 3]);
    await b.execute(sql, ["d"]);
    assert.deepEqual((await c.fetchAll()).map((row) => row[0] + "" + row[1]).at(-1), "c2000");
    assert.deepEqual((await b.fetchAll()).length, 2000);
  });
});

test("a small result of a text whose large result is being read is right", async () => {
  await each(async (db) => {
    const sql = `${MANY} LIMIT ?`;
    const cursor = await db.execute(sql, [2000]);
    assert.deepEqual((await cursor.fetchOne())?.[0], 1);
    const small = await db.execute(sql, [1]);
    assert.deepEqual(small.description?.map(({ name }) => name), ["i", "printf('%0500d', i)"]);
    assert.deepEqual(await small.fetchAll(), [[1, "1".padStart(500, "0")]]);
    assert.deepEqual(await db.executeFetchOne(sql, [0]), undefined);
    assert.equal((await cursor.fetchAll()).length, 1999);
  });
});

test("a text too long to be kept works, more than once", async () => {
  await using db = await connect(":memory:");
  const sql = `SELECT 1 AS a -- ${"x".repeat(100_000)}`;
  for (let i = 0; i < 3; i++) {
    const cursor = await db.execute(sql);
    assert.deepEqual(cursor.description, [{ name: "a", declaredType: null }]);
    assert.deepEqual(await cursor.fetchAll(), [[1]]);
  }
});

test("a statement given up while its result is read goes on", async () => {
  await using db = await connect(":memory:", { cachedStatements: 1 });
  const cursor = await db.execute(MANY);
  assert.deepEqual((await cursor.fetchOne())?.[0], 1);
  assert.deepEqual(await db.executeFetchAll("SELECT 1"), [[1]]);
  assert.deepEqual(await db.executeFetchAll("SELECT 2"), [[2]]);
  assert.deepEqual((await db.executeFetchOne(MANY))?.[0], 1);
  assert.deepEqual((await cursor.fetchAll()).map(([x]) => x).at(-1), 2000);
});

test("columns are those of now after ALTER TABLE", async () => {
  await each(async (db) => {
    await db.execute("CREATE TABLE t (a INTEGER)");
    await db.execute("INSERT INTO t VALUES (1)");
    const sql = "SELECT * FROM t";
    const cursor = await db.execute(sql);
    const columns = () => cursor.description?.map((c) => `${c.name} ${c.declaredType}`);
    assert.deepEqual([columns(), await cursor.fetchAll()], [["a INTEGER"], [[1]]]);
    await db.execute("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'x'");
    await cursor.execute(sql);
    assert.deepEqual([columns(), await cursor.fetchAll()], [["a INTEGER", "b TEXT"], [[1, "x"]]]);
    await db.execute("ALTER TABLE t RENAME COLUMN a TO c");
    await cursor.execute(sql);
    assert.deepEqual([columns(), await cursor.fetchAll()], [["c INTEGER", "b TEXT"], [[1, "x"]]]);
    await db.execute("ALTER TABLE t DROP COLUMN c");
    await cursor.execute(sql);
    assert.deepEqual([columns(), await cursor.fetchAll()], [["b TEXT"], [["x"]]]);
  });
});

test("columns are those of now after a table is made again", async () => {
  await each(async (db) => {
    await db.executeScript("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1)");
    const sql = "SELECT * FROM t";
    assert.deepEqual(await db.executeFetchAll(sql), [[1]]);
    await db.execute("DROP TABLE t");
    await assert.rejects(db.executeFetchAll(sql), { message: "no such table: t" });
    await db.executeScript("CREATE TABLE t (b BLOB, c TEXT); INSERT INTO t VALUES (2, 'c')");
    const cursor = await db.execute(sql);
    assert.deepEqual(cursor.description, [
      { name: "b", declaredType: "BLOB" },
      { name: "c", declaredType: "TEXT" },
    ]);
    assert.deepEqual(await cursor.fetchAll(), [[2, "c"]]);
  });
});

test("columns are those of now after another connection changed the schema", async () => {
  const path = file();
  await using db = await connect(path);
  await using other = await connect(path);
  await db.execute("CREATE TABLE t (a)");
  const sql = "SELECT * FROM t";
  const cursor = await db.execute(sql);
  assert.deepEqual(cursor.description?.map(({ name }) => name), ["a"]);
  await other.executeScript("ALTER TABLE t ADD COLUMN b; INSERT INTO t VALUES (1, 2)");
  await cursor.execute(sql);
  assert.deepEqual(cursor.description?.map(({ name }) => name), ["a", "b"]);
  assert.deepEqual(await cursor.fetchAll(), [[1, 2]]);
});

test("an INSERT that is kept follows a schema change", async () => {
  await each(async (db) => {
    const sql = "INSERT INTO t VALUES (?, ?)";
    await db.execute("CREATE TABLE t (a, b)");
    await db.executeMany(sql, [[1, 2]]);
    await db.execute("DROP TABLE t");
    await db.execute("CREATE TABLE t (a, b, c DEFAULT 3)");
    await assert.rejects(db.executeMany(sql, [[1, 2]]), {
      message: "table t has 3 columns but 2 values were supplied",
    });
    await db.execute("ALTER TABLE t DROP COLUMN c");
    await db.executeMany(sql, [[5, 6]]);
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), [[5, 6]]);
  });
});

test("a text that could not be compiled works once it can be", async () => {
  await each(async (db) => {
    const sql = "SELECT x FROM t";
    for (let i = 0; i < 2; i++) {
      await assert.rejects(db.execute(sql), { message: "no such table: t" });
    }
    await db.execute("CREATE TABLE t (x)");
    const cursor = await db.execute(sql);
    assert.deepEqual(cursor.description, [{ name: "x", declaredType: null }]);
    await assert.rejects(db.execute("SELECT nope FROM t"));
    assert.deepEqual(await (await cursor.execute(sql)).fetchAll(), []);
  });
});

test("bindings do not outlive a call", async () => {
  await each(async (db) => {
    const sql = "SELECT ?1, ?2";
    assert.deepEqual(await db.executeFetchAll(sql, ["x".repeat(100_000), 2]), [
      ["x".repeat(100_000), 2],
    ]);
    await assert.rejects(db.execute(sql), { name: "ProgrammingError" });
    await assert.rejects(db.execute(sql, [1]), { name: "ProgrammingError" });
    assert.deepEqual(await db.executeFetchAll(sql, [null, 3]), [[null, 3]]);
  });
});

test("executeMany() works however many statements are kept, queries in between included", async () => {
  await each(async (db, size) => {
    await db.executeScript("CREATE TABLE t (x, y); CREATE TABLE u (x)");
    async function* sets() {
      for (let i = 0; i < 2000; i++) {
        if (i % 500 === 0) await db.execute("INSERT INTO u VALUES (?)", [i]);
        yield [i, "y".repeat(100)];
      }
    }
    const cursor = await db.executeMany("INSERT INTO t VALUES (?, ?)", sets());
    assert.equal(cursor.rowCount, 2000, `${size} kept`);
    assert.deepEqual(await db.executeFetchAll("SELECT count(*), sum(x) FROM t"), [[2000, 1999000]]);
    assert.deepEqual(await db.executeFetchAll("SELECT x FROM u"), [[0], [500], [1000], [1500]]);
  });
});

test("150 results may be open when the connection is closed", async () => {
  const path = file();
  await using other = await connect(path, { timeout: 0 });
  await other.executeScript(
    `CREATE TABLE t (x); INSERT INTO t SELECT x FROM (${
      MANY.replace("i,", "").replace(") FROM n", ") AS x FROM n")
    })`,
  );
  const db = await connect(path);
  for (let i = 0; i < 150; i++) await db.execute(`SELECT ${i}, x FROM t`);
  await db.close();
  await other.execute("DROP TABLE t");
});

const REFUSED = [
  "select 1; select 2",
  "select 1; // c++ comment",
  "select 1; *not",
  "select 1; -*not",
  "select 1; /* */ a",
  "select 1; /**/a",
  "select 1; -",
  "select 1; /",
  "select 1; -\n- select 2",
  "select 1; -- comment\n select 2",
  "select 1;;",
  "create table v (x); drop table v",
];

for (const sql of REFUSED) {
  test(`${JSON.stringify(sql)} is refused as more than one statement`, async () => {
    await using db = await connect(":memory:");
    await assert.rejects(db.execute(sql), {
      name: "ProgrammingError",
      message: "You can only execute one statement at a time.",
    });
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM sqlite_master"), []);
  });
}

const ALLOWED = [
  "select 1;",
  "select 1; ",
  "select 1; -- foo bar",
  "select 1; --",
  "select 1; /*",
  "select 1; /* a */ -- b\n\t\r\f",
  "select 1;\n-- x\n/**/\n",
  "-- leading\n/* too */ select 1",
  "select 1 -- 'a; b'",
];

for (const sql of ALLOWED) {
  test(`${JSON.stringify(sql)} is one statement`, async () => {
    await using db = await connect(":memory:");
    assert.deepEqual(await db.executeFetchAll(sql), [[1]]);
    assert.deepEqual(await db.executeFetchAll(sql), [[1]]);
  });
}

test("a text without a statement does nothing", async () => {
  await each(async (db) => {
    for (const sql of ["", " ", ";", "-- comment", "/* c */", "/* c"]) {
      for (let i = 0; i < 2; i++) {
        const cursor = await db.execute(sql);
        assert.deepEqual([cursor.description, cursor.rowCount], [null, -1]);
        assert.deepEqual(await cursor.fetchAll(), []);
        assert.equal(await db.executeInsert(sql), undefined);
      }
    }
  });
});

test("executeScript() runs statement after statement to its end", async () => {
  await using db = await connect(":memory:");
  for (const script of ["", ";;;", " -- a\n", "/* a", "\n;\n"]) await db.executeScript(script);
  await db.executeScript(`-- comment
    CREATE TABLE t (x); /* ; */
    INSERT INTO t VALUES (';'), ('--');
    CREATE TRIGGER r AFTER DELETE ON t BEGIN INSERT INTO t VALUES ('gone'); SELECT 1; END;
    ${MANY};
    DELETE FROM t WHERE x = ';'`);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [["--"], ["gone"]]);
  assert.equal(db.inTransaction, false);
});

test("executeScript() stops at the first error, and what was done before stays", async () => {
  await using db = await connect(":memory:");
  await assert.rejects(
    db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1); nonsense; DROP TABLE t"),
    { name: "OperationalError" },
  );
  await assert.rejects(
    db.executeScript("INSERT INTO t VALUES (2); SELECT abs(-9223372036854775808); DROP TABLE t"),
    { name: "OperationalError", message: "integer overflow" },
  );
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1], [2]]);
});
