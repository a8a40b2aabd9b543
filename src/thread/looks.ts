/**
 * Whether to look for what the other thread is about to write, before sleeping.
 *
 * To look is quicker than to be woken, but not if the other thread waits for the very processor
 * that is busy looking: because there is but one, or since the system has put both threads on one.
 * What was looked for then comes as soon as one stops. When that has happened some times in a row,
 * looks are left out, twice as many after each further miss, until one pays again.
 *
 * @module
 */

/** Misses in a row that happen to anybody whose processor is wanted by others, too. */
const MISSES = 8;
/** Looks that are left out at most. On a single processor none ever pays; elsewhere they may again. */
const MOST = 32;

/** One side's experience with looking. */
export class Looks {
  #misses = 0;
  /** How many are left out from now on. */
  #left = 0;

  /** Whether to look this time. */
  worthwhile(): boolean {
    if (this.#left === 0) return true;
    this.#left--;
    return false;
  }

  /** Something was seen. */
  paid(): void {
    this.#misses = 0;
  }

  /** Nothing was seen, but came right after. */
  missed(): void {
    this.#misses++;
    if (this.#misses > MISSES) this.#left = Math.min(2 ** (this.#misses - MISSES), MOST);
  }
}
