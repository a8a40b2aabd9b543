/**
 * What main answers when SQLite calls a function of its.
 *
 * @module
 */
import { TEXT } from "./codec.ts";
import type { Inbox } from "./inbox.ts";
import { THREW } from "./protocol.ts";

/** What a hook answers. */
export interface Answer {
  readonly status: number;
  /** The value, or what to say went wrong. */
  readonly bytes: Uint8Array;
  /** What has been thrown: the cause, should the call fail. */
  readonly thrown?: Thrown;
}

/** There is no such hook any more. */
export const GONE: Answer = { status: THREW, bytes: new Uint8Array([TEXT, 0, 0, 0, 0]) };

export interface Thrown {
  readonly error: unknown;
  /** What the call is to fail with, since SQLite does not know of it; null when it does. */
  readonly message: string | null;
}

/** Reads its values, which are there until it returns, and answers. Never throws. */
export type Hook = (values: Inbox) => Answer | Promise<Answer>;
