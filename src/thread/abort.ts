/**
 * Signals: being told when one is aborted.
 *
 * @module
 */

/** What is told of an `AbortSignal`, or of either of two. */
export interface Signal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
}

/** A signal's one listener, and all whom it tells. */
interface Listener {
  readonly told: Set<() => void>;
  /** Listens no more. */
  readonly stop: () => void;
}

const listeners = new WeakMap<AbortSignal, Listener>();

/**
 * Either of two signals. Not `AbortSignal.any`, which tells those who listen to it later than those
 * who listen to the one that was aborted, and what was called last has to be cancelled first.
 */
class Either implements Signal {
  readonly one: Signal;
  readonly other: Signal;

  constructor(one: Signal, other: Signal) {
    this.one = one;
    this.other = other;
  }

  get aborted(): boolean {
    return this.one.aborted || this.other.aborted;
  }

  get reason(): unknown {
    return this.one.aborted ? this.one.reason : this.other.reason;
  }

  throwIfAborted(): void {
    this.one.throwIfAborted();
    this.other.throwIfAborted();
  }
}

/** Whichever of the two there is, or either of them. */
export function either(one: Signal | undefined, other: Signal | undefined): Signal | undefined {
  return one && other ? new Either(one, other) : one ?? other;
}

/**
 * Calls a function when the signal is aborted; returns what ends that. Who has asked last is told
 * first: while a call is being cancelled, the thread must not get on to a later one.
 */
export function onAbort(signal: Signal, callback: () => void): () => void {
  if (signal instanceof Either) {
    const forgets = [onAbort(signal.one, callback), onAbort(signal.other, callback)];
    return () => forgets.forEach((forget) => forget());
  }
  // However many ask, the signal has one listener: to add another it would look through them all.
  const { told, stop } = listeners.get(signal as AbortSignal) ?? listen(signal as AbortSignal);
  told.add(callback);
  return () => {
    if (told.delete(callback) && told.size === 0) stop();
  };
}

function listen(signal: AbortSignal): Listener {
  const told = new Set<() => void>();
  const tell = () => {
    stop();
    for (const callback of [...told].reverse()) if (told.delete(callback)) callback();
  };
  const stop = () => {
    listeners.delete(signal);
    signal.removeEventListener("abort", tell);
  };
  const listener = { told, stop };
  listeners.set(signal, listener);
  signal.addEventListener("abort", tell);
  return listener;
}

/** The promise; or the signal's reason once it is aborted, and nobody hears of the promise then. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: Signal | undefined,
): Promise<T> {
  if (!signal) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  const forget = onAbort(signal, abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    forget();
  }
}
