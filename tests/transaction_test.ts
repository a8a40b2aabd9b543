import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Connection, OperationalError, type Transaction } from "../mod.ts";
import { file, python } from "./helpers.ts";

const ENDED = { name: "ProgrammingError", message: "The transaction has ended." };

/** A database in memory with a table `t (x)`. */
async function table(options = {}): Promise<Connection> {
  const db = await connect(":memory:", options);
  await db.execute("CREATE TABLE t (x)");
  return db;
}

async function values(db: { executeFetchAll: Connection["executeFetchAll"] }): Promise<unknown[]> {
  return (await db.executeFetchAll("SELECT x FROM t ORDER BY rowid")).flat();
}

/** A promise to be fulfilled from outside. */
function gate(): PromiseWithResolvers<void> {
  return Promise.withResolvers<void>();
}

test("transaction(work) commits when work fulfils, and gives its value", async () => {
  const path = file();
  await using db = await connect(path);
  await db.execute("CREATE TABLE t (x)");
  const value = await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    assert.equal(tx.active, true);
    return 42;
  });
  assert.equal(value, 42);
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});

test("transaction(work) rolls back when work throws, and throws the same", async () => {
  await using db = await table();
  const error = new Error("mine");
  const work = async (tx: Transaction) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    throw error;
  };
  await assert.rejects(db.transaction(work), (thrown) => thrown === error);
  await assert.rejects(
    db.transaction(() => {
      throw error;
    }),
    (thrown) => thrown === error,
  );
  assert.deepEqual(await values(db), []);
  assert.equal(db.inTransaction, false);
});

test("nine concurrent IMMEDIATE transactions that select and then insert all succeed", async () => {
  const path = file();
  {
    await using db = await connect(path);
    await db.execute("CREATE TABLE t (x)");
  }
  await Promise.all(Array.from({ length: 9 }, async () => {
    await using db = await connect(path, { timeout: 60_000 });
    await db.transaction(async (tx) => {
      const row = await tx.executeFetchOne("SELECT count(*) FROM t");
      await tx.execute("INSERT INTO t VALUES (?)", [row![0]]);
    }, { mode: "IMMEDIATE" });
  }));
  assert.deepEqual(await python(path, "SELECT group_concat(x, '') FROM t"), [["012345678"]]);
});

test("a commit() or rollback() in work is honoured and not repeated", async () => {
  await using db = await table();
  await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    await tx.commit();
    assert.equal(tx.active, false);
    await assert.rejects(tx.execute("INSERT INTO t VALUES (2)"), ENDED);
    await assert.rejects(tx.commit(), ENDED);
  });
  await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (3)");
    await tx.rollback();
  });
  assert.deepEqual(await values(db), [1]);
});

test("after a manual commit() an error in work undoes nothing", async () => {
  await using db = await table();
  const failing = db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    await tx.commit();
    throw new Error("mine");
  });
  await assert.rejects(failing, { message: "mine" });
  assert.deepEqual(await values(db), [1]);
});

test("a handle disposed of without commit() rolls back", async () => {
  await using db = await table();
  {
    await using tx = await db.transaction();
    await tx.execute("INSERT INTO t VALUES (1)");
  }
  {
    await using tx = await db.transaction({ mode: "EXCLUSIVE" });
    await tx.execute("INSERT INTO t VALUES (2)");
    await tx.commit();
  }
  assert.deepEqual(await values(db), [2]);
});

test("calls of other tasks wait, in order, and none runs inside", async () => {
  await using db = await table({ isolationLevel: null });
  const entered = gate();
  const leave = gate();
  const inside = db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES ('in 1')");
    entered.resolve();
    await leave.promise;
    await tx.execute("INSERT INTO t VALUES ('in 2')");
    throw new Error("mine");
  });
  await entered.promise;
  const others = [
    db.execute("INSERT INTO t VALUES ('single')"),
    db.executeMany("INSERT INTO t VALUES (?)", [["many"]]),
    db.transaction((tx) => tx.execute("INSERT INTO t VALUES ('transaction')")),
    db.executeScript("INSERT INTO t VALUES ('script')"),
    db.executeFetchAll("SELECT count(*) FROM t"),
  ];
  leave.resolve();
  await assert.rejects(inside, { message: "mine" });
  const results = await Promise.all(others);
  assert.deepEqual(results[4], [[4]]);
  assert.deepEqual(await values(db), ["single", "many", "transaction", "script"]);
});

test("calls of the connection within work take part, as do those of tasks it starts", async () => {
  await using db = await table();
  const failing = db.transaction(async () => {
    await db.execute("INSERT INTO t VALUES (1)");
    await Promise.all([2, 3].map(async (x) => {
      await null;
      await db.execute("INSERT INTO t VALUES (?)", [x]);
    }));
    assert.deepEqual(await values(db), [1, 2, 3]);
    throw new Error("mine");
  });
  await assert.rejects(failing, { message: "mine" });
  assert.deepEqual(await values(db), []);
});

test("a task that outlives the transaction it was started in goes back into the line", async () => {
  await using db = await table({ isolationLevel: null });
  const ended = gate();
  let late!: Promise<unknown>;
  await db.transaction(() => {
    late = ended.promise.then(() => db.execute("INSERT INTO t VALUES ('late')"));
  });
  ended.resolve();
  await late;
  assert.deepEqual(await values(db), ["late"]);
});

test("waiting longer than the timeout is SQLITE_BUSY, and says what is in the way", async () => {
  await using db = await table({ timeout: 30 });
  await using tx = await db.transaction({ mode: "IMMEDIATE" });
  const busy = (error: unknown) =>
    error instanceof OperationalError && error.code === "SQLITE_BUSY" &&
    /a transaction \(IMMEDIATE\) has been open for \d+ ms/.test(error.message);
  await assert.rejects(db.execute("SELECT 1"), busy);
  await assert.rejects(db.transaction({ timeout: 5 }), busy);
  assert.deepEqual(await tx.executeFetchOne("SELECT 1"), [1]);
  await tx.rollback();
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("transaction() waits for a transaction that a statement began", async () => {
  await using db = await table();
  await db.execute("INSERT INTO t VALUES (1)");
  const waiting = db.transaction((tx) => tx.execute("INSERT INTO t VALUES (3)"));
  await db.execute("INSERT INTO t VALUES (2)"); // still belongs to the one that is open
  await db.rollback();
  await waiting;
  assert.deepEqual(await values(db), [3]);
});

test("transaction() right behind an un-awaited INSERT waits for its transaction, too", async () => {
  await using db = await table({ timeout: 2000 });
  const insert = db.execute("INSERT INTO t VALUES (1)");
  const waiting = db.transaction((tx) => tx.execute("INSERT INTO t VALUES (2)"));
  await insert;
  await db.commit();
  await waiting;
  assert.deepEqual(await values(db), [1, 2]);
});

test("400 concurrent transactions never meet each other or other statements", async () => {
  await using db = await table({ isolationLevel: null, timeout: 60_000 });
  await db.execute("CREATE TABLE audit (who, what)");
  const note = (who: string, what: string) =>
    [`INSERT INTO audit VALUES (?, ?)`, [who, what]] as const;
  await Promise.all(Array.from({ length: 400 }, async (_, i) => {
    const work = db.transaction(async (tx) => {
      await tx.execute(...note(`tx ${i}`, "begin"));
      await null;
      await tx.execute(...note(`tx ${i}`, "end"));
    });
    await db.execute(...note("other", "statement"));
    await work;
  }));
  const audit = await db.executeFetchAll("SELECT who, what FROM audit ORDER BY rowid");
  assert.equal(audit.length, 1200);
  for (let i = 0; i < audit.length; i++) {
    if (audit[i]![1] === "begin") assert.deepEqual(audit[i + 1], [audit[i]![0], "end"]);
  }
});

test("a nested transaction fails alone", async () => {
  await using db = await table();
  await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    const failing = tx.transaction(async (inner) => {
      await inner.execute("INSERT INTO t VALUES (2)");
      await db.execute("INSERT INTO t VALUES (3)"); // the innermost one
      throw new Error("mine");
    });
    await assert.rejects(failing, { message: "mine" });
    await db.transaction((inner) => inner.execute("INSERT INTO t VALUES (4)"));
  });
  assert.deepEqual(await values(db), [1, 4]);
});

test("concurrent nested transactions wait for each other", async () => {
  await using db = await table();
  await db.transaction((tx) =>
    Promise.all(Array.from({ length: 20 }, (_, i) =>
      tx.transaction(async (inner) => {
        await inner.execute("INSERT INTO t VALUES (?)", [i]);
        await null;
        if (i % 2) await inner.rollback();
      })))
  );
  assert.deepEqual(await values(db), Array.from({ length: 10 }, (_, i) => 2 * i));
});

test("nested: 'join' takes part in the outer one, 'error' rejects", async () => {
  await using db = await table();
  await db.transaction(async (outer) => {
    const join = await db.transaction((tx) => tx, { nested: "join" });
    assert.equal(join, outer);
    await assert.rejects(
      db.transaction(() => {}, { nested: "error" }),
      { name: "ProgrammingError", message: /already active/ },
    );
    await outer.execute("INSERT INTO t VALUES (1)");
  });
  assert.deepEqual(await values(db), [1]);
});

test("savepoints are gone back to and released, whatever their names", async () => {
  await using db = await table();
  await db.transaction(async (tx) => {
    for (const name of ['a"; DROP TABLE t; --', "", "é", undefined]) {
      const savepoint = await tx.savepoint(name);
      await tx.execute("INSERT INTO t VALUES ('undone')");
      await savepoint.rollbackTo();
      await tx.execute("INSERT INTO t VALUES ('undone, too')");
      await tx.rollbackTo(savepoint.name);
      await savepoint.release();
      await assert.rejects(savepoint.release(), { name: "ProgrammingError" });
    }
    {
      await using _undone = await tx.savepoint();
      await tx.execute("INSERT INTO t VALUES ('disposed of')");
    }
    await tx.execute("INSERT INTO t VALUES ('kept')");
    await assert.rejects(async () => await tx.savepoint("a\0b"), { name: "ProgrammingError" });
  });
  assert.deepEqual(await values(db), ["kept"]);
});

test("what SQLite has rolled back is not taken for committed, nor gone on with", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x UNIQUE)");
  const work = db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    await assert.rejects(tx.execute("INSERT OR ROLLBACK INTO t VALUES (1)"));
    await assert.rejects(tx.execute("INSERT INTO t VALUES (2)"), { code: "SQLITE_ABORT_ROLLBACK" });
  });
  await assert.rejects(work, { code: "SQLITE_ABORT_ROLLBACK" });
  assert.deepEqual(await values(db), []);
});

test("nor by blobs, changesets and whole databases", async () => {
  await using db = await connect(":memory:");
  await db.executeScript("CREATE TABLE t (x UNIQUE, b); INSERT INTO t VALUES (1, zeroblob(4))");
  await using session = await db.createSession();
  await db.execute("INSERT INTO t VALUES (2, NULL)");
  await db.commit();
  const changes = await session.changeset();
  const bytes = await db.serialize();
  await db.execute("DELETE FROM t WHERE x = 2");
  await db.commit();
  const gone = { code: "SQLITE_ABORT_ROLLBACK" };
  const work = db.transaction(async (tx) => {
    await using blob = await db.blobOpen("t", "b", 1);
    await assert.rejects(tx.execute("INSERT OR ROLLBACK INTO t VALUES (1, NULL)"));
    await assert.rejects(db.applyChangeset(changes), gone);
    await assert.rejects(db.blobOpen("t", "b", 1), gone);
    await assert.rejects(db.deserialize(bytes), gone);
    await assert.rejects(blob.write(new Uint8Array([1])), gone);
  });
  await assert.rejects(work, gone);
  assert.deepEqual(await values(db), [1]);
});

test("a COMMIT that fails is rolled back and reported, and the lock let go", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.executeScript(`PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
    CREATE TABLE t (x REFERENCES p DEFERRABLE INITIALLY DEFERRED)`);
  const failing = db.transaction((tx) => tx.execute("INSERT INTO t VALUES (7)"));
  await assert.rejects(failing, { code: "SQLITE_CONSTRAINT_FOREIGNKEY" });
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await values(db), []);
});

test("cursors end with their transaction, and hold no lock", async () => {
  await using db = await table({ isolationLevel: null });
  await db.executeMany(
    "INSERT INTO t VALUES (?)",
    Array.from({ length: 100 }, () => ["x".repeat(5000)]),
  );
  const cursor = await db.transaction((tx) => tx.execute("SELECT x FROM t"));
  await assert.rejects(cursor.fetchOne(), { message: "Cannot operate on a closed cursor." });
  await db.execute("DROP TABLE t");
});

test("retries run the whole function again when the database is busy", async () => {
  const path = file();
  await using a = await connect(path, { isolationLevel: null, timeout: 0 });
  await using b = await connect(path, { isolationLevel: null, timeout: 0 });
  await a.executeScript("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (0)");
  let runs = 0;
  await a.transaction(async (tx) => {
    const [x] = (await tx.executeFetchOne("SELECT x FROM t"))!;
    // Another connection commits in between, once: the upgrade is SQLITE_BUSY_SNAPSHOT.
    if (runs++ === 0) await b.execute("UPDATE t SET x = x + 10");
    await tx.execute("UPDATE t SET x = ?", [Number(x) + 1]);
  }, { retries: 3 });
  assert.equal(runs, 2);
  assert.deepEqual(await values(a), [11]);
});

test("close() rolls back an open transaction; its work and those in line reject", async () => {
  const path = file();
  const db = await connect(path, { isolationLevel: null });
  await db.execute("CREATE TABLE t (x)");
  const entered = gate();
  const leave = gate();
  const work = db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    entered.resolve();
    await leave.promise;
  });
  await entered.promise;
  const queued = db.execute("INSERT INTO t VALUES ('queued')");
  const next = assert.rejects(db.transaction(() => {}), { name: "ProgrammingError" });
  await db.close();
  leave.resolve();
  await assert.rejects(work, { message: "Cannot operate on a closed database." });
  await Promise.all([queued, next]);
  assert.deepEqual(await python(path, "SELECT x FROM t"), [["queued"]]);
});

test("a signal ends the waiting, and keeps from committing", async () => {
  await using db = await table();
  const tx = await db.transaction();
  const waiting = new AbortController();
  const waits = db.transaction(() => {}, { signal: waiting.signal });
  waiting.abort(new Error("waited enough"));
  await assert.rejects(waits, { message: "waited enough" });
  await tx.rollback();
  const running = new AbortController();
  const runs = db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1)");
    running.abort(new Error("changed my mind"));
  }, { signal: running.signal });
  await assert.rejects(runs, { message: "changed my mind" });
  assert.deepEqual(await values(db), []);
});

test("bad options are refused at once", async () => {
  await using db = await table();
  for (
    const options of [{ mode: "BOGUS" }, { nested: 1 }, { timeout: -1 }, { retry: 1 }, 7, null]
  ) {
    await assert.rejects(
      async () => await db.transaction(() => {}, options as never),
      { name: "ProgrammingError" },
    );
  }
  await using pep249 = await connect(":memory:", { autocommit: false });
  await assert.rejects(pep249.transaction(() => {}), { name: "ProgrammingError" });
});

test("executeMany in many blocks is in a transaction, whatever is committed in between", async () => {
  await using db = await connect(":memory:");
  await db.execute("CREATE TABLE t (x)");
  const sets = Array.from({ length: 50_000 }, (_, i) => [i]);
  const many = db.executeMany("INSERT INTO t VALUES (?)", sets);
  const committed = db.commit();
  assert.equal((await many).rowCount, sets.length);
  await committed;
  assert.equal(db.inTransaction, true);
  await db.rollback();
  const [count] = await db.executeFetchOne("SELECT count(*) FROM t") as [number];
  assert.ok(count < sets.length, String(count));
});
