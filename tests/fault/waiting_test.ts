import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect, OperationalError, PARSE_DECLTYPES, registerConverter } from "../../mod.ts";
import { file } from "../helpers.ts";

// Waiting is what a driver must not do on the event loop: for locks, for queries, for nothing.

/** How long the event loop may be held up, in milliseconds. */
const BLOCKED = 50;
/** A garbage collection may hold it up now and then, a driver that blocks does so every time. */
const ATTEMPTS = 3;
/** For tests that may take several attempts, in milliseconds. */
const LONG = { timeout: 30_000 };

const HOLDER = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN " + sys.argv[2])
print("held", flush=True)
sys.stdin.readline()
c.execute("COMMIT")
print("released", flush=True)
`;

/** Another process that holds a lock on a file until `release()`. */
class Holder implements AsyncDisposable {
  readonly #child;

  private constructor(path: string, mode: string) {
    this.#child = spawn("python3", ["-c", HOLDER, path, mode], {
      stdio: ["pipe", "pipe", "inherit"],
    });
  }

  static async of(path: string, mode: "IMMEDIATE" | "EXCLUSIVE"): Promise<Holder> {
    const holder = new Holder(path, mode);
    const [said] = await once(holder.#child.stdout, "data");
    assert.equal(String(said).trim(), "held");
    return holder;
  }

  async release(): Promise<void> {
    const released = once(this.#child.stdout, "data");
    this.#child.stdin.write("\n");
    await released;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}

/** Runs something and tells how long that took, in milliseconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Milliseconds for which this thread was kept from a processor by others, where that is known. */
function starved(): number {
  if (process.platform !== "linux") return 0;
  return Number(readFileSync("/proc/self/schedstat", "utf8").split(" ")[1]) / 1e6;
}

/** Runs something that must not hold up the event loop for longer than `most` milliseconds. */
async function unblocked(work: () => Promise<unknown>, most = BLOCKED): Promise<void> {
  const blocked: number[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    let longest = 0;
    let last = performance.now() - starved();
    const beat = () => {
      const now = performance.now() - starved();
      longest = Math.max(longest, now - last);
      last = now;
    };
    const timer = setInterval(beat, 2);
    try {
      await work();
    } finally {
      clearInterval(timer);
    }
    beat();
    if (longest < most) return;
    blocked.push(Math.round(longest));
  }
  assert.fail(`blocked for ${blocked.join(", ")} ms`);
}

function isCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof OperationalError, String(error));
    assert.equal(error.code, code);
    return true;
  };
}

const isBusy = isCode("SQLITE_BUSY");
const isInterrupt = isCode("SQLITE_INTERRUPT");

/** A database with the table t (x). */
async function made(): Promise<string> {
  const path = file();
  await using db = await connect(path);
  await db.execute("CREATE TABLE t (x)");
  return path;
}

/** Comes back when a wait of another connection for the same lock is well under way. */
async function untilRefused(path: string): Promise<void> {
  await using db = await connect(path, { timeout: 50 });
  await assert.rejects(db.execute("INSERT INTO t VALUES (0)"), isBusy);
}

test(
  "A wait for a lock ends with SQLITE_BUSY after the timeout, off the event loop",
  LONG,
  async () => {
    const path = await made();
    await using db = await connect(path, { timeout: 250 });
    await using _holder = await Holder.of(path, "EXCLUSIVE");
    for (const sql of ["SELECT * FROM t", "INSERT INTO t VALUES (1)"]) {
      await unblocked(async () => {
        const took = await timed(() => assert.rejects(db.execute(sql), isBusy));
        assert.ok(took > 225 && took < 1250, `${sql}: ${took} ms`);
      });
    }
  },
);

test("A writer waits for a writer, a reader does not", async () => {
  const path = await made();
  await using db = await connect(path, { timeout: 200 });
  await using holder = await Holder.of(path, "IMMEDIATE");
  assert.deepEqual(await db.executeFetchAll("SELECT * FROM t"), []);
  await assert.rejects(db.execute("INSERT INTO t VALUES (1)"), {
    code: "SQLITE_BUSY",
    errno: 5,
    message: "database is locked",
  });
  await db.rollback();
  await holder.release();
  await db.execute("INSERT INTO t VALUES (1)");
  await db.commit();
});

test("A wait for a lock ends well when the other process lets go in time", async () => {
  const path = await made();
  await using db = await connect(path, { timeout: 20_000 });
  await using holder = await Holder.of(path, "EXCLUSIVE");
  const took = await timed(async () => {
    const inserted = db.executeInsert("INSERT INTO t VALUES (1)");
    await untilRefused(path);
    await holder.release();
    assert.equal(await inserted, 1);
  });
  assert.ok(took < 2000, `${took} ms`);
});

test("timeout: 0 does not wait", async () => {
  const path = await made();
  await using db = await connect(path, { timeout: 0 });
  await using _holder = await Holder.of(path, "EXCLUSIVE");
  const took = await timed(() => assert.rejects(db.executeFetchAll("SELECT * FROM t"), isBusy));
  assert.ok(took < 200, `${took} ms`);
});

test("interrupt() ends a wait for a lock at once", async () => {
  const path = await made();
  await using db = await connect(path, { timeout: 60_000 });
  await using holder = await Holder.of(path, "EXCLUSIVE");
  const insert = assert.rejects(db.execute("INSERT INTO t VALUES (1)"), isInterrupt);
  await untilRefused(path);
  const took = await timed(() => {
    db.interrupt();
    return insert;
  });
  assert.ok(took < 200, `${took} ms`);
  await db.rollback();
  await holder.release();
  await db.execute("INSERT INTO t VALUES (2)");
  await db.commit();
  assert.deepEqual(await db.executeFetchAll("SELECT x FROM t"), [[2]]);
});

const ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) " +
  "SELECT count(*) FROM n";

test("A query of 500 ms does not block the event loop", LONG, async () => {
  await using db = await connect(":memory:");
  await unblocked(async () => {
    const query = assert.rejects(db.execute(ENDLESS), isInterrupt);
    await pause(500);
    db.interrupt();
    await query;
  });
});

test("Fetching 500,000 rows does not block the event loop", LONG, async () => {
  await using db = await connect(":memory:");
  // Rows that are kept make the garbage collector stop the thread, which is not the driver's wait.
  await unblocked(async () => {
    const rows = await db.executeFetchAll(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500000) " +
        "SELECT i, 'row ' || i FROM n",
    );
    assert.equal(rows.length, 500_000);
    assert.deepEqual(rows.at(-1), [500_000, "row 500000"]);
  }, 2 * BLOCKED);
});

test("Making many rows does not block the event loop", LONG, async () => {
  const made: number[] = [];
  /** Takes its time. */
  const rowFactory = (_cursor: unknown, [i]: unknown[]) => {
    for (const until = performance.now() + 0.01; performance.now() < until;);
    made.push(i as number);
    return { i: i as number };
  };
  await using db = await connect(":memory:", { rowFactory });
  const sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30000) " +
    "SELECT i FROM n";
  for (
    const fetch of [
      () => db.executeFetchAll(sql),
      async () => await (await db.execute(sql)).fetchAll(),
      async () => await (await db.execute(sql)).fetchMany(30_000),
    ]
  ) {
    await unblocked(async () => {
      made.length = 0;
      const rows = await fetch();
      assert.deepEqual(rows.map(({ i }) => i), made);
      assert.deepEqual([rows.length, rows.at(-1)], [30_000, { i: 30_000 }]);
    });
  }
});

test("Converting many rows does not block the event loop", LONG, async () => {
  /** Takes its time. */
  registerConverter("slow", (bytes) => {
    for (const until = performance.now() + 0.01; performance.now() < until;);
    return bytes.length;
  });
  await using db = await connect(":memory:", { detectTypes: PARSE_DECLTYPES });
  await db.executeScript(`CREATE TABLE t (x slow);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30000)
      INSERT INTO t SELECT 'abc' FROM n`);
  for (
    const fetch of [
      () => db.executeFetchAll("SELECT x FROM t"),
      async () => await (await db.execute("SELECT x FROM t")).fetchAll(),
      async () => await (await db.execute("SELECT x FROM t")).fetchMany(30_000),
    ]
  ) {
    await unblocked(async () => {
      const rows = await fetch();
      assert.deepEqual([rows.length, rows[0], rows.at(-1)], [30_000, [3], [3]]);
    });
  }
});

test("A chain of quick calls lets timers have their turn", LONG, async () => {
  await using db = await connect(":memory:");
  await unblocked(async () => {
    for (let i = 0; i < 5000; i++) {
      assert.deepEqual(await db.executeFetchOne("SELECT ?", [i]), [i]);
    }
  });
});

test("An idle connection uses no processor time", async () => {
  await using db = await connect(":memory:");
  await db.execute("SELECT 1");
  await pause(200); // what opening has left to do
  const before = process.cpuUsage();
  await pause(500);
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 50_000, `${user + system} us`);
});
