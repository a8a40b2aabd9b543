/**
 * The statements that a worker has open, in shared memory: after a crash somebody has to free them.
 *
 * @module
 */
import type { Address } from "../../ffi/types.ts";

/** So many are seen by both threads, which is more than are usually open at once. */
export const SHARED_ADDRESSES = 1024;

/** A set of addresses. */
export class Addresses {
  readonly #shared: BigUint64Array<SharedArrayBuffer>;
  readonly #slots = new Map<Address, number>();
  readonly #free: number[] = [];
  #used = 0;

  constructor(shared: BigUint64Array<SharedArrayBuffer>) {
    this.#shared = shared;
  }

  add(address: Address): void {
    const slot = this.#free.pop() ?? this.#used++;
    this.#slots.set(address, slot);
    if (slot < SHARED_ADDRESSES) this.#shared[slot] = BigInt(address);
  }

  delete(address: Address): void {
    const slot = this.#slots.get(address)!;
    this.#slots.delete(address);
    this.#free.push(slot);
    if (slot < SHARED_ADDRESSES) this.#shared[slot] = 0n;
  }

  [Symbol.iterator](): Iterator<Address> {
    return this.#slots.keys();
  }

  /** All of them are freed. */
  clear(): void {
    for (const address of [...this.#slots.keys()]) this.delete(address);
  }
}

/** What the other thread sees. */
export function sharedAddresses(shared: BigUint64Array<SharedArrayBuffer>): bigint[] {
  return [...shared].filter((address) => address !== 0n);
}
