/**
 * Asking main in the middle of a call, when SQLite calls a function that is there.
 *
 * @module
 */
import type { HookResult, HookValue } from "../../ffi/hooks.ts";
import { SQLITE_INTERRUPT, SQLITE_TOOBIG } from "../../ffi/result_codes.ts";
import { clock } from "./clock.ts";
import { BLOB, FLOAT, INT32, INT64, NULL, type Reader, TEXT, Writer } from "./codec.ts";
import { Inbox } from "./inbox.ts";
import type { Channel } from "./channel.ts";
import { looking } from "./pipe.ts";
import { ASKED, TOO_BIG } from "./protocol.ts";

/** How long to look for the answer before sleeping, in milliseconds. */
const SPIN = looking(0.05);
/** Length, call, status, and what only a reply has. */
const HEADER = 22;

/** The last question, of whatever connection: an answer that comes too late must fit none. */
let last = 0;
/** Likewise what has come of an answer: the rest of it may come in the time of the next one. */
const received = new Inbox();

export class Questions {
  readonly #channel: Channel;
  readonly #out = new Writer();
  readonly #stopped: () => boolean;
  /** The call in which it is asked. */
  call = 0;

  /** `stopped` tells when the answer is not needed any more. */
  constructor(channel: Channel, stopped: () => boolean) {
    this.#channel = channel;
    this.#stopped = stopped;
  }

  /** Calls a hook and waits for what it gives back. */
  ask(hook: number, values: readonly (HookValue | string)[]): HookResult {
    const question = last = (last + 1) >>> 0 || 1;
    this.#send(question, hook, values);
    return this.#answer(question);
  }

  /** Calls a hook whose result does not matter. */
  tell(hook: number, values: readonly (HookValue | string)[]): void {
    this.#send(0, hook, values);
  }

  #send(question: number, hook: number, values: readonly (HookValue | string)[]): void {
    const out = this.#out;
    out.clear();
    out.reserve(HEADER);
    out.view.setUint32(4, this.call, true);
    out.view.setUint8(8, ASKED);
    out.u32(question);
    out.u32(hook);
    out.u32(values.length);
    for (const value of values) writeValue(out, value);
    out.end(0);
    const { replies, workerBell } = this.#channel;
    for (let at = 0; !this.#channel.exiting;) {
      at += replies.write(out.bytes, at, out.length);
      if (at === out.length) break;
      workerBell.sleep(() => replies.space() > 0 || this.#channel.exiting);
    }
  }

  #answer(question: number): HookResult {
    const { answers, workerBell } = this.#channel;
    const ready = () => answers.available() > 0 || this.#channel.exiting || this.#stopped();
    for (;;) {
      while (received.next(answers)) {
        // That of an earlier question comes too late.
        if (received.u32() === question) return readResult(received);
      }
      if (this.#channel.exiting || this.#stopped()) return { code: SQLITE_INTERRUPT };
      for (const until = clock.now() + SPIN; clock.now() < until && !ready();) {
        for (let i = 0; i < 32; i++) if (answers.available() > 0) break;
      }
      workerBell.sleep(ready);
    }
  }
}

function writeValue(out: Writer, value: HookValue | string): void {
  if (value === null) out.u8(NULL);
  else if (typeof value === "bigint") out.int64(value);
  else if (typeof value === "string") out.text(value);
  else if (typeof value === "number") {
    if ((value | 0) === value && !Object.is(value, -0)) out.int32(value);
    else out.double(FLOAT, value);
  } else if ("blob" in value) out.blob(value.blob);
  else {
    out.u8(TEXT);
    out.u32(value.text.length);
    out.append(value.text);
  }
}

function readResult(answer: Reader): HookResult {
  const status = answer.u8();
  if (status === TOO_BIG) return { code: SQLITE_TOOBIG };
  if (status !== 0) return { error: answer.value() as string };
  switch (answer.u8()) {
    case INT32:
      return answer.i32();
    case INT64:
      return answer.i64();
    case FLOAT:
      return answer.f64();
    case TEXT:
      return { text: answer.take(answer.u32()) };
    case BLOB:
      return { blob: answer.take(answer.u32()) };
    default:
      return null;
  }
}
