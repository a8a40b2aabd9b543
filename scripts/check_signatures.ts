/**
 * Compares the symbol table and the constants with the C header of the installed SQLite.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import * as constants from "../ffi/constants.ts";
import { EXTRAS } from "../ffi/extras.ts";
import { TABLE } from "../ffi/libsqlite3.ts";
import * as resultCodes from "../ffi/result_codes.ts";
import type { CType, Signature } from "../ffi/types.ts";

/** Parameters that are meant to differ from the header, by position, and why. */
const EXCEPTIONS: Record<string, { parameters: readonly number[]; reason: string }> = {
  sqlite3_config: {
    parameters: Array.from({ length: 8 }, (_, i) => i + 1),
    reason: "variadic: `int value` as its operation takes it, after padding on arm64",
  },
  sqlite3_db_config: {
    parameters: [2, 3, 4, 5, 6, 7, 8, 9],
    reason: "variadic: `int onoff, int *now` as its operations take them, after padding on arm64",
  },
  sqlite3_bind_text: {
    parameters: [4],
    reason: "the destructor is a number: SQLITE_STATIC is 0, SQLITE_TRANSIENT is -1",
  },
  sqlite3_result_text: {
    parameters: [3],
    reason: "the destructor is a number: SQLITE_STATIC is 0, SQLITE_TRANSIENT is -1",
  },
  sqlite3_result_blob: {
    parameters: [3],
    reason: "the destructor is a number: SQLITE_STATIC is 0, SQLITE_TRANSIENT is -1",
  },
  sqlite3_bind_blob: {
    parameters: [4],
    reason: "the destructor is a number: SQLITE_STATIC is 0, SQLITE_TRANSIENT is -1",
  },
};

/** The header's text without comments. */
function header(): string {
  const { stdout } = spawnSync("pkg-config", ["--variable=includedir", "sqlite3"], {
    encoding: "utf8",
  });
  const path = [stdout?.trim(), "/usr/include"].map((folder) => `${folder}/sqlite3.h`)
    .find(existsSync);
  if (path) return readFileSync(path, "utf8").replace(/\/\*[^]*?\*\//g, "");
  console.error("sqlite3.h is missing: install it with apt install libsqlite3-dev (or your own)");
  process.exit(1);
}

const text = header();

/** The types that may stand for a C type. */
function allowed(c: string): readonly CType[] {
  if (/[*]|sqlite3_destructor_type/.test(c)) return ["address", "buffer"];
  if (/\bsqlite3?_u?int64\b/.test(c)) return ["i64"];
  if (/\bdouble\b/.test(c)) return ["f64"];
  if (/\b(int|unsigned)\b/.test(c)) return ["i32"];
  return c.trim() === "void" ? ["void"] : [];
}

/** The parameters of a C declaration; those of a function pointer have commas of their own. */
function parameters(list: string): string[] {
  const flat = list.replace(/\(\s*\*\s*\w*\s*\)\s*\([^)]*\)/g, " *").trim();
  return flat === "void" || flat === "" ? [] : flat.split(",").map((one) => one.trim());
}

function compare(name: string, { parameters: ours, result }: Signature): string[] {
  const found = new RegExp(`SQLITE_API([^;{}]*?)\\b${name}\\s*\\(([^;]*)\\)\\s*;`).exec(text);
  if (!found) return [`${name}: not in the header`];
  const exceptions = EXCEPTIONS[name]?.parameters ?? [];
  const theirs = parameters(found[2]!);
  const wrong = allowed(found[1]!).includes(result) ? [] : [`returns ${found[1]!.trim()}`];
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    if (exceptions.includes(i)) continue;
    const fits = ours[i] && theirs[i] && allowed(theirs[i]!).includes(ours[i]!);
    if (!fits) wrong.push(`parameter ${i} is ${theirs[i] ?? "none"}, not ${ours[i] ?? "none"}`);
  }
  return wrong.map((what) => `${name}: ${what}`);
}

/** Value of a macro: numbers, other macros, `|` and `<<`. */
function valueOf(name: string): number | undefined {
  const definition = new RegExp(`#define\\s+${name}\\s+(.+)`).exec(text)?.[1];
  if (definition === undefined) return undefined;
  const terms = definition.replace(/[()]/g, "").split("|").map((term) => term.trim());
  return terms.reduce((sum, term) => {
    const [base, shift = "0"] = term.split("<<");
    const value = term.startsWith("SQLITE_") ? valueOf(term) : Number(base) << Number(shift);
    return value === undefined ? NaN : sum | value;
  }, 0);
}

const codes = Object.entries({ ...constants, ...resultCodes });
const all: Record<string, Signature> = { ...TABLE, ...EXTRAS };
const functions = Object.entries(all);
const wrong = [
  ...functions.flatMap(([name, signature]) => compare(name, signature)),
  ...codes.flatMap(([name, value]) => {
    const theirs = valueOf(name);
    return value === theirs ? [] : [`${name}: ${value} here, ${theirs} in the header`];
  }),
  ...Object.keys(EXCEPTIONS).filter((name) => !(name in all))
    .map((name) => `${name}: an exception for nothing`),
];

for (const line of wrong) console.error(line);
const version = /#define SQLITE_VERSION\s+"(.+)"/.exec(text)?.[1];
console.log(
  `${functions.length} functions and ${codes.length} constants, ` +
    `${wrong.length} not as in the header of SQLite ${version}`,
);
process.exitCode = wrong.length > 0 ? 1 : 0;
