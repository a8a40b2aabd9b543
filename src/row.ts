/**
 * Rows, and the row factories that make them.
 *
 * @module
 */
import process from "node:process";
import { foldCase } from "../ffi/text.ts";
import type { SqlValue } from "./values.ts";

/** One column of a result. */
export interface ColumnDescription {
  /** Its name, or the alias given with AS. */
  readonly name: string;
  /** The type in its CREATE TABLE, as written there; null for an expression. */
  readonly declaredType: string | null;
  /**
   * The column of a table that it is; null for an expression, and where the library does not tell.
   * Not enumerable.
   */
  readonly origin?: ColumnOrigin | null;
}

/** A column of a table. */
export interface ColumnOrigin {
  /** `"main"`, `"temp"`, or the name given with ATTACH. */
  readonly database: string;
  readonly table: string;
  readonly column: string;
}

/** Describes a column. */
export function describeColumn(
  name: string,
  declaredType: string | null,
  from: readonly [database: string, table: string, column: string] | null,
): ColumnDescription {
  const origin = from && { database: from[0], table: from[1], column: from[2] };
  return Object.defineProperty({ name, declaredType }, "origin", { value: origin });
}

/** What a row factory may ask of the cursor. */
export interface Described {
  readonly description: readonly ColumnDescription[] | null;
}

/** Makes a row of the values of its columns. */
// The cursor's own type depends on this one, so factories see what all cursors have.
export type RowFactory<R> = (cursor: Described, values: SqlValue[]) => R;

type Names = ReadonlyMap<string, number>;

const indexes = new WeakMap<readonly ColumnDescription[], Names>();

/**
 * Column positions by name, in lower case and as it is written; the first counts of those that
 * differ in case alone.
 */
function positionsOf(description: readonly ColumnDescription[]): Names {
  let names = indexes.get(description);
  if (!names) {
    const made = new Map<string, number>();
    description.forEach(({ name }, position) => {
      const key = foldCase(name);
      if (!made.has(key)) made.set(key, position);
      made.set(name, made.get(key)!);
    });
    indexes.set(description, names = made);
  }
  return names;
}

/** For how many columns rows have getters. */
let widest = 0;

/**
 * A row whose values are had by index, by name, or in order. Immutable. As a row factory:
 * `connection.rowFactory = Row`. Source: `sqlite3.Row`.
 */
export class Row implements Iterable<SqlValue> {
  readonly #values: readonly SqlValue[];
  readonly #description: readonly ColumnDescription[];

  /** A value by index. */
  readonly [index: number]: SqlValue;

  // Before there is any row: in JavaScriptCore the first such getter of a prototype that is in use
  // makes every array of the program several times slower.
  static {
    Row.#widen(1);
  }

  constructor(cursor: Described, values: readonly SqlValue[]) {
    this.#values = values;
    this.#description = cursor.description ?? [];
    if (widest < values.length) Row.#widen(values.length);
  }

  /**
   * Index access is by getters on the prototype, made for the widest row so far: a row then costs
   * one small object, whatever its width, and can't be written to.
   */
  static #widen(width: number): void {
    for (; widest < width; widest++) {
      const index = widest;
      Object.defineProperty(Row.prototype, index, {
        get(this: Row): SqlValue | undefined {
          return this.#values[index];
        },
      });
    }
  }

  /** Number of columns. */
  get length(): number {
    return this.#values.length;
  }

  /** A value by index; a negative one counts from the end. Undefined when there is none. */
  at(index: number): SqlValue | undefined {
    return this.#values.at(index);
  }

  /**
   * A value by column name, the case of ASCII letters aside and the first of several, or by index.
   * Throws a `RangeError` when there is none.
   */
  get(key: string | number): SqlValue {
    const { length } = this.#values;
    const names = positionsOf(this.#description);
    const found = typeof key === "string"
      ? names.get(key) ?? names.get(foldCase(key))
      : key < 0
      ? key + length
      : key;
    if (found === undefined || !Number.isInteger(found) || found < 0 || found >= length) {
      throw new RangeError(`No item with that key: ${String(key)}`);
    }
    return this.#values[found]!;
  }

  /** The column names. */
  keys(): string[] {
    return this.#description.map(({ name }) => name);
  }

  /** The values, in a new array. */
  values(): SqlValue[] {
    return [...this.#values];
  }

  /** The values in order. */
  [Symbol.iterator](): ArrayIterator<SqlValue> {
    return this.#values[Symbol.iterator]();
  }

  /** A plain object by column name. It has no prototype, so any name is safe. */
  toObject(): Record<string, SqlValue> {
    return objectRow({ description: this.#description }, this.#values as SqlValue[]);
  }

  /** Used by `JSON.stringify`: the row as an object. */
  toJSON(): Record<string, SqlValue> {
    return this.toObject();
  }

  /** Whether the other is a row with the same column names and the same values. */
  equals(other: unknown): boolean {
    if (!(other instanceof Row) || other.length !== this.length) return false;
    const names = other.keys();
    return this.keys().every((name, i) => name === names[i]) &&
      this.#values.every((value, i) => sameValue(value, other.#values[i]!));
  }

  /** How consoles show it. */
  [Symbol.for("nodejs.util.inspect.custom")](): Record<string, SqlValue> {
    return this.toObject();
  }
}

function sameValue(a: SqlValue, b: SqlValue): boolean {
  if (!(a instanceof Uint8Array)) return a === b;
  return b instanceof Uint8Array && a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * An object without a prototype. In V8 `Object.create(null)` makes a dictionary, which takes three
 * times as long to fill; in JavaScriptCore the other way takes twice as long.
 */
const bare: () => Record<string, SqlValue> = "webkit" in process.versions
  ? () => Object.create(null)
  : () => Object.setPrototypeOf({}, null);

/**
 * Row factory: a plain object by column name; of several columns of one name the last counts. It
 * has no prototype, so a column may have any name.
 */
export function objectRow(cursor: Described, values: SqlValue[]): Record<string, SqlValue> {
  const row = bare();
  const columns = cursor.description ?? [];
  for (let i = 0; i < columns.length; i++) row[columns[i]!.name] = values[i]!;
  return row;
}
