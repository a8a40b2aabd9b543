/**
 * The driver's thread, but it dies when a file says so: S14 has this run in its place.
 *
 * The thread's own code runs until the end of the thread without leaving the stack. So it is looked
 * for the file where it waits for work, and where it looks for space for a reply: a failure there
 * can't be said in a reply, so it is the end of the thread.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { threadId } from "node:worker_threads";

const order = `${process.env.SCOREBOARD_ORDERS}${threadId}`;
const { load, wait } = Atomics;
/** Milliseconds between two looks. */
const STEP = 2;
let looked = 0;
let how = "";

function look(): void {
  const now = performance.now();
  if (how === "" && now - looked < STEP) return;
  looked = now;
  if (how === "" && existsSync(order)) how = readFileSync(order, "utf8");
  if (how === "exit") process.exit(3);
  if (how === "memory") {
    const hog: unknown[] = [];
    for (;;) hog.push(new Array(100_000).fill(hog.length));
  }
  if (how !== "") throw new Error(`told to die by ${how}`);
}

Atomics.wait = ((words: Int32Array, at: number, value: number, limit = Infinity) => {
  for (let left = limit;; left -= STEP) {
    const woken = wait(words, at, value, Math.min(left, STEP));
    if (woken !== "timed-out" || left <= STEP) return woken;
    look();
  }
}) as typeof Atomics.wait;
Atomics.load = ((words: Int32Array, at: number) => {
  look();
  return load(words, at);
}) as typeof Atomics.load;

import("../../../src/thread/worker.ts").catch((error) => {
  if (how !== "throw") throw error; // nobody handles this rejection
  setTimeout(() => {
    throw error;
  });
});
