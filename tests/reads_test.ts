import assert from "node:assert/strict";
import { test } from "node:test";
import { coreOf } from "../src/connection.ts";
import { connect, type Connection, SQLITE_OK, type SqliteError } from "../mod.ts";
import { file } from "./helpers.ts";

// Reads that are asked for at one time share the file's lock. None of this may show.

const MODES = ["DELETE", "WAL"] as const;

/** Two connections to a file with one row in it. */
async function pair(
  mode: string,
  timeout = 5000,
): Promise<[one: Connection, other: Connection, AsyncDisposable]> {
  const path = file();
  const one = await connect(path, { isolationLevel: null });
  await one.execute(`PRAGMA journal_mode = ${mode}`);
  await one.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (0)");
  const other = await connect(path, { isolationLevel: null, timeout });
  const close = async () => {
    await Promise.all([one.close(), other.close()]);
  };
  return [one, other, { [Symbol.asyncDispose]: close }];
}

const READ = "SELECT max(x) FROM t";

async function read(db: Connection): Promise<number> {
  const [x] = (await db.executeFetchOne(READ))!;
  return x as number;
}

function reads(db: Connection, count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, () => read(db)));
}

const write = (db: Connection, x: number) => db.execute("INSERT INTO t VALUES (?)", [x]);

for (const mode of MODES) {
  test(`a read sees what another connection has written before it was called, ${mode}`, async () => {
    const [one, other, both] = await pair(mode);
    await using _ = both;
    const slow = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200)
      SELECT max(x), (SELECT count(*) FROM n) FROM t`;
    for (let i = 1; i <= 100; i++) {
      const early = Array.from({ length: 1 + i % 20 }, () => one.executeFetchOne(slow));
      await early[0]; // the others are under way by now
      await write(other, i);
      const late = await reads(one, 3);
      assert.deepEqual(late, [i, i, i]);
      for (const row of await Promise.all(early)) assert.ok([i - 1, i].includes(row![0] as number));
    }
  });

  test(`when all reads are answered no lock is left, ${mode}`, async () => {
    const [one, other, both] = await pair(mode, 0);
    await using _ = both;
    for (let i = 1; i <= 60; i++) {
      await reads(one, 1 + i % 40);
      await write(other, i);
      await assert.rejects(
        Promise.all([read(one), one.executeFetchAll("SELECT abs(-9223372036854775808) FROM t")]),
        /integer overflow/,
      );
      await read(one); // both have been answered
      await other.executeScript("BEGIN EXCLUSIVE; COMMIT");
    }
  });

  test(`another connection gets its turn among reads that do not end, ${mode}`, async () => {
    const [one, other, both] = await pair(mode);
    await using _ = both;
    let done = false;
    const reading = (async () => {
      let rounds = 0;
      for (; !done; rounds++) await reads(one, 300);
      return rounds;
    })();
    for (let i = 1; i <= 20; i++) await write(other, i);
    done = true;
    assert.ok(await reading > 0);
    assert.equal(await read(one), 20);
  });

  test(`writes among reads, while another connection writes, ${mode}`, async () => {
    const [one, other, both] = await pair(mode);
    await using _ = both;
    const calls: PromiseLike<unknown>[] = [];
    for (let i = 1; i <= 100; i++) {
      calls.push(read(one), read(one), write(one, i), read(one));
      if (i % 10 === 0) await write(other, -i);
    }
    const answers = await Promise.all(calls);
    const seen = answers.filter((answer) => typeof answer === "number");
    assert.deepEqual(seen, Array.from({ length: 100 }, (_, i) => [i, i, i + 1]).flat());
    assert.deepEqual(await one.executeFetchOne("SELECT count(*) FROM t"), [111]);
  });
}

test("when all reads are answered no lock is left, though cursors are still being forgotten", async () => {
  const [one, other, both] = await pair("DELETE", 0);
  await using _ = both;
  for (let i = 0; i < 60; i++) {
    const answers = reads(one, 3);
    for (let k = 0; k < 300; k++) coreOf(one).client.call("reset", [1e6 + k]); // nobody waits
    await answers;
    await other.executeScript("BEGIN EXCLUSIVE; COMMIT");
  }
});

test("reads that can't have the lock reject, and the next ones have it", async () => {
  const [one, other, both] = await pair("DELETE", 30);
  await using _ = both;
  await one.execute("BEGIN EXCLUSIVE");
  const errors = await Promise.all(Array.from({ length: 4 }, () => read(other).catch((e) => e)));
  assert.deepEqual(errors.map((e: SqliteError) => e.code), Array(4).fill("SQLITE_BUSY"));
  await one.execute("COMMIT");
  assert.deepEqual(await reads(other, 4), [0, 0, 0, 0]);
});

test("what needs the connection free of reads has it so among them", async () => {
  const path = file();
  await using db = await connect(path, { isolationLevel: null });
  await db.executeScript("CREATE TABLE t (x); INSERT INTO t VALUES (0)");
  const [, , mode, , , synchronous] = await Promise.all([
    read(db),
    read(db),
    db.executeFetchOne("PRAGMA journal_mode = WAL"),
    read(db),
    db.execute("PRAGMA synchronous = NORMAL"),
    db.executeFetchOne("PRAGMA synchronous"),
    read(db),
  ]);
  assert.deepEqual([mode, synchronous], [["wal"], [1]]);
  await db.execute("PRAGMA journal_mode = DELETE"); // what is in memory has no log
  const bytes = await db.serialize();
  const answers = await Promise.all([read(db), read(db), db.deserialize(bytes), read(db)]);
  assert.deepEqual(answers, [0, 0, undefined, 0]);
  await Promise.all([read(db), db.execute("VACUUM"), read(db), db.execute("DROP TABLE t")]);
  await assert.rejects(read(db), /no such table/);
});

test("hooks see the statements of one's own alone", async () => {
  const [one, , both] = await pair("WAL");
  await using _ = both;
  const traced: string[] = [];
  const tables = new Set<string | null>();
  await one.setTraceCallback((sql) => traced.push(sql));
  await one.setAuthorizer((_action, table) => {
    tables.add(table);
    return SQLITE_OK;
  });
  await reads(one, 50);
  assert.deepEqual(traced, Array(50).fill(READ));
  assert.ok(tables.has("t") && !tables.has("sqlite_master"), [...tables].join());
});

test("a read is of one state, and those called together may be of different ones", async () => {
  const [one, other, both] = await pair("WAL");
  await using _ = both;
  await one.execute("CREATE TABLE u AS SELECT x FROM t");
  let done = false;
  const writing = (async () => {
    for (let i = 1; !done; i++) {
      await other.executeScript(`BEGIN; UPDATE t SET x = ${i}; UPDATE u SET x = ${i}; COMMIT`);
    }
  })();
  for (let round = 0; round < 20; round++) {
    const sums = await Promise.all(
      Array.from(
        { length: 200 },
        () =>
          one.executeFetchOne("SELECT (SELECT x FROM t) - (SELECT x FROM u), (SELECT x FROM t)"),
      ),
    );
    let last = 0;
    for (const [difference, x] of sums as [number, number][]) {
      assert.equal(difference, 0);
      assert.ok(x >= last); // never back in time
      last = x;
    }
  }
  done = true;
  await writing;
});
