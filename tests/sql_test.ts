import assert from "node:assert/strict";
import { test } from "node:test";
import { firstWord, quoteName, skipBlank, verb } from "../src/thread/sql.ts";

const encoder = new TextEncoder();

/** What is left of a text when blanks and comments before it are skipped. */
function rest(sql: string, at = 0): string {
  const bytes = encoder.encode(sql);
  return new TextDecoder().decode(bytes.subarray(skipBlank(bytes, at)));
}

const word = (sql: string): string => firstWord(encoder.encode(sql));

test("skipBlank() passes over blanks", () => {
  assert.equal(rest("a "), "a ");
  assert.equal(rest(" \t\n\f\ra"), "a");
  assert.equal(rest("   "), "");
  assert.equal(rest(""), "");
});

test("skipBlank() stops at what SQLite takes for no blank", () => {
  for (const sql of ["\x0ba", "\u00a0a", ";", "'a'", "\0", "\ufeffa", "é"]) {
    assert.equal(rest(` ${sql}`).length, new TextDecoder().decode(encoder.encode(sql)).length);
  }
});

test("skipBlank() passes over comments to the end of the line", () => {
  assert.equal(rest("-- a\nb"), "b");
  assert.equal(rest("--\nb"), "b");
  assert.equal(rest("-- a -- b\n--c\n d"), "d");
  assert.equal(rest("-- a"), "");
  assert.equal(rest("--"), "");
  assert.equal(rest("-- é\r\nb"), "b");
  assert.equal(rest("-- /* \n b */"), "b */");
});

test("skipBlank() passes over block comments, also one that is not closed", () => {
  assert.equal(rest("/* a */b"), "b");
  assert.equal(rest("/**/b"), "b");
  assert.equal(rest("/***/b"), "b");
  assert.equal(rest("/* * / **/ /* -- */ b"), "b");
  assert.equal(rest("/*/ a */b"), "b");
  assert.equal(rest("/* -- messy *r /* /* ** *- *-- */ b"), "b");
  assert.equal(rest("/* a"), "");
  assert.equal(rest("/*"), "");
  assert.equal(rest("/* a *"), "");
  assert.equal(rest("/* a\n */ -- b\n c"), "c");
});

test("skipBlank() takes a single '-' or '/' for a token", () => {
  assert.equal(rest(" -"), "-");
  assert.equal(rest(" /"), "/");
  assert.equal(rest("- -a"), "- -a");
  assert.equal(rest("-*a"), "-*a");
  assert.equal(rest("/ *a"), "/ *a");
  assert.equal(rest("-\n- select 2"), "-\n- select 2");
});

test("skipBlank() starts where it is told and never leaves the text", () => {
  assert.equal(rest("ab  c", 2), "c");
  const bytes = encoder.encode("a;  -- b");
  assert.equal(skipBlank(bytes, 2), bytes.length);
  assert.equal(skipBlank(bytes, bytes.length), bytes.length);
  // A text that is part of a larger buffer ends where it ends.
  const part = encoder.encode("a  /* b */ c").subarray(0, 6);
  assert.equal(skipBlank(part, 1), 6);
});

test("firstWord() gives the first word in upper case", () => {
  assert.equal(word("select 1"), "SELECT");
  assert.equal(word("SeLeCt*from t"), "SELECT");
  assert.equal(word("insert"), "INSERT");
  assert.equal(word("\t\n /* c */ -- d\n replace into t"), "REPLACE");
  assert.equal(word("WITH x AS (SELECT 1) INSERT INTO t SELECT 1"), "WITH");
  assert.equal(word("delete/**/from t"), "DELETE");
});

test("firstWord() is empty when there is no word first", () => {
  for (
    const sql of ["", "  ", "-- insert", "/* insert", ";insert", "(select 1)", "1insert", "'a'"]
  ) {
    assert.equal(word(sql), "");
  }
  for (const sql of ["\ufeffinsert", "\x0binsert", "@insert", "[insert]", "`insert`", "{insert}"]) {
    assert.equal(word(sql), "");
  }
});

test("firstWord() takes no longer word for one that it begins with", () => {
  assert.notEqual(word("inserts into t"), "INSERT");
  assert.notEqual(word("replacement"), "REPLACE");
  assert.notEqual(word("updatex"), "UPDATE");
});

test("firstWord() does not change letters beyond ASCII into ASCII", () => {
  for (const sql of ["ınsert", "ſelect", "é", "ÀINSERT"]) {
    assert.notEqual(word(sql), "INSERT");
    assert.notEqual(word(sql), "SELECT");
  }
});

test("verb() is the first word, or after WITH the first that is not within parentheses", () => {
  const cases = {
    "select 1": "SELECT",
    "-- c\ninsert into t values (1)": "INSERT",
    "with x as (select 1) insert into t select * from x": "INSERT",
    "WITH x AS (SELECT 1), y AS (SELECT (2)) REPLACE INTO t SELECT 1": "REPLACE",
    "WITH RECURSIVE n (i) AS (VALUES (1)) UPDATE t SET a = 1": "UPDATE",
    "WITH x AS NOT MATERIALIZED (SELECT ')', '(') /* insert */ DELETE FROM t": "DELETE",
    'WITH "insert" AS (SELECT 1), [delete] AS (SELECT 2), `update` AS (SELECT 3) SELECT 1':
      "SELECT",
    "WITH inserted AS (SELECT 1) SELECT * FROM inserted": "SELECT",
    'WITH x ("a"")") AS (SELECT 1) VALUES (1)': "VALUES",
    "WITH é AS (SELECT 1) SELECT 1": "SELECT",
    "WITH": "WITH",
    "WITH x AS (SELECT 'open": "WITH",
    "WITH x AS (": "WITH",
    "": "",
  };
  for (const [sql, word] of Object.entries(cases)) {
    assert.equal(verb(encoder.encode(sql)), word, sql);
  }
});

test("verb() takes a name for no verb only because it begins with one", () => {
  for (const name of ["insert_x", "insert1", "insert$", "inserté", "x_insert", "1insert"]) {
    const sql = `WITH ${name} AS (SELECT 1) UPDATE t SET a = 1`;
    assert.equal(verb(encoder.encode(sql)), "UPDATE", sql);
  }
});

test("quoteName() makes one name of any text", () => {
  assert.equal(quoteName("a"), '"a"');
  assert.equal(quoteName('a"b""'), '"a""b"""""');
  assert.equal(quoteName(""), '""');
});
