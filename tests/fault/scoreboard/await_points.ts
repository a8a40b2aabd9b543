/**
 * S13: cancels each operation at every point where it waits.
 *
 * One run cancels at one point. The points of an operation are tried in turn until it is through
 * before its point has come, several times in a row: then there are no further ones. There are
 * three kinds of them:
 * - so many turns of the microtask queue after the start,
 * - so many turns of the event loop after it, and from some on milliseconds,
 * - so many microtasks after the driver has added or removed its nth listener at the signal, which
 *   it does as calls are sent and answered: these are the points that chance hardly ever hits.
 *
 * @module
 */
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { connect, type Connection } from "../../../mod.ts";
import { count, handles, NUMBERS, pause, report, until } from "./measure.ts";

/** What this program finds. */
export interface Report {
  /** Points tried, by operation. */
  points: Record<string, number>;
  /** Runs that the abort cut short, and runs that were through first, by operation. */
  cancelled: Record<string, number>;
  through: Record<string, number>;
  wrong: string[];
  /** Once all is closed: files open of the database, and threads more than before. */
  handles: number;
  threads: number;
}

/** An operation. Returns how many pairs of rows it has added. */
type Work = (signal: AbortSignal) => Promise<number>;

/** When to abort: `wait` settles then; or never. */
type Point = readonly [name: string, wait: (signal: AbortSignal) => Promise<void>];

const [path = "", size = "quick"] = process.argv.slice(2);
const full = size === "full";
const MICROTASKS = full ? 60 : 40;
const TURNS = full ? 60 : 12;
const LISTENERS = full ? 24 : 12;
const AFTER = full ? 12 : 6;
/** How often a query that is to take a while reads a table. */
const AGAIN = full ? "big AS again" : "(SELECT 1 FROM big LIMIT 200)";
/** After so many runs in a row that were through before their point, there are no more points. */
const THROUGH = 3;
/** Likewise for series of points: each then begins after the operation is over. */
const OVER = full ? Infinity : 2;

const found: Report = {
  points: {},
  cancelled: {},
  through: {},
  wrong: [],
  handles: NaN,
  threads: NaN,
};

async function microtasks(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await null;
}

function afterMicrotasks(turns: number): Point {
  return [`${turns} microtasks`, () => microtasks(turns)];
}

function afterTurns(turns: number, then: number): Point {
  return [`${turns} turns, ${then} microtasks`, async () => {
    for (let i = 0; i < turns; i++) await turn();
    await microtasks(then);
  }];
}

function afterMilliseconds(milliseconds: number): Point {
  return [`${milliseconds} ms`, () => pause(milliseconds)];
}

function afterListener(nth: number, then: number): Point {
  return [`listener ${nth}, ${then} microtasks`, (signal) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let calls = 0;
    const { addEventListener, removeEventListener } = signal;
    const counts = <F extends (...args: never[]) => void>(method: F): F => {
      const counting = (...args: never[]) => {
        method.apply(signal, args);
        if (++calls === nth) microtasks(then).then(resolve);
      };
      return counting as F;
    };
    signal.addEventListener = counts(addEventListener);
    signal.removeEventListener = counts(removeEventListener);
    return promise;
  }];
}

/** A series of points, each later than the one before. */
const SERIES: readonly (readonly Point[])[] = [
  Array.from({ length: MICROTASKS }, (_, k) => afterMicrotasks(k)),
  [
    ...Array.from({ length: TURNS * 3 }, (_, k) => afterTurns(1 + Math.floor(k / 3), k % 3)),
    ...Array.from({ length: 12 }, (_, k) => afterMilliseconds(2 ** Math.floor(k / 2))),
  ],
  ...Array.from(
    { length: LISTENERS },
    (_, nth) => Array.from({ length: AFTER }, (_, k) => afterListener(nth + 1, k)),
  ),
];

/** A lock that is refused as long as anything reads or writes. */
async function free(other: Connection): Promise<void> {
  await other.execute("BEGIN EXCLUSIVE");
  await other.execute("ROLLBACK");
}

/** Runs an operation with one point. Returns how many pairs it has added; -1 when cancelled first. */
async function run(name: string, work: Work, [when, wait]: Point): Promise<number> {
  found.points[name] = (found.points[name] ?? 0) + 1;
  const fail = (what: unknown) => found.wrong.push(`${name} after ${when}: ${what}`);
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error("cancelled");
  let added = -1;
  const waiting = wait(signal);
  const working = work(signal).then((pairs) => {
    added = pairs;
    found.through[name] = (found.through[name] ?? 0) + 1;
  }, (error) => {
    if (error === reason) found.cancelled[name] = (found.cancelled[name] ?? 0) + 1;
    else fail(error);
  });
  await Promise.race([waiting, working]);
  controller.abort(reason);
  let limit;
  const late = new Promise<false>((resolve) => limit = setTimeout(resolve, 5000, false));
  if (!await Promise.race([working.then(() => true), late])) fail("does not settle");
  clearTimeout(limit);
  return added;
}

/** Runs an operation with one point after the other. */
async function sweep(
  name: string,
  work: Work,
  check: (added: number) => Promise<void>,
): Promise<void> {
  let over = 0;
  for (const series of SERIES) {
    if (over === OVER) break;
    let through = 0;
    let early = 0;
    for (const point of series) {
      if (through === THROUGH) break;
      const added = await run(name, work, point);
      through = added < 0 ? 0 : through + 1;
      if (added < 0) early++;
      try {
        await check(Math.max(added, 0));
      } catch (error) {
        found.wrong.push(`${name} after ${point[0]}: ${error}`);
      }
    }
    over = early > 0 ? 0 : over + 1;
  }
}

{
  await using db = await connect(path);
  await db.executeScript(`CREATE TABLE t (x);
    CREATE TABLE big AS ${NUMBERS} SELECT i, printf('%0100d', i) AS text FROM n LIMIT 2000`);
}
await pause(1300); // its thread ends
const threads = count("task");

const options = { isolationLevel: null, timeout: 0 } as const;
await using other = await connect(path, options);
let pairs = 0;

/** The rows are what was said to have been added, and none by half. */
async function checkRows(by: Connection, added: number): Promise<void> {
  pairs += added;
  const [[rows] = []] = await by.executeFetchAll("SELECT count(*) FROM t");
  if (rows !== 2 * pairs) {
    const said = 2 * pairs;
    pairs = Math.floor(Number(rows) / 2);
    throw new Error(`${rows} rows instead of ${said}`);
  }
}

// Opening: what is cut short closes behind its caller, so that takes a moment.
const atRest = handles(path);
const open: Work = async (signal) => {
  const db = await connect(path, { ...options, signal });
  await db.execute("SELECT count(*) FROM t");
  await db.close();
  return 0;
};
const checkClosed = async () => {
  if (!await until(() => handles(path) === atRest, 1000)) throw new Error("leaks a handle");
  await free(other);
};
// With threads that have yet to start, all at once.
const name = "connect, new threads";
for (const [microtask, timer] of full ? [[1, 2], [2, 4], [3, 8]] : [[4, 8]]) {
  const points = [
    ...Array.from({ length: 8 }, (_, k) => afterMicrotasks(k * microtask!)),
    ...Array.from({ length: 8 }, (_, k) => afterMilliseconds(k * timer!)),
  ];
  await Promise.all(points.map((point) => run(name, open, point)));
  await checkClosed().catch((error) => found.wrong.push(`${name}: ${error}`));
  if (full) await pause(1200); // they end
}
// From here on with threads that are warm.
await sweep("connect", open, checkClosed);

{
  await using db = await connect(path, { ...options, timeout: 5000 });

  /** Nothing is locked, nothing open, and the connection goes on. */
  const check = async (added: number) => {
    const [one] = (await db.executeFetchOne("SELECT 1")) ?? [];
    if (one !== 1) throw new Error(`SELECT 1 is ${one}`);
    if (db.inTransaction) throw new Error("a transaction is open");
    await free(other);
    await checkRows(db, added);
  };
  const INSERT = "INSERT INTO t VALUES (1), (2)";

  // Takes longer than main looks for the reply at once: until then nothing can be cancelled.
  const SLOW = "SELECT count(*) FROM big, (SELECT 1 FROM big LIMIT 20)";

  await sweep("execute", async (signal) => {
    await db.execute(`INSERT INTO t SELECT i FROM big WHERE i <= 2 AND (${SLOW}) > 0`, [], {
      signal,
    });
    return 1;
  }, check);
  await sweep("execute, fetch", async (signal) => {
    const cursor = await db.execute("SELECT text FROM big", [], { signal });
    await cursor.fetchMany(10);
    await cursor.fetchMany(1500);
    await cursor.close();
    return 0;
  }, check);
  await sweep("waiting in line", async (signal) => {
    const cursor = await db.execute("SELECT text FROM big", [], { signal });
    const tx = await db.transaction(); // which all the others wait for
    const calls = [
      cursor.fetchMany(1500),
      db.executeFetchOne("SELECT 1", [], { signal }),
      db.transaction((tx) => tx.execute("SELECT text FROM big"), { signal }),
      pause(2).then(() => tx.rollback()),
    ];
    const failed = (await Promise.allSettled(calls)).find(({ status }) => status === "rejected");
    if (failed) throw (failed as PromiseRejectedResult).reason;
    await cursor.close();
    return 0;
  }, check);
  await sweep("executeMany", async (signal) => {
    async function* sets() {
      for (let i = 0; i < 3; i++) {
        await null;
        yield [i];
      }
    }
    const many = await db.execute("SELECT 1", [], { signal });
    await many.executeMany("UPDATE big SET i = i WHERE i = ?", sets(), { signal });
    return 0;
  }, check);
  await sweep("executeScript", async (signal) => {
    await db.executeScript(`SELECT 1; ${SLOW}; SELECT 2`, { signal });
    return 0;
  }, check);
  await sweep("iterate", async (signal) => {
    let rows = 0;
    for await (const _ of db.execute("SELECT text FROM big", [], { signal })) {
      if (++rows === 300) await null;
    }
    if (rows !== 2000) throw new Error(`${rows} rows`);
    return 0;
  }, check);
  await sweep("transaction(work)", async (signal) => {
    await db.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES (1)");
      await tx.executeFetchAll("SELECT text FROM big LIMIT 10");
      await tx.execute("INSERT INTO t VALUES (2)");
    }, { signal });
    return 1;
  }, check);
  await sweep("transaction()", async (signal) => {
    await using tx = await db.transaction({ signal, mode: "IMMEDIATE" });
    await tx.execute("INSERT INTO t VALUES (1)");
    await tx.execute("INSERT INTO t VALUES (2)");
    await tx.commit();
    return 1;
  }, check);
  await sweep("nested transactions", async (signal) => {
    await db.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES (1)");
      const inner = tx.transaction((inner) => inner.execute("INSERT INTO t VALUES (0)"), {
        signal,
      });
      const done = await inner.then(() => true, () => false);
      if (done) await tx.execute("DELETE FROM t WHERE x = 0");
      await tx.execute("INSERT INTO t VALUES (2)");
      await inner;
    }, { signal });
    return 1;
  }, check);
  await sweep("transaction(work) with retries", async (signal) => {
    await other.execute("BEGIN IMMEDIATE");
    const released = pause(2).then(() => other.execute("ROLLBACK"));
    try {
      await db.transaction((tx) => tx.execute(INSERT), {
        signal,
        mode: "IMMEDIATE",
        timeout: 0,
        retries: 50,
      });
    } finally {
      await released;
    }
    return 1;
  }, check);
  await sweep("commit", async (signal) => {
    await db.execute("BEGIN");
    await db.execute(INSERT);
    try {
      await db.commit({ signal });
    } catch (error) {
      await db.execute("ROLLBACK");
      throw error;
    }
    return 1;
  }, check);
}

await sweep("close", async (signal) => {
  const db = await connect(path, options);
  const calls = [
    db.executeFetchAll("SELECT text FROM big", [], { signal }),
    db.executeFetchAll(`SELECT count(*) FROM big, ${AGAIN}`, [], { signal }),
    db.transaction((tx) => tx.execute("SELECT text FROM big"), { signal }),
  ].map((call) =>
    call.catch((error) => {
      // What comes after close() has been called is refused, as is a transaction it has ended.
      if (error !== signal.reason && error.name !== "ProgrammingError") throw error;
    })
  );
  await db.close();
  await Promise.all(calls);
  signal.throwIfAborted();
  return 0;
}, async () => {
  if (!await until(() => handles(path) === atRest, 1000)) throw new Error("leaks a handle");
  await free(other);
});

await other.close();
await until(() => handles(path) === 0 && count("task") <= threads, 3000);
found.handles = handles(path);
found.threads = count("task") - threads;
report(found);
