import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { load } from "../ffi/libsqlite3.ts";
import { connect, type Connection, createPool, OperationalError, SQLITE_OK } from "../mod.ts";
import { CANCELLABLE_CALLS } from "../src/thread/channel.ts";
import { command, type Ended, file, folder, program, runtimeName } from "./helpers.ts";

// What tasks that share a connection, or a pool, do to each other at awkward moments.

/** A database in memory with a table `t (x)`, in which nothing begins a transaction by itself. */
async function table(options = {}, path = ":memory:"): Promise<Connection> {
  const db = await connect(path, { isolationLevel: null, timeout: 3000, ...options });
  await db.execute("CREATE TABLE t (x)");
  return db;
}

async function values(db: Pick<Connection, "executeFetchAll">): Promise<unknown[]> {
  return (await db.executeFetchAll("SELECT x FROM t ORDER BY rowid")).flat();
}

/** So many rows that the first reply does not have them all. */
const ROWS = 30_000;
const NUMBERS = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${ROWS})`;

const CLOSED = { name: "ProgrammingError", message: "Cannot operate on a closed database." };

/** Checks that a program has come to its end. */
function survived({ code, signal, stdout, stderr }: Ended): void {
  assert.deepEqual([code, signal, stdout], [0, null, "survived\n"], stderr);
}

/** For programs: `threads` are those started so far, `kill` ends one. */
const THREADS = `
  import assert from "node:assert/strict";
  import { once } from "node:events";
  import { Worker } from "node:worker_threads";
  const threads = [];
  const { unref } = Worker.prototype;
  Worker.prototype.unref = function () {
    if (!threads.includes(this)) threads.push(this);
    return unref.call(this);
  };
  async function kill(thread) {
    const alive = setInterval(() => {}, 1000); // a thread that ends is not waited for
    const exited = once(thread, "exit");
    thread.terminate();
    await exited;
    clearInterval(alive);
  }
`;

// --- cancelling ---

test("a call aborted far behind others never runs, and no other is hit for it", async () => {
  await using db = await table();
  const { signal } = new AbortController();
  // All in one turn, so that none of them has been answered yet.
  const near = Array.from(
    { length: 100 },
    (_, i) => db.executeFetchOne("SELECT ?", [i], { signal }),
  );
  for (let i = 0; i < CANCELLABLE_CALLS - 50; i++) db.isolationLevel = null; // the cheapest call
  const controller = new AbortController();
  const far = db.execute("INSERT INTO t VALUES ('far')", [], controller);
  const after = db.executeInsert("INSERT INTO t VALUES ('after')", [], { signal });
  const reason = new Error("changed my mind");
  controller.abort(reason);
  await assert.rejects(far, (error) => error === reason);
  const answers = await Promise.all(near);
  assert.deepEqual(answers.flat(), Array.from({ length: 100 }, (_, i) => i));
  assert.equal(await after, 1);
  assert.deepEqual(await values(db), ["after"]);
});

test("aborting one long instruction ends it, and the connection goes on", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("PRAGMA page_size = 512; CREATE TABLE t (x)");
  await db.execute(`${NUMBERS} INSERT INTO t SELECT zeroblob(400) FROM n`); // a page each
  // To count a table is one instruction. Each takes milliseconds, and all together are too few for
  // SQLite to look in between whether the call has been cancelled.
  const counts = Array.from({ length: 200 }, (_, i) => `(SELECT count(*) FROM t AS t${i})`);
  const begun = Promise.withResolvers<void>();
  await db.setTraceCallback(() => begun.resolve());
  const controller = new AbortController();
  const { signal } = controller;
  const counting = db.executeFetchAll(`SELECT ${counts.join(" + ")}`, [], { signal });
  const behind = db.executeFetchOne("SELECT count(*) FROM t");
  await begun.promise;
  const reason = new Error("too long");
  controller.abort(reason);
  await assert.rejects(counting, (error) => error === reason);
  assert.deepEqual(await behind, [ROWS]);
  assert.equal(await db.executeInsert("INSERT INTO t VALUES (1)"), ROWS + 1);
});

// --- Deno with the library alone ---

/** Runs a program that may load the library and nothing else, so that C can't call back. */
async function limited(source: string, args: readonly string[] = []): Promise<Ended> {
  const script = join(folder(), "program.ts");
  const mod = new URL("../mod.ts", import.meta.url);
  writeFileSync(
    script,
    `import process from "node:process";
    import assert from "node:assert/strict";
    import * as aiosqlite from ${JSON.stringify(mod.href)};
    const { connect } = aiosqlite;
    const args = process.argv.slice(2);
    ${source}
    console.log("survived");`,
  );
  const { path } = load(undefined);
  const permissions = [`--allow-ffi=${path}`, "--allow-read", "--no-prompt"];
  const flags = ["run", "--quiet", "--no-lock", "--no-check", ...permissions];
  return await command(process.execPath, [...flags, script, ...args]);
}

const notDeno = runtimeName !== "deno" && `${runtimeName} has no permissions for FFI`;

test("Deno: without callbacks from C what runs is cancelled and interrupted", {
  skip: notDeno,
}, async () => {
  survived(
    await limited(
      `
      const options = { isolationLevel: null, timeout: 10_000 };
      await using db = await connect(args[0], options);
      await using other = await connect(args[0], { ...options, timeout: 0 });
      await db.execute("CREATE TABLE t (x)");
      const NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
      const ENDLESS = "INSERT INTO t " + NUMBERS + " SELECT i FROM n WHERE i < 0";
      /** Comes back once the other connection is in the middle of writing. */
      async function begun() {
        for (;;) {
          try {
            await other.executeScript("BEGIN IMMEDIATE; ROLLBACK");
          } catch (error) {
            if (error.code === "SQLITE_BUSY") return;
            throw error;
          }
        }
      }
      const reason = new Error("mine");
      const [first, second] = [new AbortController(), new AbortController()];
      const running = db.execute(ENDLESS, [], first);
      const queued = db.execute("INSERT INTO t VALUES ('queued')", [], second);
      const behind = db.execute("INSERT INTO t VALUES ('behind')");
      await begun();
      second.abort(reason);
      await assert.rejects(queued, (error) => error === reason);
      first.abort(reason);
      await assert.rejects(running, (error) => error === reason);
      await behind;
      const interrupted = db.execute(ENDLESS);
      await begun();
      db.interrupt();
      await assert.rejects(interrupted, { name: "OperationalError", code: "SQLITE_INTERRUPT" });
      assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [["behind"]]);
      `,
      [file()],
    ),
  );
});

/** For programs: each way to have SQLite call a function, by its name. */
const HOOKS = `
  class Aggregate {
    step() {}
    inverse() {}
    value() {}
    finalize() {}
  }
  const HOOKS = {
    createFunction: ["f", 1, (x) => x],
    createAggregate: ["a", 1, Aggregate],
    createWindowFunction: ["w", 1, Aggregate],
    createCollation: ["c", () => 0],
    setAuthorizer: [() => 0],
    setProgressHandler: [() => 0, 1],
    setTraceCallback: [() => {}],
    setUpdateHook: [() => {}],
    setCommitHook: [() => 0],
    setRollbackHook: [() => {}],
  };
`;

test("Deno: without callbacks from C functions and hooks are refused, and nothing else", {
  skip: notDeno,
}, async () => {
  survived(
    await limited(`
      ${HOOKS}
      await using db = await connect(":memory:");
      for (const [method, args] of Object.entries(HOOKS)) {
        await assert.rejects(db[method](...args), aiosqlite.SqliteError, method);
      }
      await assert.rejects(db.executeFetchOne("SELECT f(1)"), { message: /no such function/ });
      await db.execute("CREATE TABLE t (x)");
      await db.execute("INSERT INTO t VALUES (1)");
      await db.commit();
      assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[1]]);
    `),
  );
});

test("Deno: without callbacks from C functions and hooks are NotSupportedErrors", {
  skip: notDeno,
}, async () => {
  survived(
    await limited(`
      ${HOOKS}
      await using db = await connect(":memory:");
      for (const [method, args] of Object.entries(HOOKS)) {
        await assert.rejects(db[method](...args), { name: "NotSupportedError" }, method);
      }
    `),
  );
});

// --- threads that end ---

test("connect() right after the death of the thread it would have used opens", async () => {
  survived(
    await program(`${THREADS}
      const { connect } = aiosqlite;
      /** Leaves so many threads waiting for their next connections. */
      async function idle(count) {
        const from = threads.length;
        const opened = await Promise.all(Array.from({ length: count }, () => connect(":memory:")));
        for (const db of opened) await db.close();
        return threads.slice(from);
      }
      async function works(opening, what) {
        const db = await opening;
        assert.deepEqual(await db.executeFetchOne("SELECT 7"), [7], what);
        await db.close();
      }
      const [thread] = await idle(1);
      // Not yet gone.
      thread.terminate();
      await works(connect(":memory:"), "at once");
      assert.equal(threads.length, 2);
      // Just going.
      const dying = kill(threads[1]);
      await new Promise(setImmediate);
      await works(connect(":memory:"), "a turn later");
      await dying;
      // Gone.
      await kill(threads.at(-1));
      await works(connect(":memory:"), "after its end");
      console.log("survived");
    `),
  );
});

test("connect() opens though all threads that waited have just died", async () => {
  survived(
    await program(`${THREADS}
      const { connect } = aiosqlite;
      const opened = await Promise.all([1, 2, 3].map(() => connect(":memory:")));
      for (const db of opened) await db.close();
      assert.equal(threads.length, 3);
      for (const thread of threads) thread.terminate();
      const db = await connect(":memory:");
      assert.deepEqual(await db.executeFetchOne("SELECT 7"), [7]);
      await db.close();
      console.log("survived");
    `),
  );
});

test("a pool's transaction whose thread ends does not go on with the writer's replacement", async () => {
  survived(
    await program(
      `${THREADS}
      const pool = await aiosqlite.createPool(args[0], { readers: 1, timeout: 2000 });
      await pool.execute("CREATE TABLE t (x)");
      const [writer] = threads;
      const [entered, replaced] = [Promise.withResolvers(), Promise.withResolvers()];
      const ended = { name: "OperationalError", message: /thread ended/ };
      const transaction = pool.transaction(async (tx) => {
        await pool.execute("INSERT INTO t VALUES ('first')");
        entered.resolve();
        await replaced.promise;
        await assert.rejects(pool.execute("INSERT INTO t VALUES ('second')"), ended);
        await assert.rejects(pool.executeInsert("INSERT INTO t VALUES ('third')"), ended);
        await assert.rejects(tx.execute("INSERT INTO t VALUES ('fourth')"), ended);
        await assert.rejects(pool.write((db) => db.execute("INSERT INTO t VALUES ('fifth')")), ended);
        await assert.rejects(pool.transaction(() => assert.fail("has run")), ended);
      });
      const rejects = assert.rejects(transaction, ended);
      await entered.promise;
      await kill(writer);
      await pool.execute("INSERT INTO t VALUES ('of another task')");
      await pool.transaction((tx) => tx.execute("INSERT INTO t VALUES ('so is this')"));
      replaced.resolve();
      await rejects;
      const rows = await pool.executeFetchAll("SELECT x FROM t");
      assert.deepEqual(rows.flat(), ["of another task", "so is this"]);
      await pool.close();
      console.log("survived");
      `,
      [file()],
    ),
  );
});

// --- transactions that a statement began ---

test("commit() made in the same turn as the INSERT passes transactions that wait", async () => {
  await using db = await table({ isolationLevel: "DEFERRED" });
  const insert = db.execute("INSERT INTO t VALUES (1)");
  const second = db.transaction((tx) => tx.executeInsert("INSERT INTO t VALUES (2)"));
  const third = db.transaction((tx) => tx.executeInsert("INSERT INTO t VALUES (3)"));
  const commit = db.commit();
  await insert;
  await commit;
  assert.deepEqual(await Promise.all([second, third]), [2, 3]);
  assert.deepEqual(await values(db), [1, 2, 3]);
  assert.equal(db.inTransaction, false);
});

test("so does commit() behind the INSERT that is awaited, and rollback()", async () => {
  for (const end of ["commit", "rollback"] as const) {
    await using db = await table({ isolationLevel: "DEFERRED" });
    const first = (async () => {
      await db.execute("INSERT INTO t VALUES (1)");
      await db[end]();
    })();
    const others = [2, 3].map((x) =>
      db.transaction((tx) => tx.execute("INSERT INTO t VALUES (?)", [x]))
    );
    await Promise.all([first, ...others]);
    assert.deepEqual(await values(db), end === "commit" ? [1, 2, 3] : [2, 3]);
  }
});

// --- cursors ---

for (const how of ["closed", "used again", "used again and closed"]) {
  test(`a cursor ${how} while its call waits in line holds no lock`, async () => {
    const path = file();
    await using db = await table({}, path);
    await db.execute(`${NUMBERS} INSERT INTO t SELECT i FROM n`);
    await using other = await connect(path, { timeout: 0, isolationLevel: null });
    const tx = await db.transaction();
    const cursor = db.cursor();
    const waiting: Promise<unknown>[] = [cursor.execute("SELECT x FROM t")];
    if (how !== "closed") waiting.push(cursor.execute("SELECT 7"));
    if (how !== "used again") await cursor.close();
    await tx.commit();
    // Whether they then fulfil does not matter, but settle they do.
    await Promise.allSettled(waiting);
    if (how === "used again") assert.deepEqual(await cursor.fetchAll(), [[7]]);
    await db.executeFetchOne("SELECT 1"); // what was sent before has been done
    // A read lock would keep it from committing.
    await other.execute("INSERT INTO t VALUES (0)");
    await db.execute("DROP TABLE t");
  });
}

for (const where of ["in memory", "with a temporary table"]) {
  test(`a cursor of a pool's writer is not cut by later calls, ${where}`, async () => {
    const path = where === "in memory" ? ":memory:" : file();
    await using pool = await createPool(path, { readers: 1, timeout: 2000 });
    await pool.execute("CREATE TEMP TABLE t (x)");
    await pool.execute(`INSERT INTO t ${NUMBERS} SELECT i FROM n`);
    await using cursor = await pool.execute("SELECT x FROM t WHERE x > 0");
    assert.deepEqual(await cursor.fetchOne(), [1]);
    await pool.executeScript("SELECT 1; SELECT 2");
    await pool.executeMany("INSERT INTO t VALUES (?)", [[-1], [-2]]);
    await pool.write((writer) => writer.execute("INSERT INTO t VALUES (-3)"));
    await pool.transaction((tx) => tx.execute("INSERT INTO t VALUES (-4)"));
    assert.deepEqual(await cursor.fetchOne(), [2]);
    assert.equal((await cursor.fetchAll()).length, ROWS - 2);
  });
}

// --- what may be done during a transaction() ---

test("autocommit can't be set during a transaction(), whose end is what it would have been", async () => {
  await using db = await table();
  const refused = { name: "ProgrammingError", message: /autocommit can't be set during/ };
  await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES ('kept')");
    const nested = tx.transaction(async (inner) => {
      await inner.execute("INSERT INTO t VALUES ('undone')");
      for (const mode of ["legacy", true, false] as const) {
        assert.throws(() => db.autocommit = mode, refused);
      }
      throw new Error("undo me");
    });
    await assert.rejects(nested, { message: "undo me" });
  });
  assert.deepEqual(await values(db), ["kept"]);
  {
    await using _handle = await db.transaction();
    assert.throws(() => db.autocommit = true, refused);
    assert.equal(db.autocommit, "legacy");
  }
  db.autocommit = true;
  assert.equal(db.autocommit, true);
});

test("isolationLevel may be set during a transaction(), and commits nothing of it", async () => {
  await using db = await table();
  await db.transaction(async (tx) => {
    const nested = tx.transaction(async (inner) => {
      await inner.execute("INSERT INTO t VALUES ('undone')");
      db.isolationLevel = "IMMEDIATE";
      db.isolationLevel = null; // commits nothing of a transaction()
      throw new Error("undo me");
    });
    await assert.rejects(nested, { message: "undo me" });
    await tx.execute("INSERT INTO t VALUES ('kept')");
  });
  assert.deepEqual(await values(db), ["kept"]);
});

test("a savepoint may be disposed of once its transaction has been committed", async () => {
  await using db = await table();
  {
    await using tx = await db.transaction();
    await using _savepoint = await tx.savepoint();
    await tx.execute("INSERT INTO t VALUES (1)");
    await tx.commit();
  }
  {
    await using tx = await db.transaction();
    await using _savepoint = await tx.savepoint();
    await tx.execute("INSERT INTO t VALUES (2)");
    await tx.rollback();
  }
  assert.deepEqual(await values(db), [1]);
  assert.equal(db.inTransaction, false);
});

test("what SQLite has rolled back leaves its error, whatever is disposed of then", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (0)");
  const lose = "INSERT OR ROLLBACK INTO t VALUES (0)";
  const lost = { name: "IntegrityError", code: "SQLITE_CONSTRAINT_UNIQUE" };
  await assert.rejects(
    db.transaction(async (tx) => {
      await using _savepoint = await tx.savepoint();
      await tx.execute("INSERT INTO t VALUES (1)");
      await tx.execute(lose);
    }),
    lost,
  );
  await assert.rejects(
    db.transaction(async (tx) => {
      await using nested = await tx.transaction();
      await nested.execute("INSERT INTO t VALUES (2)");
      await nested.execute(lose);
    }),
    lost,
  );
  await assert.rejects(
    db.transaction((tx) => tx.transaction((nested) => nested.execute(lose))),
    lost,
  );
  assert.deepEqual(await values(db), [0]);
  await db.transaction((tx) => tx.execute("INSERT INTO t VALUES (3)"));
  assert.deepEqual(await values(db), [0, 3]);
});

test("an outer transaction is committed once those nested in it have ended", async () => {
  await using db = await table();
  const [entered, leave] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const nested: Promise<unknown>[] = [];
  let over = false;
  const outer = db.transaction(async (tx) => {
    nested.push(tx.transaction(async (inner) => {
      await inner.execute("INSERT INTO t VALUES ('half')");
      entered.resolve();
      await leave.promise;
      await inner.execute("INSERT INTO t VALUES ('other half')");
    }));
    nested.push(tx.transaction((inner) => inner.execute("INSERT INTO t VALUES ('next')")));
    await entered.promise;
  }).finally(() => over = true);
  await entered.promise;
  for (let i = 0; i < 3; i++) await turn(); // it would have been committed by then
  assert.equal(over, false);
  assert.equal(db.inTransaction, true);
  leave.resolve();
  await outer;
  await Promise.all(nested);
  assert.deepEqual(await values(db), ["half", "other half", "next"]);
});

test("an outer transaction waits for a nested handle, but no longer than its timeout", async () => {
  await using db = await table({ timeout: 30 });
  const outer = db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    await tx.transaction(); // which nobody ends
  });
  await assert.rejects(outer, { code: "SQLITE_BUSY", message: /a nested transaction/ });
  assert.deepEqual([db.inTransaction, await values(db)], [false, []]);
});

test("a handle of nested: 'join' ends nothing but by rollback()", async () => {
  await using db = await table();
  await db.transaction(async (tx) => {
    {
      await using joined = await db.transaction({ nested: "join" });
      await joined.execute("INSERT INTO t VALUES ('disposed of')");
    }
    const joined = await tx.transaction({ nested: "join" });
    await joined.execute("INSERT INTO t VALUES ('committed')");
    await joined.commit();
    assert.equal(tx.active, true);
    await tx.execute("INSERT INTO t VALUES ('outer')");
  });
  assert.deepEqual(await values(db), ["disposed of", "committed", "outer"]);
  await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES ('undone')");
    const joined = await db.transaction({ nested: "join" });
    await joined.execute("INSERT INTO t VALUES ('undone, too')");
    await joined.rollback();
    assert.deepEqual([tx.active, joined.active], [false, false]);
    await assert.rejects(joined.execute("SELECT 1"), { message: "The transaction has ended." });
  });
  assert.equal((await values(db)).length, 3);
  // Where there is nothing to take part in, it is a transaction like others.
  {
    await using alone = await db.transaction({ nested: "join" });
    await alone.execute("INSERT INTO t VALUES ('alone')");
  }
  assert.equal((await values(db)).length, 3);
});

// --- aborting ---

test("aborting a transaction that has just begun rejects once it is rolled back", async () => {
  await using db = await table();
  const controller = new AbortController();
  const reason = new Error("no more");
  const slow = db.executeFetchAll(`${NUMBERS} SELECT i FROM n LIMIT 20000`);
  const call = db.transaction(() => assert.fail("runs"), {
    mode: "IMMEDIATE",
    signal: controller.signal,
  });
  for (let turns = 0; turns < 20; turns++) await null; // both are sent
  // It begins meanwhile, and this thread has yet to hear of it.
  for (const until = performance.now() + 50; performance.now() < until;);
  controller.abort(reason);
  await assert.rejects(call, (error) => error === reason);
  assert.equal(db.inTransaction, false);
  assert.equal((await slow).length, 20_000);
});

// --- interrupt() ---

test("an authorizer can't keep what is to be undone", async () => {
  await using db = await table();
  await db.setAuthorizer((_action, name) => {
    if (name === "ROLLBACK") throw new Error("no");
    return SQLITE_OK;
  });
  const insert = (tx: Pick<typeof db, "execute">, value: string) =>
    tx.execute("INSERT INTO t VALUES (?)", [value]);
  await db.transaction(async (tx) => {
    await insert(tx, "kept");
    const nested = await tx.transaction();
    await insert(nested, "undone");
    await nested.rollback();
  });
  const tx = await db.transaction();
  await insert(tx, "undone");
  await tx.rollback();
  const controller = new AbortController();
  const aborted = await db.transaction(controller);
  await insert(aborted, "undone");
  controller.abort();
  await db.transaction((next) => insert(next, "next"));
  assert.deepEqual([db.inTransaction, await values(db)], [false, ["kept", "next"]]);
});

test("interrupt() in the midst of rollback(), with a result half read: all is undone", async () => {
  await using db = await table();
  // Ending a result half read has SQLite finalize its aggregate, in the midst of the call. That may
  // not use the connection, so this is done as by somebody else.
  const outside = AsyncLocalStorage.snapshot();
  let interrupted = 0;
  class Aggregate {
    step() {}
    inverse() {}
    value() {
      return 0;
    }
    finalize() {
      outside(() => db.interrupt());
      interrupted++;
      return 0;
    }
  }
  await db.createWindowFunction("a", 1, Aggregate);
  await using _outer = await db.execute(`${NUMBERS} SELECT i FROM n`);
  const tx = await db.transaction();
  await tx.execute("INSERT INTO t VALUES ('undone')");
  const inner = await tx.execute(`WITH v(i) AS (VALUES (1), (2), (3))
    SELECT a(i) OVER (ORDER BY i), zeroblob(70000) FROM v`);
  await tx.rollback();
  assert.equal(interrupted, 1);
  await assert.rejects(inner.fetchOne(), { message: "Cannot operate on a closed cursor." });
  await db.transaction((next) => next.execute("INSERT INTO t VALUES ('next')"));
  assert.deepEqual([db.inTransaction, await values(db)], [false, ["next"]]);
});

test("a storm of interrupt() while a savepoint is gone back to: all is undone", async () => {
  await using db = await table();
  for (let i = 0; i < 15; i++) {
    const outer = await db.execute(`${NUMBERS} SELECT i FROM n`);
    const tx = await db.transaction();
    const savepoint = await tx.savepoint("s".repeat(50_000)); // which takes SQLite a moment to read
    await tx.execute("INSERT INTO t VALUES (1)");
    const undone = savepoint[Symbol.asyncDispose]();
    for (let turns = 0; turns < 3; turns++) await null; // it is sent at the end of a turn
    for (const start = performance.now(); performance.now() < start + 1;) db.interrupt();
    await undone;
    await tx.commit();
    await outer.close();
  }
  assert.deepEqual([db.inTransaction, await values(db)], [false, []]);
});

// --- order ---

test("statements made around rollback() run in the order they were made", async () => {
  await using db = await table();
  const open = await db.transaction();
  await open.execute("SELECT 1");
  const waiting = db.transaction(() => {});
  const first = db.execute("INSERT INTO t VALUES ('first')");
  const rollback = open.rollback();
  await null;
  const second = db.execute("INSERT INTO t VALUES ('second')");
  const third = db.transaction((tx) => tx.execute("INSERT INTO t VALUES ('third')"));
  await rollback;
  const fourth = db.execute("INSERT INTO t VALUES ('fourth')");
  await Promise.all([waiting, first, second, third, fourth]);
  assert.deepEqual(await values(db), ["first", "second", "third", "fourth"]);
});

test("close() during rollback() lets a statement made before run, and no transaction", async () => {
  const path = file();
  const db = await table({}, path);
  const open = await db.transaction();
  await open.execute("INSERT INTO t VALUES ('undone')");
  const waiting = assert.rejects(db.transaction(() => assert.fail("has run")), CLOSED);
  const insert = db.execute("INSERT INTO t VALUES ('before close()')");
  const rollback = open.rollback();
  await null;
  const close = db.close();
  await assert.rejects(db.execute("SELECT 1"), CLOSED);
  await Promise.all([waiting, insert, rollback, close]);
  await using other = await connect(path);
  assert.deepEqual(await values(other), ["before close()"]);
});

// --- what functions return ---

test("thenables that do nothing until they are awaited take part in the transaction", async () => {
  await using db = await table();
  let runs = 0;
  const lazy = (sql: string) =>
    ({
      then(...handlers: [never, never]) {
        runs++;
        return db.execute(sql).then(...handlers);
      },
    }) as unknown as Promise<unknown>;
  await db.transaction(() => lazy("INSERT INTO t VALUES ('returned')"));
  await db.transaction(async () => {
    await lazy("INSERT INTO t VALUES ('awaited')");
    await db.transaction(() => lazy("INSERT INTO t VALUES ('nested')"));
  });
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES ('undone')");
      await lazy("INSERT INTO nowhere VALUES (1)");
    }),
    OperationalError,
  );
  assert.equal(runs, 4);
  assert.deepEqual(await values(db), ["returned", "awaited", "nested"]);
});

test("a lazy thenable that a pool's functions return uses what they have", async () => {
  await using pool = await createPool(file(), { readers: 1, timeout: 2000 });
  await pool.execute("CREATE TABLE t (x)");
  const lazy = <T>(run: () => Promise<T>) =>
    ({ then: (...handlers: [never, never]) => run().then(...handlers) }) as unknown as Promise<T>;
  await pool.transaction(() => lazy(() => pool.executeInsert("INSERT INTO t VALUES (1)")));
  await pool.write(() => lazy(() => pool.executeInsert("INSERT INTO t VALUES (2)")));
  // The only reader is in use: it must be that one.
  const read = pool.read(() => lazy(() => pool.executeFetchAll("SELECT x FROM t")));
  assert.deepEqual(await read, [[1], [2]]);
});

// --- connections that are forgotten ---

test("a forgotten connection with a forgotten transaction warns, and its lock is let go", async () => {
  const ended = await program(
    `
    import assert from "node:assert/strict";
    const { connect } = aiosqlite;
    const gc = globalThis.gc ?? (() => globalThis.Bun.gc(true));
    const warnings = [];
    process.on("warning", ({ name, message }) => warnings.push(name + ": " + message));
    await using other = await connect(args[0], { timeout: 0, isolationLevel: null });
    await other.execute("CREATE TABLE t (x)");
    await (async () => {
      const db = await connect(args[0]);
      const tx = await db.transaction({ mode: "IMMEDIATE" });
      await tx.execute("INSERT INTO t VALUES ('lost')");
    })();
    const locked = () =>
      other.executeScript("BEGIN IMMEDIATE; ROLLBACK").then(() => false, () => true);
    assert.equal(await locked(), true);
    for (let tries = 0; tries < 500 && (warnings.length === 0 || await locked()); tries++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /^ResourceWarning: The connection to .* was deleted before being closed/);
    assert.equal(await locked(), false);
    assert.deepEqual(await other.executeFetchAll("SELECT x FROM t"), []);
    console.log("survived");
    `,
    [file()],
    { env: { NODE_OPTIONS: "--expose-gc", DENO_V8_FLAGS: "--expose-gc" } },
  );
  survived(ended);
});
