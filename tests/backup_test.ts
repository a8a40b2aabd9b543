import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { test } from "node:test";
import {
  type BackupOptions,
  connect,
  type Connection,
  type Cursor,
  OperationalError,
  ProgrammingError,
  SQLITE_BUSY,
  SQLITE_DONE,
  SQLITE_LOCKED,
  SQLITE_OK,
} from "../mod.ts";
import { file, program } from "./helpers.ts";

const plain = { isolationLevel: null } as const;

/** A connection with the table of CPython's tests. */
async function source(path = ":memory:"): Promise<Connection> {
  const db = await connect(path, plain);
  await db.executeScript("CREATE TABLE foo (key INTEGER); INSERT INTO foo VALUES (3), (4)");
  return db;
}

/** The same with that many rows, each of about a page. */
async function large(pages: number, path = ":memory:"): Promise<Connection> {
  const db = await source(path);
  await db.executeScript(
    "CREATE TABLE big (content);" +
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n " +
      `LIMIT ${pages}) INSERT INTO big SELECT zeroblob(4000) FROM n`,
  );
  return db;
}

const keys = async (db: Connection) =>
  (await db.executeFetchAll("SELECT key FROM foo ORDER BY key")).map(([key]) => key);

const isSound = async (db: Connection) =>
  assert.deepEqual(await db.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);

const closed = { name: "ProgrammingError", message: /^Cannot operate on a closed/ };

test("backup() refuses what is not another connection", async () => {
  await using db = await source();
  for (const bad of [null, undefined, "", "target.db", {}, 1]) {
    await assert.rejects(db.backup(bad as unknown as Connection), ProgrammingError);
  }
  await assert.rejects(db.backup(db), {
    name: "ProgrammingError",
    message: "target cannot be the same connection instance",
  });
  assert.deepEqual(await keys(db), [3, 4]);
});

test("what ends on the target meanwhile waits for the end of the backup", async () => {
  await using db = await large(50);
  await using target = await source();
  const cursors: Cursor[] = [];
  for (let i = 0; i < 20; i++) {
    // Of no table, since a backup takes none that is being read; and without an end.
    const cursor = await target.execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    );
    cursors.push(cursor);
  }
  const closed: Promise<unknown>[] = [];
  let settled = 0;
  let steps = 0;
  await db.backup(target, {
    pages: 3,
    progress: () => {
      assert.equal(settled, 0);
      const cursor = cursors[steps++];
      if (cursor) closed.push(cursor.close().then(() => settled++));
      target.isolationLevel = null;
    },
  });
  await Promise.all(closed);
  assert.ok(steps >= 15, `${steps}`);
  assert.deepEqual(await keys(target), [3, 4]);
  assert.equal((await target.executeFetchOne("SELECT count(*) FROM big"))![0], 50);
});

test("backup() refuses options that are unknown or bad, and copies nothing", async () => {
  await using db = await source();
  await using target = await connect(":memory:");
  const bad = [
    { pages: -2 },
    { pages: 1.5 },
    { pages: NaN },
    { pages: "1" },
    { pages: 1n },
    { progress: "print" },
    { progress: {} },
    { name: 1 },
    { name: "ma\0in" },
    { name: "\ud800" },
    { sleep: -1 },
    { sleep: NaN },
    { sleep: "250" },
    { signal: {} },
    { page: 1 },
    null,
    3,
  ];
  for (const options of bad) {
    await assert.rejects(
      db.backup(target, options as unknown as BackupOptions),
      ProgrammingError,
      String(options),
    );
  }
  assert.deepEqual(await target.executeFetchAll("SELECT * FROM sqlite_schema"), []);
});

test("backup() of or to a closed connection is refused", async () => {
  const db = await source();
  const target = await connect(":memory:");
  await target.close();
  await assert.rejects(db.backup(target), { ...closed, message: /closed target/ });
  await db.close();
  await using other = await connect(":memory:");
  await assert.rejects(db.backup(other), closed);
  await other.execute("CREATE TABLE t (x)");
});

test("backup() to a target in a transaction is refused, and harms neither", async () => {
  await using db = await source();
  await using target = await connect(":memory:");
  const refused = { name: "OperationalError", message: "target is in transaction" };
  await target.execute("CREATE TABLE t (x)");
  await target.execute("INSERT INTO t VALUES (1)");
  await assert.rejects(db.backup(target), refused);
  assert.equal(target.inTransaction, true);
  await target.rollback();
  assert.deepEqual(await target.executeFetchAll("SELECT * FROM t"), []);

  await target.transaction(async () => {
    await assert.rejects(db.backup(target), refused);
    await target.execute("INSERT INTO t VALUES (2)");
  });
  assert.deepEqual(await target.executeFetchAll("SELECT * FROM t"), [[2]]);

  await using always = await connect(":memory:", { autocommit: false });
  await assert.rejects(db.backup(always), refused);
});

test("backup() right behind an un-awaited statement that begins a transaction is refused", async () => {
  await using db = await source();
  for (const sql of ["BEGIN", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)"]) {
    await using target = await connect(":memory:");
    await target.execute("CREATE TABLE t (x)");
    const begun = target.execute(sql);
    await assert.rejects(db.backup(target), {
      name: "OperationalError",
      message: "target is in transaction",
    });
    await begun;
    assert.equal(target.inTransaction, true, sql);
    await target.rollback();
    await db.backup(target);
    assert.deepEqual(await keys(target), [3, 4]);
  }
});

test("backup() waits for its turn behind a transaction() that is about to begin", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  const order: string[] = [];
  const transaction = target.transaction(async (tx) => {
    await tx.execute("CREATE TABLE t (x)");
    order.push("transaction");
  });
  const backup = db.backup(target).then(() => order.push("backup"));
  await Promise.all([transaction, backup]);
  assert.deepEqual(order, ["transaction", "backup"]);
  assert.deepEqual(await keys(target), [3, 4]);
});

test("backup() copies all, in place of what the target had", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  await target.execute("CREATE TABLE other (x)");
  assert.equal(await db.backup(target), undefined);
  assert.deepEqual(await keys(target), [3, 4]);
  await assert.rejects(target.execute("SELECT * FROM other"), /no such table/);
  await target.execute("INSERT INTO foo VALUES (5)");
  assert.deepEqual([await keys(db), await keys(target)], [[3, 4], [3, 4, 5]]);
});

test("backup(): a statement that the target keeps follows the new schema", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  await target.execute("CREATE TABLE foo (other, columns)");
  const sql = "SELECT * FROM foo";
  assert.deepEqual(await target.executeFetchAll(sql), []);
  await db.backup(target);
  const cursor = await target.execute(sql);
  assert.deepEqual(cursor.description?.map(({ name }) => name), ["key"]);
  assert.deepEqual(await cursor.fetchAll(), [[3], [4]]);
});

test("backup() with pages: 1 calls progress after each page: OK, then DONE", async () => {
  await using db = await source();
  await using target = await connect(":memory:");
  const calls: number[][] = [];
  await db.backup(target, { pages: 1, progress: (...call) => calls.push(call) });
  assert.deepEqual(calls, [[SQLITE_OK, 1, 2], [SQLITE_DONE, 0, 2]]);
});

test("backup() with pages left out, -1, 0 or many takes one step", async () => {
  await using db = await source();
  for (const pages of [undefined, -1, 0, 100, 2 ** 31 - 1]) {
    await using target = await connect(":memory:");
    const calls: number[][] = [];
    await db.backup(target, { pages, progress: (...call) => calls.push(call) });
    assert.deepEqual(calls, [[SQLITE_DONE, 0, 2]], String(pages));
    assert.deepEqual(await keys(target), [3, 4]);
  }
});

test("backup(): progress may be null, and a promise of it is waited for", async () => {
  await using db = await source();
  await using target = await connect(":memory:");
  await db.backup(target, { progress: null });
  let running = 0;
  const seen: number[] = [];
  const progress = async () => {
    seen.push(++running);
    await db.execute("SELECT 1");
    running--;
  };
  await db.backup(target, { pages: 1, progress });
  assert.deepEqual(seen, [1, 1]);
});

test("backup() rejects with the very thing that progress throws or rejects with", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  await target.execute("CREATE TABLE kept (x)");
  for (const thrown of [new RangeError("nearly out of space"), "text", undefined]) {
    for (
      const progress of [() => {
        throw thrown;
      }, () => Promise.reject(thrown)]
    ) {
      const result = await db.backup(target, { pages: 1, progress }).then(
        () => "fulfilled",
        (error) => [error],
      );
      assert.deepEqual(result, [thrown]);
      assert.equal((result as unknown[])[0], thrown);
      assert.deepEqual(await target.executeFetchAll("SELECT name FROM sqlite_schema"), [["kept"]]);
    }
  }
  await db.backup(target);
  assert.deepEqual(await keys(target), [3, 4]);
});

test("backup(): a source that is written to in between starts anew, and is copied as it is then", async () => {
  await using db = await source();
  await using target = await connect(":memory:");
  const left: number[] = [];
  let writes = 0;
  await db.backup(target, {
    pages: 1,
    progress: async (_status, remaining) => {
      left.push(remaining);
      if (writes++ < 2) await db.execute("INSERT INTO foo VALUES (?)", [5 * writes]);
    },
  });
  assert.deepEqual(left, [1, 1, 1, 0]);
  assert.deepEqual(await keys(target), [3, 4, 5, 10]);
});

test("backup(): pages that another connection writes in between start it anew", async () => {
  const path = file();
  await using db = await source(path);
  await using other = await connect(path, plain);
  await using target = await connect(":memory:");
  const left: number[] = [];
  await db.backup(target, {
    pages: 1,
    progress: async (_status, remaining) => {
      left.push(remaining);
      if (left.length === 1) await other.execute("INSERT INTO foo VALUES (5)");
    },
  });
  assert.deepEqual(left, [1, 1, 0]);
  assert.deepEqual(await keys(target), [3, 4, 5]);
});

test("backup() copies main, temp or what is attached, and no unknown database", async () => {
  await using db = await source();
  await db.executeScript(
    "ATTACH ':memory:' AS \"the attached\";" +
      'CREATE TABLE "the attached".foo (key); INSERT INTO "the attached".foo VALUES (7);' +
      "CREATE TEMP TABLE bar (key); INSERT INTO bar VALUES (9)",
  );
  await using target = await connect(":memory:", plain);
  await db.backup(target, { name: "main" });
  assert.deepEqual(await keys(target), [3, 4]);
  await db.backup(target, { name: "the attached" });
  assert.deepEqual(await keys(target), [7]);
  await db.backup(target, { name: "temp" });
  assert.deepEqual(await target.executeFetchAll("SELECT key FROM bar"), [[9]]);
  for (const name of ["non-existing", "", "é"]) {
    await assert.rejects(db.backup(target, { name }), {
      name: "OperationalError",
      message: `unknown database ${name}`,
    });
  }
  assert.deepEqual(await target.executeFetchAll("SELECT key FROM bar"), [[9]]);
});

test("backup() of a database without anything empties the target", async () => {
  await using db = await connect(":memory:");
  await using target = await source(file());
  await db.backup(target);
  assert.deepEqual(await target.executeFetchAll("SELECT * FROM sqlite_schema"), []);
});

test("backup() goes from a file to memory and back", async () => {
  const paths = [file(), file()];
  await using db = await large(50, paths[0]);
  await using memory = await connect(":memory:");
  await db.backup(memory, { pages: 7 });
  {
    await using copy = await connect(paths[1]!);
    await memory.backup(copy, { pages: 11 });
  }
  await using copy = await connect(paths[1]!);
  assert.deepEqual(await keys(copy), [3, 4]);
  assert.deepEqual(await copy.executeFetchOne("SELECT count(*) FROM big"), [50]);
  await isSound(copy);
  assert.equal(statSync(paths[1]!).size, statSync(paths[0]!).size);
});

test("backup() to a file with another page size", async () => {
  await using db = await source();
  const path = file();
  await using target = await connect(path, plain);
  await target.executeScript("PRAGMA page_size = 1024; CREATE TABLE t (x)");
  await db.backup(target);
  assert.deepEqual(await keys(target), [3, 4]);
  assert.deepEqual(await target.executeFetchOne("PRAGMA page_size"), [4096]);
  await isSound(target);
});

test("backup() of a database in WAL mode, with others writing to it", async () => {
  const path = file();
  await using db = await large(200, path);
  assert.deepEqual(await db.executeFetchOne("PRAGMA journal_mode = WAL"), ["wal"]);
  await db.execute("INSERT INTO foo VALUES (5)"); // is in the log only
  await using other = await connect(path, plain);
  const target = file();
  await using copy = await connect(target, plain);
  let writes = 0;
  await db.backup(copy, {
    pages: 50,
    progress: async () => {
      if (writes++ < 3) await other.execute("INSERT INTO foo VALUES (?)", [100 + writes]);
    },
  });
  const copied = await keys(copy);
  assert.deepEqual(copied.slice(0, 6), [3, 4, 5, 101, 102, 103]);
  await isSound(copy);
  await db.execute("CREATE INDEX i ON foo (key)");
});

test("backup() into a database in WAL mode", async () => {
  await using db = await large(20);
  const path = file();
  await using target = await connect(path, plain);
  await target.executeScript("PRAGMA journal_mode = WAL; CREATE TABLE t (x)");
  await using reader = await connect(path, plain);
  assert.deepEqual(await reader.executeFetchAll("SELECT * FROM t"), []);
  await db.backup(target, { pages: 3 });
  assert.deepEqual(await keys(reader), [3, 4]);
  await isSound(reader);
});

test("backup() of a large database lets timers run, and the source be used in between", async () => {
  await using db = await large(6000);
  await using target = await connect(":memory:", plain);
  let served = 0;
  let running = true;
  const use = async () => {
    for (; running; served++) {
      assert.deepEqual(await db.executeFetchOne("SELECT max(key) FROM foo"), [4]);
    }
  };
  const used = use();
  let timers = 0;
  const timer = setInterval(() => timers++, 1);
  let steps = 0;
  await db.backup(target, { pages: 100, progress: () => steps++ });
  running = false;
  clearInterval(timer);
  await used;
  assert.ok(steps >= 60, `${steps} steps`);
  assert.ok(served >= steps / 2, `${served} queries were answered during ${steps} steps`);
  assert.ok(timers > 0);
  assert.deepEqual(await target.executeFetchOne("SELECT count(*) FROM big"), [6000]);
  await isSound(target);
});

test("backup(): calls of the target wait for it, in order, and see what was copied", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  const order: string[] = [];
  const calls: Promise<unknown>[] = [];
  await db.backup(target, {
    pages: 1,
    progress: async (status) => {
      if (calls.length === 0) {
        const called = (name: string, call: Promise<unknown>) =>
          calls.push(call.then((result) => (order.push(name), result)));
        called("select", target.executeFetchAll("SELECT key FROM foo").then((rows) => rows.flat()));
        const insert = target.executeInsert("INSERT INTO foo VALUES (5)");
        called("insert", insert.then((id) => id)); // through as many promises as the others
        called("transaction", target.transaction(() => keys(target)));
        await db.execute("SELECT 1");
      }
      assert.equal(order.length, 0);
      if (status === SQLITE_DONE) order.push("done");
    },
  });
  assert.deepEqual(await Promise.all(calls), [[3, 4], 3, [3, 4, 5]]);
  assert.deepEqual(order, ["done", "select", "insert", "transaction"]);
});

test("backup(): the target's calls time out as behind a transaction, saying why", async () => {
  await using db = await source();
  await using target = await connect(":memory:", { ...plain, timeout: 20 });
  await db.backup(target, {
    pages: 1,
    progress: (status) =>
      status !== SQLITE_DONE && assert.rejects(target.execute("SELECT 1"), {
        name: "OperationalError",
        code: "SQLITE_BUSY",
        message: /a backup into it/,
      }),
  });
  assert.deepEqual(await keys(target), [3, 4]);
});

test("backup(): setters of the target do no harm meanwhile", async () => {
  await using db = await large(100);
  await using target = await connect(file());
  const progress = () => {
    target.isolationLevel = null;
    target.isolationLevel = "IMMEDIATE";
    assert.throws(() => target.autocommit = false, ProgrammingError);
    target.interrupt();
  };
  await db.backup(target, { pages: 10, progress });
  assert.equal(target.isolationLevel, "IMMEDIATE");
  assert.deepEqual(await keys(target), [3, 4]);
  await target.execute("INSERT INTO foo VALUES (5)");
  assert.equal(target.inTransaction, true);
  await target.rollback();
});

test("backup(): cursors of the target that are half read stay so, or keep it out", async () => {
  await using db = await large(100);
  await using target = await connect(file(), plain);
  const numbers = await target.execute(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n",
  );
  assert.deepEqual(await numbers.fetchOne(), [1]);
  await db.backup(target, { pages: 30 });
  assert.equal((await numbers.fetchAll()).length, 4999);

  await using reading = await target.execute("SELECT content FROM big");
  await reading.fetchOne();
  await assert.rejects(db.backup(target), {
    name: "OperationalError",
    message: "destination database is in use",
  });
  assert.equal((await reading.fetchAll()).length, 99);
  await db.backup(target);
});

test("target.close() during a backup waits for the step, and ends the backup", async () => {
  await using db = await large(50);
  const path = file();
  const target = await source(path);
  await target.execute("INSERT INTO foo VALUES (1)");
  let closing: Promise<void> | undefined;
  let steps = 0;
  const progress = () => {
    steps++;
    closing ??= target.close();
  };
  await assert.rejects(db.backup(target, { pages: 5, progress }), {
    name: "ProgrammingError",
    message: /closed/,
  });
  await closing;
  assert.equal(steps, 1);
  await using after = await connect(path);
  assert.deepEqual(await keys(after), [1, 3, 4]);
  await isSound(after);
  assert.deepEqual(await keys(db), [3, 4]);
});

test("source.close() during a backup ends it, and the target keeps what it had", async () => {
  const db = await large(50);
  await using target = await connect(file(), plain);
  await target.execute("CREATE TABLE kept (x)");
  let closing: Promise<void> | undefined;
  const progress = () => {
    closing ??= db.close();
  };
  await assert.rejects(db.backup(target, { pages: 5, progress }), closed);
  await closing;
  assert.deepEqual(await target.executeFetchAll("SELECT name FROM sqlite_schema"), [["kept"]]);
  await target.execute("INSERT INTO kept VALUES (1)");
  await isSound(target);
});

test("both ends closed at once during a backup, time and again, do no harm", async () => {
  const ended = await program(`
    const { connect } = aiosqlite;
    for (let i = 0; i < 25; i++) {
      const [source, target] = await Promise.all([connect(":memory:"), connect(":memory:")]);
      await source.executeScript(
        "CREATE TABLE t (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n " +
        "LIMIT 20) INSERT INTO t SELECT zeroblob(4000) FROM n",
      );
      const closing = [];
      const progress = () => {
        if (closing.length === 0) closing.push(source.close());
      };
      const error = await source.backup(target, { pages: 3, progress }).catch((error) => error);
      if (!(error instanceof aiosqlite.ProgrammingError)) throw error ?? new Error("fulfilled");
      await Promise.all([target.close(), ...closing]);
    }
    console.log("survived");
  `);
  assert.deepEqual([ended.code, ended.signal, ended.stdout], [0, null, "survived\n"], ended.stderr);
});

test("backup() with a signal that is aborted already rejects with its reason", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  const reason = new Error("no more");
  let called = false;
  const progress = () => {
    called = true;
  };
  const signal = AbortSignal.abort(reason);
  await assert.rejects(db.backup(target, { signal, progress }), (error) => error === reason);
  assert.equal(called, false);
  assert.deepEqual(await target.executeFetchAll("SELECT * FROM sqlite_schema"), []);
  await db.backup(target);
});

test("backup() whose signal is aborted between steps leaves the target as it was", async () => {
  await using db = await large(50);
  for (const path of [":memory:", file()]) {
    await using target = await connect(path, plain);
    await target.executeScript("CREATE TABLE kept (x); INSERT INTO kept VALUES (1)");
    const controller = new AbortController();
    const reason = new Error("enough");
    let steps = 0;
    const progress = () => {
      if (++steps === 2) controller.abort(reason);
    };
    const { signal } = controller;
    await assert.rejects(
      db.backup(target, { pages: 5, progress, signal }),
      (error) => error === reason,
    );
    assert.equal(steps, 2);
    assert.deepEqual(await target.executeFetchAll("SELECT x FROM kept"), [[1]]);
    await isSound(target);
    await target.execute("INSERT INTO kept VALUES (2)");
    await db.backup(target, { signal: new AbortController().signal });
    assert.deepEqual(await keys(target), [3, 4]);
  }
});

test("backup() whose signal is aborted in a long step ends within it", async () => {
  await using db = await large(20_000);
  await using target = await connect(file(), plain);
  await target.execute("CREATE TABLE kept (x)");
  const controller = new AbortController();
  let done = false;
  const backup = db.backup(target, {
    signal: controller.signal,
    progress: () => {
      done = true;
    },
  });
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(backup, { name: "AbortError" });
  assert.equal(done, false);
  assert.deepEqual(await target.executeFetchAll("SELECT name FROM sqlite_schema"), [["kept"]]);
  await isSound(target);
});

test("backup() whose signal is aborted while it waits for the target never starts", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  const controller = new AbortController();
  const transaction = target.transaction(async (tx) => {
    controller.abort();
    await tx.execute("CREATE TABLE t (x)");
  });
  await assert.rejects(db.backup(target, { signal: controller.signal }), { name: "AbortError" });
  await transaction;
  assert.deepEqual(await target.executeFetchAll("SELECT name FROM sqlite_schema"), [["t"]]);
});

test("backup() that is aborted before the source came to it uses the target no more", async () => {
  const ended = await program(`
    import assert from "node:assert/strict";
    const { connect } = aiosqlite;
    const db = await connect(":memory:");
    await db.execute("CREATE TABLE foo (key)");
    const { promise, resolve } = Promise.withResolvers();
    const begun = Promise.withResolvers();
    await db.createFunction("wait", 0, () => (begun.resolve(), promise));
    for (let i = 0; i < 10; i++) {
      const target = await connect(":memory:", { isolationLevel: null });
      await target.execute("CREATE TABLE kept (x)");
      const busy = i === 0 ? db.executeFetchOne("SELECT wait()") : null;
      if (i === 0) {
        await begun.promise;
        globalThis.busy = busy;
      }
      const controller = new AbortController();
      const backup = db.backup(target, { signal: controller.signal });
      await new Promise((resolve) => setTimeout(resolve, 2)); // the target has been lent
      controller.abort();
      await assert.rejects(backup, { name: "AbortError" });
      assert.deepEqual(
        await target.executeFetchAll("SELECT name FROM sqlite_schema"), [["kept"]],
      );
      await target.close();
    }
    resolve(1);
    assert.deepEqual(await globalThis.busy, [1]);
    assert.deepEqual(await db.executeFetchAll("SELECT * FROM foo"), []);
    await db.close();
    console.log("survived");
  `);
  assert.deepEqual([ended.code, ended.signal, ended.stdout], [0, null, "survived\n"], ended.stderr);
});

test("backup() of a source with an open transaction waits for its end, telling BUSY", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE foo (key); INSERT INTO foo VALUES (3)");
  await db.execute("INSERT INTO foo VALUES (4)");
  await using target = await connect(":memory:");
  const statuses: number[] = [];
  await db.backup(target, {
    sleep: 1,
    progress: async (status) => {
      statuses.push(status);
      if (statuses.length === 3) await db.commit();
    },
  });
  assert.deepEqual(statuses, [SQLITE_BUSY, SQLITE_BUSY, SQLITE_BUSY, SQLITE_DONE]);
  assert.deepEqual(await keys(target), [3, 4]);
});

test("backup() waits for a transaction() of the source, and copies what it commits", async () => {
  await using db = await source();
  await using target = await connect(":memory:");
  const transaction = await db.transaction();
  await transaction.execute("INSERT INTO foo VALUES (5)");
  const backup = db.backup(target);
  await transaction.commit();
  await backup;
  assert.deepEqual(await keys(target), [3, 4, 5]);
});

test("backup() to a file that another process has locked tries again every `sleep` ms", async () => {
  await using db = await source();
  const path = file();
  await using target = await connect(path, plain);
  await target.execute("CREATE TABLE kept (x)");
  const other = spawn("python3", [
    "-c",
    "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n" +
    "c.execute('BEGIN EXCLUSIVE')\nprint('locked', flush=True)\nsys.stdin.read()\n" +
    "c.execute('COMMIT')\n",
    path,
  ]);
  await once(other.stdout, "data");
  const left = once(other, "exit");
  const tries: [status: number, at: number][] = [];
  await db.backup(target, {
    sleep: 40,
    progress: async (status) => {
      tries.push([status, performance.now()]);
      if (tries.length === 4) {
        other.stdin.end();
        await left;
      }
    },
  });
  assert.deepEqual(
    tries.map(([status]) => status),
    [SQLITE_BUSY, SQLITE_BUSY, SQLITE_BUSY, SQLITE_BUSY, SQLITE_DONE],
  );
  for (let i = 1; i < 4; i++) {
    const waited = tries[i]![1] - tries[i - 1]![1];
    assert.ok(waited >= 38 && waited < 1000, `${waited} ms`);
  }
  assert.deepEqual(await keys(target), [3, 4]);
});

test("backup() that is aborted while the target's file is locked rejects at once", async () => {
  await using db = await source();
  const path = file();
  await using target = await connect(path, plain);
  await target.execute("CREATE TABLE kept (x)");
  await using other = await connect(path, plain);
  await other.execute("BEGIN EXCLUSIVE");
  const controller = new AbortController();
  const started = performance.now();
  const backup = db.backup(target, {
    sleep: 60_000,
    signal: controller.signal,
    progress: (status) => {
      assert.ok(status === SQLITE_BUSY || status === SQLITE_LOCKED);
      setTimeout(() => controller.abort(), 1);
    },
  });
  await assert.rejects(backup, { name: "AbortError" });
  assert.ok(performance.now() - started < 10_000);
  await other.execute("ROLLBACK");
  assert.deepEqual(await target.executeFetchAll("SELECT * FROM kept"), []);
});

test("the target's own waits for locks work after a backup as before", async () => {
  await using db = await source();
  const path = file();
  await using target = await connect(path, plain);
  await db.backup(target);
  await using other = await connect(path, plain);
  await other.execute("BEGIN IMMEDIATE");
  const waiting = target.execute("INSERT INTO foo VALUES (5)");
  setTimeout(() => other.execute("COMMIT"), 50);
  await waiting;
  const controller = new AbortController();
  const endless = target.executeFetchOne(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    [],
    { signal: controller.signal },
  );
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(endless, { name: "AbortError" });
});

test("hooks of the target are not asked during a backup, and work afterwards", async () => {
  await using db = await large(20);
  await using target = await connect(":memory:", plain);
  const seen: string[] = [];
  await target.setUpdateHook(() => seen.push("update"));
  await target.setCommitHook(() => {
    seen.push("commit");
  });
  await target.setProgressHandler(() => {
    seen.push("progress");
  }, 1);
  seen.length = 0;
  await db.backup(target, { pages: 3 });
  assert.deepEqual(seen, []);
  await target.execute("INSERT INTO foo VALUES (5)");
  assert.deepEqual([...new Set(seen)].sort(), ["commit", "progress", "update"]);
});

test("two backups of one source at once, and two into one target", async () => {
  await using db = await large(60);
  await using other = await connect(":memory:", plain);
  await other.executeScript("CREATE TABLE foo (key); INSERT INTO foo VALUES (1)");
  await using one = await connect(":memory:", plain);
  await using two = await connect(file(), plain);
  await Promise.all([db.backup(one, { pages: 2 }), db.backup(two, { pages: 3 })]);
  for (const copy of [one, two]) {
    assert.deepEqual(await keys(copy), [3, 4]);
    await isSound(copy);
  }
  await Promise.all([db.backup(one, { pages: 2 }), other.backup(one, { pages: 1 })]);
  assert.deepEqual(await keys(one), [1]); // one after the other
  await isSound(one);
});

test("backup(): a chain of three copies at once ends with sound databases", async () => {
  await using one = await large(30);
  await using two = await connect(":memory:", plain);
  await using three = await connect(":memory:", plain);
  await two.executeScript("CREATE TABLE foo (key); INSERT INTO foo VALUES (1)");
  await Promise.all([two.backup(three, { pages: 1 }), one.backup(two, { pages: 4 })]);
  assert.deepEqual(await keys(two), [3, 4]);
  for (const db of [two, three]) await isSound(db);
});

test("backups of two connections into each other do not hang for ever", async () => {
  const options = { ...plain, timeout: 100 };
  await using one = await connect(":memory:", options);
  await using two = await connect(":memory:", options);
  await one.executeScript("CREATE TABLE foo (key); INSERT INTO foo VALUES (1)");
  await two.executeScript("CREATE TABLE foo (key); INSERT INTO foo VALUES (2)");
  for (const result of await Promise.allSettled([one.backup(two), two.backup(one)])) {
    if (result.status === "rejected") assert.ok(result.reason instanceof OperationalError);
  }
  for (const db of [one, two]) {
    await isSound(db);
    assert.equal((await keys(db)).length, 1);
  }
  await one.backup(two);
  await two.backup(one);
  assert.deepEqual(await keys(one), await keys(two));
});

test("backup() into itself by way of a progress function is refused in good time", async () => {
  await using db = await source();
  await using target = await connect(":memory:", { ...plain, timeout: 30 });
  let refused: unknown;
  await db.backup(target, {
    pages: 1,
    progress: async () => {
      refused ??= await db.backup(target).catch((error) => error);
    },
  });
  assert.ok(refused instanceof OperationalError, String(refused));
  assert.deepEqual(await keys(target), [3, 4]);
});

test("backup() from within a function of the source or the target is refused", async () => {
  await using db = await source();
  await using target = await connect(":memory:", plain);
  const refused: unknown[] = [];
  const note = (error: unknown) => {
    refused.push(error);
    return null;
  };
  await db.createFunction("copy", 0, () => db.backup(target).catch(note));
  await db.execute("SELECT copy()");
  assert.ok(refused[0] instanceof ProgrammingError, String(refused[0]));
  await target.execute("CREATE TABLE t (x)");
});

test("backup() to a target opened for reading only fails, and harms nothing", async () => {
  await using db = await source();
  const path = file();
  {
    await using made = await connect(path, plain);
    await made.execute("CREATE TABLE kept (x)");
  }
  await using target = await connect(path, { ...plain, readonly: true });
  await assert.rejects(db.backup(target), { name: "OperationalError", code: "SQLITE_READONLY" });
  assert.deepEqual(await target.executeFetchAll("SELECT * FROM kept"), []);
});

test("backup() of a damaged file copies it as it is, or rejects; neither end breaks", async () => {
  const path = file();
  {
    await using db = await large(20, path);
    await db.execute("PRAGMA user_version = 1");
  }
  const { openSync, writeSync, closeSync } = await import("node:fs");
  const descriptor = openSync(path, "r+");
  writeSync(descriptor, new Uint8Array(100), 0, 100, 0);
  closeSync(descriptor);
  await using db = await connect(path, plain);
  await using target = await connect(":memory:", plain);
  await assert.rejects(db.backup(target), { code: "SQLITE_NOTADB" });
  await target.execute("CREATE TABLE t (x)");
});

test("backup() of a connection that is used by nobody else keeps no process alive after", async () => {
  const ended = await program(
    `
    const { connect } = aiosqlite;
    const [source, target] = await Promise.all([connect(":memory:"), connect(args[0])]);
    await source.execute("CREATE TABLE t (x)");
    await source.backup(target);
    console.log("done");
  `,
    [file()],
  );
  assert.deepEqual([ended.code, ended.signal, ended.stdout], [0, null, "done\n"], ended.stderr);
});

// -- in processes of their own

const PRELUDE = `
  import assert from "node:assert/strict";
  import { once } from "node:events";
  import { Worker } from "node:worker_threads";

  const { connect, OperationalError } = aiosqlite;
  const threads = [];
  const { unref } = Worker.prototype;
  Worker.prototype.unref = function () {
    if (!threads.includes(this)) threads.push(this);
    return unref.call(this);
  };
  async function kill(thread) {
    const exited = once(thread, "exit");
    thread.terminate();
    await exited;
  }
  const source = await connect(":memory:", { isolationLevel: null });
  await source.executeScript(
    "CREATE TABLE foo (key); INSERT INTO foo VALUES (3); CREATE TABLE big (content);" +
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) " +
    "INSERT INTO big SELECT zeroblob(4000) FROM n",
  );
  const target = await connect(args[0], { isolationLevel: null });
  await target.executeScript("CREATE TABLE kept (x); INSERT INTO kept VALUES (1)");
`;

test("process.exit() between steps of a backup: no crash, and the target is as it was", async () => {
  const path = file();
  const ended = await program(
    `${PRELUDE}await source.backup(target, { pages: 10, progress: () => process.exit(7) });`,
    [path],
  );
  assert.deepEqual([ended.code, ended.signal, ended.stderr], [7, null, ""]);
  await using after = await connect(path);
  assert.deepEqual(await after.executeFetchAll("SELECT * FROM kept"), [[1]]);
  await isSound(after);
});

test("process.exit() in a step of a backup: no crash, and the target has all or nothing", async () => {
  const path = file();
  const ended = await program(
    `${PRELUDE}setTimeout(() => process.exit(7), 3); await source.backup(target);`,
    [path],
  );
  assert.deepEqual([ended.code, ended.signal, ended.stderr], [7, null, ""]);
  await using after = await connect(path);
  await isSound(after);
  const [table] = (await after.executeFetchOne("SELECT name FROM sqlite_schema"))!;
  if (table === "kept") {
    return assert.equal((await after.executeFetchAll("SELECT * FROM kept")).length, 1);
  }
  assert.deepEqual(await after.executeFetchOne("SELECT count(*) FROM big"), [10_000]);
});

test("A source whose thread ends during a backup: it rejects, and the target is as it was", async () => {
  const path = file();
  const ended = await program(
    `${PRELUDE}
    let killed;
    const progress = () => killed ??= kill(threads[0]);
    const thread = { name: "OperationalError", message: /thread ended/ };
    await assert.rejects(source.backup(target, { pages: 10, progress }), thread);
    await assert.rejects(source.execute("SELECT 1"), thread);
    assert.deepEqual(await target.executeFetchAll("SELECT * FROM kept"), [[1]]);
    await target.execute("INSERT INTO kept VALUES (2)");
    await target.close();
    console.log("survived");`,
    [path],
  );
  assert.deepEqual([ended.code, ended.signal, ended.stdout], [0, null, "survived\n"], ended.stderr);
  await using after = await connect(path);
  assert.deepEqual(await after.executeFetchAll("SELECT * FROM kept"), [[1], [2]]);
  await isSound(after);
});

test("A source whose thread ends in a step of a backup: it rejects, the process survives", async () => {
  const path = file();
  const ended = await program(
    `${PRELUDE}
    const backup = source.backup(target).then(() => "copied", (error) => error);
    setTimeout(() => kill(threads[0]), 3);
    const result = await backup;
    if (result !== "copied") assert.match(result.message, /thread ended/);
    await target.close();
    console.log("survived");`,
    [path],
  );
  assert.deepEqual([ended.code, ended.signal, ended.stdout], [0, null, "survived\n"], ended.stderr);
  await using after = await connect(path);
  await isSound(after);
});

test("A target whose thread ends during a backup: it rejects, and the source goes on", async () => {
  const path = file();
  const ended = await program(
    `${PRELUDE}
    let killed;
    const progress = () => killed ??= kill(threads[1]);
    const thread = { name: "OperationalError", message: /thread ended/ };
    await assert.rejects(source.backup(target, { pages: 10, progress }), thread);
    await assert.rejects(target.execute("SELECT 1"), thread);
    assert.deepEqual(await source.executeFetchAll("SELECT * FROM foo"), [[3]]);
    const other = await connect(args[0], { isolationLevel: null, timeout: 2000 });
    await other.execute("INSERT INTO kept VALUES (2)");
    await source.backup(other);
    assert.deepEqual(await other.executeFetchAll("SELECT * FROM foo"), [[3]]);
    await source.close();
    await other.close();
    console.log("survived");`,
    [path],
  );
  assert.deepEqual([ended.code, ended.signal, ended.stdout], [0, null, "survived\n"], ended.stderr);
});
