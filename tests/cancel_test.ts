import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import {
  connect,
  type Connection,
  type Cursor,
  OperationalError,
  ProgrammingError,
} from "../mod.ts";
import { file, program, python } from "./helpers.ts";

// A signal ends one call and nothing else: what waits never runs, what runs stops.

const NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
const ENDLESS = `${NUMBERS} SELECT count(*) FROM n`;
const ENDLESS_ROWS = `${NUMBERS} SELECT i FROM n`;
const ENDLESS_INSERT = `INSERT INTO t ${NUMBERS} SELECT i FROM n`;

/** How soon after an abort a call has to settle, in milliseconds; a quiet machine takes 1. */
const SOON = 250;
/** What has not settled by then never will, in milliseconds. */
const NEVER = 4000;
/** For tests that take seconds, in milliseconds. */
const LONG = { timeout: 60_000 };

interface Options {
  signal: AbortSignal;
}

/** What connections and transactions have in common. */
type Executor = Pick<
  Connection,
  | "cursor"
  | "execute"
  | "executeFetchAll"
  | "executeFetchOne"
  | "executeInsert"
  | "executeMany"
  | "executeScript"
>;

/** Yields a set and then nothing more, not even its end. */
async function* stuck(): AsyncGenerator<[string], void, void> {
  yield ["stuck"];
  await new Promise(() => {});
}

async function* sets(...all: string[]): AsyncGenerator<[string], void, void> {
  for (const one of all) yield [one];
}

const INSERT = "INSERT INTO t VALUES (?)";

/** Each way to insert into `t`. */
const CALLS: Record<string, (db: Executor, options: Options) => PromiseLike<unknown>> = {
  execute: (db, options) => db.execute(INSERT, ["execute"], options),
  executeMany: (db, options) => db.executeMany(INSERT, [["many"], ["many"]], options),
  "executeMany, async": (db, options) => db.executeMany(INSERT, sets("many", "many"), options),
  "executeMany, stuck": (db, options) => db.executeMany(INSERT, stuck(), options),
  executeScript: (db, options) => db.executeScript("INSERT INTO t VALUES ('script')", options),
  executeInsert: (db, options) => db.executeInsert(INSERT, ["insert"], options),
  executeFetchAll: (db, options) => db.executeFetchAll(INSERT, ["all"], options),
  executeFetchOne: (db, options) => db.executeFetchOne(INSERT, ["one"], options),
  "for await": async (db, options) => {
    for await (const _ of db.execute(INSERT, ["loop"], options));
  },
  "cursor.execute": (db, options) => db.cursor().execute(INSERT, ["c"], options),
  "cursor.executeMany": (db, options) => db.cursor().executeMany(INSERT, [["c"]], options),
  "cursor.executeScript": (db, options) =>
    db.cursor().executeScript("INSERT INTO t VALUES ('c')", options),
};

/** Each way to have something endless run. */
const RUNNING: Record<string, (db: Executor, options: Options) => PromiseLike<unknown>> = {
  execute: (db, options) => db.execute(ENDLESS, [], options),
  "execute, writing": (db, options) => db.execute(ENDLESS_INSERT, [], options),
  executeMany: (db, options) => db.executeMany(`${ENDLESS_INSERT} WHERE ?`, [[1]], options),
  "executeMany, async": (db, options) =>
    db.executeMany(`${ENDLESS_INSERT} WHERE ?`, sets("1"), options),
  executeScript: (db, options) => db.executeScript(`SELECT 1; ${ENDLESS}; SELECT 2`, options),
  executeInsert: (db, options) => db.executeInsert(ENDLESS_INSERT, [], options),
  executeFetchAll: (db, options) => db.executeFetchAll(ENDLESS, [], options),
  executeFetchOne: (db, options) => db.executeFetchOne(ENDLESS, [], options),
  "for await": async (db, options) => {
    for await (const _ of db.execute(ENDLESS, [], options));
  },
  "for await, many rows": async (db, options) => {
    for await (const _ of db.execute(ENDLESS_ROWS, [], options));
  },
  fetchAll: async (db, options) => await (await db.execute(ENDLESS_ROWS, [], options)).fetchAll(),
  // Rows after the first batch are so far off that none comes in.
  fetchOne: async (db, options) => {
    const cursor = await db.execute(`${ENDLESS_ROWS} WHERE i < 3`, [], options);
    while (await cursor.fetchOne());
  },
  fetchMany: async (db, options) => {
    const cursor = await db.execute(`${ENDLESS_ROWS} WHERE i < 3`, [], options);
    while ((await cursor.fetchMany(5)).length > 0);
  },
};

const OPTIONS = { isolationLevel: null, timeout: 60_000 } as const;

/** A connection to a file with a table `t (x)`, which commits by itself. */
async function table(options = {}, path = file()): Promise<Connection> {
  const db = await connect(path, { ...OPTIONS, ...options });
  await db.execute("CREATE TABLE IF NOT EXISTS t (x)");
  return db;
}

async function values(db: Executor): Promise<unknown[]> {
  return (await db.executeFetchAll("SELECT x FROM t ORDER BY rowid")).flat();
}

/** Settles as the promise does, or rejects since that never does. */
async function ends<T>(promise: PromiseLike<T>, what = "the call"): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what} has not ended`)), NEVER);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a promise rejects with. */
async function rejection(promise: PromiseLike<unknown>, what = "the call"): Promise<unknown> {
  const outcome = promise.then(() => ({ fulfilled: true, error: null }), (error: unknown) => ({
    fulfilled: false,
    error,
  }));
  const { fulfilled, error } = await ends(outcome, what);
  assert.ok(!fulfilled, `${what} has not been rejected`);
  return error;
}

/** Aborts, and checks that the call then rejects with the very reason, and soon. */
async function aborts(
  controller: AbortController,
  call: PromiseLike<unknown>,
  what = "the call",
  reason: unknown = new Error(`stop ${what}`),
): Promise<void> {
  const rejected = rejection(call, what);
  const start = performance.now();
  controller.abort(reason);
  const error = await rejected;
  const took = performance.now() - start;
  assert.equal(error, reason, what);
  assert.ok(took < SOON, `${what}: ${took} ms`);
}

/** Fetches rows to their end. */
async function drain(cursor: Cursor, fetch: "fetchAll" | "fetchMany" | "fetchOne"): Promise<void> {
  if (fetch === "fetchAll") await cursor.fetchAll();
  else if (fetch === "fetchMany") { while ((await cursor.fetchMany(1000)).length > 0); }
  else while (await cursor.fetchOne());
}

/** No event tells that a statement has begun; after this it has. */
const begun = () => pause(20);

interface Block extends AsyncDisposable {
  readonly over: boolean;
  end(): Promise<void>;
}

/** Keeps a connection at work until it is ended. */
function block(db: Executor): Block {
  const controller = new AbortController();
  let over = false;
  const query = db.execute(ENDLESS, [], controller).then(
    () => assert.fail("the query is endless"),
    (error: unknown) => error,
  ).finally(() => over = true);
  const end = async () => {
    controller.abort("enough");
    assert.equal(await query, "enough");
  };
  return {
    end,
    [Symbol.asyncDispose]: end,
    get over() {
      return over;
    },
  };
}

/** An AbortController that knows who listens to its signal. */
class Heard extends AbortController {
  readonly #listeners = new Set<unknown>();

  get listeners(): number {
    return this.#listeners.size;
  }

  constructor() {
    super();
    const { signal } = this;
    const listeners = this.#listeners;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners.add(args[1]);
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners.delete(args[1]);
      remove(...args);
    };
  }
}

class OwnError extends Error {}

// Before anything is done

test("a signal that is aborted rejects any call with its reason, and nothing runs", async () => {
  await using db = await table();
  await using cursor = await db.execute(ENDLESS_ROWS);
  const reasons = [new Error("mine"), new OwnError("own"), "a string", null, 0, { any: "thing" }];
  for (const reason of reasons) {
    const options = { signal: AbortSignal.abort(reason) };
    for (const [name, call] of Object.entries(CALLS)) {
      assert.equal(await rejection(call(db, options), name), reason, name);
    }
    assert.equal(await rejection(db.commit(options)), reason);
    assert.equal(await rejection(db.transaction(options)), reason);
    assert.equal(await rejection(db.transaction(() => assert.fail("runs"), options)), reason);
    assert.equal(await rejection(connect(file(), options)), reason);
    assert.equal(await rejection(cursor.execute("SELECT 1", [], options)), reason);
  }
  assert.deepEqual(await values(db), []);
});

test("the reason is that of the runtime where none is given", async () => {
  await using db = await table();
  const aborted = { signal: AbortSignal.abort() };
  await assert.rejects(db.execute("SELECT 1", [], aborted), { name: "AbortError" });
  const timed = { signal: AbortSignal.timeout(20) };
  await assert.rejects(db.execute(ENDLESS, [], timed), { name: "TimeoutError" });
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

test("a transaction's calls reject with an aborted signal's reason; it goes on", async () => {
  await using db = await table();
  const reason = new Error("mine");
  const options = { signal: AbortSignal.abort(reason) };
  await db.transaction(async (tx) => {
    await tx.execute(INSERT, ["kept"]);
    for (const [name, call] of Object.entries(CALLS)) {
      assert.equal(await rejection(call(tx, options), `tx.${name}`), reason);
      assert.equal(await rejection(call(db, options), name), reason);
    }
    assert.equal(await rejection(tx.transaction(options)), reason);
    assert.equal(await rejection(tx.transaction(() => assert.fail("runs"), options)), reason);
    assert.equal(await rejection(db.transaction(options)), reason);
  });
  assert.deepEqual(await values(db), ["kept"]);
});

test("commit() with an aborted signal leaves the transaction open", async () => {
  const path = file();
  await using db = await table({ isolationLevel: "DEFERRED" }, path);
  await db.execute(INSERT, [1]);
  const options = { signal: AbortSignal.abort("no") };
  assert.equal(await rejection(db.commit(options)), "no");
  assert.equal(db.inTransaction, true);
  assert.deepEqual(await python(path, "SELECT x FROM t"), []);
  await db.commit();
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});

test("commit() with an aborted signal within a transaction's work does not commit", async () => {
  await using db = await table();
  const options = { signal: AbortSignal.abort("no") };
  await db.transaction(async (tx) => {
    await tx.execute(INSERT, [1]);
    assert.equal(await rejection(db.commit(options)), "no");
    assert.equal(tx.active, true);
    await tx.rollback();
  });
  assert.deepEqual(await values(db), []);
});

test("bad options reject with a ProgrammingError, and nothing runs", async () => {
  await using db = await table();
  const { signal } = new AbortController();
  const options = [
    { signal: 1 },
    { signal: null },
    { signal: {} },
    { signal, timeout: 1 },
    { sginal: signal },
    null,
    7,
    "abort",
  ];
  for (const bad of options as unknown as Options[]) {
    for (const [name, call] of Object.entries(CALLS)) {
      const error = await rejection(call(db, bad), `${name} with ${JSON.stringify(bad)}`);
      assert.ok(error instanceof ProgrammingError, `${name}: ${error}`);
    }
    const error = await rejection(db.commit(bad));
    assert.ok(error instanceof ProgrammingError, String(error));
  }
  for (const bad of [{ signal: 1 }, { signal: null }, { abort: signal }] as unknown as Options[]) {
    for (
      const call of [
        db.transaction(bad),
        db.transaction(() => assert.fail("runs"), bad),
        connect(file(), bad),
      ]
    ) {
      const error = await rejection(call);
      assert.ok(error instanceof ProgrammingError, String(error));
    }
  }
  assert.deepEqual(await values(db), []);
});

// In the queue

test("a call that is queued behind a long one rejects at once and never runs", async () => {
  await using db = await table();
  for (const [name, call] of Object.entries(CALLS)) {
    await using long = block(db);
    await begun();
    const controller = new AbortController();
    const queued = call(db, controller);
    await pause(2); // it has been sent
    await aborts(controller, queued, name);
    assert.equal(long.over, false);
    await long.end();
  }
  assert.deepEqual(await values(db), []);
});

test("so does one that is aborted in the same turn", async () => {
  await using db = await table();
  for (const [name, call] of Object.entries(CALLS)) {
    await using long = block(db);
    const controller = new AbortController();
    await aborts(controller, call(db, controller), name);
    assert.equal(long.over, false);
    await long.end();
  }
  assert.deepEqual(await values(db), []);
});

test("so do a transaction and its statements", async () => {
  await using db = await table();
  for (const form of ["handle", "work"]) {
    await using long = block(db);
    const controller = new AbortController();
    const queued = form === "handle"
      ? db.transaction(controller)
      : db.transaction(() => assert.fail("runs"), controller);
    await pause(2);
    await aborts(controller, queued, form);
    assert.equal(long.over, false);
    await long.end();
  }
  await db.transaction(async (tx) => {
    for (const [name, call] of Object.entries(CALLS)) {
      const controller = new AbortController();
      await using _long = block(tx);
      await aborts(controller, call(tx, controller), `tx.${name}`);
    }
  });
  assert.deepEqual(await values(db), []);
});

test("so do commit() and fetches, which leave the transaction and other rows alone", async () => {
  await using db = await table({ isolationLevel: "DEFERRED" });
  await db.execute(INSERT, [1]);
  for (const fetch of ["fetchOne", "fetchMany", "fetchAll"] as const) {
    const controller = new AbortController();
    const cursor = await db.execute(ENDLESS_ROWS, [], controller);
    const other = await db.execute(ENDLESS_ROWS);
    await using long = block(db);
    const queued = drain(cursor, fetch);
    await pause(2);
    await aborts(controller, queued, fetch);
    assert.equal(long.over, false);
    await long.end();
    assert.deepEqual(await other.fetchMany(3), [[1], [2], [3]]);
    await other.close();
  }
  await using long = block(db);
  const controller = new AbortController();
  const commit = db.commit(controller);
  await pause(2);
  await aborts(controller, commit, "commit");
  await long.end();
  assert.equal(db.inTransaction, true);
  await db.rollback();
  assert.deepEqual(await values(db), []);
});

test("one that is aborted in its own turn never runs, though nothing else is to be done", async () => {
  await using db = await table();
  for (let i = 0; i < 300; i++) {
    const controller = new AbortController();
    const call = db.execute(INSERT, ["never"], { signal: controller.signal });
    controller.abort(i);
    assert.equal(await call.then(() => "done", (error) => error), i);
  }
  assert.deepEqual(await values(db), []);
});

test("executeMany of an iterable that never yields rejects at once", async () => {
  await using db = await table();
  await db.transaction(async (tx) => {
    for (const executor of [db, tx]) {
      const controller = new AbortController();
      const silent = {
        [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }),
      };
      const call = executor.executeMany(INSERT, silent, controller);
      await pause(2);
      await aborts(controller, call);
    }
  });
  assert.deepEqual(await values(db), []);
});

test("executeMany stops in the middle of an endless iterable, and asks for no more", async () => {
  await using db = await table();
  for (const kind of ["sync", "async"]) {
    const controller = new AbortController();
    let made = 0;
    let finished = false;
    const endless = function* (): Generator<[string], void, void> {
      try {
        for (;; made++) yield ["x".repeat(100)];
      } finally {
        finished = true;
      }
    };
    const endlessAsync = async function* (): AsyncGenerator<[string], void, void> {
      yield* endless();
    };
    const call = db.transaction((tx) =>
      tx.executeMany(INSERT, kind === "sync" ? endless() : endlessAsync(), controller)
    );
    while (made < 5000) await pause(1);
    await aborts(controller, call, kind);
    await pause(20);
    const after = made;
    await pause(20);
    assert.equal(made, after, kind);
    assert.equal(finished, true, kind);
    assert.deepEqual(await values(db), [], kind);
  }
});

test("executeMany asks a slow iterable for no more once it is aborted", async () => {
  await using db = await table();
  const controller = new AbortController();
  let asked = 0;
  const slow = async function* (): AsyncGenerator<[number], void, void> {
    for (; asked < 1000; asked++) {
      yield [asked];
      await pause(1);
    }
  };
  const call = db.executeMany(INSERT, slow(), controller);
  while (asked < 5) await pause(1);
  await aborts(controller, call);
  const then = asked;
  await pause(50);
  assert.ok(asked <= then + 1, `asked ${asked - then} times more`);
  assert.deepEqual(await values(db), []);
});

// While it runs

test("a call that runs is stopped, and the connection usable at once", async () => {
  await using db = await table();
  for (const [name, call] of Object.entries(RUNNING)) {
    const controller = new AbortController();
    const running = call(db, controller);
    await begun();
    await aborts(controller, running, name);
    const start = performance.now();
    assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
    assert.ok(performance.now() - start < SOON, name);
    assert.equal(db.inTransaction, false, name);
  }
  assert.deepEqual(await values(db), []);
});

test("in a transaction as well, which goes on unless it was a write", async () => {
  await using db = await table();
  const names = Object.keys(RUNNING).filter((name) => !/writ|Many|Insert/.test(name));
  await db.transaction(async (tx) => {
    await tx.execute(INSERT, ["kept"]);
    for (const name of [...names, "fetchMany"]) {
      const controller = new AbortController();
      const running = RUNNING[name]!(tx, controller);
      await begun();
      await aborts(controller, running, `tx.${name}`);
    }
  });
  assert.deepEqual(await values(db), ["kept"]);
  // SQLite rolls the whole transaction back when it interrupts a write. That must not go unnoticed.
  const lost = db.transaction(async (tx) => {
    await tx.execute(INSERT, ["lost"]);
    const controller = new AbortController();
    const running = tx.execute(ENDLESS_INSERT, [], controller);
    await begun();
    await aborts(controller, running);
  });
  await assert.rejects(lost, OperationalError);
  assert.deepEqual(await values(db), ["kept"]);
});

test("only that call is hit: those queued and half-read results go on", async () => {
  await using db = await table();
  const bounded = `${NUMBERS} SELECT i FROM n LIMIT 50000`;
  for (const sql of [ENDLESS, ENDLESS_INSERT, ENDLESS_ROWS]) {
    const half = await db.execute(bounded);
    const read = await half.fetchMany(3);
    const loop = db.execute(bounded)[Symbol.asyncIterator]();
    const looped = [(await loop.next()).value];
    const own = new AbortController(); // a signal of its own, which is not aborted
    const signalled = await db.execute(bounded, [], own);
    const fetched = await signalled.fetchMany(3);
    const controller = new AbortController();
    const running = sql === ENDLESS_ROWS
      ? db.executeFetchAll(sql, [], controller)
      : db.execute(sql, [], controller);
    const behind = Array.from(
      { length: 200 },
      (_, i) => db.executeFetchOne("SELECT ?", [i], i % 2 ? own : undefined),
    );
    const rest = half.fetchMany(25_000); // queued as well
    await begun();
    await aborts(controller, running, sql);
    assert.deepEqual(await Promise.all(behind), Array.from({ length: 200 }, (_, i) => [i]));
    for (let step; !(step = await loop.next()).done;) looped.push(step.value);
    for (
      const rows of [
        read.concat(await rest, await half.fetchAll()),
        fetched.concat(await signalled.fetchAll()),
        looped,
      ]
    ) {
      assert.equal(rows.length, 50_000);
      assert.ok(rows.every((row, i) => row![0] === i + 1));
    }
  }
  assert.deepEqual(await values(db), []);
});

test("a loop over rows ends with the reason at its next step, rows that came in or not", async () => {
  await using db = await table();
  const controller = new AbortController();
  let rows = 0;
  const reason = new Error("mine");
  const loop = async () => {
    for await (const _ of db.execute(ENDLESS_ROWS, [], controller)) {
      if (++rows === 100) controller.abort(reason);
    }
  };
  assert.equal(await rejection(loop()), reason);
  assert.equal(rows, 100);
  // No lock is left behind.
  await db.execute("DROP TABLE t");
});

test("a half-read result ends with its signal, the cursor is good for another", async () => {
  await using db = await table();
  for (const fetch of ["fetchOne", "fetchMany", "fetchAll"] as const) {
    const controller = new AbortController();
    const cursor = await db.execute(ENDLESS_ROWS, [], controller);
    assert.deepEqual(await cursor.fetchOne(), [1]);
    controller.abort("over");
    assert.equal(await rejection(cursor[fetch]()), "over");
    await cursor.execute("SELECT 7");
    assert.deepEqual(await cursor.fetchAll(), [[7]]);
    await cursor.close();
  }
});

test("a loop over a result that its signal has ended gets no row that is none", async () => {
  await using db = await table();
  const controller = new AbortController();
  const cursor = await db.execute(`${ENDLESS_ROWS} LIMIT 500`, [], controller);
  assert.deepEqual(await cursor.fetchOne(), [1]);
  controller.abort("over");
  const rows: unknown[] = [];
  const loop = async () => {
    for await (const row of cursor) rows.push(row);
  };
  assert.equal(await rejection(loop()), "over");
  await loop().catch((error) => assert.equal(error, "over"));
  assert.deepEqual(rows, []);
});

test("of 1,000 in flight the one that is aborted is the one that rejects", async () => {
  await using db = await table({}, ":memory:");
  for (const which of [0, 1, 500, 999]) {
    await using long = block(db);
    const controllers = Array.from({ length: 1000 }, () => new AbortController());
    const calls = controllers.map((controller, i) => db.execute(INSERT, [i], controller));
    const settled = Promise.allSettled(calls);
    await aborts(controllers[which]!, calls[which]!);
    await long.end();
    const rejected = (await settled).flatMap(({ status }, i) => status === "rejected" ? [i] : []);
    assert.deepEqual(rejected, [which]);
    const expected = Array.from({ length: 1000 }, (_, i) => i).filter((i) => i !== which);
    assert.deepEqual(await values(db), expected);
    await db.execute("DELETE FROM t");
  }
});

test("one signal for 1,000 calls: those that have run stay, the others never run", async () => {
  await using db = await table({}, ":memory:");
  const controller = new Heard();
  const calls = Array.from({ length: 1000 }, (_, i) => db.execute(INSERT, [i], controller));
  await calls[200];
  const start = performance.now();
  controller.abort("all");
  const settled = await ends(Promise.allSettled(calls));
  assert.ok(performance.now() - start < SOON);
  const kept = settled.flatMap(({ status }, i) => status === "fulfilled" ? [i] : []);
  assert.ok(kept.length > 200);
  assert.deepEqual(await values(db), kept);
  for (const one of settled) if (one.status === "rejected") assert.equal(one.reason, "all");
  assert.equal(controller.listeners, 0);
});

test("aborting 20,000 queued calls at once does not hold up the event loop", LONG, async () => {
  await using db = await table({}, ":memory:");
  await using long = block(db);
  // Each with a signal of its own: with so many listeners to one, Node itself gets slow.
  const controllers = Array.from({ length: 20_000 }, () => new AbortController());
  const calls = controllers.map((controller, i) => db.execute(INSERT, [i], controller));
  const settled = Promise.allSettled(calls);
  await begun();
  const start = performance.now();
  for (const controller of controllers) controller.abort("all");
  for (const { status } of await settled) assert.equal(status, "rejected");
  await long.end();
  assert.deepEqual(await values(db), []);
  const took = performance.now() - start;
  assert.ok(took < 1000, `${took} ms`);
});

test("fetchMany() that is aborted rejects, and does not look like it came to the end", async () => {
  await using db = await table();
  const controller = new AbortController();
  const cursor = await db.execute(ENDLESS_ROWS, [], controller);
  assert.deepEqual(await cursor.fetchOne(), [1]); // and more rows have come in
  await using _long = block(db);
  const queued = cursor.fetchMany(100_000);
  await pause(2);
  await aborts(controller, queued);
});

test("an INSERT is there if it fulfils and not if it rejects, whenever it is aborted", async () => {
  await using db = await connect(file(), OPTIONS);
  // So many instructions in a row that SQLite looks for its progress handler after the commit.
  const columns = Array.from({ length: 1000 }, (_, i) => `c${i}`);
  await db.execute(`CREATE TABLE wide (${columns})`);
  const sql = `INSERT INTO wide VALUES (?, ${columns.slice(1).map(() => "abs(random()) % 7 + 1")})`;
  const kept: number[] = [];
  for (let i = 0; i < 100; i++) {
    const controller = new AbortController();
    const call = db.executeInsert(sql, [i], controller).then(() => kept.push(i), (error) => {
      assert.equal(error, controller);
    });
    await null; // it has been sent
    const until = performance.now() + Math.random() * 4;
    while (performance.now() < until);
    controller.abort(controller);
    await call;
  }
  const there = (await db.executeFetchAll("SELECT c0 FROM wide ORDER BY rowid")).flat();
  assert.deepEqual(there, kept);
});

// In the line for a transaction

test("a call that waits for a transaction to end rejects at once and never runs", async () => {
  await using db = await table();
  const before = await db.execute(ENDLESS_ROWS, []);
  await before.fetchMany(1);
  const tx = await db.transaction({ mode: "IMMEDIATE" });
  await tx.execute(INSERT, ["tx"]);
  const waits = {
    ...CALLS,
    commit: (_: Executor, options: Options) => db.commit(options),
    "transaction, handle": (_: Executor, options: Options) => db.transaction(options),
    "transaction, work": (_: Executor, options: Options) =>
      db.transaction(() => assert.fail("runs"), options),
  };
  for (const when of ["at once", "later"]) {
    for (const [name, call] of Object.entries(waits)) {
      const controller = new AbortController();
      const waiting = call(db, controller);
      if (when === "later") await pause(1);
      await aborts(controller, waiting, name);
    }
  }
  assert.equal(tx.active, true);
  await tx.commit();
  assert.deepEqual(await values(db), ["tx"]);
});

test("so does a fetch that waits for a transaction to end; other cursors go on", async () => {
  await using db = await table();
  for (const fetch of ["fetchOne", "fetchMany", "fetchAll"] as const) {
    const controller = new AbortController();
    const cursor = await db.execute(ENDLESS_ROWS, [], controller);
    const other = await db.execute(ENDLESS_ROWS);
    const tx = await db.transaction();
    const waiting = drain(cursor, fetch);
    const rest = other.fetchMany(50_000);
    await pause(2);
    await aborts(controller, waiting, fetch);
    await tx.rollback();
    const rows = await rest;
    assert.ok(rows.length === 50_000 && rows.every((row, i) => row[0] === i + 1));
    await other.close();
  }
});

test("who leaves the line lets through who came after", async () => {
  await using db = await table();
  await db.execute("BEGIN");
  const controller = new AbortController();
  const waiting = db.transaction(controller); // only a transaction waits for such a one
  const refused = rejection(waiting);
  await pause(2);
  controller.abort("gone");
  assert.equal(await refused, "gone");
  await db.execute("COMMIT");
  // And it has left nothing behind: neither the place in line nor the lock.
  assert.equal(await ends(db.transaction(() => 7)), 7);
});

// At another connection's lock

test("a wait for another connection's lock ends at once", async () => {
  const path = file();
  await using db = await table({}, path);
  await using other = await connect(path, OPTIONS);
  await other.execute("BEGIN IMMEDIATE");
  const waits: typeof CALLS = {
    execute: CALLS.execute!,
    executeMany: CALLS.executeMany!,
    executeScript: CALLS.executeScript!,
    executeInsert: CALLS.executeInsert!,
    executeFetchAll: CALLS.executeFetchAll!,
    "for await": CALLS["for await"]!,
    "cursor.execute": CALLS["cursor.execute"]!,
    "transaction, handle": (_, options) =>
      db.transaction({ mode: "IMMEDIATE", signal: options.signal }),
    "transaction, work": (_, options) =>
      db.transaction(() => assert.fail("runs"), { mode: "EXCLUSIVE", signal: options.signal }),
    "in a transaction": (_, options) => db.transaction((tx) => tx.execute(INSERT, [1], options)),
    "of a transaction": (_, options) => db.transaction((tx) => tx.execute(INSERT, [1]), options),
  };
  for (const [name, call] of Object.entries(waits)) {
    const controller = new AbortController();
    const waiting = call(db, controller);
    const behind = db.executeFetchOne("SELECT 7");
    await begun();
    await aborts(controller, waiting, name);
    assert.deepEqual(await ends(behind, `behind ${name}`), [7]);
    assert.equal(db.inTransaction, false, name);
  }
  await other.execute("COMMIT");
  await db.execute(INSERT, ["after"]);
  assert.deepEqual(await values(db), ["after"]);
});

/** A reader that holds its lock, and a way to wait until a COMMIT waits for it. */
async function reader(path: string): Promise<AsyncDisposable & { awaited(): Promise<void> }> {
  const db = await connect(path, { ...OPTIONS, timeout: 0 });
  await db.execute("BEGIN");
  await values(db);
  return {
    async awaited() {
      // Who waits with a COMMIT lets no further reader in.
      await using probe = await connect(path, { ...OPTIONS, timeout: 0 });
      for (;;) {
        try {
          await values(probe);
        } catch (error) {
          assert.ok(error instanceof OperationalError && error.code === "SQLITE_BUSY");
          return;
        }
        await pause(2);
      }
    },
    [Symbol.asyncDispose]: () => db.close(),
  };
}

test("a COMMIT that waits for readers ends at once, and is rolled back", LONG, async () => {
  const path = file();
  await using db = await table({}, path);
  for (const form of ["handle", "work", "statement"]) {
    await using held = await reader(path);
    const controller = new AbortController();
    let call: Promise<unknown>;
    if (form === "handle") {
      const tx = await db.transaction(controller);
      await tx.execute(INSERT, [form]);
      call = tx.commit();
    } else if (form === "work") {
      call = db.transaction((tx) => tx.execute(INSERT, [form]), controller);
    } else call = db.executeInsert(INSERT, [form], controller);
    const behind = db.executeFetchOne("SELECT 7");
    await held.awaited();
    await aborts(controller, call, form);
    assert.deepEqual(await ends(behind), [7]);
    assert.equal(db.inTransaction, false, form);
    assert.deepEqual(await values(db), [], form);
  }
  await db.execute(INSERT, ["after"]);
  assert.deepEqual(await values(db), ["after"]);
});

test("commit() that waits for readers ends at once, the transaction stays open", LONG, async () => {
  const path = file();
  await using db = await table({ isolationLevel: "DEFERRED" }, path);
  await db.execute(INSERT, [1]);
  {
    await using held = await reader(path);
    const controller = new AbortController();
    const commit = db.commit(controller);
    await held.awaited();
    await aborts(controller, commit);
    assert.equal(db.inTransaction, true);
  }
  await db.commit();
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});

// Statements that both threads keep

test("a text first seen in a call that was cancelled in the queue works later", async () => {
  for (const cachedStatements of [0, 1, 2, 128]) {
    await using db = await table({ cachedStatements });
    for (let i = 0; i < 5; i++) {
      const sql = `SELECT ${i}, ?`;
      const many = `INSERT INTO t SELECT ${i} WHERE ?`;
      await using long = block(db);
      const controller = new AbortController();
      const cancelled = [
        rejection(db.execute(sql, [1], controller)),
        rejection(db.executeMany(many, [[1]], controller)),
      ];
      const kept = db.executeFetchAll(sql, [2]);
      await pause(1);
      controller.abort("no");
      assert.deepEqual(await Promise.all(cancelled), ["no", "no"]);
      await long.end();
      assert.deepEqual(await kept, [[i, 2]]);
      const cursor = await db.execute(sql, [3]);
      assert.deepEqual(await cursor.fetchAll(), [[i, 3]]);
      assert.deepEqual(cursor.description!.map(({ name }) => name), [String(i), "?"]);
      assert.equal((await db.executeMany(many, [[1], [0], [1]])).rowCount, 2);
    }
    assert.deepEqual(await values(db), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
  }
});

test("texts go in and out of the cache amid random cancels", async () => {
  for (const cachedStatements of [1, 2, 3]) {
    await using db = await table({ cachedStatements });
    const answers: Promise<void>[] = [];
    for (let i = 0; i < 1500; i++) {
      const text = Math.floor(Math.random() * 5);
      const controller = new AbortController();
      const signalled = Math.random() < 0.6 ? controller : undefined;
      const sql = `SELECT ${text} AS column_${text}, ?`;
      answers.push((async () => {
        try {
          const cursor = await db.execute(sql, [i], signalled);
          assert.deepEqual(cursor.description![0]!.name, `column_${text}`);
          assert.deepEqual(await cursor.fetchAll(), [[text, i]]);
        } catch (error) {
          if (error !== controller) throw error;
        }
      })());
      const how = Math.random();
      if (how < 0.2) controller.abort(controller);
      else if (how < 0.4) queueMicrotask(() => controller.abort(controller));
      else if (how < 0.6) setTimeout(() => controller.abort(controller), Math.random() * 10);
      if (Math.random() < 0.02) await pause(1);
    }
    await Promise.all(answers);
  }
});

// Once a call is done

test("a signal that is aborted when the call is done changes nothing", async () => {
  const path = file();
  const controller = new AbortController();
  await using db = await connect(path, { ...OPTIONS, signal: controller.signal });
  await db.execute("CREATE TABLE t (x)", [], controller);
  await db.execute(INSERT, [1], controller);
  await db.executeMany(INSERT, [[2], [3]], controller);
  await db.transaction((tx) => tx.execute(INSERT, [4], controller), controller);
  const tx = await db.transaction(controller);
  await tx.execute(INSERT, [5], controller);
  await tx.commit();
  const cursor = await db.execute("SELECT x FROM t", [], controller);
  assert.equal((await cursor.fetchAll()).length, 5);
  const running = db.executeFetchOne(
    `${NUMBERS} SELECT count(*) FROM (SELECT 1 FROM n LIMIT 1000000)`,
  );
  controller.abort("late");
  assert.deepEqual(await running, [1_000_000]);
  assert.deepEqual(await cursor.fetchAll(), []);
  assert.deepEqual(await values(db), [1, 2, 3, 4, 5]);
  assert.equal(await db.transaction((tx) => tx.executeInsert(INSERT, [6])), 6);
});

test("no call leaves a listener behind", async () => {
  const controller = new Heard();
  const path = file();
  await using db = await connect(path, { ...OPTIONS, signal: controller.signal });
  const quiet = (what: string) => assert.equal(controller.listeners, 0, what);
  quiet("connect");
  await db.execute("CREATE TABLE t (x)");
  for (const [name, call] of Object.entries(CALLS)) {
    if (!name.includes("stuck")) await call(db, controller);
    quiet(name);
  }
  await assert.rejects(db.execute("SELECT * FROM missing", [], controller));
  quiet("failure");
  await assert.rejects(connect("/nowhere/at/all", { signal: controller.signal }));
  quiet("connect, failure");
  const cursor = await db.execute(`${ENDLESS_ROWS} LIMIT 100000`, [], controller);
  for (let rows = 1; rows < 100_000; rows *= 4) await cursor.fetchMany(rows);
  await cursor.close(); // until then it hears, for its lock to be let go
  quiet("fetchMany");
  await db.commit(controller);
  quiet("commit");
  await db.transaction((tx) => tx.execute(INSERT, [1], controller), controller);
  quiet("transaction");
  await assert.rejects(db.transaction(() => Promise.reject(new Error("mine")), controller));
  quiet("transaction, failure");
  for (const how of ["commit", "rollback"] as const) {
    const tx = await db.transaction(controller);
    const inner = await tx.transaction(controller);
    await inner[how]();
    await tx.transaction((inner) => inner.execute(INSERT, [1], controller), controller);
    await tx[how]();
    quiet(`transaction, ${how}`);
  }
  {
    await using _undone = await db.transaction(controller);
  }
  quiet("transaction, disposed of");
  const tx = await db.transaction();
  const behind = Promise.all([
    db.execute(INSERT, [1], controller),
    db.transaction(() => {}, controller),
  ]);
  await assert.rejects(db.transaction({ timeout: 1, signal: controller.signal }));
  assert.ok(controller.listeners > 0); // or this would be no count
  await tx.rollback();
  await behind;
  quiet("waiting in line");
});

test("nor does a nested transaction that the outer one ends", async () => {
  const controller = new Heard();
  await using db = await table();
  const outer = await db.transaction();
  const inner = await outer.transaction(controller);
  assert.equal(inner.active, true);
  await outer.rollback();
  assert.equal(inner.active, false);
  assert.equal(controller.listeners, 0);
});

test("nor does a transaction that close() ends", async () => {
  const controller = new Heard();
  const db = await table();
  const tx = await db.transaction(controller);
  await db.close();
  assert.equal(tx.active, false);
  assert.equal(controller.listeners, 0);
});

// Transactions

test("abort rolls back at once, whatever work waits for; the next in line gets in", async () => {
  await using db = await table();
  const controller = new AbortController();
  const reason = new OwnError("enough");
  const entered = Promise.withResolvers<void>();
  const call = db.transaction(async (tx) => {
    await tx.execute(INSERT, ["undone"]);
    entered.resolve();
    await new Promise(() => {}); // has nothing to do with the database
  }, controller);
  await entered.promise;
  const next = [
    db.execute(INSERT, ["next"]),
    db.transaction((tx) => tx.execute(INSERT, ["next transaction"])),
  ];
  await aborts(controller, call, "transaction", reason);
  await ends(Promise.all(next), "the next in line");
  assert.equal(db.inTransaction, false);
  assert.deepEqual(await values(db), ["next", "next transaction"]);
});

test("what an aborted transaction's work still does rejects, and changes nothing", async () => {
  await using db = await table();
  const controller = new AbortController();
  const reason = new OwnError("enough");
  const entered = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const reports: unknown[] = [];
  const note = async (call: () => PromiseLike<unknown>) => {
    try {
      await call();
      reports.push("fulfilled");
    } catch (error) {
      reports.push(error);
    }
  };
  const all: Promise<void>[] = [];
  const fresh = { signal: new AbortController().signal };
  const call = db.transaction(async (tx) => {
    await tx.execute(INSERT, ["undone"]);
    const child = go.promise.then(async () => {
      await note(() => db.execute(INSERT, ["child"]));
      await note(() => tx.execute(INSERT, ["child"]));
    });
    const timer = Promise.withResolvers<void>();
    go.promise.then(() =>
      setTimeout(() => note(() => db.executeInsert(INSERT, ["timer"])).then(timer.resolve), 1)
    );
    entered.resolve();
    await go.promise;
    for (const executor of [tx, db]) {
      for (const [name, call] of Object.entries(CALLS)) {
        if (!name.includes("stuck")) await note(() => call(executor, fresh));
      }
      await note(() => executor.transaction());
      await note(() => executor.transaction(() => executor.execute(INSERT, ["nested"])));
      await note(() => executor.commit());
      await note(() => executor.rollback());
    }
    await note(() => tx.savepoint("s"));
    await note(() => tx.rollbackTo("s"));
    all.push(child, timer.promise);
    return "done";
  }, controller);
  await entered.promise;
  await aborts(controller, call, "transaction", reason);
  await db.execute(INSERT, ["outside"]);
  await db.execute("BEGIN"); // which what is left of work must not commit
  go.resolve();
  while (all.length === 0) await pause(1);
  await Promise.all(all);
  assert.equal(reports.length, 2 * (Object.keys(CALLS).length - 1 + 4) + 2 + 3);
  for (const [i, report] of reports.entries()) assert.equal(report, reason, `report ${i}`);
  assert.equal(db.inTransaction, true);
  await db.execute("ROLLBACK");
  assert.deepEqual(await values(db), ["outside"]);
});

test("rows that are being read in an aborted transaction end with the reason", async () => {
  await using db = await table();
  const reason = new OwnError("enough");
  for (const form of ["loop", "fetchOne", "fetchMany", "fetchAll"] as const) {
    const controller = new AbortController();
    const inner = Promise.withResolvers<unknown>();
    const call = db.transaction(async (tx) => {
      try {
        const cursor = await tx.execute(ENDLESS_ROWS);
        await cursor.fetchOne();
        if (form === "loop") {
          for await (const [i] of cursor) if (i === 100) controller.abort(reason);
        } else {
          controller.abort(reason);
          await cursor[form]();
        }
        inner.resolve("no error");
      } catch (error) {
        inner.resolve(error);
      }
    }, controller);
    assert.equal(await rejection(call), reason);
    assert.equal(await ends(inner.promise), reason, form);
  }
});

test("a statement of an aborted transaction that runs, or is queued, ends with it", async () => {
  await using db = await table();
  for (const form of ["work", "handle"]) {
    const controller = new AbortController();
    const other = new AbortController(); // calls may have one of their own besides
    const tx = await db.transaction(controller);
    const calls = {
      running: tx.execute(ENDLESS, [], form === "work" ? other : undefined),
      queued: tx.execute(INSERT, [1]),
      "queued, own signal": tx.execute(INSERT, [1], other),
      "queued many": tx.executeMany(INSERT, [[1]]),
    };
    const rejected = Object.entries(calls).map(async ([name, call]) => {
      assert.equal(await rejection(call, name), "enough", name);
    });
    await begun();
    controller.abort("enough");
    await Promise.all(rejected);
    assert.deepEqual(await values(db), []);
  }
});

test("so does an executeMany whose iterable is stuck, begun before or after", async () => {
  await using db = await table();
  const controller = new AbortController();
  const tx = await db.transaction(controller);
  const before = tx.executeMany(INSERT, stuck());
  await pause(1);
  await aborts(controller, before, "begun before");
  const after = await rejection(tx.executeMany(INSERT, stuck()), "begun after");
  assert.equal(after, controller.signal.reason);
});

test("an aborted handle has ended, and is disposed of without ado", async () => {
  await using db = await table();
  const controller = new AbortController();
  {
    await using tx = await db.transaction(controller);
    await tx.execute(INSERT, ["undone"]);
    controller.abort("enough");
    assert.equal(tx.active, false);
    for (const [name, call] of Object.entries(CALLS)) {
      if (name.includes("stuck")) continue;
      const late = (async () => await call(tx, new AbortController()))(); // cursor() throws
      assert.equal(await rejection(late, name), "enough", name);
    }
    assert.equal(await rejection(tx.commit()), "enough");
    assert.equal(await rejection(tx.rollback()), "enough");
    assert.equal(await rejection(tx.transaction()), "enough");
    assert.throws(() => tx.cursor(), (error) => error === "enough");
    await db.execute(INSERT, ["outside"]);
  }
  assert.deepEqual(await values(db), ["outside"]);
});

test("an abort around COMMIT: committed and fulfilled, or rolled back and rejected", async () => {
  await using db = await table();
  const outcomes = { fulfilled: new Set<number>(), rejected: new Set<number>() };
  const attempt = async (i: number, chance: number) => {
    const controller = new AbortController();
    const call = db.transaction(async (tx) => {
      await tx.execute(INSERT, [i]);
      await tx.execute(INSERT, [i]);
      // From here on, at any moment: a few steps of microtasks, or a few of the event loop.
      const abort = () => controller.abort(i);
      if (chance < 0.5) setTimeout(abort, chance * 4);
      else if (chance < 0.75) setImmediate(abort);
      else {
        (async () => {
          for (let step = 0; step < (chance - 0.75) * 80; step++) await null;
          abort();
        })();
      }
    }, controller);
    try {
      await call;
      outcomes.fulfilled.add(i);
    } catch (error) {
      assert.equal(error, i);
      outcomes.rejected.add(i);
    }
    assert.equal(controller.signal.aborted || outcomes.fulfilled.has(i), true);
  };
  for (let i = 1; i <= 250; i++) await attempt(i, Math.random());
  const there = (await db.executeFetchAll("SELECT x, count(*) FROM t GROUP BY x")) as number[][];
  assert.deepEqual(there.map(([x]) => x), [...outcomes.fulfilled]);
  assert.ok(there.every(([, count]) => count === 2));
  assert.equal(outcomes.fulfilled.size + outcomes.rejected.size, 250);
  // Both must have been met, or nothing has been tested.
  assert.ok(outcomes.fulfilled.size > 0 && outcomes.rejected.size > 0);
});

test("a nested transaction that is aborted leaves the outer one usable", async () => {
  await using db = await table();
  await db.transaction(async (outer) => {
    await outer.execute(INSERT, ["outer 1"]);
    for (const form of ["work", "handle", "running"]) {
      const controller = new AbortController();
      const entered = Promise.withResolvers<void>();
      let call: Promise<unknown>;
      if (form === "handle") {
        const inner = await outer.transaction(controller);
        await inner.execute(INSERT, ["inner"]);
        call = (async () => {
          while (inner.active) await pause(1);
          await inner.commit();
        })();
      } else {
        call = outer.transaction(async (inner) => {
          await inner.execute(INSERT, ["inner"]);
          entered.resolve();
          await (form === "running" ? inner.execute(ENDLESS) : new Promise(() => {}));
        }, controller);
        await entered.promise;
        await begun();
      }
      const next = outer.execute(INSERT, [`after ${form}`]);
      await aborts(controller, call, form);
      await ends(next);
      assert.equal(outer.active, true);
    }
  });
  const expected = ["outer 1", "after work", "after handle", "after running"];
  assert.deepEqual(await values(db), expected);
});

test("aborting the outer transaction ends the nested one", async () => {
  await using db = await table();
  const controller = new AbortController();
  const own = new AbortController();
  const reason = new OwnError("enough");
  const entered = Promise.withResolvers<void>();
  let inside!: Promise<unknown>;
  const call = db.transaction(async (outer) => {
    await outer.execute(INSERT, ["outer"]);
    inside = rejection(outer.transaction(async (inner) => {
      await inner.execute(INSERT, ["inner"]);
      entered.resolve();
      await inner.execute(ENDLESS);
    }, own));
    await inside;
    assert.equal(await rejection(outer.execute(INSERT, ["late"])), reason);
    assert.equal(await rejection(db.execute(INSERT, ["late"])), reason);
  }, controller);
  await entered.promise;
  const next = db.execute(INSERT, ["next"]);
  await begun();
  await aborts(controller, call, "outer", reason);
  assert.equal(await ends(inside, "the inner one"), reason);
  await ends(next);
  assert.deepEqual(await values(db), ["next"]);
});

// Opening

test(
  "connect() that is aborted leaks neither descriptors nor threads nor locks",
  LONG,
  async () => {
    const path = file();
    await (await table({}, path)).close();
    const source = `
import { readdirSync, readlinkSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
const [path] = args;
const linux = process.platform === "linux";
const names = () => linux ? readdirSync("/proc/self/fd").flatMap((fd) => {
  try { return [readlinkSync("/proc/self/fd/" + fd)]; } catch { return []; }
}) : [];
const threads = () => linux ? readdirSync("/proc/self/task").length : 0;
const outcomes = { fulfilled: 0, rejected: 0, wrong: 0 };
async function attempt(when) {
  const controller = new AbortController();
  const call = aiosqlite.connect(path, { signal: controller.signal });
  if (when < 1) controller.abort(when);
  else if (when < 2) queueMicrotask(() => controller.abort(when));
  else if (when < 3) setImmediate(() => controller.abort(when));
  else setTimeout(() => controller.abort(when), (when - 3) * took);
  try {
    const db = await call;
    const [one] = await db.executeFetchOne("SELECT 1");
    if (one !== 1) outcomes.wrong++;
    await db.close();
    outcomes.fulfilled++;
  } catch (error) {
    if (error === when) outcomes.rejected++;
    else outcomes.wrong++;
  }
}
async function round(many) {
  await Promise.all(Array.from({ length: many }, () => attempt(Math.random() * 6)));
}
// Warm threads end a second after their last connection.
async function settle(fds, tasks) {
  for (const end = performance.now() + 8000; performance.now() < end;) {
    await pause(100);
    if (names().length <= fds && threads() <= tasks) return true;
  }
  return false;
}
// What a runtime keeps for good it has after these, and they tell how late an abort is too late.
const opening = performance.now();
await Promise.all(Array.from({ length: 8 }, () => aiosqlite.connect(path).then((db) => db.close())));
const took = performance.now() - opening;
await pause(1500);
const before = [names().length, threads()];
for (let i = 0; i < 15; i++) await round(8);
const settled = await settle(before[0] + 3, before[1] + 2);
const ours = names().filter((name) => name.startsWith(path)).length;
const lock = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0);" +
  "c.isolation_level = None; c.execute('BEGIN EXCLUSIVE'); print('locked')";
const locked = String(spawnSync("python3", ["-c", lock, path]).stdout).trim();
console.log(JSON.stringify(
  { settled, ours, locked, before, after: [names().length, threads()], ...outcomes },
));
`;
    const ended = await program(source, [path]);
    assert.equal(ended.code, 0, ended.stderr);
    const report = JSON.parse(ended.stdout);
    assert.equal(report.settled, true, ended.stdout);
    assert.equal(report.ours, 0, ended.stdout);
    assert.equal(report.locked, "locked", ended.stdout);
    assert.deepEqual([report.wrong, report.fulfilled + report.rejected], [0, 120], ended.stdout);
    assert.ok(report.fulfilled > 0 && report.rejected > 0, ended.stdout);
  },
);

// Everything at once

test("a storm of 800 aborts: no wrong answer, no lost or unwanted row", LONG, async () => {
  const path = file();
  const writers = [await table({}, path), await table({}, path)];
  const reads = await connect(path, OPTIONS);
  await reads.execute("PRAGMA journal_mode = WAL");
  const kept = new Set<number>();
  const late: number[] = [];
  let lastId = 0;
  let aborted = 0;
  let rejected = 0;

  const insert = async (db: Connection, options: Options) => {
    const id = ++lastId;
    await db.execute(INSERT, [id], options);
    kept.add(id);
  };
  const transaction = async (db: Connection, options: Options) => {
    const ids = [++lastId, ++lastId, ++lastId];
    await db.transaction(async (tx) => {
      await tx.execute(INSERT, [ids[0]!]);
      const rows: unknown[] = [];
      for await (const [x] of tx.execute("SELECT x FROM t WHERE x = ?", [ids[0]!])) rows.push(x);
      assert.deepEqual(rows, [ids[0]]);
      await db.executeMany(INSERT, [[ids[1]!], [ids[2]!]]);
    }, { mode: "IMMEDIATE", signal: options.signal });
    for (const id of ids) kept.add(id);
  };
  const count = async (db: Connection, options: Options) => {
    const length = 1 + Math.floor(Math.random() * 20_000);
    const sql = `${NUMBERS} SELECT count(*), sum(i) FROM (SELECT i FROM n LIMIT ?)`;
    const row = await db.executeFetchOne(sql, [length], options);
    assert.deepEqual(row, [length, length * (length + 1) / 2]);
  };
  const iterate = async (db: Connection, options: Options) => {
    const length = 1 + Math.floor(Math.random() * 3000);
    let next = 1;
    for await (const [i] of db.execute(`${ENDLESS_ROWS} LIMIT ?`, [length], options)) {
      assert.equal(i, next++);
    }
    assert.equal(next, length + 1);
  };
  const look = async (db: Connection, options: Options) => {
    const there = new Set((await db.executeFetchAll("SELECT x FROM t", [], options)).flat());
    const [total] = [there.size];
    assert.ok(total <= lastId);
  };

  const one = async () => {
    const choice = Math.random();
    const db = writers[Math.floor(Math.random() * 2)]!;
    const controller = new AbortController();
    const reason = {};
    let at = 0;
    const abort = () => {
      at = performance.now();
      aborted++;
      controller.abort(reason);
    };
    const call = choice < 0.3
      ? insert(db, controller)
      : choice < 0.5
      ? transaction(db, controller)
      : choice < 0.7
      ? count(Math.random() < 0.5 ? db : reads, controller)
      : choice < 0.9
      ? iterate(reads, controller)
      : look(reads, controller);
    const timer = setTimeout(abort, Math.random() ** 2 * 30);
    if (Math.random() < 0.1) abort();
    try {
      await call;
    } catch (error) {
      if (error !== reason) throw error;
      rejected++;
      late.push(performance.now() - at);
    } finally {
      clearTimeout(timer);
    }
  };
  const many = async () => {
    while (aborted < 800) await one();
  };
  await Promise.all(Array.from({ length: 24 }, many));

  assert.ok(rejected > 200 && kept.size > 40, `${rejected} rejected, ${kept.size} kept`);
  for (const db of [...writers, reads]) {
    assert.equal(db.inTransaction, false);
    assert.equal(await db.transaction(() => 7), 7); // nothing is held or left in line
    assert.deepEqual(await db.executeFetchOne("SELECT count(*) FROM t"), [kept.size]);
    await db.close();
  }
  const there = (await python(path, "SELECT x FROM t ORDER BY x")).flat();
  assert.deepEqual(there, [...kept].sort((a, b) => a - b));
  assert.deepEqual(await python(path, "PRAGMA integrity_check"), [["ok"]]);
  late.sort((a, b) => a - b);
  const p99 = late[Math.floor(late.length * 0.99)]!;
  assert.ok(p99 < 500, `p99 ${p99} ms`);
});
