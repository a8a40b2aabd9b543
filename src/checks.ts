/**
 * Checking what is given as an option. What is wrong throws a `ProgrammingError` that says so.
 *
 * @module
 */
import { ProgrammingError } from "./errors.ts";
import { typeName } from "./values.ts";

/** The largest `int` of C. */
export const INT_MAX = 2 ** 31 - 1;

/** Throws. */
export function refuse(name: string, expected: string, value: unknown): never {
  const got = typeof value === "string"
    ? `'${value}'`
    : typeof value === "object"
    ? typeName(value)
    : String(value);
  throw new ProgrammingError(`Bad ${name}: expected ${expected}, got ${got}`);
}

/** Checks an integer. */
export function integer(name: string, least: number): (value: unknown) => number {
  return (value) => {
    if (typeof value === "number" && Number.isInteger(value) && value >= least) {
      if (value <= INT_MAX) return value;
    }
    refuse(name, `an integer from ${least} to ${INT_MAX}`, value);
  };
}

/** Checks one of some values. */
export function oneOf<T>(name: string, ...values: readonly T[]): (value: unknown) => T {
  return (value) => {
    if (values.includes(value as T)) return value as T;
    refuse(name, values.map((v) => typeof v === "string" ? `'${v}'` : v).join(" or "), value);
  };
}

/** Checks a timeout in milliseconds. */
export function checkTimeout(value: unknown): number {
  if (typeof value === "number" && value >= 0) return Math.min(value, INT_MAX);
  refuse("timeout", "milliseconds, 0 or more", value);
}

/** Checks a signal. */
export function checkSignal(value: unknown): AbortSignal {
  if (value instanceof AbortSignal) return value;
  refuse("signal", "an AbortSignal", value);
}

/** Checks a text that C is to be given. */
export function text(name: string): (value: unknown) => string {
  return (value) => {
    if (typeof value === "string" && !value.includes("\0") && value.isWellFormed()) return value;
    refuse(name, "a well-formed string without null characters", value);
  };
}

/** Checks a function. */
export function callable<T>(name: string): (value: unknown) => T {
  return (value) => {
    if (typeof value === "function") return value as T;
    refuse(name, "a function", value);
  };
}

/** Each option's check and default. */
type Checks<S> = { [K in keyof S]: [check: (value: unknown) => S[K], fallback: S[K]] };

/** Makes what checks the options of a call and fills in the defaults. */
export function checker<S>(checks: Checks<S>): (options: unknown) => S {
  return (options = {}) => checkAgainst(checks, options);
}

function checkAgainst<S>(checks: Checks<S>, options: unknown): S {
  if (typeof options !== "object" || options === null) {
    refuse("options", "an object", options);
  }
  const given = options as Record<string, unknown>;
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(checks, name)) throw new ProgrammingError(`Unknown option: ${name}`);
  }
  const entries = Object.entries(checks) as [string, Checks<S>[keyof S]][];
  const settings = entries.map(([name, [check, fallback]]) => [
    name,
    given[name] === undefined ? fallback : check(given[name]),
  ]);
  return Object.fromEntries(settings);
}
