/**
 * Bytes in C's memory.
 *
 * @module
 */
import { SqliteFailure } from "./failure.ts";
import type { Library } from "./libsqlite3.ts";
import { SQLITE_NOMEM } from "./result_codes.ts";
import { runtime } from "./runtime.ts";
import type { Address } from "./types.ts";

/** The address so many bytes further on. */
export function plus(address: Address, offset: number): Address {
  return typeof address === "number" ? address + offset : address + BigInt(offset);
}

/** Bytes held in C's memory: text and blobs on their way into SQLite. Grows, and is re-used. */
export class NativeBuffer {
  #library: Library;
  #address: Address = 0n;
  #capacity = 0;

  constructor(library: Library) {
    this.#library = library;
  }

  /** Copies the bytes in and returns their address, valid until the next call. */
  hold(bytes: Uint8Array): Address {
    if (bytes.length > this.#capacity || !this.#address) {
      this.free();
      const capacity = Math.max(bytes.length, 4096);
      this.#address = this.#library.sqlite3_malloc64(BigInt(capacity));
      if (!this.#address) throw new SqliteFailure(SQLITE_NOMEM, "out of memory", -1);
      this.#capacity = capacity;
    }
    this.#library.memmove(this.#address, bytes, runtime.address(bytes.length));
    return this.#address;
  }

  free(): void {
    this.#library.sqlite3_free(this.#address);
    this.#address = 0n;
    this.#capacity = 0;
  }

  /** Gives back what one exceptionally large value took. */
  trim(): void {
    if (this.#capacity > 1 << 20) this.free();
  }
}
