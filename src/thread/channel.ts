/**
 * The shared memory of the two halves of a connection: pipes, and words that say what is going on.
 *
 * @module
 */
import { SHARED_ADDRESSES } from "./addresses.ts";
import { clock } from "./clock.ts";
import { Bell, Pipe } from "./pipe.ts";

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

/** Milliseconds between the interrupts of a worker that is to exit. */
const EXIT_STEP = 5;

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
    const until = clock.now() + milliseconds;
    for (;;) {
      const seen = Atomics.load(this.#words, SIGNALS);
      if (stop()) return false;
      const left = until - clock.now();
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
    this.#signal();
    return Atomics.load(this.#words, RUNNING) !== 0;
  }

  /** In the worker: whether it is taken for dead, so that nobody answers it any more. */
  get abandoned(): boolean {
    return Atomics.load(this.#words, ABANDONED) !== 0;
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
