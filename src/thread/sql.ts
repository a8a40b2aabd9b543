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

/** The word at an offset, in upper case; "" when something else is there. */
function wordAt(sql: Uint8Array, at: number): string {
  let word = "";
  for (; at < sql.length && word.length < 16; at++) {
    const letter = sql[at]! & 0xdf;
    if (letter < 0x41 || letter > 0x5a) break;
    word += String.fromCharCode(letter);
  }
  return word;
}

/** The first word of a statement, in upper case; "" when it starts with something else. */
export function firstWord(sql: Uint8Array): string {
  return wordAt(sql, skipBlank(sql, 0));
}

const CLOSING: Record<number, number> = { 0x27: 0x27, 0x22: 0x22, 0x60: 0x60, 0x5b: 0x5d }; // '"`[

/**
 * What a statement does, in one word: its first, or behind WITH and its tables the word that
 * follows the last one's parenthesis.
 */
export function verb(sql: Uint8Array): string {
  const first = firstWord(sql);
  if (first !== "WITH") return first;
  let depth = 0;
  let behindTable = false;
  for (let at = skipBlank(sql, 0) + first.length; at < sql.length; at = skipBlank(sql, at)) {
    const byte = sql[at]!;
    const length = isWordByte(byte) ? wordLength(sql, at) : 1;
    if (behindTable && length > 1) {
      const word = wordAt(sql, at);
      if (word !== "AS") return word; // AS is behind the column names of a table
    }
    if (byte === 0x28) depth++;
    if (byte === 0x29) depth--;
    behindTable = byte === 0x29 && depth === 0;
    const closing = CLOSING[byte];
    if (closing) at = sql.indexOf(closing, at + 1) >>> 0;
    at += length;
  }
  return first;
}

/** `PRAGMA name = value`, or the same in parentheses; the name may be that of a database before. */
const ASSIGNMENT = /^[^=(]*?(\w+)[\s"\]`']*[=(]/;
/** Pragmas that ask something, do something, or set what is kept in the file. */
const ELSEWHERE =
  /^(?:(?:table|index)_x?info|(?:table|index|foreign_key|collation|function|module)_list|\w+_check|optimize|wal_checkpoint|incremental_vacuum|shrink_memory|user_version|application_id|schema_version|journal_mode|auto_vacuum|encoding|page_size)$/i;

/**
 * What a statement sets for the connection it runs on: the name of a pragma in lower case, or
 * `ATTACH` or `DETACH`; null when it sets nothing.
 */
export function settingOf(sql: string): string | null {
  const bytes = new TextEncoder().encode(sql);
  const start = firstCommand(bytes);
  const word = wordAt(bytes, start);
  if (word === "ATTACH" || word === "DETACH") return word;
  if (word !== "PRAGMA") return null;
  const rest = new TextDecoder().decode(bytes.subarray(start + word.length));
  const name = ASSIGNMENT.exec(rest)?.[1];
  return name === undefined || ELSEWHERE.test(name) ? null : name.toLowerCase();
}

/** Pragmas that do or prepare something for the writer, of which SQLite says that they read. */
const WRITERS = /^PRAGMA\W+(?:\w+\W*\.\W*)?(?:optimize|auto_vacuum|page_size|encoding)\b/i;

/** Whether a statement is for the connection that writes, although it may not write by itself. */
export function isForWriter(sql: string): boolean {
  const bytes = new TextEncoder().encode(sql);
  return WRITERS.test(new TextDecoder().decode(bytes.subarray(firstCommand(bytes))));
}

/** What the first command of a text does, in one word; see `verb`. */
export function firstVerb(sql: string): string {
  const bytes = new TextEncoder().encode(sql);
  return verb(bytes.subarray(firstCommand(bytes)));
}

/** Where the first command starts: after blanks, comments, empty commands and a byte order mark. */
function firstCommand(sql: Uint8Array): number {
  for (let at = 0;;) {
    at = skipBlank(sql, at);
    if (sql[at] === 0x3b) at++;
    else if (sql[at] === 0xef && sql[at + 1] === 0xbb && sql[at + 2] === 0xbf) at += 3;
    else return at;
  }
}

function isWordByte(byte: number): boolean {
  return byte >= 0x80 || byte === 0x5f || byte === 0x24 || (byte >= 0x30 && byte <= 0x39) ||
    ((byte & 0xdf) >= 0x41 && (byte & 0xdf) <= 0x5a);
}

function wordLength(sql: Uint8Array, at: number): number {
  let end = at;
  while (end < sql.length && isWordByte(sql[end]!)) end++;
  return end - at;
}

/** Quotes a name for use in SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
