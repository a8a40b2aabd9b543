/**
 * What a runtime's process reports to the one that makes the table: a line of JSON each.
 *
 * @module
 */

/** What ours may take: so many times the built-in driver's time, or so much. */
export interface Mark {
  readonly kind: "ratio" | "absolute";
  readonly limit: number;
}

/** One row of the table in one runtime. */
export interface Result {
  readonly key: string;
  readonly name: string;
  readonly unit: "ms" | "MB";
  readonly mark: Mark | null;
  readonly ours: number;
  /** The worst of all rounds, where one alone would be felt. */
  readonly worst?: number;
  /** The other drivers by name; the built-in one is the first, if it does this at all. */
  readonly peers: Readonly<Record<string, number>>;
}

/** When a timer fired, in milliseconds from the beginning of the work beside it. */
export interface Trace {
  readonly beats: readonly number[];
  /** How long the work took. */
  readonly duration: number;
}

export type Report =
  | { readonly about: string }
  | { readonly note: string }
  | { readonly result: Result }
  | { readonly traces: { readonly ours: Trace; readonly theirs: Trace } };

/** Everything from one runtime. */
export interface Column {
  readonly title: string;
  about: string;
  readonly results: Map<string, Result>;
  traces?: { readonly ours: Trace; readonly theirs: Trace };
}

/** Ours as a multiple of the built-in driver's; undefined where it has nothing to compare. */
export function ratioOf({ ours, peers }: Result): number | undefined {
  const [theirs] = Object.values(peers);
  return theirs ? ours / theirs : undefined;
}

/** Whether a result is within its mark, by what is shown of it: two decimals. */
export function keeps(result: Result): boolean {
  const { mark, ours } = result;
  if (mark === null) return true;
  const measured = mark.kind === "ratio" ? ratioOf(result)! : ours;
  return Math.round(measured * 100) <= Math.round(mark.limit * 100);
}

/** The middle one of some values. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
