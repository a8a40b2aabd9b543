/**
 * C's memory as JavaScript sees it, where the runtime has that and its calls take long: bytes are
 * read where they are.
 *
 * Of what a window shows only those bytes may be looked at that C has just said are there. The rest
 * may be anybody's, or not exist.
 *
 * @module
 */
import type { Library } from "./libsqlite3.ts";
import { runtime } from "./runtime.ts";
import type { Runtime } from "./types.ts";

/** Bytes from where a window begins to where the next one would. */
const STEP = 1 << 20;
/** They overlap, so that bytes which begin in the one half do not end outside. */
const SIZE = 2 * STEP;
/** So many may be open; an address has its place among them. */
const PLACES = 64;
/**
 * To open one takes as long as a hundred calls, so that it has to be missed so often first, and each
 * time twice as often: what has its place may be wanted as much.
 */
const MISSES = 16;
/** Up to this length bytes are copied in a loop: a view of them alone takes longer. */
const SHORT = 40;

/** `SIZE` bytes from `base` on. */
export interface Window {
  readonly base: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const CLOSED: Window = {
  base: -STEP,
  bytes: new Uint8Array(),
  view: new DataView(new ArrayBuffer()),
};

/** The windows of one database. */
export class Windows {
  readonly #library: Library;
  /** Gone once it has turned out not to do what it should. */
  #view: Runtime["view"];
  readonly #open: Window[] = new Array(PLACES).fill(CLOSED);
  readonly #misses = new Float64Array(PLACES);
  /** How many of them make it worth while. */
  readonly #limits = new Float64Array(PLACES).fill(MISSES);

  constructor(library: Library, view: Runtime["view"] = runtime.view) {
    this.#library = library;
    this.#view = view;
  }

  /** Whether there may be any. */
  get usable(): boolean {
    return this.#view !== undefined;
  }

  /** A window that shows all of these bytes, or null if none does by now. */
  find(address: number, length: number): Window | null {
    if (length > STEP || this.#view === undefined) return null;
    const place = (address / STEP) >>> 0 & (PLACES - 1);
    const window = this.#open[place]!;
    const start = address - window.base;
    if (start >= 0 && start < STEP) return window;
    if (++this.#misses[place]! === this.#limits[place]) {
      this.#misses[place] = 0;
      this.#limits[place]! *= 2;
      this.#open[place] = this.#look(Math.floor(address / STEP) * STEP);
    }
    return null;
  }

  /** Copies bytes that a window shows; false if none does. */
  copy(address: number, length: number, into: Uint8Array, at: number): boolean {
    const window = this.find(address, length);
    if (window === null) return false;
    const { bytes } = window;
    const start = address - window.base | 0;
    if (length > SHORT) into.set(bytes.subarray(start, start + length), at);
    else for (let i = 0; i < length; i++) into[at + i] = bytes[start + i]!;
    return true;
  }

  /** Opens a window, or none ever again: some builds of V8 refuse such memory. */
  #look(base: number): Window {
    try {
      if (this.#open.every((window) => window === CLOSED)) this.#verify();
      const buffer = this.#view!(base, SIZE);
      return { base, bytes: new Uint8Array(buffer), view: new DataView(buffer) };
    } catch {
      this.#view = undefined;
      return CLOSED;
    }
  }

  /** Throws unless what C writes is seen. */
  #verify(): void {
    const library = this.#library;
    const address = library.sqlite3_malloc64(8n);
    if (!address) throw new Error("out of memory");
    try {
      const seen = new DataView(this.#view!(Number(address), 8));
      for (const number of [0n, -1n]) {
        library.memmove(
          address,
          new Uint8Array(BigInt64Array.of(number).buffer),
          runtime.address(8),
        );
        if (seen.getBigInt64(0) !== number) throw new Error("it is a copy");
      }
    } finally {
      library.sqlite3_free(address);
    }
  }
}
