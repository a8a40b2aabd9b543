/**
 * Turns: how long work goes on before everybody else in the event loop has a turn.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** Milliseconds after which timers and input have their turn, whatever there is to do. */
export const TURN = 2;

/** Fulfils once everybody else has had a turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
