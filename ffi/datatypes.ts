/**
 * SQLite's fundamental types of values: https://sqlite.org/c3ref/c_blob.html
 *
 * @module
 */
export const SQLITE_INTEGER = 1;
export const SQLITE_FLOAT = 2;
export const SQLITE_TEXT = 3;
export const SQLITE_BLOB = 4;
export const SQLITE_NULL = 5;

/** An INTEGER as it is handed out, exact either way. */
export function toInteger(value: number | bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
