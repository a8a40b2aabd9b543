/**
 * The rows that compare times: the same work by this driver and by its peers, with one answer.
 *
 * @module
 */
import { connect, type Connection, objectRow, Row } from "../mod.ts";
import { isBun, isNode } from "./builtin.ts";
import type { AsyncDriver, Driver } from "./drivers.ts";
import type { Mark } from "./result.ts";
import { count, INSERTS, ROWS } from "./sizes.ts";

/** A piece of work for each kind of driver. What it gives has to be the same for all. */
export interface Comparison {
  readonly key: string;
  readonly name: string;
  readonly mark: Mark;
  /** Times to run in a round. */
  readonly samples: number;
  ours(): Promise<unknown>;
  sync(driver: Driver): () => unknown;
  async(driver: AsyncDriver): Promise<() => Promise<unknown>>;
}

/** Connections to the same file, which make rows of each kind. */
export interface Ours extends AsyncDisposable {
  readonly path: string;
  readonly arrays: Connection;
  readonly objects: Connection<Record<string, unknown>>;
  readonly rows: Connection<Row>;
}

export async function openOurs(path: string): Promise<Ours> {
  const isolationLevel = null;
  const arrays = await connect(path, { isolationLevel });
  const objects = await connect(path, { isolationLevel, rowFactory: objectRow });
  const rows = await connect(path, { isolationLevel, rowFactory: Row });
  return {
    path,
    arrays,
    objects,
    rows,
    [Symbol.asyncDispose]: async () => {
      await arrays.close();
      await objects.close();
      await rows.close();
    },
  };
}

export function comparisons(ours: Ours): Comparison[] {
  return [
    pointSelect(ours),
    inFlight(ours),
    fetchArrays(ours),
    fetchObjects(ours),
    fetchRows(ours),
    iterate(ours),
    executeMany(ours),
    insertOne(ours),
    reconnect(ours),
  ];
}

const POINT = "SELECT name FROM big WHERE id = ?";
const IDS = Array.from({ length: 1000 }, (_, i) => i + 1);
const ALL = "SELECT id, x, name, n FROM big";

const ratio = (limit: number): Mark => ({ kind: "ratio", limit });

/** The peers' side of the point SELECTs. */
const points: Pick<Comparison, "sync"> = {
  sync: (driver) => {
    const statement = driver.prepare(POINT);
    return () => IDS.map((id) => statement.get(id));
  },
};

function pointSelect({ arrays }: Ours): Comparison {
  return {
    key: "point",
    name: "1,000 point SELECTs, each awaited",
    mark: ratio(1.8),
    samples: 20,
    ours: async () => {
      const answers = [];
      for (const id of IDS) answers.push(await arrays.executeFetchOne(POINT, [id]));
      return answers;
    },
    ...points,
    async: async (driver) => {
      const statement = await driver.prepare(POINT);
      return async () => {
        const answers = [];
        for (const id of IDS) answers.push(await statement.get(id));
        return answers;
      };
    },
  };
}

function inFlight({ arrays }: Ours): Comparison {
  return {
    key: "flight",
    name: "1,000 point SELECTs in flight",
    mark: ratio(1.15),
    samples: 20,
    ours: () => Promise.all(IDS.map((id) => arrays.executeFetchOne(POINT, [id]))),
    ...points,
    async: async (driver) => {
      // One statement each, as several calls of one would get in each other's way.
      const statements = await Promise.all(IDS.map(() => driver.prepare(POINT)));
      return () => Promise.all(IDS.map((id, i) => statements[i]!.get(id)));
    },
  };
}

function fetchArrays({ arrays }: Ours): Comparison {
  return {
    key: "arrays",
    name: `fetch ${count(ROWS)} rows as arrays`,
    mark: ratio(isNode ? 1.1 : 0.8),
    samples: 1,
    ours: async () => digestArrays(await arrays.executeFetchAll(ALL)),
    sync: (driver) => {
      const statement = driver.prepare(ALL);
      return () => digestArrays(statement.all());
    },
    async: async (driver) => {
      const statement = await driver.prepare(ALL);
      return async () => digestArrays(await statement.all());
    },
  };
}

/** The peers' side of fetching objects. */
const fetchingObjects: Pick<Comparison, "sync" | "async"> = {
  sync: (driver) => {
    const statement = driver.prepare(ALL);
    return () => digestObjects(statement.objects());
  },
  async: async (driver) => {
    const statement = await driver.prepare(ALL);
    return async () => digestObjects(await statement.objects());
  },
};

function fetchObjects({ objects }: Ours): Comparison {
  return {
    key: "objects",
    name: `fetch ${count(ROWS)} rows by objectRow`,
    mark: ratio(isNode ? 1.3 : 1),
    samples: 1,
    ours: async () => digestObjects(await objects.executeFetchAll(ALL)),
    ...fetchingObjects,
  };
}

function fetchRows({ rows }: Ours): Comparison {
  return {
    key: "rows",
    name: `fetch ${count(ROWS)} rows as Row`,
    mark: ratio(isNode ? 1.3 : 1),
    samples: 1,
    ours: async () => digestRows(await rows.executeFetchAll(ALL)),
    ...fetchingObjects,
  };
}

function iterate({ arrays }: Ours): Comparison {
  // Bun's driver iterates over objects only.
  const add = (sum: Digest, row: unknown) => isBun ? sum.object(row) : sum.array(row);
  return {
    key: "iterate",
    name: `for await over ${count(ROWS)} rows`,
    mark: ratio(1.2),
    samples: 1,
    ours: async () => {
      const sum = new Digest();
      for await (const row of arrays.execute(ALL)) sum.array(row);
      return sum.values();
    },
    sync: (driver) => {
      const statement = driver.prepare(ALL);
      return () => {
        const sum = new Digest();
        for (const row of statement.iterate()) add(sum, row);
        return sum.values();
      };
    },
    async: async (driver) => {
      const statement = await driver.prepare(ALL);
      return async () => {
        const sum = new Digest();
        for await (const row of await statement.iterate()) sum.array(row);
        return sum.values();
      };
    },
  };
}

/** Looks at every value of every row. */
class Digest {
  #rows = 0;
  #numbers = 0;
  #letters = 0;

  /** A row whose values are had by index. */
  array(row: unknown): void {
    const values = row as [number, number, string, number];
    this.#add(values[0], values[1], values[2], values[3]);
  }

  object(row: unknown): void {
    const { id, x, name, n } = row as { id: number; x: number; name: string; n: number };
    this.#add(id, x, name, n);
  }

  values(): number[] {
    return [this.#rows, this.#numbers, this.#letters];
  }

  row(row: Row): void {
    this.#add(
      row.at(0) as number,
      row.at(1) as number,
      row.at(2) as string,
      row.at(3) as number,
    );
  }

  #add(id: number, x: number, name: string, n: number): void {
    this.#rows++;
    this.#numbers += id + x + n;
    this.#letters += name.length;
  }
}

function digestArrays(rows: Iterable<unknown>): number[] {
  const sum = new Digest();
  for (const row of rows) sum.array(row);
  return sum.values();
}

function digestRows(rows: Iterable<Row>): number[] {
  const sum = new Digest();
  for (const row of rows) sum.row(row);
  return sum.values();
}

function digestObjects(rows: Iterable<unknown>): number[] {
  const sum = new Digest();
  for (const row of rows) sum.object(row);
  return sum.values();
}

function executeMany({ arrays }: Ours): Comparison {
  const sets = Array.from({ length: INSERTS }, (_, i) => [i, i * 0.5, `name ${i}`, i % 7]);
  const create = "CREATE TABLE target (id INTEGER PRIMARY KEY, x REAL, name TEXT, n INTEGER)";
  const sum = "SELECT count(*), sum(id), sum(length(name)) FROM target";
  const sql = "INSERT INTO target VALUES (?, ?, ?, ?)";
  return {
    key: "many",
    name: `executeMany of ${count(INSERTS)} rows`,
    mark: ratio(1),
    samples: 1,
    // Rolled back in the end, for each run to find the same.
    ours: async () => {
      await arrays.executeScript(`BEGIN; ${create}`);
      await arrays.executeMany(sql, sets);
      const answer = await arrays.executeFetchOne(sum);
      await arrays.rollback();
      return answer;
    },
    sync: (driver) => () => {
      driver.exec("BEGIN");
      driver.exec(create);
      const statement = driver.prepare(sql);
      for (const set of sets) statement.run(...set);
      const answer = driver.prepare(sum).get();
      driver.exec("ROLLBACK");
      return answer;
    },
    async: (driver) =>
      Promise.resolve(async () => {
        await driver.exec("BEGIN");
        await driver.exec(create);
        const statement = await driver.prepare(sql);
        for (const set of sets) await statement.run(...set);
        const answer = await (await driver.prepare(sum)).get();
        await driver.exec("ROLLBACK");
        return answer;
      }),
  };
}

/** Each INSERT is a transaction of its own, which SQLite commits. */
function insertOne({ arrays }: Ours): Comparison {
  const wal = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";
  const create = `${wal} CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)`;
  const sql = "INSERT INTO log (what) VALUES (?)";
  const last = "SELECT max(id) FROM log";
  const TIMES = 200;
  let ready: PromiseLike<unknown> | undefined;
  return {
    key: "single",
    name: `${TIMES} times INSERT and commit, WAL`,
    mark: ratio(1.5),
    samples: 20,
    ours: async () => {
      await (ready ??= arrays.executeScript(create));
      for (let i = 0; i < TIMES; i++) await arrays.execute(sql, ["happened"]);
      return await arrays.executeFetchOne(last);
    },
    sync: (driver) => {
      driver.exec(create);
      const statement = driver.prepare(sql);
      return () => {
        for (let i = 0; i < TIMES; i++) statement.run("happened");
        return driver.prepare(last).get();
      };
    },
    async: async (driver) => {
      await driver.exec(create);
      const statement = await driver.prepare(sql);
      return async () => {
        for (let i = 0; i < TIMES; i++) await statement.run("happened");
        return await (await driver.prepare(last)).get();
      };
    },
  };
}

/** Our connection finds the thread of the one before, which has been closed just now. */
function reconnect({ path }: Ours): Comparison {
  return {
    key: "warm",
    name: "connect and close, warm",
    mark: { kind: "absolute", limit: 0.35 },
    samples: 20,
    ours: async () => {
      const db = await connect(path);
      await db.close();
    },
    sync: (driver) => () => driver.reopen(),
    async: (driver) => Promise.resolve(() => driver.reopen()),
  };
}
