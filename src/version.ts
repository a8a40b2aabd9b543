/**
 * Which versions these are.
 *
 * @module
 */
import { cString, load } from "../ffi/libsqlite3.ts";

/** Version of this package. */
export const version = "0.1.0";

/** The style of parameters, as DB-API names it: `?`. */
export const paramStyle = "qmark";

/** Version of the SQLite library in use, such as `"3.40.1"`. */
export function sqliteVersion(): string {
  const library = load(undefined);
  return cString(library, library.sqlite3_libversion());
}

/** Version of the SQLite library in use, as numbers: `[3, 40, 1]`. */
export function sqliteVersionInfo(): [major: number, minor: number, patch: number] {
  const number = load(undefined).sqlite3_libversion_number();
  return [Math.floor(number / 1e6), Math.floor(number / 1e3) % 1e3, number % 1e3];
}

/** Whether the text ends with a complete SQL statement: with a `;` outside of strings. */
export function completeStatement(sql: string): boolean {
  return load(undefined).sqlite3_complete(new TextEncoder().encode(sql + "\0")) === 1;
}
