/** From a sweep's file to its trials. Nothing is written, and nothing but configurations is read. */
import { join } from "node:path";
import { hashConfig, loadConfig, type ResolvedConfig } from "../config/load.ts";
import type { Override } from "../config/overrides.ts";
import { ConfigError } from "../core/errors.ts";
import { type Choice, choicesOf, labelOf } from "./choices.ts";
import type { SweepSpec } from "./sweepFile.ts";

/** Settings that are tried, with one trial a seed. */
export interface Configuration {
  /** Its folder in the sweep's: `c0`, `c1`, … */
  readonly name: string;
  /** What it changes, for people: `rank 4, epochs 2`. */
  readonly label: string;
  readonly choice: Choice;
}

/** One run. */
export interface Trial {
  /** Its folder in the sweep's: `c0/seed-1`. */
  readonly name: string;
  readonly configuration: string;
  readonly seed: number;
  /** As `accrete run` takes it; `out` is the trial's folder. */
  readonly config: ResolvedConfig;
  /** Of every setting but `out`. */
  readonly hash: string;
}

export interface SweepPlan {
  readonly name: string;
  /** Absolute. */
  readonly out: string;
  readonly base: string;
  readonly configurations: readonly Configuration[];
  readonly seeds: readonly number[];
  readonly halving: SweepSpec["halving"];
  readonly trials: readonly Trial[];
  /** One sentence each. */
  readonly notes: readonly string[];
}

async function configure(
  spec: SweepSpec,
  { name, label, choice }: Configuration,
  seed: number | undefined,
): Promise<ResolvedConfig> {
  const overrides: Override[] = Object.entries(choice).map(([key, value]) => ({
    key,
    value,
    source: "sweep",
  }));
  if (seed !== undefined) {
    overrides.push({ key: "seed", value: seed, source: "sweep" });
    overrides.push({ key: "out", value: join(spec.out, name, `seed-${seed}`), source: "sweep" });
  }
  try {
    return (await loadConfig(spec.base, overrides, spec.folder)).config;
  } catch (error) {
    if (!(error instanceof ConfigError) || error.issues.length === 0) throw error;
    throw new ConfigError(`${spec.file}: ${name} (${label}) is no configuration that could run`, {
      issues: error.issues,
      hint: `Its other settings come from ${spec.base}.`,
      cause: error,
    });
  }
}

function numbered(choices: readonly Choice[]): Configuration[] {
  const digits = String(choices.length - 1).length;
  return choices.map((choice, i) => ({
    name: `c${String(i).padStart(digits, "0")}`,
    label: labelOf(choice),
    choice,
  }));
}

/** @throws ConfigError naming the key that no configuration has, or the value that it does not take */
export async function planSweep(spec: SweepSpec): Promise<SweepPlan> {
  const configurations: Configuration[] = [];
  const trials: Trial[] = [];
  const notes: string[] = [];
  const known = new Map<string, string>();
  const seeds = spec.seeds ?? [(await loadConfig(spec.base)).config.seed];
  for (const configuration of numbered(choicesOf(spec))) {
    const own: Trial[] = [];
    for (const seed of seeds) {
      const config = await configure(spec, configuration, seed);
      const name = `${configuration.name}/seed-${seed}`;
      own.push({ name, configuration: configuration.name, seed, config, hash: hashConfig(config) });
    }
    const hash = own[0]?.hash ?? "";
    const same = known.get(hash);
    if (same !== undefined) {
      notes.push(`${configuration.name} (${configuration.label}) is ${same} again, and is left out.`);
      continue;
    }
    known.set(hash, configuration.name);
    configurations.push(configuration);
    trials.push(...own);
  }
  refuseIdleHalving(spec, configurations.length);
  const { name, out, base, halving } = spec;
  return { name, out, base, configurations, seeds, halving, trials, notes };
}

function refuseIdleHalving({ file, halving }: SweepSpec, configurations: number): void {
  if (halving === undefined || configurations > 1) return;
  throw new ConfigError(`${file}: halving ends poor configurations early, and there is one alone`, {
    hint: "Give grid or random more than one, or leave halving out.",
  });
}
