/**
 * Whether code runs in a function that SQLite has called.
 *
 * A connection waits for such a function. So whatever the function, or a task that it has started,
 * wants of that connection could only be done once the function has ended.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Core } from "./core.ts";

/** The connections that have called, the last one first. */
interface Inside {
  readonly core: Core;
  /** The function has returned, and the promise it returned has settled. */
  over: boolean;
  readonly outer: Inside | undefined;
}

const inside = new AsyncLocalStorage<Inside>();

/** Runs a function for a connection that waits for what it returns, or for that to settle. */
export function callFor(core: Core, call: () => unknown): unknown {
  const one: Inside = { core, over: false, outer: inside.getStore() };
  const end = () => {
    one.over = true;
  };
  let result: unknown;
  try {
    result = inside.run(one, call);
  } catch (error) {
    end();
    throw error;
  }
  if (isPromiseLike(result)) return Promise.resolve(result).finally(end);
  end();
  return result;
}

export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/**
 * Whether the code that is running is that of a function which the connection waits for; or, if none
 * is given, any connection.
 */
export function isCalledBy(core?: Core): boolean {
  if (core?.client.asking === 0) return false;
  for (let at = inside.getStore(); at; at = at.outer) {
    if (!at.over && (core ? at.core === core : at.core.client.asking > 0)) return true;
  }
  return false;
}
