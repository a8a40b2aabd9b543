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
  readonly outer: Inside | undefined;
}

const inside = new AsyncLocalStorage<Inside>();

/** Runs a function for a connection that waits for it. */
export function callFor<T>(core: Core, call: () => T): T {
  return inside.run({ core, outer: inside.getStore() }, call);
}

/**
 * Whether the code that is running is that of a function which the connection waits for; or, if none
 * is given, any connection.
 */
export function isCalledBy(core?: Core): boolean {
  if (core?.client.asking === 0) return false;
  for (let at = inside.getStore(); at; at = at.outer) {
    if (core ? at.core === core : at.core.client.asking > 0) return true;
  }
  return false;
}
