import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Plain, Writer } from "../src/thread/codec.ts";
import { Inbox } from "../src/thread/inbox.ts";

const SEED = 7;

const message: fc.Arbitrary<Plain> = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.uint8Array(),
  fc.array(fc.double()),
);

/** A pipe that hands out bytes in the portions it is told, then nothing. */
class Portions {
  readonly #bytes: Uint8Array;
  readonly #cuts: number[];
  #at = 0;

  constructor(bytes: Uint8Array, cuts: Iterable<number>) {
    this.#bytes = bytes;
    this.#cuts = [...cuts].filter((cut) => cut < bytes.length).concat(bytes.length);
  }

  read(into: Uint8Array, offset: number, limit: number): number {
    assert.ok(limit > 0 && offset + limit <= into.length);
    while (this.#cuts.length > 1 && this.#cuts[0]! <= this.#at) this.#cuts.shift();
    const count = Math.min(limit, this.#cuts[0]! - this.#at);
    into.set(this.#bytes.subarray(this.#at, this.#at += count), offset);
    return count;
  }
}

/** A pipe that is empty every other time it is read. */
class Halting extends Portions {
  #halt = false;

  override read(into: Uint8Array, offset: number, limit: number): number {
    this.#halt = !this.#halt;
    return this.#halt ? 0 : super.read(into, offset, limit);
  }
}

function frames(messages: readonly Plain[]): Uint8Array {
  const writer = new Writer();
  for (const message of messages) {
    const at = writer.begin();
    writer.value(message);
    writer.end(at);
  }
  return writer.bytes.slice(0, writer.length);
}

function receive(inbox: Inbox, pipe: Portions, count: number): Plain[] {
  const messages: Plain[] = [];
  for (let empty = 0; messages.length < count;) {
    if (inbox.next(pipe)) {
      const value = inbox.value();
      assert.ok(inbox.at <= inbox.end && inbox.end - inbox.at < 4, "whole words");
      // Bytes are a view that the next message overwrites.
      messages.push(value instanceof Uint8Array ? value.slice() : value);
    } else assert.ok(++empty < 10_000, "never whole");
  }
  assert.equal(inbox.next(pipe), false);
  return messages;
}

test("messages cut at every byte are taken whole and in order", () => {
  const messages: Plain[] = ["é", 1, null, [1n, "x".repeat(50)], new Uint8Array([1, 2, 3]), ""];
  const bytes = frames(messages);
  for (let cut = 0; cut <= bytes.length; cut++) {
    assert.deepEqual(receive(new Inbox(), new Portions(bytes, [cut]), 6), messages);
    assert.deepEqual(receive(new Inbox(), new Halting(bytes, [cut]), 6), messages);
  }
  assert.deepEqual(receive(new Inbox(), new Halting(bytes, bytes.keys()), 6), messages);
});

test("an inbox without a whole message waits for the rest of it", () => {
  const bytes = frames(["message"]);
  const inbox = new Inbox();
  for (let cut = 1; cut < bytes.length; cut++) {
    assert.equal(inbox.next(new Portions(bytes.slice(cut - 1, cut), [])), false);
  }
  assert.equal(inbox.next(new Portions(bytes.slice(-1), [])), true);
  assert.equal(inbox.value(), "message");
});

test("a message that is not read to its end does not disturb the next", () => {
  const pipe = new Portions(frames([["a", "b"], "c"]), []);
  const inbox = new Inbox();
  assert.equal(inbox.next(pipe), true);
  assert.equal(inbox.next(pipe), true);
  assert.equal(inbox.value(), "c");
});

test("messages of any size go through one inbox, which gives memory back", () => {
  const sizes = [0, 10, 1 << 16, 5_000_000, 3, (1 << 16) - 9, 1 << 20, 70_000, 1];
  const messages = sizes.map((size, i) => new Uint8Array(size).fill(i));
  const bytes = frames(messages);
  for (const step of [997, 65_536, bytes.length]) {
    const cuts = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) => i * step);
    const inbox = new Inbox();
    const read = receive(inbox, new Halting(bytes, cuts), sizes.length) as Uint8Array[];
    assert.deepEqual(read.map((message) => message.length), sizes);
    for (const [i, message] of read.entries()) assert.ok(message.every((byte) => byte === i));
    assert.ok(inbox.bytes.length <= 1 << 20, `keeps ${inbox.bytes.length} bytes`);
  }
});

test("any messages cut anywhere are taken whole and in order", () => {
  fc.assert(
    fc.property(fc.array(message), fc.array(fc.nat(4000)), (messages, cuts) => {
      const pipe = new Halting(frames(messages), cuts.sort((a, b) => a - b));
      assert.deepEqual(receive(new Inbox(), pipe, messages.length), messages);
    }),
    { seed: SEED, numRuns: 200 },
  );
});
