/**
 * Having a connection for oneself for a while, without a transaction.
 *
 * @module
 */
import { type Connection, coreOf } from "./connection.ts";
import { ProgrammingError } from "./errors.ts";
import type { Waiting } from "./line.ts";
import { Scope, within } from "./scope.ts";
import { unlessAborted } from "./thread/abort.ts";
import { cancelledBy, Failure } from "./thread/protocol.ts";

/** Whether the code that is running has the connection for itself. */
export function isHeld<R>(connection: Connection<R>): boolean {
  const { scope } = coreOf(connection);
  return scope.current() !== scope;
}

/**
 * Runs a function that has a connection for itself, or has it already. Results that it leaves open
 * end with it; so does a transaction, which is an error.
 */
export async function hold<R, T>(
  connection: Connection<R>,
  name: string,
  work: (connection: Connection<R>) => T | Promise<T>,
  { timeout, signal }: Waiting,
): Promise<T> {
  if (isHeld(connection)) return await work(connection);
  const core = coreOf(connection);
  const { client } = core;
  const scope = new Scope(name, core.scope, signal, () => client.openSince);
  await core.scope.open(scope, timeout);
  const since = core.nextResult();
  try {
    const value = await unlessAborted(within(scope, async () => await work(connection)), signal);
    if (client.inTransaction) throw new ProgrammingError(`${name} left a transaction open`);
    return value;
  } finally {
    const ended = new Failure("ProgrammingError", `${name} has ended.`);
    scope.seal(signal?.aborted ? cancelledBy(signal) : ended);
    await client.call("tidy", [since]);
    scope.leave();
  }
}
