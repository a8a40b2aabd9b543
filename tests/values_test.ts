import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Connection, type SqlParameters, type SqlValue } from "../mod.ts";
import { program } from "./helpers.ts";

const SAFE = Number.MAX_SAFE_INTEGER;
const MAX = 2n ** 63n - 1n;
const MIN = -(2n ** 63n);

/** Binds one value and reads it back, with its type in SQLite. */
async function trip(db: Connection, value: unknown): Promise<SqlValue[] | undefined> {
  return await db.executeFetchOne("SELECT ?1, typeof(?1)", [value]);
}

/** What the types would not let through. */
const bad = (parameters: unknown): SqlParameters => parameters as SqlParameters;

test("NULL is null both ways", async () => {
  await using db = await connect(":memory:");
  assert.deepEqual(await trip(db, null), [null, "null"]);
});

test("integers are exact both ways: number when safe, bigint when not", async () => {
  await using db = await connect(":memory:");
  for (const n of [0, 1, -1, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, SAFE, -SAFE]) {
    assert.deepEqual(await trip(db, n), [n, "integer"]);
    assert.deepEqual(await trip(db, BigInt(n)), [n, "integer"]);
  }
  for (const n of [2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n), -(2n ** 53n) - 1n, MAX, MIN]) {
    assert.deepEqual(await trip(db, n), [n, "integer"]);
  }
  for (const n of [123456789123456789n, 4611686018427387905n, MAX - 1n, MIN + 1n]) {
    assert.deepEqual(await trip(db, n), [n, "integer"]);
  }
});

test("integers that SQL made are exact, too", async () => {
  await using db = await connect(":memory:");
  assert.deepEqual(
    await db.executeFetchOne(
      "SELECT 9007199254740991, 9007199254740992, 9007199254740993, -9007199254740991, " +
        "-9007199254740993, 9223372036854775807, -9223372036854775808",
    ),
    [SAFE, 2n ** 53n, 2n ** 53n + 1n, -SAFE, -(2n ** 53n) - 1n, MAX, MIN],
  );
});

test("an integer out of 64 bits is refused with a DataError and nothing is inserted", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  for (const n of [MAX + 1n, MIN - 1n, 2n ** 64n, -(2n ** 64n), 2n ** 200n]) {
    await assert.rejects(db.execute("INSERT INTO t VALUES (?)", [n]), {
      name: "DataError",
      message: /parameter 1/,
    });
    await assert.rejects(db.execute("INSERT INTO t VALUES (:n)", { n }), {
      name: "DataError",
      message: /parameter :?n/,
    });
    await assert.rejects(db.executeMany("INSERT INTO t VALUES (?)", [[n]]), { name: "DataError" });
  }
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
});

test("a number that is not a safe integer is a REAL, and stays what it is", async () => {
  await using db = await connect(":memory:");
  for (const n of [0.5, -0, 1e300, 5e-324, 2 ** 53, -(2 ** 53), 2 ** 63, Infinity, -Infinity]) {
    const [value, type] = (await trip(db, n))!;
    assert.ok(Object.is(value, n), `${n} became ${value}`);
    assert.equal(type, "real");
  }
});

test("minus zero and the infinities survive being stored", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.executeMany("INSERT INTO t VALUES (?)", [[-0], [Infinity], [-Infinity]]);
  const rows = await db.executeFetchAll("SELECT x FROM t");
  assert.ok(Object.is(rows[0]![0], -0));
  assert.deepEqual(rows.slice(1), [[Infinity], [-Infinity]]);
});

test("NaN is bound as NULL", async () => {
  await using db = await connect(":memory:");
  assert.deepEqual(await trip(db, NaN), [null, "null"]);
});

test("booleans are bound as 0 and 1", async () => {
  await using db = await connect(":memory:");
  assert.deepEqual(await trip(db, true), [1, "integer"]);
  assert.deepEqual(await trip(db, false), [0, "integer"]);
});

test("text comes back unit by unit: NUL, BOM, non-BMP, empty and long", async () => {
  await using db = await connect(":memory:");
  const long = "x".repeat(39);
  for (
    const text of [
      "",
      "\0",
      "a\0b\0",
      "\ufeffBOM",
      "\ufeff",
      "😀",
      "a😀\u{10ffff}é€\uffff",
      long,
      long + "é",
      long + "xx",
      long + "😀",
      "é".repeat(70_000),
      "a".repeat(70_000) + "😀",
    ]
  ) assert.deepEqual(await trip(db, text), [text, "text"]);
});

test("the texts of a batch are cut where they were, whatever their scripts", async () => {
  const texts = ["\ufeffa", "", "é", "plain", "😀\0", "\ufeff", "日本", "", "z"];
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (a, b)");
  await db.executeMany("INSERT INTO t VALUES (?, ?)", texts.map((a, i) => [a, texts.at(-i)]));
  assert.deepEqual(
    await db.executeFetchAll("SELECT a, b FROM t"),
    texts.map((a, i) => [a, texts.at(-i)]),
  );
});

test("text of a database in UTF-16 is the same text", async () => {
  await using db = await connect(":memory:");
  await db.execute("PRAGMA encoding = 'UTF-16be'");
  await db.execute("CREATE TABLE t (x)");
  const texts = ["", "a\0b", "é€😀", "\ufeff", "x".repeat(50_000)];
  await db.executeMany("INSERT INTO t VALUES (?)", texts.map((text) => [text]));
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), texts.map((text) => [text]));
});

test("text that is not UTF-8 is refused with an OperationalError naming the column", async () => {
  await using db = await connect(":memory:");
  for (
    const hex of ["ff", "c328", "e282", "f09f98", "c080", "eda080", "f4908080", "61ff62", "80"]
  ) {
    for (const neighbour of ["a", "é", "😀", ""]) {
      const sql = `SELECT '${neighbour}' a, CAST(x'${hex}' AS TEXT) AS "the bad", '${neighbour}' b`;
      await assert.rejects(db.executeFetchAll(sql), {
        name: "OperationalError",
        message: /'the bad'/,
      });
      await assert.rejects(db.executeFetchOne(sql), {
        name: "OperationalError",
        message: /'the bad'/,
      });
    }
  }
  assert.deepEqual(await db.executeFetchAll("SELECT 1"), [[1]]);
});

test("a bad text in the middle of a large result rejects after the rows before it", async () => {
  await using db = await connect(":memory:");
  const sql = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999) " +
    "SELECT i, CASE i WHEN 15000 THEN CAST(x'ff' AS TEXT) ELSE 'é' || i END AS name FROM n";
  const wanted = { name: "OperationalError", message: /'name'/ };
  await assert.rejects(db.executeFetchAll(sql), wanted);
  let count = 0;
  await assert.rejects(async () => {
    for await (const [i, name] of db.execute(sql)) {
      assert.equal(i, count);
      assert.equal(name, `é${count++}`);
    }
  }, wanted);
  assert.equal(count, 15000);
  assert.deepEqual(await db.executeFetchOne("SELECT 'fine'"), ["fine"]);
});

test("the texts of a result that failed do not turn up in the next", async () => {
  await using db = await connect(":memory:");
  const failing =
    "SELECT 'first', 'second' UNION ALL SELECT 'third', abs(-9223372036854775807 - 1)";
  for (let i = 0; i < 2; i++) {
    await assert.rejects(db.executeFetchAll(failing), { message: /integer overflow/ });
    assert.deepEqual(await db.executeFetchAll("SELECT 'a', 'bc', 'def'"), [["a", "bc", "def"]]);
    const cursor = await db.execute(failing);
    await assert.rejects(cursor.fetchAll(), { message: /integer overflow/ });
    assert.deepEqual(await db.executeFetchOne("SELECT 'a', 'bc', 'def'"), ["a", "bc", "def"]);
  }
});

test("a text cut off within a character is not made whole by the text behind it", async () => {
  await using db = await connect(":memory:");
  await db.executeScript(`CREATE TABLE t (a, b);
    INSERT INTO t VALUES ('é', CAST(x'61e282' AS TEXT)), (CAST(x'ac62' AS TEXT), 'é');`);
  const cursor = await db.execute("SELECT b AS first FROM t UNION ALL SELECT a FROM t LIMIT 1");
  await assert.rejects(cursor.fetchAll(), { name: "OperationalError", message: /'first'/ });
  const rows = await db.execute("SELECT a, b FROM t");
  await assert.rejects(rows.fetchOne(), { name: "OperationalError", message: /'b'/ });
});

test("of two texts with a character cut in two it is the first that is refused", async () => {
  await using db = await connect(":memory:");
  await assert.rejects(
    db.executeFetchOne("SELECT CAST(x'61e282' AS TEXT) AS one, CAST(x'ac62' AS TEXT) AS two"),
    { name: "OperationalError", message: /'one'/ },
  );
});

test("a lone surrogate is refused with a DataError and nothing is inserted", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  for (
    const text of ["\ud800", "\udc00", "a\ud83d", "\ude00\ud83d", "x".repeat(70_000) + "\udfff"]
  ) {
    const wanted = { name: "DataError", message: /surrogate/ };
    await assert.rejects(db.execute("INSERT INTO t VALUES (?)", [text]), wanted);
    await assert.rejects(db.execute("INSERT INTO t VALUES (:x)", { x: text }), wanted);
    await assert.rejects(db.execute(`INSERT INTO t VALUES ('${text}')`), wanted);
    await assert.rejects(db.executeScript(`INSERT INTO t VALUES ('${text}')`), wanted);
    await assert.rejects(db.executeMany("INSERT INTO t VALUES (?)", [[text]]), wanted);
  }
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
});

test("every kind of view and buffer is bound as its bytes", async () => {
  await using db = await connect(":memory:");
  const buffer = new Uint8Array([1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0]).buffer;
  const all = new Uint8Array(buffer);
  const shared = new SharedArrayBuffer(16);
  new Uint8Array(shared).set(all);
  const kinds = [
    ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
    ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView],
  ];
  for (const kind of kinds) {
    const Kind = kind as new (buffer: ArrayBuffer) => ArrayBufferView;
    assert.deepEqual(await trip(db, new Kind(buffer)), [all, "blob"], Kind.name);
  }
  assert.deepEqual(await trip(db, new Uint32Array(buffer, 4, 2)), [all.slice(4, 12), "blob"]);
  assert.deepEqual(await trip(db, new DataView(buffer, 3, 5)), [all.slice(3, 8), "blob"]);
  assert.deepEqual(await trip(db, all.subarray(5, 9)), [all.slice(5, 9), "blob"]);
  assert.deepEqual(await trip(db, buffer), [all, "blob"]);
  assert.deepEqual(await trip(db, shared), [all, "blob"]);
  assert.deepEqual(await trip(db, new Uint8Array(shared, 2, 3)), [all.slice(2, 5), "blob"]);
});

test("an empty blob and an empty text are not NULL", async () => {
  await using db = await connect(":memory:");
  const empty = [new Uint8Array(), new ArrayBuffer(0), new DataView(new ArrayBuffer(0))];
  for (const value of [...empty, new Uint8Array(8).subarray(8)]) {
    assert.deepEqual(await trip(db, value), [new Uint8Array(), "blob"]);
  }
  assert.deepEqual(await trip(db, ""), ["", "text"]);
  assert.deepEqual(await db.executeFetchOne("SELECT x'', '', zeroblob(0)"), [
    new Uint8Array(),
    "",
    new Uint8Array(),
  ]);
});

test("blobs that are read are copies of their own", async () => {
  await using db = await connect(":memory:");
  const rows = await db.executeFetchAll("SELECT x'0102' UNION ALL SELECT x'0304'");
  const [a, b] = rows.map(([blob]) => blob as Uint8Array);
  assert.equal(Object.getPrototypeOf(a), Uint8Array.prototype);
  assert.equal(a!.byteOffset, 0);
  assert.equal(a!.buffer.byteLength, 2);
  assert.notEqual(a!.buffer, b!.buffer);
  a!.fill(9);
  const again = await db.executeFetchAll("SELECT x'0102' UNION ALL SELECT x'0304'");
  assert.deepEqual(again, [[new Uint8Array([1, 2])], [new Uint8Array([3, 4])]]);
  assert.deepEqual(b, new Uint8Array([3, 4]));
});

test("parameters are read and copied when the call is made", async () => {
  await using db = await connect(":memory:");
  const blob = new Uint8Array([1, 2, 3]);
  const array: unknown[] = ["before", blob];
  const named = { a: "before", b: blob };
  const map = new Map<string, unknown>(Object.entries(named));
  const sets = [["before", blob]];
  await db.execute("CREATE TABLE t (a, b)");
  const calls = [
    db.executeFetchOne("SELECT ?, ?", array),
    db.executeFetchOne("SELECT :a, :b", named),
    db.executeFetchOne("SELECT :a, :b", map),
    db.executeMany("INSERT INTO t VALUES (?, ?)", sets)
      .then(() => db.executeFetchOne("SELECT a, b FROM t")),
  ];
  blob.fill(0);
  array[0] = "after";
  array.length = 1;
  named.a = "after";
  map.clear();
  sets[0]![0] = "after";
  sets.push(["after", blob]);
  const wanted = ["before", new Uint8Array([1, 2, 3])];
  assert.deepEqual(await Promise.all(calls), [wanted, wanted, wanted, wanted]);
});

test("arrays and iterables are bound by position", async () => {
  await using db = await connect(":memory:");
  function* values() {
    yield 1;
    yield "b";
  }
  for (const sequence of [[1, "b"], new Set([1, "b"]), values(), [1, "b"].values()]) {
    assert.deepEqual(await db.executeFetchOne("SELECT ?, ?", sequence), [1, "b"]);
    if (Array.isArray(sequence)) {
      assert.deepEqual(await db.executeFetchOne("SELECT ?2, ?1, ?2", sequence), ["b", 1, "b"]);
    }
  }
  assert.deepEqual(await db.executeFetchOne("SELECT ?, ?", new Uint8Array([7, 8])), [7, 8]);
  assert.deepEqual(await db.executeFetchOne("SELECT ?3", [1, 2, 3]), [3]);
  assert.deepEqual(await db.executeFetchOne("SELECT 5", []), [5]);
  assert.deepEqual(await db.executeFetchOne("SELECT 5", undefined), [5]);
});

test("an error of the iterable is the caller's own", async () => {
  await using db = await connect(":memory:");
  const error = new RangeError("mine");
  function* values() {
    yield 1;
    throw error;
  }
  await assert.rejects(db.execute("SELECT ?", values()), (thrown) => thrown === error);
  assert.deepEqual(await db.executeFetchOne("SELECT ?", ["x"]), ["x"]);
});

test("plain objects and Maps are bound by name, in each of the three notations", async () => {
  await using db = await connect(":memory:");
  const bare: Record<string, unknown> = Object.create(null);
  Object.assign(bare, { a: 1, größe: "b" });
  for (const named of [{ a: 1, größe: "b" }, bare, new Map(Object.entries(bare))]) {
    assert.deepEqual(
      await db.executeFetchOne("SELECT :a, @a, $a, :größe, :a", named),
      [1, 1, 1, "b", 1],
    );
  }
  assert.deepEqual(await db.executeFetchOne("SELECT :toString", { toString: 3 }), [3]);
  assert.deepEqual(await db.executeFetchOne("SELECT 5", {}), [5]);
});

test("a name that is missing is a ProgrammingError that tells it", async () => {
  await using db = await connect(":memory:");
  for (const named of [{}, { a: 1 }, new Map([["a", 1]]), Object.create(null)]) {
    await assert.rejects(db.execute("SELECT :b", named), {
      name: "ProgrammingError",
      message: /:b/,
    });
  }
  await assert.rejects(db.execute("SELECT :toString", {}), { name: "ProgrammingError" });
  await assert.rejects(db.execute("SELECT :b"), { name: "ProgrammingError" });
});

test("names that the statement has not are ignored, whatever their values", async () => {
  await using db = await connect(":memory:");
  const extra = {
    a: 1,
    u: undefined,
    f: () => 1,
    s: Symbol("s"),
    o: {},
    d: new Map(),
    "\ud800": 1,
  };
  assert.deepEqual(await db.executeFetchOne("SELECT :a", extra), [1]);
  assert.deepEqual(await db.executeFetchOne("SELECT :a", new Map(Object.entries(extra))), [1]);
});

test("names that the statement has not may even have values out of range", async () => {
  await using db = await connect(":memory:");
  const extra = { a: 1, big: MAX + 1n, lone: "\ud800" };
  assert.deepEqual(await db.executeFetchOne("SELECT :a", extra), [1]);
});

test("a wrong number of values is a ProgrammingError that tells both numbers", async () => {
  await using db = await connect(":memory:");
  const cases: [string, unknown[] | undefined, number, number][] = [
    ["SELECT ?", [], 1, 0],
    ["SELECT ?", undefined, 1, 0],
    ["SELECT ?", [1, 2], 1, 2],
    ["SELECT ?, ?", [1], 2, 1],
    ["SELECT ?3", [1], 3, 1],
    ["SELECT 1", [1], 0, 1],
  ];
  for (const [sql, values, wanted, given] of cases) {
    await assert.rejects(db.execute(sql, values), {
      name: "ProgrammingError",
      message: new RegExp(`Incorrect number of bindings .* ${wanted}, .* ${given} supplied`),
    });
  }
});

test("names for ? and a sequence for names are ProgrammingErrors", async () => {
  await using db = await connect(":memory:");
  const wanted = { name: "ProgrammingError" };
  await assert.rejects(db.execute("SELECT ?", { a: 1 }), wanted);
  await assert.rejects(db.execute("SELECT ?1", new Map([["1", 1]])), wanted);
  await assert.rejects(db.execute("SELECT :a, ?", { a: 1 }), wanted);
  await assert.rejects(db.execute("SELECT :a", [1]), wanted);
  await assert.rejects(db.execute("SELECT ?, @b", [1, 2]), wanted);
});

class Point {
  x = 1;
}

test("a value of another type is a ProgrammingError naming the parameter and the type", async () => {
  await using db = await connect(":memory:");
  const values: [unknown, string][] = [
    [undefined, "undefined"],
    [() => 1, "function"],
    [Symbol("s"), "symbol"],
    [new WeakSet(), "WeakSet"],
    [new Point(), "Point"],
    [{}, "Object"],
    [[1], "Array"],
    [Object.create(null), "object"],
  ];
  for (const [value, type] of values) {
    await assert.rejects(db.execute("SELECT ?, ?", [1, value]), {
      name: "ProgrammingError",
      message: new RegExp(`parameter 2: type '${type}'`),
    });
    await assert.rejects(db.execute("SELECT :a, :b", { a: 1, b: value }), {
      name: "ProgrammingError",
      message: new RegExp(`parameter :?b: type '${type}'`),
    });
  }
  // deno-lint-ignore no-sparse-arrays
  await assert.rejects(db.execute("SELECT ?, ?", [1, ,]), {
    name: "ProgrammingError",
    message: /parameter 2: type 'undefined'/,
  });
});

test("parameters of another kind are a ProgrammingError naming the type", async () => {
  await using db = await connect(":memory:");
  const kinds: [unknown, string][] = [
    [null, "null"],
    [1, "number"],
    [1n, "bigint"],
    [true, "boolean"],
    ["a", "string"],
    [() => 1, "function"],
    [Symbol("s"), "symbol"],
    [new WeakSet(), "WeakSet"],
    [new Point(), "Point"],
    [new ArrayBuffer(1), "ArrayBuffer"],
  ];
  for (const [parameters, type] of kinds) {
    const wanted = { name: "ProgrammingError", message: new RegExp(`'${type}'`) };
    await assert.rejects(db.execute("SELECT ?", bad(parameters)), wanted);
    await assert.rejects(db.executeMany("DELETE FROM t WHERE x = ?", [bad(parameters)]), wanted);
  }
  await assert.rejects(db.execute("SELECT :a", bad(new Map([[1, 2]]))), {
    name: "ProgrammingError",
  });
});

test("integers 'bigint' reads every INTEGER as a bigint and nothing else", async () => {
  await using db = await connect(":memory:", { integers: "bigint" });
  for (const n of [0n, -1n, 2n ** 31n, BigInt(SAFE), 2n ** 53n, MAX, MIN]) {
    assert.deepEqual(await trip(db, n), [n, "integer"]);
  }
  assert.deepEqual(await trip(db, 7), [7n, "integer"]);
  assert.deepEqual(await trip(db, 0.5), [0.5, "real"]);
});

test("integers 'number' raises a DataError for an unsafe one, naming the column", async () => {
  await using db = await connect(":memory:", { integers: "number" });
  assert.deepEqual(await db.executeFetchOne("SELECT ?, ?, 3", [SAFE, -SAFE]), [SAFE, -SAFE, 3]);
  for (const n of [2n ** 53n, -(2n ** 53n), MAX, MIN]) {
    await assert.rejects(db.executeFetchOne("SELECT 1, ? AS big", [n]), {
      name: "DataError",
      message: /'big'/,
    });
  }
  const cursor = await db.execute("SELECT 1 AS n UNION ALL SELECT 9007199254740992");
  assert.deepEqual(await cursor.fetchOne(), [1]);
  await assert.rejects(cursor.fetchOne(), { name: "DataError", message: /'n'/ });
});

test("textFactory 'bytes' reads TEXT as its bytes, valid or not", async () => {
  await using db = await connect(":memory:", { textFactory: "bytes" });
  assert.deepEqual(
    await db.executeFetchOne("SELECT 'é' || char(0), CAST(x'ff' AS TEXT), '', NULL, 1, x'02'"),
    [new Uint8Array([0xc3, 0xa9, 0]), new Uint8Array([0xff]), new Uint8Array(), null, 1]
      .concat([new Uint8Array([2])]),
  );
});

test("a textFactory function gets a copy of the bytes of every TEXT", async () => {
  const seen: Uint8Array[] = [];
  const textFactory = (bytes: Uint8Array) => seen.push(bytes);
  await using db = await connect(":memory:", { textFactory });
  const row = await db.executeFetchOne("SELECT 'a', x'61', CAST(x'ff00' AS TEXT)");
  assert.deepEqual(row, [1, new Uint8Array([0x61]), 2]);
  seen[0]!.fill(0);
  assert.deepEqual(seen[1], new Uint8Array([0xff, 0]));
  assert.equal(Object.getPrototypeOf(seen[1]), Uint8Array.prototype);
  db.textFactory = "string";
  assert.deepEqual(await db.executeFetchOne("SELECT 'a'"), ["a"]);
});

test("what a textFactory throws is what the call rejects with", async () => {
  const error = new Error("mine");
  let count = 0;
  await using db = await connect(":memory:", {
    textFactory: () => {
      if (++count === 3) throw error;
      return count;
    },
  });
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES ('a'), ('b'), ('c'), ('d')");
  const cursor = await db.execute("SELECT x FROM t");
  assert.deepEqual(await cursor.fetchOne(), [1]);
  assert.deepEqual(await cursor.fetchOne(), [2]);
  await assert.rejects(cursor.fetchOne(), (thrown) => thrown === error);
  count = 2;
  await assert.rejects(db.executeFetchAll("SELECT x FROM t"), (thrown) => thrown === error);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t LIMIT 1"), [[4]]);
});

const slow = { timeout: 120_000 };

test(
  "values above SQLite's length limit are refused with a DataError, without a crash",
  slow,
  async () => {
    const { code, stdout, stderr } = await program(
      `
    const db = await aiosqlite.connect(":memory:");
    await db.execute("CREATE TABLE t (x)");
    const calls = [
      (value) => db.execute("INSERT INTO t VALUES (?)", [value]),
      (value) => db.executeMany("INSERT INTO t VALUES (?)", [[value]]),
    ];
    const refused = async (value, ...calls) => {
      for (const call of calls) {
        try {
          await call(value);
          console.log("accepted");
        } catch (error) {
          console.log(error.name);
        }
      }
    };
    await refused(new Uint8Array(1_000_000_001), ...calls);
    await refused("€".repeat(334_000_000), calls[0]); // to count its bytes takes a second
    await db.setLimit(aiosqlite.SQLITE_LIMIT_LENGTH, 1000);
    await refused("€".repeat(334), ...calls);
    console.log(...await db.executeFetchOne("SELECT count(*) FROM t"));
    await db.close();
  `,
      [],
      { timeout: 90_000 },
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^(DataError\n){5}0\n$/);
  },
);

test("a row with too much text for one piece does not harm the connection", slow, async () => {
  const { code, stdout, stderr } = await program(
    `
    const db = await aiosqlite.connect(":memory:");
    const half = "CAST(zeroblob(300000000) AS TEXT)";
    try {
      await db.executeFetchOne("SELECT " + half + ", " + half);
    } catch (error) {
      if (!(error instanceof aiosqlite.SqliteError)) throw error;
    }
    console.log(...await db.executeFetchOne("SELECT 'abc', 'é' || ?", ["x".repeat(300)]));
    await db.close();
  `,
    [],
    { timeout: 90_000 },
  );
  assert.equal(code, 0, stderr);
  assert.equal(stdout, `abc é${"x".repeat(300)}\n`);
});

test("a blob of 50 MB is read, one of 2 GB gives a DataError", slow, async () => {
  await using db = await connect(":memory:");
  const row = await db.executeFetchOne("SELECT zeroblob(50000000)");
  const blob = row![0] as Uint8Array;
  assert.equal(blob.length, 50_000_000);
  assert.ok(blob.every((byte) => byte === 0));
  await assert.rejects(db.executeFetchOne("SELECT zeroblob(2000000000)"), {
    name: "DataError",
    code: "SQLITE_TOOBIG",
  });
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("values larger than the shared memory go both ways among small calls", slow, async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
  const values = [1e6, 3e6, 20e6].flatMap((size) => [
    new Uint8Array(size).map((_, i) => (i * 31 + (i >> 8)) & 0xff),
    "é".repeat(size / 2),
    "ab".repeat(size / 2),
  ]);
  const calls = values.flatMap((value, i) => [
    db.execute("INSERT INTO t VALUES (?, ?)", [i, value]).then(() => i),
    db.executeFetchOne("SELECT ?, count(*) FROM t", [i]),
    db.executeFetchOne("SELECT x FROM t WHERE id = ?", [i]),
  ]);
  const results = await Promise.all(calls);
  for (const [i, value] of values.entries()) {
    assert.equal(results[3 * i], i);
    assert.deepEqual(results[3 * i + 1], [i, i + 1]);
    const [read] = results[3 * i + 2] as SqlValue[];
    if (typeof value === "string") assert.ok(read === value, `text ${i}`);
    else assert.ok((read as Uint8Array).every((byte, at) => byte === value[at]), `blob ${i}`);
  }
});
