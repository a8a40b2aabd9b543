import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { connect, type Connection, DatabaseError, OperationalError } from "../../mod.ts";
import { file, folder, program, python } from "../helpers.ts";

const isRoot = process.getuid?.() === 0;

function failsWith(kind: typeof DatabaseError, code: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.equal((error as Error).constructor, kind, String(error));
    assert.match((error as DatabaseError).code ?? "", code);
    return true;
  };
}

test("connect() to a folder can't open it", async () => {
  await assert.rejects(connect(folder()), failsWith(OperationalError, /^SQLITE_CANTOPEN/));
});

test("connect() can't make a file where none can be", async () => {
  const plain = file("plain");
  writeFileSync(plain, "");
  for (const path of [join(plain, "a.db"), join(folder(), "no", "a.db")]) {
    await assert.rejects(connect(path), failsWith(OperationalError, /^SQLITE_CANTOPEN/));
  }
});

test(
  "connect() can't make a file in a folder of the system's",
  { skip: process.platform !== "linux" && "there is no /proc" },
  async () => {
    await assert.rejects(connect("/proc/a.db"), failsWith(OperationalError, /^SQLITE_CANTOPEN/));
  },
);

test(
  "connect() can't make a file in a folder without permission",
  { skip: isRoot && "root may write anywhere" },
  async () => {
    const here = folder();
    chmodSync(here, 0o555);
    await assert.rejects(
      connect(join(here, "a.db")),
      failsWith(OperationalError, /^SQLITE_CANTOPEN/),
    );
  },
);

test("A file that is not a database says so, and closes", async () => {
  const path = file();
  writeFileSync(path, "This is not a database.\n".repeat(500));
  await using db = await connect(path);
  for (const sql of ["SELECT * FROM sqlite_master", "CREATE TABLE t (x)"]) {
    await assert.rejects(db.execute(sql), (error: unknown) => {
      assert.equal((error as Error).message, "file is not a database");
      return failsWith(DatabaseError, /^SQLITE_NOTADB$/)(error);
    });
  }
});

test("A file cut short says that it is malformed, and closes", async () => {
  const path = file();
  {
    await using db = await connect(path);
    await fill(db, 2000);
  }
  truncateSync(path, 4096);
  await using db = await connect(path);
  await assert.rejects(
    db.executeFetchAll("SELECT * FROM t"),
    failsWith(DatabaseError, /^SQLITE_CORRUPT/),
  );
});

test("An empty file is an empty database", async () => {
  const path = file();
  writeFileSync(path, "");
  await using db = await connect(path);
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM sqlite_master"), []);
});

async function fill(db: Connection, rows: number): Promise<void> {
  await db.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, pad TEXT)");
  await db.executeMany(
    "INSERT INTO t (pad) VALUES (?)",
    Array.from({ length: rows }, (_, i) => [`row ${i} ${"é".repeat(40)}`]),
  );
  await db.commit();
}

/** Works on 40 copies of a database, each with some bits flipped, and reports every outcome. */
const DAMAGED = `
  import { readFileSync, writeFileSync } from "node:fs";
  const [original, copy] = args;
  const bytes = readFileSync(original);
  const STATEMENTS = [
    "PRAGMA integrity_check",
    "SELECT * FROM t",
    "SELECT pad FROM t WHERE pad > 'row 5' ORDER BY pad",
    "SELECT a.x FROM t a JOIN t b ON a.x = b.x + 1",
    "INSERT INTO t (pad) VALUES ('new')",
    "UPDATE t SET pad = pad || 'x' WHERE x % 3 = 0",
    "DELETE FROM t WHERE x % 2 = 0",
    "CREATE INDEX j ON t (pad, x)",
    "DROP TABLE t",
  ];
  let random = 42;
  const below = (limit) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return Math.floor(random / 2 ** 32 * limit);
  };
  const outcomes = {};
  const count = (outcome) => outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  for (let round = 0; round < 40; round++) {
    const damaged = bytes.slice();
    // Half of the rounds hit the page headers and the schema, where it hurts most.
    for (let i = 0; i < 30; i++) {
      const at = round % 2 ? below(damaged.length) : below(damaged.length / 4096) * 4096 + below(120);
      damaged[Math.max(at, 30)] ^= 1 << below(8);
    }
    writeFileSync(copy + round, damaged);
    const db = await aiosqlite.connect(copy + round);
    for (const sql of STATEMENTS) {
      try {
        await db.executeFetchAll(sql);
        count("ok");
      } catch (error) {
        if (!(error instanceof aiosqlite.SqliteError)) throw error;
        count(error.code ?? error.name);
      }
    }
    await db.rollback().catch((error) => count("rollback " + error.code));
    await db.close();
    count("closed");
  }
  console.log(JSON.stringify(outcomes));
`;

test("Damaged files give errors, never a crash, and connections to them close", async () => {
  const original = file();
  {
    await using db = await connect(original);
    await fill(db, 400);
    await db.execute("CREATE INDEX i ON t (pad)");
  }
  const ended = await program(DAMAGED, [original, file("damaged.db")]);
  assert.equal(ended.code, 0, `${ended.signal} ${ended.stderr}`);
  const outcomes = JSON.parse(ended.stdout) as Record<string, number>;
  assert.equal(outcomes.closed, 40);
  assert.ok(outcomes.SQLITE_CORRUPT! > 20, ended.stdout);
  assert.equal(outcomes.InternalError, undefined, ended.stdout);
});

const isFull = failsWith(OperationalError, /^SQLITE_FULL$/);

/** Inserts blobs, each in a transaction of its own, until one fails; returns how many did not. */
async function insertUntilFull(db: Connection): Promise<number> {
  for (let inserted = 0;; inserted++) {
    try {
      await db.execute("INSERT INTO b VALUES (zeroblob(10000))");
      await db.commit();
    } catch (error) {
      assert.ok(isFull(error));
      await db.rollback(); // does nothing where SQLite already has
      assert.equal(db.inTransaction, false);
      return inserted;
    }
    assert.ok(inserted < 1000);
  }
}

test("A database that is full fails with SQLITE_FULL and goes on afterwards", async () => {
  const path = file();
  await using db = await connect(path);
  await db.execute("CREATE TABLE b (x)");
  await db.execute("PRAGMA max_page_count = 20");
  const rows = await insertUntilFull(db);
  assert.ok(rows > 0);
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM b"), [rows]);
  await db.execute("PRAGMA max_page_count = 1000");
  await db.execute("INSERT INTO b VALUES (zeroblob(100000))");
  await db.commit();
  assert.deepEqual(await python(path, "SELECT count(*) FROM b"), [[rows + 1]]);
  assert.deepEqual(await python(path, "PRAGMA integrity_check"), [["ok"]]);
});

test("SQLITE_FULL in a transaction that then commits keeps all or nothing", async () => {
  const path = file();
  await using db = await connect(path);
  await db.execute("CREATE TABLE b (x)");
  await db.execute("INSERT INTO b VALUES ('old')");
  await db.commit();
  await db.execute("PRAGMA max_page_count = 20");
  await db.execute("INSERT INTO b VALUES ('new')");
  await assert.rejects(db.execute("INSERT INTO b VALUES (zeroblob(1000000))"), isFull);
  const open = db.inTransaction;
  await db.commit();
  assert.equal(db.inTransaction, false);
  const expected = open ? [["old"], ["new"]] : [["old"]];
  assert.deepEqual(await python(path, "SELECT x FROM b"), expected);
});

function mount(at: string): string | false {
  if (process.platform !== "linux" || !isRoot) return "only root on Linux can mount a small disk";
  const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", at]);
  return status !== 0 && `mount fails: ${stderr}`;
}

function unmount(at: string): void {
  assert.equal(spawnSync("umount", [at]).status, 0);
}

function cannotMount(): string | false {
  const at = folder();
  const why = mount(at);
  if (!why) unmount(at);
  return why;
}

test("A disk that is full fails with SQLITE_FULL", { skip: cannotMount() }, async () => {
  const disk = folder();
  mount(disk);
  try {
    const filler = join(disk, "filler");
    const path = join(disk, "test.db");
    writeFileSync(filler, new Uint8Array(64 * 1024));
    {
      await using db = await connect(path);
      await db.execute("CREATE TABLE b (x)");
      const rows = await insertUntilFull(db);
      assert.ok(rows > 0);
      assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM b"), [rows]);
      rmSync(filler);
      await db.execute("INSERT INTO b VALUES ('new')");
      await db.commit();
      assert.deepEqual(await python(path, "SELECT count(*) FROM b"), [[rows + 1]]);
      assert.deepEqual(await python(path, "PRAGMA integrity_check"), [["ok"]]);
    }
  } finally {
    unmount(disk);
  }
});

test("A file is not touched by a failure to understand it", async () => {
  const path = file();
  const text = "Precious text.\n".repeat(500);
  writeFileSync(path, text);
  {
    await using db = await connect(path);
    await assert.rejects(db.execute("CREATE TABLE t (x)"));
  }
  assert.equal(readFileSync(path, "utf8"), text);
});
