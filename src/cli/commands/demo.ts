import { readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { loadConfig } from "../../config/load.ts";
import { parseOverride } from "../../config/overrides.ts";
import { StoreError } from "../../core/errors.ts";
import { packageRoot } from "../../core/packageInfo.ts";
import { isRunFile } from "../../experiment/runFolder.ts";
import { acquireLock } from "../../io/lock.ts";
import { UsageError } from "../terminal/failure.ts";
import { runToEnd } from "../terminal/runToEnd.ts";
import { ownCommand, quote, shortPath } from "../terminal/shell.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { printReport } from "./report.ts";

export interface DemoFlags {
  readonly set?: readonly string[];
  readonly quiet?: boolean;
}

const marks = ["manifest.json", "lock.json", "config.resolved.yaml"];

/**
 * Empties the folder of an earlier demo. It must be a run's and hold nothing but what runs write: whatever else
 * lies there is somebody's, and stays.
 * @throws StoreError where it is not, or where a run is still writing it.
 */
export async function clearEarlierRun(folder: string): Promise<void> {
  const entries = await readdir(folder).catch(() => []);
  if (entries.length === 0) return;
  const foreign = entries.find((name) => !isRunFile(name));
  if (foreign !== undefined || !entries.some((name) => marks.includes(name))) {
    throw new StoreError(
      `${folder}: is not only an earlier run${foreign === undefined ? "" : `: it holds ${foreign}`}`,
      {
        hint: "The demo replaces nothing but its own earlier run. Move that folder away, or start in another one.",
      },
    );
  }
  const lock = await acquireLock(folder);
  try {
    const old = entries.filter((name) => name !== "lock.json");
    for (const name of old) await rm(join(folder, name), { recursive: true, force: true });
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}

export async function demoCommand(flags: DemoFlags, terminal: Terminal): Promise<void> {
  const out = resolve("runs/demo");
  const file = join(packageRoot, "demo", "demo.yaml");
  const overrides = (flags.set ?? []).map((text) => parseOverride(text));
  if (overrides.some(({ key }) => key === "out"))
    throw new UsageError("demo --set out: the demo learns into runs/demo", {
      hint: "accrete run <file> --out <folder> learns elsewhere.",
    });
  const { config } = await loadConfig(file, [...overrides, { key: "out", value: out, source: "demo" }]);
  await clearEarlierRun(out);
  await runToEnd(config, { ...flags, resumeCommand: `${ownCommand()} demo (it starts anew)` }, terminal);
  await printReport(out, {}, terminal);
  const question = "I need a seat on a plane to Lisbon on Friday";
  terminal.out(`Try: ${ownCommand()} predict ${quote(shortPath(out))} ${JSON.stringify(question)}\n`);
}
