import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { load } from "../ffi/libsqlite3.ts";
import { runtime } from "../ffi/runtime.ts";
import { Windows } from "../ffi/windows.ts";

const library = load(undefined);
const STEP = 1 << 20;
const isNode = !process.versions.bun && !process.versions.deno;

/** Bytes in C's memory, given back in the end. */
class Memory implements Disposable {
  readonly #address: number | bigint;

  constructor(length: number) {
    this.#address = library.sqlite3_malloc64(BigInt(length));
    assert.ok(this.#address);
  }

  get address(): number {
    return Number(this.#address);
  }

  write(offset: number, bytes: Uint8Array): void {
    const address = runtime.address(this.address + offset);
    library.memmove(address, bytes, runtime.address(bytes.length));
  }

  [Symbol.dispose](): void {
    library.sqlite3_free(this.#address);
  }
}

/** Asks until a window shows the bytes, or none will: only what is read often has one. */
function open(windows: Windows, address: number, length: number): boolean {
  for (let i = 0; i < 16; i++) windows.find(address, length);
  return windows.find(address, length) !== null;
}

test("windows: there are some in Node, whose calls take long, and nowhere else", () => {
  using memory = new Memory(8);
  const windows = new Windows(library);
  assert.equal(windows.usable, isNode);
  assert.ok(!windows.find(memory.address, 8), "at first sight");
  assert.equal(open(windows, memory.address, 8), isNode);
});

test("windows: show what C writes, wherever it is", () => {
  using memory = new Memory(3 * STEP);
  const windows = new Windows(library);
  const bytes = new Uint8Array(300);
  for (let offset = 0; offset < 3 * STEP - 300; offset += STEP / 4 - 100) {
    open(windows, memory.address + offset, 300);
    for (const length of [0, 1, 39, 40, 41, 300]) {
      for (const seed of [1, 2]) { // written after the window has been opened, too
        for (let i = 0; i < length; i++) bytes[i] = i * 7 + seed + offset;
        memory.write(offset, bytes);
        const into = new Uint8Array(310);
        const shown = windows.copy(memory.address + offset, length, into, 5);
        assert.equal(shown, isNode);
        if (shown) assert.deepEqual(into.subarray(5, 5 + length), bytes.subarray(0, length));
        assert.ok(into.subarray(5 + length).every((byte) => byte === 0));
      }
    }
  }
});

test("windows: what is longer than they overlap is left to a call", () => {
  using memory = new Memory(STEP + 1);
  const windows = new Windows(library);
  assert.equal(open(windows, memory.address, STEP), isNode);
  assert.ok(!windows.find(memory.address, STEP + 1));
});

test("windows: two that contend for a place are not opened all the time", {
  skip: !isNode && "there are none",
}, () => {
  const opened: number[] = [];
  const windows = new Windows(library, (address, length) => {
    opened.push(address);
    return runtime.view!(address, length);
  });
  using memory = new Memory(65 * STEP);
  for (let i = 0; i < 10_000; i++) {
    windows.find(memory.address, 8);
    windows.find(memory.address + 64 * STEP, 8);
  }
  assert.ok(opened.length < 20, `${opened.length} times`);
});

for (
  const [what, view] of Object.entries({
    "that are copies": (address: number, length: number) => {
      const bytes = new Uint8Array(length);
      library.memcpy(bytes, runtime.address(address), runtime.address(Math.min(length, 8)));
      return bytes.buffer;
    },
    "that are refused": () => {
      throw new Error("no external memory");
    },
    "of nothing": () => new ArrayBuffer(0),
  })
) {
  test(`windows ${what} are not looked through`, () => {
    using memory = new Memory(8);
    const windows = new Windows(library, view);
    assert.equal(windows.usable, true);
    assert.equal(open(windows, memory.address, 8), false);
    assert.equal(windows.usable, false);
    assert.equal(windows.copy(memory.address, 8, new Uint8Array(8), 0), false);
  });
}
