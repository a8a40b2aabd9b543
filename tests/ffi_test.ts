import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { cString, type Library, load } from "../ffi/libsqlite3.ts";
import { runtime } from "../ffi/runtime.ts";
import type { Address } from "../ffi/types.ts";
import { file, folder } from "./helpers.ts";

// What each runtime's file has to do, on the real library: these tests call it from this thread.

const library: Library = load(undefined);
const TRANSIENT = -1n;
const INTEGER = 1;
const FLOAT = 2;
const BLOB = 4;
const NULL = 5;
const OK = 0;
const BUSY = 5;
const ROW = 100;

/** A database opened with bare calls. */
class Bare implements Disposable {
  readonly handle: Address;

  constructor(path = ":memory:") {
    const out = new BigUint64Array(1);
    const name = new TextEncoder().encode(`${path}\0`);
    assert.equal(library.sqlite3_open_v2(name, new Uint8Array(out.buffer), 6, 0n), OK);
    this.handle = runtime.address(out[0]!);
  }

  /** A statement; the text is copied into C's memory for as long as that takes. */
  prepare(sql: string): Address {
    const text = new TextEncoder().encode(`${sql}\0`);
    const address = library.sqlite3_malloc64(BigInt(text.length));
    library.memmove(address, text, BigInt(text.length));
    const out = new BigUint64Array(2);
    const bytes = new Uint8Array(out.buffer);
    const rc = library.sqlite3_prepare_v3(
      this.handle,
      address,
      text.length,
      0,
      bytes.subarray(0, 8),
      bytes.subarray(8),
    );
    library.sqlite3_free(address);
    assert.equal(rc, OK, cString(library, library.sqlite3_errmsg(this.handle)));
    assert.equal(out[1]! - BigInt(address), BigInt(text.length - 1)); // where the text ends
    return runtime.address(out[0]!);
  }

  run(sql: string): number {
    const statement = this.prepare(sql);
    const rc = library.sqlite3_step(statement);
    library.sqlite3_finalize(statement);
    return rc;
  }

  [Symbol.dispose](): void {
    assert.equal(library.sqlite3_close_v2(this.handle), OK);
  }
}

/** Binds with `bind`, steps `SELECT ?`, and hands out what `read` makes of it. */
function roundTrip<T>(bind: (statement: Address) => number, read: (statement: Address) => T): T {
  using database = new Bare();
  const statement = database.prepare("SELECT ?");
  assert.equal(bind(statement), OK);
  assert.equal(library.sqlite3_step(statement), ROW);
  const value = read(statement);
  library.sqlite3_finalize(statement);
  return value;
}

test("ffi: i32 is a number, of either sign", () => {
  assert.ok(library.sqlite3_libversion_number() > 3_000_000);
  for (const value of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) {
    const read = roundTrip(
      (statement) => library.sqlite3_bind_int(statement, 1, value),
      (statement) => library.sqlite3_column_int64(statement, 0),
    );
    assert.equal(BigInt(read), BigInt(value));
  }
  using database = new Bare();
  library.sqlite3_limit(database.handle, 0, 1234);
  assert.equal(library.sqlite3_limit(database.handle, 0, -1), 1234);
});

test("ffi: i64 is exact, to both ends", () => {
  for (
    const value of [
      0n,
      1n,
      -1n,
      2n ** 31n,
      -(2n ** 32n) - 1n,
      2n ** 53n - 1n,
      2n ** 53n + 1n,
      -(2n ** 53n) - 1n,
      2n ** 63n - 1n,
      -(2n ** 63n),
    ]
  ) {
    const read = roundTrip(
      (statement) => library.sqlite3_bind_int64(statement, 1, value),
      (statement) => library.sqlite3_column_int64(statement, 0),
    );
    assert.equal(BigInt(read), value);
  }
});

test("ffi: f64 is a number, bit by bit", () => {
  const values = [0, -0, 1, -1.5, 0.1, Math.PI, 1e308, Number.MIN_VALUE, -Infinity, 2 ** 53];
  for (const value of values) {
    const [type, read] = roundTrip(
      (statement) => library.sqlite3_bind_double(statement, 1, value),
      (statement) => [
        library.sqlite3_column_type(statement, 0),
        library.sqlite3_column_double(statement, 0),
      ],
    );
    assert.equal(type, FLOAT);
    assert.ok(Object.is(read, value), `${value} became ${read}`);
  }
  const type = roundTrip(
    (statement) => library.sqlite3_bind_double(statement, 1, NaN),
    (statement) => library.sqlite3_column_type(statement, 0),
  );
  assert.equal(type, NULL);
});

test("ffi: f64 reads an INTEGER exactly up to 2^53", () => {
  for (const value of [2 ** 53, -(2 ** 53), 2 ** 53 - 1]) {
    const read = roundTrip(
      (statement) => library.sqlite3_bind_int64(statement, 1, BigInt(value)),
      (statement) => [
        library.sqlite3_column_type(statement, 0),
        library.sqlite3_column_double(statement, 0),
      ],
    );
    assert.deepEqual(read, [INTEGER, value]);
  }
});

test("ffi: an address can be passed, null is falsy", () => {
  const address = library.sqlite3_malloc64(16n);
  assert.ok(address);
  assert.equal(typeof runtime.address(BigInt(address)), typeof address);
  library.sqlite3_free(address);
  library.sqlite3_free(0n);
  using database = new Bare();
  const statement = database.prepare("SELECT 1 AS x");
  assert.ok(!library.sqlite3_column_decltype(statement, 0));
  assert.equal(cString(library, library.sqlite3_column_name(statement, 0)), "x");
  library.sqlite3_finalize(statement);
});

test("ffi: a buffer's bytes go both ways, from where its view begins", () => {
  const whole = Uint8Array.from({ length: 300 }, (_, i) => i);
  for (const [start, end] of [[0, 300], [7, 263], [299, 300], [5, 5]] as const) {
    const part = whole.subarray(start, end);
    const length = BigInt(part.length);
    const address = library.sqlite3_malloc64(512n);
    library.memmove(address, part, length);
    const back = new Uint8Array(302).fill(0xee);
    library.memcpy(back.subarray(1, 1 + part.length), address, length);
    assert.deepEqual(back.subarray(1, 1 + part.length), part);
    assert.equal(back[0], 0xee);
    assert.equal(back[1 + part.length], 0xee);
    library.sqlite3_free(address);
  }
});

test("ffi: a large buffer, and one in shared memory", () => {
  for (const memory of [new ArrayBuffer(1 << 24), new SharedArrayBuffer(1 << 16)]) {
    const bytes = new Uint8Array(memory).fill(0xab);
    const address = library.sqlite3_malloc64(BigInt(bytes.length));
    library.memmove(address, bytes, BigInt(bytes.length));
    bytes.fill(0);
    library.memcpy(bytes, address, BigInt(bytes.length));
    library.sqlite3_free(address);
    assert.ok(bytes.every((byte) => byte === 0xab));
  }
});

test("ffi: SQLITE_TRANSIENT can be passed, and an empty blob is one", () => {
  const address = library.sqlite3_malloc64(4n);
  for (const length of [0, 3]) {
    library.memmove(address, new Uint8Array([1, 2, 3]), 3n);
    const read = roundTrip(
      (statement) => {
        const rc = library.sqlite3_bind_blob(statement, 1, address, length, TRANSIENT);
        library.memmove(address, new Uint8Array(3), 3n); // SQLite has its own copy
        return rc;
      },
      (statement) => {
        const bytes = new Uint8Array(library.sqlite3_column_bytes(statement, 0));
        if (length > 0) {
          library.memcpy(bytes, library.sqlite3_column_blob(statement, 0), BigInt(bytes.length));
        }
        return [library.sqlite3_column_type(statement, 0), ...bytes];
      },
    );
    assert.deepEqual(read, [BLOB, ...[1, 2, 3].slice(0, length)]);
  }
  library.sqlite3_free(address);
});

test("ffi: a C string is read up to its NUL", () => {
  assert.match(cString(library, library.sqlite3_libversion()), /^3\.\d+\.\d+$/);
  assert.equal(cString(library, library.sqlite3_errstr(BUSY)), "database is locked");
  assert.equal(cString(library, 0n), "");
});

test("ffi: C calls back, with its parameters, and gets the result", () => {
  const path = file();
  using holder = new Bare(path);
  holder.run("CREATE TABLE t (x)");
  holder.run("BEGIN IMMEDIATE");
  using waiter = new Bare(path);
  const calls: [number, number][] = [];
  const handler = runtime.callback(
    { parameters: ["address", "i32"], result: "i32" },
    (context, tries) => {
      calls.push([Number(context), Number(tries)]);
      if (calls.length === 4) holder.run("COMMIT"); // calls nest
      return calls.length % 3 ? 1 : 0;
    },
  );
  assert.ok(handler.address);
  library.sqlite3_busy_handler(waiter.handle, handler.address, 0x1234n);
  assert.equal(waiter.run("BEGIN IMMEDIATE"), BUSY);
  assert.deepEqual(calls, [[0x1234, 0], [0x1234, 1], [0x1234, 2]]);
  assert.equal(waiter.run("BEGIN IMMEDIATE"), 101);
  assert.deepEqual(calls.slice(3), [[0x1234, 0]]);
  library.sqlite3_busy_handler(waiter.handle, 0n, 0n);
  handler.close();
});

test("ffi: dlopen() leaves out what a library lacks", () => {
  const functions = runtime.dlopen(library.path, {
    sqlite3_libversion_number: { parameters: [], result: "i32" },
    sqlite3_that_is_not_there: { parameters: [], result: "i32" },
    sqlite3_threadsafe: { parameters: [], result: "i32" },
  });
  assert.equal(functions.sqlite3_libversion_number!(), library.sqlite3_libversion_number());
  assert.equal(functions.sqlite3_threadsafe!(), library.sqlite3_threadsafe());
  assert.ok(!functions.sqlite3_that_is_not_there);
});

test("ffi: dlopen() throws for what can't be loaded", () => {
  const table = { sqlite3_threadsafe: { parameters: [], result: "i32" } } as const;
  for (const path of ["/nowhere/libsqlite3.so.0", folder()]) {
    assert.throws(() => runtime.dlopen(path, table), Error);
  }
});

test("ffi: env() reads the environment", () => {
  process.env.AIOSQLITE_TEST = "é";
  assert.equal(runtime.env("AIOSQLITE_TEST"), "é");
  delete process.env.AIOSQLITE_TEST;
  assert.equal(runtime.env("AIOSQLITE_TEST"), undefined);
});
