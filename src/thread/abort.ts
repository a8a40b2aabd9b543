/**
 * Being told when a signal is aborted.
 *
 * @module
 */

/** A signal's one listener, and all whom it tells. */
interface Listener {
  readonly told: Set<() => void>;
  readonly tell: () => void;
}

const listeners = new WeakMap<AbortSignal, Listener>();

/**
 * Calls a function when the signal is aborted; returns what ends that. However many ask, the signal
 * has one listener: to add another one it would look through all that it has.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const { told, tell } = listeners.get(signal) ?? listen(signal);
  told.add(callback);
  return () => {
    if (!told.delete(callback) || told.size > 0) return;
    listeners.delete(signal);
    signal.removeEventListener("abort", tell);
  };
}

function listen(signal: AbortSignal): Listener {
  const told = new Set<() => void>();
  const tell = () => {
    listeners.delete(signal);
    for (const callback of told) callback();
  };
  const listener = { told, tell };
  listeners.set(signal, listener);
  signal.addEventListener("abort", tell, { once: true });
  return listener;
}

/** The promise; or the signal's reason once it is aborted, and nobody hears of the promise then. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
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
