/**
 * Messages as they come off a pipe, in pieces or several at once.
 *
 * @module
 */
import { KEEP, Reader } from "./codec.ts";

/** Takes framed messages off a pipe. */
export class Inbox extends Reader {
  #filled = 0;
  /** Where the message that is being read ends. */
  end = 0;

  /** Whether another whole message was read off the pipe together with this one. */
  get hasNext(): boolean {
    const have = this.#filled - this.end;
    return have >= 4 && have >= 4 + this.view.getUint32(this.end, true);
  }

  /**
   * Moves to the next message when one is whole, reading from the pipe what it needs. Its bytes
   * stay as they are until the next call.
   */
  next(pipe: { read(into: Uint8Array, offset: number, limit: number): number }): boolean {
    this.at = this.end;
    if (this.at === this.#filled) this.#rewind();
    for (;;) {
      const have = this.#filled - this.at;
      const need = have < 4 ? 4 : 4 + this.view.getUint32(this.at, true);
      if (have >= need && have >= 4) {
        this.end = this.at + need;
        this.at += 4;
        return true;
      }
      this.#room(need);
      const count = pipe.read(this.bytes, this.#filled, this.bytes.length - this.#filled);
      if (count === 0) return false;
      this.#filled += count;
    }
  }

  #rewind(): void {
    this.at = this.end = this.#filled = 0;
    if (this.bytes.length > KEEP) this.#resize(1024);
  }

  /** Makes room for a message of `need` bytes, moving its beginning to the front. */
  #room(need: number): void {
    if (this.at > 0) {
      this.bytes.copyWithin(0, this.at, this.#filled);
      this.#filled -= this.at;
      this.at = this.end = 0;
    }
    if (need > this.bytes.length || this.bytes.length < 1 << 16) {
      this.#resize(Math.max(need, 1 << 16));
    }
  }

  #resize(capacity: number): void {
    const resized = new Uint8Array(capacity);
    resized.set(this.bytes.subarray(0, Math.min(this.#filled, capacity)));
    this.bytes = resized;
    this.view = new DataView(resized.buffer);
  }
}
