/**
 * Recorded changes as bytes: whether they are whole.
 *
 * SQLite trusts what it is given: in changes that are cut off it reads past their end, or for ever.
 * The format: https://sqlite.org/src/file/ext/session/sqlite3session.c
 *
 * @module
 */
import { SqliteFailure } from "../../ffi/failure.ts";
import { SQLITE_CORRUPT } from "../../ffi/result_codes.ts";

const CHANGESET = 0x54; // T
const PATCHSET = 0x50; // P
const DELETE = 9;
const INSERT = 18;
const UPDATE = 23;
const INTEGER = 1;
const FLOAT = 2;
const TEXT = 3;
const BLOB = 4;
const LAST_TYPE = 5;
/** What SQLite allows a table, whatever its limits. */
const MOST_COLUMNS = 32767;

/** Throws, as SQLite does for what it notices, unless all groups of changes are complete. */
export function checkChanges(bytes: Uint8Array): void {
  const changes = new Changes(bytes);
  while (!changes.ended) changes.group();
}

class Changes {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The head of a table, and its changes. */
  group(): void {
    const kind = this.#byte();
    if (kind !== CHANGESET && kind !== PATCHSET) throw corrupt();
    const columns = this.#varint();
    if (columns < 1 || columns > MOST_COLUMNS) throw corrupt();
    const keys = this.#take(columns).reduce((count, key) => count + (key ? 1 : 0), 0);
    const name = this.#bytes.indexOf(0, this.#at);
    if (name < 0 || keys === 0) throw corrupt();
    this.#at = name + 1;
    while (!this.ended && !this.#isHead()) this.#change(kind === PATCHSET, columns, keys);
  }

  #isHead(): boolean {
    const byte = this.#bytes[this.#at];
    return byte === CHANGESET || byte === PATCHSET;
  }

  #change(patch: boolean, columns: number, keys: number): void {
    const operation = this.#byte();
    this.#byte(); // whether a trigger or the like has made it
    if (operation === INSERT) this.#record(columns);
    else if (operation === DELETE) this.#record(patch ? keys : columns);
    else if (operation === UPDATE) this.#record(patch ? columns : 2 * columns);
    else throw corrupt();
  }

  #record(values: number): void {
    for (let i = 0; i < values; i++) {
      const type = this.#byte();
      if (type > LAST_TYPE) throw corrupt();
      if (type === INTEGER || type === FLOAT) this.#take(8);
      if (type === TEXT || type === BLOB) this.#take(this.#varint());
    }
  }

  #byte(): number {
    return this.#take(1)[0]!;
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw corrupt();
    return this.#bytes.subarray(this.#at, this.#at += length);
  }

  #varint(): number {
    for (let value = 0;;) {
      const byte = this.#byte();
      value = value * 128 + (byte & 0x7f);
      if (value > this.#bytes.length + MOST_COLUMNS) throw corrupt();
      if (byte < 0x80) return value;
    }
  }
}

function corrupt(): SqliteFailure {
  return new SqliteFailure(SQLITE_CORRUPT, "malformed changeset", -1);
}
