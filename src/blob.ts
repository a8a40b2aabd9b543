/**
 * Blob: a BLOB or TEXT value that is read and written in parts.
 *
 * @module
 */
import type { Core } from "./core.ts";
import { DataError, ProgrammingError } from "./errors.ts";
import { typeName } from "./values.ts";

/** Bytes of a chunk of the stream `readable`. */
const CHUNK = 1 << 16;

/**
 * An open value of a row, as if it were a file of fixed length. Made by `connection.blobOpen()`.
 * When the row is changed by other means, what follows rejects with an `OperationalError` of code
 * `SQLITE_ABORT`. One that was opened for writing holds the write lock until it is closed.
 *
 * Source: `sqlite3.Blob`, https://sqlite.org/c3ref/blob_open.html
 */
export class Blob implements AsyncDisposable {
  /** Bytes it has; can't be changed. */
  readonly length: number;
  readonly #core: Core;
  readonly #id: number;
  #at = 0;
  #closed = false;

  /** Made by `blobOpen()`. */
  constructor(core: Core, id: number, length: number) {
    this.#core = core;
    this.#id = id;
    this.length = length;
  }

  /** Reads up to `length` bytes from the position, which moves behind them; by default all. */
  async read(length: number = this.length): Promise<Uint8Array> {
    this.#check();
    if (!Number.isInteger(length)) throw new ProgrammingError("A length is an integer");
    const left = this.length - this.#at;
    const count = length < 0 ? left : Math.min(length, left);
    const at = this.#at;
    return await this.#advance(count, this.#core.perform("readBlob", [this.#id, at, count]));
  }

  /** Writes bytes, which are copied now, at the position, which moves behind them. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#check();
    if (!(bytes instanceof Uint8Array)) {
      throw new ProgrammingError(`write() takes a Uint8Array, got ${typeName(bytes)}`);
    }
    if (bytes.length > this.length - this.#at) throw new DataError("data longer than blob length");
    const request = [this.#id, this.#at, bytes.slice()] as const;
    await this.#advance(bytes.length, this.#core.perform("writeBlob", [...request]));
  }

  /**
   * Moves the position: to `offset` from the start (`origin` 0), from where it is (1), or from the
   * end (2). Throws a `ProgrammingError` for one that is outside.
   */
  seek(offset: number, origin: 0 | 1 | 2 = 0): void {
    this.#check();
    if (origin !== 0 && origin !== 1 && origin !== 2) {
      throw new ProgrammingError("'origin' should be 0, 1 or 2");
    }
    const start = [0, this.#at, this.length][origin]!;
    const to = Number.isInteger(offset) ? start + offset : -1;
    if (to < 0 || to > this.length) {
      throw new ProgrammingError("offset out of blob range");
    }
    this.#at = to;
  }

  /** The position. */
  tell(): number {
    this.#check();
    return this.#at;
  }

  /** The bytes from the position on, as a stream. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream({
      pull: async (controller) => {
        const chunk = await this.read(CHUNK);
        if (chunk.length > 0) controller.enqueue(chunk as Uint8Array<ArrayBuffer>);
        else controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** A stream that writes from the position on. */
  get writable(): WritableStream<Uint8Array> {
    return new WritableStream({ write: (chunk) => this.write(chunk) });
  }

  /** Closes it; closing twice is fine. */
  async close(): Promise<void> {
    if (this.#closed || this.#core.closed) return;
    this.#closed = true;
    try {
      await this.#core.perform("closeBlob", [this.#id]);
    } catch (error) {
      this.#closed = false; // it may not have come to that; a second time does no harm
      throw error;
    }
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Moves the position now, and back if that fails and nothing else has moved it. */
  async #advance<T>(count: number, done: Promise<T>): Promise<T> {
    const from = this.#at;
    const to = this.#at += count;
    try {
      return await done;
    } catch (error) {
      if (this.#at === to) this.#at = from;
      throw error;
    }
  }

  #check(): void {
    if (this.#closed) throw new ProgrammingError("Cannot operate on a closed blob.");
    this.#core.check();
  }
}
