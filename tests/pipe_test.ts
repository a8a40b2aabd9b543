import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { Channel } from "../src/thread/channel.ts";
import { Bell, Pipe } from "../src/thread/pipe.ts";
import { folder } from "./helpers.ts";

const WRITER_BELL = 0;
const READER_BELL = 2;
const WRITTEN = 4;
const FULL = 5;
const READ = 6;

/** A pipe of a small capacity whose positions start where they are told. */
function pipe(capacity: number, position = 0) {
  const words = new Int32Array(new SharedArrayBuffer(4 * 8));
  words[WRITTEN] = words[READ] = position;
  const bytes = new Uint8Array(new SharedArrayBuffer(capacity));
  const writer = new Bell(words, WRITER_BELL);
  const reader = new Bell(words, READER_BELL);
  const made = new Pipe(words, bytes, WRITTEN, READ, writer, reader);
  /** How often a bell has woken who sleeps, as both sides do. */
  const rung = (bell: number) => {
    sleep();
    return words[bell]!;
  };
  const sleep = () => words[WRITER_BELL + 1] = words[READER_BELL + 1] = 1;
  sleep();
  return { words, pipe: made, rung };
}

/** So many different bytes. */
function bytes(count: number, first = 0): Uint8Array {
  return new Uint8Array(count).map((_, i) => first + i);
}

function readAll(pipe: Pipe): Uint8Array {
  const into = new Uint8Array(pipe.available());
  assert.equal(pipe.read(into, 0, into.length), into.length);
  return into;
}

test("an empty pipe has nothing to read and space for its capacity", () => {
  const { pipe: empty } = pipe(64);
  assert.equal(empty.available(), 0);
  assert.equal(empty.space(), 64);
  assert.equal(empty.read(new Uint8Array(4), 0, 4), 0);
});

test("bytes are read in the order they were written, from and to where they should", () => {
  const { pipe: small } = pipe(64);
  assert.equal(small.write(bytes(20), 5, 15), 10);
  assert.equal(small.available(), 10);
  assert.equal(small.space(), 54);
  const into = new Uint8Array(8).fill(99);
  assert.equal(small.read(into, 2, 4), 4);
  assert.deepEqual([...into], [99, 99, 5, 6, 7, 8, 99, 99]);
  assert.equal(small.read(into, 0, 8), 6);
  assert.deepEqual([...into], [9, 10, 11, 12, 13, 14, 99, 99]);
});

test("a write takes what there is space for, up to the last byte", () => {
  const { pipe: small } = pipe(64);
  assert.equal(small.write(bytes(100), 0, 100), 64);
  assert.equal(small.space(), 0);
  assert.equal(small.write(bytes(100), 64, 100), 0);
  const into = new Uint8Array(10);
  small.read(into, 0, 10);
  assert.equal(small.write(bytes(100), 64, 100), 10);
  assert.deepEqual(readAll(small), bytes(64, 10));
});

test("bytes wrap around the end of the ring, few and many", () => {
  for (const [capacity, count] of [[64, 7], [64, 63], [256, 65], [256, 200], [256, 256]] as const) {
    const { pipe: small } = pipe(capacity);
    for (let i = 0; i < 3 * capacity; i += count) {
      assert.equal(small.write(bytes(count, i), 0, count), count);
      assert.deepEqual(readAll(small), bytes(count, i));
    }
  }
});

test("whole words and odd bytes of any part of a buffer arrive alike", () => {
  for (const [skipped, start, count] of [[0, 0, 8], [4, 8, 52], [1, 0, 8], [3, 1, 7], [4, 2, 8]]) {
    const { pipe: small } = pipe(64);
    const source = bytes(100).subarray(skipped);
    const into = new Uint8Array(100).fill(99).subarray(skipped);
    for (let i = 0; i < 10; i++) {
      assert.equal(small.write(source, start!, start! + count!), count);
      assert.equal(small.read(into, start!, count!), count);
      assert.deepEqual(
        into.subarray(start, start! + count!),
        source.subarray(start, start! + count!),
      );
      assert.deepEqual([into[start! - 1] ?? 99, into[start! + count!]], [99, 99]);
    }
  }
});

test("positions count on beyond 2^31 and 2^32", () => {
  for (const position of [2 ** 31 - 100, 2 ** 31, -100, -1, -(2 ** 31)]) {
    const { pipe: small } = pipe(256, position);
    assert.equal(small.space(), 256);
    for (let i = 0; i < 10; i++) {
      assert.equal(small.write(bytes(300, i), 0, 300), 256);
      assert.equal(small.available(), 256);
      const into = new Uint8Array(100);
      assert.equal(small.read(into, 0, 100), 100);
      assert.deepEqual(into, bytes(100, i));
      assert.equal(small.space(), 100);
      assert.deepEqual(readAll(small), bytes(156, i + 100));
      assert.equal(small.available(), 0);
    }
  }
});

test("any writes and reads are those of a queue, wherever the positions are", () => {
  const steps = fc.array(fc.integer({ min: -300, max: 300 }));
  const position = fc.oneof(fc.integer(), fc.constantFrom(2 ** 31 - 50, -50));
  fc.assert(
    fc.property(steps, position, (steps, position) => {
      const { pipe: small } = pipe(128, position);
      const queue: number[] = [];
      let next = 0;
      for (const step of steps) {
        if (step >= 0) {
          const taken = small.write(bytes(step, next), 0, step);
          assert.equal(taken, Math.min(step, 128 - queue.length));
          queue.push(...bytes(taken, next));
          next += taken;
        } else {
          const into = new Uint8Array(-step);
          const count = small.read(into, 0, -step);
          assert.equal(count, Math.min(-step, queue.length));
          assert.deepEqual([...into.subarray(0, count)], queue.splice(0, count));
        }
        assert.equal(small.available(), queue.length);
      }
    }),
    { seed: 3, numRuns: 300 },
  );
});

test("a write rings the reader's bell, and a read does not ring the writer's", () => {
  const { pipe: small, rung } = pipe(64);
  small.write(bytes(10), 0, 10);
  assert.equal(rung(READER_BELL), 1);
  readAll(small);
  small.write(bytes(64), 0, 64);
  assert.equal(rung(READER_BELL), 2);
  readAll(small);
  assert.equal(rung(WRITER_BELL), 0);
  assert.equal(rung(READER_BELL), 2);
});

test("after a write that was not taken whole the next read rings the writer's bell, once", () => {
  const { pipe: small, rung } = pipe(64);
  assert.equal(small.write(bytes(100), 0, 100), 64);
  assert.equal(rung(WRITER_BELL), 0);
  const into = new Uint8Array(10);
  small.read(into, 0, 10);
  assert.equal(rung(WRITER_BELL), 1);
  small.read(into, 0, 10);
  assert.equal(rung(WRITER_BELL), 1);
  assert.equal(small.write(bytes(100), 64, 100), 20);
  small.read(into, 0, 1);
  assert.equal(rung(WRITER_BELL), 2);
});

test("a write to a full pipe takes nothing, and the next read rings the writer's bell", () => {
  const { pipe: small, rung } = pipe(64);
  small.write(bytes(64), 0, 64);
  assert.equal(small.write(bytes(1), 0, 1), 0);
  assert.equal(rung(READER_BELL), 1);
  small.read(new Uint8Array(1), 0, 1);
  assert.equal(rung(WRITER_BELL), 1);
});

test("a read just when the writer marks the pipe full does not cost the writer its ring", () => {
  const { pipe: small, rung } = pipe(64);
  small.write(bytes(60), 0, 60);
  const store = Atomics.store;
  // The other thread, between the mark and the writer's second look at the space.
  Atomics.store = ((words: Int32Array, index: number, value: number) => {
    const stored = store(words, index, value);
    if (index === FULL && value === 1) {
      Atomics.store = store;
      readAll(small);
    }
    return stored;
  }) as typeof Atomics.store;
  let taken: number;
  try {
    taken = small.write(bytes(200), 0, 200);
  } finally {
    Atomics.store = store;
  }
  assert.ok(taken < 200);
  // What the writer does next is to sleep, if there is no space, until its bell rings.
  const before = rung(WRITER_BELL);
  assert.ok(readAll(small).length > 0);
  assert.ok(rung(WRITER_BELL) > before);
});

/** Awaits a ring, for which alone no runtime keeps the process alive. */
async function held(ring: unknown): Promise<void> {
  const timer = setInterval(() => {}, 1000);
  await ring;
  clearInterval(timer);
}

test("a bell that rings before it is listened to needs no waiting", async () => {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const bell = new Bell(words, 0);
  assert.equal(bell.listen(() => true, false), undefined);
  bell.sleep(() => true);
  const ring = bell.listen(() => false, false);
  assert.ok(ring instanceof Promise);
  assert.equal(bell.listen(() => false, true), true);
  bell.ring();
  await held(ring);
  const rings = () => {
    bell.ring();
    return false;
  };
  bell.sleep(rings);
  assert.equal(bell.listen(rings, false), undefined);
});

test("a ring in the midst of going to sleep is not lost", () => {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const bell = new Bell(words, 0);
  const [RUNG, ASLEEP] = [0, 1];
  words[ASLEEP] = 1;
  const { exchange } = Atomics;
  let seen: number | undefined;
  // The other thread's steps before its wait, while this one rings.
  Atomics.exchange = ((...all: Parameters<typeof exchange>) => {
    Atomics.exchange = exchange;
    seen = Atomics.load(words, RUNG);
    Atomics.store(words, ASLEEP, 1);
    return exchange(...all);
  }) as typeof Atomics.exchange;
  try {
    bell.ring();
  } finally {
    Atomics.exchange = exchange;
  }
  assert.ok(seen !== undefined);
  // Nobody will ring a second time, so it may not sleep.
  assert.equal(Atomics.load(words, ASLEEP), 0);
  assert.equal(Atomics.wait(words, RUNG, seen, 0), "not-equal");
});

test("a retired bell wakes who still listens", async () => {
  const bell = new Bell(new Int32Array(new SharedArrayBuffer(8)), 0);
  const ring = bell.listen(() => false, false);
  bell.retire();
  await held(ring);
});

test("both ends of a channel are the same memory", () => {
  const main = new Channel();
  const worker = new Channel(main.memory);
  main.requests.write(bytes(10), 0, 10);
  assert.deepEqual(readAll(worker.requests), bytes(10));
  worker.replies.write(bytes(10, 5), 0, 10);
  assert.deepEqual(readAll(main.replies), bytes(10, 5));
});

test("an interrupt reaches the call that runs, and nothing when none runs", () => {
  const main = new Channel();
  const worker = new Channel(main.memory);
  let acted = 0;
  const act = () => acted++;
  const seen = worker.interrupts();
  main.interrupt(act);
  assert.equal(worker.interrupts(), seen);
  worker.enter(1);
  const interrupted = () => worker.interrupts() !== seen;
  assert.equal(worker.pause(1, interrupted), true);
  main.interrupt(act);
  assert.equal(worker.interrupts(), seen + 1);
  assert.equal(worker.pause(10_000, interrupted), false);
  worker.leave();
  main.interrupt(act);
  assert.equal(worker.interrupts(), seen + 1);
  assert.equal(acted, 1);
});

test("an interrupt whose action throws leaves the worker free", () => {
  const main = new Channel();
  const worker = new Channel(main.memory);
  worker.enter(1);
  assert.throws(() =>
    main.interrupt(() => {
      throw new Error("mine");
    }), /mine/);
  worker.leave(); // would wait for ever if main still held it
});

test("a handle that the worker has given up is not interrupted", () => {
  const main = new Channel();
  const worker = new Channel(main.memory);
  let acted = 0;
  worker.enter(1);
  assert.equal(main.handleGone, false);
  worker.giveUpHandle();
  assert.equal(main.handleGone, true);
  main.interrupt(() => acted++);
  assert.equal(acted, 0);
});

/** A thread that sends back all it gets. */
const ECHO = `
import { workerData } from "node:worker_threads";
import { Channel } from ${
  JSON.stringify(new URL("../src/thread/channel.ts", import.meta.url).href)
};
const channel = new Channel(workerData);
const { requests, replies, workerBell } = channel;
const buffer = new Uint8Array(300_000);
while (!channel.exiting) {
  const count = requests.read(buffer, 0, buffer.length);
  if (count === 0) workerBell.sleep(() => requests.available() > 0 || channel.exiting);
  for (let at = 0; at < count && !channel.exiting;) {
    at += replies.write(buffer, at, count);
    if (at < count) workerBell.sleep(() => replies.space() > 0 || channel.exiting);
  }
}
channel.exited();
`;

test("two threads pass bytes through both pipes at once, sleeping and waking", async () => {
  const path = join(folder(), "echo.ts");
  writeFileSync(path, ECHO);
  const channel = new Channel();
  const { requests, replies, mainBell } = channel;
  const worker = new Worker(pathToFileURL(path), { workerData: channel.memory });
  const total = 8_000_000;
  const data = new Uint8Array(total).map((_, i) => (i * 7 + (i >> 8)) & 0xff);
  const echo = new Uint8Array(total);
  let sent = 0;
  let got = 0;
  for (let turn = 0; got < total; turn++) {
    // Portions of all sizes, so that both ends are ahead and behind in turn.
    const end = Math.min(total, sent + 1 + (turn * 7919) % 400_000);
    sent += requests.write(data, sent, end);
    got += replies.read(echo, got, Math.min(total - got, 1 + (turn * 104_729) % 300_000));
    if (replies.available() > 0 || (sent < total && requests.space() > 0)) continue;
    const ready = () => replies.available() > 0 || (sent < total && requests.space() > 0);
    const ring = got < total ? mainBell.listen(ready, false) : undefined;
    if (ring) await ring;
  }
  assert.ok(echo.every((byte, i) => byte === data[i]));
  channel.exit(5000, () => {});
  await worker.terminate();
});
