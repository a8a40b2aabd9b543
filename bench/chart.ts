/**
 * The chart as an SVG: how the times compare, and what the event loop does meanwhile.
 *
 * @module
 */
import { type Column, ratioOf, type Result, type Trace } from "./result.ts";

const WIDTH = 960;
const MARGIN = 24;
/** Where the names on the left end and the drawings begin. */
const LEFT = 268;
/** Where the drawings end; values may be written behind. */
const RIGHT = WIDTH - MARGIN - 96;
const BAR = 9;
const BAR_STEP = 12;
const LANE = 16;
const LANE_STEP = 22;
/** Ticks closer together than this, in pixels, would be one dark area. */
const TICK_STEP = 3;
const COLORS = ["#4c6ef5", "#e8590c", "#2b8a3e", "#8ce99a"];

// White whatever is behind it, so that it can be read in light and in dark.
const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #343a40 }
  .title { font-size: 15px; font-weight: 600; fill: #212529 }
  .soft { fill: #6c757d; font-size: 11px }
  .value { fill: #495057; font-size: 10.5px }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .grid { stroke: #e9ecef }
  .one { stroke: #212529; stroke-dasharray: 4 3 }
  .cut { stroke: #fff; stroke-width: 4 }
  .mark { stroke: #212529; stroke-width: 2 }
  .band { fill: #f1f3f5 }`;

export function chart(columns: readonly Column[]): string {
  const [bars, middle] = drawBars(columns, 34);
  const [lanes, bottom] = drawLanes(columns, middle + 34);
  const height = bottom + MARGIN;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
    `width="${WIDTH}" height="${height}" role="img" ` +
    `aria-label="Times as multiples of the built-in drivers', and the event loop's stalls">\n` +
    `<style>${STYLE}\n</style>\n` +
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="10" fill="#fff" ` +
    `stroke="#dee2e6"/>\n${[...bars, ...lanes].join("\n")}\n</svg>\n`;
}

/** A group for each row that has a ratio, with a bar for each runtime. */
function drawBars(columns: readonly Column[], top: number): [elements: string[], bottom: number] {
  const rows = new Map<string, string>();
  for (const { results } of columns) {
    for (const { key, name, mark } of results.values()) {
      if (mark?.kind === "ratio") rows.set(key, name);
    }
  }
  const found = [...rows.keys()].flatMap((key) =>
    columns.flatMap(({ results }) => results.get(key) ?? [])
  );
  const most = Math.max(...found.map((result) => Math.max(ratioOf(result)!, result.mark!.limit)));
  // One slow bar shall not make the others too short to be compared.
  const end = Math.min(4, Math.ceil((most + 0.1) * 2) / 2);
  const x = (ratio: number) => LEFT + (Math.min(ratio, end) / end) * (RIGHT - LEFT);
  const group = columns.length * BAR_STEP + 12;
  const first = top + 50;
  const bottom = first + rows.size * group;

  const elements = [
    text(MARGIN, top, "title", "Time as a multiple of the runtime's built-in synchronous driver"),
    text(MARGIN, top + 20, "soft", "shorter is faster; the black marks are the limits we aim for"),
  ];
  let at = LEFT + 100;
  for (const [i, { title }] of columns.entries()) {
    elements.push(rect(at, top + 11, 10, 10, COLORS[i]!), text(at + 15, top + 20, "", title));
    at += 15 + title.length * 7 + 22;
  }
  for (let ratio = 0; ratio <= end; ratio += 0.5) {
    elements.push(line(x(ratio), first - 6, x(ratio), bottom, "grid"));
    elements.push(text(x(ratio), bottom + 14, "soft middle", `${ratio}x`));
  }
  [...rows].forEach(([key, name], row) => {
    const y = first + row * group;
    const center = y + (columns.length * BAR_STEP) / 2 + 3;
    elements.push(text(LEFT - 12, center, "end", name));
    columns.forEach(({ results }, i) => {
      const result = results.get(key);
      if (result) elements.push(...drawBar(result, y + i * BAR_STEP, COLORS[i]!, x, end));
    });
  });
  elements.push(line(x(1), first - 6, x(1), bottom, "one"));
  return [elements, bottom + 20];
}

function drawBar(
  result: Result,
  y: number,
  color: string,
  x: (ratio: number) => number,
  most: number,
): string[] {
  const ratio = ratioOf(result)!;
  const mark = x(result.mark!.limit);
  const end = x(ratio);
  const beyond = Math.abs(mark - end) < 40 ? Math.max(mark, end) : end; // beside the mark, not on it
  return [
    rect(LEFT, y, end - LEFT, BAR, color),
    line(mark, y - 1, mark, y + BAR + 1, "mark"),
    text(beyond + 5, y + BAR - 0.5, "value", `${ratio.toFixed(2)}x`),
    // A bar that does not fit is shown broken.
    ...(ratio <= most ? [] : [`<path d="M${at(end - 16)} ${y + BAR + 1}l4 -11" class="cut"/>`]),
  ];
}

/** For each runtime two lanes of ticks, one for each time that a timer fired. */
function drawLanes(columns: readonly Column[], top: number): [elements: string[], bottom: number] {
  // The same timers run in both of Node's, so one is enough.
  const shown = columns.filter(({ title, traces }, i) =>
    traces && columns.findIndex((other) => runtimeOf(other.title) === runtimeOf(title)) === i
  );
  const lanes = shown.flatMap(({ title, traces, results }) => {
    const { peers } = results.get("stall")!;
    return [
      { name: `${runtimeOf(title)}, aiosqlite`, trace: traces!.ours, ours: true, title },
      {
        name: `${runtimeOf(title)}, ${Object.keys(peers)[0]}`,
        trace: traces!.theirs,
        ours: false,
        title,
      },
    ];
  });
  if (lanes.length === 0) return [[], top];
  const name = shown[0]!.results.get("stall")!.name;
  const start = Math.min(...lanes.map(({ trace }) => trace.beats[0]!));
  const end = Math.max(...lanes.map(({ trace }) => trace.beats.at(-1)!));
  const x = (time: number) => LEFT + ((time - start) / (end - start)) * (RIGHT - LEFT);
  const first = top + 40;
  const bottom = first + lanes.length * LANE_STEP + (shown.length - 1) * 6;
  const elements = [
    text(MARGIN, top, "title", `The event loop ${name.slice(name.indexOf("while"))}`),
    text(
      MARGIN,
      top + 20,
      "soft",
      "each tick is a timer of 1 ms that fired (some left out); grey is from the call to its answer",
    ),
    text(RIGHT + 8, top + 20, "soft", "longest stall"),
  ];
  lanes.forEach(({ name, trace, ours, title }, i) => {
    const y = first + i * LANE_STEP + Math.floor(i / 2) * 6;
    const color = COLORS[columns.findIndex((column) => column.title === title)]!;
    elements.push(
      text(LEFT - 12, y + 12, "end", name),
      rect(x(0), y, x(trace.duration) - x(0), LANE, "", "band"),
      `<path d="${ticks(trace, x, y)}" stroke="${ours ? color : "#868e96"}"/>`,
      text(RIGHT + 8, y + 12, "", milliseconds(longest(trace))),
    );
  });
  const step = niceStep(end - start);
  for (let time = 0; time <= end; time += step) {
    elements.push(text(x(time), bottom + 12, "soft middle", `${time} ms`));
  }
  return [elements, bottom + 12];
}

function ticks({ beats }: Trace, x: (time: number) => number, y: number): string {
  let last = -Infinity;
  let path = "";
  for (const beat of beats) {
    if (x(beat) - last < TICK_STEP) continue;
    last = x(beat);
    path += `M${last.toFixed(1)} ${y + 1}v${LANE - 2}`;
  }
  return path;
}

function longest({ beats, duration }: Trace): number {
  return Math.max(
    ...beats.slice(1).map((beat, i) => beat > 0 && beats[i]! < duration ? beat - beats[i]! : 0),
  );
}

/** Between five and ten steps of a round number of milliseconds. */
function niceStep(range: number): number {
  const power = 10 ** Math.floor(Math.log10(range / 5));
  return [5, 2, 1].map((factor) => factor * power).find((step) => range / step >= 5)!;
}

function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

/** A column's title without its way to call C. */
function runtimeOf(title: string): string {
  return title.split(",")[0]!;
}

function text(x: number, y: number, style: string, content: string): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${at(x)}" y="${at(y)}"${style && ` class="${style}"`}>${escaped}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" class="${style}"/>`;
}

function rect(x: number, y: number, width: number, height: number, fill: string, style = "") {
  const paint = style ? `class="${style}"` : `fill="${fill}"`;
  return `<rect x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${height}" ${paint}/>`;
}

/** A tenth of a pixel is exact enough. */
function at(value: number): number {
  return Math.round(value * 10) / 10;
}
