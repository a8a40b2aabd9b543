import assert from "node:assert/strict";
import { test } from "node:test";
import { Looks } from "../src/thread/looks.ts";

/** What becomes of a number of waits, when every look misses: "l" is a look, "." one left out. */
function waits(looks: Looks, count: number): string {
  return Array.from({ length: count }, () => {
    if (!looks.worthwhile()) return ".";
    looks.missed();
    return "l";
  }).join("");
}

test("looks that miss are left out, twice as many after each, up to a limit", () => {
  const all = waits(new Looks(), 200);
  assert.ok(
    all.startsWith("llllllll" + "l.." + "l...." + "l........" + "l" + ".".repeat(16) + "l"),
    all,
  );
  assert.equal(Math.max(...all.split("l").map((left) => left.length)), 32);
});

test("a look that pays makes up for all misses", () => {
  const looks = new Looks();
  for (let i = 0; i < 100; i++) {
    assert.equal(waits(looks, 8), "llllllll");
    looks.paid();
  }
  waits(looks, 60);
  while (!looks.worthwhile());
  looks.paid();
  assert.equal(waits(looks, 11), "lllllllll..");
});
