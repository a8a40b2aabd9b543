import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { connect, type Connection, type SqlValue } from "../mod.ts";

const SEED = 20240607;
const INT64_MAX = 2n ** 63n - 1n;

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: fc.integer() },
  { weight: 2, arbitrary: fc.maxSafeInteger() },
  { weight: 2, arbitrary: fc.bigInt({ min: -INT64_MAX - 1n, max: INT64_MAX }) },
  { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 54n), max: 2n ** 54n }) },
  { weight: 2, arbitrary: fc.double() },
  { weight: 3, arbitrary: fc.string() },
  { weight: 3, arbitrary: fc.string({ unit: "binary", maxLength: 100 }) },
  { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom("\0", "\ufeff", "é", "€", "😀") }) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 100 }) },
);

/** Rows of one width each, some of them with values larger than a batch of rows. */
const table: fc.Arbitrary<SqlValue[][]> = fc.integer({ min: 1, max: 6 }).chain((width) =>
  fc.array(fc.array(value, { minLength: width, maxLength: width }), { maxLength: 60 })
);

/** What a value is read back as where INTEGER is read in the default way. */
function stored(value: SqlValue): SqlValue {
  if (typeof value === "number") return Number.isNaN(value) ? null : value;
  if (typeof value !== "bigint") return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function asBigInt(value: SqlValue): SqlValue {
  const integer = typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0);
  return integer ? BigInt(value) : value;
}

async function refill(db: Connection, rows: readonly SqlValue[][]): Promise<number> {
  const width = rows[0]?.length ?? 1;
  const names = Array.from({ length: width }, (_, i) => `c${i}`);
  await db.executeScript(`DROP TABLE IF EXISTS t; CREATE TABLE t (${names.join()})`);
  const cursor = await db.executeMany(
    `INSERT INTO t VALUES (${names.map(() => "?").join()})`,
    rows,
  );
  return cursor.rowCount;
}

const SELECT = "SELECT * FROM t ORDER BY rowid";

test("any rows come back from fetchAll and from `for await` as they were", async () => {
  await using db = await connect(":memory:");
  await fc.assert(
    fc.asyncProperty(table, fc.integer({ min: 1, max: 70 }), async (rows, chunk) => {
      assert.equal(await refill(db, rows), rows.length);
      const wanted = rows.map((row) => row.map(stored));
      assert.deepEqual(await db.executeFetchAll(SELECT), wanted);
      const cursor = await db.execute(SELECT);
      cursor.iterChunkSize = chunk;
      const read: SqlValue[][] = [];
      for await (const row of cursor) read.push(row);
      assert.deepEqual(read, wanted);
    }),
    { seed: SEED, numRuns: 150 },
  );
});

test("fetchMany and fetchOne hand out any rows in any portions", async () => {
  await using db = await connect(":memory:");
  const sizes = fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 1, maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(table, sizes, async (rows, sizes) => {
      await refill(db, rows);
      const wanted = rows.map((row) => row.map(stored));
      const cursor = await db.execute(SELECT);
      const read: SqlValue[][] = [];
      for (const size of sizes) {
        const portion = await cursor.fetchMany(size);
        assert.equal(portion.length, Math.min(size, wanted.length - read.length));
        read.push(...portion);
        const one = await cursor.fetchOne();
        assert.deepEqual(one, wanted[read.length]);
        if (one) read.push(one);
      }
      read.push(...await cursor.fetchAll());
      assert.deepEqual(read, wanted);
      assert.equal(await cursor.fetchOne(), undefined);
    }),
    { seed: SEED, numRuns: 150 },
  );
});

test("with integers 'bigint' every integer comes back as a bigint", async () => {
  await using db = await connect(":memory:", { integers: "bigint" });
  await fc.assert(
    fc.asyncProperty(table, async (rows) => {
      await refill(db, rows);
      const wanted = rows.map((row) => row.map((value) => asBigInt(stored(value))));
      assert.deepEqual(await db.executeFetchAll(SELECT), wanted);
    }),
    { seed: SEED, numRuns: 100 },
  );
});

test("with integers 'number' rows come back, or a DataError if one is unsafe", async () => {
  await using db = await connect(":memory:", { integers: "number" });
  await fc.assert(
    fc.asyncProperty(table, async (rows) => {
      await refill(db, rows);
      const wanted = rows.map((row) => row.map(stored));
      if (wanted.flat().some((value) => typeof value === "bigint")) {
        await assert.rejects(db.executeFetchAll(SELECT), { name: "DataError" });
      }
      for (const [i, row] of wanted.entries()) {
        const read = db.executeFetchOne("SELECT * FROM t WHERE rowid = ?", [i + 1]);
        if (row.some((value) => typeof value === "bigint")) {
          await assert.rejects(read, { name: "DataError" });
        } else assert.deepEqual(await read, row);
      }
    }),
    { seed: SEED, numRuns: 40 },
  );
});

test("any text or blob of any size comes back, alone and among others", async () => {
  await using db = await connect(":memory:");
  const large = fc.record({
    unit: fc.constantFrom("a", "é", "€", "😀", "\0", "ab€"),
    count: fc.integer({ min: 0, max: 400_000 }),
    byte: fc.integer({ min: 0, max: 255 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(large, { minLength: 1, maxLength: 4 }), async (parts) => {
      const rows = parts.map(({ unit, count, byte }) => [
        unit.repeat(count / unit.length),
        count,
        new Uint8Array(count).fill(byte),
      ]);
      await refill(db, rows);
      const read = await db.executeFetchAll(SELECT);
      assert.equal(read.length, rows.length);
      for (const [i, [text, count, blob]] of read.entries()) {
        assert.ok(text === rows[i]![0], "the text");
        assert.equal(count, rows[i]![1]);
        assert.equal((blob as Uint8Array).length, count);
        assert.ok((blob as Uint8Array).every((byte) => byte === parts[i]!.byte), "the blob");
      }
    }),
    { seed: SEED, numRuns: 15 },
  );
});
