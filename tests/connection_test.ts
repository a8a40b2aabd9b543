import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, OperationalError } from "../mod.ts";
import { file, program, python } from "./helpers.ts";

test("connect() opens a file that another process then reads", async () => {
  const path = file();
  {
    await using db = await connect(path);
    await db.execute("CREATE TABLE t (x)");
    await db.execute("INSERT INTO t VALUES (?)", ["é"]);
    await db.commit();
  }
  assert.deepEqual(await python(path, "SELECT x FROM t"), [["é"]]);
});

test("connect() rejects when the file can't be opened", async () => {
  await assert.rejects(
    connect("/nowhere/at/all.db"),
    (error: unknown) => error instanceof OperationalError && /unable to open/.test(error.message),
  );
});

test("a program with an open connection ends by itself", async () => {
  const { code, stdout } = await program(`
    const db = await aiosqlite.connect(":memory:");
    console.log(await db.executeFetchOne("SELECT 42"));
  `);
  assert.equal(code, 0);
  assert.match(stdout, /42/);
});
