/**
 * Closing the database of a worker that has died.
 *
 * @module
 */
import { setTimeout } from "node:timers";
import type { RemoteDatabase } from "../../ffi/remote.ts";
import { sharedAddresses } from "./addresses.ts";
import type { Channel } from "./channel.ts";

/** How long a dead thread gets to leave a call, and how often it is interrupted, in milliseconds. */
const TIME = 400;
const STEP = 10;

/**
 * The database of a dead worker keeps its locks until it is closed. But Deno tells of a terminated
 * thread's end before it has come: the thread has yet to return from C, where it is interrupted,
 * and to go on to where it notices. So if it was in the middle of a call it gets time for that.
 */
export function closeOrphan(
  orphan: RemoteDatabase,
  channel: Channel,
  aggregates: boolean,
  waited = 0,
): void {
  if (!channel.abandon() || waited >= TIME) {
    return orphan.close(sharedAddresses(channel.statements), aggregates);
  }
  orphan.interrupt();
  // The end of the process frees the locks as well, and need not wait for this.
  setTimeout(closeOrphan, STEP, orphan, channel, aggregates, waited + STEP).unref();
}
