import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { load } from "../../ffi/libsqlite3.ts";
import { connect, InterfaceError, ProgrammingError } from "../../mod.ts";
import { file, folder, program } from "../helpers.ts";

const real = load(undefined).path;
const compiler = ["cc", "gcc", "clang"].find((name) => spawnSync(name, ["--version"]).status === 0);
const noCompiler = process.platform !== "linux"
  ? "builds a Linux library"
  : compiler === undefined && "no C compiler";

/** Expects an InterfaceError that says what was tried, why it was not it, and what to do. */
function refusal(path: string, why: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof InterfaceError, String(error));
    assert.ok(error.message.includes(path), error.message);
    assert.match(error.message, why);
    assert.match(error.message, /[Ii]nstall/);
    assert.match(error.message, /AIOSQLITE_LIBRARY/);
    return true;
  };
}

/** A library in which this C code stands in front of the real one. */
function override(code: string): string {
  const source = file("override.c");
  const library = join(dirname(source), "liboverride.so");
  writeFileSync(source, code);
  // deno-fmt-ignore
  const built = spawnSync(compiler!, [
    "-shared", "-fPIC", "-w", "-o", library, source, "-Wl,--no-as-needed", real,
  ]);
  assert.equal(built.status, 0, String(built.stderr));
  return library;
}

test("library: a missing file is refused", async () => {
  const path = join(folder(), "libsqlite3.so.0");
  await assert.rejects(connect(":memory:", { library: path }), refusal(path, /tried/));
});

test("library: a relative path or a bare name is refused", async () => {
  for (const library of ["libsqlite3.so.0", "./libsqlite3.so.0", "../libsqlite3.so.0", ""]) {
    await assert.rejects(connect(":memory:", { library }), (error: unknown) => {
      assert.ok(error instanceof ProgrammingError, String(error));
      assert.match(error.message, /library.*absolute path/);
      return true;
    });
  }
});

test("library: a file that is no library is refused", async () => {
  const path = file("libsqlite3.so.0");
  writeFileSync(path, "This is no library.\n".repeat(1000));
  await assert.rejects(connect(":memory:", { library: path }), refusal(path, /./));
});

test("library: a folder is refused", async () => {
  const path = folder();
  await assert.rejects(connect(":memory:", { library: path }), refusal(path, /./));
});

const other = [
  "/usr/lib/x86_64-linux-gnu/libz.so.1",
  "/usr/lib/aarch64-linux-gnu/libz.so.1",
  "/usr/lib64/libz.so.1",
  "/usr/lib/libz.so.1",
].find(existsSync);

test(
  "library: another library is refused, naming what it lacks",
  { skip: other === undefined && "no libz" },
  async () => {
    await assert.rejects(
      connect(":memory:", { library: other }),
      refusal(other!, /sqlite3_\w+/),
    );
  },
);

test("library: connect() works after refusals", async () => {
  await assert.rejects(connect(":memory:", { library: "/nowhere/libsqlite3.so.0" }));
  await using db = await connect(":memory:", { library: real });
  assert.deepEqual(await db.executeFetchOne("SELECT 1"), [1]);
});

const REPORT = `
  const options = args[0] ? { library: args[0] } : {};
  try {
    await using db = await aiosqlite.connect(":memory:", options);
    console.log((await db.executeFetchOne("SELECT 'works'"))[0]);
    if (process.platform === "linux") {
      const { readFileSync } = await import("node:fs");
      console.log(readFileSync("/proc/self/maps", "utf8"));
    }
  } catch (error) {
    console.log(error.name, error.message);
  }
`;

test("AIOSQLITE_LIBRARY names the library", async () => {
  const copy = join(folder(), "libcopy.so.0");
  copyFileSync(real, copy);
  const env = { AIOSQLITE_LIBRARY: copy };
  const { stdout, stderr } = await program(REPORT, [], { env });
  assert.match(stdout, /works/, stderr);
  if (process.platform === "linux") assert.ok(stdout.includes(copy));
});

test("AIOSQLITE_LIBRARY stands alone: no other library is tried", async () => {
  const env = { AIOSQLITE_LIBRARY: "/nowhere/libsqlite3.so.0" };
  const { stdout } = await program(REPORT, [], { env });
  assert.match(stdout, /^InterfaceError.*\n.*\/nowhere\/libsqlite3\.so\.0/);
  assert.ok(!stdout.includes(`  ${real}:`));
});

test("AIOSQLITE_LIBRARY: a bare name is refused, even of a library in the folder", async () => {
  const bare = "libbare.so.0";
  const here = folder();
  copyFileSync(real, join(here, bare));
  const { stdout } = await program(`process.chdir(${JSON.stringify(here)});` + REPORT, [], {
    env: { AIOSQLITE_LIBRARY: bare, LD_LIBRARY_PATH: here },
  });
  assert.match(stdout, /^InterfaceError.*\n.*libbare\.so\.0: not an absolute path/);
});

test("AIOSQLITE_LIBRARY: the option library goes before it", async () => {
  const env = { AIOSQLITE_LIBRARY: "/nowhere/libsqlite3.so.0" };
  const { stdout } = await program(REPORT, [real], { env });
  assert.match(stdout, /^works/);
});

test("library: one without thread safety is refused", { skip: noCompiler }, async () => {
  const path = override("int sqlite3_threadsafe(void) { return 0; }");
  await assert.rejects(connect(":memory:", { library: path }), refusal(path, /thread safety/));
});

test("library: one that is too old is refused", { skip: noCompiler }, async () => {
  const path = override("int sqlite3_libversion_number(void) { return 3007017; }");
  await assert.rejects(
    connect(":memory:", { library: path }),
    refusal(path, /3\.7\.17, older than 3\.\d+\.\d+/),
  );
});

test("library: one that ignores a safety setting opens nothing", { skip: noCompiler }, async () => {
  const path = override("int sqlite3_db_config(void *db, int op, ...) { return 0; }");
  await assert.rejects(connect(":memory:", { library: path }), /refuses setting/);
});

test("library: it counts no memory, so that its heap limits are none", {
  skip: process.platform !== "linux" && "what else uses the system's library has its say",
}, async () => {
  const { stdout, stderr } = await program(`
    await using db = await aiosqlite.connect(":memory:");
    await db.execute("PRAGMA hard_heap_limit = 1000000");
    console.log((await db.executeFetchOne("SELECT length(randomblob(5000000))"))[0]);
  `);
  assert.equal(stdout, "5000000\n", stderr);
});
