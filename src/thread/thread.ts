/**
 * A thread, as the main thread sees it: frames go out, frames come in, and the process lives as
 * long as an answer is owed.
 *
 * What is posted in one turn of the microtask queue is sent together, or right behind what was
 * posted first. Then this looks for the replies a few microseconds itself, which is faster than
 * being woken, before it leaves the rest to the event loop.
 *
 * Starting a thread takes 15-40 ms. So one that a connection is done with waits a moment for the
 * next connection.
 *
 * @module
 */
import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import { clock } from "./clock.ts";
import { Channel } from "./channel.ts";
import { Writer } from "./codec.ts";
import { Inbox } from "./inbox.ts";
import { looking } from "./pipe.ts";
import { TURN } from "./turns.ts";

/** How long to look for replies after sending, in milliseconds: at least, at most. */
const SPIN_LEAST = looking(0.012);
const SPIN_MOST = looking(0.06);
/** Replies slower than this, in milliseconds, are not looked for: looking would not pay. */
const QUICK = looking(0.3);
/** How many bytes of replies are taken in between two looks at the clock. */
const LOOK_BYTES = 1 << 15;
/** What a reply counts for besides its bytes. */
const REPLY_COST = 128;
/** While answers are owed, how often to look whether a wake-up was lost, in milliseconds. */
const HEARTBEAT = 100;
/** How long a thread waits for its next connection, in milliseconds. */
const WARM = 1000;

/** Who a thread works for. */
export interface Owner {
  /** Takes a frame in, which is there only until it returns. True when it answers a call. */
  take(frame: Inbox): boolean;
  /** The thread has ended without having been asked to. */
  crashed(why: string): void;
}

/** Threads without an owner, the last one to become so last. */
const warm: Thread[] = [];

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

export class Thread {
  readonly channel: Channel = new Channel();
  /** Where frames are written before `post()`. */
  readonly out: Writer = new Writer();
  readonly #answers = new Writer();
  #answered = 0;
  /** A question has been answered since the last look. */
  #asked = false;
  /** It has worked for another connection before. */
  used = false;
  readonly #worker: Worker;
  readonly #inbox = new Inbox();
  #owner: Owner | undefined;
  /** Calls without an answer. */
  #owed = 0;
  #lastCall = 0;
  #sent = 0;
  #flushing = false;
  #listening = false;
  #scheduled = false;
  /** Replies may have been taken off the pipe that have not been looked at. */
  #behind = false;
  #referenced = false;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #cooling: ReturnType<typeof setTimeout> | undefined;
  /** Held, for it not to be collected while nothing else knows of it. */
  #ring: unknown;
  #turning = false;
  #turnStart = 0;
  #quick = true;
  /** How long replies take, in milliseconds, those of late counting most. */
  #usual = 0;
  #sentAt = 0;
  #repliedAt = 0;
  #ended = false;

  private constructor() {
    this.#worker = startWorker(this.channel.memory);
    this.#worker.on("error", (error: Error) => this.#crashed(error?.message ?? String(error)));
    this.#worker.on("exit", (code: number) => this.#crashed(`exit code ${code}`));
    this.#worker.unref();
  }

  /** A thread for a connection: a warm one, or a new one. */
  static for(owner: Owner): Thread {
    const thread = warm.pop() ?? new Thread();
    clearTimeout(thread.#cooling);
    thread.#owner = owner;
    return thread;
  }

  /** The connection is closed, and everything answered: the next may have the thread. */
  release(): void {
    this.#owner = undefined;
    this.used = true;
    warm.push(this);
    this.#cooling = setTimeout(() => this.#cool(), WARM).unref();
  }

  /** A number for the next call: they count up, and wrap at 2^32. */
  nextCall(): number {
    return this.#lastCall = (this.#lastCall + 1) >>> 0;
  }

  /**
   * Has what was written to `out`, a call's frame, sent at the end of this microtask turn; or, if
   * the thread has nothing else to do, at once, for it to begin while the rest of this turn is done.
   */
  post(atOnce: boolean): void {
    this.#owed++;
    if (this.#flushing) return;
    this.#flushing = true;
    if (atOnce && this.#owed === 1 && !this.#ended) this.#publish();
    queueMicrotask(this.#flush);
  }

  /** Sends an answer to a question of the thread, which waits for it in the middle of a call. */
  answer(write: (answer: Writer) => void): void {
    if (this.#ended) return;
    const answers = this.#answers;
    const at = answers.begin();
    write(answers);
    answers.end(at);
    this.#publishAnswers();
    this.#sentAt = clock.now();
    this.#asked = true;
    this.#turnSoon();
  }

  #publishAnswers(): void {
    const { bytes, length } = this.#answers;
    this.#answered += this.channel.answers.write(bytes, this.#answered, length);
    if (this.#answered < length) return;
    this.#answered = 0;
    this.#answers.clear();
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    if (this.#ended) return;
    this.#publish();
    this.#sentAt = clock.now(); // while the thread is at work already
    if (this.#quick && this.#mayBlock(this.#sentAt)) this.#look(this.#sentAt);
    this.#await();
  };

  /** Hands the pipe what it takes. The rest follows when it has space: then our bell rings. */
  #publish(): void {
    const { out } = this;
    this.#sent += this.channel.requests.write(out.bytes, this.#sent, out.length);
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

  /** Looks for replies, from now on, while they keep coming. */
  #look(now: number): void {
    const { replies } = this.channel;
    // A wake-up takes longer than to look a moment more for what is about to come.
    const spin = Math.min(Math.max(SPIN_LEAST, 4 * this.#usual), SPIN_MOST);
    for (let until = now + spin; this.#owed > 0;) {
      for (let i = 0; i < 32; i++) if (replies.available() > 0) break;
      if (replies.available() === 0) {
        now = clock.now();
        if (now > until) return;
        continue;
      }
      // It came since the clock was read: to read it once more would hold up who awaits the reply.
      if (!this.#drain(now) || this.#owed === 0) return;
      now = clock.now();
      until = now + spin;
      if (until - this.#turnStart > TURN) return;
    }
  }

  /** Leaves what is outstanding to the event loop. */
  #await(): void {
    const waiting = this.#owed > 0;
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
    if (this.#quick && clock.now() - this.#repliedAt < QUICK) return this.#turnSoon();
    const ring = this.channel.mainBell.listen(this.#ready, this.#listening);
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
    this.#behind || this.channel.replies.available() > 0 ||
    (this.out.length > 0 && this.channel.requests.space() > 0) ||
    (this.#answers.length > 0 && this.channel.answers.space() > 0);

  readonly #wake = (): void => {
    this.#listening = false;
    this.#turn();
  };

  /** Should a runtime ever lose a wake-up, it costs a moment, not the answer. */
  readonly #beat = (): void => {
    if (this.#ready()) this.#listening = false; // what was to say so may never come
    this.channel.workerBell.ring();
    this.#turn();
  };

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#ended) return;
    if (this.out.length > 0) this.#publish();
    if (this.#answers.length > 0) this.#publishAnswers();
    const now = clock.now();
    if (this.#drain(now) && this.#asked && this.#mayBlock(now)) {
      this.#asked = false;
      this.#look(now); // the next question comes soon, if one does
    }
    this.#await();
  };

  /** Takes in replies, from now on. False when others shall have a turn before it goes on. */
  #drain(now: number): boolean {
    const inbox = this.#inbox;
    let bytes = 0;
    this.#behind = false;
    // Some runtimes tell of a thread's end in the middle of this, when a hook has ended it.
    while (this.#owner && inbox.next(this.channel.replies)) {
      bytes += inbox.end - inbox.at + REPLY_COST;
      if (this.#owner.take(inbox)) this.#settled(now);
      if (bytes < LOOK_BYTES) continue;
      bytes = 0;
      if (clock.now() - now > TURN) {
        this.#behind = true;
        return false;
      }
    }
    return true;
  }

  #settled(now: number): void {
    this.#owed--;
    const took = Math.max(0, now - Math.max(this.#sentAt, this.#repliedAt));
    this.#quick = took < QUICK;
    this.#usual += (Math.min(took, QUICK) - this.#usual) / 8;
    this.#repliedAt = now;
  }

  #crashed(why: string): void {
    // It may have been asked to end: its last replies can come in after the news of that.
    while (!this.#ended && !this.#drain(clock.now()));
    if (this.#ended) return;
    const owner = this.#owner;
    this.#end();
    owner?.crashed(why);
  }

  /**
   * No connection has come: the thread shall end, by itself. Terminating it as well would leak file
   * descriptors where that meets its own end (Deno 2.9).
   */
  #cool(): void {
    this.channel.end();
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#owner = undefined;
    const at = warm.indexOf(this);
    if (at >= 0) warm.splice(at, 1);
    clearInterval(this.#heartbeat);
    this.channel.mainBell.retire();
  }
}
