/**
 * One connection's open blobs in its thread.
 *
 * @module
 */
import { SQLITE_READONLY } from "../../ffi/result_codes.ts";
import { runtime } from "../../ffi/runtime.ts";
import type { Database } from "../../ffi/sqlite.ts";
import type { Address } from "../../ffi/types.ts";
import { cText } from "../../ffi/text.ts";
import { required } from "./control.ts";
import { type BlobOperations, Failure } from "./protocol.ts";

export class Blobs implements BlobOperations {
  readonly #database: Database;
  readonly #open = new Map<number, Address>();
  #last = 0;

  constructor(database: Database) {
    this.#database = database;
  }

  openBlob(
    name: string,
    table: string,
    column: string,
    rowid: bigint,
    readonly: boolean,
  ): readonly [blob: number, length: number] {
    const out = new BigUint64Array(1);
    const rc = required(this.#database, "sqlite3_blob_open")(
      this.#database.handle,
      cText(name),
      cText(table),
      cText(column),
      rowid,
      readonly ? 0 : 1,
      new Uint8Array(out.buffer),
    );
    this.#database.check(rc);
    const address = runtime.address(out[0]!);
    this.#open.set(++this.#last, address);
    return [this.#last, required(this.#database, "sqlite3_blob_bytes")(address)];
  }

  readBlob(blob: number, offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const read = required(this.#database, "sqlite3_blob_read");
    // A runtime may pass an empty array as a null pointer, and there is nothing to read.
    this.#database.check(
      read(this.#find(blob), length > 0 ? bytes : new Uint8Array(1), length, offset),
    );
    return bytes;
  }

  writeBlob(blob: number, offset: number, bytes: Uint8Array): null {
    const write = required(this.#database, "sqlite3_blob_write");
    const source = bytes.length > 0 ? bytes : new Uint8Array(1);
    this.#database.check(write(this.#find(blob), source, bytes.length, offset));
    return null;
  }

  closeBlob(blob: number): null {
    const address = this.#open.get(blob);
    if (address === undefined) return null;
    this.#open.delete(blob);
    const rc = required(this.#database, "sqlite3_blob_close")(address);
    // It repeats what the last write has said, which lost nothing if it was this.
    if (rc !== SQLITE_READONLY) this.#database.check(rc);
    return null;
  }

  /** Before the connection is closed: an open blob would keep it. */
  close(): void {
    for (const address of this.#open.values()) {
      required(this.#database, "sqlite3_blob_close")(address);
    }
    this.#open.clear();
  }

  #find(blob: number): Address {
    const address = this.#open.get(blob);
    if (address !== undefined) return address;
    throw new Failure("ProgrammingError", "Cannot operate on a closed blob.");
  }
}
