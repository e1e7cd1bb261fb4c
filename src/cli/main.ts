#!/usr/bin/env node
// Before anything that may load the engine, here or in a worker.
import "../runtime/telemetry.ts";

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CommanderError } from "commander";
import { packageVersion } from "../core/packageInfo.ts";
import { buildProgram } from "./program.ts";
import { formatFailure } from "./terminal/failure.ts";
import { surviveOutput } from "./terminal/output.ts";
import { processTerminal, type Terminal } from "./terminal/terminal.ts";

/**
 * Runs the command line.
 * @param args without `node` and the script
 * @returns the exit code: 0 done, 1 failed, 2 bad usage, config or data
 */
export async function main(args: readonly string[], terminal: Terminal): Promise<0 | 1 | 2> {
  try {
    await buildProgram(terminal, packageVersion()).parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    // Commander has printed its own message already; it gives 0 for --help and --version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const { text, exitCode } = formatFailure(error, Boolean(process.env.DEBUG));
    terminal.err(text);
    return exitCode;
  }
}

function isMain(): boolean {
  const script = process.argv[1];
  return script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url);
}

if (isMain()) {
  surviveOutput();
  process.exitCode = await main(process.argv.slice(2), processTerminal());
}
