import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "../ffi/libsqlite3.ts";
import { SQLITE_INTERRUPT } from "../ffi/result_codes.ts";
import { Database } from "../ffi/sqlite.ts";
import { Channel } from "../src/thread/channel.ts";
import { Questions } from "../src/thread/questions.ts";
import { Stops } from "../src/thread/stops.ts";

test("a thread that is taken for dead waits for no answer any more", () => {
  const main = new Channel();
  const worker = new Channel(main.memory);
  const database = Database.open(load(undefined), ":memory:", 6, false);
  try {
    const stops = new Stops(worker, database, 1000);
    worker.enter(1);
    stops.start(null);
    assert.equal(stops.stopped, false);
    assert.equal(main.abandon(), true); // in the middle of a call
    assert.equal(stops.stopped, true);
    const questions = new Questions(worker, () => stops.stopped);
    assert.deepEqual(questions.ask(1, ["text", null, 1.5]), { code: SQLITE_INTERRUPT });
    assert.ok(main.replies.available() > 0); // it was asked
  } finally {
    database.close();
  }
});
