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
import type { Bell, Pipe } from "./pipe.ts";

/** What comes within so many milliseconds after looking has ended, comes right after. */
export const SOON = 0.3;
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

  /**
   * Waits for bytes in a pipe, or until `over()` holds: looks for so many milliseconds if that is
   * worthwhile, then sleeps. Returns for how long it has slept.
   */
  wait(pipe: Pipe, bell: Bell, milliseconds: number, over: () => boolean): number {
    const look = this.worthwhile();
    if (look) {
      for (const start = performance.now(); performance.now() - start < milliseconds;) {
        for (let i = 0; i < 32; i++) {
          if (pipe.available() === 0) continue;
          this.paid();
          return 0;
        }
      }
    }
    const asleep = performance.now();
    bell.sleep(() => pipe.available() > 0 || over());
    const slept = performance.now() - asleep;
    if (look && slept < SOON) this.missed();
    return slept;
  }
}
