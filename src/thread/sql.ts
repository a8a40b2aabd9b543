/**
 * The little that has to be known of SQL text before SQLite sees it.
 *
 * @module
 */

/** Where the next token starts: after blanks and comments, also one that is not closed. */
export function skipBlank(sql: Uint8Array, at: number): number {
  for (;;) {
    while (isBlank(sql[at])) at++;
    if (sql[at] === 0x2d && sql[at + 1] === 0x2d) { // --
      while (at < sql.length && sql[at] !== 0x0a) at++;
    } else if (sql[at] === 0x2f && sql[at + 1] === 0x2a) { // /*
      at += 2;
      while (at < sql.length && !(sql[at] === 0x2a && sql[at + 1] === 0x2f)) at++;
      at = Math.min(at + 2, sql.length);
    } else return at;
  }
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d && byte !== 0x0b);
}

/** The first word of a statement, in upper case; "" when it starts with something else. */
export function firstWord(sql: Uint8Array): string {
  let at = skipBlank(sql, 0);
  let word = "";
  for (; at < sql.length && word.length < 10; at++) {
    const letter = sql[at]! & 0xdf;
    if (letter < 0x41 || letter > 0x5a) break;
    word += String.fromCharCode(letter);
  }
  return word;
}

/** Quotes a name for use in SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
