/**
 * Text as C takes it, and names as SQLite compares them.
 *
 * @module
 */
const encoder = new TextEncoder();

/** UTF-8 with a NUL behind it. */
export function cText(text: string): Uint8Array {
  return encoder.encode(text + "\0");
}

/** A name in lower case: only ASCII letters are folded. */
export function foldCase(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
