/**
 * Builds the npm package into npm/, and tries it out as a user would. `deno pack` does the work;
 * with `--dnt` the older tool dnt, which comes from JSR.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name: string) => join(root, "node_modules/.bin", name);
const out = join(root, "npm");
const built = join(out, "package");

const { name, version, license } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** What npm is told besides what deno.json says. */
const MANIFEST = {
  description: "SQLite off the event loop, on the system's own library, for Node, Bun and Deno",
  keywords: ["sqlite", "sqlite3", "async", "aiosqlite", "database", "ffi", "deno", "bun"],
  engines: { node: ">=22" },
  // For Nodes without node:ffi. It holds its native code for all platforms.
  optionalDependencies: { koffi: devDependencies.koffi },
};

const LANGUAGE = ["--strict", "--target", "esnext", "--module", "nodenext"];

/** What a user's first program does; with types, to see that they are found. */
const PROGRAM = `
import { connect, type Connection, sqliteVersion } from "${name}";

await using db: Connection = await connect("try.db");
await db.executeScript("DROP TABLE IF EXISTS t; CREATE TABLE t (x INTEGER, y TEXT)");
await db.executeMany("INSERT INTO t VALUES (?, ?)", [[1, "one"], [2, "two"]]);
await db.commit();
const rows: string[] = [];
for await (const [x, y] of db.execute("SELECT x, y FROM t ORDER BY x")) rows.push(x + "=" + y);
if (rows.join() !== "1=one,2=two") throw new Error(rows.join());
console.log("works with SQLite " + sqliteVersion());
`;

function run(cwd: string, program: string, ...args: string[]): string {
  return execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Packs with Deno, and unpacks to complete the manifest. */
function pack(): void {
  const tarball = join(out, "deno.tgz");
  run(root, bin("deno"), "pack", "--quiet", "--allow-dirty", "--output", tarball);
  run(out, "tar", "-xzf", tarball);
  rmSync(tarball);
  const path = join(built, "package.json");
  const manifest = { ...JSON.parse(readFileSync(path, "utf8")), ...MANIFEST };
  writeFileSync(path, JSON.stringify(manifest, null, 2) + "\n");
}

/** Deno's declarations lack what is named by a symbol (denoland/deno#36567): these have it. */
function declare(): void {
  const files = ["mod.ts", "src/thread/worker.ts"];
  const emit = ["--declaration", "--emitDeclarationOnly", "--rootDir", root, "--outDir", built];
  // `deno check` has checked them, with the types of Deno's that tsc does not know.
  run(
    root,
    bin("tsc"),
    ...files,
    ...emit,
    ...LANGUAGE,
    "--allowImportingTsExtensions",
    "--noCheck",
  );
}

/** The same with dnt. The worker is an entry point, since only a URL leads to it. */
async function transform(): Promise<void> {
  const dnt = "jsr:@deno/dnt@^0.43.2"; // by name, so that nothing else ever asks for it
  const { build } = await import(dnt);
  await build({
    entryPoints: ["./mod.ts", { name: "./worker", path: "./src/thread/worker.ts" }],
    outDir: built,
    scriptModule: false,
    shims: {},
    test: false,
    package: { name, version, license, ...MANIFEST },
  });
}

/** Installs the package in a new folder, and runs and type-checks a program there. */
function tryOut(tarball: string): void {
  const folder = mkdtempSync(join(tmpdir(), "aiosqlite-npm-"));
  try {
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
    writeFileSync(join(folder, "try.ts"), PROGRAM);
    run(folder, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", tarball);
    for (const [runtime, ...args] of [["node"], ["bun"], ["deno", "run", "-A"]] as const) {
      console.log(`${runtime}: ${run(folder, bin(runtime), ...args, "try.ts").trim()}`);
    }
    console.log(
      `tsc: types are ${run(folder, bin("tsc"), "try.ts", "--noEmit", ...LANGUAGE) || "right"}`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
if (process.argv.includes("--dnt")) await transform();
else {
  pack();
  declare();
}
const tarball = join(out, run(out, "npm", "pack", "--loglevel=error", built).trim());
console.log(tarball);
tryOut(tarball);
