/**
 * Makes functions of the user's into what the client calls when SQLite asks.
 *
 * @module
 */
import type { Core } from "./core.ts";
import { ProgrammingError } from "./errors.ts";
import { callFor, isPromiseLike } from "./inside.ts";
import type { Answer, Hook } from "./thread/answers.ts";
import { type Plain, Writer } from "./thread/codec.ts";
import type { Inbox } from "./thread/inbox.ts";
import { ANSWERED, Failure, THREW, TOO_BIG } from "./thread/protocol.ts";
import { encodeResult, type SqlValue } from "./values.ts";

export interface HookOptions {
  /** Makes what SQLite is given of the result. */
  readonly convert?: (result: unknown) => unknown;
  /** Whether SQLite takes an error from it; if not, the call is failed for it. Default true. */
  readonly heard?: boolean;
}

/**
 * A function as the client calls it. `failed` says what went wrong when it throws; with "" nobody is
 * told.
 */
export function makeHook(
  core: Core,
  call: (values: SqlValue[]) => unknown,
  failed: string | ((error: unknown, values: Plain[]) => string),
  { convert = (result) => result, heard = true }: HookOptions = {},
): Hook {
  return (inbox: Inbox) => {
    let values: Plain[] = [];
    const fail = (error: unknown): Answer => {
      const message = typeof failed === "string" ? failed : failed(error, values);
      const answer = { status: THREW, bytes: encodeText(message) };
      if (failed === "") return answer;
      return { ...answer, thrown: { error, message: heard ? null : message } };
    };
    const finish = (result: unknown): Answer => {
      try {
        const bytes = encodeResult(convert(result), core.limits);
        if (!(bytes instanceof Failure)) return { status: ANSWERED, bytes };
        const error = new ProgrammingError(`A function returned: ${bytes.message}`);
        if (bytes.kind !== "DataError") return fail(error);
        return { status: TOO_BIG, bytes: new Uint8Array([0]), thrown: { error, message: null } };
      } catch (error) {
        return fail(error);
      }
    };
    try {
      values = copied(inbox.values());
      const result = callFor(core, () => call(values as SqlValue[]));
      return isPromiseLike(result) ? result.then(finish, fail) as Promise<Answer> : finish(result);
    } catch (error) {
      return fail(error);
    }
  };
}

/** Bytes are a view of what goes on. */
function copied(values: Plain[]): Plain[] {
  return values.map((value) => value instanceof Uint8Array ? value.slice() : value);
}

function encodeText(text: string): Uint8Array {
  const writer = new Writer();
  writer.text(text);
  return writer.bytes.slice(0, writer.length);
}
