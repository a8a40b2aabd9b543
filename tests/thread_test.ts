import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../mod.ts";

test("a wake-up that the runtime loses costs a moment, not the answer", async () => {
  await using db = await connect(":memory:");
  const { waitAsync } = Atomics;
  let lost = 0;
  Atomics.waitAsync = () => {
    lost++;
    return { async: true, value: new Promise(() => {}) };
  };
  try {
    for (let i = 0; i < 3; i++) {
      // Long enough for the reply not to be found by looking.
      const sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) " +
        "SELECT max(i) + ? FROM n";
      assert.deepEqual(await db.executeFetchOne(sql, [i]), [300_000 + i]);
    }
    assert.ok(lost >= 1, `${lost}`);
  } finally {
    Atomics.waitAsync = waitAsync;
  }
  // From then on they come again.
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});
