import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  connect,
  type Connection,
  DatabaseError,
  DataError,
  NotSupportedError,
  OperationalError,
  ProgrammingError,
  Row,
  SQLITE_DBCONFIG_DEFENSIVE,
  SQLITE_DBCONFIG_ENABLE_FKEY,
  SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
  SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
  SQLITE_DBCONFIG_ENABLE_TRIGGER,
  SQLITE_DBCONFIG_ENABLE_VIEW,
  SQLITE_DBCONFIG_TRUSTED_SCHEMA,
  SQLITE_LIMIT_ATTACHED,
  SQLITE_LIMIT_COLUMN,
  SQLITE_LIMIT_LENGTH,
  SQLITE_LIMIT_SQL_LENGTH,
  SQLITE_LIMIT_VARIABLE_NUMBER,
  SQLITE_LIMIT_WORKER_THREADS,
} from "../mod.ts";
import { command, file, folder, python } from "./helpers.ts";

const CLOSED = { name: "ProgrammingError", message: "Cannot operate on a closed database." };

/** A connection to a file in WAL mode that has a table `t` with a row. */
async function wal(path: string, timeout = 0): Promise<Connection> {
  const db = await connect(path, { isolationLevel: null, timeout });
  await db.execute("PRAGMA journal_mode = WAL");
  await db.execute("PRAGMA wal_autocheckpoint = 0");
  await db.execute("CREATE TABLE IF NOT EXISTS t (x)");
  await db.execute("INSERT INTO t VALUES (1)");
  return db;
}

// -- limits

test("getLimit() and setLimit() give what a limit is, and what it was", async () => {
  await using db = await connect(":memory:");
  const before = await db.getLimit(SQLITE_LIMIT_VARIABLE_NUMBER);
  assert.ok(before > 100);
  assert.equal(await db.setLimit(SQLITE_LIMIT_VARIABLE_NUMBER, 2), before);
  assert.equal(await db.getLimit(SQLITE_LIMIT_VARIABLE_NUMBER), 2);
  assert.deepEqual(await db.executeFetchOne("SELECT ?, ?", [1, 2]), [1, 2]);
  await assert.rejects(db.execute("SELECT ?, ?, ?", [1, 2, 3]), /variable/);
  assert.equal(await db.setLimit(SQLITE_LIMIT_VARIABLE_NUMBER, -1), 2);
  assert.equal(await db.setLimit(SQLITE_LIMIT_VARIABLE_NUMBER, before), 2);
  assert.deepEqual(await db.executeFetchOne("SELECT ?, ?, ?", [1, 2, 3]), [1, 2, 3]);
});

test("a limit above the library's own is cut down to that", async () => {
  await using db = await connect(":memory:");
  const most = await db.getLimit(SQLITE_LIMIT_ATTACHED);
  await db.setLimit(SQLITE_LIMIT_ATTACHED, 2 ** 31 - 1);
  assert.ok(await db.getLimit(SQLITE_LIMIT_ATTACHED) >= most);
  assert.ok(await db.getLimit(SQLITE_LIMIT_ATTACHED) < 2 ** 31 - 1);
});

test("all categories have a limit, and no others", async () => {
  await using db = await connect(":memory:");
  for (let category = 0; category <= SQLITE_LIMIT_WORKER_THREADS; category++) {
    const limit = await db.getLimit(category);
    assert.ok(Number.isInteger(limit) && limit >= 0, `${category}`);
  }
  const bounds = { name: "ProgrammingError", message: "'category' is out of bounds" };
  for (const bad of [-1, 12, 1111, 0.5, NaN, "0", null, undefined] as unknown[]) {
    await assert.rejects(db.getLimit(bad as number), bounds);
    await assert.rejects(db.setLimit(bad as number, 0), bounds);
  }
  for (const bad of [2 ** 31, -(2 ** 31) - 1, 0.5, NaN, "1", null, undefined] as unknown[]) {
    await assert.rejects(db.setLimit(SQLITE_LIMIT_COLUMN, bad as number), ProgrammingError);
  }
});

test("an SQL text of the limit's length is run, a longer one is not", async () => {
  await using db = await connect(":memory:");
  await db.setLimit(SQLITE_LIMIT_SQL_LENGTH, 30);
  assert.deepEqual(await db.executeFetchOne("SELECT 1".padEnd(30)), [1]);
  const tooLarge = (error: unknown) => {
    return error instanceof DataError && error.message === "query string is too large" &&
      error.code === "SQLITE_TOOBIG";
  };
  await assert.rejects(db.execute("SELECT 1".padEnd(31)), tooLarge);
  await assert.rejects(db.executeScript("SELECT 1;".padEnd(31)), tooLarge);
  // It is bytes that count.
  await assert.rejects(db.execute("SELECT 'ääääääääää'".padEnd(30)), tooLarge);
  await db.setLimit(SQLITE_LIMIT_SQL_LENGTH, 1000);
  assert.deepEqual(await db.executeFetchOne("SELECT 1".padEnd(1000)), [1]);
});

test("a value of the limit's length is bound, a longer one is not", async () => {
  await using db = await connect(":memory:");
  assert.ok(await db.setLimit(SQLITE_LIMIT_LENGTH, 100) > 1_000_000);
  assert.deepEqual(await db.executeFetchOne("SELECT length(?)", ["x".repeat(100)]), [100]);
  for (const value of ["x".repeat(101), "ä".repeat(51), new Uint8Array(101)]) {
    await assert.rejects(db.execute("SELECT ?", [value]), {
      name: "DataError",
      code: "SQLITE_TOOBIG",
    });
  }
  await assert.rejects(db.executeFetchAll("SELECT zeroblob(101)"), {
    name: "DataError",
    code: "SQLITE_TOOBIG",
  });
  await db.setLimit(SQLITE_LIMIT_LENGTH, 1000);
  assert.deepEqual(await db.executeFetchOne("SELECT length(?)", [new Uint8Array(101)]), [101]);
});

test("limits are a connection's own", async () => {
  await using one = await connect(":memory:");
  await using two = await connect(":memory:");
  const before = await two.getLimit(SQLITE_LIMIT_LENGTH);
  await one.setLimit(SQLITE_LIMIT_LENGTH, 50);
  assert.equal(await two.getLimit(SQLITE_LIMIT_LENGTH), before);
  assert.deepEqual(await two.executeFetchOne("SELECT length(?)", ["x".repeat(60)]), [60]);
});

// -- configuration

test("getConfig() and setConfig() give what is in force", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_ENABLE_FKEY), false);
  assert.equal(await db.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY), true);
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_ENABLE_FKEY), true);
  await db.executeScript("CREATE TABLE p (id PRIMARY KEY); CREATE TABLE c (id REFERENCES p)");
  const orphan = "INSERT INTO c VALUES (1)";
  await assert.rejects(db.execute(orphan), { code: "SQLITE_CONSTRAINT_FOREIGNKEY" });
  assert.equal(await db.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY, false), false);
  await db.execute(orphan);
  assert.equal(await db.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY, true), true);
});

test("a connection is opened with the safe settings", async () => {
  await using db = await connect(":memory:");
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_DEFENSIVE), true);
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_TRUSTED_SCHEMA), false);
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER), false);
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION), false);
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_ENABLE_TRIGGER), true);
  await using trusting = await connect(":memory:", { trustedSchema: true });
  assert.equal(await trusting.getConfig(SQLITE_DBCONFIG_TRUSTED_SCHEMA), true);
});

test("views can be turned off, and on again", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE VIEW v AS SELECT 1");
  assert.equal(await db.setConfig(SQLITE_DBCONFIG_ENABLE_VIEW, false), false);
  await assert.rejects(db.executeFetchAll("SELECT * FROM v"), /access to view/);
  assert.equal(await db.setConfig(SQLITE_DBCONFIG_ENABLE_VIEW, true), true);
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM v"), [[1]]);
});

test("fts3_tokenizer() can't be turned on", async () => {
  await using db = await connect(":memory:");
  const turnOn = db.setConfig(SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, true);
  await assert.rejects(turnOn, NotSupportedError);
  assert.equal(await db.setConfig(SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false), false);
});

test("getConfig() and setConfig() refuse what does not exist", async () => {
  await using db = await connect(":memory:");
  for (
    const bad of [-1, 0, 1000, 1001, 1018, 99999, 1002.5, "1002", null, undefined] as unknown[]
  ) {
    await assert.rejects(db.getConfig(bad as number), /^ProgrammingError: Unknown config 'op'/);
    await assert.rejects(db.setConfig(bad as number, true), ProgrammingError);
  }
  for (const bad of [1, 0, null, "on"] as unknown[]) {
    const set = db.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY, bad as boolean);
    await assert.rejects(set, ProgrammingError);
  }
  assert.equal(await db.getConfig(SQLITE_DBCONFIG_ENABLE_FKEY), false);
});

// -- content as bytes

test("serialize() gives a file's bytes, deserialize() puts them in place", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES ('kept'), (2)");
  const bytes = await db.serialize();
  assert.equal(new TextDecoder().decode(bytes.subarray(0, 16)), "SQLite format 3\0");
  assert.equal(bytes.length % 512, 0);
  await db.execute("DROP TABLE t");
  await assert.rejects(db.execute("SELECT * FROM t"), /no such table/);
  await db.deserialize(bytes);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [["kept"], [2]]);
  // It can be written to, and grow.
  await db.execute("INSERT INTO t VALUES (zeroblob(1000000))");
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [3]);
  assert.ok((await db.serialize()).length > 1_000_000);
});

test("what is serialized is what a file has, and other programs read it", async () => {
  const path = file();
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES ('é'), (NULL)");
  writeFileSync(path, await db.serialize());
  assert.deepEqual(await python(path, "SELECT x FROM t"), [["é"], [null]]);
  await using opened = await connect(path);
  await using copy = await connect(":memory:");
  await copy.deserialize(await opened.serialize());
  assert.deepEqual(await copy.executeFetchAll("SELECT x FROM t"), [["é"], [null]]);
});

test("deserialize() copies the bytes when it is called, serialize() gives a fresh copy", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
  const bytes = await db.serialize();
  const padded = new Uint8Array(bytes.length + 20);
  padded.set(bytes, 10);
  const done = db.deserialize(padded.subarray(10, 10 + bytes.length));
  padded.fill(255);
  await done;
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
  (await db.serialize()).fill(255);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
});

test("deserialize() takes nothing but a Uint8Array", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (x)");
  for (const bad of ["blob", null, undefined, 5, [1], new ArrayBuffer(8), {}] as unknown[]) {
    await assert.rejects(db.deserialize(bad as Uint8Array), ProgrammingError);
  }
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), []);
});

test("that bytes are no database shows with the first statement", async () => {
  await using db = await connect(":memory:");
  await db.deserialize(new TextEncoder().encode("\0\x01\x03 not a database".repeat(100)));
  await assert.rejects(db.execute("CREATE TABLE t (x)"), (error: unknown) => {
    return error instanceof DatabaseError && error.message === "file is not a database" &&
      error.code === "SQLITE_NOTADB";
  });
  await using whole = await connect(":memory:", { isolationLevel: null });
  await whole.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000))");
  await db.deserialize((await whole.serialize()).subarray(0, 4096 * 3));
  await assert.rejects(db.executeFetchAll("SELECT x FROM t"), { code: "SQLITE_CORRUPT" });
  // Good ones put it right again.
  await db.deserialize(await whole.serialize());
  assert.deepEqual(await db.executeFetchOne("SELECT length(x) FROM t"), [100_000]);
});

test("an empty database is serialized as nothing, and made by nothing", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  const empty = await db.serialize();
  assert.deepEqual(empty, new Uint8Array());
  await db.execute("CREATE TABLE t (x)");
  await db.deserialize(empty);
  assert.deepEqual(await db.executeFetchAll("SELECT name FROM sqlite_master"), []);
  await db.execute("CREATE TABLE other (x)");
  assert.deepEqual(await db.executeFetchAll("SELECT name FROM sqlite_master"), [["other"]]);
});

test("serialize() and deserialize() go by a database's name", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript(
    'ATTACH \':memory:\' AS "ä b"; CREATE TABLE "ä b".t (x); INSERT INTO "ä b".t VALUES (1);' +
      "CREATE TABLE main.m (x)",
  );
  const bytes = await db.serialize({ name: "ä b" });
  await db.execute('DROP TABLE "ä b".t');
  await db.deserialize(bytes, { name: "ä b" });
  assert.deepEqual(await db.executeFetchAll('SELECT x FROM "ä b".t'), [[1]]);
  assert.deepEqual(await db.executeFetchAll("SELECT name FROM main.sqlite_master"), [["m"]]);
  await using other = await connect(":memory:");
  await other.deserialize(bytes, { name: "main" });
  assert.deepEqual(await other.executeFetchAll("SELECT x FROM t"), [[1]]);
});

test("the temporary database can be serialized but not replaced", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("CREATE TEMP TABLE t (x); INSERT INTO t VALUES (5)");
  const bytes = await db.serialize({ name: "temp" });
  await assert.rejects(db.deserialize(bytes, { name: "temp" }), OperationalError);
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[5]]);
  await using other = await connect(":memory:");
  await other.deserialize(bytes);
  assert.deepEqual(await other.executeFetchAll("SELECT x FROM t"), [[5]]);
});

test("a database that does not exist is an OperationalError, a bad name a ProgrammingError", async () => {
  await using db = await connect(":memory:");
  await assert.rejects(db.serialize({ name: "nope" }), {
    name: "OperationalError",
    message: "unable to serialize 'nope'",
  });
  await assert.rejects(db.deserialize(new Uint8Array(512), { name: "nope" }), {
    name: "OperationalError",
    message: /nope/,
  });
  for (const name of ["main\0", "\ud800", 5, null] as unknown[]) {
    await assert.rejects(db.serialize({ name: name as string }), ProgrammingError);
    const replaced = db.deserialize(new Uint8Array(), { name: name as string });
    await assert.rejects(replaced, ProgrammingError);
  }
});

test("deserialize() is refused within a transaction, which goes on", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const bytes = await db.serialize();
  await db.execute("INSERT INTO t VALUES (1)");
  await assert.rejects(db.deserialize(bytes), { name: "OperationalError", code: "SQLITE_BUSY" });
  await db.commit();
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
});

test("deserialize() is refused while a result or a blob is being read, which go on", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript(`
    CREATE TABLE t (x);
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)
      SELECT 'value ' || i FROM n;
  `);
  const bytes = await db.serialize();
  const busy = { name: "OperationalError", code: "SQLITE_BUSY", message: /in use/ };
  const cursor = await db.execute("SELECT x FROM t");
  assert.deepEqual(await cursor.fetchOne(), ["value 1"]);
  await assert.rejects(db.deserialize(bytes), busy);
  assert.equal((await cursor.fetchAll()).length, 4999);
  const blob = await db.blobOpen("t", "x", 1, { readonly: true });
  await assert.rejects(db.deserialize(bytes), busy);
  assert.equal((await blob.read()).length, 7);
  await blob.close();
  await db.deserialize(bytes);
  assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [5000]);
});

test("statements that are kept read what has been put in place", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await using source = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  await source.executeScript("CREATE TABLE t (b, c); INSERT INTO t VALUES (2, 3)");
  const read = async () => {
    const cursor = await db.execute("SELECT * FROM t");
    return [cursor.description!.map(({ name }) => name), await cursor.fetchAll()];
  };
  assert.deepEqual(await read(), [["a"], [[1]]]);
  await db.deserialize(await source.serialize());
  assert.deepEqual(await read(), [["b", "c"], [[2, 3]]]);
});

// -- extensions

const EXTENSION = `
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1
static void half(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  sqlite3_result_double(context, sqlite3_value_double(values[0]) / 2);
}
static void third(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  sqlite3_result_double(context, sqlite3_value_double(values[0]) / 3);
}
int sqlite3_half_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  (void)message;
  SQLITE_EXTENSION_INIT2(api);
  return sqlite3_create_function(db, "half", 1, SQLITE_UTF8, 0, half, 0, 0);
}
int make_third(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  (void)message;
  SQLITE_EXTENSION_INIT2(api);
  return sqlite3_create_function(db, "third", 1, SQLITE_UTF8, 0, third, 0, 0);
}
int make_nothing(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  (void)db;
  SQLITE_EXTENSION_INIT2(api);
  *message = sqlite3_mprintf("there is nothing to make");
  return SQLITE_ERROR;
}
`;

/** Compiles the extension; its path without suffix, or why it can't be compiled. */
async function compile(): Promise<{ path: string } | { reason: string }> {
  const made = folder();
  const [source, path] = [join(made, "half.c"), join(made, "half")];
  writeFileSync(source, EXTENSION);
  try {
    const ended = await command("gcc", ["-shared", "-fPIC", "-o", `${path}.so`, source]);
    return ended.code === 0 ? { path } : { reason: `gcc fails: ${ended.stderr.split("\n")[0]}` };
  } catch {
    return { reason: "there is no gcc" };
  }
}
const extension = await compile();
const path = "path" in extension ? extension.path : "";
const skip = "reason" in extension ? extension.reason : false;

test("an extension is loaded once that is allowed", { skip }, async () => {
  await using db = await connect(":memory:");
  await assert.rejects(db.loadExtension(path), /not authorized/);
  await db.enableLoadExtension(true);
  await db.loadExtension(path);
  assert.deepEqual(await db.executeFetchOne("SELECT half(5)"), [2.5]);
  await db.enableLoadExtension(false);
  await assert.rejects(db.loadExtension(path), { name: "OperationalError", message: /authorized/ });
  assert.deepEqual(await db.executeFetchOne("SELECT half(7)"), [3.5]);
  await using other = await connect(":memory:");
  await assert.rejects(other.execute("SELECT half(5)"), /no such function/);
});

test("an extension's entry point can be named", { skip }, async () => {
  await using db = await connect(":memory:");
  await db.enableLoadExtension(true);
  await db.loadExtension(`${path}.so`, { entryPoint: "make_third" });
  assert.deepEqual(await db.executeFetchOne("SELECT third(6)"), [2]);
  await assert.rejects(db.execute("SELECT half(5)"), /no such function/);
  await assert.rejects(db.loadExtension(path, { entryPoint: "make_nothing" }), {
    name: "OperationalError",
    message: /there is nothing to make/,
  });
  await assert.rejects(db.loadExtension(path, { entryPoint: "not_there" }), {
    name: "OperationalError",
    message: /not_there/,
  });
  assert.deepEqual(await db.executeFetchOne("SELECT third(6)"), [2]);
});

test("SQL's own load_extension() is refused in any case", { skip }, async () => {
  await using db = await connect(":memory:");
  const refused = { name: "OperationalError", message: /not authorized/ };
  const load = () => db.executeFetchOne("SELECT load_extension(?)", [path]);
  await assert.rejects(load(), refused);
  await db.enableLoadExtension(true);
  await assert.rejects(load(), refused);
  await db.loadExtension(path);
  await assert.rejects(load(), refused);
  await db.setConfig(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, true);
  await assert.rejects(load(), refused);
  const named = db.executeFetchOne("SELECT load_extension(?, 'make_third')", [path]);
  await assert.rejects(named, refused);
});

test("an extension that does not exist is an OperationalError", async () => {
  await using db = await connect(":memory:");
  await db.enableLoadExtension(true);
  await assert.rejects(db.loadExtension("/nowhere/at/all"), {
    name: "OperationalError",
    code: "SQLITE_ERROR",
    message: /nowhere/,
  });
  for (const bad of ["a\0b", "\ud800", 5, null, undefined] as unknown[]) {
    await assert.rejects(db.loadExtension(bad as string), ProgrammingError);
  }
  for (const entryPoint of ["a\0b", "\ud800", 5, {}] as unknown[]) {
    const loaded = db.loadExtension("/x", { entryPoint: entryPoint as string });
    await assert.rejects(loaded, ProgrammingError);
  }
});

// -- checkpoints

test("checkpoint() counts the frames of the log, and those that are in the database", async () => {
  const path = file();
  await using db = await wal(path);
  const first = await db.checkpoint();
  assert.ok(first.log > 0);
  assert.equal(first.checkpointed, first.log);
  await db.execute("INSERT INTO t VALUES (2)");
  assert.deepEqual(await db.checkpoint({ mode: "FULL" }), { log: 1, checkpointed: 1 });
  assert.deepEqual(await db.checkpoint({ mode: "RESTART" }), { log: 1, checkpointed: 1 });
  assert.deepEqual(await db.checkpoint({ mode: "TRUNCATE" }), { log: 0, checkpointed: 0 });
});

test("without a write-ahead log the counts are -1", async () => {
  const none = { log: -1, checkpointed: -1 };
  await using memory = await connect(":memory:");
  assert.deepEqual(await memory.checkpoint(), none);
  await using db = await connect(file());
  await db.execute("CREATE TABLE t (x)");
  assert.deepEqual(await db.checkpoint({ mode: "TRUNCATE" }), none);
  assert.deepEqual(await db.checkpoint({ name: "temp" }), none);
});

test("a reader keeps a checkpoint from its end: some frames stay, or it is busy", async () => {
  const path = file();
  await using db = await wal(path);
  await using reader = await connect(path, { isolationLevel: null });
  await reader.execute("BEGIN");
  assert.deepEqual(await reader.executeFetchAll("SELECT x FROM t"), [[1]]);
  await db.execute("INSERT INTO t VALUES (2)");
  const { log, checkpointed } = await db.checkpoint();
  assert.ok(checkpointed < log, `${checkpointed} of ${log}`);
  const busy = { name: "OperationalError", code: "SQLITE_BUSY" };
  for (const mode of ["FULL", "RESTART", "TRUNCATE"] as const) {
    await assert.rejects(db.checkpoint({ mode }), busy);
  }
  await reader.execute("COMMIT");
  assert.deepEqual(await db.checkpoint({ mode: "TRUNCATE" }), { log: 0, checkpointed: 0 });
});

test("a checkpoint waits for a reader for as long as the timeout says", async () => {
  const path = file();
  await using db = await wal(path, 60_000);
  await using reader = await connect(path, { isolationLevel: null });
  await reader.execute("BEGIN");
  await reader.executeFetchAll("SELECT x FROM t");
  await db.execute("INSERT INTO t VALUES (2)");
  const waiting = db.checkpoint({ mode: "TRUNCATE" });
  await reader.execute("COMMIT");
  assert.deepEqual(await waiting, { log: 0, checkpointed: 0 });
});

test("a checkpoint that waits is ended by its signal", async () => {
  const path = file();
  await using db = await wal(path, 60_000);
  await using reader = await connect(path, { isolationLevel: null });
  await reader.execute("BEGIN");
  await reader.executeFetchAll("SELECT x FROM t");
  await db.execute("INSERT INTO t VALUES (2)");
  const reason = new Error("enough");
  const same = (error: unknown) => error === reason;
  const controller = new AbortController();
  const waiting = db.checkpoint({ mode: "TRUNCATE", signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(waiting, same);
  await assert.rejects(db.checkpoint({ signal: AbortSignal.abort(reason) }), same);
  await reader.execute("COMMIT");
  assert.deepEqual(await db.checkpoint({ mode: "TRUNCATE" }), { log: 0, checkpointed: 0 });
});

test("checkpoint() goes by a database's name", async () => {
  const path = file();
  await (await wal(path)).close();
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("ATTACH ? AS other", [path]);
  await db.execute("INSERT INTO other.t VALUES (2)");
  assert.deepEqual(await db.checkpoint({ name: "main" }), { log: -1, checkpointed: -1 });
  const { log, checkpointed } = await db.checkpoint({ name: "other" });
  assert.ok(log > 0 && log === checkpointed);
  await assert.rejects(db.checkpoint({ name: "nope" }), {
    name: "OperationalError",
    message: "unknown database: nope",
  });
  for (const name of ["main\0", 5, null] as unknown[]) {
    await assert.rejects(db.checkpoint({ name: name as string }), ProgrammingError);
  }
});

test("checkpoint() refuses a bad mode, and what can't be within a transaction", async () => {
  await using db = await wal(file());
  for (const mode of ["passive", "", "toString", 1, null] as unknown[]) {
    await assert.rejects(db.checkpoint({ mode: mode as "FULL" }), ProgrammingError);
  }
  await db.execute("BEGIN IMMEDIATE");
  await db.execute("INSERT INTO t VALUES (2)");
  await assert.rejects(db.checkpoint(), { name: "OperationalError", code: "SQLITE_LOCKED" });
  await db.execute("COMMIT");
  assert.ok((await db.checkpoint()).log > 0);
});

// -- where a column comes from

test("description tells which column of which table a column is", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript(
    'CREATE TABLE "a b" (id INTEGER PRIMARY KEY, "ü ""x" TEXT); CREATE TEMP TABLE u (y);' +
      "ATTACH ':memory:' AS more; CREATE TABLE more.w (z); CREATE VIEW v AS SELECT id AS i FROM \"a b\"",
  );
  const origins = async (sql: string) => {
    const cursor = await db.execute(sql);
    return cursor.description!.map(({ origin }) =>
      origin && [origin.database, origin.table, origin.column].join("/")
    );
  };
  const knows = (await origins('SELECT id FROM "a b"'))[0] !== null;
  const expected = (...all: (string | null)[]) => all.map((origin) => knows ? origin : null);
  assert.deepEqual(
    await origins('SELECT id, "ü ""x" AS other, id + 1, rowid, 1 FROM "a b" AS t'),
    expected("main/a b/id", 'main/a b/ü "x', null, "main/a b/id", null),
  );
  assert.deepEqual(
    await origins(
      "SELECT y, z, i, (SELECT y FROM u), q.b FROM u, w, v, (SELECT y AS b FROM u) AS q",
    ),
    expected("temp/u/y", "more/w/z", "main/a b/id", "temp/u/y", "temp/u/y"),
  );
  assert.deepEqual(await origins("SELECT count(*), max(y) FROM u"), expected(null, null));
});

test("a column's origin is not enumerable, and Row goes by names alone", async () => {
  await using db = await connect<Row>(":memory:", { rowFactory: Row });
  await db.execute("CREATE TABLE t (x INT)");
  const cursor = await db.execute("SELECT x AS y FROM t");
  assert.deepEqual(Object.keys(cursor.description![0]!), ["name", "declaredType"]);
  assert.equal(JSON.stringify(cursor.description), '[{"name":"y","declaredType":"INT"}]');
  assert.ok("origin" in cursor.description![0]!);
});

test("the origin changes with the table of a statement that is kept", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (x)");
  const origin = async () => (await db.execute("SELECT * FROM t")).description![0]!.origin;
  const before = await origin();
  await db.execute("ALTER TABLE t RENAME COLUMN x TO y");
  const after = await origin();
  if (before === null) return assert.equal(after, null);
  assert.deepEqual([before, after], [
    { database: "main", table: "t", column: "x" },
    { database: "main", table: "t", column: "y" },
  ]);
});

// -- afterwards

test("unknown and bad options are refused", async () => {
  await using db = await connect(":memory:");
  const name = { name: "main", nmae: "main" };
  for (
    const call of [
      () => db.serialize(name),
      () => db.serialize(null as never),
      () => db.deserialize(new Uint8Array(), name),
      () => db.checkpoint(name),
      () => db.checkpoint({ mode: "passive" as "PASSIVE" }),
      () => db.blobOpen("t", "x", 1, name),
      () => db.blobOpen("t", "x", 1, { readonly: 1 as unknown as boolean }),
      () => db.loadExtension("x", { entrypoint: "y" } as never),
      () => db.createSession(name),
      () => db.applyChangeset(new Uint8Array(), { on: 1 } as never),
      () => db.createFunction("f", 0, () => 1, { pure: true } as never),
      () => db.createFunction("f", 0, () => 1, { deterministic: 1 as unknown as boolean }),
    ]
  ) await assert.rejects(async () => await call(), ProgrammingError, String(call));
  assert.throws(() => db.iterDump({ fliter: "t" } as never), ProgrammingError);
});

test("after close() every one of these rejects", async () => {
  const db = await connect(":memory:");
  await db.close();
  const calls = [
    () => db.getLimit(SQLITE_LIMIT_LENGTH),
    () => db.setLimit(SQLITE_LIMIT_LENGTH, 5),
    () => db.getConfig(SQLITE_DBCONFIG_ENABLE_FKEY),
    () => db.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY),
    () => db.serialize(),
    () => db.deserialize(new Uint8Array(512)),
    () => db.blobOpen("t", "x", 1),
    () => db.enableLoadExtension(true),
    () => db.loadExtension("/x"),
    () => db.checkpoint(),
    async () => await db.iterDump().next(),
  ];
  for (const call of calls) await assert.rejects(call(), CLOSED);
});

test("what is asked before close() is answered", async () => {
  const db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (x)");
  const asked = [db.serialize(), db.getLimit(SQLITE_LIMIT_COLUMN), db.checkpoint()] as const;
  const [[bytes, limit, { log }]] = await Promise.all([Promise.all(asked), db.close()]);
  assert.ok(bytes.length > 0);
  assert.ok(limit > 0);
  assert.equal(log, -1);
});

test("calls of this kind are served in order with statements", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  const results = await Promise.all([
    db.serialize(),
    db.execute("CREATE TABLE t (x)"),
    db.serialize(),
    db.setLimit(SQLITE_LIMIT_COLUMN, 1),
    db.executeFetchAll("SELECT 1, 2").catch((error: Error) => error.name),
    db.setLimit(SQLITE_LIMIT_COLUMN, 100),
    db.executeFetchAll("SELECT 1, 2"),
  ]);
  assert.equal(results[0].length, 0);
  assert.ok(results[2].length > 0);
  assert.deepEqual(results.slice(4), ["OperationalError", 1, [[1, 2]]]);
});
