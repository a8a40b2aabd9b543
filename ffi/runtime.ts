/**
 * Picks the runtime's file, once.
 *
 * @module
 */
import process from "node:process";
import { bun } from "./bun.ts";
import { deno } from "./deno.ts";
import { node } from "./node.ts";
import type { Runtime } from "./types.ts";

const versions = process.versions as Record<string, string | undefined>;

/** The runtime this thread runs on. */
export const runtime: Runtime = versions.deno ? deno : versions.bun ? bun : node;
