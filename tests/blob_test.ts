import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Blob as SqlBlob,
  connect,
  type Connection,
  DataError,
  OperationalError,
  ProgrammingError,
} from "../mod.ts";
import { file, python } from "./helpers.ts";

const DATA = "this blob data string is exactly fifty bytes long!";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);

/** A connection with a table `t` whose first row's `b` is DATA as a BLOB. */
async function open(path = ":memory:"): Promise<Connection> {
  const db = await connect(path, { isolationLevel: null, timeout: 0 });
  await db.execute("CREATE TABLE t (b BLOB)");
  await db.execute("INSERT INTO t VALUES (?)", [bytes(DATA)]);
  return db;
}

async function content(db: Connection, rowid = 1): Promise<string> {
  return text((await db.executeFetchOne("SELECT b FROM t WHERE rowid = ?", [rowid]))![0] as never);
}

const CLOSED = { name: "ProgrammingError", message: "Cannot operate on a closed blob." };
const CLOSED_DB = { name: "ProgrammingError", message: "Cannot operate on a closed database." };

test("blobOpen() gives a Blob that knows its length and where it is", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  assert.ok(blob instanceof SqlBlob);
  assert.equal(blob.length, 50);
  assert.equal(blob.tell(), 0);
});

test("Blob.seek() goes from the start, from where it is, and from the end", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  blob.seek(10);
  assert.equal(blob.tell(), 10);
  blob.seek(10, 0);
  assert.equal(blob.tell(), 10);
  blob.seek(10, 1);
  assert.equal(blob.tell(), 20);
  blob.seek(-20, 1);
  assert.equal(blob.tell(), 0);
  blob.seek(-10, 2);
  assert.equal(blob.tell(), 40);
  for (const [offset, origin, at] of [[50, 0, 50], [0, 2, 50], [0, 1, 50], [-50, 2, 0]] as const) {
    blob.seek(offset, origin);
    assert.equal(blob.tell(), at);
  }
});

test("Blob.seek() refuses what is outside, and stays where it is", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  blob.seek(10);
  const range = { name: "ProgrammingError", message: "offset out of blob range" };
  const outside = [[51, 0], [-1, 0], [41, 1], [-11, 1], [1, 2], [-51, 2]] as const;
  for (const [offset, origin] of outside) assert.throws(() => blob.seek(offset, origin), range);
  const huge = [2 ** 31, -(2 ** 31), 2 ** 53, Infinity, -Infinity, NaN, 0.5, "1", 1n, undefined];
  for (const offset of huge as number[]) {
    for (const origin of [0, 1, 2] as const) {
      assert.throws(() => blob.seek(offset, origin), ProgrammingError);
    }
  }
  for (const origin of [3, -1, "0", null, NaN] as unknown[]) {
    assert.throws(() => blob.seek(0, origin as 0), /'origin' should be 0, 1 or 2/);
  }
  assert.equal(blob.tell(), 10);
});

test("Blob.read() reads all, a part, and never more than there is", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  assert.equal(text(await blob.read()), DATA);
  assert.equal(blob.tell(), 50);
  assert.equal(text(await blob.read()), "");
  blob.seek(0);
  assert.equal(text(await blob.read(10)), DATA.slice(0, 10));
  assert.equal(blob.tell(), 10);
  assert.equal(text(await blob.read(10)), DATA.slice(10, 20));
  assert.equal(text(await blob.read(0)), "");
  assert.equal(blob.tell(), 20);
  assert.equal(text(await blob.read(1000)), DATA.slice(20));
  blob.seek(-3, 2);
  assert.equal(text(await blob.read(-1)), "ng!");
  assert.equal(blob.tell(), 50);
  for (const bad of [0.5, NaN, Infinity, "1", null, 1n] as unknown[]) {
    await assert.rejects(blob.read(bad as number), ProgrammingError);
  }
});

test("Blob.write() writes where it is, and moves on", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  await blob.write(bytes("NEW"));
  assert.equal(blob.tell(), 3);
  await blob.write(bytes("ER"));
  blob.seek(-5, 2);
  await blob.write(bytes("five!"));
  assert.equal(blob.tell(), 50);
  await blob.write(bytes(""));
  assert.equal(await content(db), `NEWER${DATA.slice(5, 45)}five!`);
  blob.seek(0);
  assert.equal(text(await blob.read(7)), `NEWER${DATA.slice(5, 7)}`);
});

test("Blob.write() refuses what does not fit, and other things than bytes", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  const tooLong = { name: "DataError", message: "data longer than blob length" };
  await assert.rejects(blob.write(new Uint8Array(51)), tooLong);
  blob.seek(50);
  await assert.rejects(blob.write(new Uint8Array(1)), tooLong);
  blob.seek(48);
  await assert.rejects(blob.write(new Uint8Array(3)), tooLong);
  const bad: unknown[] = [
    "text",
    [1],
    null,
    undefined,
    5,
    new ArrayBuffer(1),
    new DataView(new ArrayBuffer(1)),
  ];
  for (const value of bad) await assert.rejects(blob.write(value as Uint8Array), ProgrammingError);
  assert.equal(blob.tell(), 48);
  assert.equal(await content(db), DATA);
});

test("Blob.write() copies the bytes when it is called", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  const data = new Uint8Array([1, 2, 3, 4]);
  const done = blob.write(data.subarray(1, 3));
  data.fill(9);
  await done;
  blob.seek(0);
  assert.deepEqual(await blob.read(2), new Uint8Array([2, 3]));
});

test("calls that are not awaited are served in their order", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  const calls = [blob.read(4), blob.write(bytes("1234")), blob.read(2)];
  blob.seek(4);
  const [first, , third, , fifth] = await Promise.all([
    ...calls,
    blob.write(bytes("!")),
    (() => {
      blob.seek(0);
      return blob.read(10);
    })(),
  ]);
  assert.equal(text(first as Uint8Array), DATA.slice(0, 4));
  assert.equal(text(third as Uint8Array), DATA.slice(8, 10));
  assert.equal(text(fifth as Uint8Array), `${DATA.slice(0, 4)}!234${DATA.slice(8, 10)}`);
});

test("a Blob whose row is changed by other means is lost: SQLITE_ABORT", async () => {
  for (const change of ["UPDATE t SET b = 'aaaa' WHERE rowid = 1", "DELETE FROM t"]) {
    await using db = await open();
    await using blob = await db.blobOpen("t", "b", 1);
    await db.execute(change);
    const aborted = (error: unknown) => {
      return error instanceof OperationalError && error.code === "SQLITE_ABORT" &&
        error.errno === 4;
    };
    await assert.rejects(blob.read(), aborted);
    await assert.rejects(blob.read(5), aborted);
    await assert.rejects(blob.write(bytes("aaa")), aborted);
    await blob.close();
  }
});

test("a Blob stays when another row is changed", async () => {
  await using db = await open();
  await db.execute("INSERT INTO t VALUES ('other')");
  await using blob = await db.blobOpen("t", "b", 1);
  await db.execute("UPDATE t SET b = 'more' WHERE rowid = 2");
  assert.equal(text(await blob.read()), DATA);
});

test("a Blob that is readonly can't be written to", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1, { readonly: true });
  await assert.rejects(blob.write(bytes("aaa")), {
    name: "OperationalError",
    code: "SQLITE_READONLY",
    message: "attempt to write a readonly database",
  });
  blob.seek(0);
  assert.equal(text(await blob.read()), DATA);
});

test("a write that SQLite refuses leaves the position where it was", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1, { readonly: true });
  blob.seek(10);
  await assert.rejects(blob.write(bytes("aaa")), OperationalError);
  assert.equal(blob.tell(), 10);
  const refused = blob.write(bytes("aaa"));
  blob.seek(20);
  await assert.rejects(refused, OperationalError);
  assert.equal(blob.tell(), 20);
});

test("blobOpen() says what does not exist", async () => {
  await using db = await open();
  await db.execute("CREATE VIEW v AS SELECT b FROM t");
  await db.execute("CREATE TABLE w (id TEXT PRIMARY KEY, b) WITHOUT ROWID");
  const cases = [
    [() => db.blobOpen("nope", "b", 1), /no such table/],
    [() => db.blobOpen("t", "nope", 1), /no such column/],
    [() => db.blobOpen("t", "b", 2), /no such rowid: 2/],
    [() => db.blobOpen("t", "b", -1), /no such rowid/],
    [() => db.blobOpen("t", "b", 1, { name: "nope" }), /no such table/],
    [() => db.blobOpen("t", "b", 1, { name: "temp" }), /no such table/],
    [() => db.blobOpen("v", "b", 1), /cannot open view/],
    [() => db.blobOpen("w", "b", 1), /cannot open table without rowid/],
  ] as const;
  for (const [opening, message] of cases) {
    await assert.rejects(opening(), { name: "OperationalError", code: "SQLITE_ERROR", message });
  }
  assert.equal(await content(db), DATA);
});

test("blobOpen() opens text and blobs, and no other values", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (b)");
  await db.execute("INSERT INTO t VALUES ('é'), (NULL), (1), (1.5)");
  await using blob = await db.blobOpen("t", "b", 1);
  assert.equal(text(await blob.read()), "é");
  for (const [rowid, type] of [[2, "null"], [3, "integer"], [4, "real"]] as const) {
    await assert.rejects(db.blobOpen("t", "b", rowid), {
      name: "OperationalError",
      message: `cannot open value of type ${type}`,
    });
  }
});

test("blobOpen() refuses to write what is indexed or a foreign key; reading is fine", async () => {
  await using db = await open();
  await db.execute("CREATE INDEX i ON t (b)");
  await assert.rejects(db.blobOpen("t", "b", 1), /cannot open indexed column for writing/);
  await using blob = await db.blobOpen("t", "b", 1, { readonly: true });
  assert.equal(text(await blob.read(4)), "this");
});

test("blobOpen() checks what it is given", async () => {
  await using db = await open();
  const cases = [
    () => db.blobOpen("t\0", "b", 1),
    () => db.blobOpen("t", "\ud800", 1),
    () => db.blobOpen(5 as never, "b", 1),
    () => db.blobOpen("t", null as never, 1),
    () => db.blobOpen(undefined as never, "b", 1),
    () => db.blobOpen("t", undefined as never, 1),
    () => db.blobOpen("t", "b", 1, { name: 5 as never }),
    () => db.blobOpen("t", "b", 1, { name: "main\0" }),
  ];
  for (const opening of cases) await assert.rejects(opening(), ProgrammingError);
  const rowids = [1.5, NaN, Infinity, 2 ** 53, "1", null, undefined, 2n ** 63n, -(2n ** 63n) - 1n];
  for (const rowid of rowids) {
    await assert.rejects(db.blobOpen("t", "b", rowid as never), DataError);
  }
});

test("a rowid may have 64 bits", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (b)");
  for (const rowid of [2 ** 32, 2 ** 53 - 1, -5, 2n ** 63n - 1n, -(2n ** 63n)]) {
    await db.execute("INSERT INTO t (rowid, b) VALUES (?, ?)", [rowid, bytes(`of ${rowid}`)]);
    await using blob = await db.blobOpen("t", "b", rowid);
    assert.equal(text(await blob.read()), `of ${rowid}`);
  }
});

test("a value without length reads as nothing", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (b)");
  await db.execute("INSERT INTO t VALUES (zeroblob(0)), ('')");
  for (const rowid of [1, 2]) {
    await using blob = await db.blobOpen("t", "b", rowid);
    assert.equal(blob.length, 0);
    assert.deepEqual(await blob.read(), new Uint8Array());
    await blob.write(new Uint8Array());
    await assert.rejects(blob.write(new Uint8Array(1)), DataError);
    blob.seek(0, 2);
    assert.equal(blob.tell(), 0);
    assert.equal(await new Response(blob.readable).text(), "");
  }
});

test("a large value is read and written in parts", async () => {
  await using db = await connect(":memory:", { isolationLevel: null });
  await db.execute("CREATE TABLE t (b)");
  const size = 20_000_000;
  await db.execute("INSERT INTO t VALUES (zeroblob(?))", [size]);
  await using blob = await db.blobOpen("t", "b", 1);
  assert.equal(blob.length, size);
  const part = new Uint8Array(7_000_000).fill(7);
  blob.seek(size - part.length);
  await blob.write(part);
  blob.seek(0);
  const all = await blob.read();
  assert.equal(all.length, size);
  assert.equal(all.indexOf(7), size - part.length);
  assert.equal(all.lastIndexOf(0), size - part.length - 1);
});

test("what is read is a copy of the reader's own", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  const first = await blob.read(4);
  blob.seek(0);
  const second = await blob.read(4);
  first.fill(0);
  assert.equal(text(second), "this");
  assert.equal(first.buffer.byteLength, 4);
});

test("readable streams what is left", async () => {
  await using db = await open();
  await db.execute("UPDATE t SET b = ?", [new Uint8Array(200_000).map((_, i) => i)]);
  await using blob = await db.blobOpen("t", "b", 1);
  blob.seek(5);
  const chunks: Uint8Array[] = [];
  for await (const chunk of blob.readable) chunks.push(chunk);
  assert.ok(chunks.length > 1);
  assert.equal(chunks.reduce((sum, { length }) => sum + length, 0), 199_995);
  assert.equal(chunks[0]![0], 5);
  assert.equal(chunks.at(-1)!.at(-1), 199_999 & 255);
  assert.equal(blob.tell(), 200_000);
});

test("readable reads no further than it is asked to", async () => {
  await using db = await open();
  await db.execute("UPDATE t SET b = zeroblob(1000000)");
  await using blob = await db.blobOpen("t", "b", 1);
  const { readable } = blob;
  assert.equal(blob.tell(), 0);
  const reader = readable.getReader();
  const { value } = await reader.read();
  assert.equal(blob.tell(), value!.length);
  await reader.cancel();
  assert.equal((await blob.read(3)).length, 3);
});

test("writable writes what a stream brings, and says when it does not fit", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  blob.seek(5);
  await new Response("0123456789").body!.pipeTo(blob.writable);
  assert.equal(blob.tell(), 15);
  assert.equal(await content(db), `${DATA.slice(0, 5)}0123456789${DATA.slice(15)}`);
  await assert.rejects(new Response("x".repeat(40)).body!.pipeTo(blob.writable), DataError);
  assert.equal(blob.tell(), 15);
});

test("one value is piped into another", async () => {
  await using db = await open();
  await db.execute("INSERT INTO t VALUES (zeroblob(50))");
  await using from = await db.blobOpen("t", "b", 1, { readonly: true });
  await using to = await db.blobOpen("t", "b", 2);
  await from.readable.pipeTo(to.writable);
  assert.equal(await content(db, 2), DATA);
});

test("a stream of a Blob that is lost fails with its error", async () => {
  await using db = await open();
  await using blob = await db.blobOpen("t", "b", 1);
  await db.execute("DELETE FROM t");
  await assert.rejects(new Response(blob.readable).text(), { code: "SQLITE_ABORT" });
  await assert.rejects(new Response("a").body!.pipeTo(blob.writable), { code: "SQLITE_ABORT" });
});

test("after close() every method refuses, and closing again is fine", async () => {
  await using db = await open();
  const blob = await db.blobOpen("t", "b", 1);
  await Promise.all([blob.close(), blob.close()]);
  await blob.close();
  await assert.rejects(blob.read(), CLOSED);
  await assert.rejects(blob.read(0), CLOSED);
  await assert.rejects(blob.write(bytes("a")), CLOSED);
  assert.throws(() => blob.seek(0), CLOSED);
  assert.throws(() => blob.tell(), CLOSED);
  await assert.rejects(new Response(blob.readable).text(), CLOSED);
  await assert.rejects(new Response("a").body!.pipeTo(blob.writable), CLOSED);
  assert.equal(blob.length, 50);
});

test("a Blob that could not be closed can be closed later", async () => {
  await using db = await open();
  const blob = await db.blobOpen("t", "b", 1);
  let closing: Promise<void> | undefined;
  await db.createFunction("close_it", 0, () => {
    closing = blob.close();
    closing.catch(() => {});
    return 1;
  });
  assert.deepEqual(await db.executeFetchOne("SELECT close_it()"), [1]);
  await assert.rejects(closing!, ProgrammingError); // a function can't use its connection
  assert.equal(text(await blob.read(4)), "this");
  await blob.close();
  await assert.rejects(blob.read(), CLOSED);
  await db.executeScript("BEGIN; DROP TABLE t; COMMIT"); // nothing is being read any more
});

test("what was asked before close() is done", async () => {
  await using db = await open();
  const blob = await db.blobOpen("t", "b", 1);
  const [read] = await Promise.all([blob.read(4), blob.write(bytes("X")), blob.close()]);
  assert.equal(text(read), "this");
  assert.equal(await content(db), `thisX${DATA.slice(5)}`);
});

test("await using closes the Blob, of what blobOpen() returns as well", async () => {
  await using db = await open();
  let blob: SqlBlob;
  {
    await using opened = await db.blobOpen("t", "b", 1);
    blob = opened;
    assert.equal(text(await blob.read(4)), "this");
  }
  await assert.rejects(blob.read(), CLOSED);
  {
    await using opening = db.blobOpen("t", "b", 1);
    blob = await opening;
    assert.equal(blob.tell(), 0);
  }
  await assert.rejects(blob.read(), CLOSED);
  const error = new Error("own");
  const work = async () => {
    await using _blob = await db.blobOpen("t", "b", 1);
    throw error;
  };
  await assert.rejects(work(), (thrown: unknown) => thrown === error);
});

test("a Blob whose connection is closed refuses; closing it is fine", async () => {
  const path = file();
  const db = await open(path);
  const blob = await db.blobOpen("t", "b", 1);
  await blob.write(bytes("kept"));
  await db.close();
  await assert.rejects(blob.read(), CLOSED_DB);
  await assert.rejects(blob.write(bytes("a")), CLOSED_DB);
  assert.throws(() => blob.seek(0), CLOSED_DB);
  assert.throws(() => blob.tell(), CLOSED_DB);
  await blob.close();
  await blob[Symbol.asyncDispose]();
  await assert.rejects(db.blobOpen("t", "b", 1), CLOSED_DB);
  // Nothing keeps the file.
  assert.deepEqual(await python(path, "SELECT count(*) FROM t"), [[1]]);
  assert.deepEqual(await python(path, "DELETE FROM t RETURNING length(b)"), [[50]]);
});

test("a Blob opened for writing holds the write lock until it is closed", async () => {
  const path = file();
  await using db = await open(path);
  await using other = await connect(path, { isolationLevel: null, timeout: 0 });
  const blob = await db.blobOpen("t", "b", 1);
  await assert.rejects(other.execute("INSERT INTO t VALUES (1)"), { code: "SQLITE_BUSY" });
  await blob.write(bytes("THIS"));
  await blob.close();
  await other.execute("INSERT INTO t VALUES (1)");
  assert.equal(await content(other), `THIS${DATA.slice(4)}`);
});

test("a Blob of a readonly connection is for reading", async () => {
  const path = file();
  await (await open(path)).close();
  await using db = await connect(path, { readonly: true });
  await assert.rejects(db.blobOpen("t", "b", 1), { code: "SQLITE_READONLY" });
  await using blob = await db.blobOpen("t", "b", 1, { readonly: true });
  assert.equal(text(await blob.read()), DATA);
});

test("what is written within a transaction is rolled back with it", async () => {
  await using db = await open();
  await db.execute("BEGIN");
  const blob = await db.blobOpen("t", "b", 1);
  await blob.write(bytes("gone"));
  await blob.close();
  assert.equal(await content(db), `gone${DATA.slice(4)}`);
  await db.execute("ROLLBACK");
  assert.equal(await content(db), DATA);
});

test("blobOpen() finds temporary and attached tables by name", async () => {
  await using db = await open();
  await db.executeScript(
    'ATTACH \':memory:\' AS "ä b"; CREATE TABLE "ä b"."t""t" ("c c");' +
      'INSERT INTO "ä b"."t""t" VALUES (\'attached\');' +
      "CREATE TEMP TABLE t (b); INSERT INTO temp.t VALUES ('temporary')",
  );
  await using attached = await db.blobOpen('t"t', "c c", 1, { name: "ä b" });
  assert.equal(text(await attached.read()), "attached");
  await using temporary = await db.blobOpen("t", "b", 1, { name: "temp" });
  assert.equal(text(await temporary.read()), "temporary");
  await using main = await db.blobOpen("t", "b", 1);
  assert.equal(text(await main.read()), DATA);
});

test("many Blobs may be open at once, and go with their connection", async () => {
  const db = await open();
  const blobs = await Promise.all(
    Array.from({ length: 50 }, () => db.blobOpen("t", "b", 1, { readonly: true })),
  );
  const parts = await Promise.all(blobs.map((blob, i) => {
    blob.seek(i);
    return blob.read(1);
  }));
  assert.equal(parts.map(text).join(""), DATA);
  await db.close();
  assert.equal(db.closed, true);
});
