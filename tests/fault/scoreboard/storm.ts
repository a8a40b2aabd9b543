/**
 * S12: cancels calls at random times.
 *
 * @module
 */
import process from "node:process";
import { connect, type SqlParameters } from "../../../mod.ts";
import { NUMBERS, pause, quantile, random, report } from "./measure.ts";

/** What this program finds. */
export interface Report {
  signals: number;
  /** Calls that the abort cut short, and that were answered before or in spite of it. */
  cancelled: number;
  answered: number;
  /** Milliseconds from the abort to the end of the call. */
  p99: number;
  longest: number;
  otherErrors: string[];
  wrongNext: string[];
  /** Times that a transaction was open when all calls had ended. */
  leftOpen: number;
  /** Rows of calls that were cancelled, and rows missing of calls that were answered. */
  surplus: number;
  missing: number;
  inserted: number;
}

const BURST = 20;
/** More than can be told apart by what marks a call. */
const AGAIN = 1 << 17;

const [path = "", signals = "", seed = ""] = process.argv.slice(2);
const chance = random(Number(seed));
const latencies: number[] = [];
const kept = new Set<number>();
const found: Report = {
  signals: 0,
  cancelled: 0,
  answered: 0,
  p99: NaN,
  longest: NaN,
  otherErrors: [],
  wrongNext: [],
  leftOpen: 0,
  surplus: 0,
  missing: 0,
  inserted: 0,
};

await using db = await connect(path, { isolationLevel: null, timeout: 30_000 });
await db.executeScript("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x)");

let lastId = 0;
const id = () => ++lastId;
const INSERT = "INSERT INTO t VALUES (?, 'row')";

/** Each makes a call that takes the signal, and returns the ids that are there once it fulfils. */
const calls: ((signal: AbortSignal) => Promise<number[]>)[] = [
  async (signal) => {
    await db.executeFetchAll(`${NUMBERS} SELECT count(*) FROM n`, [], { signal });
    return [];
  },
  async (signal) => {
    const ids = [id()];
    await db.execute(INSERT, ids, { signal });
    return ids;
  },
  async (signal) => {
    await db.executeFetchAll(`${NUMBERS} SELECT i, 'text' FROM n LIMIT 5000`, [], { signal });
    return [];
  },
  async (signal) => {
    const ids = [id(), id()];
    await db.transaction(async (tx) => {
      for (const one of ids) await tx.execute(INSERT, [one]);
    }, { signal });
    return ids;
  },
  async (signal) => {
    const ids = Array.from({ length: 50 }, id);
    const sets: SqlParameters[] = ids.map((one) => [one]);
    await db.transaction((tx) => tx.executeMany(INSERT, sets), { signal, mode: "IMMEDIATE" });
    return ids;
  },
  async (signal) => {
    let rows = 0;
    for await (const _ of db.execute(`${NUMBERS} SELECT i FROM n`, [], { signal })) {
      if (++rows === 3000) break;
    }
    return [];
  },
  async (signal) => {
    // One statement, so all of it or nothing.
    const ids = Array.from({ length: 500 }, id);
    const from = ids[0]!;
    const sql = `INSERT INTO t ${NUMBERS} SELECT i + ?, 'many' FROM n LIMIT 500`;
    await db.execute(sql, [from - 1], { signal });
    return ids;
  },
];

async function one(number: number): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error(`cancelled ${number}`);
  let aborted = NaN;
  const ended = calls[Math.floor(chance() * calls.length)]!(signal).then((ids) => {
    found.answered++;
    for (const one of ids) kept.add(one);
  }, (error) => {
    if (error === reason) found.cancelled++;
    else found.otherErrors.push(String(error));
  }).finally(() => {
    if (!Number.isNaN(aborted)) latencies.push(performance.now() - aborted);
  });
  // Not only whole milliseconds: some right now, some within this turn, the others later.
  const delay = chance() * 8;
  if (delay < 0.5) await null;
  else if (delay > 1) await pause(delay);
  aborted = performance.now();
  controller.abort(reason);
  found.signals++;
  const next = db.executeFetchOne("SELECT ?", [number]).then((row) => {
    if (row?.[0] !== number) found.wrongNext.push(`${number}: ${row}`);
  }, (error) => {
    found.wrongNext.push(String(error));
  });
  await Promise.all([ended, next]);
}

for (let from = 0; from < Number(signals); from += BURST) {
  // Now and then one after the other, so that what runs is hit more often than what waits.
  if ((from / BURST) % 2) { for (let i = 0; i < BURST; i++) await one(from + i); }
  else await Promise.all(Array.from({ length: BURST }, (_, i) => one(from + i)));
  await db.executeFetchOne("SELECT 1");
  if (db.inTransaction) found.leftOpen++;
}

// What marks a call as cancelled is used again for the one that many calls later.
const { signal: never } = new AbortController();
const answer = (i: number) => db.executeFetchOne("SELECT ?", [i], { signal: never });
for (let from = 0; from < AGAIN; from += 1000) {
  const batch = Array.from({ length: 1000 }, (_, i) => answer(from + i).catch(String));
  for (const [i, row] of (await Promise.all(batch)).entries()) {
    if (row?.[0] !== from + i) found.wrongNext.push(`${from + i}: ${row}`);
  }
}

const rows = new Set((await db.executeFetchAll("SELECT id FROM t")).map(([id]) => Number(id)));
found.surplus = [...rows].filter((id) => !kept.has(id)).length;
found.missing = [...kept].filter((id) => !rows.has(id)).length;
found.inserted = rows.size;
found.p99 = quantile(latencies, 0.99);
found.longest = Math.max(...latencies);
report(found);
