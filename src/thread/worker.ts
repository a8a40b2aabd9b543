/**
 * A thread, from within: takes requests off one pipe and puts replies on the other.
 *
 * Every way out of a handler is a reply: what it throws goes back as a failure. So when this
 * thread ends without having been asked to, it is a real crash, and the other half cleans up.
 *
 * @module
 */
import { workerData } from "node:worker_threads";
import { SqliteFailure } from "../../ffi/failure.ts";
import { clock } from "./clock.ts";
import type { Rows } from "./fetch.ts";
import { type Plain, Writer } from "./codec.ts";
import { Channel } from "./channel.ts";
import { Inbox } from "./inbox.ts";
import {
  CANCELLABLE,
  type ColumnList,
  DONE,
  FAILED,
  Failure,
  type Operation,
  OPERATIONS,
  PART,
  type Request,
} from "./protocol.ts";
import { looking } from "./pipe.ts";
import type { Incoming } from "./reads.ts";
import { BatchWriter } from "./rows.ts";
import { Session } from "./session.ts";

/** How long to look for the next request before sleeping, in milliseconds: at least, at most. */
const SPIN_LEAST = looking(0.002);
const SPIN_MOST = looking(0.1);
/** A sleep shorter than this, in milliseconds, tells that looking longer would have paid. */
const SHORT_SLEEP = 0.3;

/** The reply being made: a frame of length, call, status, connection state, rows, value. */
class Outbox implements Rows {
  readonly #channel: Channel;
  readonly #out = new Writer();
  readonly #batch = new BatchWriter(this.#out);
  #call = 0;
  session: Session | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  start(call: number): void {
    this.#call = call;
    this.#out.clear();
    this.#out.reserve(FRAME_HEADER);
    this.#out.view.setUint32(FRAME_HEADER - 4, 0, true);
  }

  begin(): BatchWriter {
    this.#batch.begin();
    return this.#batch;
  }

  next(columns: ColumnList | null): void {
    this.end();
    this.#out.value(columns);
    this.#send(PART);
    this.start(this.#call);
    this.#batch.begin();
  }

  end(): void {
    this.#batch.end();
    this.#out.view.setUint32(FRAME_HEADER - 4, this.#out.length - FRAME_HEADER, true);
  }

  done(value: Plain): void {
    this.#out.value(value);
    this.#send(DONE);
  }

  failed({ kind, message, errno, offset }: Failure): void {
    this.start(this.#call); // without rows
    this.#out.value([kind, message, errno, offset]);
    this.#send(FAILED);
  }

  #send(status: number): void {
    this.#out.end(0);
    const { view, length, bytes } = this.#out;
    const { session } = this;
    view.setUint32(4, this.#call, true);
    view.setUint8(8, status);
    view.setUint8(9, session && !session.database.autocommit() ? 1 : 0);
    view.setFloat64(10, session?.totalChanges ?? 0, true);
    const { replies, workerBell } = this.#channel;
    for (let at = 0; !this.#channel.exiting;) {
      at += replies.write(bytes, at, length);
      if (at === length) break;
      workerBell.sleep(() => replies.space() > 0 || this.#channel.exiting);
    }
  }
}

const FRAME_HEADER = 22;

/** What may be part of reading; `execute` sees for itself. */
const READING: ReadonlySet<Operation> = new Set(["execute", "fetch", "reset"]);
/** Likewise, and somebody waits for the answer. */
const ASKING: ReadonlySet<Operation> = new Set(["execute", "fetch"]);

type Perform = (...request: Plain[]) => Plain | Promise<Plain>;

class Worker implements Incoming {
  readonly #channel: Channel;
  readonly #inbox = new Inbox();
  readonly #outbox: Outbox;
  #session: Session | undefined;
  #spin = SPIN_MOST;

  constructor(channel: Channel) {
    this.#channel = channel;
    this.#outbox = new Outbox(channel);
  }

  /** Serves one connection after the other. */
  async serve(): Promise<void> {
    // What takes the event loop, as importing a module does, has it while nothing else is served.
    for (let next = this.#serve(); next; next = this.#serve()) await next;
  }

  /** Serves until it has to wait for something, which it returns; null at the end. */
  #serve(): Promise<void> | null {
    for (;;) {
      while (!this.#inbox.next(this.#channel.requests)) {
        if (this.#channel.exiting) return this.#exit();
        this.#rest();
      }
      if (!this.#channel.enter(this.#inbox.u32())) return null; // given up by the other half
      const later = this.#handle();
      if (later) return later;
      this.#channel.leave();
    }
  }

  get asksNext(): boolean {
    const inbox = this.#inbox;
    if (!inbox.hasNext) return false;
    const call = inbox.view.getUint32(inbox.end + 4, true);
    const code = inbox.bytes[inbox.end + 8]!;
    return ASKING.has(OPERATIONS[code & ~CANCELLABLE]!) && !this.#channel.cancelled(call);
  }

  /** Handles one request, now or later. */
  #handle(): Promise<void> | null {
    const inbox = this.#inbox;
    const outbox = this.#outbox;
    const call = inbox.view.getUint32(inbox.at - 4, true);
    const code = inbox.u8();
    const operation = OPERATIONS[code & ~CANCELLABLE]!;
    const session = this.#session;
    const fail = (error: unknown) => {
      session?.reads.end();
      outbox.failed(toFailure(session?.explain(error) ?? error));
    };
    outbox.start(call);
    try {
      session?.start(call, (code & CANCELLABLE) !== 0);
      if (operation === "open" && this.#channel.cancelled(call)) throw new Failure("Cancelled", "");
      const value = this.#perform(operation, inbox.value() as Plain[]);
      if (value instanceof Promise) {
        return value.then((value) => outbox.done(value), fail).then(() => this.#channel.leave());
      }
      session?.reads.end(); // who hears that all is answered finds no lock
      outbox.done(value);
    } catch (error) {
      fail(error);
    }
    return null;
  }

  #perform(operation: Operation, request: Plain[]): Plain | Promise<Plain> {
    if (operation === "open") {
      const session = new Session(
        this.#channel,
        this,
        this.#outbox,
        ...request as Request<"open">,
      );
      this.#session = this.#outbox.session = session;
      return session.opened;
    }
    const session = this.#session;
    if (session === undefined) return null; // the closing of what could not be opened
    if (!READING.has(operation)) session.reads.release();
    if (operation === "close") this.#session = this.#outbox.session = undefined;
    // The table's types tie the two together on each side; here only bytes say so.
    const performer = session.performer(operation) as Record<Operation, Perform>;
    return performer[operation](...request);
  }

  /** Nothing to do: looks a moment longer, then sleeps, since waking up costs about 30 us. */
  #rest(): void {
    const start = clock.now();
    const { requests, workerBell } = this.#channel;
    while (clock.now() - start < this.#spin) {
      for (let i = 0; i < 32; i++) if (requests.available() > 0) return;
    }
    this.#spin = Math.max(this.#spin / 2, SPIN_LEAST);
    const asleep = clock.now();
    workerBell.sleep(() => requests.available() > 0 || this.#channel.exiting);
    if (clock.now() - asleep < SHORT_SLEEP) this.#spin = SPIN_MOST;
  }

  /** The process ends, or no connection needs the thread. */
  #exit(): null {
    this.#session?.close();
    this.#channel.exited();
    return null;
  }
}

function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof SqliteFailure) {
    return new Failure("sqlite", error.message, error.errno, error.offset);
  }
  if (error instanceof RangeError) return new Failure("DataError", `Too large: ${error.message}`);
  const message = error instanceof Error ? error.stack ?? error.message : String(error);
  return new Failure("InternalError", message);
}

new Worker(new Channel(workerData as SharedArrayBuffer)).serve();
