/**
 * Shared memory between the two halves of a connection: one byte pipe each way, and bells.
 *
 * A message queue of the runtime costs 50-75 us for a round trip; reading a position in shared
 * memory costs nothing, and waking a sleeping thread about 30 us. So each side writes, moves the
 * position, and wakes the other only if it has said that it sleeps. All positions go through
 * `Atomics`, whose operations have one order for both threads: who writes and then looks for a
 * sleeper, and who says it sleeps and then looks for bytes, can't both miss the other.
 *
 * @module
 */

import { SHARED_ADDRESSES } from "./addresses.ts";

const REQUEST_CAPACITY = 1 << 17;
const REPLY_CAPACITY = 1 << 20;
const ANSWER_CAPACITY = 1 << 14;

// Words of the control block; those written by different threads are on different cache lines.
const LINE = 16;
const WORKER_BELL = 0 * LINE;
const MAIN_BELL = 1 * LINE;
const REQUEST_WRITTEN = 2 * LINE;
const REQUEST_READ = 3 * LINE;
const REPLY_WRITTEN = 4 * LINE;
const REPLY_READ = 5 * LINE;
const INTERRUPTS = 6 * LINE;
const EXIT = 7 * LINE;
const GUARD = 8 * LINE;
const RUNNING = 9 * LINE;
const HANDLE_GONE = 10 * LINE;
const ABANDONED = 11 * LINE;
const STARTED = 12 * LINE;
const SIGNALS = 13 * LINE;
const ANSWER_WRITTEN = 14 * LINE;
const ANSWER_READ = 15 * LINE;
const CANCELLED = 16 * LINE;

/**
 * So many calls in a row can be told apart in the bits that say which are cancelled. It is more
 * than replies fit into their pipe and main's own buffer, so the worker can't be that far ahead of
 * what main has looked at.
 */
export const CANCELLABLE_CALLS = 1 << 17;
const CONTROL_WORDS = CANCELLED + CANCELLABLE_CALLS / 32;

/** Below this many bytes a loop is faster than making the views for a block copy. */
const SHORT = 64;

/** Milliseconds between the interrupts of a worker that is to exit. */
const EXIT_STEP = 5;

/** Wakes one thread. Two words: how often it rang, and whether the thread sleeps. */
export class Bell {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #rung: number;
  readonly #asleep: number;

  constructor(words: Int32Array<SharedArrayBuffer>, at: number) {
    this.#words = words;
    this.#rung = at;
    this.#asleep = at + 1;
  }

  /** Wakes the thread if it sleeps or is just about to. */
  ring(): void {
    Atomics.add(this.#words, this.#rung, 1);
    if (Atomics.exchange(this.#words, this.#asleep, 0) === 1) {
      Atomics.notify(this.#words, this.#rung);
    }
  }

  /** Blocks the calling thread until the bell rings, unless `ready()` holds already. */
  sleep(ready: () => boolean): void {
    const seen = Atomics.load(this.#words, this.#rung);
    Atomics.store(this.#words, this.#asleep, 1);
    if (!ready()) Atomics.wait(this.#words, this.#rung, seen);
    Atomics.store(this.#words, this.#asleep, 0);
  }

  /**
   * Says that the thread is going to sleep in its event loop. Returns a promise of the next ring;
   * undefined when the bell rang or `ready()` holds already; and true with `listening`, which says
   * that an earlier promise has not settled yet and will serve.
   */
  listen(ready: () => boolean, listening: boolean): Promise<unknown> | true | undefined {
    const seen = Atomics.load(this.#words, this.#rung);
    Atomics.store(this.#words, this.#asleep, 1);
    if (ready()) {
      Atomics.store(this.#words, this.#asleep, 0);
      return undefined;
    }
    if (listening) return true;
    const waiting = Atomics.waitAsync(this.#words, this.#rung, seen);
    return waiting.async ? waiting.value : undefined;
  }

  /** Wakes whatever still listens, so that nothing is left waiting on abandoned memory. */
  retire(): void {
    Atomics.add(this.#words, this.#rung, 1);
    Atomics.notify(this.#words, this.#rung);
  }
}

/** A one-way pipe of bytes: a ring buffer that one thread writes and another reads. */
export class Pipe {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #written: number;
  readonly #read: number;
  readonly #full: number;
  readonly #mask: number;
  readonly #writer: Bell;
  readonly #reader: Bell;

  constructor(
    words: Int32Array<SharedArrayBuffer>,
    bytes: Uint8Array<SharedArrayBuffer>,
    written: number,
    read: number,
    writer: Bell,
    reader: Bell,
  ) {
    this.#words = words;
    this.#bytes = bytes;
    this.#written = written;
    this.#read = read;
    this.#full = written + 1;
    this.#mask = bytes.length - 1;
    this.#writer = writer;
    this.#reader = reader;
  }

  /** Bytes written and not read yet. Positions count up and wrap at 2^32. */
  available(): number {
    return (Atomics.load(this.#words, this.#written) - Atomics.load(this.#words, this.#read)) | 0;
  }

  /** Bytes that can be written now. */
  space(): number {
    return this.#bytes.length - this.available();
  }

  /**
   * Writes what there is space for and wakes the reader. Returns the number of bytes taken; when
   * not all were, the writer's bell will ring once there is space.
   */
  write(source: Uint8Array, start: number, end: number): number {
    let at = start;
    for (;;) {
      at += this.#put(source, at, end);
      if (at === end) break;
      // The mark comes before the look: what the reader frees after that look, it sees the mark.
      Atomics.store(this.#words, this.#full, 1);
      if (this.space() === 0) break;
    }
    return at - start;
  }

  #put(source: Uint8Array, start: number, end: number): number {
    const count = Math.min(end - start, this.space());
    if (count === 0) return 0;
    const position = Atomics.load(this.#words, this.#written);
    const at = position & this.#mask;
    if (count < SHORT) {
      for (let i = 0; i < count; i++) this.#bytes[(at + i) & this.#mask] = source[start + i]!;
    } else {
      const first = Math.min(count, this.#bytes.length - at);
      this.#bytes.set(source.subarray(start, start + first), at);
      if (first < count) this.#bytes.set(source.subarray(start + first, start + count), 0);
    }
    Atomics.store(this.#words, this.#written, (position + count) | 0);
    this.#reader.ring();
    return count;
  }

  /** Reads up to `limit` bytes to `into` at `offset` and returns how many there were. */
  read(into: Uint8Array, offset: number, limit: number): number {
    const count = Math.min(this.available(), limit);
    if (count === 0) return 0;
    const position = Atomics.load(this.#words, this.#read);
    const at = position & this.#mask;
    if (count < SHORT) {
      for (let i = 0; i < count; i++) into[offset + i] = this.#bytes[(at + i) & this.#mask]!;
    } else {
      const first = Math.min(count, this.#bytes.length - at);
      into.set(this.#bytes.subarray(at, at + first), offset);
      if (first < count) into.set(this.#bytes.subarray(0, count - first), offset + first);
    }
    Atomics.store(this.#words, this.#read, (position + count) | 0);
    if (Atomics.exchange(this.#words, this.#full, 0) === 1) this.#writer.ring();
    return count;
  }
}

/** Everything the two threads of one connection share. */
export class Channel {
  readonly memory: SharedArrayBuffer;
  readonly requests: Pipe;
  readonly replies: Pipe;
  /** What main answers when the worker asks in the middle of a call. */
  readonly answers: Pipe;
  /** For `Addresses`. */
  readonly statements: BigUint64Array<SharedArrayBuffer>;
  readonly mainBell: Bell;
  readonly workerBell: Bell;
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** A new channel, or the other end of one. */
  constructor(memory?: SharedArrayBuffer) {
    const control = CONTROL_WORDS * 4;
    const answersAt = control + REQUEST_CAPACITY + REPLY_CAPACITY;
    const statementsAt = answersAt + ANSWER_CAPACITY;
    memory ??= new SharedArrayBuffer(statementsAt + SHARED_ADDRESSES * 8);
    const words = new Int32Array(memory, 0, CONTROL_WORDS);
    const requestBytes = new Uint8Array(memory, control, REQUEST_CAPACITY);
    const replyBytes = new Uint8Array(memory, control + REQUEST_CAPACITY, REPLY_CAPACITY);
    const answerBytes = new Uint8Array(memory, answersAt, ANSWER_CAPACITY);
    const main = new Bell(words, MAIN_BELL);
    const worker = new Bell(words, WORKER_BELL);
    this.memory = memory;
    this.statements = new BigUint64Array(memory, statementsAt, SHARED_ADDRESSES);
    this.mainBell = main;
    this.workerBell = worker;
    this.requests = new Pipe(words, requestBytes, REQUEST_WRITTEN, REQUEST_READ, main, worker);
    this.replies = new Pipe(words, replyBytes, REPLY_WRITTEN, REPLY_READ, worker, main);
    this.answers = new Pipe(words, answerBytes, ANSWER_WRITTEN, ANSWER_READ, main, worker);
    this.#words = words;
  }

  /** How many interrupts there were; the worker compares it with the count at a call's start. */
  interrupts(): number {
    return Atomics.load(this.#words, INTERRUPTS);
  }

  /**
   * On main: ends the worker's `pause` and does what else interrupts, if a call runs, or just if
   * that call does. The worker does not leave that call meanwhile, so what was meant for it can't
   * hit the next one, nor a handle that has been closed.
   */
  interrupt(action: () => void, call?: number): void {
    Atomics.store(this.#words, GUARD, 1);
    try {
      if (Atomics.load(this.#words, RUNNING) === 0) return;
      if (call !== undefined && Atomics.load(this.#words, STARTED) !== (call | 0)) return;
      Atomics.add(this.#words, INTERRUPTS, 1);
      this.#signal();
      action();
    } finally {
      Atomics.store(this.#words, GUARD, 0);
    }
  }

  /**
   * On main: says that a call is cancelled. Returns whether it has begun, or is over; if not, the
   * worker is going to see this before it begins it.
   */
  cancel(call: number): boolean {
    Atomics.or(this.#words, CANCELLED + wordOf(call), 1 << call);
    this.#signal();
    return ((call - Atomics.load(this.#words, STARTED)) | 0) <= 0;
  }

  /** On main: the call is over, and its bit free for another. */
  uncancel(call: number): void {
    Atomics.and(this.#words, CANCELLED + wordOf(call), ~(1 << call));
  }

  /** In the worker: whether the call is cancelled. */
  cancelled(call: number): boolean {
    return (Atomics.load(this.#words, CANCELLED + wordOf(call)) & (1 << call)) !== 0;
  }

  /** In the worker: this call runs from here on. False when none may. */
  enter(call: number): boolean {
    Atomics.store(this.#words, STARTED, call);
    Atomics.store(this.#words, RUNNING, 1);
    return Atomics.load(this.#words, ABANDONED) === 0;
  }

  /** In the worker: no call runs from here on, and no interrupt is under way. */
  leave(): void {
    Atomics.store(this.#words, RUNNING, 0);
    while (Atomics.load(this.#words, GUARD) === 1); // some microseconds
  }

  /** In the worker: blocks for some milliseconds. Returns false as soon as `stop()` holds. */
  pause(milliseconds: number, stop: () => boolean): boolean {
    const until = performance.now() + milliseconds;
    for (;;) {
      const seen = Atomics.load(this.#words, SIGNALS);
      if (stop()) return false;
      const left = until - performance.now();
      if (left <= 0) return true;
      Atomics.wait(this.#words, SIGNALS, seen, left);
    }
  }

  #signal(): void {
    Atomics.add(this.#words, SIGNALS, 1);
    Atomics.notify(this.#words, SIGNALS);
    this.workerBell.ring(); // it may be waiting for an answer
  }

  /**
   * On main: the worker is taken for dead, and if it is not shall begin no further call. Returns
   * whether a call runs, or ran when the worker ended.
   */
  abandon(): boolean {
    Atomics.store(this.#words, ABANDONED, 1);
    return Atomics.load(this.#words, RUNNING) !== 0;
  }

  /** Whether the worker has closed its handle, or has begun to. */
  get handleGone(): boolean {
    return Atomics.load(this.#words, HANDLE_GONE) !== 0;
  }

  /** In the worker, before it opens a handle. */
  takeHandle(): void {
    Atomics.store(this.#words, HANDLE_GONE, 0);
  }

  /** In the worker, before it closes the handle. */
  giveUpHandle(): void {
    this.leave();
    Atomics.store(this.#words, HANDLE_GONE, 1);
  }

  /** The process ends: the worker shall close its connection now, whatever is still queued. */
  get exiting(): boolean {
    return Atomics.load(this.#words, EXIT) !== 0;
  }

  /** Asks for that; the thread then ends by itself. */
  end(): void {
    Atomics.store(this.#words, EXIT, 1);
    this.workerBell.ring();
  }

  /** Asks for that and blocks until the worker has done so, at most some milliseconds. */
  exit(milliseconds: number, interrupt: () => void): void {
    this.end();
    for (let left = milliseconds; left > 0; left -= EXIT_STEP) {
      interrupt(); // each time: a statement may have begun just after the one before
      if (Atomics.wait(this.#words, EXIT, 1, EXIT_STEP) !== "timed-out") return;
    }
  }

  /** The worker's answer to `exit`. */
  exited(): void {
    Atomics.store(this.#words, EXIT, 2);
    Atomics.notify(this.#words, EXIT);
  }
}

/** Which of the words of bits has a call's; its place there is what a shift makes of the call. */
function wordOf(call: number): number {
  return (call & (CANCELLABLE_CALLS - 1)) >>> 5;
}
