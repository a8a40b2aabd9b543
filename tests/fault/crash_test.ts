import { runtimeName } from "../helpers.ts";
import { type Case, together } from "./together.ts";

// The cases run in other processes, which have to survive the end of a thread and then end by
// themselves. A thread is caught by the `ref()` and `unref()` that every call goes through.

const PRELUDE = `
  import assert from "node:assert/strict";
  import { once } from "node:events";
  import { Worker } from "node:worker_threads";

  const { connect } = aiosqlite;
  /** The thread used last is the last. */
  const threads = [];
  for (const name of ["ref", "unref"]) {
    const method = Worker.prototype[name];
    Worker.prototype[name] = function () {
      if (threads.includes(this)) threads.splice(threads.indexOf(this), 1);
      threads.push(this);
      return method.call(this);
    };
  }
  /** Ends the thread of the connection used last. */
  async function kill() {
    const thread = threads.at(-1);
    const exited = once(thread, "exit");
    thread.terminate();
    await exited;
  }
  const ended = (error) => {
    assert.ok(error instanceof aiosqlite.OperationalError, String(error));
    assert.match(error.message, /thread ended/);
    return true;
  };
  const rejects = (promise) => assert.rejects(promise, ended);
  /** Settles one way or the other in good time, which a hang would not. */
  async function settles(promise) {
    let timer;
    const late = new Promise((_, reject) => timer = setTimeout(reject, 3000, new Error("hangs")));
    await Promise.race([promise.catch(() => {}), late]);
    clearTimeout(timer);
  }
  // Some runtimes end a thread only when its C call has returned, so the query ends by itself.
  const SECOND = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1500000) " +
    "SELECT count(*) FROM n";
`;

const cases: Case[] = [];

/** Adds a case that runs without an error. */
function survives(name: string, source: string, skip: false | string = false): void {
  cases.push([name, source, skip]);
}

// The first of its process, for no other connection to have left a thread that is warm.
survives(
  "A thread that ends while opening: connect() rejects",
  `
    const opening = connect(path);
    threads.at(-1).terminate();
    await assert.rejects(opening, (error) => {
      assert.ok(error instanceof aiosqlite.SqliteError, String(error));
      assert.match(error.message, /thread (ended|can't be started)/);
      return true;
    });
  `,
);

survives(
  "A thread that ends while idle: every later call rejects",
  `
    const db = await connect(path);
    const cursor = await db.execute("CREATE TABLE t (x)");
    await kill();
    await rejects(db.execute("SELECT 1"));
    await rejects(db.executeMany("INSERT INTO t VALUES (?)", [[1]]));
    await rejects(db.executeScript("SELECT 1"));
    await rejects(db.executeFetchAll("SELECT 1"));
    await rejects(db.commit());
    await rejects(cursor.execute("SELECT 1"));
    assert.equal(db.inTransaction, false);
    db.interrupt();
  `,
);

survives(
  "A thread that ends while idle: calls made meanwhile settle",
  `
    const db = await connect(path);
    const killed = kill();
    const calls = Array.from({ length: 100 }, (_, i) => db.executeFetchOne("SELECT ?", [i]));
    for (const [i, call] of (await Promise.allSettled(calls)).entries()) {
      if (call.status === "rejected") ended(call.reason);
      else assert.deepEqual(call.value, [i]);
    }
    await killed;
    await rejects(db.execute("SELECT 1"));
  `,
);

survives(
  "A thread that ends in a query: it and all queued behind it reject",
  `
    const db = await connect(path);
    const calls = [
      db.execute(SECOND),
      db.executeMany("INSERT INTO t VALUES (?)", [[1]]),
      db.executeFetchAll("SELECT 1"),
      db.commit(),
      ...Array.from({ length: 1000 }, () => db.execute("SELECT 1")),
    ].map(rejects);
    setTimeout(kill, 50);
    await Promise.all(calls);
  `,
);

survives(
  "A thread that ends among many quick statements: each is answered or rejects",
  `
    const db = await connect(path, { isolationLevel: null });
    await db.execute("CREATE TABLE t (x)");
    await db.execute("BEGIN IMMEDIATE");
    const calls = Array.from(
      { length: 8000 },
      (_, i) => db.execute("INSERT INTO t VALUES (?)", [i]),
    );
    const killed = calls[100].then(kill);
    const settled = await Promise.allSettled(calls);
    await killed;
    for (const { status, reason } of settled) if (status === "rejected") ended(reason);
    await rejects(db.execute("SELECT 1"));
    await using other = await connect(path, { timeout: 1000 });
    await other.execute("INSERT INTO t VALUES ('kept')");
    await other.commit();
    assert.deepEqual(await other.executeFetchAll("SELECT x FROM t"), [["kept"]]);
  `,
);

survives(
  "A thread that ends in a query: the loop over its rows rejects",
  `
    const db = await connect(path);
    await rejects((async () => {
      let rows = 0;
      for await (const _ of db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'row' FROM n",
      )) if (++rows === 1000) await kill();
    })());
  `,
);

for (const journal of ["DELETE", "WAL"]) {
  survives(
    `A thread that ends in a transaction gives its lock back (${journal})`,
    `
      const db = await connect(path);
      await db.execute("PRAGMA journal_mode = ${journal}");
      await db.execute("CREATE TABLE t (x)");
      await db.execute("INSERT INTO t VALUES ('lost')");
      assert.equal(db.inTransaction, true);
      await kill();
      await using other = await connect(path, { timeout: 1000 });
      await other.execute("INSERT INTO t VALUES ('kept')");
      await other.commit();
      assert.deepEqual(await other.executeFetchAll("SELECT x FROM t"), [["kept"]]);
      assert.deepEqual(await other.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);
    `,
  );
}

survives(
  "A thread that ends in a statement that writes gives its lock back",
  `
    const db = await connect(path);
    await db.execute("CREATE TABLE t (x)");
    const insert = rejects(db.execute(
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400000) " +
        "SELECT i FROM n",
    ));
    setTimeout(kill, 50);
    await insert;
    await using other = await connect(path, { timeout: 1000 });
    await other.execute("INSERT INTO t VALUES ('kept')");
    await other.commit();
    assert.deepEqual(await other.executeFetchAll("SELECT x FROM t"), [["kept"]]);
    assert.deepEqual(await other.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);
  `,
);

survives(
  "A thread that ends while waiting for a lock: the wait rejects",
  `
      const holder = await connect(path);
      await holder.execute("CREATE TABLE t (x)");
      await holder.execute("INSERT INTO t VALUES (1)");
      const db = await connect(path, { timeout: 5000 });
      const insert = rejects(db.execute("INSERT INTO t VALUES (2)"));
      setTimeout(kill, 50);
      await insert;
      await holder.commit();
      assert.deepEqual(await holder.executeFetchAll("SELECT x FROM t"), [[1]]);
      await holder.close();
    `,
  // The busy handler can't run any more, so nothing ends the C call that Node waits for.
  runtimeName === "node" && "Node ends no thread before its C call returns",
);

// Virtual tables have statements of their own, which nobody else may finalize.
const VIRTUAL = `
  const virtual = async (db) => {
    await db.executeScript(\`
      CREATE VIRTUAL TABLE IF NOT EXISTS f USING fts5(words);
      CREATE VIRTUAL TABLE IF NOT EXISTS r USING rtree(id, low, high);
    \`);
    await db.execute("INSERT INTO f VALUES ('some words')");
    await db.execute("INSERT INTO r VALUES (?, 1, 2)", [null]);
    await db.commit();
    await db.executeFetchAll("SELECT * FROM f('words'), r, json_each('[1, 2, 3]')");
    const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) ";
    return await db.execute(many + "SELECT * FROM n, f, r, json_each('[1]')");
  };
`;

survives(
  "close() with statements of virtual tables, half read or not, does no harm",
  `
    ${VIRTUAL}
    for (const where of [path, ":memory:", path, ":memory:"]) {
      for (let i = 0; i < 6; i++) {
        const db = await connect(where);
        const cursor = await virtual(db);
        if (i % 2 === 0) await cursor.fetchMany(3);
        if (i % 3 === 0) await cursor.close();
        await db.close();
      }
    }
    await using other = await connect(path);
    assert.deepEqual(await other.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);
  `,
);

survives(
  "A thread that ends with statements of virtual tables half read gives its locks back",
  `
    ${VIRTUAL}
    for (let i = 0; i < 5; i++) {
      const db = await connect(path);
      const cursor = await virtual(db);
      await cursor.fetchMany(3);
      await db.execute("INSERT INTO f VALUES ('not kept')");
      await kill();
      await settles(db.execute("SELECT 1"));
      await using other = await connect(path, { timeout: 1000 });
      await other.execute("INSERT INTO f VALUES ('kept')");
      await other.commit();
      await other.execute("PRAGMA journal_mode = " + (i % 2 ? "DELETE" : "WAL"));
    }
    await using other = await connect(path);
    assert.deepEqual(await other.executeFetchAll("PRAGMA integrity_check"), [["ok"]]);
    const [kept] = await other.executeFetchOne("SELECT count(*) FROM f('kept') WHERE words = 'kept'");
    assert.equal(kept, 5);
  `,
);

survives(
  "close() settles whenever the thread has ended",
  `
    const idle = await connect(path);
    await kill();
    await settles(idle.close());
    await settles(idle.close());
    assert.equal(idle.closed, true);
    const busy = await connect(path);
    const query = settles(busy.execute(SECOND));
    const closing = settles(busy.close());
    await kill();
    await query;
    await closing;
    const racing = await connect(path);
    const racingClose = settles(racing.close());
    threads.at(-1).terminate();
    await racingClose;
  `,
);

survives(
  "await using lets go of a connection whose thread has ended",
  `
    await settles((async () => {
      await using db = await connect(path);
      await using cursor = await db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
      );
      await kill();
    })());
  `,
);

survives(
  "A new connection works after a thread has ended, time and again",
  `
    for (let i = 0; i < 8; i++) {
      const db = await connect(path, { timeout: 1000 });
      await db.execute("CREATE TABLE IF NOT EXISTS t (x)");
      await db.execute("INSERT INTO t VALUES (?)", [i]);
      const query = rejects(db.execute(SECOND.replace("1500000", "200000")));
      await kill();
      await query;
    }
    await using db = await connect(path, { timeout: 1000 });
    assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), []);
  `,
);

together(PRELUDE, cases);
