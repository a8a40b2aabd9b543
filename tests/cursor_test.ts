import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { connect, type Connection, type ConnectOptions, Cursor } from "../mod.ts";
import { file, program } from "./helpers.ts";

/** Fills t (x, pad) with x = 1, 2, ...; 2000 rows are far more than one batch. */
const FILL = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
  INSERT INTO t SELECT i, printf('%0500d', i) FROM n`;

async function numbers(
  count: number,
  options: ConnectOptions & { path?: string } = {},
): Promise<Connection> {
  const { path = ":memory:", ...rest } = options;
  const db = await connect(path, rest);
  await db.execute("CREATE TABLE t (x, pad)");
  await db.execute(FILL, [count]);
  await db.commit();
  return db;
}

const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, i) => i + from);

test("Connection.cursor() returns a cursor without a result", async () => {
  await using db = await connect(":memory:");
  const cursor = db.cursor();
  assert.ok(cursor instanceof Cursor);
  assert.equal(cursor.connection, db);
  assert.equal(cursor.rowCount, -1);
  assert.equal(cursor.lastRowId, undefined);
  assert.equal(cursor.description, null);
  assert.equal(cursor.arraySize, 1);
  assert.equal(cursor.iterChunkSize, 64);
  assert.equal(cursor.rowFactory, null);
  assert.equal(await cursor.fetchOne(), undefined);
  assert.deepEqual(await cursor.fetchMany(2), []);
  assert.deepEqual(await cursor.fetchAll(), []);
  for await (const row of cursor) assert.fail(String(row));
});

test("Cursor.execute(), executeMany() and executeScript() resolve to the same cursor", async () => {
  await using db = await connect(":memory:");
  const cursor = db.cursor();
  assert.equal(await cursor.executeScript("CREATE TABLE t (x)"), cursor);
  assert.equal(await cursor.executeMany("INSERT INTO t VALUES (?)", [[1]]), cursor);
  assert.equal(await cursor.execute("SELECT x FROM t"), cursor);
});

test("Cursor.fetchOne() returns row after row, then undefined", async () => {
  await using db = await numbers(2);
  const cursor = await db.execute("SELECT x FROM t");
  assert.deepEqual(await cursor.fetchOne(), [1]);
  assert.deepEqual(await cursor.fetchOne(), [2]);
  assert.equal(await cursor.fetchOne(), undefined);
  assert.equal(await cursor.fetchOne(), undefined);
});

test("Cursor.fetchMany() returns arraySize rows unless told how many", async () => {
  await using db = await numbers(6);
  const cursor = await db.execute("SELECT x FROM t");
  assert.deepEqual(await cursor.fetchMany(), [[1]]);
  cursor.arraySize = 2;
  assert.deepEqual(await cursor.fetchMany(), [[2], [3]]);
  assert.deepEqual(await cursor.fetchMany(0), []);
  assert.deepEqual(await cursor.fetchMany(1), [[4]]);
  assert.deepEqual(await cursor.fetchMany(100), [[5], [6]]);
});

test("Cursor.fetchMany() returns [] when exhausted", async () => {
  await using db = await numbers(2);
  const cursor = await db.execute("SELECT x FROM t");
  assert.equal((await cursor.fetchMany(100)).length, 2);
  assert.deepEqual(await cursor.fetchMany(100), []);
  assert.deepEqual(await cursor.fetchAll(), []);
});

test("Cursor.fetchAll() returns the rows that are left, then []", async () => {
  await using db = await numbers(3);
  const cursor = await db.execute("SELECT x FROM t");
  await cursor.fetchOne();
  assert.deepEqual(await cursor.fetchAll(), [[2], [3]]);
  assert.deepEqual(await cursor.fetchAll(), []);
});

test("the ways of fetching continue one another in a large result", async () => {
  await using db = await numbers(2000);
  const cursor = await db.execute("SELECT x, pad FROM t ORDER BY x");
  const got = [await cursor.fetchOne(), ...await cursor.fetchMany(700)];
  for await (const row of cursor) {
    got.push(row);
    if (got.length === 1000) break;
  }
  got.push(...await cursor.fetchMany(1), ...await cursor.fetchAll());
  assert.deepEqual(got.map((row) => row?.[0]), upTo(2000));
  assert.ok(got.every((row) => row?.[1] === String(row?.[0]).padStart(500, "0")));
});

test("a bad size is refused and changes nothing", async () => {
  await using db = await numbers(2);
  const cursor = await db.execute("SELECT x FROM t");
  for (const bad of [-1, 1.5, NaN, 2 ** 31, "1" as unknown as number]) {
    await assert.rejects(cursor.fetchMany(bad), { name: "ProgrammingError" });
    assert.throws(() => cursor.arraySize = bad, { name: "ProgrammingError" });
    assert.throws(() => cursor.iterChunkSize = bad, { name: "ProgrammingError" });
  }
  assert.throws(() => cursor.iterChunkSize = 0, { name: "ProgrammingError" });
  assert.equal(cursor.arraySize, 1);
  assert.equal(cursor.iterChunkSize, 64);
  assert.deepEqual(await cursor.fetchAll(), [[1], [2]]);
});

test("leaving a for await loop early loses no row", async () => {
  for (const [count, iterChunkSize] of [[5, 2], [2000, 64], [2000, 1]] as const) {
    await using db = await numbers(count, { iterChunkSize });
    const cursor = await db.execute("SELECT x, pad FROM t ORDER BY x");
    assert.equal(cursor.iterChunkSize, iterChunkSize);
    for await (const [x] of cursor) {
      assert.equal(x, 1);
      break;
    }
    const seen = [];
    for await (const [x] of cursor) {
      seen.push(x);
      if (x === 3) break;
    }
    assert.deepEqual(seen, [2, 3]);
    assert.deepEqual((await cursor.fetchAll()).map(([x]) => x), upTo(count - 3, 4));
  }
});

test("for await over execute() yields all rows of a large result in order", async () => {
  await using db = await numbers(2000);
  const seen = [];
  for await (const [x] of db.execute("SELECT x, pad FROM t ORDER BY x")) seen.push(x);
  assert.deepEqual(seen, upTo(2000));
});

test("two tasks that iterate over one cursor share its rows", async () => {
  await using db = await numbers(2000);
  const cursor = await db.execute("SELECT x, pad FROM t ORDER BY x");
  const take = async () => {
    const rows: number[] = [];
    for await (const [x] of cursor) rows.push(x as number);
    return rows;
  };
  const [a, b] = await Promise.all([take(), take()]);
  assert.ok(a.length > 0 && b.length > 0);
  assert.deepEqual([...a, ...b].sort((x, y) => x - y), upTo(2000));
});

test("fetches made at once get each row once", async () => {
  await using db = await numbers(2000);
  const cursor = await db.execute("SELECT x, pad FROM t ORDER BY x");
  const rows = await Promise.all(upTo(2001).map(() => cursor.fetchOne()));
  assert.deepEqual(rows.map((row) => row?.[0]), [...upTo(2000), undefined]);
});

test("a fetch made right after execute() waits for its rows", async () => {
  await using db = await connect(":memory:");
  const cursor = db.cursor();
  const [, row] = await Promise.all([cursor.execute("SELECT 1"), cursor.fetchOne()]);
  assert.deepEqual(row, [1]);
});

test("re-using a cursor while it fetches mixes no rows of the two results", async () => {
  await using db = await numbers(2000);
  const cursor = await db.execute("SELECT x, pad FROM t ORDER BY x");
  const former = cursor.fetchMany(2000);
  await cursor.execute("SELECT -x, pad FROM t ORDER BY x");
  const latter = await cursor.fetchAll();
  assert.deepEqual(latter.map(([x]) => x), upTo(2000).map((x) => -x));
  assert.ok((await former).every(([x]) => (x as number) > 0));
});

test("re-using a cursor whose former rows turn out undecodable loses no row", async () => {
  await using db = await numbers(2000);
  const bad = "SELECT CASE WHEN x > 200 THEN CAST(x'ff' AS TEXT) ELSE x END, pad FROM t ORDER BY x";
  const cursor = await db.execute(bad);
  const former = cursor.fetchMany(150).catch(() => {}); // what it gives is not what this is about
  await cursor.execute("SELECT x, pad FROM t ORDER BY x");
  await former;
  assert.equal((await cursor.fetchAll()).length, 2000);
});

test("Cursor.rowCount counts changed rows, and is -1 for anything else", async () => {
  await using db = await connect(":memory:");
  const cursor = db.cursor();
  const counts = [];
  for (
    const sql of [
      "CREATE TABLE t (x)",
      "INSERT INTO t VALUES (1), (2), (3)",
      "SELECT x FROM t",
      "-- comment\nUPDATE t SET x = x + 1 WHERE x > 1",
      "/* -- messy *r /* /* ** *- *-- */\n/**//* */ update t set x = 0",
      "UPDATE t SET x = 5 WHERE 0",
      "INSERT INTO t VALUES (7), (8) RETURNING x",
      "REPLACE INTO t VALUES (9)",
      "DELETE FROM t",
    ]
  ) counts.push((await cursor.execute(sql)).rowCount);
  assert.deepEqual(counts, [-1, 3, -1, 2, 3, 0, 2, 1, 6]);
  assert.equal((await cursor.executeMany("INSERT INTO t VALUES (?)", [[1], [2]])).rowCount, 2);
  assert.equal((await cursor.executeMany("UPDATE t SET x = ?", [[1], [2]])).rowCount, 4);
  await db.commit();
  assert.equal((await cursor.execute("VACUUM")).rowCount, -1);
});

test("Cursor.lastRowId is that of the last row this cursor inserted", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)");
  const cursor = await db.execute("INSERT INTO t (u) VALUES (?)", ["a"]);
  assert.equal(cursor.lastRowId, 1);
  assert.equal((await cursor.execute("REPLACE INTO t (u) VALUES ('a')")).lastRowId, 2);
  assert.equal((await cursor.execute("INSERT OR REPLACE INTO t (u) VALUES ('a')")).lastRowId, 3);
  assert.equal((await cursor.execute("INSERT OR IGNORE INTO t (u) VALUES ('a')")).lastRowId, 3);
  for (const how of ["FAIL", "ABORT"]) {
    await assert.rejects(cursor.execute(`INSERT OR ${how} INTO t (u) VALUES ('a')`));
    assert.equal(cursor.lastRowId, 3);
  }
  assert.equal((await cursor.execute("UPDATE t SET u = 'b'")).lastRowId, 3);
  assert.equal((await cursor.execute("SELECT * FROM t")).lastRowId, 3);
  await cursor.executeMany("INSERT INTO t (u) VALUES (?)", [["x"], ["y"]]);
  assert.equal(cursor.lastRowId, 3);
  const huge = 2n ** 62n;
  assert.equal((await cursor.execute("INSERT INTO t (id) VALUES (?)", [huge])).lastRowId, huge);
});

test("Cursor.lastRowId stays undefined when WITH leads to a DELETE", async () => {
  await using db = await numbers(2);
  const cursor = await db.execute("WITH a AS (SELECT 1) DELETE FROM t");
  assert.equal(cursor.lastRowId, undefined);
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [0]);
});

test("Cursor.description names the columns and their declared types", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute(
    "CREATE TABLE t (id INTEGER PRIMARY KEY, n VARCHAR(10) NOT NULL)",
  );
  const described = () => cursor.description; // a call, since a checked property stays checked
  assert.equal(described(), null);
  await cursor.execute("SELECT id, n AS name, id + 1, n FROM t");
  assert.deepEqual(described(), [
    { name: "id", declaredType: "INTEGER" },
    { name: "name", declaredType: "VARCHAR(10)" },
    { name: "id + 1", declaredType: null },
    { name: "n", declaredType: "VARCHAR(10)" },
  ]);
  await cursor.execute('WITH one AS (SELECT 1 AS a) SELECT a AS "x y [bar]" FROM one');
  assert.deepEqual(described()?.map(({ name }) => name), ["x y [bar]"]);
  await cursor.execute("INSERT INTO t VALUES (1, 'a')");
  assert.equal(described(), null);
  await cursor.execute("INSERT INTO t VALUES (2, 'b') RETURNING n");
  assert.deepEqual(described(), [{ name: "n", declaredType: "VARCHAR(10)" }]);
});

test("RETURNING has run to its end before its rows are fetched", async () => {
  await using db = await numbers(0);
  const cursor = await db.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b') RETURNING x");
  await db.commit();
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await cursor.fetchAll(), [[1], [2]]);
});

test("every method of a closed cursor rejects", async () => {
  await using db = await numbers(2000);
  const cursor = await db.execute("SELECT x, pad FROM t");
  await Promise.all([cursor.close(), cursor.close()]);
  await cursor.close();
  const closed = { name: "ProgrammingError", message: "Cannot operate on a closed cursor." };
  await assert.rejects(cursor.execute("SELECT 1"), closed);
  await assert.rejects(cursor.executeMany("INSERT INTO t VALUES (?, ?)", [[1, 2]]), closed);
  await assert.rejects(cursor.executeScript("SELECT 1"), closed);
  await assert.rejects(cursor.fetchOne(), closed);
  await assert.rejects(cursor.fetchMany(1), closed);
  await assert.rejects(cursor.fetchAll(), closed);
  await assert.rejects(cursor[Symbol.asyncIterator]().next(), closed);
});

test("every method of a closed connection's cursor rejects, but close()", async () => {
  const db = await numbers(3);
  const cursor = await db.execute("SELECT x FROM t");
  await db.close();
  const closed = { name: "ProgrammingError", message: "Cannot operate on a closed database." };
  await assert.rejects(cursor.execute("SELECT 1"), closed);
  await assert.rejects(cursor.fetchOne(), closed);
  await assert.rejects(cursor.fetchMany(1), closed);
  await assert.rejects(cursor.fetchAll(), closed);
  await assert.rejects(cursor[Symbol.asyncIterator]().next(), closed);
  await cursor.close();
});

/** Ways to be done with a cursor that has rows left, after which it must hold no lock. */
const ENDS: Record<string, (cursor: Cursor) => Promise<unknown>> = {
  "read to its end": (cursor) => cursor.fetchAll(),
  "closed": (cursor) => cursor.close(),
  "disposed of": async (cursor) => {
    await using _ = cursor;
  },
  "re-used by execute()": (cursor) => cursor.execute("SELECT 1"),
  "re-used by a failing execute()": (cursor) => assert.rejects(cursor.execute("SELECT nope")),
  "re-used by executeMany()": (cursor) =>
    cursor.executeMany("INSERT INTO temp.s VALUES (?)", [[1]]).then(() =>
      cursor.connection.commit()
    ),
  "re-used by executeScript()": (cursor) => cursor.executeScript("SELECT 1"),
  "closed while it fetches": async (cursor) => {
    await Promise.all([cursor.fetchAll(), cursor.close()].map((done) => done.catch(() => {})));
  },
  "closed while it executes": async (cursor) => {
    const executing = cursor.execute("SELECT x, pad FROM t");
    await cursor.close();
    await executing.catch(() => {});
  },
};

for (const [how, end] of Object.entries(ENDS)) {
  test(`a cursor ${how} holds no lock`, async () => {
    const path = file();
    await using db = await numbers(2000, { path });
    await using other = await connect(path, { timeout: 0, isolationLevel: null });
    await db.execute("CREATE TEMP TABLE s (x)");
    const cursor = await db.execute("SELECT x, pad FROM t");
    const write = "INSERT INTO t VALUES (0, '')";
    await assert.rejects(other.execute(write), { code: "SQLITE_BUSY" });
    await end(cursor);
    assert.equal((await other.execute(write)).rowCount, 1);
    await db.execute("DROP TABLE t");
  });
}

test("a loop over execute() that is left holds no lock", async () => {
  await using db = await numbers(2000);
  for await (const [x] of db.execute("SELECT x, pad FROM t")) if (x === 2) break;
  await db.execute("DROP TABLE t");
});

test("a cursor that is forgotten holds no lock once it is collected", async () => {
  const { code, stdout, stderr } = await program(
    `
    const gc = globalThis.gc ?? (() => globalThis.Bun.gc(true));
    const db = await aiosqlite.connect(":memory:");
    await db.execute("CREATE TABLE t (x)");
    await db.execute("INSERT INTO t VALUES (zeroblob(100000)), (zeroblob(100000)), (0)");
    await db.commit();
    for (let i = 0; i < 500; i++) await db.execute("SELECT x FROM t");
    let tries = 0;
    for (; tries < 500; tries++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (await db.execute("DROP TABLE t").then(() => true, () => false)) break;
    }
    console.log(tries > 0 && tries < 500 ? "free" : tries);
    await db.close();`,
    [],
    { env: { NODE_OPTIONS: "--expose-gc", DENO_V8_FLAGS: "--expose-gc" } },
  );
  assert.deepEqual([code, stdout.trim(), stderr.trim()], [0, "free", ""]);
});

test("for await gives others a turn within the rows that have come in at once", async () => {
  await using db = await numbers(1000);
  let turns = 0;
  let rows = 0;
  for await (const [x] of db.execute("SELECT x FROM t")) {
    rows++;
    if (x === 1) setImmediate(() => turns++);
    if (turns > 0) break;
    if (rows % 50 > 0) continue;
    for (const start = performance.now(); performance.now() - start < 5;); // it takes its time
  }
  assert.ok(rows < 500, `no turn within ${rows} rows`);
});

test("rows are read ahead, but not without bound", async () => {
  await using db = await numbers(20_000);
  const cursor = await db.execute("SELECT x, pad FROM t");
  const seen: unknown[] = [];
  for await (const [x] of cursor) {
    seen.push(x);
    if (x === 1) await db.execute("UPDATE t SET x = -x WHERE x > 10000"); // the worker has time
  }
  assert.deepEqual(seen.slice(0, 1000), upTo(1000));
  assert.equal(seen.length, 20_000);
  assert.equal(seen.at(-1), -20_000); // what was read later is what was written before
});

test("a loop over an execute() that fails closes its cursor", async () => {
  const fail = () => {
    throw new Error("no row");
  };
  for (const failing of [{ rowFactory: fail }, { textFactory: fail }]) {
    await using db = await numbers(2000);
    Object.assign(db, failing);
    const loop = async () => {
      for await (const row of db.execute("SELECT x, pad FROM t")) assert.fail(String(row));
    };
    await assert.rejects(loop(), { message: "no row" });
    await db.execute("DROP TABLE t"); // which a result that is being read would not let through
  }
});

test("a loop over a cursor that fails leaves it open: the rows behind are there", async () => {
  await using db = await numbers(2000);
  await using cursor = db.cursor();
  await cursor.execute("SELECT x FROM t, (SELECT 1 UNION SELECT 2)");
  let made = 0;
  cursor.rowFactory = (_, [x]) => {
    if (++made === 2) throw new Error("no row");
    return [x!];
  };
  const loop = async () => {
    for await (const _ of cursor);
  };
  await assert.rejects(loop(), { message: "no row" });
  cursor.rowFactory = null;
  assert.equal((await cursor.fetchAll()).length, 3998);
});
