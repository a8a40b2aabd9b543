/**
 * Where the time of a row and of a call goes: each stage by itself, all in this thread, for the
 * budget in README.md.
 *
 * @module
 */
import { load } from "../ffi/libsqlite3.ts";
import { Database } from "../ffi/sqlite.ts";
import type { Statement } from "../ffi/statement.ts";
import { bindParameters, ParameterReader } from "../src/thread/bind.ts";
import { Writer } from "../src/thread/codec.ts";
import { Inbox } from "../src/thread/inbox.ts";
import { Channel } from "../src/thread/channel.ts";
import { RowQueue } from "../src/queue.ts";
import { BatchWriter, readBatch } from "../src/thread/rows.ts";
import { encodeParameters } from "../src/values.ts";
import { count, quick, ROUNDS, ROWS, SEED } from "./sizes.ts";

const SQLITE_OPEN_READWRITE_CREATE = 0x6;
/** As many bytes as the worker puts into a batch. */
const BATCH_BYTES = 1 << 16;
const CALLS = quick ? 20_000 : 200_000;
const LIMITS = { length: 1e9, sqlLength: 1e9 };
const DECODING = { integers: "auto", text: "string" } as const;
const { gc } = globalThis as { gc?: () => void };
const encoder = new TextEncoder();

/**
 * Prints the nanoseconds of one of the rows or calls that the work consists of, in the best round:
 * whatever else runs on the machine can only add to it.
 */
function stage(name: string, times: number, work: () => void): void {
  const rounds: number[] = [];
  work(); // for it to be compiled
  for (let i = 0; i < ROUNDS; i++) {
    gc?.();
    const start = performance.now();
    work();
    rounds.push((performance.now() - start) * 1e6 / times);
  }
  console.log(`  ${name.padEnd(44)}${Math.min(...rounds).toFixed(0).padStart(6)} ns`);
}

const database = Database.open(load(undefined), ":memory:", SQLITE_OPEN_READWRITE_CREATE, false);

function prepare(sql: string): Statement {
  return database.prepare(encoder.encode(sql), true)[0]!;
}

for (const statement of database.statements(encoder.encode(SEED))) {
  while (statement.step());
  statement.finalize();
}

const writer = new Writer();
const batch = new BatchWriter(writer);

/** Ends the batch and hands over its bytes, which the next one overwrites. */
function endBatch(): Uint8Array<ArrayBuffer> {
  batch.end();
  const bytes = writer.bytes.subarray(0, writer.length);
  writer.clear();
  return bytes;
}

const scan = prepare("SELECT id, x, name, n FROM big");

/** Reads the whole table into batches. */
function encodeAll(take: (bytes: Uint8Array<ArrayBuffer>) => void): void {
  batch.begin();
  while (scan.step()) {
    batch.add(scan);
    if (batch.length < BATCH_BYTES) continue;
    take(endBatch());
    batch.begin();
  }
  if (batch.rowCount > 0) take(endBatch());
  scan.reset();
}

const batches: Uint8Array<ArrayBuffer>[] = [];
encodeAll((bytes) => batches.push(bytes.slice()));
const channel = new Channel();
const into = new Uint8Array(2 * BATCH_BYTES);

console.log(`A row of 4 columns, as one of ${count(ROWS)}:`);
stage("worker: step", ROWS, () => {
  while (scan.step());
  scan.reset();
});
stage("worker: step, read the columns, encode them", ROWS, () => encodeAll(() => {}));
stage("both: write to the pipe, read from it", ROWS, () => {
  for (const bytes of batches) {
    channel.replies.write(bytes, 0, bytes.length);
    channel.replies.read(into, 0, into.length);
  }
});
stage("main: decode, keeping the rows", ROWS, () => {
  const queue = new RowQueue<unknown>();
  for (const bytes of batches) {
    queue.add(readBatch(bytes, new DataView(bytes.buffer), 0, DECODING).rows);
  }
  queue.take(Infinity);
});

const find = prepare("SELECT name FROM big WHERE id = ?");
const sets = Array.from({ length: 1000 }, (_, i) => encodeParameters([i + 1], LIMITS));
const out = new Writer();
const inbox = new Inbox();

/** A request as the client makes it: length, call, operation, what is asked for. */
function encodeRequest(call: number): void {
  out.clear();
  const at = out.begin();
  out.u32(call);
  out.u8(1);
  out.array([call, 0, null, encodeParameters([call], LIMITS), -2]);
  out.end(at);
}

function decodeRequest(): void {
  inbox.next(channel.requests);
  inbox.at += 5;
  inbox.value();
}

function select(call: number): Uint8Array<ArrayBuffer> {
  bindParameters(find, new ParameterReader(database, sets[call % 1000]!));
  find.step();
  batch.begin();
  batch.add(find);
  find.reset();
  return endBatch();
}

function stageOfCall(name: string, work: (call: number) => void): void {
  stage(name, CALLS, () => {
    for (let call = 1; call <= CALLS; call++) work(call);
  });
}

const reply = select(0).slice();
const view = new DataView(reply.buffer);

console.log(`A call of SELECT name FROM big WHERE id = ?, as one of ${count(CALLS)}:`);
stageOfCall("main: encode the request", encodeRequest);
stageOfCall("the same, through the pipe and decoded", (call) => {
  encodeRequest(call);
  channel.requests.write(out.bytes, 0, out.length);
  decodeRequest();
});
stageOfCall("worker: bind, step, encode the row, reset", select);
stageOfCall("main: decode the row", () => readBatch(reply, view, 0, DECODING));
database.close();
