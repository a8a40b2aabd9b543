/**
 * The rows of the table: each the same work by this driver and by its peer, with one answer.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Connection } from "../mod.ts";
import { type Builtin, builtin } from "./builtin.ts";

/** One row: both sides give an answer, which has to be the same. */
export interface Row {
  readonly name: string;
  /** What ours may take, as a multiple of the peer's time. */
  readonly mark: number;
  /** Times to run in a round. */
  readonly samples: number;
  ours(): Promise<unknown>;
  theirs(): unknown;
}

/** The two sides, each with a file of its own: two SQLites on one file would break its locks. */
export interface Sides extends AsyncDisposable {
  readonly ours: Connection;
  readonly theirs: Builtin;
}

const ROWS = 1_000_000;
const INSERTS = 100_000;

const SCHEMA = `
  CREATE TABLE big (id INTEGER PRIMARY KEY, x REAL, name TEXT, n INTEGER);
  WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${ROWS})
    INSERT INTO big SELECT i, i * 0.5, 'name ' || i, i % 7 FROM c;
`;

/** Makes both databases, alike to the byte. */
export async function open(): Promise<Sides> {
  const folder = mkdtempSync(join(tmpdir(), "aiosqlite-bench-"));
  const paths = ["ours.db", "theirs.db"].map((name) => join(folder, name)) as [string, string];
  {
    await using seed = await connect(":memory:", { isolationLevel: null });
    await seed.executeScript(SCHEMA);
    for (const path of paths) await seed.execute("VACUUM INTO ?", [path]);
  }
  const ours = await connect(paths[0], { isolationLevel: null });
  const theirs = builtin(paths[1]);
  return {
    ours,
    theirs,
    [Symbol.asyncDispose]: async () => {
      await ours.close();
      theirs.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** The rows, over two databases of the same content. */
export function rows({ ours, theirs }: Sides): Row[] {
  return [
    pointSelect(ours, theirs),
    inFlight(ours, theirs),
    fetch(ours, theirs),
    insert(ours, theirs),
  ];
}

const POINT = "SELECT name FROM big WHERE id = ?";

function pointSelect(ours: Connection, theirs: Builtin): Row {
  const statement = theirs.prepare(POINT);
  const ids = Array.from({ length: 1000 }, (_, i) => i + 1);
  return {
    name: "1,000 point SELECTs, each awaited",
    mark: 4,
    samples: 20,
    ours: async () => {
      const answers = [];
      for (const id of ids) answers.push(await ours.executeFetchOne(POINT, [id]));
      return answers;
    },
    theirs: () => ids.map((id) => statement.get(id)),
  };
}

function inFlight(ours: Connection, theirs: Builtin): Row {
  const statement = theirs.prepare(POINT);
  const ids = Array.from({ length: 1000 }, (_, i) => i + 1);
  return {
    name: "1,000 point SELECTs in flight",
    mark: 1.5,
    samples: 20,
    ours: () => Promise.all(ids.map((id) => ours.executeFetchOne(POINT, [id]))),
    theirs: () => ids.map((id) => statement.get(id)),
  };
}

function fetch(ours: Connection, theirs: Builtin): Row {
  const sql = "SELECT id, x, name, n FROM big";
  const statement = theirs.prepare(sql);
  return {
    name: "fetch 1,000,000 rows as arrays",
    mark: 1.2,
    samples: 1,
    ours: async () => digest(await ours.executeFetchAll(sql)),
    theirs: () => digest(statement.all()),
  };
}

/** Looks at every value of every row. */
function digest(rows: readonly unknown[][]): unknown[] {
  let numbers = 0;
  let letters = 0;
  for (const [id, x, name, n] of rows) {
    numbers += (id as number) + (x as number) + (n as number);
    letters += (name as string).length;
  }
  return [rows.length, numbers, letters];
}

function insert(ours: Connection, theirs: Builtin): Row {
  const sets = Array.from({ length: INSERTS }, (_, i) => [i, i * 0.5, `name ${i}`, i % 7]);
  const create = "CREATE TABLE target (id INTEGER PRIMARY KEY, x REAL, name TEXT, n INTEGER)";
  const sum = "SELECT count(*), sum(id), sum(length(name)) FROM target";
  const sql = "INSERT INTO target VALUES (?, ?, ?, ?)";
  return {
    name: "executeMany of 100,000 rows",
    mark: 1.5,
    samples: 1,
    ours: async () => {
      await ours.executeScript(`BEGIN; ${create}`);
      await ours.executeMany(sql, sets);
      const answer = await ours.executeFetchOne(sum);
      await ours.rollback();
      return answer;
    },
    theirs: () => {
      theirs.exec("BEGIN");
      theirs.exec(create);
      const statement = theirs.prepare(sql);
      for (const set of sets) statement.run(...set);
      const answer = theirs.prepare(sum).get();
      theirs.exec("ROLLBACK");
      return answer;
    },
  };
}
