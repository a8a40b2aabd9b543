import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect, type Connection, OperationalError } from "../mod.ts";
import { file } from "./helpers.ts";

// However a call waits, it does so for `timeout`: no less, hardly more, and off the event loop.

const NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
const INSERT = "INSERT INTO t VALUES (1)";

/** Milliseconds. */
const TIMEOUT = 200;
/** Timers count whole milliseconds, which may be one less than the clock does. */
const EARLY = 1;
/** A fifth, and what the machine may take to get round to it. */
const LATE = TIMEOUT * 0.2 + 20;
/** How long the event loop may be held up, in milliseconds. */
const BLOCKED = 100;
/** A busy machine may be late now and then, a driver that is wrong is so every time. */
const ATTEMPTS = 3;
/** For tests that take several attempts, in milliseconds. */
const LONG = { timeout: 30_000 };

const OPTIONS = { isolationLevel: null, timeout: TIMEOUT } as const;

/** A connection to a file with a table `t (x)`, which commits by itself. */
async function table(path = file()): Promise<Connection> {
  const db = await connect(path, OPTIONS);
  await db.execute("CREATE TABLE IF NOT EXISTS t (x)");
  return db;
}

async function values(db: Connection): Promise<unknown[]> {
  return (await db.executeFetchAll("SELECT x FROM t")).flat();
}

/** Another connection that holds the write lock. */
async function writer(path: string): Promise<Connection> {
  const db = await connect(path, OPTIONS);
  await db.execute("BEGIN IMMEDIATE");
  return db;
}

/** Another connection that reads. */
async function reader(path: string): Promise<Connection> {
  const db = await connect(path, OPTIONS);
  await db.execute("BEGIN");
  await values(db);
  return db;
}

function isBusy(error: unknown): asserts error is OperationalError {
  assert.ok(error instanceof OperationalError, String(error));
  assert.deepEqual([error.code, error.errno], ["SQLITE_BUSY", 5]);
}

/** What a call throws; awaited in here, so that its stack names this file. */
async function caught(call: () => PromiseLike<unknown>): Promise<unknown> {
  let value;
  try {
    value = await call();
  } catch (error) {
    return error;
  }
  assert.fail(`has not timed out, but given ${String(value).slice(0, 20)}`);
}

/**
 * Checks that a call rejects with SQLITE_BUSY in time, and that timers have their turn meanwhile.
 * Returns the error.
 */
async function times(
  call: () => PromiseLike<unknown>,
  timeout = TIMEOUT,
): Promise<OperationalError> {
  const seen: string[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    let longest = 0;
    let last = performance.now();
    const beat = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    };
    const timer = setInterval(beat, 5);
    const start = performance.now();
    const error = await caught(call).finally(() => clearInterval(timer));
    const took = performance.now() - start;
    beat();
    isBusy(error);
    assert.ok(took >= timeout - EARLY, `${took} ms is too early`);
    if (took <= timeout + LATE && longest < BLOCKED) return error;
    seen.push(`${Math.round(took)} ms, blocked for ${Math.round(longest)} ms`);
  }
  assert.fail(seen.join("; "));
}

/** The line's error says what is in the way and since when; its stack leads here. */
function explains(error: OperationalError, what: string, atLeast: number): void {
  const [, since] = error.message.match(new RegExp(`${what} has been open for (\\d+) ms`)) ?? [];
  assert.ok(since !== undefined, error.message);
  assert.ok(Number(since) >= atLeast - EARLY && Number(since) < 30_000, error.message);
  assert.match(error.stack!, /timeout_test\.ts/);
}

test("the timeout of a write at another connection's lock", LONG, async () => {
  const path = file();
  await using db = await table(path);
  await using _writer = await writer(path);
  for (
    const call of [
      () => db.execute(INSERT),
      () => db.executeMany("INSERT INTO t VALUES (?)", [[1], [2]]),
      () => db.executeScript(INSERT),
      () => db.transaction((tx) => tx.execute(INSERT)),
    ]
  ) {
    const error = await times(call);
    assert.equal(error.message, "database is locked");
    assert.match(error.stack!, /timeout_test\.ts/);
    assert.equal(db.inTransaction, false);
  }
  assert.deepEqual(await values(db), []);
});

test("the timeout of a transaction that is to write", LONG, async () => {
  const path = file();
  await using db = await table(path);
  await using held = await writer(path);
  await times(() => db.transaction(() => assert.fail("runs"), { mode: "IMMEDIATE" }));
  await times(() => db.transaction({ mode: "EXCLUSIVE" }));
  // Its own timeout counts, a longer one and a shorter one, and just for its beginning.
  await times(() => db.transaction({ mode: "IMMEDIATE", timeout: 400 }), 400);
  await times(() => db.transaction({ mode: "IMMEDIATE", timeout: 100 }), 100);
  await times(() => db.transaction((tx) => tx.execute(INSERT), { timeout: 100 }));
  await held.execute("COMMIT");
  await db.transaction((tx) => tx.execute(INSERT), { mode: "IMMEDIATE" });
  assert.deepEqual(await values(db), [1]);
});

test(
  "the timeout of a COMMIT that waits for a reader, which is then rolled back",
  LONG,
  async () => {
    const path = file();
    await using db = await table(path);
    {
      await using _reader = await reader(path);
      await times(() => db.execute(INSERT));
      assert.equal(db.inTransaction, false);
      for (const form of ["work", "handle"]) {
        let committing = 0;
        await assert.rejects(async () => {
          if (form === "work") {
            return await db.transaction(async (tx) => {
              await tx.execute(INSERT);
              committing = performance.now();
            });
          }
          await using tx = await db.transaction();
          await tx.execute(INSERT);
          committing = performance.now();
          await tx.commit();
        }, (error) => {
          isBusy(error);
          const took = performance.now() - committing;
          assert.ok(took >= TIMEOUT - EARLY, `${took} ms is too early`);
          assert.ok(took < 2 * TIMEOUT, `${took} ms is too late`);
          return true;
        });
        assert.equal(db.inTransaction, false);
      }
      assert.deepEqual(await values(db), []);
    }
    await db.execute(INSERT);
    assert.deepEqual(await values(db), [1]);
  },
);

test(
  "the timeout of commit(), which leaves the transaction open for another try",
  LONG,
  async () => {
    const path = file();
    await using db = await table(path);
    db.isolationLevel = "DEFERRED";
    await db.execute(INSERT);
    {
      await using _reader = await reader(path);
      await times(() => db.commit());
      assert.equal(db.inTransaction, true);
    }
    await db.commit();
    assert.deepEqual(await values(db), [1]);
  },
);

test(
  "the timeout in the line for a transaction to end, and what the error says",
  LONG,
  async () => {
    await using db = await table();
    const cursor = await db.execute(`${NUMBERS} SELECT i FROM n LIMIT 200000`);
    const first = await cursor.fetchOne();
    for (const mode of ["DEFERRED", "IMMEDIATE", "EXCLUSIVE"] as const) {
      const tx = await db.transaction({ mode });
      await tx.execute(INSERT);
      const what = `a transaction \\(${mode}\\)`;
      const line = async (call: () => PromiseLike<unknown>, timeout = TIMEOUT) => {
        const error = await times(call, timeout);
        explains(error, what, timeout);
        assert.match(error.message, new RegExp(`\\b${timeout} ms\\b`));
      };
      await line(() => db.execute("SELECT 1"));
      if (mode === "DEFERRED") {
        await line(() => db.executeMany("INSERT INTO t VALUES (?)", [[1]]));
        await line(() => db.executeScript("SELECT 1"));
        await line(() => db.executeFetchOne("SELECT 1"));
        await line(async () => {
          for await (const _ of db.execute("SELECT 1"));
        });
        await line(() => db.commit());
        await line(() => db.transaction());
        await line(() => db.transaction(() => assert.fail("runs")));
        await line(() => db.transaction({ timeout: 100 }), 100);
        await line(() => cursor.fetchAll());
      }
      await tx.rollback();
    }
    // None of them has run, or is in the way of others, and no row is lost.
    assert.deepEqual(await values(db), []);
    const rest = await cursor.fetchAll();
    assert.deepEqual([first, rest[0], rest.length], [[1], [2], 199_999]);
    assert.equal(await db.transaction(() => 7), 7);
  },
);

test("the error of a loop over rows leads to the loop", LONG, async () => {
  await using db = await connect(":memory:", { ...OPTIONS, timeout: 100 });
  let tx: AsyncDisposable | undefined;
  const loop = async () => {
    for await (const [i] of db.execute(`${NUMBERS} SELECT i FROM n`)) {
      if (i === 1) tx = await db.transaction();
    }
  };
  await assert.rejects(loop(), (error) => {
    isBusy(error);
    explains(error, "a transaction \\(DEFERRED\\)", 100);
    return true;
  });
  await tx![Symbol.asyncDispose]();
});

test(
  "a fetchMany() that times out rejects, whatever rows were there; none is lost",
  LONG,
  async () => {
    await using db = await table();
    const cursor = await db.execute(`${NUMBERS} SELECT i FROM n LIMIT 100000`);
    assert.deepEqual(await cursor.fetchOne(), [1]); // and more rows have come in
    const tx = await db.transaction();
    await times(() => cursor.fetchMany(100_000));
    await tx.rollback();
    const rest = await cursor.fetchMany(100_000);
    assert.ok(rest.length === 99_999 && rest.every((row, i) => row[0] === i + 2));
  },
);

test("a nested transaction's wait for the one before, and what the error says", LONG, async () => {
  await using db = await table();
  await using tx = await db.transaction();
  await using inner = await tx.transaction();
  explains(await times(() => tx.transaction()), "a nested transaction", TIMEOUT);
  explains(await times(() => tx.execute(INSERT)), "a nested transaction", TIMEOUT);
  await inner.rollback();
  await tx.execute(INSERT);
});

test("the timeout of transaction() at what an earlier statement began", LONG, async () => {
  await using db = await table();
  await db.execute("BEGIN");
  const error = await times(() => db.transaction());
  assert.match(error.message, /an earlier statement began/);
  assert.match(error.stack!, /timeout_test\.ts/);
  await db.execute("COMMIT");
});

test(
  "waiting in line and then for SQLite's lock takes no longer than the timeout",
  LONG,
  async () => {
    const path = file();
    await using db = await table(path);
    await using _writer = await writer(path);
    for (const inLine of [40, 120]) {
      await times(async () => {
        const tx = await db.transaction();
        const timer = setTimeout(() => tx.rollback(), inLine);
        try {
          await db.transaction(() => assert.fail("runs"), { mode: "IMMEDIATE" });
        } finally {
          clearTimeout(timer);
        }
      });
    }
    // Nor does going back into the line, since a statement sent before has begun a transaction.
    await times(async () => {
      const begun = db.execute("BEGIN");
      try {
        await db.transaction(() => assert.fail("runs"));
      } finally {
        await begun;
        await db.execute("ROLLBACK");
      }
    });
  },
);

test(
  "those who wait time out each by its own clock, whatever comes before them",
  LONG,
  async () => {
    await using db = await table();
    await using tx = await db.transaction();
    const ended: number[] = [];
    const start = performance.now();
    const waits = [400, 100, 300, 200].map(async (timeout) => {
      await assert.rejects(db.transaction({ timeout }), { code: "SQLITE_BUSY" });
      ended.push(timeout);
      const took = performance.now() - start;
      assert.ok(took >= timeout - EARLY, `${timeout}: ${took} ms`);
    });
    await Promise.all(waits);
    assert.deepEqual(ended, [100, 200, 300, 400]);
    assert.equal(tx.active, true);
  },
);

test("timeout: 0 fails at once, everywhere", async () => {
  const path = file();
  await using db = await connect(path, { ...OPTIONS, timeout: 0 });
  await db.execute("CREATE TABLE t (x)");
  const fails = async (call: () => PromiseLike<unknown>) => {
    const took: number[] = [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const start = performance.now();
      const error = await caught(call);
      isBusy(error);
      took.push(performance.now() - start);
      if (took.at(-1)! < 50) return;
    }
    assert.fail(`${took} ms`);
  };
  {
    await using _writer = await writer(path);
    await fails(() => db.execute(INSERT));
    await fails(() => db.transaction({ mode: "IMMEDIATE" }));
  }
  {
    await using _reader = await reader(path);
    await fails(() => db.transaction((tx) => tx.execute(INSERT)));
  }
  {
    await using _tx = await db.transaction();
    await fails(() => db.execute(INSERT));
    await fails(() => db.transaction());
    await fails(() => db.transaction({ timeout: 0 }));
  }
  assert.deepEqual(await values(db), []);
  // And what need not wait does not fail.
  await db.transaction((tx) => tx.execute(INSERT), { mode: "EXCLUSIVE" });
  assert.deepEqual(await values(db), [1]);
});

test("who lets go just in time is not too late", LONG, async () => {
  const path = file();
  await using db = await connect(path, { ...OPTIONS, timeout: 10_000 });
  await db.execute("CREATE TABLE t (x)");
  await using held = await writer(path);
  const waiting = db.execute(INSERT);
  await pause(200);
  const start = performance.now();
  await held.execute("COMMIT");
  await waiting;
  // SQLite itself looks every 100 ms by then.
  const took = performance.now() - start;
  assert.ok(took < 500, `${took} ms`);
  assert.deepEqual(await values(db), [1]);
});
