/**
 * Checks that imports only go the ways they are meant to: mod -> src -> src/thread -> ffi.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** A file's imports: those that stay in the JavaScript, and all of them. */
interface Imports {
  values: string[];
  all: string[];
}

type Graph = Map<string, Imports>;

interface Dependency {
  specifier: string;
  code?: { specifier: string };
  type?: { specifier: string };
}

const MAIN = "mod.ts";
const CLIENT = "src/thread/client.ts";
const WORKER = "src/thread/worker.ts";
const SQLITE = "ffi/sqlite.ts";
const RUNTIMES = ["ffi/deno.ts", "ffi/bun.ts"];

const root = new URL("../", import.meta.url);
const violations: string[] = [];

/** What a file and all that it imports import, as Deno's own parser reads them. */
function graphOf(file: string): Graph {
  const { stdout } = spawnSync(process.execPath, ["info", "--json", file], {
    cwd: fileURLToPath(root),
    encoding: "utf8",
  });
  const graph: Graph = new Map();
  for (const { specifier, dependencies = [] } of JSON.parse(stdout).modules) {
    if (specifier.startsWith(root.href)) graph.set(local(specifier), imports(dependencies));
  }
  return graph;
}

function imports(dependencies: Dependency[]): Imports {
  const values = dependencies.flatMap(({ code }) => code ? [local(code.specifier)] : []);
  const types = dependencies.flatMap(({ type }) => type ? [local(type.specifier)] : []);
  return { values, all: [...new Set([...values, ...types])] };
}

function local(specifier: string): string {
  return specifier.replace(root.href, "");
}

/** The files that are loaded when one is. */
function reach(graph: Graph, from: string, seen = new Set<string>()): Set<string> {
  if (!graph.has(from) || seen.has(from)) return seen;
  seen.add(from);
  for (const next of graph.get(from)!.values) reach(graph, next, seen);
  return seen;
}

function layer(file: string): number {
  if (file.startsWith("ffi/")) return 3;
  if (file.startsWith("src/thread/")) return 2;
  return file.startsWith("src/") ? 1 : 0;
}

function checkImports(graph: Graph): void {
  const mainThread = reach(graph, MAIN);
  for (const [file, { all }] of graph) {
    for (const to of all) {
      if (to.startsWith("node:")) continue;
      if (!graph.has(to)) violations.push(`${file}: imports ${to}, neither of node: nor of here`);
      else if (layer(to) < layer(file)) violations.push(`${file}: imports ${to}, back up`);
      if (to === SQLITE && mainThread.has(file)) {
        violations.push(`${file}: imports ${SQLITE}, which only the worker's side may`);
      }
    }
  }
  for (const [one, other] of [[CLIENT, WORKER], [WORKER, CLIENT]] as const) {
    if (graph.get(one)?.all.includes(other)) violations.push(`${one}: imports ${other}`);
  }
}

/** A cycle of type imports is harmless; one of values depends on which file is loaded first. */
function checkCycles(graph: Graph): void {
  const done = new Set<string>();
  const visit = (file: string, path: string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) violations.push(`${file}: cycle ${[...path.slice(at), file].join(" -> ")}`);
    if (at >= 0 || done.has(file)) return;
    for (const next of graph.get(file)?.values ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
}

const COMMENT_OR_TEXT =
  /\/\*[^]*?\*\/|\/\/.*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;

/** Names of runtimes in code. Comments may say anything, and a plain text all but `bun:`. */
function checkNames(file: string): void {
  if (RUNTIMES.includes(file)) return;
  const source = readFileSync(new URL(file, root), "utf8");
  const code = source.replace(COMMENT_OR_TEXT, (part) => {
    if (part.startsWith("`")) return part;
    return part.startsWith("/") ? " " : part.includes("bun:") ? "bun:" : '""';
  });
  for (const name of new Set(code.match(/\bDeno\b|\bBun\b|\bbun:/g))) {
    violations.push(`${file}: names ${name}, which only ${RUNTIMES.join(" and ")} may`);
  }
}

const graph: Graph = new Map([...graphOf(MAIN), ...graphOf(WORKER)]);
const files = globSync(["mod.ts", "src/**/*.ts", "ffi/**/*.ts"], { cwd: fileURLToPath(root) })
  .map((file) => file.replaceAll("\\", "/"));

checkImports(graph);
checkCycles(graph);
files.forEach(checkNames);
for (const file of files) {
  if (!graph.has(file)) violations.push(`${file}: imported neither by ${MAIN} nor by ${WORKER}`);
}

for (const violation of violations) console.error(violation);
console.log(`${files.length} files, ${violations.length} imports or names out of place`);
process.exitCode = violations.length > 0 ? 1 : 0;
