/**
 * Ready-made adapters and converters for dates and times.
 *
 * @module
 */
import { DataError, NotSupportedError } from "./errors.ts";
import { type Class, type Converter, registerAdapter, registerConverter } from "./types.ts";

const decoder = new TextDecoder();

/** What SQLite's own functions make, and ISO 8601; without a zone it is UTC. */
const DATE_TIME =
  /^((?:\d{4}|[+-]\d{6})-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?(Z|[+-]\d\d:\d\d)?$/;

/**
 * Has `Date` stored as UTC text of the form `2026-11-21 13:45:00.123`, which SQLite's date
 * functions take and which sorts by time, and columns of the types DATE, DATETIME and TIMESTAMP
 * read as `Date`, on connections with `detectTypes`. A text without a time is midnight, one without
 * a zone UTC; what is no date makes the call reject with a `DataError`.
 *
 * @example
 * ```ts
 * import { connect, PARSE_DECLTYPES, registerDates } from "@aiosqlite/aiosqlite";
 *
 * registerDates();
 * await using db = await connect(":memory:", { detectTypes: PARSE_DECLTYPES });
 * await db.execute("CREATE TABLE event (at TIMESTAMP)");
 * await db.execute("INSERT INTO event VALUES (?)", [new Date()]);
 * const row = await db.executeFetchOne("SELECT at FROM event"); // [ a Date ]
 * ```
 */
export function registerDates(): void {
  registerAdapter(Date, (date) => {
    if (Number.isNaN(date.getTime())) throw new DataError("Invalid Date");
    return date.toISOString().replace("T", " ").slice(0, -1);
  });
  for (const type of ["DATE", "DATETIME", "TIMESTAMP"]) registerConverter(type, toDate);
}

function toDate(bytes: Uint8Array): Date {
  const text = decoder.decode(bytes);
  const [, day = "", time = "00:00", zone = "Z"] = DATE_TIME.exec(text) ?? [];
  // No more than milliseconds: runtimes differ in what they do with further digits.
  const date = new Date(`${day}T${time.replace(/(\.\d{3})\d+$/, "$1")}${zone}`);
  if (Number.isNaN(date.getTime()) || !exists(day)) throw new DataError(`Not a date: '${text}'`);
  return date;
}

/** Whether there is such a day: some runtimes take the 30th of February for one in March. */
function exists(day: string): boolean {
  return new Date(`${day}T00:00Z`).getUTCDate() === Number(day.slice(-2));
}

/** What is used of Temporal, which not every runtime has. */
interface TemporalLike {
  readonly [type: string]: Class<object> & { from(text: string): unknown };
}

/**
 * Has the types of `Temporal` stored as their ISO 8601 text, and columns read as such on
 * connections with `detectTypes`: DATE as `PlainDate`, TIME as `PlainTime`, DATETIME as
 * `PlainDateTime`, TIMESTAMP as `Instant` (UTC without a zone), and ZONEDDATETIME.
 *
 * Throws a `NotSupportedError` where the runtime has no `Temporal`.
 */
export function registerTemporal(): void {
  const temporal = (globalThis as unknown as { Temporal?: TemporalLike }).Temporal;
  if (!temporal) throw new NotSupportedError("This runtime has no Temporal");
  const types = {
    PlainDate: "DATE",
    PlainTime: "TIME",
    PlainDateTime: "DATETIME",
    Instant: "TIMESTAMP",
    ZonedDateTime: "ZONEDDATETIME",
  };
  for (const [name, type] of Object.entries(types)) {
    const temporalType = temporal[name]!;
    registerAdapter(temporalType, String);
    registerConverter(type, temporalConverter(name, temporalType));
  }
}

function temporalConverter(name: string, type: { from(text: string): unknown }): Converter {
  return (bytes) => {
    const text = decoder.decode(bytes);
    const zoned = name !== "Instant" || /Z$|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`;
    try {
      return type.from(zoned);
    } catch (error) {
      throw new DataError(`Not a ${name}: '${text}'`, { cause: error });
    }
  };
}
