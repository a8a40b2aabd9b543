/**
 * The main-thread half of a connection: sends calls to its thread, matches replies to their
 * promises, cancels and interrupts, and cleans up after a crash.
 *
 * @module
 */
import process from "node:process";
import { setTimeout } from "node:timers";
import type { RemoteDatabase } from "../../ffi/remote.ts";
import type { Inbox, Plain } from "./codec.ts";
import { CANCELLABLE_CALLS, type Channel } from "./pipe.ts";
import {
  CANCELLABLE,
  cancelledBy,
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
/** How long a dead thread gets to leave a call, and how often it is interrupted, in milliseconds. */
const ORPHAN_TIME = 400;
const ORPHAN_STEP = 10;

/** Takes the rows of one batch, which lies at `at` in the bytes only until it returns. */
export type Receive = (bytes: Uint8Array, view: DataView, at: number) => void;

interface Pending {
  readonly resolve: (reply: Plain | Failure) => void;
  readonly receive: Receive | undefined;
  readonly cancellation: Cancellation | undefined;
}

/** A call's signal, and what is to be done about it. */
interface Cancellation {
  readonly signal: AbortSignal;
  readonly abort: () => void;
  /** The thread has been told. */
  told: boolean;
}

const OPERATION_NUMBERS = Object.fromEntries(
  OPERATIONS.map((operation, number) => [operation, number]),
) as Record<Operation, number>;

/** Clients whose connections the end of the process has to close. */
const open = new Set<Client>();

function closeAll(): void {
  // What is lent is in use by one of the others.
  for (const client of open) if (!client.lent) client.exit();
  for (const client of open) if (client.lent) client.exit();
}

export class Client implements Owner {
  /** As of the last reply. */
  inTransaction = false;
  totalChanges = 0;
  /** Called when a reply says that no transaction is open any more. */
  onTransactionEnd: () => void = () => {};
  /** Pending while another connection's thread uses the handle. */
  lent: Promise<void> | null = null;
  /** The handle's address, once it is open. */
  handle: number | bigint = 0;
  readonly #thread: Thread = Thread.for(this);
  readonly #channel: Channel = this.#thread.channel;
  readonly #pending = new Map<number, Pending>();
  /** Cancelled calls that are still too far behind to tell the thread so. */
  #far: number[] = [];
  #lastCall = -1;
  /** The call that closes the connection: nothing comes after its reply. */
  #closing = -1;
  #remote: RemoteDatabase | undefined;
  /** Whether the thread looks by itself whether the call it runs has been cancelled. */
  #looks = true;
  /** What every further call fails with. */
  #over: Failure | undefined;

  /**
   * Asks for an operation. The promise always fulfils, with the reply or with a failure, so that
   * who awaits it can throw an error with its own stack. A call whose signal is aborted before it
   * is begun never runs; one that runs is interrupted, and nothing else is.
   */
  call<O extends Operation>(
    operation: O,
    request: Request<O>,
    receive?: Receive,
    signal?: AbortSignal,
  ): Promise<Reply<O> | Failure> {
    if (this.#over) return Promise.resolve(this.#over);
    const call = this.#lastCall = this.#thread.nextCall();
    const { out } = this.#thread;
    const at = out.reserve(4);
    out.u32(call);
    out.u8(OPERATION_NUMBERS[operation] | (signal ? CANCELLABLE : 0));
    out.array(request);
    out.view.setUint32(at, out.length - at - 4, true);
    this.#thread.post();
    return new Promise((resolve) => {
      this.#pending.set(call, {
        resolve: resolve as Pending["resolve"],
        receive,
        cancellation: signal && this.#heed(signal, call),
      });
      if (signal?.aborted) this.#cancel(call);
    });
  }

  /** Whether the thread has died, or the connection is closed. */
  get over(): boolean {
    return this.#over !== undefined;
  }

  /** The worker has opened this: the client can interrupt it, and close it after a crash. */
  opened(database: RemoteDatabase, handle: number | bigint, looks: boolean): void {
    this.#remote = database;
    this.handle = handle;
    this.#looks = looks;
    if (open.size === 0) process.on("exit", closeAll);
    open.add(this);
  }

  /** Interrupts what the connection runs, a wait for a lock included. */
  interrupt(): void {
    this.#channel.interrupt(() => this.#remote?.interrupt());
  }

  /** Closes what is open once all that was asked before has been answered. */
  async close(): Promise<Failure | null> {
    if (this.lent) await this.lent;
    const closing = this.call("close", []);
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
    const wasInTransaction = this.inTransaction;
    this.inTransaction = inbox.u8() === 1;
    this.totalChanges = inbox.f64();
    const batchLength = inbox.u32();
    const { resolve, receive, cancellation } = this.#pending.get(call)!;
    if (batchLength > 0) receive?.(inbox.bytes, inbox.view, inbox.at);
    if (status === PART) return false;
    inbox.at += batchLength;
    this.#pending.delete(call);
    if (cancellation) this.#settle(call, cancellation);
    if (call === this.#closing) this.#retire();
    const bytes = inbox.value();
    const value = bytes instanceof Uint8Array ? bytes.slice() : bytes; // what it is a view of goes on
    resolve(status === FAILED ? failureOf(value, cancellation) : value);
    if (wasInTransaction && !this.inTransaction) this.onTransactionEnd();
    return true;
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
    const orphan = this.#remote;
    if (orphan && !this.#channel.handleGone) this.#closeOrphan(orphan);
    const pending = [...this.#pending.values()];
    this.#forget();
    for (const { resolve, cancellation } of pending) {
      cancellation?.signal.removeEventListener("abort", cancellation.abort);
      resolve(over);
    }
  }

  async #closeOrphan(orphan: RemoteDatabase): Promise<void> {
    if (this.lent) await this.lent;
    closeOrphan(orphan, this.#channel);
  }

  #heed(signal: AbortSignal, call: number): Cancellation {
    const abort = () => this.#cancel(call);
    signal.addEventListener("abort", abort, { once: true });
    return { signal, abort, told: false };
  }

  #cancel(call: number): void {
    const { resolve, cancellation } = this.#pending.get(call)!;
    const [oldest] = this.#pending.keys();
    if (((call - oldest!) >>> 0) >= CANCELLABLE_CALLS) {
      // The thread can't have come as far as that: one can't send so many replies unread.
      this.#far.push(call);
    } else {
      cancellation!.told = true;
      const begun = this.#channel.cancel(call);
      if (begun && !this.#looks) this.#channel.interrupt(() => this.#remote?.interrupt(), call);
      if (begun) return; // its reply tells what came of it
    }
    resolve(cancelledBy(cancellation!.signal));
  }

  #settle(call: number, { signal, abort, told }: Cancellation): void {
    signal.removeEventListener("abort", abort);
    if (told) this.#channel.uncancel(call);
    if (this.#far.length > 0) { for (const call of this.#far.splice(0)) this.#cancel(call); }
  }

  /** The connection is closed, or was never opened. */
  #retire(): void {
    this.#over ??= new Failure("ProgrammingError", "Cannot operate on a closed database.");
    this.#forget();
    this.#thread.release();
  }

  #forget(): void {
    this.#remote = undefined; // no interrupt from here on
    this.#pending.clear();
    open.delete(this);
    if (open.size === 0) process.off("exit", closeAll);
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

function failureOf(value: Plain, cancellation: Cancellation | undefined): Failure {
  const [kind, message, errno, offset] = value as [FailureKind, string, number, number];
  if (kind === "Cancelled") return cancelledBy(cancellation!.signal);
  return new Failure(kind, message, errno, offset);
}
