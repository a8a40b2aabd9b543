/**
 * The main-thread half of a connection: starts the worker, sends requests, matches replies to
 * their promises, interrupts, and cleans up after a crash.
 *
 * Requests of one turn of the microtask queue are sent together. Then the client looks for the
 * replies a few microseconds itself, which is faster than having itself woken, before it leaves
 * the rest to the event loop.
 *
 * @module
 */
import process from "node:process";
import { clearInterval, setImmediate, setInterval, setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import type { RemoteDatabase } from "../../ffi/remote.ts";
import { Inbox, type Plain, Writer } from "./codec.ts";
import { Channel } from "./pipe.ts";
import {
  FAILED,
  Failure,
  type FailureKind,
  type Operation,
  OPERATIONS,
  PART,
  type Reply,
  type Request,
} from "./protocol.ts";

/** How long to look for replies after sending, in milliseconds. */
const SPIN = 0.012;
/** Replies slower than this, in milliseconds, are not looked for: looking would not pay. */
const QUICK = 0.15;
/** After this long, in milliseconds, timers and input get their turn, whatever comes in. */
const TURN = 2;
/** Likewise after this many bytes of replies. */
const TURN_BYTES = 1 << 19;
/** What a reply counts for besides its bytes. */
const REPLY_COST = 128;
/** While answers are owed, how often to look whether a wake-up was lost, in milliseconds. */
const HEARTBEAT = 100;
/** How long the end of the process may be held up to close a connection, in milliseconds. */
const EXIT_PATIENCE = 800;
/** How long a dead thread gets to leave a call, and how often it is interrupted, in milliseconds. */
const ORPHAN_TIME = 400;
const ORPHAN_STEP = 10;

/** Takes the rows of one batch, which lies at `at` in the bytes only until it returns. */
export type Receive = (bytes: Uint8Array, view: DataView, at: number) => void;

interface Pending {
  readonly resolve: (reply: Plain | Failure) => void;
  readonly receive: Receive | undefined;
}

const OPERATION_NUMBERS = Object.fromEntries(
  OPERATIONS.map((operation, number) => [operation, number]),
) as Record<Operation, number>;

/** Clients whose connections the end of the process has to close. */
const running = new Set<Client>();

function closeAll(): void {
  for (const client of running) client.exit();
}

/** How the worker's file ends: the one way to say it that survives publishing and building. */
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf("."));

function startWorker(memory: SharedArrayBuffer): Worker {
  let url = new URL(`./worker${EXTENSION}`, import.meta.url);
  // Some runtimes start no worker from the network, but any module may import from there.
  if (url.protocol.startsWith("http")) {
    url = new URL(`data:text/javascript,import ${encodeURIComponent(JSON.stringify(url.href))}`);
  }
  return new Worker(url, { workerData: memory });
}

export class Client {
  /** As of the last reply. */
  inTransaction = false;
  totalChanges = 0;
  /** Called when a reply says that no transaction is open any more. */
  onTransactionEnd: () => void = () => {};
  readonly #channel = new Channel();
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #out = new Writer();
  readonly #inbox = new Inbox();
  #sent = 0;
  #lastCall = 0;
  /** The call that closes the connection: nothing comes after its reply. */
  #closing = -1;
  #flushing = false;
  #listening = false;
  #scheduled = false;
  /** Replies may have been taken off the pipe that have not been looked at. */
  #behind = false;
  #referenced = false;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  /** Held, for it not to be collected while nothing else knows of it. */
  #ring: unknown;
  #turning = false;
  #turnStart = 0;
  #quick = true;
  #sentAt = 0;
  #repliedAt = 0;
  #remote: RemoteDatabase | undefined;
  /** What every further call fails with. */
  #over: Failure | undefined;
  #stopped = false;

  constructor() {
    this.#worker = startWorker(this.#channel.memory);
    this.#worker.on("error", (error: unknown) => this.#crashed(error));
    this.#worker.on("exit", (code: number) => this.#crashed(`exit code ${code}`));
    this.#worker.unref();
    if (running.size === 0) process.on("exit", closeAll);
    running.add(this);
  }

  /**
   * Asks for an operation. The promise always fulfils, with the reply or with a failure, so that
   * who awaits it can throw an error with its own stack.
   */
  call<O extends Operation>(
    operation: O,
    request: Request<O>,
    receive?: Receive,
  ): Promise<Reply<O> | Failure> {
    if (this.#over) return Promise.resolve(this.#over);
    const call = this.#lastCall = (this.#lastCall + 1) >>> 0;
    const out = this.#out;
    const at = out.reserve(4);
    out.u32(call);
    out.u8(OPERATION_NUMBERS[operation]);
    out.array(request);
    out.view.setUint32(at, out.length - at - 4, true);
    if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(this.#flush);
    }
    return new Promise((resolve) => {
      this.#pending.set(call, { resolve: resolve as Pending["resolve"], receive });
    });
  }

  /** The worker has opened this: the client can interrupt it, and close it after a crash. */
  opened(database: RemoteDatabase): void {
    this.#remote = database;
  }

  /** Interrupts what the connection runs, a wait for a lock included. */
  interrupt(): void {
    this.#channel.interrupt(() => this.#remote?.interrupt());
  }

  /** Closes the connection and ends the thread once all that was asked before has been answered. */
  async close(): Promise<Failure | null> {
    const closing = this.call("close", []);
    this.#closing = this.#lastCall;
    this.#over ??= new Failure("ProgrammingError", "Cannot operate on a closed database.");
    const reply = await closing;
    this.stop();
    return reply;
  }

  /**
   * Done with a thread whose connection is closed or could not be opened: it ends by itself.
   * Terminating it as well would leak file descriptors where that meets its own end (Deno 2.9).
   */
  stop(): void {
    this.#over ??= new Failure("ProgrammingError", "Cannot operate on a closed database.");
    if (!this.#stopped) this.#retire();
  }

  /** The process ends: has the connection closed now, interrupting what it runs. */
  exit(): void {
    if (!this.#remote) return; // nothing is open yet, and nobody may be listening
    this.#channel.exit(EXIT_PATIENCE, () => this.interrupt());
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    this.#sentAt = performance.now();
    this.#publish();
    if (this.#quick && this.#mayBlock(this.#sentAt)) this.#look();
    this.#await();
  };

  /** Hands the pipe what it takes. The rest follows when it has space: then our bell rings. */
  #publish(): void {
    const out = this.#out;
    this.#sent += this.#channel.requests.write(out.bytes, this.#sent, out.length);
    if (this.#sent < out.length) return;
    this.#sent = 0;
    out.clear();
  }

  /**
   * Whether this turn of the event loop is still young enough. A chain of calls whose replies are
   * all found by looking would otherwise keep everything else waiting.
   */
  #mayBlock(now: number): boolean {
    if (!this.#turning) {
      this.#turning = true;
      this.#turnStart = now;
      setImmediate(() => {
        this.#turning = false;
      });
    }
    return now - this.#turnStart < TURN;
  }

  /** Looks for replies while they keep coming. */
  #look(): void {
    const { replies } = this.#channel;
    for (let until = this.#sentAt + SPIN; this.#pending.size > 0;) {
      for (let i = 0; i < 16; i++) if (replies.available() > 0) break;
      if (replies.available() > 0) {
        if (!this.#drain()) return;
        until = performance.now() + SPIN;
        if (until - this.#turnStart > TURN) return;
      } else if (performance.now() > until) return;
    }
  }

  /** Leaves what is outstanding to the event loop. */
  #await(): void {
    const waiting = this.#pending.size > 0 || this.#out.length > 0;
    if (waiting !== this.#referenced) {
      // A thread that owes an answer keeps the process alive; an idle one does not.
      this.#referenced = waiting;
      if (waiting) {
        this.#worker.ref();
        this.#heartbeat = setInterval(this.#beat, HEARTBEAT);
      } else {
        this.#worker.unref();
        clearInterval(this.#heartbeat);
      }
    }
    if (!waiting) return;
    // While answers come thick and fast, a look each turn of the event loop costs both threads less
    // than having this one woken for each.
    if (this.#quick && performance.now() - this.#repliedAt < QUICK) return this.#turnSoon();
    const ring = this.#channel.mainBell.listen(this.#ready, this.#listening);
    if (ring === undefined) this.#turnSoon();
    else if (ring !== true) {
      this.#listening = true;
      this.#ring = ring.then(this.#wake);
    }
  }

  #turnSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #ready = (): boolean =>
    this.#behind || this.#channel.replies.available() > 0 ||
    (this.#out.length > 0 && this.#channel.requests.space() > 0);

  readonly #wake = (): void => {
    this.#listening = false;
    this.#turn();
  };

  /** Should a runtime ever lose a wake-up, it costs a moment, not the answer. */
  readonly #beat = (): void => {
    this.#channel.workerBell.ring();
    this.#turn();
  };

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#stopped) return;
    if (this.#out.length > 0) this.#publish();
    this.#drain();
    this.#await();
  };

  /** Takes in replies. False when there may be more, but others shall have a turn first. */
  #drain(): boolean {
    const inbox = this.#inbox;
    let bytes = 0;
    this.#behind = false;
    while (inbox.next(this.#channel.replies)) {
      bytes += inbox.end - inbox.at + REPLY_COST;
      this.#take(inbox);
      if (bytes > TURN_BYTES) {
        this.#behind = true;
        return false;
      }
    }
    return true;
  }

  #take(inbox: Inbox): void {
    const call = inbox.u32();
    const status = inbox.u8();
    const wasInTransaction = this.inTransaction;
    this.inTransaction = inbox.u8() === 1;
    this.totalChanges = inbox.f64();
    const batchLength = inbox.u32();
    const { resolve, receive } = this.#pending.get(call)!;
    if (batchLength > 0) receive?.(inbox.bytes, inbox.view, inbox.at);
    if (status === PART) return;
    inbox.at += batchLength;
    this.#pending.delete(call);
    if (call === this.#closing) this.#retire();
    const now = performance.now();
    this.#quick = now - Math.max(this.#sentAt, this.#repliedAt) < QUICK;
    this.#repliedAt = now;
    const value = inbox.value();
    resolve(status === FAILED ? failureOf(value) : value);
    if (wasInTransaction && !this.inTransaction) this.onTransactionEnd();
  }

  /** The thread has ended without having been asked to. */
  #crashed(cause: unknown): void {
    // It may have been asked to: its last reply can come in after the news of its end.
    while (!this.#stopped && !this.#drain());
    if (this.#stopped) return;
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#over = new Failure(
      "OperationalError",
      this.#remote
        ? `The connection's thread ended unexpectedly (${why}): what was not committed is lost`
        : `The connection's thread ended while opening it (${why})`,
    );
    this.inTransaction = false;
    const orphan = this.#remote;
    this.#remote = undefined; // no interrupt from here on
    if (orphan && !this.#channel.handleGone) closeOrphan(orphan, this.#channel);
    const pending = [...this.#pending.values()];
    this.#retire();
    for (const { resolve } of pending) resolve(this.#over);
  }

  #retire(): void {
    this.#stopped = true;
    running.delete(this);
    if (running.size === 0) process.off("exit", closeAll);
    clearInterval(this.#heartbeat);
    this.#pending.clear();
    this.#out.length = 0;
    this.#channel.mainBell.retire();
  }
}

/**
 * The database of a dead worker keeps its locks until it is closed. But Deno tells of a terminated
 * thread's end before it has come: the thread has yet to return from C, where it is interrupted,
 * and to go on to where it notices. So if it was in the middle of a call it gets time for that.
 */
function closeOrphan(orphan: RemoteDatabase, channel: Channel, waited = 0): void {
  if (!channel.abandon() || waited >= ORPHAN_TIME) return orphan.close();
  orphan.interrupt();
  // The end of the process frees the locks as well, and need not wait for this.
  setTimeout(closeOrphan, ORPHAN_STEP, orphan, channel, waited + ORPHAN_STEP).unref();
}

function failureOf(value: Plain): Failure {
  const [kind, message, errno, offset] = value as [FailureKind, string, number, number];
  return new Failure(kind, message, errno, offset);
}
