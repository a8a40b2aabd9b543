import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { connect, type Connection, type ConnectOptions, objectRow, Row } from "../mod.ts";

/** A connection whose rows are of class Row. */
function connectRow(options: ConnectOptions<Row> = {}): PromiseLike<Connection<Row>> {
  return connect<Row>(":memory:", { rowFactory: Row, ...options });
}

async function one<R>(db: Connection<R>, sql: string, parameters?: unknown[]): Promise<R> {
  const row = await db.executeFetchOne(sql, parameters);
  assert.ok(row !== undefined);
  return row;
}

test("a row is an array unless a row factory is set", async () => {
  await using db = await connect(":memory:");
  assert.equal(db.rowFactory, null);
  assert.deepEqual(await db.executeFetchAll("SELECT 1 AS a, 'b' AS b"), [[1, "b"]]);
});

test("Row gives its values by index", async () => {
  await using db = await connectRow();
  const row = await one(db, "SELECT 1 AS a, NULL AS b, 'c' AS c");
  assert.ok(row instanceof Row);
  assert.equal(row.length, 3);
  assert.deepEqual([row[0], row[1], row[2], row[3], row[-1]], [1, null, "c", undefined, undefined]);
  assert.deepEqual([row.at(0), row.at(-1), row.at(-3), row.at(3)], [1, "c", 1, undefined]);
  assert.deepEqual([row.get(1), row.get(-1)], [null, "c"]);
  for (const index of [3, -4, 0.5, NaN, 2 ** 53]) assert.throws(() => row.get(index), RangeError);
});

test("Row leaves the arrays of a program in Bun as quick as they were", async () => {
  const name = "bun:jsc"; // only there; no other engine has a slow kind for all arrays
  const jsc = process.versions.bun ? await import(name) : undefined;
  const kind = () => /ArrayWith\w+/.exec(jsc?.jscDescribe([1, "a"]) ?? "")?.[0];
  await using db = await connectRow();
  const row = await one(db, "SELECT 1, 2, 3, 4, 5, 6, 7, 8");
  assert.equal(row[7], 8);
  assert.equal(kind(), jsc && "ArrayWithContiguous");
});

test("Row.get() finds a column by name, ASCII case aside, the first of several", async () => {
  await using db = await connectRow();
  const row = await one(db, 'SELECT 1 AS "Name", 2 AS name, NULL AS "a b", 4 AS "\u00ff"');
  assert.equal(row.get("name"), 1);
  assert.equal(row.get("NAME"), 1);
  assert.equal(row.get("A B"), null);
  assert.equal(row.get("\u00ff"), 4);
  for (const name of ["\u0178", "\u00df", "nope", "", "length", "get", "__proto__"]) {
    assert.throws(() => row.get(name), RangeError);
  }
});

test("Row is iterable, more than once", async () => {
  await using db = await connectRow();
  const row = await one(db, "SELECT 1 AS a, 2 AS b");
  assert.deepEqual([...row], [1, 2]);
  assert.deepEqual([...row], [1, 2]);
  assert.deepEqual(row.values(), [1, 2]);
  assert.deepEqual(row.keys(), ["a", "b"]);
});

test("Row can't be written to", async () => {
  await using db = await connectRow();
  const row = await one(db, "SELECT 1 AS a");
  row.values()[0] = 2;
  row.keys()[0] = "z";
  assert.throws(() => {
    (row as unknown as number[])[0] = 2;
  }, TypeError);
  assert.deepEqual([row[0], row.get("a"), row.keys()], [1, 1, ["a"]]);
});

test("Row.toObject() has own properties only, of any name", async () => {
  await using db = await connectRow();
  const row = await one(db, 'SELECT 1 AS "__proto__", 2 AS "constructor", 3 AS b');
  const object = row.toObject();
  assert.equal(Object.getPrototypeOf(object), null);
  assert.deepEqual(Object.entries(object), [["__proto__", 1], ["constructor", 2], ["b", 3]]);
  assert.equal(JSON.stringify(row), '{"__proto__":1,"constructor":2,"b":3}');
});

test("Row.equals() compares names and values in order", async () => {
  await using db = await connectRow();
  const of = (sql: string) => one(db, `SELECT ${sql}`);
  const row = await of("1 AS a, x'0102' AS b");
  assert.equal(row.equals(row), true);
  assert.equal(row.equals(await of("1 AS a, x'0102' AS b")), true);
  for (
    const other of [
      "1 AS a, x'0103' AS b",
      "1 AS a, x'010203' AS b",
      "'1' AS a, x'0102' AS b",
      "1 AS a, x'0102' AS c",
      "1 AS A, x'0102' AS b",
      "x'0102' AS b, 1 AS a",
      "1 AS a",
      "1 AS a, x'0102' AS b, 3 AS c",
    ]
  ) assert.equal(row.equals(await of(other)), false, other);
  assert.equal(row.equals([1, new Uint8Array([1, 2])]), false);
  assert.equal((await of("1 AS b, 2 AS a")).equals(await of("1 AS a, 2 AS b")), false);
});

test("rows of earlier results keep their own names", async () => {
  await using db = await connectRow();
  const first = await one(db, "SELECT 1 AS a");
  const second = await one(db, "SELECT 2 AS b, 3 AS c");
  assert.deepEqual([first.keys(), second.keys()], [["a"], ["b", "c"]]);
  assert.throws(() => first.get("b"), RangeError);
});

test("objectRow makes objects by column name, the last of a name counting", async () => {
  await using db = await connect(":memory:", { rowFactory: objectRow });
  const row = await one(db, 'SELECT 1 AS a, NULL AS "x y", 2 AS a, 3 AS "__proto__"');
  assert.equal(Object.getPrototypeOf(row), null);
  assert.deepEqual(Object.entries(row), [["a", 2], ["x y", null], ["__proto__", 3]]);
});

test("Row and objectRow make the rows of many batches as those of one", async () => {
  const filled = async <R>(options: ConnectOptions<R>) => {
    const db = await connect<R>(":memory:", options);
    await db.execute("CREATE TABLE t (x, pad)");
    await db.execute("INSERT INTO t SELECT value, printf('%0500d', value) FROM json_each(?)", [
      JSON.stringify(NUMBERS),
    ]);
    return db;
  };
  const NUMBERS = Array.from({ length: 1000 }, (_, i) => i);
  await using objects = await filled({ rowFactory: objectRow });
  await using rows = await filled<Row>({ rowFactory: Row });
  const all = () =>
    Promise.all([
      objects.executeFetchAll("SELECT * FROM t"),
      rows.executeFetchAll("SELECT * FROM t"),
    ]);
  const pad = (x: number) => String(x).padStart(500, "0");
  for (let i = 0; i < 2; i++) { // the columns are new, then known
    const [o, r] = await all();
    assert.deepEqual(
      o.map((row) => Object.entries(row)),
      NUMBERS.map((x) => [["x", x], ["pad", pad(x)]]),
    );
    assert.ok(o.every((row) => Object.getPrototypeOf(row) === null));
    assert.deepEqual(r.map((row) => [row.get("x"), row.at(1)]), NUMBERS.map((x) => [x, pad(x)]));
  }
  // The same text, compiled again by SQLite.
  await objects.execute("ALTER TABLE t ADD COLUMN y DEFAULT 'new'");
  await rows.execute("ALTER TABLE t RENAME COLUMN pad TO other");
  const [o, r] = await all();
  assert.ok(o.every((row) => Object.keys(row).join() === "x,pad,y" && row.y === "new"));
  assert.ok(r.every((row, i) => row.get("other") === pad(i)));
});

test("Row and objectRow know the columns after an execution that failed between two batches", async () => {
  await using db = await connect(":memory:", { rowFactory: objectRow });
  const sql = `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)
    SELECT i, printf('%0500d', i) AS pad, iif(i = ?, abs(-9223372036854775808), 0) AS z FROM c`;
  await assert.rejects(db.executeFetchAll(sql, [900]), { message: "integer overflow" });
  for (const rows of [await db.executeFetchAll(sql, [0]), await db.executeFetchAll(sql, [-1])]) {
    assert.equal(rows.length, 1000);
    assert.ok(rows.every((row, x) => row.i === x + 1 && row.z === 0 && Number(row.pad) === x + 1));
  }
});

test("a row factory is called with the cursor and the values, in every way of fetching", async () => {
  await using db = await connect(":memory:", {
    rowFactory: (cursor, [x]) => `${cursor.description?.[0]?.name}=${x}`,
  });
  const sql = "SELECT column1 AS x FROM (VALUES (1), (2), (3), (4))";
  const cursor = await db.execute(sql);
  const got = [await cursor.fetchOne(), ...await cursor.fetchMany(1)];
  for await (const row of cursor) {
    got.push(row);
    break;
  }
  got.push(...await cursor.fetchAll());
  assert.deepEqual(got, ["x=1", "x=2", "x=3", "x=4"]);
  assert.deepEqual(await db.executeFetchOne(sql), "x=1");
  assert.deepEqual(await db.executeFetchAll(sql), got);
  const looped = [];
  for await (const row of db.execute(sql)) looped.push(row);
  assert.deepEqual(looped, got);
});

test("a row factory may return undefined or null", async () => {
  await using db = await connect(":memory:", { rowFactory: () => undefined });
  const sql = "SELECT column1 FROM (VALUES (1), (2))";
  assert.deepEqual(await db.executeFetchAll(sql), [undefined, undefined]);
  let count = 0;
  for await (const _ of db.execute(sql)) count++;
  assert.equal(count, 2);
});

test("what a row factory throws is what fetching rejects with", async () => {
  const thrown = new Error("no row");
  const fail = () => {
    throw thrown;
  };
  await using db = await connect(":memory:", { rowFactory: fail });
  const same = (error: unknown) => error === thrown;
  await assert.rejects(db.executeFetchAll("SELECT 1"), same);
  await assert.rejects(db.executeFetchOne("SELECT 1"), same);
  const cursor = await db.execute("SELECT 1");
  await assert.rejects(cursor.fetchOne(), same);
  await assert.rejects(async () => {
    for await (const _ of db.execute("SELECT 1")) assert.fail();
  }, same);
});

test("a cursor takes over the row factory of its connection when it is made", async () => {
  await using db = await connect(":memory:");
  const before = db.cursor();
  db.rowFactory = Row;
  assert.equal(db.rowFactory, Row);
  const after = db.cursor();
  db.rowFactory = null;
  await Promise.all([before.execute("SELECT 1 AS a"), after.execute("SELECT 1 AS a")]);
  assert.deepEqual(await before.fetchOne(), [1]);
  assert.ok(await after.fetchOne() as unknown instanceof Row);
});

test("Cursor.rowFactory is used for the rows fetched after it is set", async () => {
  await using db = await connect(":memory:");
  const cursor = await db.execute("SELECT column1 AS a FROM (VALUES (1), (2), (3))");
  assert.deepEqual(await cursor.fetchOne(), [1]);
  cursor.rowFactory = Row;
  const row = await cursor.fetchOne() as unknown;
  assert.ok(row instanceof Row);
  assert.deepEqual([row[0], row.get("A")], [2, 2]);
  cursor.rowFactory = null;
  assert.deepEqual(await cursor.fetchOne(), [3]);
});

test("a subclass of Row may be a row factory", async () => {
  class Point extends Row {
    sum(): number {
      return (this[0] as number) + (this[1] as number);
    }
  }
  await using db = await connect<Point>(":memory:", { rowFactory: Point });
  const row = await one(db, "SELECT 1 AS x, 2 AS y");
  assert.ok(row instanceof Point);
  assert.equal(row.sum(), 3);
});

test("a bad row or text factory is refused and changes nothing", async () => {
  await using db = await connect(":memory:");
  const cursor = db.cursor();
  const refused = { name: "ProgrammingError" };
  for (const bad of ["Row", 1, {}, undefined] as unknown[]) {
    assert.throws(() => db.rowFactory = bad as null, refused);
    assert.throws(() => cursor.rowFactory = bad as null, refused);
    assert.throws(() => db.textFactory = bad as "string", refused);
  }
  assert.deepEqual([db.rowFactory, cursor.rowFactory, db.textFactory], [null, null, "string"]);
});

const TEXT = "SELECT 'hé\u{1f600}', '', 'a' || char(0) || 'b', x'00ff', NULL, 1";
const UTF8 = ["hé\u{1f600}", "", "a\0b"].map((text) => new TextEncoder().encode(text));

test("textFactory 'string' keeps NUL, a BOM and characters of any plane", async () => {
  await using db = await connect(":memory:");
  const rest = [new Uint8Array([0, 255]), null, 1];
  assert.deepEqual(await one(db, TEXT), ["hé\u{1f600}", "", "a\0b", ...rest]);
  assert.deepEqual(await one(db, "SELECT char(0xfeff) || 'x', 'y'"), ["\ufeffx", "y"]);
});

test("textFactory 'bytes' gives TEXT as bytes, and leaves other types alone", async () => {
  await using db = await connect(":memory:", { textFactory: "bytes" });
  assert.deepEqual(await one(db, TEXT), [...UTF8, new Uint8Array([0, 255]), null, 1]);
  assert.deepEqual(await one(db, "SELECT CAST(x'ff' AS TEXT)"), [new Uint8Array([255])]);
});

test("a textFactory function is given the bytes of TEXT only", async () => {
  const seen: Uint8Array[] = [];
  await using db = await connect(":memory:", { textFactory: (bytes) => seen.push(bytes) });
  assert.deepEqual(await one(db, TEXT), [1, 2, 3, new Uint8Array([0, 255]), null, 1]);
  assert.deepEqual(seen, UTF8);
});

test("what a textFactory throws is what fetching rejects with, and the next call works", async () => {
  const thrown = new Error("no text");
  await using db = await connect(":memory:");
  db.textFactory = () => {
    throw thrown;
  };
  await assert.rejects(db.executeFetchAll("SELECT 'a'"), (error) => error === thrown);
  const cursor = await db.execute("SELECT 1, 2 UNION ALL SELECT 2, 'a'");
  assert.deepEqual(await cursor.fetchOne(), [1, 2]);
  await assert.rejects(cursor.fetchOne(), (error) => error === thrown);
  db.textFactory = "string";
  assert.deepEqual(await one(db, "SELECT 'a'"), ["a"]);
});

test("text that is not UTF-8 raises OperationalError naming the column", async () => {
  await using db = await connect(":memory:");
  await assert.rejects(db.executeFetchAll("SELECT 'ok', CAST('ab' || x'ff' AS TEXT) AS col"), {
    name: "OperationalError",
    message: "Could not decode to UTF-8 column 'col' with text 'ab\ufffd'",
  });
  // Two halves of one character, each wrong by itself.
  await assert.rejects(db.executeFetchAll("SELECT CAST(x'c3' AS TEXT), CAST(x'a9' AS TEXT)"), {
    name: "OperationalError",
  });
});

const EDGES =
  "SELECT 1, -2147483649, 9007199254740991, 9007199254740992, -9223372036854775808, 0.5";

test("integers 'auto' reads a number when that is exact, else a bigint", async () => {
  await using db = await connect(":memory:");
  assert.deepEqual(
    await one(db, EDGES),
    [1, -2147483649, 9007199254740991, 2n ** 53n, -(2n ** 63n), 0.5],
  );
});

test("integers 'bigint' reads every INTEGER as a bigint", async () => {
  await using db = await connect(":memory:", { integers: "bigint" });
  assert.deepEqual(
    await one(db, EDGES),
    [1n, -2147483649n, 9007199254740991n, 2n ** 53n, -(2n ** 63n), 0.5],
  );
});

test("integers 'number' raises DataError for an unsafe one", async () => {
  await using db = await connect(":memory:", { integers: "number" });
  assert.deepEqual(await one(db, "SELECT 9007199254740991, 1"), [9007199254740991, 1]);
  await assert.rejects(db.executeFetchAll("SELECT 1, 9007199254740992 AS big"), {
    name: "DataError",
    message: /'big'/,
  });
});

test("what a row factory throws leads to the caller, by whichever call", async () => {
  const boom = new Error("boom");
  const rowFactory = () => {
    boom.stack = new Error("boom").stack!;
    throw boom;
  };
  await using db = await connect(":memory:", { rowFactory });
  const calls: Record<string, () => Promise<unknown>> = {
    fetchAll: async () => await (await db.execute("SELECT 1")).fetchAll(),
    fetchMany: async () => await (await db.execute("SELECT 1")).fetchMany(3),
    fetchOne: async () => await (await db.execute("SELECT 1")).fetchOne(),
    executeFetchAll: async () => await db.executeFetchAll("SELECT 1"),
    executeFetchOne: async () => await db.executeFetchOne("SELECT 1"),
  };
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 30;
  for (const [name, call] of Object.entries(calls)) {
    await assert.rejects(call(), boom);
    // Behind the factory's own frame, which is in this file as well.
    const frames = boom.stack!.split("\n").filter((line) => line.includes("row_test.ts"));
    assert.ok(frames.length >= 2, `${name}: ${boom.stack}`);
  }
  Error.stackTraceLimit = limit;
});

for (const rowFactory of [objectRow, Row]) {
  test(`the columns are known when results of one statement come in together, ${rowFactory.name}`, async () => {
    await using db = await connect(":memory:", { rowFactory } as ConnectOptions<Row>);
    const sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) " +
      "SELECT i AS a, 'x' || i AS b FROM n LIMIT ?";
    for (const id of [1, 2, 3]) { // of statements whose columns are not known yet
      const calls = [1, 40_000].map((limit) => db.executeFetchAll(`${sql} + 0 * ${id}`, [limit]));
      await null;
      // While this thread does not look, both are done as far as they go.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
      const [[first], rows] = await Promise.all(calls) as [Row[], Row[]];
      for (const row of [first!, ...rows]) {
        assert.deepEqual(Object.keys(row instanceof Row ? row.toObject() : row), ["a", "b"]);
      }
    }
  });
}
