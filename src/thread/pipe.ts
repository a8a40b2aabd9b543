/**
 * Byte pipes in shared memory, from one thread to another, and the bells that wake these.
 *
 * A message queue of the runtime costs 50-75 us for a round trip; reading a position in shared
 * memory costs nothing, and waking a sleeping thread about 30 us. So each side writes, moves the
 * position, and wakes the other only if it has said that it sleeps. All positions go through
 * `Atomics`, whose operations have one order for both threads: who writes and then looks for a
 * sleeper, and who says it sleeps and then looks for bytes, can't both miss the other.
 *
 * @module
 */

/** Up to this many bytes a loop over words is faster than making the views for a block copy. */
const SHORT = 256;
/** Of larger buffers no views are kept: they are not there for long, and words have 2^31 places. */
const KEEP = 1 << 20;

/**
 * For how long to look for what the other thread is about to write, in milliseconds: that is quicker
 * than to be woken. With one processor it only keeps the other thread from writing.
 */
export function looking(milliseconds: number): number {
  return navigator.hardwareConcurrency > 1 ? milliseconds : 0;
}

/** Wakes one thread. Two words: how often it rang, and whether the thread sleeps. */
export class Bell {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #rung: number;
  readonly #asleep: number;

  constructor(words: Int32Array<SharedArrayBuffer>, at: number) {
    this.#words = words;
    this.#rung = at;
    this.#asleep = at + 1;
  }

  /** Wakes the thread if it sleeps or is just about to. */
  ring(): void {
    // Mostly it does not, and to look costs less than to write where the other one reads.
    if (Atomics.load(this.#words, this.#asleep) === 0) return;
    // It counts after that: who has said that it sleeps then sees the count change, and does not.
    if (Atomics.exchange(this.#words, this.#asleep, 0) === 1) this.retire();
  }

  /** Blocks the calling thread until the bell rings, unless `ready()` holds already. */
  sleep(ready: () => boolean): void {
    const seen = Atomics.load(this.#words, this.#rung);
    Atomics.store(this.#words, this.#asleep, 1);
    if (!ready()) Atomics.wait(this.#words, this.#rung, seen);
    Atomics.store(this.#words, this.#asleep, 0);
  }

  /**
   * Says that the thread is going to sleep in its event loop. Returns a promise of the next ring;
   * undefined when the bell rang or `ready()` holds already; and true with `listening`, which says
   * that an earlier promise has not settled yet and will serve.
   */
  listen(ready: () => boolean, listening: boolean): Promise<unknown> | true | undefined {
    const seen = Atomics.load(this.#words, this.#rung);
    Atomics.store(this.#words, this.#asleep, 1);
    if (ready()) {
      Atomics.store(this.#words, this.#asleep, 0);
      return undefined;
    }
    if (listening) return true;
    const waiting = Atomics.waitAsync(this.#words, this.#rung, seen);
    return waiting.async ? waiting.value : undefined;
  }

  /** Wakes whatever still listens, so that nothing is left waiting on abandoned memory. */
  retire(): void {
    Atomics.add(this.#words, this.#rung, 1);
    Atomics.notify(this.#words, this.#rung);
  }
}

/**
 * A one-way pipe of bytes: a ring buffer that one thread writes and another reads. It is quickest if
 * all that is written are whole words.
 */
export class Pipe {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  /** The same as words. */
  readonly #ring: Int32Array;
  /** What a short message was written from or read to last, and the same as words. */
  #lastBytes: Uint8Array | undefined;
  #lastWords: Int32Array = new Int32Array();
  readonly #written: number;
  readonly #read: number;
  readonly #full: number;
  readonly #mask: number;
  readonly #writer: Bell;
  readonly #reader: Bell;
  /** Its own position each side knows: the shared one is for the other side. */
  #writtenTo: number;
  #readTo: number;

  constructor(
    words: Int32Array<SharedArrayBuffer>,
    bytes: Uint8Array<SharedArrayBuffer>,
    written: number,
    read: number,
    writer: Bell,
    reader: Bell,
  ) {
    this.#words = words;
    this.#bytes = bytes;
    this.#ring = wordsOf(bytes);
    this.#written = written;
    this.#read = read;
    this.#full = written + 1;
    this.#mask = bytes.length - 1;
    this.#writer = writer;
    this.#reader = reader;
    this.#writtenTo = Atomics.load(words, written);
    this.#readTo = Atomics.load(words, read);
  }

  /** For the reader: bytes written and not read yet. Positions count up and wrap at 2^32. */
  available(): number {
    return (Atomics.load(this.#words, this.#written) - this.#readTo) | 0;
  }

  /** For the writer: bytes that can be written now. */
  space(): number {
    return this.#bytes.length - ((this.#writtenTo - Atomics.load(this.#words, this.#read)) | 0);
  }

  /**
   * Writes what there is space for and wakes the reader. Returns the number of bytes taken; when
   * not all were, the writer's bell will ring once there is space.
   */
  write(source: Uint8Array, start: number, end: number): number {
    let at = start;
    for (;;) {
      at += this.#put(source, at, end);
      if (at === end) break;
      // The mark comes before the look: what the reader frees after that look, it sees the mark.
      Atomics.store(this.#words, this.#full, 1);
      if (this.space() === 0) break;
    }
    return at - start;
  }

  #put(source: Uint8Array, start: number, end: number): number {
    const count = Math.min(end - start, this.space());
    if (count === 0) return 0;
    const at = this.#writtenTo & this.#mask;
    if (count <= SHORT && isWords(source, at | start | count)) {
      const words = this.#wordsOf(source);
      const mask = this.#mask >> 2;
      let from = start >> 2;
      for (let to = at >> 2; from < (start + count) >> 2;) this.#ring[to++ & mask] = words[from++]!;
    } else {
      const first = Math.min(count, this.#bytes.length - at);
      this.#bytes.set(source.subarray(start, start + first), at);
      if (first < count) this.#bytes.set(source.subarray(start + first, start + count), 0);
    }
    this.#writtenTo = (this.#writtenTo + count) | 0;
    Atomics.store(this.#words, this.#written, this.#writtenTo);
    this.#reader.ring();
    return count;
  }

  /** Reads up to `limit` bytes to `into` at `offset` and returns how many there were. */
  read(into: Uint8Array, offset: number, limit: number): number {
    const count = Math.min(this.available(), limit);
    if (count === 0) return 0;
    const at = this.#readTo & this.#mask;
    if (count <= SHORT && isWords(into, at | offset | count)) {
      const words = this.#wordsOf(into);
      const mask = this.#mask >> 2;
      let to = offset >> 2;
      for (let from = at >> 2; to < (offset + count) >> 2;) {
        words[to++] = this.#ring[from++ & mask]!;
      }
    } else {
      const first = Math.min(count, this.#bytes.length - at);
      into.set(this.#bytes.subarray(at, at + first), offset);
      if (first < count) into.set(this.#bytes.subarray(0, count - first), offset + first);
    }
    this.#readTo = (this.#readTo + count) | 0;
    Atomics.store(this.#words, this.#read, this.#readTo);
    if (Atomics.load(this.#words, this.#full) === 1) {
      Atomics.store(this.#words, this.#full, 0);
      this.#writer.ring();
    }
    return count;
  }

  #wordsOf(bytes: Uint8Array): Int32Array {
    if (this.#lastBytes !== bytes) {
      this.#lastBytes = bytes;
      this.#lastWords = wordsOf(bytes);
    }
    return this.#lastWords;
  }
}

/** Whether a piece can be copied word by word; `places` are its positions and length, or'ed. */
function isWords(bytes: Uint8Array, places: number): boolean {
  return ((places | bytes.byteOffset) & 3) === 0 && bytes.length <= KEEP;
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}
