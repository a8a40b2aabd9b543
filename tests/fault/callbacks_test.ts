import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { file, folder, program, runtimeName } from "../helpers.ts";
import { type Case, together } from "./together.ts";

// The cases run in other processes: what goes wrong in a function that C calls ends them.

const PRELUDE = `
  import assert from "node:assert/strict";
  import { once } from "node:events";
  import { Worker } from "node:worker_threads";

  const { connect, SQLITE_OK } = aiosqlite;
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
  const NUMBERS = (count) =>
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT " + count + ") ";
  const gc = globalThis.gc ?? globalThis.Bun?.gc ?? (() => {
    for (let i = 0; i < 20; i++) new Array(100_000).fill({});
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  class Sum {
    sum = 0;
    step(x) { this.sum += x; }
    inverse(x) { this.sum -= x; }
    value() { return this.sum; }
    finalize() { return this.sum; }
  }

  /** Each kind of callback: how it is set, removed, and what calls it. */
  const FRAME = "OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)";
  const aggregate = (method, run) => class extends Sum {
    [method](x) {
      const result = super[method](x);
      return Promise.resolve(run()).then(() => result);
    }
  };
  const KINDS = {
    function: [(db, run) => db.createFunction("f", 1, run), (db) => db.createFunction("f", 1, null),
      NUMBERS(5) + "SELECT f(i) FROM n"],
    step: [(db, run) => db.createAggregate("a", 1, aggregate("step", run)),
      (db) => db.createAggregate("a", 1, null), NUMBERS(5) + "SELECT a(i) FROM n"],
    finalize: [(db, run) => db.createAggregate("a", 1, aggregate("finalize", run)),
      (db) => db.createAggregate("a", 1, null), NUMBERS(5) + "SELECT a(i) FROM n GROUP BY i % 2"],
    value: [(db, run) => db.createWindowFunction("w", 1, aggregate("value", run)),
      (db) => db.createWindowFunction("w", 1, null), NUMBERS(5) + "SELECT w(i) " + FRAME + " FROM n"],
    inverse: [(db, run) => db.createWindowFunction("w", 1, aggregate("inverse", run)),
      (db) => db.createWindowFunction("w", 1, null), NUMBERS(5) + "SELECT w(i) " + FRAME + " FROM n"],
    collation: [(db, run) => db.createCollation("c", run), (db) => db.createCollation("c", null),
      NUMBERS(5) + "SELECT i FROM n ORDER BY CAST(i AS TEXT) COLLATE c"],
    authorizer: [(db, run) => db.setAuthorizer(async () => (await run(), SQLITE_OK)),
      (db) => db.setAuthorizer(null), "SELECT 1"],
    progress: [(db, run) => db.setProgressHandler(async () => (await run(), 0), 20),
      (db) => db.setProgressHandler(null, 1), NUMBERS(20) + "SELECT i FROM n"],
    trace: [(db, run) => db.setTraceCallback(run), (db) => db.setTraceCallback(null), "SELECT 1"],
    update: [(db, run) => db.setUpdateHook(run), (db) => db.setUpdateHook(null),
      "INSERT INTO t VALUES (1), (2)"],
    commit: [(db, run) => db.setCommitHook(async () => (await run(), 0)),
      (db) => db.setCommitHook(null), "INSERT INTO t VALUES (1)"],
    rollback: [(db, run) => db.setRollbackHook(run), (db) => db.setRollbackHook(null),
      "BEGIN; INSERT INTO t VALUES (1); ROLLBACK"],
  };
  const execute = (db, sql) => sql.startsWith("BEGIN") ? db.executeScript(sql) : db.executeFetchAll(sql);
  const open = async (where = ":memory:") => {
    const db = await connect(where, { isolationLevel: null, timeout: 2000 });
    await db.execute("CREATE TABLE IF NOT EXISTS t (x)");
    return db;
  };
  /** Settles one way or the other in good time, which a hang would not. */
  async function settles(promise, what = "") {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("hangs: " + what)), 4000);
    });
    await Promise.race([Promise.resolve(promise).then(() => {}, () => {}), late]);
    clearTimeout(timer);
  }
`;

const cases: Case[] = [];
/** Those that end threads, for others not to be what suffers from it. */
const ending: Case[] = [];

/** Adds a case that runs without an error. */
function survives(name: string, source: string): void {
  (/thread end/.test(name) ? ending : cases).push([name, source]);
}

const INSIDE: [name: string, source: string][] = [
  ["close()", "await db.close()"],
  ["close() that is not awaited", "db.close()"],
  ["closing a cursor", "await cursor.close()"],
  ["interrupt()", "db.interrupt()"],
  ["removal", "await remove(db)"],
  ["redefinition", "await set(db, () => 1)"],
  ["a throw", "throw new Error('thrown')"],
  ["a rejection that comes late", "await turn(); throw new Error('thrown')"],
];

for (const [name, source] of INSIDE) {
  survives(
    `${name} from inside of each kind of callback`,
    `
      for (const [kind, [set, remove, sql]] of Object.entries(KINDS)) {
        for (const half of [false, true]) {
          const db = await open();
          await db.execute("INSERT INTO t " + NUMBERS(200) + "SELECT i FROM n");
          const cursor = half ? await db.execute("SELECT t.x FROM t, t u, t v") : db.cursor();
          if (half) await cursor.fetchMany(2);
          let called = 0;
          await set(db, async () => {
            called++;
            ${source};
            return 0;
          });
          await settles(execute(db, sql), kind);
          assert.ok(called > 0, kind);
          await settles(remove(db), kind);
          if (!db.closed) await settles(db.executeFetchOne("SELECT 1"), kind);
          await settles(cursor.close(), kind);
          await settles(db.close(), kind);
          assert.equal(db.closed, true);
        }
      }
    `,
  );
}

survives(
  "synchronous throws in every kind of callback, and what comes after",
  `
    for (const [kind, [set, remove, sql]] of Object.entries(KINDS)) {
      const db = await open();
      const cause = new Error(kind);
      await set(db, () => { throw cause; });
      const error = await execute(db, sql).then(() => undefined, (error) => error);
      if (!["trace", "update", "rollback"].includes(kind)) {
        assert.ok(error instanceof aiosqlite.SqliteError, kind + ": " + error);
        assert.equal(error.cause, cause, kind);
      }
      await remove(db);
      assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
      await db.close();
    }
  `,
);

const ENDS: [name: string, source: string, code: number][] = [
  ["process.exit()", "process.exit(7)", 7],
  ["process.exit() later", "await turn(); process.exit(7)", 7],
];

const ENDING = [
  "function",
  "finalize",
  "inverse",
  "collation",
  "authorizer",
  "progress",
  "trace",
  "commit",
];

for (const [name, source, code] of ENDS) {
  test(`${name} from inside of each kind of callback`, async () => {
    await Promise.all(ENDING.map(async (kind) => {
      const result = await program(
        `${PRELUDE}
        const [set, , sql] = KINDS[${JSON.stringify(kind)}];
        const db = await open(args[0]);
        await set(db, async () => {
          console.log("inside");
          ${source};
        });
        await execute(db, sql);
        await new Promise((resolve) => setTimeout(resolve, 3000));
        `,
        [file()],
      );
      assert.deepEqual([kind, result.code, result.signal], [kind, code, null], result.stderr);
      assert.match(result.stdout, /^(inside\n)+$/);
    }));
  });
}

test(
  "an uncaught exception while a function is waited for ends the process in order",
  { skip: runtimeName === "bun" && "Bun waits for a busy thread, whatever that does" },
  async () => {
    const result = await program(
      `${PRELUDE}
      const db = await open(args[0]);
      await db.createFunction("f", 1, () => new Promise(() => {}));
      setTimeout(() => { throw new Error("uncaught"); }, 20);
      await db.execute("SELECT f(1)");
    `,
      [file()],
    );
    assert.deepEqual([result.code, result.signal], [1, null], result.stderr);
    assert.match(result.stderr, /uncaught/);
  },
);

for (
  const kinds of [["function", "step", "finalize"], ["value", "inverse", "collation"], [
    "authorizer",
    "progress",
    "commit",
  ], ["trace", "update", "rollback"]]
) {
  survives(
    `the thread ends from inside of callbacks: ${kinds.join(", ")}`,
    `
      for (const kind of ${JSON.stringify(kinds)}) {
        const [set, , sql] = KINDS[kind];
        const db = await open(path);
        const thread = threads.at(-1);
        const entered = Promise.withResolvers();
        await set(db, async () => {
          entered.resolve();
          thread.terminate();
          if (thread.terminated) return 0;
          await once(thread, "exit");
          thread.terminated = true;
          return 0;
        });
        const call = settles(execute(db, sql), kind);
        await entered.promise;
        await call;
        await settles(db.execute("SELECT 1"), kind);
        await settles(db.close(), kind);
        const other = await open(path);
        await other.execute("INSERT INTO t VALUES ('kept')");
        assert.deepEqual(await other.executeFetchOne("PRAGMA integrity_check"), ["ok"]);
        await other.close();
      }
    `,
  );
}

survives(
  "a connection is forgotten while its functions are registered",
  `
    for (let i = 0; i < 5; i++) {
      const db = await open();
      for (const [set] of Object.values(KINDS)) await set(db, () => 0);
      await db.setAuthorizer(null);
      await db.execute("SELECT f(1)");
    }
    for (let i = 0; i < 10; i++) {
      gc();
      await turn();
    }
  `,
);

survives(
  "a connection that is forgotten while its function is waited for",
  `
    let value = 0;
    await (async () => {
      const db = await open();
      await db.createFunction("f", 0, async () => {
        for (let i = 0; i < 20; i++) {
          gc();
          await turn();
        }
        return 5;
      });
      db.executeFetchOne("SELECT f()").then(([result]) => value = result);
    })();
    while (value === 0) {
      gc();
      await turn();
    }
    assert.equal(value, 5);
  `,
);

survives(
  "callbacks survive many collections and 10,000 calls",
  `
    const db = await open();
    let calls = 0;
    await (async () => {
      const offset = { value: 1 };
      await db.createFunction("f", 1, (x) => {
        if (++calls % 1000 === 0) gc();
        return x + offset.value;
      });
      await db.createAggregate("a", 1, class extends Sum {});
      await db.createCollation("c", (a, b) => a < b ? -1 : a > b ? 1 : 0);
    })();
    const [sum] = await db.executeFetchOne(NUMBERS(10_000) + "SELECT sum(f(i)) FROM n");
    assert.equal(sum, 50015000);
    assert.equal(calls, 10_000);
    for (let i = 0; i < 10; i++) {
      gc();
      assert.deepEqual(await db.executeFetchOne(NUMBERS(100) + "SELECT a(f(i)) FROM n"), [5150]);
      assert.deepEqual(await db.executeFetchOne("SELECT 'a' < 'b' COLLATE c"), [1]);
    }
    await db.close();
  `,
);

const module = join(folder(), "functions.mjs");
writeFileSync(
  module,
  `
    const gc = globalThis.gc ?? globalThis.Bun?.gc ?? (() => new Array(1e6).fill({}));
    let calls = 0;
    export default (x) => {
      if (++calls % 10_000 === 0) gc();
      return String(x);
    };
  `,
);
survives(
  "100,000 calls of a module's function, with collections in its thread",
  `
    const db = await open();
    await db.createFunction("f", 1, { module: ${JSON.stringify(pathToFileURL(module).href)} });
    const [sum] = await db.executeFetchOne(NUMBERS(100_000) + "SELECT sum(f(i)) FROM n");
    assert.equal(Number(sum), 5000050000);
    await db.close();
  `,
);

survives(
  "functions are redefined many times",
  `
    const db = await open();
    for (let i = 0; i < 150; i++) {
      await db.createFunction("f", 1, () => i);
      await db.createAggregate("a", 1, class extends Sum {});
      await db.createCollation("c", () => 0);
      await db.setUpdateHook(() => {});
      await db.setProgressHandler(() => 0, 1000);
      if (i % 50 === 0) {
        gc();
        assert.deepEqual(await db.executeFetchOne("SELECT f(a(1)), 'a' = 'b' COLLATE c"), [i, 1]);
      }
    }
    await db.close();
  `,
);

const HALF: [name: string, end: string][] = [
  ["closed", "await db.close()"],
  ["its cursor closed", "await cursor.close(); await db.close()"],
  ["interrupted", "db.interrupt(); await settles(cursor.fetchAll()); await db.close()"],
  ["the function removed", "await settles(db.createAggregate('a', 1, null)); await db.close()"],
  ["read to its end", "await cursor.fetchAll(); await db.close()"],
  [
    "its thread ended",
    "threads.at(-1).terminate(); await settles(db.execute('SELECT 1')); await settles(db.close())",
  ],
  ["nothing done", ""],
];

for (const [name, end] of HALF) {
  survives(
    `rows half read with an aggregate open: ${name}`,
    `
      for (let i = 0; i < ${name === "its thread ended" ? 1 : 2}; i++) {
        const db = await open(path);
        await db.execute("DELETE FROM t");
        await db.execute("INSERT INTO t " + NUMBERS(1000) + "SELECT i / 10 FROM n");
        await db.createWindowFunction("a", 1, class extends Sum {});
        const cursor = await db.execute(i % 2
          ? "SELECT x, a(x) FROM (SELECT x FROM t ORDER BY x) GROUP BY x"
          : "SELECT a(x) OVER (ORDER BY x ROWS BETWEEN 3 PRECEDING AND 3 FOLLOWING) FROM t");
        await cursor.fetchMany(3);
        ${end};
        if (${name === "nothing done"}) {
          await cursor.close();
          await db.close();
        }
        // The rows of a thread that has ended keep their lock: to free them would call its aggregate.
        const other = await open(path);
        await other.execute(${
      name === "its thread ended" ? '"SELECT count(*) FROM t"' : '"INSERT INTO t VALUES (1)"'
    });
        await other.close();
      }
    `,
  );
}

test("rows half read with an aggregate open, and the process ends", async () => {
  const result = await program(
    `${PRELUDE}
    const db = await open(args[0]);
    await db.execute("INSERT INTO t " + NUMBERS(2000) + "SELECT i / 10 FROM n");
    await db.createAggregate("a", 1, Sum);
    const cursor = await db.execute("SELECT x, a(x) FROM (SELECT x FROM t ORDER BY x) GROUP BY x");
    await cursor.fetchMany(3);
    process.exit(3);
  `,
    [file()],
  );
  assert.deepEqual([result.code, result.signal], [3, null], result.stderr);
});

survives(
  "functions in triggers, views, indexes, generated columns, CHECKs and defaults",
  `
    const db = await connect(path, { trustedSchema: true, isolationLevel: null });
    const log = [];
    await db.createFunction("double", 1, (x) => 2 * x, { deterministic: true });
    await db.createFunction("log", 1, (x) => (log.push(x), x));
    await db.createFunction("even", 1, (x) => x % 2 === 0, { deterministic: true });
    await db.createCollation("c", (a, b) => a.length - b.length);
    await db.executeScript(\`
      CREATE TABLE e (x CHECK (even(x)), y GENERATED ALWAYS AS (double(x)), z DEFAULT (log(5)),
        w TEXT COLLATE c DEFAULT '');
      CREATE INDEX i ON e (double(x));
      CREATE INDEX j ON e (w);
      CREATE VIEW v AS SELECT double(y) AS q FROM e;
      CREATE TRIGGER tr AFTER INSERT ON e BEGIN SELECT log(new.x); END;
    \`);
    await db.execute("INSERT INTO e (x, w) VALUES (2, 'bbb'), (4, 'a')");
    assert.deepEqual(log.sort(), [2, 4, 5, 5]);
    assert.deepEqual(await db.executeFetchAll("SELECT q FROM v ORDER BY q"), [[8], [16]]);
    assert.deepEqual(await db.executeFetchAll("SELECT w FROM e ORDER BY w"), [["a"], ["bbb"]]);
    await assert.rejects(db.execute("INSERT INTO e (x) VALUES (3)").then(), /CHECK/);
    assert.deepEqual(await db.executeFetchOne("PRAGMA integrity_check"), ["ok"]);
    await db.execute("REINDEX");
    await db.execute("VACUUM");
    await db.close();
    const without = await connect(path, { trustedSchema: true, isolationLevel: null });
    await assert.rejects(without.execute("INSERT INTO e (x) VALUES (2)").then(), aiosqlite.OperationalError);
    await assert.rejects(without.execute("SELECT * FROM e ORDER BY w").then(), /no such (function|collation)/);
    await without.close();
  `,
);

survives(
  "deep recursion through triggers, with a function at each level",
  `
    const db = await connect(path, { trustedSchema: true, isolationLevel: null });
    let deepest = 0;
    await db.createFunction("deeper", 1, (x) => {
      deepest = Math.max(deepest, x);
      return x + 1;
    });
    await db.executeScript(\`
      PRAGMA recursive_triggers = ON;
      CREATE TABLE r (x);
      CREATE TRIGGER again AFTER INSERT ON r WHEN new.x < 900 BEGIN
        INSERT INTO r VALUES (deeper(new.x));
      END;
      CREATE TABLE s (x);
      CREATE TRIGGER endless AFTER INSERT ON s BEGIN INSERT INTO s VALUES (deeper(new.x)); END;
    \`);
    await db.execute("INSERT INTO r VALUES (1)");
    assert.equal(deepest, 899);
    assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM r"), [900]);
    await assert.rejects(db.execute("INSERT INTO s VALUES (1)").then(), /recursion/);
    assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM s"), [0]);
    await db.close();
  `,
);

survives(
  "a function that uses a connection whose function uses the next, and so on",
  `
    const COUNT = 12;
    const dbs = await Promise.all(Array.from({ length: COUNT }, () => open()));
    for (const [i, db] of dbs.entries()) {
      const next = dbs[i + 1];
      await db.createFunction("f", 1, async (x) =>
        next ? (await next.executeFetchOne("SELECT f(?)", [x + 1]))[0] : x);
    }
    assert.deepEqual(await dbs[0].executeFetchOne("SELECT f(0)"), [COUNT - 1]);
    await Promise.all(dbs.map((db) => db.close()));
  `,
);

survives(
  "12 connections with functions at once",
  `
    const dbs = await Promise.all(Array.from({ length: 12 }, () => open()));
    await Promise.all(dbs.map(async (db, i) => {
      await db.createFunction("f", 1, (x) => i % 2 ? x : Promise.resolve(x));
      await db.createAggregate("a", 1, Sum);
      for (let j = 0; j < 3; j++) {
        assert.deepEqual(await db.executeFetchOne(NUMBERS(30) + "SELECT a(f(i)) FROM n"), [465]);
      }
    }));
    await Promise.all(dbs.map((db) => db.close()));
  `,
);

survives(
  "arguments and results of 5 MB",
  `
    const db = await open();
    const SIZE = 5_000_000;
    const text = "ü".repeat(SIZE / 2);
    const bytes = new Uint8Array(SIZE).map((_, i) => i * 7);
    await db.createFunction("same", 1, (x) => x);
    await db.createFunction("later", 1, async (x) => (await turn(), x));
    await db.createFunction("joined", 2, (a, b) => a + b);
    await db.createCollation("c", (a, b) => a.length - b.length);
    for (const name of ["same", "later"]) {
      const [a, b] = await db.executeFetchOne("SELECT " + name + "(?), " + name + "(?)", [text, bytes]);
      assert.ok(a === text);
      assert.ok(b.length === SIZE && b.every((byte, i) => byte === bytes[i]));
    }
    const [joined] = await db.executeFetchOne("SELECT joined(?1, ?1)", [text]);
    assert.ok(joined === text + text);
    assert.deepEqual(await db.executeFetchOne("SELECT ?1 < ?1 || 'a' COLLATE c", [text]), [1]);
    await db.execute("INSERT INTO t " + NUMBERS(5) + "SELECT same(?) FROM n", [text]);
    assert.deepEqual(await db.executeFetchOne("SELECT sum(length(same(x))) FROM t"), [5 * text.length]);
    await db.close();
  `,
);

survives(
  "a result of 5 MB while the call is aborted, interrupted, or its thread ends",
  `
    const text = "x".repeat(5_000_000);
    for (let i = 0; i < 6; i++) {
      const db = await open();
      const controller = new AbortController();
      const thread = threads.at(-1);
      await db.createFunction("f", 0, () => {
        if (i % 3 === 0) setImmediate(() => controller.abort());
        else if (i % 3 === 1) setImmediate(() => db.closed || db.interrupt());
        else setImmediate(() => thread.terminate());
        return text;
      });
      const { signal } = controller;
      await settles(db.executeFetchAll(NUMBERS(50) + "SELECT length(f()) FROM n", [], { signal }));
      await settles(db.close());
    }
    const db = await open();
    await db.createFunction("f", 0, () => "right");
    assert.deepEqual(await db.executeFetchOne("SELECT f()"), ["right"]);
    await db.close();
  `,
);

survives(
  "functions while the connection is backed up to, or backed up",
  `
    const [db, target] = [await open(), await open()];
    await db.createFunction("f", 1, (x) => x);
    await target.createFunction("f", 1, (x) => x);
    await target.setUpdateHook(() => {});
    await target.setProgressHandler(() => 0, 5);
    await target.setAuthorizer(() => SQLITE_OK);
    await target.setTraceCallback(() => {});
    await db.execute("INSERT INTO t " + NUMBERS(5000) + "SELECT f(i) FROM n");
    await Promise.all([
      db.backup(target, { pages: 5, sleep: 0 }),
      db.executeFetchAll(NUMBERS(200) + "SELECT f(i) FROM n"),
      target.executeFetchAll("SELECT f(1)"),
    ]);
    assert.deepEqual(await target.executeFetchOne("SELECT count(f(x)) FROM t"), [5000]);
    await db.close();
    await target.close();
  `,
);

test("the program ends by itself when nothing but hooks is left", async () => {
  const result = await program(
    `${PRELUDE}
    const db = await open(args[0]);
    for (const [set] of Object.values(KINDS)) await set(db, () => 0);
    console.log("end");
  `,
    [file()],
  );
  assert.deepEqual([result.code, result.signal, result.stdout], [0, null, "end\n"], result.stderr);
});

survives(
  "a transaction is rolled back whatever the progress handler says",
  `
    const db = await open();
    const transaction = db.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES (1)");
      await db.setProgressHandler(() => 1, 1);
      throw new Error("no");
    });
    await settles(transaction, "rollback");
    await db.setProgressHandler(null, 0);
    assert.equal(db.inTransaction, false);
    assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [0]);
    await db.close();
  `,
);

together(PRELUDE, cases);
together(PRELUDE, ending);
