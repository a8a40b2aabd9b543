import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { connect, OperationalError, ProgrammingError } from "../../mod.ts";
import { file, folder, program, python } from "../helpers.ts";

/** A database with the table t (x) of one row, 1. */
async function filled(path: string): Promise<string> {
  await using db = await connect(path);
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
  return path;
}

test("fts3_tokenizer() takes no address from SQL", async () => {
  const ended = await program(`
    await using db = await aiosqlite.connect(":memory:");
    for (
      const sql of [
        "SELECT fts3_tokenizer('evil', x'4141414141414141')",
        "CREATE VIRTUAL TABLE v USING fts3(x, tokenize=evil)",
      ]
    ) await db.execute(sql).then(() => console.log("done"), (error) => console.log("refused"));
  `);
  assert.deepEqual(
    [ended.code, ended.signal, ended.stdout],
    [0, null, "refused\nrefused\n"],
    ended.stderr,
  );
});

test("load_extension() is not authorized", async () => {
  await using db = await connect(":memory:");
  for (const sql of ["SELECT load_extension('x')", "SELECT load_extension('x', 'y')"]) {
    await assert.rejects(
      db.executeFetchAll(sql),
      (error: unknown) =>
        error instanceof OperationalError &&
        /not authorized|no such function/.test(error.message), // the latter on macOS
    );
  }
});

test("The schema can't be edited as a table, whatever writable_schema says", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  await db.execute("PRAGMA writable_schema = ON");
  for (
    const sql of [
      "UPDATE sqlite_master SET sql = 'CREATE TABLE t (y)'",
      "DELETE FROM sqlite_master",
      "INSERT INTO sqlite_master VALUES ('table', 'u', 'u', 0, 'CREATE TABLE u (x)')",
    ]
  ) await assert.rejects(db.execute(sql), /may not be modified/);
  await db.rollback();
  assert.deepEqual(await db.executeFetchAll("SELECT sql FROM sqlite_master"), [
    ["CREATE TABLE t (x)"],
  ]);
});

test("A schema is not trusted: views can't call what is not harmless", async () => {
  await using db = await connect(":memory:");
  assert.deepEqual(await db.executeFetchOne("PRAGMA trusted_schema"), [0]);
  const known = await db.executeFetchAll(
    "SELECT DISTINCT name FROM pragma_function_list WHERE name IN ('load_extension', 'rtreecheck')",
  );
  for (const [name] of known) {
    await db.execute(`CREATE VIEW v_${name} AS SELECT ${name}('x')`);
    await assert.rejects(db.executeFetchAll(`SELECT * FROM v_${name}`), /unsafe use of/);
  }
});

test("A name that begins with file: is a file's name", async () => {
  const here = folder();
  const name = "file:a.db?mode=memory";
  const { code, stderr } = await program(
    `
    process.chdir(args[0]);
    await using db = await aiosqlite.connect(args[1]);
    await db.execute("CREATE TABLE t (x)");
  `,
    [here, name],
  );
  assert.equal(code, 0, stderr);
  assert.deepEqual(readdirSync(here), [name]);
});

test("A path with characters that mean something in a URI is that path", async () => {
  const path = join(folder(), "a b?mode=memory#c%41é.db");
  await filled(path);
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});

test("connect() refuses a name with NUL, a lone surrogate, or none at all", async () => {
  const here = folder();
  for (const name of [`${here}/a.db\0.txt`, "\0", `${here}/\ud800.db`, ""]) {
    await assert.rejects(connect(name), ProgrammingError);
  }
  assert.deepEqual(readdirSync(here), []);
});

test("connect() refuses what is no name", async () => {
  for (const name of [undefined, null, 1, {}, new Uint8Array(1)]) {
    await assert.rejects(connect(name as unknown as string), ProgrammingError);
  }
});

test("readonly: reads, and refuses writes", async () => {
  const path = await filled(file());
  await using db = await connect(path, { readonly: true });
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
  await assert.rejects(
    db.execute("INSERT INTO t VALUES (2)"),
    (error: unknown) => error instanceof OperationalError && error.code === "SQLITE_READONLY",
  );
});

test("readonly: makes no file", async () => {
  const here = folder();
  await assert.rejects(connect(join(here, "new.db"), { readonly: true }), /unable to open/);
  assert.deepEqual(readdirSync(here), []);
});

test("uri: the parameters of a URI count", async () => {
  const path = await filled(file());
  await using db = await connect(`file:${path}?mode=ro`, { uri: true });
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
  await assert.rejects(db.execute("DELETE FROM t"), /readonly/);
  const missing = `file:${file("missing.db")}?mode=rw`;
  await assert.rejects(connect(missing, { uri: true }), /unable to open/);
});

test("uri: connections share a named database in memory", async () => {
  const uri = "file:shared-in-this-test?mode=memory&cache=shared";
  await using one = await connect(uri, { uri: true });
  await one.execute("CREATE TABLE t (x)");
  await using two = await connect(uri, { uri: true });
  assert.deepEqual(await two.executeFetchAll("SELECT * FROM t"), []);
});

test("connect() takes a URL object with file:", async () => {
  const path = await filled(join(folder(), "a b?c#d%41é.db"));
  await using db = await connect(pathToFileURL(path));
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
});

test("A URL's parameters count with uri, and are refused without", async () => {
  const url = pathToFileURL(await filled(file()));
  url.search = "?mode=ro";
  await assert.rejects(connect(url), ProgrammingError);
  await using db = await connect(url, { uri: true });
  await assert.rejects(db.execute("DELETE FROM t"), /readonly/);
});

test("connect() refuses a URL with another scheme", async () => {
  await assert.rejects(connect(new URL("https://example.com/a.db")), ProgrammingError);
});
