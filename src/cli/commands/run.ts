import { type LoadedConfig, loadConfig } from "../../app/config.ts";
import { formatOverride, type Override, parseOverride } from "../../app/overrides.ts";
import { UsageError } from "../failure.ts";
import { runToEnd } from "../runToEnd.ts";
import { quote, shortPath } from "../shell.ts";
import type { Terminal } from "../terminal.ts";

export interface RunFlags {
  readonly set?: readonly string[];
  readonly resume?: boolean;
  readonly out?: string;
  readonly seeds?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function collectOverrides(flags: Pick<RunFlags, "set" | "out">): Override[] {
  const overrides = (flags.set ?? []).map((text) => parseOverride(text));
  if (flags.out !== undefined) overrides.push({ key: "out", value: flags.out, source: "--out" });
  return overrides;
}

export function parseSeeds(text: string): number[] {
  const seeds = text.split(",").map((part) => part.trim());
  const numbers = seeds.map(Number);
  if (seeds.some((seed) => !/^\d+$/.test(seed)) || numbers.some((seed) => !Number.isSafeInteger(seed))) {
    throw new UsageError(`--seeds ${text}: expected whole numbers with commas between them`, {
      hint: "For example: --seeds 1,2,3",
    });
  }
  if (new Set(numbers).size < numbers.length) {
    throw new UsageError(`--seeds ${text}: the same seed twice`);
  }
  return numbers;
}

function announce(loaded: LoadedConfig, terminal: Terminal): void {
  const set = [...loaded.provenance.values()].filter((source) => source === "file").length;
  const defaults = [...loaded.provenance.values()].filter((source) => source === "default").length;
  terminal.err(`${shortPath(loaded.path)}: ${set} settings from the file, ${defaults} defaults\n`);
  for (const override of loaded.overrides) terminal.err(`set ${formatOverride(override)}\n`);
  terminal.err(`out ${shortPath(loaded.config.out)}\n`);
}

function resumeCommand(config: string, flags: RunFlags): string {
  const words = ["accrete run", quote(config), ...(flags.set ?? []).map((text) => `--set ${quote(text)}`)];
  if (flags.out !== undefined) words.push(`--out ${quote(flags.out)}`);
  if (flags.seeds !== undefined) words.push(`--seeds ${flags.seeds}`);
  return [...words, "--resume"].join(" ");
}

export async function runCommand(configPath: string, flags: RunFlags, terminal: Terminal): Promise<void> {
  const overrides = collectOverrides(flags);
  const again = resumeCommand(configPath, flags);
  if (flags.seeds !== undefined) {
    const { runSeeds } = await import("./seeds.ts");
    await runSeeds(
      configPath,
      overrides,
      parseSeeds(flags.seeds),
      { ...flags, resumeCommand: again },
      terminal,
    );
    return;
  }
  const loaded = await loadConfig(configPath, overrides);
  if (flags.quiet !== true) announce(loaded, terminal);
  await runToEnd(loaded.config, { ...flags, resumeCommand: again }, terminal);
  const { printReport } = await import("./report.ts");
  await printReport(loaded.config.out, { json: flags.json ?? false }, terminal);
}
