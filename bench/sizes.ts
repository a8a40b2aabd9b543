/**
 * How much the benchmark does, the same in all of its processes.
 *
 * @module
 */
import process from "node:process";

/** Just to see whether everything runs: the numbers mean nothing then. */
export const quick: boolean = process.env.BENCH_QUICK === "1";

export const ROWS: number = quick ? 30_000 : 1_000_000;
export const INSERTS: number = quick ? 5_000 : 100_000;
export const ROUNDS: number = quick ? 3 : 7;
/** How long each driver does the work of a row before it is measured, in milliseconds. */
export const WARM_UP: number = quick ? 20 : 1500;
/** Processes in which the first connection is timed. */
export const COLD_STARTS: number = quick ? 2 : 7;
/** How long the query is that timers have to get along with, in milliseconds. */
export const QUERY_TIME: number = quick ? 300 : 2000;
/** How long an idle connection is watched, in milliseconds. */
export const IDLE_TIME: number = quick ? 500 : 10_000;

/** The table that is read, and its content. */
export const SEED = `
  CREATE TABLE big (id INTEGER PRIMARY KEY, x REAL, name TEXT, n INTEGER);
  WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${ROWS})
    INSERT INTO big SELECT i, i * 0.5, 'name ' || i, i % 7 FROM c;
`;

/** A number for people. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}
