import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { connect, type Connection, SqliteError, sqliteVersion } from "../mod.ts";
import { command } from "./helpers.ts";

/** Runs the statements it is given as JSON and answers with what came of each. */
const PYTHON = `
import json, sqlite3, struct, sys
level, statements = json.load(sys.stdin)
db = sqlite3.connect(":memory:", isolation_level=level, cached_statements=10000)
def tagged(v):
    if v is None: return "null"
    if isinstance(v, int): return "int " + str(v)
    if isinstance(v, float): return "real " + struct.pack(">d", v).hex()
    return "blob " + v.hex() if isinstance(v, bytes) else "text " + v
def run(sql):
    try:
        cursor = db.execute(sql)
        rows = [[tagged(v) for v in row] for row in cursor.fetchall()]
        inserted = sql.startswith(("INSERT", "REPLACE")) and cursor.rowcount > 0
        return {"rows": rows, "rowCount": cursor.rowcount,
                "lastRowId": str(cursor.lastrowid) if inserted else None,
                "columns": cursor.description and [c[0] for c in cursor.description]}
    except (sqlite3.Error, sqlite3.Warning) as e:
        code = getattr(e, "sqlite_errorname", None)
        name = {"Warning": "ProgrammingError", "Error": "SqliteError"}.get(type(e).__name__)
        return {"error": name or type(e).__name__, "code": code, "message": str(e) if code else None}
print(json.dumps([{**run(sql), "inTransaction": db.in_transaction} for sql in statements]))
`;

interface Outcome {
  rows?: string[][];
  rowCount?: number;
  lastRowId?: string | null;
  columns?: string[] | null;
  error?: string;
  code?: string | null;
  message?: string | null;
  inTransaction: boolean;
}

function tagged(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "bigint") return `int ${value}`;
  if (typeof value === "string") return `text ${value}`;
  const bytes = value instanceof Uint8Array ? value : new Uint8Array(8);
  if (typeof value === "number") new DataView(bytes.buffer).setFloat64(0, value);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return typeof value === "number" ? `real ${hex}` : `blob ${hex}`;
}

async function run(db: Connection, sql: string): Promise<Omit<Outcome, "inTransaction">> {
  try {
    const cursor = await db.execute(sql);
    const rows = (await cursor.fetchAll()).map((row) => row.map(tagged));
    const { rowCount, lastRowId, description } = cursor;
    const inserted = /^(INSERT|REPLACE)/.test(sql) && rowCount > 0;
    return {
      rows,
      rowCount,
      lastRowId: inserted ? String(lastRowId) : null,
      columns: description && description.map(({ name }) => name),
    };
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
    const code = error.code ?? null;
    return { error: error.name, code, message: code && error.message };
  }
}

/** Makes statements, always the same ones for a seed. */
class Generator {
  #state: number;
  /** Behind the largest rowid SQLite takes random ones, so no value like that is stored. */
  #storing = false;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** Below `end`. (The generator is mulberry32.) */
  number(end: number): number {
    let t = this.#state = (this.#state + 0x6d2b79f5) | 0;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % end;
  }

  pick<T>(...choices: T[]): T {
    return choices[this.number(choices.length)]!;
  }

  maybe(text: string, oneIn = 2): string {
    return this.number(oneIn) === 0 ? text : "";
  }

  list(make: () => string, most = 3): string {
    return Array.from({ length: 1 + this.number(most) }, make).join(", ");
  }

  literal(): string {
    return this.pick(
      () => "NULL",
      () => String(this.number(10)),
      () => String(this.number(2 ** 31) - 2 ** 30),
      () =>
        this.#storing
          ? "-1"
          : this.pick("9223372036854775807", "(-9223372036854775807 - 1)", "9223372036854775808"),
      () => this.pick("9007199254740991", "9007199254740993", "-9007199254740993", "4294967296"),
      () => this.pick("0.0", "-0.0", "1.5", "-1e300", "-2.5e-310", "-9e999", "3.0", "0.1"),
      () => this.pick("''", "'abc'", "'ABC '", "'12'", "' 7x'", "'it''s'", "'1e2'", "'%a_'"),
      () => this.pick("'é'", "'日本'", "'😀x'", "'\ufeffb'", "char(0, 97)", "'x' || char(0)"),
      () => this.pick("x''", "x'00'", "x'616263'", "x'0102'", "zeroblob(3)", "0x7f", "TRUE"),
    )();
  }

  column(): string {
    return this.pick("a", "b", "c", "d", "a", "b", "rowid", this.pick("nope", "t0.a", '"b"'));
  }

  operator(): string {
    return this.pick(
      ...["+", "-", "*", "/", "%", "||", "&", "|", "<<", ">>", "=", "<", "<=", "<>", "IS"],
      ...["IS NOT", "AND", "OR", "LIKE", "GLOB", "IS DISTINCT FROM", "->", "->>", "=="],
    );
  }

  call(value: () => string): string {
    const name = this.pick(
      ...["abs", "length", "upper", "lower", "typeof", "hex", "quote", "round", "trim", "unicode"],
      ...["sign", "sqrt", "ceil", "soundex", "likely", "date", "julianday", "json", "json_type"],
      ...["json_valid", "json_quote", "zeroblob", "ltrim", "nosuch", "count", "sum", "exp"],
    );
    if (name === "zeroblob") return `zeroblob(${this.number(20) - 2})`;
    if (name === "date" || name === "julianday") return `${name}('2024-02-${this.number(32)}')`;
    return this.pick(
      () => `${name}(${value()})`,
      () => `${name}(${value()})`,
      () => `${this.pick("coalesce", "min", "max", "iif", "json_array")}(${value()}, ${value()})`,
      () => `${this.pick("ifnull", "nullif", "instr", "round", "trim")}(${value()}, ${value()})`,
      () => `substr(${value()}, ${this.number(5) - 2}${this.maybe(`, ${this.number(4)}`)})`,
      () => `replace(${value()}, ${value()}, 'r')`,
      () => `printf(${this.pick("'%d|%s'", "'%.3f'", "'%5x%%'", "'%q'", "'%w%g'")}, ${value()})`,
      () => this.pick("changes()", "total_changes()", "last_insert_rowid()", "sqlite_version()"),
    )();
  }

  /** An expression, with columns only where there are any. */
  expression(depth = 3, columns = true): string {
    const value = () => this.expression(depth - 1, columns);
    if (depth === 0) return columns && this.number(2) ? this.column() : this.literal();
    return this.pick(
      () => this.expression(0, columns),
      () => this.expression(0, columns),
      () => `(${value()} ${this.operator()} ${value()})`,
      () => `(${value()} ${this.operator()} ${value()})`,
      () => this.call(value),
      () => this.call(value),
      () => `(${this.pick("-", "+", "~", "NOT ")}${value()})`,
      () => `CASE WHEN ${value()} THEN ${value()} ${this.maybe(`ELSE ${value()} `)}END`,
      () => `CAST(${value()} AS ${this.pick("INTEGER", "REAL", "NUMERIC", "TEXT", "BLOB")})`,
      () => `(${value()} ${this.maybe("NOT ")}IN (${value()}, ${value()}))`,
      () => `(${value()} BETWEEN ${value()} AND ${value()})`,
      () => `(${value()} COLLATE ${this.pick("NOCASE", "RTRIM", "BINARY", "nosuch")})`,
      () => `(${value()} IS${this.maybe(" NOT")} NULL)`,
      () => `(SELECT ${this.pick("max(a)", "count(*)", "b", "sum(c)")} FROM ${this.table()})`,
    )();
  }

  table(): string {
    return this.pick("t0", "t1", "t2", "t0", "t1", "t2", "t3", this.pick("v0", "missing"));
  }

  #where(): string {
    return this.maybe(` WHERE ${this.expression(2)}`);
  }

  select(): string {
    const tail = this.maybe(` ORDER BY ${this.pick("1", "2", "a", "b DESC", "c COLLATE NOCASE")}`) +
      this.maybe(` LIMIT ${this.number(9) - 1}${this.maybe(` OFFSET ${this.number(3)}`)}`);
    const table = this.table();
    return this.pick(
      () => `SELECT ${this.list(() => this.expression(3, false))}`,
      () => `SELECT ${this.list(() => this.expression(3, false))}`,
      () =>
        `SELECT ${this.expression()} AS "${this.pick("x", "é [int]", "", "a b")}" FROM ${table}`,
      () => `SELECT * FROM ${table}${this.#where()}${tail}`,
      () => `SELECT ${this.list(() => this.expression(2))} FROM ${table}${this.#where()}${tail}`,
      () => `SELECT DISTINCT ${this.column()} FROM ${table}${tail}`,
      () =>
        `SELECT a, ${this.pick("count(*)", "sum(b)", "avg(c)", "total(b)", "group_concat(d)")} ` +
        `FROM ${table} GROUP BY a${this.maybe(` HAVING count(*) > ${this.number(2)}`)}${tail}`,
      () => `SELECT a, row_number() OVER (ORDER BY b, a), lag(c) OVER () FROM ${table}${tail}`,
      () => `SELECT x.a, y.b FROM ${table} x ${this.maybe("LEFT ")}JOIN t1 y ON x.a = y.a${tail}`,
      () => `SELECT a FROM t0 ${this.pick("UNION", "UNION ALL", "EXCEPT")} SELECT b FROM t1${tail}`,
      () => `VALUES (${this.literal()}, 1), (${this.literal()}, ${this.list(() => "2", 2)})`,
      () =>
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i * 7 FROM n LIMIT " +
        `${this.number(40)}) SELECT i, abs(-i), ${this.expression(1, false)} FROM n`,
      () => `SELECT 'a', CAST(x'${this.pick("ff", "61", "62")}' AS TEXT) AS bad, 1`,
    )();
  }

  #values(): string {
    const id = this.pick(this.literal(), "NULL", String(this.number(20)));
    const rest = Array.from(
      { length: this.number(30) ? 3 : 2 },
      () => this.pick(this.literal(), this.expression(1, false)),
    );
    const values = [id, ...rest];
    return `(${values.join(", ")})`;
  }

  change(): string {
    const table = this.pick("t0", "t1", "t2", this.table());
    const returning = this.maybe(` RETURNING ${this.pick("*", "a, b", "rowid", "a + 1 AS n")}`, 4);
    const or = this.maybe(`OR ${this.pick("IGNORE", "REPLACE", "ROLLBACK", "FAIL", "ABORT")} `, 3);
    const values = this.list(() => this.#values());
    const names = this.maybe(" (a, b, c, d)");
    return this.pick(
      () => `INSERT ${or}INTO ${table}${names} VALUES ${values}${returning}`,
      () => `INSERT ${or}INTO ${table}${names} VALUES ${values}${returning}`,
      () => `INSERT ${or}INTO ${table} (b, c) VALUES (${this.literal()}, ${this.literal()})`,
      () =>
        `INSERT INTO ${table}${names} VALUES ${values} ON CONFLICT DO ` +
        this.pick("NOTHING", "UPDATE SET b = excluded.b || 'u'", "UPDATE SET nope = 1") + returning,
      () => `INSERT ${or}INTO t1 (a, b, c, d) SELECT a + 100, b, c, d FROM ${table} LIMIT 3`,
      () => `INSERT INTO ${table} DEFAULT VALUES${returning}`,
      () => `REPLACE INTO ${table}${names} VALUES ${values}${returning}`,
      () =>
        `/* c */ update ${table} SET ${this.pick("b", "c", "d")} = ${this.expression(2)}` +
        `${this.#where()}${returning}`,
      () =>
        `UPDATE ${or}${table} SET a = ${
          this.pick("a + 1", "-a", "NULL", "'x'", "7")
        }${this.#where()}${returning}`,
      () => `-- c\nDELETE FROM ${table} WHERE ${this.expression(2)}${returning}`,
      () => `DELETE FROM ${table}${this.maybe(` WHERE a > ${this.number(9)}`, 9)}`,
      () => `WITH x (n) AS (SELECT ${this.literal()}) INSERT INTO ${table} (b) SELECT n FROM x`,
    )();
  }

  define(): string {
    const table = this.pick("t0", "t1", "t2");
    const a = this.pick("a", "a INTEGER PRIMARY KEY", "a INT UNIQUE", "a TEXT PRIMARY KEY");
    const b = this.pick("b", "b TEXT", "b NUMERIC", "b TEXT COLLATE NOCASE", "b BLOB");
    const c = this.pick("c", "c REAL", "c INTEGER", "c CHECK (c <> 5)", "c NOT NULL DEFAULT 7");
    const d = this.pick(
      ...["d", "d DEFAULT 'dé'", "d DOUBLE", "d DATE"],
      "d REFERENCES t0 (a) DEFERRABLE INITIALLY DEFERRED",
    );
    const create = () =>
      `CREATE TABLE IF NOT EXISTS ${table} (${a}, ${b}, ${c}, ${d})` +
      this.maybe(this.pick(" WITHOUT ROWID", " STRICT"), 5);
    return this.pick(
      create,
      create,
      create,
      () => `CREATE TABLE ${table} (${b}, ${c})`,
      () => `CREATE TABLE t3 AS ${this.select()}`,
      () =>
        `DROP ${this.pick("TABLE", "TABLE", "VIEW", "INDEX")} ${this.maybe("IF EXISTS ")}${
          this.pick(table, "t3", "v0", "i0")
        }`,
      () => `ALTER TABLE ${table} ADD COLUMN e${this.maybe(" DEFAULT 1.5")}`,
      () => `ALTER TABLE ${table} DROP COLUMN e`,
      () => `ALTER TABLE ${table} RENAME COLUMN ${this.pick("d TO e", "e TO d")}`,
      () =>
        `CREATE ${this.maybe("UNIQUE ")}INDEX i${this.number(3)} ON ${table} (${this.column()})`,
      () =>
        `CREATE VIEW v0 AS SELECT a, ${this.pick("b", "b || c AS b", "upper(b) AS b")}, c, d ` +
        `FROM ${table} WHERE a < ${this.number(20)}`,
      () =>
        `CREATE TRIGGER IF NOT EXISTS g${this.number(2)} BEFORE INSERT ON ${table} WHEN ` +
        `new.a = ${this.number(9)} BEGIN SELECT raise(${
          this.pick("ABORT, 'no'", "FAIL, 'no'", "ROLLBACK, 'no'", "IGNORE")
        }); END`,
      () => `DROP TRIGGER ${this.maybe("IF EXISTS ")}g${this.number(2)}`,
    )();
  }

  other(): string {
    return this.pick(
      () =>
        this.pick<string>("BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "COMMIT", "END", "COMMIT"),
      () =>
        this.pick<string>(
          "ROLLBACK",
          "COMMIT",
          "COMMIT",
          "SAVEPOINT s",
          "RELEASE s",
          "ROLLBACK TO s",
        ),
      () => `PRAGMA ${this.pick("foreign_keys = ON", "foreign_keys = OFF", "foreign_keys")}`,
      () => `PRAGMA ${this.pick("user_version = 7", "user_version", "page_size", "encoding")}`,
      () => `PRAGMA ${this.pick("table_info", "index_list", "foreign_key_list")}(${this.table()})`,
      () => `PRAGMA ${this.pick("integrity_check", "foreign_key_check", "nosuch", "data_version")}`,
      () => this.pick("VACUUM", "ANALYZE", "REINDEX", "REINDEX nosuch", "DETACH x"),
      () =>
        this.pick("", ";", "-- nothing", "/* open", "SELECT 1; -- c", "SELECT 1;;", "SELECT 1 /*"),
      () => this.pick("SELECT 1; SELECT 2", "; SELECT 1", "SELECT 1; x", "; /**/a", "SELECT 1; -"),
      () => this.pick("SELECT", "SELEC 1", "SELECT 'open", "SELECT ?", "SELECT :a", "SELECT 1 + "),
      () => `EXPLAIN QUERY PLAN ${this.select()}`,
    )();
  }

  statement(): string {
    const kind = this.number(100);
    this.#storing = kind >= 42;
    if (kind < 42) return this.select();
    if (kind < 75) return this.change();
    if (kind < 77) return "COMMIT";
    return kind < 87 ? this.define() : this.other();
  }
}

const asked = spawnSync("python3", ["-c", "import sqlite3; print(sqlite3.sqlite_version)"]);
const theirs = asked.status === 0 ? String(asked.stdout).trim() : undefined;
const skip = theirs === undefined
  ? "there is no python3 with sqlite3 to compare with"
  : theirs !== sqliteVersion()
  ? `python3 has SQLite ${theirs}, not ${sqliteVersion()}: errors and plans differ`
  : false;

async function compare(seed: number, count: number, level: "" | "IMMEDIATE" | null): Promise<void> {
  const generator = new Generator(seed);
  const create = (n: number) => `CREATE TABLE t${n} (a INTEGER PRIMARY KEY, b, c UNIQUE, d)`;
  const statements = [create(0), create(1), create(2)]
    .concat(Array.from({ length: count }, () => generator.statement()));
  const input = JSON.stringify([level, statements]);
  const ended = await command("python3", ["-c", PYTHON], { timeout: 60_000, input });
  assert.equal(ended.code, 0, ended.stderr);
  const expected: Outcome[] = JSON.parse(ended.stdout);
  assert.equal(expected.length, statements.length);
  await using db = await connect(":memory:", {
    integers: "bigint",
    isolationLevel: level,
    // A statement that was compiled before begins a transaction even if it can't be run any more.
    cachedStatements: 10_000,
  });
  for (const [i, sql] of statements.entries()) {
    const outcome: Outcome = { ...await run(db, sql), inTransaction: db.inTransaction };
    assert.deepEqual(outcome, expected[i], `statement ${i}: ${sql}`);
  }
  const good = expected.filter(({ error }) => error === undefined);
  assert.ok(good.length > count / 2, `only ${good.length} statements were any good`);
  assert.ok(good.filter(({ rows }) => rows!.length > 0).length > count / 5);
  assert.ok(good.filter(({ rowCount }) => rowCount! > 0).length > count / 12);
}

test("2000 random statements do what they do in Python's sqlite3", { skip }, async () => {
  await compare(1, 2000, "");
});

test("so do 1000 without implicit transactions", { skip }, async () => {
  await compare(2, 1000, null);
});

test("so do 1000 with implicit transactions that are immediate", { skip }, async () => {
  await compare(3, 1000, "IMMEDIATE");
});
