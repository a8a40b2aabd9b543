/**
 * What SQLite says when a call fails.
 *
 * @module
 */
/** What SQLite said when a call failed. */
export class SqliteFailure extends Error {
  /** Extended result code. */
  readonly errno: number;
  /** Byte offset in the SQL text of the token at fault, or -1. */
  readonly offset: number;
  constructor(errno: number, message: string, offset: number) {
    super(message);
    this.errno = errno;
    this.offset = offset;
  }
}
