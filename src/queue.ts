/**
 * RowQueue: rows that have come in, in order, until they are handed out.
 *
 * They stay in the batches that they came in. One array of them all would have to be copied each
 * time it grows: of a million rows that takes a twentieth of the whole fetch, and at last 10 ms.
 *
 * @module
 */
import { clock } from "./thread/clock.ts";
import { TURN, turn } from "./thread/turns.ts";

/** To put together that many rows takes a fraction of a millisecond. */
const MANY = 50_000;

export class RowQueue<R> {
  readonly #batches: R[][] = [];
  /** Index in the first batch of the next row. */
  #next = 0;
  #length = 0;

  /** Rows that are left. */
  get length(): number {
    return this.#length;
  }

  /** Adds rows, in their array, which is the queue's from here on. */
  add(batch: R[]): void {
    if (batch.length === 0) return;
    this.#batches.push(batch);
    this.#length += batch.length;
  }

  /** The next row; undefined when none is left. */
  takeOne(): R | undefined {
    if (this.#length === 0) return undefined;
    const row = this.#batches[0]![this.#next]!;
    this.#advance(1);
    return row;
  }

  /** Up to `count` rows, in an array that is the caller's. */
  take(count: number): R[] {
    const [batch] = this.#batches;
    if (batch && this.#batches.length === 1 && this.#next === 0 && batch.length <= count) {
      this.clear();
      return batch; // just as it came in
    }
    const rows: R[] = new Array(Math.min(count, this.#length));
    for (let at = 0; at < rows.length;) at += this.#copy(rows, at);
    return rows;
  }

  /** All rows, likewise; many are put together in turns. */
  takeAll(): R[] | Promise<R[]> {
    return this.#length > MANY && this.#batches.length > 1
      ? this.#putTogether(this.#batches.splice(0))
      : this.take(Infinity);
  }

  async #putTogether(batches: R[][]): Promise<R[]> {
    const length = this.#length;
    batches[0] = batches[0]!.slice(this.#next);
    this.clear(); // what comes in from now on is for whoever asks next
    await turn(); // to read the last ones has taken its time, and so does so large an array
    let start = clock.now();
    const rows: R[] = new Array(length);
    let at = 0;
    for (const batch of batches) {
      for (let i = 0; i < batch.length; i++) rows[at++] = batch[i]!;
      if (clock.now() - start < TURN) continue;
      await turn();
      start = clock.now();
    }
    return rows;
  }

  clear(): void {
    this.#batches.length = 0;
    this.#next = this.#length = 0;
  }

  /** Takes what the first batch has of the rows that belong at `at`, and says how many. */
  #copy(rows: R[], at: number): number {
    const batch = this.#batches[0]!;
    const next = this.#next;
    const count = Math.min(batch.length - next, rows.length - at);
    for (let i = 0; i < count; i++) rows[at + i] = batch[next + i]!;
    this.#advance(count);
    return count;
  }

  /** Past rows of the first batch. */
  #advance(count: number): void {
    this.#length -= count;
    this.#next += count;
    if (this.#next < this.#batches[0]!.length) return;
    this.#batches.shift();
    this.#next = 0;
  }
}
