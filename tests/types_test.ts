import assert from "node:assert/strict";
import { test } from "node:test";
import {
  connect,
  type Connection,
  DataError,
  NotSupportedError,
  objectRow,
  PARSE_COLNAMES,
  PARSE_DECLTYPES,
  ProgrammingError,
  registerAdapter,
  registerConverter,
  registerDates,
  registerTemporal,
  Row,
} from "../mod.ts";

const BOTH = PARSE_DECLTYPES | PARSE_COLNAMES;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

registerConverter("t_bytes", (bytes) => ({ bytes }));
registerConverter("t_one", (bytes) => `one:${text(bytes)}`);
registerConverter("t_two", (bytes) => `two:${text(bytes)}`);

function open(detectTypes: number, options = {}): PromiseLike<Connection> {
  return connect(":memory:", { detectTypes, isolationLevel: null, ...options });
}

/** A connection with a table whose column `x` is of a type, and rows of these values. */
async function table(type: string, values: unknown[], detectTypes = PARSE_DECLTYPES) {
  const db = await open(detectTypes);
  await db.execute(`CREATE TABLE t (x ${type})`);
  await db.executeMany("INSERT INTO t VALUES (?)", values.map((value) => [value]));
  return db;
}

/** Checks that a promise rejects with an error of that class and message, and returns it. */
async function failure(
  promise: PromiseLike<unknown>,
  type: new (...parameters: never[]) => Error,
  message: RegExp,
): Promise<Error> {
  let caught: unknown;
  await assert.rejects(Promise.resolve(promise), (error: unknown) => {
    caught = error;
    return true;
  });
  assert.ok(caught instanceof type, String(caught));
  assert.match(caught.message, message);
  return caught;
}

// -- converters

test("the constants are those of Python's sqlite3", () => {
  assert.deepEqual([PARSE_DECLTYPES, PARSE_COLNAMES], [1, 2]);
});

test("without detectTypes nothing is converted", async () => {
  await using db = await table("T_ONE", ["a"], 0);
  const cursor = await db.execute('SELECT x, x AS "x [t_one]" FROM t');
  assert.deepEqual(await cursor.fetchAll(), [["a", "a"]]);
  assert.deepEqual(cursor.description!.map(({ name }) => name), ["x", "x [t_one]"]);
});

test("PARSE_DECLTYPES goes by the declared type alone", async () => {
  await using db = await table("t_one", ["a"]);
  const cursor = await db.execute('SELECT x, x AS "x [t_two]", x AS y FROM t');
  assert.deepEqual(await cursor.fetchAll(), [["one:a", "one:a", "one:a"]]);
  assert.deepEqual(
    cursor.description!.map(({ name, declaredType }) => [name, declaredType]),
    [["x", "t_one"], ["x [t_two]", "t_one"], ["y", "t_one"]],
  );
});

test("PARSE_COLNAMES goes by the column's name alone", async () => {
  await using db = await table("t_one", ["a"], PARSE_COLNAMES);
  const rows = await db.executeFetchAll('SELECT x, x AS "x [t_two]", 7 AS "y [t_two]" FROM t');
  assert.deepEqual(rows, [["a", "two:a", "two:7"]]);
});

test("with both flags the name counts first, and then the declared type", async () => {
  await using db = await table("t_one", ["a"], BOTH);
  const rows = await db.executeFetchAll(
    'SELECT x, x AS "x [t_two]", x AS "x [t_nobodys]", 1 AS "x [t_nobodys]" FROM t',
  );
  assert.deepEqual(rows, [["one:a", "two:a", "one:a", 1]]);
});

test("a declared type ends at the first blank or parenthesis", async () => {
  await using db = await open(PARSE_DECLTYPES);
  await db.execute(
    "CREATE TABLE t (a t_one(10), b t_one NOT NULL, c T_ONE (1, 2), d t_oneandmore, e my t_one)",
  );
  await db.execute("INSERT INTO t VALUES ('a', 'b', 'c', 'd', 'e')");
  const rows = await db.executeFetchAll("SELECT * FROM t");
  assert.deepEqual(rows, [["one:a", "one:b", "one:c", "d", "e"]]);
});

test("the case of a type's name does not matter, of ASCII letters", async () => {
  registerConverter("t_Große", () => "found");
  await using db = await open(BOTH);
  await db.execute('CREATE TABLE t (a T_one, b "T_GROßE", c "T_GROSSE")');
  await db.execute("INSERT INTO t VALUES ('a', 'b', 'c')");
  assert.deepEqual(await db.executeFetchAll('SELECT a, b, c, a AS "a [T_TWo]" FROM t'), [
    ["one:a", "found", "c", "two:a"],
  ]);
});

test("a name is cut at its bracket, as Python's sqlite3 does, with PARSE_COLNAMES only", async () => {
  const names = [
    "a [t_one]",
    "a[t_one]",
    "a b [t_one]",
    "[t_one]",
    "a [nope]",
    "a [",
    "a ]b[t_one]c",
  ];
  const sql = `SELECT ${names.map((name) => `1 AS "${name}"`).join(", ")}`;
  const shown = async (detectTypes: number) => {
    await using db = await open(detectTypes);
    const cursor = await db.execute(sql);
    return [await cursor.fetchOne(), cursor.description!.map(({ name }) => name)];
  };
  const one = "one:1";
  assert.deepEqual(await shown(PARSE_COLNAMES), [
    [one, one, one, one, 1, 1, one],
    ["a", "a", "a b", "", "a", "a", "a ]b"],
  ]);
  assert.deepEqual(await shown(PARSE_DECLTYPES), [[1, 1, 1, 1, 1, 1, 1], names]);
  assert.deepEqual(await shown(0), [[1, 1, 1, 1, 1, 1, 1], names]);
});

test("row factories see the names that are cut", async () => {
  await using db = await open(PARSE_COLNAMES);
  const cursor = await db.execute('SELECT 1 AS "a [t_one]", 2 AS "b c [t_two]"');
  cursor.rowFactory = objectRow as never;
  assert.deepEqual({ ...await cursor.fetchOne() }, { a: "one:1", "b c": "two:2" });
});

test("a name with blanks and brackets stays whole without PARSE_COLNAMES", async () => {
  await using db = await open(PARSE_DECLTYPES);
  const cursor = await db.execute('SELECT 1 AS "foo bar [datetime]", 2 AS "foo baz"');
  assert.deepEqual(cursor.description!.map(({ name }) => name), ["foo bar [datetime]", "foo baz"]);
});

test("NULL and what is empty are null without asking", async () => {
  await using db = await table("t_bytes", [null, "", new Uint8Array(), "a"]);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [
    [null],
    [null],
    [null],
    [{ bytes: new Uint8Array([97]) }],
  ]);
});

test("a converter gets the bytes of INTEGER, REAL, TEXT and BLOB", async () => {
  const values = [42, 2n ** 62n, -1.5, "é\0z", new Uint8Array([0, 255, 7])];
  await using db = await table("t_bytes", values);
  const encoder = new TextEncoder();
  const rows = await db.executeFetchAll("SELECT x, typeof(x) FROM t");
  assert.deepEqual(rows, [
    [{ bytes: encoder.encode("42") }, "integer"],
    [{ bytes: encoder.encode("4611686018427387904") }, "integer"],
    [{ bytes: encoder.encode("-1.5") }, "real"],
    [{ bytes: encoder.encode("é\0z") }, "text"],
    [{ bytes: new Uint8Array([0, 255, 7]) }, "blob"],
  ]);
});

test("a converter's bytes are its own to keep and to change", async () => {
  const kept: Uint8Array[] = [];
  registerConverter("t_keep", (bytes) => kept.push(bytes));
  await using db = await table("t_keep", ["abc", "def", "ghi"]);
  const cursor = await db.execute("SELECT x, x FROM t");
  await cursor.fetchAll();
  kept[0]!.fill(0);
  assert.deepEqual(kept.slice(1).map(text), ["abc", "def", "def", "ghi", "ghi"]);
});

test("a converter of a text that is not UTF-8 gets it as it is", async () => {
  await using db = await open(PARSE_DECLTYPES);
  await db.execute("CREATE TABLE t (x t_bytes)");
  await db.execute("INSERT INTO t VALUES (CAST(x'ff61' AS TEXT))");
  assert.deepEqual(await db.executeFetchOne("SELECT x FROM t"), [
    { bytes: new Uint8Array([0xff, 0x61]) },
  ]);
});

test("columns beside a converted one are read as ever", async () => {
  await using db = await open(PARSE_DECLTYPES);
  await db.execute("CREATE TABLE t (a, b t_one, c, d, e, f)");
  const values = [2n ** 60n, "b", -0.5, "ü".repeat(400), new Uint8Array([1, 2]), null];
  for (let i = 0; i < 3; i++) await db.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", values);
  const row = values.with(1, "one:b");
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), [row, row, row]);
});

test("a converter may return anything: a promise as it is, undefined, null, a symbol", async () => {
  const promise = Promise.resolve(1);
  const answers = [promise, undefined, null, Symbol.iterator];
  registerConverter("t_any", (bytes) => answers[Number(text(bytes))]);
  await using db = await table("t_any", [0, 1, 2, 3]);
  const rows = await db.executeFetchAll("SELECT x FROM t") as unknown[][];
  assert.equal(rows[0]![0], promise);
  assert.deepEqual(rows.slice(1), [[undefined], [null], [Symbol.iterator]]);
});

test("textFactory and integers do not matter to a column that is converted", async () => {
  await using db = await open(PARSE_DECLTYPES, { textFactory: "bytes", integers: "bigint" });
  await db.execute("CREATE TABLE t (a t_one, b TEXT, c INTEGER)");
  await db.execute("INSERT INTO t VALUES (5, 'b', 6)");
  const rows = await db.executeFetchAll("SELECT a, b, c FROM t");
  assert.deepEqual(rows, [["one:5", new Uint8Array([98]), 6n]]);
});

test("a converter that throws rejects the call that wants the row, with what it has thrown", async () => {
  const error = new RangeError("not this one");
  registerConverter("t_throws", (bytes) => {
    if (text(bytes) === "bad") throw error;
    return text(bytes);
  });
  await using db = await table("t_throws", ["good", "bad", "fine"]);
  const same = (thrown: unknown) => thrown === error;
  await assert.rejects(db.executeFetchAll("SELECT x FROM t"), same);
  await assert.rejects(db.executeFetchOne("SELECT x FROM t WHERE x = 'bad'"), same);
  const cursor = await db.execute("SELECT x FROM t");
  assert.deepEqual(await cursor.fetchOne(), ["good"]);
  await assert.rejects(cursor.fetchOne(), same);
  assert.deepEqual(await cursor.fetchOne(), ["fine"]);
  assert.equal(await cursor.fetchOne(), undefined);
  const seen: unknown[] = [];
  const loop = async () => {
    for await (const row of db.execute("SELECT x FROM t")) seen.push(row);
  };
  await assert.rejects(loop(), same);
  assert.deepEqual(seen, [["good"]]);
  // Nothing is left locked or wrong.
  await db.execute("DELETE FROM t WHERE x = 'bad'");
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [["good"], ["fine"]]);
  await db.execute("DROP TABLE t");
});

test("a converter that uses its own cursor or connection does no harm", async () => {
  const others: Promise<unknown>[] = [];
  registerConverter("t_again", (bytes) => {
    others.push(cursor.fetchOne(), cursor.close(), db.executeFetchOne("SELECT 1"));
    return text(bytes);
  });
  await using db = await table("t_again", ["a", "b", "c"]);
  const cursor = await db.execute("SELECT x FROM t");
  assert.deepEqual(await cursor.fetchOne(), ["a"]);
  await assert.rejects(cursor.fetchOne(), ProgrammingError); // it has been closed
  const settled = await Promise.allSettled(others);
  assert.deepEqual(settled.at(2), { status: "fulfilled", value: [1] });
});

test("all ways to fetch convert", async () => {
  await using db = await table("t_one", [1, 2, 3, 4, 5]);
  const all = [["one:1"], ["one:2"], ["one:3"], ["one:4"], ["one:5"]];
  const sql = "SELECT x FROM t";
  assert.deepEqual(await db.executeFetchAll(sql), all);
  assert.deepEqual(await db.executeFetchOne(sql), all[0]);
  const cursor = await db.execute(sql);
  assert.deepEqual(await cursor.fetchOne(), all[0]);
  assert.deepEqual(await cursor.fetchMany(2), all.slice(1, 3));
  assert.deepEqual(await cursor.fetchAll(), all.slice(3));
  const loop = [];
  for await (const row of db.execute(sql)) loop.push(row);
  assert.deepEqual(loop, all);
  const chunked = [];
  const second = await db.execute(sql);
  second.iterChunkSize = 2;
  for await (const row of second) {
    chunked.push(row);
    if (chunked.length === 3) break;
  }
  assert.deepEqual([...chunked, ...await second.fetchAll()], all);
  const returned = await db.executeFetchAll("UPDATE t SET x = x * 2 WHERE x > 4 RETURNING x");
  assert.deepEqual(returned, [["one:10"]]);
});

test("all ways to fetch convert in a transaction", async () => {
  await using db = await table("t_one", [1, 2]);
  await db.transaction(async (tx) => {
    assert.deepEqual(await tx.executeFetchAll("SELECT x FROM t"), [["one:1"], ["one:2"]]);
    await using savepoint = await tx.savepoint();
    assert.deepEqual(await tx.executeFetchOne("SELECT x FROM t"), ["one:1"]);
    await savepoint.release();
  });
});

test("a large result is converted to its end", async () => {
  await using db = await open(PARSE_COLNAMES);
  const rows = await db.executeFetchAll(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) " +
      'SELECT i AS "i [t_one]", i FROM n',
  );
  assert.equal(rows.length, 20_000);
  assert.ok(rows.every(([converted, i]) => converted === `one:${i}`));
});

test("row factories get the values converted", async () => {
  await using db = await table("t_one", [1]);
  const factories = [Row, objectRow, (_cursor: unknown, values: unknown[]) => values.join()];
  const rows: unknown[] = [];
  for (const factory of factories) {
    db.rowFactory = factory as never;
    rows.push(await db.executeFetchOne("SELECT x FROM t"));
  }
  assert.equal((rows[0] as unknown as Row).get("X"), "one:1");
  assert.deepEqual({ ...rows[1] as object }, { x: "one:1" });
  assert.equal(rows[2], "one:1");
});

test("expressions have no declared type; subqueries, CTEs and views keep a column's", async () => {
  await using db = await table("t_one", [1]);
  await db.execute("CREATE VIEW v AS SELECT x FROM t");
  const of = (sql: string) => db.executeFetchOne(sql);
  assert.deepEqual(await of("SELECT x + 0, x || '', max(x), CAST(x AS t_one) FROM t"), [
    1,
    "1",
    1,
    1,
  ]);
  assert.deepEqual(await of("SELECT x FROM (SELECT x FROM t)"), ["one:1"]);
  assert.deepEqual(await of("SELECT x FROM v"), ["one:1"]);
  assert.deepEqual(await of("WITH c AS (SELECT x FROM t) SELECT x FROM c"), ["one:1"]);
  assert.deepEqual(await of("WITH c(y) AS (SELECT 1) SELECT y FROM c"), [1]);
});

test("description tells of a CTE's columns", async () => {
  await using db = await open(BOTH);
  const sql =
    'WITH one AS (SELECT 1), two(a) AS (SELECT 2) SELECT *, a AS "b [t_two]" FROM one, two';
  const cursor = await db.execute(sql);
  assert.deepEqual(cursor.description!.map(({ name }) => name), ["1", "a", "b"]);
  assert.deepEqual(await cursor.fetchOne(), [1, 2, "two:2"]);
});

test("there is a description without rows, and none for an INSERT", async () => {
  await using db = await table("t_one", [], BOTH);
  const cursor = await db.execute('SELECT x AS "y [t_two]" FROM t');
  assert.equal(cursor.description![0]!.name, "y");
  await cursor.execute("INSERT INTO t VALUES (1)");
  assert.equal(cursor.description, null);
});

test("a converter registered after a statement is cached is used from the next call on", async () => {
  await using db = await table("t_late", ["a"]);
  const read = () => db.executeFetchAll("SELECT x FROM t");
  assert.deepEqual(await read(), [["a"]]);
  registerConverter("t_late", (bytes) => `first:${text(bytes)}`);
  assert.deepEqual(await read(), [["first:a"]]);
  registerConverter("T_LATE", (bytes) => `second:${text(bytes)}`);
  assert.deepEqual(await read(), [["second:a"]]);
});

test("a result that is being read keeps the converters it has begun with", async () => {
  await using db = await table("t_during", ["a", "b", "c"]);
  const old = await db.execute("SELECT x FROM t");
  assert.deepEqual(await old.fetchOne(), ["a"]);
  registerConverter("t_during", (bytes) => `new:${text(bytes)}`);
  assert.deepEqual(await db.executeFetchOne("SELECT x FROM t"), ["new:a"]);
  assert.deepEqual(await old.fetchAll(), [["b"], ["c"]]);
});

test("converters are known to connections that were open before, in order with other calls", async () => {
  await using db = await table("t_queued", ["a"]);
  const before = db.executeFetchAll("SELECT x FROM t");
  registerConverter("t_queued", (bytes) => `q:${text(bytes)}`);
  const after = db.executeFetchAll("SELECT x FROM t");
  await before;
  assert.deepEqual(await after, [["q:a"]]);
});

test("types are looked up again when a table is made again with another type", async () => {
  await using db = await table("t_one", ["a"]);
  const sql = "SELECT * FROM t";
  assert.deepEqual(await db.executeFetchAll(sql), [["one:a"]]);
  for (const [type, row] of [["t_two", "two:a"], ["TEXT", "a"], ["t_one", "one:a"]]) {
    await db.executeScript(`DROP TABLE t; CREATE TABLE t (x ${type}); INSERT INTO t VALUES ('a')`);
    const cursor = await db.execute(sql);
    assert.equal(cursor.description![0]!.declaredType, type);
    assert.deepEqual(await cursor.fetchAll(), [[row]]);
  }
  await db.execute("ALTER TABLE t ADD COLUMN y t_two DEFAULT 'y'");
  assert.deepEqual(await db.executeFetchAll(sql), [["one:a", "two:y"]]);
});

test("two results of one statement at once are both converted", async () => {
  await using db = await table("t_one", [1, 2]);
  const [a, b] = [await db.execute("SELECT x FROM t"), await db.execute("SELECT x FROM t")];
  assert.deepEqual(await a.fetchOne(), ["one:1"]);
  assert.deepEqual(await b.fetchAll(), [["one:1"], ["one:2"]]);
  assert.deepEqual(await a.fetchAll(), [["one:2"]]);
});

test("a statement that is not kept is converted as well", async () => {
  await using db = await open(PARSE_DECLTYPES, { cachedStatements: 0 });
  await db.executeScript("CREATE TABLE t (x t_one); INSERT INTO t VALUES (1), (2)");
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [["one:1"], ["one:2"]]);
  }
});

test("detectTypes takes the flags and nothing else", async () => {
  for (const bad of [4, -1, 1.5, "1", true, null] as unknown[]) {
    const refused = connect(":memory:", { detectTypes: bad as number });
    await failure(refused, ProgrammingError, /detectTypes/);
  }
});

test("registerConverter() takes a name and a function", () => {
  const good = () => 1;
  for (const bad of ["", 1, null, undefined, Symbol("x")] as unknown[]) {
    assert.throws(() => registerConverter(bad as string, good), ProgrammingError);
  }
  for (const bad of [undefined, null, "x", {}] as unknown[]) {
    assert.throws(() => registerConverter("t_bad", bad as () => unknown), ProgrammingError);
  }
});

// -- adapters

class Point {
  readonly x: number;
  readonly y: number;
  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }
}
registerAdapter(Point, ({ x, y }) => `${x};${y}`);
registerConverter("t_point", (bytes) => {
  const [x, y] = text(bytes).split(";").map(Number);
  return new Point(x!, y!);
});

/** What a value is stored as, and its type. */
async function stored(value: unknown): Promise<unknown[]> {
  await using db = await connect(":memory:");
  return (await db.executeFetchOne("SELECT ?1, typeof(?1)", [value]))!;
}

test("an adapter and a converter make a type of one's own", async () => {
  await using db = await table("t_point", [new Point(1, -2)]);
  assert.deepEqual(await db.executeFetchOne("SELECT x FROM t WHERE x = ?", [new Point(1, -2)]), [
    new Point(1, -2),
  ]);
});

test("an adapter is asked in lists, iterables, mappings, and all of the execute family", async () => {
  await using db = await connect(":memory:");
  const point = new Point(3, 4);
  const row = ["3;4"];
  assert.deepEqual(await db.executeFetchOne("SELECT ?", [point]), row);
  assert.deepEqual(await db.executeFetchOne("SELECT ?", new Set([point])), row);
  assert.deepEqual(await db.executeFetchOne("SELECT :p", { p: point }), row);
  assert.deepEqual(await db.executeFetchOne("SELECT @p", new Map([["p", point]])), row);
  assert.deepEqual(await (await db.execute("SELECT ?", [point])).fetchOne(), row);
  await db.execute("CREATE TABLE t (x)");
  await db.executeInsert("INSERT INTO t VALUES (?)", [point]);
  await db.executeMany("INSERT INTO t VALUES (?)", [[point], [new Point(5, 6)]]);
  await db.executeMany("INSERT INTO t VALUES (:p)", [{ p: point }]);
  async function* later() {
    yield await Promise.resolve([point]);
  }
  await db.executeMany("INSERT INTO t VALUES (?)", later());
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [row, row, ["5;6"], row, row]);
});

test("an adapter is for the classes that extend its own as well, the nearest counting", async () => {
  class Base {}
  class Middle extends Base {}
  class Last extends Middle {}
  registerAdapter(Base, () => "base");
  assert.deepEqual(await stored(new Last()), ["base", "text"]);
  registerAdapter(Middle, () => "middle");
  assert.deepEqual(await stored(new Last()), ["middle", "text"]);
  assert.deepEqual(await stored(new Base()), ["base", "text"]);
  registerAdapter(Middle, () => "again");
  assert.deepEqual(await stored(new Last()), ["again", "text"]);
});

test("an adapter may be for an abstract class, a built-in, and a kind of bytes", async () => {
  abstract class Shape {}
  class Circle extends Shape {}
  registerAdapter(Shape, () => 1);
  assert.deepEqual(await stored(new Circle()), [1, "integer"]);
  registerAdapter(RegExp, (pattern) => pattern.source);
  assert.deepEqual(await stored(/a+/), ["a+", "text"]);
  class Tagged extends Float64Array {}
  registerAdapter(Tagged, (bytes) => bytes.length);
  assert.deepEqual(await stored(new Tagged([1, 2, 3, 4, 5])), [5, "integer"]);
  assert.deepEqual(await stored(new Uint8Array(2)), [new Uint8Array(2), "blob"]);
});

test("an adapter may return whatever can be bound", async () => {
  class Any {
    value: unknown;
  }
  registerAdapter(Any, ({ value }) => value as string);
  const of = (value: unknown) => stored(Object.assign(new Any(), { value }));
  assert.deepEqual(await of(null), [null, "null"]);
  assert.deepEqual(await of(true), [1, "integer"]);
  assert.deepEqual(await of(2n ** 62n), [2n ** 62n, "integer"]);
  assert.deepEqual(await of(0.5), [0.5, "real"]);
  assert.deepEqual(await of(new Uint8Array([1])), [new Uint8Array([1]), "blob"]);
  assert.deepEqual(await of(new Uint8Array([1, 2]).buffer), [new Uint8Array([1, 2]), "blob"]);
});

test("what an adapter returns wrongly is refused, and nothing is stored", async () => {
  class Wrong {
    value: unknown;
  }
  registerAdapter(Wrong, ({ value }) => value as string);
  const wrong = (value: unknown) => Object.assign(new Wrong(), { value });
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const bind = (value: unknown) => db.execute("INSERT INTO t VALUES (?)", [wrong(value)]);
  const message = /^Error binding parameter 1: the adapter of type 'Wrong' returned: /;
  for (const value of [undefined, {}, [1], () => 1, Symbol("x"), Promise.resolve(1), new Date(0)]) {
    await failure(bind(value), ProgrammingError, message);
  }
  for (const value of [2n ** 63n, "\ud800"]) await failure(bind(value), DataError, message);
  // An adapter's result is not adapted again: there would be no end to it.
  await failure(bind(new Point(1, 2)), ProgrammingError, /type 'Point' is not supported/);
  await failure(
    db.execute("INSERT INTO t VALUES (:a)", { a: wrong({}) }),
    ProgrammingError,
    /adapter of type 'Wrong' returned/,
  );
  await failure(
    db.executeMany("INSERT INTO t VALUES (?)", [[wrong(1)], [wrong({})]]),
    ProgrammingError,
    /adapter of type 'Wrong' returned/,
  );
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
});

test("what an adapter throws is the cause of the error that the call rejects with", async () => {
  const cause = new TypeError("no point");
  class Broken {}
  registerAdapter(Broken, () => {
    throw cause;
  });
  await using db = await connect(":memory:");
  const calls = [
    () => db.execute("SELECT ?", [new Broken()]),
    () => db.executeFetchAll("SELECT :a", { a: new Broken() }),
    () => db.executeFetchOne("SELECT ?", [new Broken()]),
    () => db.executeInsert("SELECT ?", [new Broken()]),
    () => db.executeMany("INSERT INTO t VALUES (?)", [[new Broken()]]),
  ];
  await db.execute("CREATE TABLE t (x)");
  for (const call of calls) {
    const error = await failure(call(), ProgrammingError, /^The adapter of type 'Broken' raised/);
    assert.equal(error.cause, cause);
  }
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [0]);
});

test("an adapter is asked when the call is made, not later", async () => {
  class Counter {
    count = 0;
  }
  registerAdapter(Counter, ({ count }) => count);
  await using db = await connect(":memory:");
  const counter = new Counter();
  const calls = [];
  for (; counter.count < 3; counter.count++) {
    calls.push(db.executeFetchOne("SELECT ?", [counter]));
  }
  assert.deepEqual(await Promise.all(calls), [[0], [1], [2]]);
});

test("an adapter may use the connection whose parameters it makes", async () => {
  class Nested {}
  await using db = await connect(":memory:");
  const inner: Promise<unknown>[] = [];
  registerAdapter(Nested, () => {
    inner.push(db.executeFetchOne("SELECT ?, ?", ["inner", new Point(1, 1)]));
    return "outer";
  });
  assert.deepEqual(await db.executeFetchOne("SELECT ?, ?", [1, new Nested()]), [1, "outer"]);
  assert.deepEqual(await Promise.all(inner), [["inner", "1;1"]]);
});

test("an adapter's value is found by its class only: no adapter, no binding", async () => {
  class Unknown {}
  await failure(stored(new Unknown()), ProgrammingError, /type 'Unknown' is not supported/);
  await failure(stored(Object.create(null)), ProgrammingError, /not supported/);
  const strange = Object.create(new Point(1, 2));
  assert.deepEqual(await stored(strange), ["1;2", "text"]);
});

test("registerAdapter() takes a class and a function", () => {
  for (const bad of [undefined, null, "Point", {}, () => 1, 5] as unknown[]) {
    assert.throws(() => registerAdapter(bad as typeof Point, () => 1), ProgrammingError);
  }
  for (const bad of [undefined, null, "x", {}] as unknown[]) {
    assert.throws(() => registerAdapter(Point, bad as () => number), ProgrammingError);
  }
});

// -- dates

async function dates(): Promise<Connection> {
  registerDates();
  const db = await open(BOTH);
  await db.execute("CREATE TABLE t (a DATE, b DATETIME, c TIMESTAMP)");
  return db;
}

test("registerDates() stores a Date as UTC text that SQLite understands and sorts", async () => {
  await using db = await dates();
  const date = new Date("2026-11-21T13:45:00.123Z");
  await db.execute("INSERT INTO t VALUES (?1, ?1, ?1)", [date]);
  assert.deepEqual(await db.executeFetchOne("SELECT a, b, c FROM t"), [date, date, date]);
  assert.deepEqual(
    await db.executeFetchOne(
      "SELECT c || '', strftime('%Y|%H|%f', c), c > '2026-11-21 13:44' FROM t",
    ),
    ["2026-11-21 13:45:00.123", "2026|13|00.123", 1],
  );
});

test("dates come back to the millisecond, however far away", async () => {
  await using db = await dates();
  const all = [0, 1, -1, 999, 1_700_000_000_001, -62_167_219_200_000, 253_402_300_799_999];
  for (const time of all) {
    await db.execute("DELETE FROM t");
    await db.execute("INSERT INTO t (c) VALUES (?)", [new Date(time)]);
    const [date] = (await db.executeFetchOne("SELECT c FROM t"))! as unknown as [Date];
    assert.ok(date instanceof Date);
    assert.equal(date.getTime(), time);
  }
});

test("a Date beyond the years of four digits comes back as well", async () => {
  await using db = await dates();
  for (const time of [253_402_300_800_000, 8.64e15, -8.64e15, -62_167_219_200_001]) {
    await db.execute("DELETE FROM t");
    await db.execute("INSERT INTO t (c) VALUES (?)", [new Date(time)]);
    const [date] = (await db.executeFetchOne("SELECT c FROM t"))! as unknown as [Date];
    assert.equal(date.getTime(), time);
  }
});

test("a text is read as a date with or without time, fraction and zone", async () => {
  await using db = await dates();
  const read = async (value: string) => {
    const sql = 'SELECT ? AS "x [timestamp]"';
    return ((await db.executeFetchOne(sql, [value]))![0] as unknown as Date).toISOString();
  };
  const expected = {
    "2026-11-21": "2026-11-21T00:00:00.000Z",
    "2026-11-21 13:45": "2026-11-21T13:45:00.000Z",
    "2026-11-21 13:45:01": "2026-11-21T13:45:01.000Z",
    "2026-11-21T13:45:01": "2026-11-21T13:45:01.000Z",
    "2026-11-21 13:45:01.5": "2026-11-21T13:45:01.500Z",
    "2026-11-21 13:45:01.45": "2026-11-21T13:45:01.450Z",
    "2026-11-21 13:45:01.456": "2026-11-21T13:45:01.456Z",
    "2026-11-21 13:45:01.456789": "2026-11-21T13:45:01.456Z",
    "2026-11-21 13:45:01.123456789": "2026-11-21T13:45:01.123Z",
    "2026-11-21 13:45:01.999999999": "2026-11-21T13:45:01.999Z",
    "2026-11-21T13:45:01Z": "2026-11-21T13:45:01.000Z",
    "2026-11-21 13:45:01+01:00": "2026-11-21T12:45:01.000Z",
    "2026-11-21 13:45:01.25-05:30": "2026-11-21T19:15:01.250Z",
    "1969-12-31 23:59:59.999": "1969-12-31T23:59:59.999Z",
    "0001-01-01": "0001-01-01T00:00:00.000Z",
  };
  for (const [value, iso] of Object.entries(expected)) assert.equal(await read(value), iso, value);
});

test("what SQLite's own functions make is read as a date", async () => {
  await using db = await dates();
  await db.execute("INSERT INTO t VALUES (date('now'), datetime('now'), CURRENT_TIMESTAMP)");
  const row = (await db.executeFetchOne("SELECT * FROM t"))! as unknown as Date[];
  for (const date of row) {
    assert.ok(date instanceof Date);
    assert.ok(Math.abs(Date.now() - date.getTime()) < 2 * 86_400_000);
  }
});

test("what is no date rejects with a DataError", async () => {
  await using db = await dates();
  const texts = [
    "nonsense",
    "2026-13-01",
    "2026-02-30x",
    "2026-02-30",
    "2026-02-29 10:00",
    "2026-00-10",
    "2026-11-00",
    "12:00",
    "2026-11-21 25:00",
    "1700000000",
  ];
  for (const value of texts) {
    await failure(
      db.executeFetchOne('SELECT ? AS "x [DATE]"', [value]),
      DataError,
      new RegExp(`^Not a date: '${value}'$`),
    );
  }
  assert.deepEqual(await db.executeFetchOne('SELECT NULL AS "x [date]"'), [null]);
});

test("an invalid Date is refused, the DataError being the cause", async () => {
  await using db = await dates();
  const error = await failure(
    db.execute("INSERT INTO t (a) VALUES (?)", [new Date(NaN)]),
    ProgrammingError,
    /adapter of type 'Date'/,
  );
  assert.ok(error.cause instanceof DataError);
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [0]);
});

// -- Temporal

interface Temporals {
  [type: string]: { from(text: string): { toString(): string } };
}
const { Temporal } = globalThis as unknown as { Temporal?: Temporals };

test("registerTemporal() makes the types of Temporal come back, or says there are none", async () => {
  if (!Temporal) {
    assert.throws(() => registerTemporal(), NotSupportedError);
    return;
  }
  registerTemporal();
  try {
    await using db = await open(PARSE_DECLTYPES);
    await db.execute("CREATE TABLE t (a DATE, b TIME, c DATETIME, d TIMESTAMP, e ZONEDDATETIME)");
    const texts = {
      PlainDate: "2026-11-21",
      PlainTime: "13:45:00.123456789",
      PlainDateTime: "2026-11-21T13:45:00.5",
      Instant: "2026-11-21T13:45:00.123456789Z",
      ZonedDateTime: "2026-11-21T13:45:00+01:00[Europe/Berlin]",
    };
    const values = Object.entries(texts).map(([type, of]) => Temporal[type]!.from(of));
    await db.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", values);
    const row = (await db.executeFetchOne("SELECT * FROM t"))! as unknown as object[];
    assert.deepEqual(row.map(String), Object.values(texts));
    assert.deepEqual(
      row.map((value) => value.constructor),
      values.map((value) => value.constructor),
    );
    const plain = await db.executeFetchOne("SELECT a || '', d || '' FROM t");
    assert.deepEqual(plain, [texts.PlainDate, texts.Instant]);
  } finally {
    registerDates(); // the types they have in common
  }
});

test("registerTemporal() reads an Instant without a zone as UTC, and refuses what is none", async () => {
  if (!Temporal) {
    assert.throws(() => registerTemporal(), /no Temporal/);
    return;
  }
  registerTemporal();
  try {
    await using db = await open(PARSE_COLNAMES);
    const read = async (value: string, type: string) => {
      return String((await db.executeFetchOne(`SELECT ? AS "x [${type}]"`, [value]))![0]);
    };
    assert.equal(await read("2026-11-21 13:45:00", "timestamp"), "2026-11-21T13:45:00Z");
    assert.equal(await read("2026-11-21 13:45:00+01:00", "timestamp"), "2026-11-21T12:45:00Z");
    assert.equal(await read("2026-11-21 13:45:00Z", "timestamp"), "2026-11-21T13:45:00Z");
    for (const type of ["date", "time", "datetime", "timestamp", "zoneddatetime"]) {
      const error = await failure(read("nonsense", type), DataError, /^Not a .*: 'nonsense'$/);
      assert.ok(error.cause instanceof RangeError);
    }
  } finally {
    registerDates();
  }
});

test("rows are converted as those of their own statement, whatever the cursor runs meanwhile", async () => {
  registerConverter("marked", (bytes) => `marked ${new TextDecoder().decode(bytes)}`);
  await using db = await connect(":memory:", { detectTypes: PARSE_DECLTYPES });
  await db.executeScript(`CREATE TABLE t (a marked, b BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60000)
      INSERT INTO t SELECT 'x', x'00' FROM n`);
  for (const [column, other] of [["a", "b"], ["b", "a"]]) {
    const cursor = await db.execute(`SELECT ${column} FROM t`);
    const fetching = cursor.fetchAll();
    const executing = cursor.execute(`SELECT ${other} FROM t`);
    const rows = await fetching;
    await executing;
    assert.ok(rows.length > 0);
    const kinds = new Set(rows.map(([value]) => typeof value));
    assert.deepEqual([...kinds], [column === "a" ? "string" : "object"]);
  }
});
