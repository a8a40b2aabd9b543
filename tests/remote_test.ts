import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "../ffi/libsqlite3.ts";
import { RemoteDatabase } from "../ffi/remote.ts";
import { Database } from "../ffi/sqlite.ts";
import { connect } from "../mod.ts";
import { file } from "./helpers.ts";

const READWRITE_CREATE = 0x6;
const encoder = new TextEncoder();

test("a dead thread's transaction ends, even if a statement of it is not known", async () => {
  const path = file();
  const library = load(undefined);
  const database = Database.open(library, path, READWRITE_CREATE, false);
  const sql = "CREATE TABLE t (x); BEGIN IMMEDIATE; INSERT INTO t VALUES (1);";
  for (const statement of database.statements(encoder.encode(sql))) {
    while (statement.step());
    statement.finalize();
  }
  const [known] = database.prepare(encoder.encode("SELECT x FROM t"), true);
  const [unknown] = database.prepare(encoder.encode("SELECT count(*) FROM t"), true);
  known!.step();
  new RemoteDatabase(library, database.handle).close([BigInt(known!.handle)], false);
  try {
    await using db = await connect(path, { timeout: 0 });
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
    await db.execute("INSERT INTO t VALUES (2)");
  } finally {
    library.sqlite3_finalize(unknown!.handle); // the last one, with which the handle is closed
  }
});
