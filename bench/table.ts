/**
 * The tables, as text.
 *
 * @module
 */
import { type Column, keeps, ratioOf, type Result } from "./result.ts";

/** Rows of cells, the first column to the left and the others to the right. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ")
      .trimEnd()
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines.join("\n");
}

/** Three digits, or two behind the point. */
function digits(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** `ours / theirs unit = ratio (mark)`, a star behind a mark that is missed. */
export function cell(result: Result | undefined): string {
  if (!result) return "";
  const { unit, mark, ours, worst } = result;
  const [theirs] = Object.values(result.peers);
  const star = keeps(result) ? "" : "*";
  const shown = `${digits(ours)}${theirs === undefined ? "" : ` / ${digits(theirs)}`} ${unit}`;
  const most = worst === undefined ? "" : `, worst ${digits(worst)}`;
  if (mark?.kind === "ratio") {
    return `${shown} = ${ratioOf(result)!.toFixed(2)}x (${mark.limit}x)${star}`;
  }
  return `${shown}${most}${mark ? ` (${mark.limit} ${unit})${star}` : ""}`;
}

/** Every row in every runtime: ours, the built-in driver's, and the mark. */
export function marksTable(columns: readonly Column[]): string {
  const names = namesOf(columns);
  const head = ["ours / built-in driver (mark)", ...columns.map(({ title }) => title)];
  const body = [...names].map(([key, name]) => [
    name,
    ...columns.map(({ results }) => cell(results.get(key))),
  ]);
  const abouts = columns.map(({ title, about }) => `${title}: ${about}`);
  return `\n${table([head, ...body])}\n\n${abouts.join("\n")}\n`;
}

/** All drivers that the runtime with the most of them has, and the same in C. */
export function peersTable(columns: readonly Column[], inC: Record<string, number>): string {
  const peersIn = ({ results }: Column) => Object.keys(results.get("point")!.peers);
  const column = columns.reduce((most, column) =>
    peersIn(column).length > peersIn(most).length ? column : most
  );
  const peers = peersIn(column);
  const compiled = Object.keys(inC).length > 0;
  const body = [...column.results.values()]
    .filter(({ mark, peers }) => mark?.kind === "ratio" || Object.keys(peers).length > 1)
    .map(({ key, name, ours, peers: times }) => [
      name,
      digits(ours),
      ...peers.map((peer) => times[peer] === undefined ? "" : digits(times[peer])),
      ...(compiled ? [inC[key] === undefined ? "" : digits(inC[key])] : []),
    ]);
  const head = [`${column.title}, ms`, "ours", ...peers, ...(compiled ? ["C"] : [])];
  return `${table([head, ...body])}\n`;
}

/** Says how many marks are kept. */
export function missed(columns: readonly Column[]): string {
  const marked = columns.flatMap(({ results }) => [...results.values()])
    .filter(({ mark }) => mark !== null);
  return `${marked.filter(keeps).length} of ${marked.length} marks are kept (* is not)`;
}

/** The rows' names by their keys, in order. */
function namesOf(columns: readonly Column[]): Map<string, string> {
  return new Map(
    columns.flatMap(({ results }) => [...results.values()].map(({ key, name }) => [key, name])),
  );
}
