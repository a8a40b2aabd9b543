import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { Line } from "../src/line.ts";
import { Failure } from "../src/thread/protocol.ts";

const LONG = { timeout: 60_000 };
const REFUSED = new Failure("ProgrammingError", "refused");

/** What was let in, in that order. */
function diary(): [entries: string[], enter: (name: string) => (value: string) => string] {
  const entries: string[] = [];
  return [entries, (name) => (value) => {
    entries.push(`${name} with ${value}`);
    return name;
  }];
}

test("a line lets in who waits longest, right then, with what was admitted", async () => {
  const line = new Line<null, string>(() => "busy");
  const [entries, enter] = diary();
  const waits = ["a", "b", "c"].map((name) => line.join(null, enter(name), LONG));
  assert.equal(line.length, 3);
  line.admit("1");
  assert.deepEqual(entries, ["a with 1"]);
  line.admit("2");
  line.admit("3");
  assert.deepEqual(entries, ["a with 1", "b with 2", "c with 3"]);
  assert.equal(line.length, 0);
  assert.deepEqual(await Promise.all(waits), ["a", "b", "c"]);
});

test("a line tells what the first in it wants", () => {
  const line = new Line<string, void>(() => "busy");
  assert.equal(line.first, undefined);
  for (const wants of ["tea", "coffee"]) line.join(wants, () => {}, LONG);
  assert.equal(line.first, "tea");
  line.admit();
  assert.equal(line.first, "coffee");
  line.admit();
  assert.equal(line.first, undefined);
});

test("who joins a line ahead is let in first", async () => {
  const line = new Line<string, string>(() => "busy");
  const [entries, enter] = diary();
  const waits = [
    line.join("b", enter("b"), LONG),
    line.join("c", enter("c"), LONG),
    line.join("a", enter("a"), LONG, true),
  ];
  assert.equal(line.first, "a");
  for (const value of "123") line.admit(value);
  assert.deepEqual(entries, ["a with 1", "b with 2", "c with 3"]);
  await Promise.all(waits);
});

test("a line waits for what the one let in does, and passes its failure on", async () => {
  const line = new Line<null, void>(() => "busy");
  const later = line.join(null, () => Promise.resolve("later"), LONG);
  const failing = line.join(null, () => Promise.reject(new Error("mine")), LONG);
  line.admit();
  line.admit();
  assert.equal(await later, "later");
  await assert.rejects(failing, { message: "mine" });
});

test("a wait in line that takes too long fails, says for what, and tells that it left", async () => {
  let reason = "it is early";
  const left: number[] = [];
  const line: Line<null, void> = new Line(() => reason, () => left.push(line.length));
  const started: string[] = [];
  const waits = line.join(null, () => started.push("short"), { timeout: 20 });
  const other = line.join(null, () => started.push("long"), LONG);
  reason = "it is late"; // asked for when it is told
  const failure = await waits;
  assert.ok(failure instanceof Failure);
  const { kind, message, errno } = failure;
  assert.deepEqual(
    [kind, message, errno],
    ["OperationalError", "Timed out after 20 ms: it is late", 5],
  );
  assert.deepEqual(left, [1]);
  line.admit();
  await other;
  assert.deepEqual(started, ["long"]);
});

test("waits in line end in the order of their timeouts, not of the line", async () => {
  const line = new Line<null, void>(() => "busy");
  const ended: number[] = [];
  await Promise.all([60, 20, 40].map(async (timeout) => {
    assert.ok(await line.join(null, () => 0, { timeout }) instanceof Failure);
    ended.push(timeout);
  }));
  assert.deepEqual(ended, [20, 40, 60]);
  assert.equal(line.length, 0);
});

test("a signal ends a wait in line at once, with its reason, and no other's", async () => {
  let left = 0;
  const line = new Line<string, string>(() => "busy", () => left++);
  const [entries, enter] = diary();
  const controller = new AbortController();
  const { signal } = controller;
  const first = line.join("a", enter("a"), LONG);
  const aborted = line.join("b", enter("b"), { ...LONG, signal });
  const last = line.join("c", enter("c"), LONG);
  const reason = new Error("no longer");
  controller.abort(reason);
  assert.deepEqual([line.length, left], [2, 1]);
  const failure = await aborted;
  assert.ok(failure instanceof Failure);
  assert.deepEqual([failure.kind, failure.reason], ["Cancelled", reason]);
  line.admit("1");
  line.admit("2");
  assert.deepEqual(await Promise.all([first, last]), ["a", "c"]);
  assert.deepEqual(entries, ["a with 1", "c with 2"]);
});

test("once it has ended a wait in line hears no signal and keeps no timer", async () => {
  const line = new Line<null, string>(() => "busy");
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = { timeout: 20, signal };
  const waits = ["admitted", "refused", "sent away"].map((name) =>
    line.join(null, () => name, waiting)
  );
  assert.ok(getEventListeners(signal, "abort").length > 0);
  line.admit("");
  line.refuseFirst(REFUSED);
  line.refuse(REFUSED);
  assert.equal(getEventListeners(signal, "abort").length, 0);
  // One that is let in behind them would be hit by what is left of theirs.
  const next = line.join(null, (value) => value, LONG);
  controller.abort();
  await line.join(null, () => "", { timeout: 40 });
  assert.equal(line.length, 1);
  line.admit("next");
  assert.deepEqual(await Promise.all([...waits, next]), ["admitted", REFUSED, REFUSED, "next"]);
});

test("a line sends away the first, or those who want a certain thing, and keeps the others", async () => {
  let left = 0;
  const line = new Line<number, void>(() => "busy", () => left++);
  const waits = [1, 2, 3, 4, 5].map((wants) => line.join(wants, () => wants, LONG));
  line.refuseFirst(REFUSED);
  line.refuse(REFUSED, (wants) => wants % 2 === 0);
  assert.deepEqual([line.length, line.first], [2, 3]);
  line.admit();
  line.refuse(REFUSED);
  assert.equal(line.length, 0);
  assert.deepEqual(await Promise.all(waits), [REFUSED, REFUSED, 3, REFUSED, REFUSED]);
  assert.equal(left, 0); // nobody gave up
});

test("who is let in or sent away may join the line again at once", async () => {
  const line = new Line<null, string>(() => "busy");
  const again = line.join(null, () => line.join(null, (value) => value, LONG), LONG);
  line.admit("once");
  assert.equal(line.length, 1);
  line.admit("twice");
  assert.equal(await again, "twice");
});
