import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BLOB,
  decodeText,
  FLOAT,
  INT32,
  INT64,
  INTEGER,
  type Plain,
  Reader,
  REFUSED,
  TEXT,
  utf8Length,
  Writer,
} from "../src/thread/codec.ts";

const SEED = 7;

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: fc.constantFrom("\0", "\ufeff", "é", "€", "😀", "a"), maxLength: 90 }),
);

const plain: fc.Arbitrary<Plain> = fc.letrec<{ value: Plain }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    text,
    fc.uint8Array(),
    fc.array(tie("value"), { maxLength: 6 }),
  ),
})).value;

/** Reads what was written as it would be in another thread: from other bytes. */
function reader(writer: Writer): Reader {
  return new Reader(writer.bytes.slice(0, writer.length));
}

test("any value is read as it was written", () => {
  fc.assert(
    fc.property(fc.array(plain), (values) => {
      const writer = new Writer();
      for (const value of values) writer.value(value);
      const read = reader(writer);
      for (const value of values) assert.deepEqual(read.value(), value);
      assert.equal(read.at, writer.length);
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test("a number is read as it was written, minus zero and not-a-number too", () => {
  const numbers = [0, -0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 53, 0.5, Infinity, NaN];
  const writer = new Writer();
  for (const number of numbers) writer.value(number);
  const read = reader(writer);
  for (const number of numbers) assert.ok(Object.is(read.value(), number), `${number}`);
});

test("what is written with a tag is read by it", () => {
  const writer = new Writer();
  writer.u8(255);
  writer.u32(2 ** 32 - 1);
  writer.f64(-0);
  writer.int32(-5);
  writer.int64(-(2n ** 63n));
  writer.double(INTEGER, 2 ** 53 - 1);
  writer.double(FLOAT, 0.1);
  writer.text("é");
  writer.blob(new Uint8Array([1, 2]));
  const read = reader(writer);
  assert.equal(read.u8(), 255);
  assert.equal(read.u32(), 2 ** 32 - 1);
  assert.ok(Object.is(read.f64(), -0));
  assert.deepEqual([read.u8(), read.i32()], [INT32, -5]);
  assert.deepEqual([read.u8(), read.i64()], [INT64, -(2n ** 63n)]);
  assert.deepEqual([read.value(), read.value()], [2 ** 53 - 1, 0.1]);
  assert.deepEqual([read.u8(), read.u32(), read.text(2)], [TEXT, 2, "é"]);
  assert.deepEqual([read.u8(), read.u32(), read.take(2)], [BLOB, 2, new Uint8Array([1, 2])]);
  assert.equal(read.at, writer.length);
});

test("text of any length and script has its length in bytes before it", () => {
  for (const unit of ["a", "\0", "é", "€", "😀", "a€😀"]) {
    for (const length of [0, 1, 39, 40, 41, 1000, 65_535, 65_536, 65_537, 200_000]) {
      const value = unit.repeat(Math.ceil(length / unit.length));
      const writer = new Writer();
      writer.text(value);
      writer.u8(77);
      const read = reader(writer);
      assert.equal(read.u8(), TEXT);
      const bytes = read.u32();
      assert.equal(bytes, new TextEncoder().encode(value).length);
      assert.ok(read.text(bytes) === value);
      assert.equal(read.u8(), 77);
    }
  }
});

test("utf8Length() is the number of bytes that the encoder makes", () => {
  fc.assert(
    fc.property(text, (value) => {
      assert.equal(utf8Length(value), new TextEncoder().encode(value).length);
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test("skip() moves to where value() does", () => {
  const value = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    text,
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(value, (value) => {
      const writer = new Writer();
      writer.value(value);
      const [a, b] = [reader(writer), reader(writer)];
      a.value();
      b.skip();
      assert.equal(b.at, a.at);
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test("skip() moves past the failure of a value that is refused", () => {
  const writer = new Writer();
  writer.u8(REFUSED);
  writer.value(["DataError", "é", -1]);
  writer.value("next");
  const read = reader(writer);
  read.skip();
  assert.equal(read.value(), "next");
});

test("a reader of part of a buffer reads that part", () => {
  const writer = new Writer();
  writer.u32(0);
  writer.value(["é", 1n, 0.5]);
  const read = new Reader(writer.bytes.subarray(4, writer.length));
  assert.deepEqual(read.value(), ["é", 1n, 0.5]);
});

test("decodeText() throws for what is not UTF-8, and keeps a BOM and NULs", () => {
  const encoder = new TextEncoder();
  for (const prefix of ["", "a", "é".repeat(50)]) {
    for (const bytes of [[0xff], [0xe2, 0x82], [0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80]]) {
      const all = new Uint8Array([...encoder.encode(prefix), ...bytes]);
      assert.throws(() => decodeText(all, 0, all.length), TypeError);
    }
    const good = encoder.encode(`\ufeff${prefix}\0`);
    assert.equal(decodeText(good, 0, good.length), `\ufeff${prefix}\0`);
    assert.equal(decodeText(good, 3, good.length - 1), prefix);
  }
});

test("a writer grows as needed and clear() empties it", () => {
  const writer = new Writer();
  const large = new Uint8Array(3_000_000).fill(7);
  for (let i = 0; i < 3; i++) {
    writer.value(i);
    writer.blob(large);
    writer.value("end");
    const read = reader(writer);
    assert.equal(read.value(), i);
    assert.ok((read.value() as Uint8Array).every((byte) => byte === 7));
    assert.equal(read.value(), "end");
    writer.clear();
    assert.equal(writer.length, 0);
    assert.ok(writer.bytes.length <= 1 << 20, "gives exceptional memory back");
    assert.equal(writer.view.buffer, writer.bytes.buffer);
  }
});
