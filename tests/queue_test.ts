import assert from "node:assert/strict";
import { test } from "node:test";
import { clearImmediate, setImmediate } from "node:timers";
import fc from "fast-check";
import { RowQueue } from "../src/queue.ts";

test("a queue of rows: nothing is taken from an empty one", () => {
  const queue = new RowQueue<number>();
  queue.add([]);
  assert.equal(queue.length, 0);
  assert.equal(queue.takeOne(), undefined);
  assert.deepEqual(queue.take(3), []);
  assert.deepEqual(queue.take(Infinity), []);
});

test("a queue of rows: a batch that is all there is, is handed out as it came in", () => {
  const queue = new RowQueue<number>();
  const batch = [1, 2, 3];
  queue.add(batch);
  assert.equal(queue.take(3), batch);
  assert.equal(queue.length, 0);
  queue.add([4]);
  assert.deepEqual(batch, [1, 2, 3]);
  assert.deepEqual(queue.take(1), [4]);
});

test("a queue of rows: what is left of a batch is an array of its own", () => {
  const queue = new RowQueue<number>();
  queue.add([1, 2, 3]);
  assert.equal(queue.takeOne(), 1);
  queue.add([4]);
  assert.deepEqual(queue.take(Infinity), [2, 3, 4]);
});

test("a queue of rows hands them out in order, whatever is taken", () => {
  const operation = fc.oneof(
    fc.array(fc.integer(), { maxLength: 5 }).map((add) => ({ add })),
    fc.constant({ takeOne: true as const }),
    fc.constantFrom(0, 1, 2, 7, Infinity).map((take) => ({ take })),
    fc.constant({ takeAll: true as const }),
    fc.constant({ clear: true as const }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const queue = new RowQueue<number>();
      const model: number[] = [];
      for (const one of operations) {
        if ("add" in one) {
          model.push(...one.add);
          queue.add([...one.add]);
        } else if ("takeOne" in one) assert.equal(queue.takeOne(), model.shift());
        else if ("takeAll" in one) assert.deepEqual(queue.takeAll(), model.splice(0));
        else if ("take" in one) assert.deepEqual(queue.take(one.take), model.splice(0, one.take));
        else {
          model.length = 0;
          queue.clear();
        }
        assert.equal(queue.length, model.length);
      }
    }),
    { numRuns: 2000 },
  );
});

test("a queue of rows puts many together in turns, and what comes in meanwhile is left", async () => {
  const queue = new RowQueue<number>();
  const batch = (first: number, count: number) =>
    Array.from({ length: count }, (_, i) => first + i);
  queue.add(batch(0, 1000));
  assert.deepEqual(queue.take(10), batch(0, 10));
  for (let first = 1000; first < 2_000_000; first += 1000) queue.add(batch(first, 1000));
  let turns = 0;
  const count = () => {
    turns++;
    counting = setImmediate(count);
  };
  let counting = setImmediate(count);
  const taking = queue.takeAll();
  assert.equal(queue.length, 0);
  queue.add([-1]);
  assert.deepEqual(await taking, batch(10, 1_999_990));
  clearImmediate(counting);
  assert.ok(turns > 0);
  assert.deepEqual(queue.takeAll(), [-1]);
});
