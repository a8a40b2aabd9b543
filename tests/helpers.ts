/**
 * What the tests share: fresh files, and programs in processes of their own.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const folders: string[] = [];
function clean(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
process.on("exit", clean);
// What `deno test` runs has no end of a process of its own, but this.
globalThis.addEventListener?.("unload", clean);

/** The project's folder. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** In memory where there is room for it, since there every commit need not wait for a disk. */
function place(): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize > 2 ** 31) return "/dev/shm";
  } catch {
    // there is none
  }
  return tmpdir();
}

/** A new folder, removed when the tests end. */
export function folder(): string {
  const made = mkdtempSync(join(place(), "aiosqlite-"));
  folders.push(made);
  return made;
}

/** The path of a database that does not exist yet. */
export function file(name = "test.db"): string {
  return join(folder(), name);
}

/** A copy of the Chinook sample database, or undefined where the project is without it. */
export function chinook(): string | undefined {
  const original = join(root, "../shared/data/chinook.sqlite");
  if (!existsSync(original)) return undefined;
  const copy = file("chinook.sqlite");
  copyFileSync(original, copy);
  return copy;
}

/** How a program ended. */
export interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
  /** Milliseconds it ran. */
  took: number;
}

const versions = process.versions as Record<string, string | undefined>;

/** The name of the runtime the tests run on. */
export const runtimeName: "deno" | "bun" | "node" = versions.deno
  ? "deno"
  : versions.bun
  ? "bun"
  : "node";

/** Runs a command and collects what it says; killed after `timeout` milliseconds. */
export function command(
  program: string,
  args: readonly string[],
  { timeout = 30_000, env = {} as Record<string, string>, input = "" } = {},
): Promise<Ended> {
  const started = performance.now();
  const child = spawn(program, args, { env: { ...process.env, NO_COLOR: "1", ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data) => stdout += data);
  child.stderr.on("data", (data) => stderr += data);
  child.stdin.on("error", () => {}); // it may end without reading
  child.stdin.end(input);
  const timer = setTimeout(() => child.kill("SIGKILL"), timeout);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr, took: performance.now() - started });
    });
  });
}

/** The arguments that have this runtime run a script. */
export function runtimeArguments(script: string): string[] {
  return runtimeName === "deno" ? ["run", "--quiet", "-A", "--no-lock", script] : [script];
}

/**
 * Runs a TypeScript program in a new process of the same runtime. `connect` and the rest of mod.ts
 * are imported in it as `aiosqlite`; its arguments are in `args`.
 */
export function program(
  source: string,
  args: readonly string[] = [],
  options: { timeout?: number; env?: Record<string, string> } = {},
): Promise<Ended> {
  const script = join(folder(), "program.ts");
  const mod = new URL("../mod.ts", import.meta.url).href;
  writeFileSync(
    script,
    `import process from "node:process";\nimport * as aiosqlite from ${JSON.stringify(mod)};\n` +
      `const args = process.argv.slice(2);\n${source}`,
  );
  return command(process.execPath, [...runtimeArguments(script), ...args], options);
}

/** Python itself, once it is known: what stands for it in the path can be slow to find it. */
let interpreter = "python3";

/** Runs SQL on a database file from another process, with Python's sqlite3; rows as JSON. */
export async function python(path: string, sql: string): Promise<unknown[][]> {
  const script = "import json, sqlite3, sys\n" +
    "c = sqlite3.connect(sys.argv[1], timeout=10)\n" +
    "print(json.dumps(c.execute(sys.argv[2]).fetchall()))\n" +
    "c.commit()\n" +
    "print(sys.executable)\n";
  const ended = await command(interpreter, ["-S", "-c", script, path, sql]);
  if (ended.code !== 0) throw new Error(ended.stderr);
  const [rows, executable] = ended.stdout.trimEnd().split("\n");
  interpreter = executable || interpreter;
  return JSON.parse(rows!);
}
