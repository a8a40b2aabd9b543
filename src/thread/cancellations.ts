/**
 * Cancelling calls of one connection, on the main thread, once their signals are aborted.
 *
 * @module
 */
import { setTimeout } from "node:timers";
import { onAbort, type Signal } from "./abort.ts";
import { CANCELLABLE_CALLS, type Channel } from "./channel.ts";
import { cancelledBy, type Failure } from "./protocol.ts";

/** How long a cancelled call gets to notice, in milliseconds, before it is interrupted. */
const PATIENCE = 50;
/** How often one that can't notice is interrupted, in milliseconds. */
const INTERRUPT_STEP = 10;

/** A call that may be cancelled. */
export interface Cancellable {
  readonly call: number;
  answered: boolean;
  readonly resolve: (reply: Failure) => void;
  cancellation: Cancellation | undefined;
}

/** A call's signal, and what has been done about it. */
export interface Cancellation {
  readonly signal: Signal;
  /** Listens to it no more. */
  readonly forget: () => void;
  /** The thread has been told. */
  told: boolean;
}

export class Cancellations {
  readonly #channel: Channel;
  readonly #first: () => number;
  readonly #interrupt: () => void;
  /** Cancelled calls that are still too far behind to tell the thread so. */
  readonly #far = new Map<number, Cancellable>();
  /** Whether the thread looks by itself whether the call it runs has been cancelled. */
  looks = true;

  /** `first` is the first of the calls without an answer; `interrupt` interrupts what runs. */
  constructor(channel: Channel, first: () => number, interrupt: () => void) {
    this.#channel = channel;
    this.#first = first;
    this.#interrupt = interrupt;
  }

  /** Has a call cancelled when its signal is aborted, or is already. */
  heed(signal: Signal, call: Cancellable): void {
    const cancel = () => this.#cancel(call, signal);
    call.cancellation = { signal, forget: onAbort(signal, cancel), told: false };
    if (signal.aborted) cancel();
  }

  /** A call, the first of those without an answer, has been answered. */
  answered(call: number, cancellation: Cancellation | undefined): void {
    cancellation?.forget();
    if (cancellation?.told) this.#channel.uncancel(call);
    if (this.#far.size > 0) this.#approach(call);
  }

  #cancel(cancelled: Cancellable, signal: Signal): void {
    const { call } = cancelled;
    if (((call - this.#first()) >>> 0) >= CANCELLABLE_CALLS) {
      // The thread can't have come as far as that: one can't send so many replies unread.
      this.#far.set(call, cancelled);
    } else if (this.#tell(cancelled)) {
      return this.#press(cancelled); // its reply tells what comes of it
    }
    cancelled.resolve(cancelledBy(signal));
  }

  /** Tells the thread that a call is cancelled. Returns whether it has begun. */
  #tell({ call, cancellation }: Cancellable): boolean {
    cancellation!.told = true;
    return this.#channel.cancel(call);
  }

  /** Another call has been answered, so another one is near enough to tell the thread of it. */
  #approach(answered: number): void {
    const call = (answered + CANCELLABLE_CALLS) >>> 0;
    const cancelled = this.#far.get(call);
    if (cancelled === undefined) return;
    this.#far.delete(call);
    this.#tell(cancelled);
  }

  /**
   * Interrupts a cancelled call that does not notice by itself: where the thread can't look, or when
   * SQLite is in the middle of one long instruction, like counting all rows of a table. Again and
   * again, since SQLite takes no notice before the statement has begun.
   */
  #press(cancelled: Cancellable): void {
    const step = this.looks ? PATIENCE : INTERRUPT_STEP;
    const press = () => {
      if (cancelled.answered) return;
      this.#channel.interrupt(this.#interrupt, cancelled.call);
      setTimeout(press, step).unref();
    };
    if (this.looks) setTimeout(press, step).unref();
    else press();
  }
}
