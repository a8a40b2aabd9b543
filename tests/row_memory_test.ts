import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { load } from "../ffi/libsqlite3.ts";
import { Database } from "../ffi/sqlite.ts";
import { Writer } from "../src/thread/codec.ts";
import { BatchWriter, readBatch } from "../src/thread/rows.ts";

// Rows read from SQLite's memory against rows read by the C API: each SELECT runs in both ways, and
// the batches have to be the same, byte for byte.

const READWRITE_CREATE = 0x6;
const encoder = new TextEncoder();

/** A database in memory, read in one of the two ways. */
class Reader implements Disposable {
  readonly database: Database;

  constructor(way: "memory" | "API", script: string) {
    this.database = Database.open(load(undefined), ":memory:", READWRITE_CREATE, false);
    if (way === "API") this.database.rowMemory = null;
    for (const statement of this.database.statements(encoder.encode(script))) {
      while (statement.step());
      statement.finalize();
    }
  }

  /** All rows, as one batch. */
  batch(sql: string): Uint8Array<ArrayBuffer> {
    const [statement] = this.database.prepare(encoder.encode(sql), false);
    const writer = new Writer();
    const batch = new BatchWriter(writer);
    batch.begin();
    try {
      while (statement!.step()) batch.add(statement!);
      assert.ok(batch.rowCount > 0, `${sql}: no rows`);
      batch.end();
    } finally {
      statement!.finalize();
    }
    return writer.bytes.slice(0, writer.length);
  }

  [Symbol.dispose](): void {
    this.database.close();
  }
}

/** Asserts that each SELECT gives the same in both ways, and returns the rows of the last. */
function compare(script: string, ...selects: string[]): unknown[][] {
  using memory = new Reader("memory", script);
  using api = new Reader("API", script);
  let rows: unknown[][] = [];
  for (const sql of selects) {
    const bytes = api.batch(sql);
    // Often enough for windows to be opened, where there are any.
    for (let i = 0; i < 20; i++) assert.deepEqual(memory.batch(sql), bytes, sql);
    const decoding = { integers: "auto", text: "bytes" } as const;
    ({ rows } = readBatch(bytes, new DataView(bytes.buffer), 0, decoding));
  }
  return rows;
}

test("row memory: the layout is known, from 3.40 on", () => {
  using reader = new Reader("memory", "");
  const known = load(undefined).sqlite3_libversion_number() >= 3_040_000;
  assert.equal(reader.database.rowMemory !== null, known);
});

test("row memory: every kind of value, at its limits", () => {
  const [row] = compare(
    "",
    "SELECT 0, 1, -1, 2147483647, 2147483648, -2147483648, -2147483649, 4294967295, 4294967296",
    "SELECT 9007199254740991, 9007199254740992, 9007199254740993, -9007199254740991, " +
      "-9007199254740992, -9007199254740993, 9223372036854775807, -9223372036854775808",
    "SELECT 0.0, -0.0, 1.0, 1e308, -1e-308, 9e999, -9e999, 5e-324, 0.1",
    "SELECT NULL, '', 'a', 'ä€𝄞', x'', x'00ff', zeroblob(0), zeroblob(70000), NULL",
    "SELECT 'a' || char(0) || 'b', CAST(x'ff00fe' AS TEXT), CAST(zeroblob(5) AS TEXT), 1",
    "SELECT hex(zeroblob(0)), printf('%d', 5), 5 || '', upper('x'), json('[1]'), 1",
    "SELECT 1, 2.5, 'text', NULL, x'0102'",
  );
  const text = encoder.encode("text");
  assert.deepEqual(row, [1, 2.5, text, null, new Uint8Array([1, 2])]);
});

test("row memory: values as tables hold them", () => {
  const script = `
    CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, n NUMERIC, x TEXT, b BLOB, a);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400)
    INSERT INTO t SELECT i, i / 2, i * 1e15, i, zeroblob(i % 7),
      CASE i % 6 WHEN 0 THEN NULL WHEN 1 THEN i WHEN 2 THEN i / 7.0 WHEN 3 THEN 'text ' || i
      WHEN 4 THEN CAST(i AS BLOB) ELSE substr(hex(zeroblob(9000)), 1, i * 40) END FROM c;
    CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
    INSERT INTO w SELECT x || '€', a FROM t;
    CREATE INDEX byText ON t (x, r);
    CREATE VIRTUAL TABLE search USING fts5(title, body);
    INSERT INTO search SELECT 'title ' || id, 'body ' || x FROM t;
  `;
  compare(
    script,
    "SELECT * FROM t",
    "SELECT * FROM t ORDER BY a, x DESC",
    "SELECT * FROM w",
    "SELECT x, r FROM t ORDER BY x", // from the index alone
    "SELECT x, r, +r, typeof(r), r + 0, CAST(r AS INTEGER), CAST(r AS TEXT) FROM t",
    "SELECT x + 0, -x, x || '', length(a), quote(a), a IS NULL FROM t",
    "SELECT a, count(*), max(x), min(r), total(n), sum(id), avg(r), group_concat(x) FROM t GROUP BY a",
    "SELECT id, row_number() OVER (ORDER BY r), lag(a) OVER (), sum(r) OVER (ORDER BY id) FROM t",
    "SELECT id, a FROM t UNION ALL SELECT k, v FROM w",
    "SELECT id, a FROM t UNION ALL SELECT k, v FROM w ORDER BY 2, 1",
    "SELECT DISTINCT a, typeof(a) FROM t",
    "SELECT t.a, u.a, u.r FROM t LEFT JOIN t AS u ON u.id = t.id * 2",
    "SELECT * FROM (SELECT id, a FROM t LIMIT 10), (SELECT k, v FROM w LIMIT 10)",
    "SELECT (SELECT a FROM t AS u WHERE u.id = t.id), EXISTS (SELECT 1 FROM w WHERE k = x) FROM t",
    "VALUES (1, 'a', 2.5), ('b', NULL, x'00'), (3, 4, 5)",
    "SELECT title, snippet(search, 1, '<', '>', '...', 5), rank FROM search WHERE search MATCH '7'",
    'SELECT key, value, type, atom FROM json_each(\'[1, 2.5, "a", null, {"b": []}, true]\')',
    "PRAGMA table_info(t)",
    "SELECT name, type, sql FROM sqlite_schema",
  );
});

test("row memory: texts of a database in UTF-16", () => {
  for (const encoding of ["UTF-16le", "UTF-16be"]) {
    compare(
      `PRAGMA encoding = '${encoding}'; CREATE TABLE t (a TEXT, b);
       INSERT INTO t VALUES ('ä€𝄞', 1), ('', 'b'), (NULL, 2.5), ('plain', x'41');`,
      "SELECT * FROM t",
      "SELECT a || b, upper(a), hex(a), length(a) FROM t",
      "SELECT 1, 'literal', 2.5",
    );
  }
});

test("row memory: a statement that is compiled again, with other columns", () => {
  const script = "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'one'), (2, 'two')";
  using memory = new Reader("memory", script);
  const sql = (text: string) => memory.database.prepare(encoder.encode(text), false)[0]!;
  const select = sql("SELECT * FROM t");
  const read = () => {
    assert.ok(select.step());
    select.refreshColumnCount();
    select.readRow();
    return Array.from({ length: select.columnCount }, (_, i) => select.columnType(i));
  };
  assert.deepEqual(read(), [1, 3]);
  select.reset();
  const alter = sql("ALTER TABLE t ADD COLUMN c DEFAULT 2.5");
  alter.step();
  alter.finalize();
  assert.deepEqual(read(), [1, 3, 2]);
  select.finalize();
});

test("row memory: any values in any order", () => {
  const literal = fc.oneof(
    fc.bigInt(-(2n ** 63n) + 1n, 2n ** 63n - 1n).map(String),
    fc.integer().map(String),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n.toExponential()),
    fc.string({ unit: "grapheme" }).map((text) => `'${text.replaceAll("'", "''")}'`),
    fc.uint8Array({ maxLength: 20 }).map((bytes) =>
      `x'${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}'`
    ),
    fc.constant("NULL"),
  ).filter((text) => !text.includes("\0"));
  const tables = fc.integer({ min: 1, max: 12 }).chain((columns) =>
    fc.array(fc.array(literal, { minLength: columns, maxLength: columns }), { minLength: 1 })
  );
  fc.assert(
    fc.property(tables, (rows) => {
      const values = rows.map((row) => `(${row.join(", ")})`).join(", ");
      const names = rows[0]!.map((_, i) => `c${i}${["", " TEXT", " REAL", " NUMERIC"][i % 4]}`);
      compare(
        `CREATE TABLE t (${names.join(", ")}); INSERT INTO t VALUES ${values};`,
        `VALUES ${values}`,
        "SELECT * FROM t",
        "SELECT * FROM t ORDER BY c0",
      );
    }),
  );
});
