/**
 * Runs the table in each runtime, one after the other.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const commands = [["deno", "run", "-A"], ["bun"], [
  "node",
  "--disable-warning=ExperimentalWarning",
]];

for (const [program, ...flags] of commands) {
  const { status } = spawnSync(program!, [...flags, main], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
