/**
 * Copying a database to that of another connection while both are open.
 *
 * @module
 */
import { SQLITE_BUSY, SQLITE_DONE, SQLITE_LOCKED } from "../ffi/result_codes.ts";
import { callable, checker, checkSignal, checkTimeout, integer, text } from "./checks.ts";
import type { Core } from "./core.ts";
import { OperationalError, ProgrammingError, unwrap } from "./errors.ts";
import { Scope } from "./scope.ts";
import { unlessAborted } from "./thread/abort.ts";
import { Failure } from "./thread/protocol.ts";

/** Options of `backup`; all may be left out. */
export interface BackupOptions {
  /** Pages copied in one step; -1 (default) or 0 is all. Between steps the source can be used. */
  pages?: number | undefined;
  /**
   * Called after each step: with `SQLITE_OK`, `SQLITE_DONE`, `SQLITE_BUSY` or `SQLITE_LOCKED`, and
   * numbers of pages. What it throws ends the backup and is what `backup` rejects with.
   */
  progress?:
    | ((status: number, remaining: number, total: number) => unknown)
    | null
    | undefined;
  /** The source's database: `"main"` (default), `"temp"`, or a name given with ATTACH. */
  name?: string | undefined;
  /** Milliseconds to wait before the next try when a lock is in the way. Default 250. */
  sleep?: number | undefined;
  /** Ends the backup; the target then has what it had before. */
  signal?: AbortSignal | undefined;
}

/** The options, checked. */
export interface BackupSettings {
  pages: number;
  progress: ((status: number, remaining: number, total: number) => unknown) | null;
  name: string;
  sleep: number;
  signal: AbortSignal | undefined;
}

/** Checks the options and fills in the defaults. */
export const checkBackupOptions: (options: unknown) => BackupSettings = checker<BackupSettings>({
  pages: [integer("pages", -1), -1],
  progress: [checkProgress, null],
  name: [text("name"), "main"],
  sleep: [checkTimeout, 250],
  signal: [checkSignal, undefined],
});

function checkProgress(value: unknown): BackupSettings["progress"] {
  return value === null
    ? null
    : callable<NonNullable<BackupSettings["progress"]>>("progress")(value);
}

/** Copies until all is done. The target is lent to the source's thread meanwhile. */
export async function backUp(
  source: Core,
  target: Core,
  settings: BackupSettings,
): Promise<void> {
  source.check();
  if (target.closed) throw new ProgrammingError("Cannot operate on a closed target.");
  const { scope, client } = target;
  refuseTransaction(target);
  const hold = new Scope("a backup into it", scope, settings.signal);
  await scope.open(hold, target.settings.timeout);
  const { promise, resolve } = Promise.withResolvers<void>();
  try {
    client.lent = promise; // from here on it may not be closed, and nothing else is sent to it
    unwrap(await client.call("lend", []));
    refuseTransaction(target); // what was called before has been answered now
    await copy(source, target, hold, settings);
  } finally {
    client.lent = null;
    client.call("takeBack", []);
    resolve();
    hold.seal(new Failure("ProgrammingError", "The backup has ended."));
    hold.leave();
  }
}

function refuseTransaction({ scope, client }: Core): void {
  if (client.inTransaction || scope.current() !== scope) {
    throw new OperationalError("target is in transaction");
  }
}

async function copy(
  source: Core,
  target: Core,
  hold: Scope,
  settings: BackupSettings,
): Promise<void> {
  const { pages, progress, name, sleep, signal } = settings;
  const id = await source.perform("startBackup", [target.client.handle, "main", name], { signal });
  try {
    for (;;) {
      const [status, remaining, total] = await source.perform("stepBackup", [id, pages], {
        signal,
      });
      await progress?.(status, remaining, total);
      if (status === SQLITE_DONE) return;
      if (target.closed) throw new ProgrammingError("Cannot operate on a closed target.");
      hold.check(); // its thread may have ended
      signal?.throwIfAborted();
      if (status === SQLITE_BUSY || status === SQLITE_LOCKED) await pause(sleep, signal);
    }
  } finally {
    // Whatever is open on the source by now, and even if it is just being closed.
    await source.client.call("finishBackup", [id]);
    await source.client.closing; // which finishes it, too
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  try {
    await unlessAborted(promise, signal);
  } finally {
    clearTimeout(timer);
  }
}
