import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { type Ended, file, program, python, runtimeName } from "../helpers.ts";

const ENDLESS = `
  const query = db.execute(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
  );
`;
const WAL = `
  const db = await aiosqlite.connect(args[0]);
  await db.execute("PRAGMA journal_mode = WAL");
  await db.execute("CREATE TABLE t (x)");
  await db.execute("INSERT INTO t VALUES (1)");
  await db.commit();
`;

/** The process has ended in time, with this code. */
function check({ code, signal, took, stderr }: Ended, expected: number, within: number): void {
  assert.deepEqual([code, signal], [expected, null], stderr);
  assert.ok(took < within, `took ${took} ms`);
}

async function checkWal(path: string): Promise<void> {
  assert.deepEqual(["-wal", "-shm"].filter((end) => existsSync(path + end)), []);
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
}

test("Exit: by itself with an idle connection", async () => {
  const ended = await program(`const db = await aiosqlite.connect(":memory:");`);
  check(ended, 0, 2000);
  assert.equal(ended.stderr, "");
});

test("Exit: by itself with an idle connection that has been used", async () => {
  check(
    await program(`
      const db = await aiosqlite.connect(":memory:");
      for (let i = 0; i < 100; i++) await db.executeFetchOne("SELECT ?", [i]);
    `),
    0,
    2000,
  );
});

test("Exit: by itself with ten connections that nobody holds any more", async () => {
  check(
    await program(`
      async function forget() {
        const db = await aiosqlite.connect(":memory:");
        await db.executeFetchOne("SELECT 1");
      }
      await Promise.all(Array.from({ length: 10 }, forget));
    `),
    0,
    3000,
  );
});

test("Exit: by itself with a result half read", async () => {
  check(
    await program(`
      const db = await aiosqlite.connect(":memory:");
      const cursor = await db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
      );
      console.log(await cursor.fetchOne());
    `),
    0,
    2000,
  );
});

test("Exit: not before an answer that is due", async () => {
  const ended = await program(`
    const db = await aiosqlite.connect(":memory:");
    db.executeFetchOne(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) " +
        "SELECT count(*) FROM n",
    ).then((row) => console.log(row[0]));
  `);
  check(ended, 0, 5000);
  assert.equal(ended.stdout, "1000000\n");
});

test("Exit: not before close() is done", async () => {
  const path = file();
  check(await program(`${WAL}; db.close().then(() => process.exitCode = 3);`, [path]), 3, 2000);
  await checkWal(path);
});

test("Exit: by process.exit() in the middle of an endless query, with its code", async () => {
  const ended = await program(`
    const db = await aiosqlite.connect(":memory:");
    ${ENDLESS}
    setTimeout(() => process.exit(7), 100);
  `);
  check(ended, 7, 1500);
});

test("Exit: by process.exit() in the middle of an endless query of a transaction", async () => {
  const path = file();
  const ended = await program(
    `
    ${WAL}
    await db.execute("INSERT INTO t VALUES (2)");
    ${ENDLESS}
    setTimeout(() => process.exit(7), 100);
  `,
    [path],
  );
  check(ended, 7, 1500);
  assert.deepEqual(await python(path, "SELECT x FROM t"), [[1]]);
});

test("Exit: by process.exit() in the middle of a wait for a lock", async () => {
  const ended = await program(
    `
    ${WAL}
    await db.execute("INSERT INTO t VALUES (2)");
    const waiting = await aiosqlite.connect(args[0], { timeout: 60_000 });
    waiting.execute("INSERT INTO t VALUES (3)");
    setTimeout(() => process.exit(7), 100);
  `,
    [file()],
  );
  check(ended, 7, 1500);
});

test("Exit: by process.exit() while rows are waiting for a slow reader", async () => {
  const ended = await program(`
    const db = await aiosqlite.connect(":memory:");
    const cursor = await db.execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, zeroblob(1000) FROM n",
    );
    cursor.fetchAll();
    await cursor.fetchOne();
    process.exit(7);
  `);
  check(ended, 7, 1500);
});

test("Exit: by an uncaught error, with code 1", async () => {
  for (const meanwhile of ["", ENDLESS]) {
    const ended = await program(`
      const db = await aiosqlite.connect(":memory:");
      ${meanwhile}
      setTimeout(() => { throw new Error("uncaught"); }, 100);
    `);
    check(ended, 1, 2000);
    assert.match(ended.stderr, /uncaught/);
  }
});

test("Exit: by a rejection that nobody handles, with code 1", async () => {
  const ended = await program(`
    const db = await aiosqlite.connect(":memory:");
    db.execute("SELECT nonsense");
  `);
  check(ended, 1, 2000);
  assert.match(ended.stderr, /no such column: nonsense/);
});

test("Exit: by itself, leaving no WAL", async () => {
  const path = file();
  check(await program(WAL, [path]), 0, 2000);
  await checkWal(path);
});

test("Exit: by process.exit(), leaving no WAL", async () => {
  const path = file();
  check(await program(`${WAL}; process.exit(7);`, [path]), 7, 2000);
  await checkWal(path);
});

test("Exit: what is not committed is rolled back", async () => {
  const path = file();
  check(
    await program(`${WAL}; await db.execute("INSERT INTO t VALUES (2)"); process.exit(0);`, [path]),
    0,
    2000,
  );
  await checkWal(path);
});

test("Exit: process.exitCode is kept", async () => {
  check(
    await program(`
      process.exitCode = 5;
      const db = await aiosqlite.connect(":memory:");
    `),
    5,
    2000,
  );
});

const COLLECT = `
  import { setFlagsFromString } from "node:v8";
  import { runInNewContext } from "node:vm";
  const collect = globalThis.Bun ? () => Bun.gc(true) : globalThis.gc ??
    (setFlagsFromString("--expose-gc"), runInNewContext("gc"));
  let warnings = 0;
  process.on("warning", (warning) => {
    warnings++;
    console.log(warning.name, warning.message);
  });
  const until = async (done) => {
    for (const start = Date.now(); !done() && Date.now() - start < 3000;) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
`;

test("A connection that is collected while open warns once and is closed", async () => {
  const path = file();
  const ended = await program(
    `
    ${COLLECT}
    import { existsSync } from "node:fs";
    async function forget() {
      ${WAL}
    }
    await forget();
    await until(() => warnings > 0 && !existsSync(args[0] + "-wal"));
    console.log(existsSync(args[0] + "-wal"));
  `,
    [path],
    { env: runtimeName === "deno" ? { DENO_V8_FLAGS: "--expose-gc" } : {} },
  );
  check(ended, 0, 10_000);
  assert.match(ended.stdout, /^ResourceWarning [^\n]*closed[^\n]*\nfalse\n$/, ended.stderr);
});

test("A connection that was closed does not warn when it is collected", async () => {
  const ended = await program(
    `
    ${COLLECT}
    async function use() {
      await using db = await aiosqlite.connect(":memory:");
      registry.register(db);
    }
    let collected = false;
    const registry = new FinalizationRegistry(() => collected = true);
    await use();
    await until(() => collected);
    console.log(collected, warnings);
  `,
    [],
    { env: runtimeName === "deno" ? { DENO_V8_FLAGS: "--expose-gc" } : {} },
  );
  check(ended, 0, 10_000);
  assert.equal(ended.stdout, "true 0\n");
});
