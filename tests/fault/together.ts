/**
 * Tests that share processes: to start one takes far longer than most of what is to be tried in it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ended, folder, program } from "../helpers.ts";

/** A test's name, and what it runs; the path of a database of its own is in `path` there. */
export type Case = readonly [name: string, source: string, skip?: false | string];

/** So many share a process. What breaks that shows in those of the same process, too. */
const SHARE = 12;

/** Adds a test of each case: it has to run without an error, and its process to end by itself. */
export function together(prelude: string, cases: readonly Case[]): void {
  for (let at = 0; at < cases.length; at += SHARE) add(prelude, cases.slice(at, at + SHARE));
}

function add(prelude: string, cases: readonly Case[]): void {
  let running: Promise<Ended> | undefined;
  const functions = cases.map(([, source, skip]) => `async (path) => {\n${skip ? "" : source}\n}`);
  const source = `${prelude}
    for (const [i, run] of [${functions.join(",\n")}].entries()) {
      try {
        await run(args[0] + "/" + i + ".db");
        console.log(i + " survived");
      } catch (error) {
        console.error("case " + i, error);
      }
    }`;
  for (const [i, [name, , skip]] of cases.entries()) {
    test(name, { timeout: 60_000, skip: skip ?? false }, async () => {
      running ??= program(source, [folder()], { timeout: 50_000 });
      const { code, signal, stdout, stderr } = await running;
      const lines = stdout.trimEnd().split("\n");
      assert.ok(lines.includes(`${i} survived`), `case ${i}: ${signal ?? code}\n${stderr}`);
      assert.deepEqual([code, signal], [0, null], stderr);
      assert.deepEqual(lines.filter((line) => !/^\d+ survived$/.test(line)), []);
    });
  }
}
