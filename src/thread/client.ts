/**
 * The main-thread half of a connection: sends calls to its thread, matches replies to their
 * promises, cancels and interrupts, and cleans up after a crash.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";
import type { RemoteDatabase } from "../../ffi/remote.ts";
import type { Signal } from "./abort.ts";
import { type Answer, GONE, type Hook, type Thrown } from "./answers.ts";
import { type Cancellable, type Cancellation, Cancellations } from "./cancellations.ts";
import type { Channel } from "./channel.ts";
import { clock } from "./clock.ts";
import type { Plain } from "./codec.ts";
import type { Inbox } from "./inbox.ts";
import { closeOrphan } from "./orphan.ts";
import {
  ASKED,
  CANCELLABLE,
  cancelledBy,
  type ColumnList,
  type Executed,
  FAILED,
  Failure,
  type FailureKind,
  type Operation,
  OPERATIONS,
  PART,
  type Reply,
  type Request,
} from "./protocol.ts";
import { type Owner, Thread } from "./thread.ts";

/** How long the end of the process may be held up to close a connection, in milliseconds. */
const EXIT_PATIENCE = 800;

/** Whom the rows of a call are for. */
export interface Receiver {
  /**
   * Takes the rows of one batch, which lies at `at` in the bytes only until it returns. Ahead of the
   * reply they come with their columns, null when these are known; else the reply has them.
   */
  receive(bytes: Uint8Array, view: DataView, at: number, columns?: ColumnList | null): void;
  /** Takes the reply to `execute` or `fetch`, in the order they come in, unless it is a failure. */
  replied(reply: Executed | boolean): void;
}

type Snapshot = <T>(work: () => T) => T;

/** A call without an answer. */
interface Pending extends Cancellable {
  /** The one that was made after it. */
  next: Pending | undefined;
  readonly resolve: (reply: Plain | Failure) => void;
  readonly receiver: Receiver | undefined;
  /** What a hook has thrown first during the call. */
  thrown: Thrown | undefined;
  /** Runs a hook in the asynchronous context that the call was made in. */
  readonly within: Snapshot | undefined;
  /** The result whose rows it is about, or -1. */
  readonly result: number;
}

const OPERATION_NUMBERS = Object.fromEntries(
  OPERATIONS.map((operation, number) => [operation, number]),
) as Record<Operation, number>;

/** What a connection that is lent can still be asked for. */
const LENDING: ReadonlySet<Operation> = new Set(["lend", "takeBack"]);

/** Clients whose connections the end of the process has to close. */
const clients = new Set<Client>();

function closeAll(): void {
  // What is lent is in use by one of the others; and who can only read could not remove the
  // write-ahead log, and must not be the last.
  const last = (client: Client) => client.lent ? 2 : client.readonly ? 0 : 1;
  for (const client of [...clients].sort((a, b) => last(a) - last(b))) client.exit();
}

export class Client implements Owner {
  /** As of the last reply. */
  inTransaction = false;
  /** Since when, as of `clock.now()`. */
  #openSince = 0;
  totalChanges = 0;
  /** It was opened for reading only. */
  readonly = false;
  /** Called when the thread has died, with what every call fails with. */
  onCrash: (why: Failure) => void = () => {};
  /** Called when a reply says that no transaction is open any more. */
  onTransactionEnd: () => void = () => {};
  /** The functions that SQLite may call, by number. */
  readonly hooks: Map<number, Hook> = new Map();
  /** Whether one of them is an aggregate, which SQLite may call when a statement is freed. */
  hasAggregates = false;
  /** How many of them have not returned. */
  asking = 0;
  /** Pending while another connection's thread uses the handle. */
  lent: Promise<void> | null = null;
  /** Fulfils once the worker has closed the handle, if it has been told to. */
  closing: Promise<unknown> | null = null;
  /** The handle's address, once it is open. */
  handle: number | bigint = 0;
  readonly #thread: Thread = Thread.for(this);
  readonly #channel: Channel = this.#thread.channel;
  /**
   * The first and the last of the calls without an answer: they are answered in the order they were
   * made. A map of them would be built anew with each that comes and goes (V8).
   */
  #first: Pending | undefined;
  #last: Pending | undefined;
  /** What hooks have thrown for results whose failure is still to come. */
  readonly #thrown = new Map<number, Thrown>();
  readonly #cancellations: Cancellations = new Cancellations(
    this.#channel,
    () => this.#first!.call,
    () => this.#remote?.interrupt(),
  );
  #lastCall = -1;
  /** The call that closes the connection: nothing comes after its reply. */
  #closing = -1;
  #remote: RemoteDatabase | undefined;
  /** What every further call fails with. */
  #over: Failure | undefined;
  #crashed = false;

  constructor() {
    if (clients.size === 0) process.on("exit", closeAll);
    clients.add(this);
  }

  /**
   * Asks for an operation. The promise always fulfils, with the reply or with a failure, so that
   * who awaits it can throw an error with its own stack. A call whose signal is aborted before it
   * is begun never runs; one that runs is interrupted, and nothing else is.
   */
  call<O extends Operation>(
    operation: O,
    request: Request<O>,
    receiver?: Receiver,
    signal?: Signal,
  ): Promise<Reply<O> | Failure> {
    if (this.#over) return Promise.resolve(this.#over);
    if (this.lent && !LENDING.has(operation)) { // what nobody waits for, like the end of a cursor
      return this.lent.then(() => this.call(operation, request, receiver, signal));
    }
    if (operation === "reset") this.#thrown.delete(request[0] as number);
    const { out } = this.#thread;
    const at = out.length;
    try {
      out.begin();
      out.u32(0);
      out.u8(OPERATION_NUMBERS[operation] | (signal ? CANCELLABLE : 0));
      out.array(request);
      out.end(at);
    } catch (error) {
      out.length = at;
      return Promise.resolve(tooLarge(error));
    }
    const call = this.#lastCall = this.#thread.nextCall();
    out.view.setUint32(at + 4, call, true);
    this.#thread.post(signal === undefined); // one that is aborted in this turn shall never begin
    return new Promise((resolve) => {
      const pending: Pending = {
        call,
        next: undefined,
        answered: false,
        resolve: resolve as Pending["resolve"],
        receiver,
        cancellation: undefined,
        thrown: undefined,
        result: operation === "execute" || operation === "fetch" ? request[0] as number : -1,
        within: this.hooks.size > 0 ? AsyncLocalStorage.snapshot() as Snapshot : undefined,
      };
      if (this.#last) this.#last.next = pending;
      else this.#first = pending;
      this.#last = pending;
      if (signal) this.#cancellations.heed(signal, pending);
    });
  }

  /** Makes room for a request of so many bytes; returns why there is none. */
  refusal(bytes: number): Failure | null {
    const { out } = this.#thread;
    const at = out.length;
    try {
      out.reserve(bytes);
      return null;
    } catch (error) {
      return tooLarge(error);
    } finally {
      out.length = at;
    }
  }

  /** Since when a transaction is open; null when none is. */
  get openSince(): number | null {
    return this.inTransaction ? this.#openSince : null;
  }

  /** Whether the thread has died, or the connection is closed. */
  get over(): boolean {
    return this.#over !== undefined;
  }

  /** Whether the thread had died, and had been used before: another one may do better. */
  get misled(): boolean {
    return this.#crashed && this.#thread.used;
  }

  /** The worker has opened this: the client can interrupt it, and close it after a crash. */
  opened(
    database: RemoteDatabase,
    handle: number | bigint,
    readonly: boolean,
    looks: boolean,
  ): void {
    this.#remote = database;
    this.handle = handle;
    this.readonly = readonly;
    this.#cancellations.looks = looks;
  }

  /** Interrupts what the connection runs, a wait for a lock included. */
  interrupt(): void {
    this.#channel.interrupt(() => this.#remote?.interrupt());
  }

  /** Closes what is open once all that was asked before has been answered. */
  async close(): Promise<Failure | null> {
    if (this.lent) await this.lent;
    const closing = this.call("close", []);
    this.closing ??= closing;
    this.#closing = this.#lastCall;
    this.#over ??= new Failure("ProgrammingError", "Cannot operate on a closed database.");
    return await closing;
  }

  /** The process ends: has the connection closed now, interrupting what it runs. */
  exit(): void {
    this.#channel.exit(EXIT_PATIENCE, () => this.interrupt());
  }

  /** A reply. */
  take(inbox: Inbox): boolean {
    const call = inbox.u32();
    const status = inbox.u8();
    const inTransaction = inbox.u8() === 1;
    const totalChanges = inbox.f64();
    const batchLength = inbox.u32();
    if (status === ASKED) return this.#asked(call, inbox);
    const pending = this.#first!;
    const { resolve, receiver, cancellation, result } = pending;
    const batch = inbox.at;
    inbox.at += batchLength;
    const columns = status === PART ? inbox.value() as ColumnList | null : undefined;
    if (batchLength > 0) receiver?.receive(inbox.bytes, inbox.view, batch, columns);
    if (status === PART) return false;
    this.#first = pending.next;
    if (!this.#first) this.#last = undefined;
    pending.next = undefined; // whoever keeps this one is not to keep all that follow
    pending.answered = true;
    this.#cancellations.answered(call, cancellation);
    if (call === this.#closing) this.#retire();
    const bytes = inbox.value();
    const value = bytes instanceof Uint8Array ? bytes.slice() : bytes; // what it is a view of goes on
    const thrown = pending.thrown ?? this.#thrown.get(result);
    if (thrown) this.#thrown.delete(result);
    if (status !== FAILED) receiver?.replied(value as Executed | boolean);
    if (status === FAILED) resolve(failureOf(value, cancellation, thrown));
    else resolve(thrown ? this.#notwithstanding(thrown, value, result) : value);
    const ended = this.inTransaction && !inTransaction;
    if (inTransaction && !this.inTransaction) this.#openSince = clock.now();
    this.inTransaction = inTransaction;
    this.totalChanges = totalChanges;
    if (ended) this.onTransactionEnd();
    return true;
  }

  /** What becomes of a call that has been done although a hook has thrown. */
  #notwithstanding(thrown: Thrown, value: Plain, result: number): Plain | Failure {
    const ended = Array.isArray(value) ? value[0] : value;
    if (result >= 0 && ended === false) {
      // The rows before the throw are handed out first: the failure comes when more are asked for.
      this.#thrown.set(result, thrown);
    } else if (thrown.message !== null) {
      const failure = new Failure("OperationalError", thrown.message);
      failure.thrown = thrown;
      return failure;
    }
    return value;
  }

  /** The thread has ended. */
  crashed(why: string): void {
    const over = this.#over = new Failure(
      "OperationalError",
      this.#remote
        ? `The connection's thread ended unexpectedly (${why}): what was not committed is lost`
        : `The connection's thread ended while opening it (${why})`,
    );
    this.inTransaction = false;
    this.#crashed = true;
    const orphan = this.#remote;
    if (orphan && !this.#channel.handleGone) this.#closeOrphan(orphan);
    let pending = this.#first;
    this.#forget();
    for (; pending; pending = pending.next) {
      pending.answered = true;
      pending.cancellation?.forget();
      pending.resolve(over);
    }
    this.onCrash(over);
  }

  async #closeOrphan(orphan: RemoteDatabase): Promise<void> {
    if (this.lent) await this.lent;
    closeOrphan(orphan, this.#channel, this.hasAggregates);
  }

  /** SQLite calls a function of ours, in the middle of a call. */
  #asked(call: number, inbox: Inbox): false {
    const question = inbox.u32();
    const hook = this.hooks.get(inbox.u32());
    const asker = this.#first?.call === call ? this.#first : undefined;
    this.asking++;
    const finish = ({ status, bytes, thrown }: Answer) => {
      this.asking--;
      if (!asker || asker.answered) return; // nobody waits for it any more
      if (thrown) asker.thrown ??= thrown;
      if (question === 0) return; // the hook was only told, not asked
      this.#thread.answer((out) => {
        out.u32(question);
        out.u8(status);
        out.append(bytes);
      });
    };
    const within = asker?.within ?? ((work) => work());
    const answer = within(() => hook?.(inbox)) ?? GONE;
    if ("status" in answer) finish(answer);
    else answer.then((later) => finish(question === 0 ? GONE : later)); // what is told is told
    return false;
  }

  /** The connection is closed, or was never opened. */
  #retire(): void {
    this.#over ??= new Failure("ProgrammingError", "Cannot operate on a closed database.");
    this.#forget();
    this.#thread.release();
  }

  #forget(): void {
    this.#remote = undefined; // no interrupt from here on
    this.#first = this.#last = undefined;
    clients.delete(this);
    if (clients.size === 0) process.off("exit", closeAll);
  }
}

/** There is no memory for a request, or for all that are to go out. */
function tooLarge(error: unknown): Failure {
  if (!(error instanceof RangeError)) throw error;
  return new Failure("DataError", `Too large: ${error.message}`);
}

function failureOf(
  value: Plain,
  cancellation: Cancellation | undefined,
  thrown: Thrown | undefined,
): Failure {
  const [kind, message, errno, offset] = value as [FailureKind, string, number, number];
  if (kind === "Cancelled") return cancelledBy(cancellation!.signal);
  const failure = new Failure(kind, message, errno, offset);
  failure.thrown = thrown;
  return failure;
}
