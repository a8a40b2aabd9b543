import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  connect,
  type Connection,
  DataError,
  OperationalError,
  ProgrammingError,
  SqliteError,
  type SqlValue,
} from "../mod.ts";
import { folder } from "./helpers.ts";

const FAILED = "user-defined function raised exception";

/** The first value of the first row. */
async function one<R>(
  db: Connection<R>,
  sql: string,
  parameters: SqlValue[] = [],
  options: { signal?: AbortSignal } = {},
): Promise<unknown> {
  const row = await db.executeFetchOne(sql, parameters, options);
  return (row as unknown[] | undefined)?.[0];
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

/** Rejects with an error of that class and message. */
async function fails(
  promise: PromiseLike<unknown>,
  type: typeof SqliteError,
  message: string | RegExp,
): Promise<SqliteError> {
  const error = await errorOf(promise);
  assert.ok(error instanceof type, `${error.name}: ${error.message}`);
  if (typeof message === "string") assert.equal(error.message, message);
  else assert.match(error.message, message);
  return error;
}

/** The rows 1 to `count` as `n(i)`. */
const numbers = (count: number) =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${count}) `;

// Values

const VALUES: [name: string, value: SqlValue][] = [
  ["NULL", null],
  ["0", 0],
  ["-1", -1],
  ["2**31 - 1", 2 ** 31 - 1],
  ["2**31", 2 ** 31],
  ["-2**31 - 1", -(2 ** 31) - 1],
  ["the largest safe integer", Number.MAX_SAFE_INTEGER],
  ["the smallest safe integer", Number.MIN_SAFE_INTEGER],
  ["2n**53n", 2n ** 53n],
  ["2n**53n + 1n", 2n ** 53n + 1n],
  ["-(2n**53n)", -(2n ** 53n)],
  ["4611686018427387905n", 4611686018427387905n],
  ["the largest integer", 2n ** 63n - 1n],
  ["the smallest integer", -(2n ** 63n)],
  ["0.5", 0.5],
  ["1e300", 1e300],
  ["the smallest REAL", 5e-324],
  ["infinity", Infinity],
  ["minus infinity", -Infinity],
  ["an empty text", ""],
  ["a text", "text"],
  ["a NUL", "\0"],
  ["a text with NUL", "a\0b\0"],
  ["a text beyond ASCII", "äöü€"],
  ["a text beyond the BMP", "😀\u{10ffff}"],
  ["a text that starts with a BOM", "\ufefftext"],
  ["an empty blob", new Uint8Array()],
  ["a blob", new Uint8Array([0, 255, 128])],
  ["a blob of 100 kB", new Uint8Array(100_000).fill(7)],
];

for (const [name, value] of VALUES) {
  test(`an argument and a result: ${name}`, async () => {
    await using db = await connect(":memory:");
    const seen: SqlValue[] = [];
    await db.createFunction("f", 1, (given) => {
      seen.push(given);
      return given;
    });
    const type = await one(db, "SELECT typeof(?)", [value]);
    const row = await db.executeFetchOne("SELECT f(?1), typeof(f(?1)), f(?1) IS ?1", [value]);
    assert.deepEqual(row, [value, type, 1]);
    assert.deepEqual(seen, [value, value, value]);
  });
}

const RESULTS: [name: string, result: unknown, read: SqlValue, type: string][] = [
  ["NaN", NaN, null, "null"],
  ["-0", -0, -0, "real"],
  ["true", true, 1, "integer"],
  ["false", false, 0, "integer"],
  ["a small bigint", 5n, 5, "integer"],
  ["an integer as a number", 5.0, 5, "integer"],
  ["an integer above the safe ones as a number", 2 ** 60, 2 ** 60, "real"],
  ["an ArrayBuffer", new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]), "blob"],
  ["a part of a buffer", new Uint8Array([1, 2, 3]).subarray(1), new Uint8Array([2, 3]), "blob"],
  ["a DataView", new DataView(new ArrayBuffer(2), 1), new Uint8Array([0]), "blob"],
  ["a Uint16Array", new Uint16Array([258]), new Uint8Array([2, 1]), "blob"],
];

for (const [name, result, read, type] of RESULTS) {
  test(`a result: ${name}`, async () => {
    await using db = await connect(":memory:");
    await db.createFunction("f", 0, () => result);
    await db.createFunction("g", 0, () => Promise.resolve(result));
    const [value, asynchronous, typeName] = (await db.executeFetchOne(
      "SELECT f(), g(), typeof(f())",
    ))!;
    assert.deepEqual([value, asynchronous, typeName], [read, read, type]);
    assert.ok(Object.is(value, read) || typeof read === "object");
  });
}

for (const [name, result] of [["2n**63n", 2n ** 63n], ["-(2n**63n) - 1n", -(2n ** 63n) - 1n]]) {
  test(`a result out of 64 bits is a DataError: ${name}`, async () => {
    await using db = await connect(":memory:");
    await db.createFunction("f", 0, () => result);
    const error = await errorOf(db.execute("SELECT f()"));
    assert.ok(error instanceof DataError);
    assert.equal(error.code, "SQLITE_TOOBIG");
    assert.match(String((error.cause as Error).message), /64 bits/);
    assert.equal(await one(db, "SELECT 1"), 1);
  });
}

const REFUSED: [name: string, result: unknown, why: RegExp][] = [
  ["undefined", undefined, /undefined/],
  ["an object", { a: 1 }, /Object/],
  ["an array", [1], /Array/],
  ["a function", () => 1, /function/],
  ["a symbol", Symbol("s"), /symbol/],
  ["a weak set", new WeakSet(), /WeakSet/],
];

for (const [name, result, why] of REFUSED) {
  test(`a result that can't be stored is an error: ${name}`, async () => {
    await using db = await connect(":memory:");
    await db.createFunction("f", 0, () => result);
    const error = await fails(db.execute("SELECT f()"), OperationalError, FAILED);
    assert.ok(error.cause instanceof ProgrammingError);
    assert.match(error.cause.message, why);
    assert.equal(await one(db, "SELECT 1"), 1);
  });
}

for (const [name, result] of [["high", "a\ud800"], ["low", "\udc00"]]) {
  test(`a result with a lone surrogate is an error: ${name}`, async () => {
    await using db = await connect(":memory:");
    await db.createFunction("f", 0, () => result);
    const error = await errorOf(db.execute("SELECT f()"));
    assert.match(String((error.cause as Error).message), /lone surrogate/);
    assert.equal(await one(db, "SELECT 1"), 1);
  });
}

test("a result above the connection's limit is an error", async () => {
  await using db = await connect(":memory:");
  await db.setLimit(0, 1000);
  await db.createFunction("f", 1, (length) => "x".repeat(length as number));
  await db.createFunction("b", 1, (length) => new Uint8Array(length as number));
  assert.equal(await one(db, "SELECT length(f(1000))"), 1000);
  assert.ok(await errorOf(db.execute("SELECT f(1001)")) instanceof DataError);
  assert.ok(await errorOf(db.execute("SELECT b(1001)")) instanceof DataError);
  assert.equal(await one(db, "SELECT length(b(1000))"), 1000);
});

test("bytes that a function was given stay as they are", async () => {
  await using db = await connect(":memory:");
  const kept: Uint8Array[] = [];
  await db.createFunction("keep", 1, (bytes) => {
    kept.push(bytes as Uint8Array);
    return null;
  });
  await db.executeFetchAll(`${numbers(300)}SELECT keep(CAST(i AS BLOB)) FROM n`);
  const texts = kept.map((bytes) => new TextDecoder().decode(bytes));
  assert.deepEqual(texts, Array.from({ length: 300 }, (_, i) => String(i + 1)));
});

test("bytes that a function returns are taken at once", async () => {
  await using db = await connect(":memory:");
  const bytes = new Uint8Array(4);
  await db.createFunction("next", 1, (i) => {
    bytes.fill(i as number);
    return bytes;
  });
  const rows = await db.executeFetchAll(`${numbers(100)}SELECT next(i) FROM n`);
  assert.deepEqual(rows, Array.from({ length: 100 }, (_, i) => [new Uint8Array(4).fill(i + 1)]));
});

// Errors

test("what a function throws is the cause, whatever it is", async () => {
  await using db = await connect(":memory:");
  let thrown: unknown;
  await db.createFunction("f", 0, () => {
    throw thrown;
  });
  await db.createFunction("g", 0, () => Promise.reject(thrown));
  for (thrown of [new TypeError("no"), new OperationalError("ours"), "text", 0, null, { a: 1 }]) {
    for (const sql of ["SELECT f()", "SELECT g()"]) {
      const error = await fails(db.execute(sql), OperationalError, FAILED);
      assert.equal(error.code, "SQLITE_ERROR");
      assert.equal(error.sql, sql);
      assert.ok(Object.is(error.cause, thrown));
    }
  }
  assert.equal(await one(db, "SELECT 1"), 1);
});

test("what undefined means as a throw", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 0, () => {
    throw undefined;
  });
  const error = await fails(db.execute("SELECT f()"), OperationalError, FAILED);
  assert.ok("cause" in error);
  assert.equal(error.cause, undefined);
});

test("a throw in the middle of rows, and the next statement", async () => {
  await using db = await connect(":memory:");
  const cause = new Error("at 150");
  await db.createFunction("f", 1, (i) => {
    if (i === 150) throw cause;
    return i;
  });
  const seen: unknown[] = [];
  const error = await errorOf((async () => {
    for await (const [i] of db.execute(`${numbers(1000)}SELECT f(i) FROM n`)) seen.push(i);
  })());
  assert.equal(error.cause, cause);
  assert.ok(seen.length <= 149);
  assert.deepEqual(seen, Array.from({ length: seen.length }, (_, i) => i + 1));
  assert.equal(await one(db, "SELECT f(1)"), 1);
});

test("a throw undoes the statement alone", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 1, (i) => {
    if (i === 3) throw new Error("3");
    return i;
  });
  await db.execute("CREATE TABLE t (x)");
  await db.execute("INSERT INTO t VALUES (0)");
  await errorOf(db.execute(`INSERT INTO t ${numbers(5)}SELECT f(i) FROM n`));
  assert.equal(db.inTransaction, true);
  await db.commit();
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[0]]);
});

test("an error of a later statement has no cause of an earlier one", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 0, () => {
    throw new Error("f");
  });
  assert.ok("cause" in await errorOf(db.execute("SELECT f()")));
  assert.equal((await errorOf(db.execute("SELECT * FROM missing"))).cause, undefined);
});

test("executeMany, executeScript and executeInsert have the cause, too", async () => {
  await using db = await connect(":memory:");
  const cause = new Error("two");
  await db.createFunction("f", 1, (i) => {
    if (i === 2) throw cause;
    return i;
  });
  await db.execute("CREATE TABLE t (x)");
  const insert = "INSERT INTO t VALUES (f(?))";
  assert.equal((await errorOf(db.executeMany(insert, [[1], [2], [3]]))).cause, cause);
  assert.equal((await errorOf(db.executeScript("SELECT f(1); SELECT f(2)"))).cause, cause);
  assert.equal((await errorOf(db.executeInsert(insert, [2]))).cause, cause);
  await db.rollback();
  await assert.rejects(db.transaction((tx) => tx.execute(insert, [2])), { cause });
});

// Counts, names, options

test("a function of any number of arguments, and one of a number", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("count", -1, (...values) => `any ${values.length}`);
  await db.createFunction("count2", -1, (...values) => values.length);
  await db.createFunction("count2", 2, () => "two");
  assert.deepEqual(
    await db.executeFetchOne("SELECT count2(), count2(1), count2(1, 2), count2(1, 2, 3)"),
    [0, 1, "two", 3],
  );
  const many = Array(127).fill("1").join();
  assert.equal(await one(db, `SELECT count2(${many})`), 127);
  await fails(db.execute(`SELECT count2(${many}, 1)`), OperationalError, /too many arguments/);
  await db.createFunction("all", 127, (...values) => values.length);
  assert.equal(await one(db, `SELECT "all"(${many})`), 127);
});

test("a wrong number of arguments", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 1, () => 1);
  for (const sql of ["SELECT f()", "SELECT f(1, 2)"]) {
    await fails(db.execute(sql), OperationalError, "wrong number of arguments to function f()");
  }
});

test("numbers of arguments that are none", async () => {
  await using db = await connect(":memory:");
  for (const count of [-2, -100, 128, 1.5, NaN, Infinity, "1", null, undefined, 1n]) {
    for (const fn of [() => 1, null]) {
      const made = db.createFunction("f", count as number, fn);
      await fails(made, ProgrammingError, /number of arguments/);
    }
    const made = db.createAggregate("f", count as number, null);
    await fails(made, ProgrammingError, /number of arguments/);
  }
  await fails(db.execute("SELECT f()"), OperationalError, "no such function: f");
});

test("names, odd ones and long ones", async () => {
  await using db = await connect(":memory:");
  const names = ["with space", "ünï", "😀", "sélect", 'qu"ote', "a".repeat(255), "é".repeat(127)];
  for (const [i, name] of names.entries()) await db.createFunction(name, 0, () => i);
  for (const [i, name] of names.entries()) {
    assert.equal(await one(db, `SELECT "${name.replaceAll('"', '""')}"()`), i);
  }
});

test("the case of ASCII letters in a name does not matter, that of others does", async () => {
  await using db = await connect(":memory:");
  const names = ["É", "é", "\u212a", "k"]; // the third is a K to Unicode
  for (const [i, name] of names.entries()) await db.createFunction(name, 0, () => i);
  assert.deepEqual(
    await db.executeFetchOne("SELECT É(), é(), \u212a(), k(), K()"),
    [0, 1, 2, 3, 3],
  );
  await db.createFunction("K", 0, () => "new");
  assert.deepEqual(await db.executeFetchOne("SELECT É(), \u212a(), k()"), [0, 2, "new"]);
  await db.createFunction("é", 0, null);
  assert.deepEqual(await db.executeFetchOne("SELECT É(), k()"), [0, "new"]);
  await fails(db.execute("SELECT é()"), OperationalError, "no such function: é");
});

test("names that are none", async () => {
  await using db = await connect(":memory:");
  for (const name of ["a\0b", "\ud800", "a".repeat(256), "é".repeat(128), 1, null, undefined]) {
    for (const make of ["createFunction", "createAggregate", "createWindowFunction"] as const) {
      await fails(db[make](name as string, 0, null), ProgrammingError, /name/);
    }
    await fails(db.createCollation(name as string, null), ProgrammingError, /name/);
  }
});

test("what is no function is refused", async () => {
  await using db = await connect(":memory:");
  for (const fn of [1, "f", undefined, {}, [], { module: "no URL" }, { export: "f" }]) {
    await fails(
      db.createFunction("f", 0, fn as unknown as null),
      ProgrammingError,
      /callable|module/,
    );
    await fails(db.createAggregate("f", 0, fn as unknown as null), ProgrammingError, /callable/);
    await fails(
      db.createWindowFunction("f", 0, fn as unknown as null),
      ProgrammingError,
      /callable/,
    );
  }
  await fails(db.execute("SELECT f()"), OperationalError, "no such function: f");
});

test("deterministic functions are allowed in indexes, others are not", async () => {
  await using db = await connect(":memory:", { trustedSchema: true, isolationLevel: null });
  let calls = 0;
  await db.createFunction("twice", 1, (x) => {
    calls++;
    return 2 * (x as number);
  }, { deterministic: true });
  await db.createFunction("any", 1, (x) => x);
  await db.execute("CREATE TABLE t (x)");
  await db.executeMany("INSERT INTO t VALUES (?)", [[1], [2], [3]]);
  await fails(
    db.execute("CREATE INDEX bad ON t (any(x))"),
    OperationalError,
    "non-deterministic functions prohibited in index expressions",
  );
  await fails(
    db.execute("CREATE INDEX bad ON t (x) WHERE any(x)"),
    OperationalError,
    /non-deterministic functions prohibited/,
  );
  await db.execute("CREATE INDEX i ON t (twice(x))");
  assert.equal(calls, 3);
  await db.execute("INSERT INTO t VALUES (4)");
  assert.equal(calls, 4);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t WHERE twice(x) = 8"), [[4]]);
  await db.execute("CREATE INDEX partial ON t (x) WHERE twice(x) > 4");
  const before = calls;
  await db.executeFetchAll(`${numbers(50)}SELECT twice(21) FROM n`);
  assert.equal(calls, before + 1); // a constant
});

test("direct only functions can't be used by the schema, even a trusted one", async () => {
  await using db = await connect(":memory:", { trustedSchema: true });
  await db.createFunction("direct", 0, () => 1, { directOnly: true });
  await db.createFunction("other", 0, () => 2);
  await db.execute("CREATE VIEW v AS SELECT direct()");
  await db.execute("CREATE VIEW w AS SELECT other()");
  assert.equal(await one(db, "SELECT direct()"), 1);
  assert.equal(await one(db, "SELECT * FROM w"), 2);
  await fails(db.execute("SELECT * FROM v"), OperationalError, "unsafe use of direct()");
});

test("a schema that is not trusted uses no functions", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 0, () => 1);
  await db.execute("CREATE VIEW v AS SELECT f()");
  await fails(db.execute("SELECT * FROM v"), OperationalError, "unsafe use of f()");
});

// Redefinition and removal

test("a function is defined anew, and the statements that use it notice", async () => {
  await using db = await connect(":memory:");
  for (let i = 0; i < 20; i++) {
    await db.createFunction(i % 2 ? "f" : "F", 0, () => i);
    assert.equal(await one(db, "SELECT f()"), i);
  }
});

test("a function is removed by null", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 0, () => 1);
  await db.createFunction("f", 1, () => 2);
  assert.equal(await one(db, "SELECT f()"), 1);
  await db.createFunction("f", 0, null);
  await fails(
    db.execute("SELECT f()"),
    OperationalError,
    "wrong number of arguments to function f()",
  );
  assert.equal(await one(db, "SELECT f(0)"), 2);
  await db.createFunction("f", 1, null);
  await fails(db.execute("SELECT f(0)"), OperationalError, "no such function: f");
  await db.createFunction("never", 3, null);
});

test("one of SQLite's own functions is replaced, and comes back", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("upper", 1, (text) => `<${text}>`);
  assert.equal(await one(db, "SELECT upper('a')"), "<a>");
  await db.createFunction("upper", 1, null);
  await errorOf(db.execute("SELECT upper('a')")); // SQLite's is not given back
});

test("a function in use by rows that are being read stays", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 1, (i) => i);
  const cursor = await db.execute(`${numbers(1000)}SELECT f(i) FROM n`);
  assert.deepEqual(await cursor.fetchMany(2), [[1], [2]]);
  const message = "unable to delete/modify user-function due to active statements";
  for (const fn of [null, () => -1]) {
    const error = await fails(db.createFunction("f", 1, fn), OperationalError, message);
    assert.equal(error.code, "SQLITE_BUSY");
  }
  await fails(db.createAggregate("f", 1, null), OperationalError, message);
  assert.equal((await cursor.fetchAll()).length, 998);
  await cursor.close();
  await db.createFunction("f", 1, () => -1);
  assert.equal(await one(db, "SELECT f(1)"), -1);
});

test("a function takes the place of an aggregate, and the other way round", async () => {
  await using db = await connect(":memory:");
  class Count {
    #count = 0;
    step() {
      this.#count++;
    }
    finalize() {
      return this.#count;
    }
  }
  await db.createAggregate("f", 1, Count);
  assert.equal(await one(db, `${numbers(5)}SELECT f(i) FROM n`), 5);
  await db.createFunction("f", 1, (i) => -(i as number));
  assert.equal(await one(db, `${numbers(5)}SELECT f(i) FROM n`), -1);
  await db.createAggregate("f", 1, Count);
  assert.equal(await one(db, `${numbers(5)}SELECT f(i) FROM n`), 5);
  await db.createFunction("f", 1, null);
  await fails(db.execute("SELECT f(1)"), OperationalError, "no such function: f");
});

test("definitions that are not awaited take effect in order", async () => {
  await using db = await connect(":memory:");
  const calls: Promise<unknown>[] = [];
  for (let i = 0; i < 50; i++) {
    calls.push(db.createFunction("f", 0, () => i), one(db, "SELECT f()"));
  }
  const results = (await Promise.all(calls)).filter((_, i) => i % 2);
  assert.deepEqual(results, Array.from({ length: 50 }, (_, i) => i));
});

// Asynchronous functions

test("an asynchronous function is waited for", async () => {
  await using db = await connect(":memory:");
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<number>();
  await db.createFunction("f", 0, () => {
    order.push("called");
    return promise;
  });
  const first = one(db, "SELECT f()").then((value) => order.push(`f ${value}`));
  const second = one(db, "SELECT 2").then((value) => order.push(`then ${value}`));
  await new Promise((resolve) => setImmediate(resolve));
  order.push("resolved");
  resolve(1);
  await Promise.all([first, second]);
  assert.deepEqual(order.filter((word) => word !== "resolved"), ["called", "f 1", "then 2"]);
  assert.ok(order.indexOf("resolved") < order.indexOf("f 1"));
});

test("a thenable is waited for", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 0, () => ({
    then: (resolve: (value: number) => void) => queueMicrotask(() => resolve(7)),
  }));
  assert.equal(await one(db, "SELECT f()"), 7);
});

test("an asynchronous function uses other connections", async () => {
  await using db = await connect(":memory:");
  await using other = await connect(":memory:");
  await other.execute("CREATE TABLE t (x)");
  await db.createFunction("log", 1, async (x) => {
    await other.execute("INSERT INTO t VALUES (?)", [x!]);
    return await one(other, "SELECT count(*) FROM t");
  });
  const rows = await db.executeFetchAll(`${numbers(20)}SELECT log(i) FROM n`);
  assert.deepEqual(rows, Array.from({ length: 20 }, (_, i) => [i + 1]));
});

test("an asynchronous function opens and closes connections", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 0, async () => {
    await using other = await connect(":memory:");
    return await one(other, "SELECT 5");
  });
  assert.equal(await one(db, "SELECT f() + f()"), 10);
});

test("functions of many connections are asked at once", async () => {
  const COUNT = 5;
  const dbs = await Promise.all(Array.from({ length: COUNT }, () => connect(":memory:")));
  const { promise, resolve } = Promise.withResolvers<void>();
  let waiting = 0;
  await Promise.all(dbs.map((db, i) =>
    db.createFunction("f", 0, async () => {
      if (++waiting === COUNT) resolve();
      await promise; // until all are here
      return i;
    })
  ));
  assert.deepEqual(await Promise.all(dbs.map((db) => one(db, "SELECT f()"))), [0, 1, 2, 3, 4]);
  await Promise.all(dbs.map((db) => db.close()));
});

// The same connection inside

const INSIDE = "A function can't use the connection that is calling it.";

test("a function can't use the connection that calls it", async () => {
  const db = await connect(":memory:");
  const cursor = db.cursor();
  const uses: (() => unknown)[] = [
    () => db.execute("SELECT 1"),
    () => db.executeMany("SELECT 1", []),
    () => db.executeScript("SELECT 1"),
    () => db.executeInsert("SELECT 1"),
    () => db.executeFetchAll("SELECT 1"),
    () => db.executeFetchOne("SELECT 1"),
    () => db.commit(),
    () => db.rollback(),
    () => db.transaction(() => {}),
    () => db.transaction(),
    () => db.interrupt(),
    () => db.createFunction("g", 0, null),
    () => db.createFunction("f", 0, null),
    () => db.createAggregate("g", 0, null),
    () => db.createCollation("c", null),
    () => db.setAuthorizer(null),
    () => db.setProgressHandler(null, 1),
    () => db.setTraceCallback(null),
    () => db.setUpdateHook(null),
    () => db.setCommitHook(null),
    () => db.setRollbackHook(null),
    () => db.getLimit(0),
    () => db.serialize(),
    () => db.blobOpen("t", "x", 1),
    () => cursor.execute("SELECT 1"),
    () =>
      (async () => {
        for await (const _ of db.execute("SELECT 1"));
      })(),
  ];
  let use: () => unknown;
  await db.createFunction("f", 0, async () => {
    await use();
    return 1;
  });
  for (use of uses) {
    const error = await fails(db.execute("SELECT f()"), OperationalError, FAILED);
    assert.ok(error.cause instanceof ProgrammingError, String(use));
    assert.equal(error.cause.message, INSIDE, String(use));
  }
  use = () => {};
  assert.equal(await one(db, "SELECT f()"), 1);
  await db.close();
});

test("nor can a task that the function has started and waits for", async () => {
  await using db = await connect(":memory:");
  await db.createFunction("f", 0, async () => {
    const task = (async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await db.execute("SELECT 1");
    })();
    const [result] = await Promise.allSettled([task]);
    return result!.status === "rejected" ? result!.reason.message : "went through";
  });
  assert.equal(await one(db, "SELECT f()"), INSIDE);
});

test("what a function has started may use the connection once the function has ended", async () => {
  await using db = await connect(":memory:");
  const { promise, resolve } = Promise.withResolvers<void>();
  let task: Promise<unknown> | undefined;
  await db.createFunction("f", 0, () => {
    task = promise.then(() => one(db, "SELECT 5"));
    return 1;
  });
  assert.equal(await one(db, "SELECT f()"), 1);
  resolve();
  assert.equal(await task, 5);
});

test("nor through the function of a second connection", async () => {
  await using a = await connect(":memory:");
  await using b = await connect(":memory:");
  await b.createFunction("g", 0, () => one(a, "SELECT 7"));
  await a.createFunction("f", 0, () => one(b, "SELECT g()"));
  const error = await fails(a.execute("SELECT f()"), OperationalError, FAILED);
  const inner = error.cause as OperationalError;
  assert.equal(inner.message, FAILED);
  assert.equal((inner.cause as Error).message, INSIDE);
  assert.equal(await one(b, "SELECT g()"), 7);
});

test("nor through that of one which is busy with something else", async () => {
  await using a = await connect(":memory:");
  await using b = await connect(":memory:");
  const entered = Promise.withResolvers<void>();
  const go = Promise.withResolvers<number>();
  await b.createFunction("slow", 0, () => {
    entered.resolve();
    return go.promise;
  });
  await b.createFunction(
    "g",
    0,
    () => one(a, "SELECT 7", [], { signal: AbortSignal.timeout(1000) }),
  );
  await a.createFunction("f", 0, () => {
    const value = one(b, "SELECT g()");
    go.resolve(1);
    return value;
  });
  const slow = one(b, "SELECT slow()");
  await entered.promise;
  const error = await fails(a.execute("SELECT f()"), OperationalError, FAILED);
  assert.equal(((error.cause as Error).cause as Error).message, INSIDE);
  assert.equal(await slow, 1);
});

test("a function that is called on somebody else's behalf may use the connection", async () => {
  await using a = await connect(":memory:");
  await using b = await connect(":memory:");
  const entered = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<number>();
  const go = Promise.withResolvers<number>();
  let slow: Promise<unknown> | undefined;
  await b.createFunction("slow", 0, () => go.promise);
  await b.createFunction("g", 0, () => {
    const value = one(a, "SELECT 7"); // waits for f, which does not wait for this
    answer.resolve(5);
    return value;
  });
  await a.createFunction("f", 0, () => {
    slow = one(b, "SELECT slow()");
    entered.resolve();
    return answer.promise;
  });
  const f = one(a, "SELECT f()");
  await entered.promise;
  const g = one(b, "SELECT g()");
  go.resolve(1);
  assert.deepEqual(await Promise.all([f, g, slow]), [5, 7, 1]);
});

test("close() inside resolves at once and closes when the statement has ended", async () => {
  const db = await connect(":memory:");
  await db.createFunction("f", 1, async (i) => {
    if (i === 3) await db.close();
    return i;
  });
  const rows = await db.executeFetchAll(`${numbers(5)}SELECT f(i) FROM n`);
  assert.deepEqual(rows, [[1], [2], [3], [4], [5]]);
  assert.equal(db.closed, true);
  await fails(db.execute("SELECT 1"), ProgrammingError, "Cannot operate on a closed database.");
  await db.close();
});

// Interrupts and signals

/** A connection with a function `never()` that returns a promise which `end` settles, if ever. */
async function withNever() {
  const db = await connect(":memory:");
  const entered = Promise.withResolvers<void>();
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  await db.createFunction("never", 0, () => {
    entered.resolve();
    return promise;
  });
  return { db, entered: entered.promise, resolve, reject };
}

test("interrupt() ends the wait for a function", async () => {
  const { db, entered } = await withNever();
  const call = db.execute("SELECT never()");
  call.then(() => {}, () => {});
  await entered;
  db.interrupt();
  const error = await errorOf(call);
  assert.equal(error.code, "SQLITE_INTERRUPT");
  assert.equal(await one(db, "SELECT 1"), 1);
  await db.close();
});

test("a signal ends the wait for a function", async () => {
  const { db, entered } = await withNever();
  const controller = new AbortController();
  const reason = new Error("enough");
  const call = db.executeFetchAll("SELECT never()", [], { signal: controller.signal });
  const rejected = assert.rejects(call, (error) => error === reason);
  await entered;
  controller.abort(reason);
  await rejected;
  assert.equal(await one(db, "SELECT 1"), 1);
  await db.close();
});

test("a function is not waited for when its call has been aborted", async () => {
  const { db, entered } = await withNever();
  const controller = new AbortController();
  const call = db.executeFetchAll(`${numbers(1e9)}SELECT never() FROM n`, [], {
    signal: controller.signal,
  });
  const rejected = assert.rejects(call, { name: "AbortError" });
  await entered;
  const started = performance.now();
  controller.abort();
  await rejected;
  assert.ok(performance.now() - started < 1000);
  await db.close();
});

test("close() waits for a function, unless that is interrupted", async () => {
  const { db, entered } = await withNever();
  const call = errorOf(db.execute("SELECT never()"));
  await entered;
  db.interrupt();
  await db.close();
  assert.equal((await call).code, "SQLITE_INTERRUPT");
});

test("a late answer is ignored", async () => {
  const { db, entered, resolve } = await withNever();
  const controller = new AbortController();
  const call = db.executeFetchAll("SELECT never()", [], { signal: controller.signal });
  const rejected = assert.rejects(call, { name: "AbortError" });
  await entered;
  controller.abort();
  await rejected;
  const asked = Promise.withResolvers<void>();
  const right = Promise.withResolvers<unknown>();
  await db.createFunction("next", 0, () => {
    asked.resolve();
    return right.promise;
  });
  const next = one(db, "SELECT next()");
  await asked.promise;
  resolve("late");
  await new Promise((resolve) => setTimeout(resolve, 5));
  right.resolve("right");
  assert.equal(await next, "right");
  await db.close();
});

test("a late rejection is ignored", async () => {
  const { db, entered, reject } = await withNever();
  const call = errorOf(db.execute("SELECT never()"));
  await entered;
  db.interrupt();
  await call;
  reject(new Error("late"));
  await new Promise((resolve) => setTimeout(resolve, 5));
  const error = await errorOf(db.execute("SELECT * FROM missing"));
  assert.equal(error.cause, undefined);
  assert.equal(await one(db, "SELECT 1"), 1);
  await db.close();
});

for (const size of [10, 3_000_000]) {
  test(`a late answer of ${size} bytes is not that of the thread's next connection`, async () => {
    for (let i = 0; i < 3; i++) {
      const { db, entered, resolve } = await withNever();
      const call = one(db, "SELECT never()").catch(() => {}); // it may yet get its answer
      await entered;
      db.interrupt();
      if (i === 1) resolve("x".repeat(size)); // on its way when the connection closes
      await call;
      if (i === 2) resolve("x".repeat(size));
      await db.close();
      await using next = await connect(":memory:");
      const asked = Promise.withResolvers<void>();
      const right = Promise.withResolvers<unknown>();
      await next.createFunction("f", 0, () => {
        asked.resolve();
        return right.promise;
      });
      const value = one(next, "SELECT f()");
      await asked.promise;
      resolve("x".repeat(size));
      await new Promise((resolve) => setTimeout(resolve, 5));
      right.resolve("right");
      assert.equal(await value, "right");
      assert.equal(await one(next, "SELECT f()"), "right");
    }
  });
}

test("calls are aborted while their functions answer, time and again", async () => {
  await using db = await connect(":memory:");
  const big = "x".repeat(200_000);
  let controller = new AbortController();
  await db.createFunction("f", 0, async () => {
    await null;
    setImmediate(() => controller.abort());
    return big;
  });
  await db.createFunction("g", 1, (i) => i);
  for (let i = 0; i < 100; i++) {
    controller = new AbortController();
    const call = db.executeFetchAll(`${numbers(50)}SELECT length(f()) FROM n`, [], {
      signal: controller.signal,
    });
    const rows = await call.catch(() => []);
    for (const [length] of rows) assert.equal(length, big.length);
    assert.equal(await one(db, "SELECT g(?)", [i]), i);
  }
});

// Aggregates

class Sum {
  protected sum = 0;
  step(value: SqlValue) {
    this.sum += value as number;
  }
  inverse(value: SqlValue) {
    this.sum -= value as number;
  }
  value(): unknown {
    return this.sum;
  }
  finalize(): unknown {
    return this.sum;
  }
}

test("an aggregate steps through the rows and is finalized", async () => {
  await using db = await connect(":memory:");
  const calls: unknown[] = [];
  await db.createAggregate(
    "list",
    2,
    class {
      constructor() {
        calls.push("new");
      }
      step(...values: SqlValue[]) {
        calls.push(values);
      }
      finalize() {
        calls.push("end");
        return calls.length;
      }
    },
  );
  const values = [[1, null], ["a\0b", 2.5], [new Uint8Array(), 2n ** 60n]];
  await db.execute("CREATE TABLE t (a, b)");
  await db.executeMany("INSERT INTO t VALUES (?, ?)", values as SqlValue[][]);
  assert.equal(await one(db, "SELECT list(a, b) FROM t"), 5);
  assert.deepEqual(calls, ["new", ...values, "end"]);
});

test("an aggregate of no rows is NULL, and nothing is made", async () => {
  await using db = await connect(":memory:");
  let made = 0;
  await db.createAggregate(
    "f",
    1,
    class extends Sum {
      constructor() {
        super();
        made++;
      }
    },
  );
  assert.deepEqual(await db.executeFetchAll("SELECT f(1) WHERE 0"), [[null]]);
  assert.deepEqual(await db.executeFetchAll("SELECT f(1) FROM sqlite_schema GROUP BY name"), []);
  assert.equal(made, 0);
});

test("an aggregate of any number of arguments, and of none", async () => {
  await using db = await connect(":memory:");
  let seen: SqlValue[][] = [];
  class Arguments {
    step(...values: SqlValue[]) {
      seen.push(values);
    }
    finalize() {
      return seen.length;
    }
  }
  await db.createAggregate("f", -1, Arguments);
  assert.equal(await one(db, `${numbers(2)}SELECT f() FROM n`), 2);
  assert.deepEqual(seen, [[], []]);
  seen = [];
  await one(db, "SELECT f(1, 2, 3)");
  assert.deepEqual(seen, [[1, 2, 3]]);
});

test("aggregates of groups, of several calls and of nested queries", async () => {
  await using db = await connect(":memory:");
  await db.createAggregate("total2", 1, Sum);
  const rows = await db.executeFetchAll(
    `${numbers(100)}SELECT i % 3, total2(i), total2(-i), sum(i),
      (SELECT total2(m.i) FROM n m WHERE m.i <= n.i % 3) FROM n GROUP BY i % 3 ORDER BY 1`,
  );
  assert.deepEqual(
    rows.map((row) => row.slice(0, 4)),
    [0, 1, 2].map((rest) => {
      const all = Array.from({ length: 100 }, (_, i) => i + 1).filter((i) => i % 3 === rest);
      const sum = all.reduce((one, other) => one + other);
      return [rest, sum, -sum, sum];
    }),
  );
});

test("aggregates of two cursors that are read in turn", async () => {
  await using db = await connect(":memory:");
  await db.createAggregate("f", 1, Sum);
  await db.execute("CREATE TABLE t AS " + numbers(100) + "SELECT i FROM n");
  await db.execute("CREATE INDEX t_i ON t (i)");
  const sql = "SELECT i, f(i) FROM t GROUP BY i";
  const [one, other] = [await db.execute(sql), await db.execute(sql)];
  for (let i = 1; i <= 100; i++) {
    assert.deepEqual(await one.fetchOne(), [i, i]);
    assert.deepEqual(await other.fetchOne(), [i, i]);
  }
});

test("an aggregate with FILTER and DISTINCT", async () => {
  await using db = await connect(":memory:");
  await db.createAggregate("f", 1, Sum);
  const sql = `${numbers(10)}SELECT f(DISTINCT i % 3), f(i) FILTER (WHERE i > 9) FROM n`;
  assert.deepEqual(await db.executeFetchOne(sql), [3, 10]);
});

test("an aggregate may be asynchronous", async () => {
  await using db = await connect(":memory:");
  await using other = await connect(":memory:");
  await db.createAggregate(
    "f",
    1,
    class {
      #sum = 0;
      async step(value: SqlValue) {
        this.#sum = await one(other, "SELECT ? + ?", [this.#sum, value]) as number;
      }
      async finalize() {
        return await one(other, "SELECT -?", [this.#sum]);
      }
    },
  );
  assert.equal(await one(db, `${numbers(10)}SELECT f(i) FROM n`), -55);
});

for (const method of ["constructor", "step", "finalize"] as const) {
  test(`an aggregate whose ${method} throws`, async () => {
    await using db = await connect(":memory:");
    const cause = new Error(method);
    class Throwing extends Sum {
      constructor() {
        super();
        if (method === "constructor") throw cause;
      }
      override step() {
        if (method === "step") throw cause;
      }
      override finalize() {
        if (method === "finalize") throw cause;
      }
    }
    await db.createAggregate("f", 1, Throwing);
    const where = method === "constructor" ? "step" : method;
    const message = `user-defined aggregate's '${where}' method raised error`;
    for (let i = 0; i < 3; i++) {
      const call = db.execute(`${numbers(5)}SELECT f(i) FROM n`);
      assert.equal((await fails(call, OperationalError, message)).cause, cause);
    }
    assert.equal(await one(db, "SELECT 1"), 1);
  });
}

for (const method of ["step", "finalize", "value", "inverse"] as const) {
  test(`a class without ${method}`, async () => {
    await using db = await connect(":memory:");
    class Lacking extends Sum {}
    Object.defineProperty(Lacking.prototype, method, { value: undefined });
    await db.createWindowFunction("f", 1, Lacking);
    const frame = "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING";
    const sql = method === "step" || method === "finalize"
      ? `${numbers(3)}SELECT f(i) FROM n`
      : `${numbers(5)}SELECT f(i) OVER (ORDER BY i ${frame}) FROM n`;
    const message = `user-defined aggregate's '${method}' method not defined`;
    const error = await fails(db.executeFetchAll(sql), OperationalError, message);
    assert.ok(error.cause instanceof ProgrammingError);
  });
}

test("an aggregate's result that can't be stored", async () => {
  await using db = await connect(":memory:");
  let result: unknown;
  class Result extends Sum {
    override finalize() {
      return result;
    }
  }
  await db.createAggregate("f", 1, Result);
  result = 2n ** 63n;
  assert.ok(await errorOf(db.execute("SELECT f(1)")) instanceof DataError);
  result = {};
  assert.ok(await errorOf(db.execute("SELECT f(1)")) instanceof OperationalError);
  for (result of [null, 1, 2.5, "a\0b", new Uint8Array([1]), 2n ** 60n]) {
    assert.deepEqual(await db.executeFetchOne("SELECT f(1)"), [result]);
  }
});

test("what step returns does not matter", async () => {
  await using db = await connect(":memory:");
  class Odd extends Sum {
    override step(value: SqlValue): unknown {
      super.step(value);
      return value === 1 ? {} : Symbol("s");
    }
  }
  await db.createAggregate("f", 1, Odd as never);
  assert.equal(await one(db, `${numbers(4)}SELECT f(i) FROM n`), 10);
});

// Window functions

test("a window function slides", async () => {
  await using db = await connect(":memory:");
  await db.createWindowFunction("f", 1, Sum);
  const frame = "OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)";
  const rows = await db.executeFetchAll(
    `${numbers(50)}SELECT f(i) ${frame}, sum(i) ${frame} FROM n`,
  );
  assert.equal(rows.length, 50);
  for (const [ours, theirs] of rows) assert.equal(ours, theirs);
});

test("a window function of partitions, and of empty frames", async () => {
  await using db = await connect(":memory:");
  await db.createWindowFunction("f", 1, Sum);
  const rows = await db.executeFetchAll(
    `${numbers(9)}SELECT i, f(i) OVER (PARTITION BY i % 2 ORDER BY i
      ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) FROM n ORDER BY i`,
  );
  assert.deepEqual(rows, [
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 2],
    [5, 4],
    [6, 6],
    [7, 8],
    [8, 10],
    [9, 12],
  ]);
});

test("a window function as an aggregate, and an aggregate as none", async () => {
  await using db = await connect(":memory:");
  await db.createWindowFunction("w", 1, Sum);
  await db.createAggregate("a", 1, Sum);
  assert.equal(await one(db, `${numbers(4)}SELECT w(i) FROM n`), 10);
  const error = await errorOf(db.execute(`${numbers(4)}SELECT a(i) OVER () FROM n`));
  assert.equal(error.message, "a() may not be used as a window function");
});

for (const method of ["constructor", "step", "value", "inverse"] as const) {
  test(`a window function whose ${method} throws`, async () => {
    await using db = await connect(":memory:");
    const cause = new Error(method);
    const check = (name: string) => {
      if (name === method) throw cause;
    };
    class Throwing extends Sum {
      constructor() {
        super();
        check("constructor");
      }
      override step() {
        check("step");
      }
      override value() {
        check("value");
        return 0;
      }
      override inverse() {
        check("inverse");
      }
    }
    await db.createWindowFunction("f", 1, Throwing);
    const frame = "OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)";
    const where = method === "constructor" ? "step" : method;
    for (let i = 0; i < 3; i++) {
      const error = await fails(
        db.executeFetchAll(`${numbers(5)}SELECT f(i) ${frame} FROM n`),
        OperationalError,
        `user-defined aggregate's '${where}' method raised error`,
      );
      assert.equal(error.cause, cause);
    }
    assert.equal(await one(db, "SELECT 1"), 1);
  });
}

test("a window function is defined anew and removed", async () => {
  await using db = await connect(":memory:");
  class Negative extends Sum {
    override finalize() {
      return -this.sum;
    }
  }
  await db.createWindowFunction("f", 1, Sum);
  assert.equal(await one(db, `${numbers(3)}SELECT f(i) FROM n`), 6);
  await db.createWindowFunction("f", 1, Negative);
  assert.equal(await one(db, `${numbers(3)}SELECT f(i) FROM n`), -6);
  await db.createWindowFunction("f", 1, null);
  await fails(db.execute("SELECT f(1)"), OperationalError, "no such function: f");
});

test("value() out of 64 bits", async () => {
  await using db = await connect(":memory:");
  class Large extends Sum {
    override value() {
      return 2n ** 63n;
    }
  }
  await db.createWindowFunction("f", 1, Large);
  const call = db.executeFetchAll(`${numbers(3)}SELECT f(i) OVER (ORDER BY i) FROM n`);
  assert.ok(await errorOf(call) instanceof DataError);
});

// Functions of modules

const MODULE = `
  export default (a) => a;
  export const double = (a) => a * 2;
  export const count = (...values) => values.length;
  export const fail = () => { throw new TypeError("in the module"); };
  export const kind = (a) => a === null ? "null" : a instanceof Uint8Array ? "bytes" : typeof a;
  export const later = async () => 1;
  export const none = () => {};
  export const large = () => 2n ** 63n;
  export const nan = () => NaN;
  export const yes = () => true;
  export const text = () => "a\\0ü😀";
  export const lone = () => "\\ud800";
  export const notAFunction = 5;
  let calls = 0;
  export const state = () => ++calls;
`;

function moduleUrl(source = MODULE): string {
  const path = join(folder(), "functions.mjs");
  writeFileSync(path, source);
  return pathToFileURL(path).href;
}

test("a function of a module", async () => {
  await using db = await connect(":memory:");
  const module = moduleUrl();
  await db.createFunction("same", 1, { module });
  await db.createFunction("double", 1, { module: new URL(module), export: "double" });
  await db.createFunction("count", -1, { module, export: "count" });
  await db.createFunction("count2", -1, { module, export: "count" });
  await db.createFunction("state", 0, { module, export: "state" });
  assert.deepEqual(
    await db.executeFetchOne("SELECT same('x'), double(21), count2(1, 2, 3), count2()"),
    ["x", 42, 3, 0],
  );
  assert.deepEqual(await db.executeFetchAll(`${numbers(3)}SELECT state() FROM n`), [[1], [2], [3]]);
});

test("the values of a module's function", async () => {
  await using db = await connect(":memory:");
  const module = moduleUrl();
  await db.createFunction("same", 1, { module });
  for (const [, value] of VALUES) {
    const row = await db.executeFetchOne("SELECT same(?1), typeof(same(?1)) = typeof(?1)", [value]);
    assert.deepEqual(row, [value, 1]);
  }
  for (const name of ["kind", "nan", "yes", "text"]) {
    await db.createFunction(name, -1, { module, export: name });
  }
  assert.deepEqual(
    await db.executeFetchOne(
      "SELECT kind(NULL), kind(1), kind(1 << 60), kind(''), kind(x''), nan(), yes(), text()",
    ),
    ["null", "number", "bigint", "string", "bytes", null, 1, "a\0ü😀"],
  );
});

test("errors of a module's function", async () => {
  await using db = await connect(":memory:");
  const module = moduleUrl();
  for (const name of ["fail", "later", "none", "large", "lone"]) {
    await db.createFunction(name, 0, { module, export: name });
  }
  await fails(db.execute("SELECT fail()"), OperationalError, /fail\(\) .*in the module/);
  await fails(db.execute("SELECT later()"), OperationalError, /can't be stored/);
  await fails(db.execute("SELECT none()"), OperationalError, /can't be stored/);
  await fails(db.execute("SELECT lone()"), OperationalError, /can't be stored/);
  assert.ok(await errorOf(db.execute("SELECT large()")) instanceof DataError);
  assert.equal(await one(db, "SELECT 1"), 1);
});

test("modules and exports that are missing", async () => {
  await using db = await connect(":memory:");
  const module = moduleUrl();
  const make = (module: string, name: string) =>
    db.createFunction("f", 0, { module, export: name });
  await fails(make(module, "missing"), ProgrammingError, /exports no function 'missing'/);
  await fails(make(module, "notAFunction"), ProgrammingError, /exports no function/);
  await fails(make(`${module}.missing`, "f"), ProgrammingError, /can't be imported/);
  await fails(make(moduleUrl("this is no JavaScript"), "f"), ProgrammingError, /can't be imported/);
  await fails(
    make(moduleUrl("throw new Error('at its top')"), "f"),
    ProgrammingError,
    /at its top/,
  );
  await fails(make("functions.ts", "f"), ProgrammingError, /module/);
  const bad = db.createFunction("f", 0, { module, export: 5 as never });
  await fails(bad, ProgrammingError, /module/);
  await fails(db.execute("SELECT f()"), OperationalError, "no such function: f");
});

test("a module's function is replaced and removed, and keeps its place in the queue", async () => {
  await using db = await connect(":memory:");
  const module = moduleUrl();
  const results = await Promise.all([
    db.createFunction("f", 1, { module, export: "double" }),
    one(db, "SELECT f(4)"),
    db.createFunction("f", 1, (x) => -(x as number)),
    one(db, "SELECT f(4)"),
    db.createFunction("f", 1, { module, export: "kind" }),
    one(db, "SELECT f(4)"),
    db.createFunction("f", 1, null),
    errorOf(db.execute("SELECT f(4)")).then((error) => error.message),
  ]);
  assert.deepEqual(results.filter((result) => result !== undefined), [
    8,
    -4,
    "number",
    "no such function: f",
  ]);
});

test("a module's function that is deterministic serves an index", async () => {
  await using db = await connect(":memory:", { trustedSchema: true });
  const made = { module: moduleUrl(), export: "double" };
  await db.createFunction("double", 1, made, { deterministic: true });
  await db.execute("CREATE TABLE t (x)");
  await db.execute("CREATE INDEX i ON t (double(x))");
  await db.executeMany("INSERT INTO t VALUES (?)", [[1], [2]]);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t WHERE double(x) = 4"), [[2]]);
});

// After close

test("a closed connection takes no functions", async () => {
  const db = await connect(":memory:");
  await db.createFunction("f", 0, () => 1);
  await db.close();
  const closed = "Cannot operate on a closed database.";
  await fails(db.createFunction("f", 0, () => 1), ProgrammingError, closed);
  await fails(db.createFunction("f", 0, { module: moduleUrl() }), ProgrammingError, closed);
  await fails(db.createAggregate("f", 0, Sum), ProgrammingError, closed);
  await fails(db.createWindowFunction("f", 0, Sum), ProgrammingError, closed);
});

test("functions are those of their connection", async () => {
  await using a = await connect(":memory:");
  await using b = await connect(":memory:");
  await a.createFunction("f", 0, () => "a");
  await fails(b.execute("SELECT f()"), OperationalError, "no such function: f");
  await b.createFunction("f", 0, () => "b");
  assert.deepEqual([await one(a, "SELECT f()"), await one(b, "SELECT f()")], ["a", "b"]);
});

test("a task that a function has left behind may use the connection when another one runs", async () => {
  await using db = await connect(":memory:");
  const running = Promise.withResolvers<void>();
  let left: Promise<unknown> | undefined;
  await db.createFunction("leave", 0, () => {
    left = running.promise.then(() => db.executeFetchOne("SELECT 1"));
    return 0;
  });
  await db.createFunction("slow", 0, async () => {
    running.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    return 2;
  });
  await db.executeFetchOne("SELECT leave()");
  assert.deepEqual(await db.executeFetchOne("SELECT slow()"), [2]);
  assert.deepEqual(await left, [1]);
});
