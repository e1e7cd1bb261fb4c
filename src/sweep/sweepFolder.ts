/** A sweep's folder: what it was begun with, and the state of every trial, which is what lies on the disk. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { differingKeys, loadConfig, toResolvedYaml } from "../config/load.ts";
import { ConfigError, errorCode, StoreError } from "../core/errors.ts";
import { packageVersion } from "../core/packageInfo.ts";
import { writeFileAtomic, writeNewFile } from "../io/atomic.ts";
import { sha256 } from "../io/hash.ts";
import { listBegun } from "../workspace/listing.ts";
import type { SweepPlan, Trial } from "./plan.ts";

export const sweepFile = "sweep.json";
const configsFolder = "configs";

const schema = z.object({
  schemaVersion: z.literal(1),
  name: z.string(),
  accreteVersion: z.string(),
  seeds: z.array(z.number()),
  halving: z.object({ after: z.array(z.number()), keep: z.number() }).optional(),
  configurations: z.array(
    z.object({ name: z.string(), label: z.string(), choice: z.record(z.string(), z.unknown()) }),
  ),
  trials: z.array(
    z.object({ name: z.string(), configuration: z.string(), seed: z.number(), hash: z.string() }),
  ),
});
/** What a sweep was begun with. */
export type SweepRecord = z.infer<typeof schema>;
export type RecordedTrial = SweepRecord["trials"][number];

/** `c0/seed-1` as the name of a file. */
export function fileNameOf({ name }: Pick<Trial, "name">): string {
  return name.replaceAll("/", "-");
}

export function configPath(out: string, trial: Pick<Trial, "name">): string {
  return join(out, configsFolder, `${fileNameOf(trial)}.yaml`);
}

export function logPath(out: string, trial: Pick<Trial, "name">): string {
  return join(out, "logs", `${fileNameOf(trial)}.log`);
}

export function runPath(out: string, { name }: Pick<Trial, "name">): string {
  return join(out, ...name.split("/"));
}

/** @returns undefined where no sweep was begun there */
export async function readSweepRecord(out: string): Promise<SweepRecord | undefined> {
  const path = join(out, sweepFile);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(cause) ?? "")) return undefined;
    throw new StoreError(`${path}: cannot be read`, { cause });
  });
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new StoreError(`${path}: is no sweep's record`, {
      cause,
      hint: "Restore it from a copy, or begin the sweep in another folder.",
    });
  }
}

/** @throws StoreError where there is none */
export async function requireSweepRecord(out: string): Promise<SweepRecord> {
  const record = await readSweepRecord(out);
  if (record !== undefined) return record;
  throw new StoreError(`${out}: no sweep was begun there`, { hint: "Begin it: accrete sweep <sweep.yaml>." });
}

function recordOf({ name, seeds, halving, configurations, trials }: SweepPlan): SweepRecord {
  return {
    schemaVersion: 1,
    name,
    accreteVersion: packageVersion(),
    seeds: [...seeds],
    ...(halving && { halving }),
    configurations: configurations.map((each) => ({ ...each, choice: { ...each.choice } })),
    trials: trials.map(({ config: _, ...trial }) => trial),
  };
}

/** The same for the same trials, wherever the sweep lies. */
export function identityOf(plan: SweepPlan): string {
  const { accreteVersion: _, ...record } = recordOf(plan);
  return sha256(JSON.stringify(record));
}

async function differencesOf(plan: SweepPlan, there: SweepRecord): Promise<string[]> {
  const hashes = new Map(there.trials.map(({ name, hash }) => [name, hash]));
  const keys = new Set<string>();
  for (const trial of plan.trials) {
    const hash = hashes.get(trial.name);
    if (hash === undefined) keys.add("which trials there are");
    if (hash === undefined || hash === trial.hash) continue;
    const { config } = await loadConfig(configPath(plan.out, trial));
    for (const key of differingKeys(config, trial.config)) keys.add(key);
  }
  if (plan.trials.length !== there.trials.length) keys.add("which trials there are");
  if (JSON.stringify(plan.halving) !== JSON.stringify(there.halving)) keys.add("halving");
  return [...keys];
}

async function refuseOther(plan: SweepPlan, there: SweepRecord): Promise<void> {
  if (there.name !== plan.name)
    throw new StoreError(`${plan.out}: holds the sweep ${there.name}, not ${plan.name}`, {
      hint: "Give each sweep a folder of its own: out in its file.",
    });
  const keys = await differencesOf(plan, there);
  if (keys.length === 0) return;
  throw new ConfigError(
    `${plan.out}: a sweep ${plan.name} was begun there with other settings; different: ${keys.join(", ")}`,
    { hint: "Restore them to go on with it, or give this one another name." },
  );
}

export interface BeginOptions {
  /** Go on with what was begun, in place of refusing a folder that is not empty. */
  readonly resume: boolean;
}

/**
 * Begins a sweep in its folder, or goes on with the one that is there.
 * @throws StoreError where the folder holds something else, or a sweep and `resume` was not asked for
 * @throws ConfigError naming the settings that changed since it was begun
 */
export async function beginSweep(plan: SweepPlan, { resume }: BeginOptions): Promise<void> {
  const { out } = plan;
  const there = await readSweepRecord(out);
  if (there !== undefined) {
    await refuseOther(plan, there);
    if (resume) return;
    throw new StoreError(`${out}: the sweep ${plan.name} was begun already`, {
      hint: "Go on with it: --resume. Or give this one another name.",
    });
  }
  // A start that was cut off leaves the configurations alone.
  const entries = (await listBegun(out)).filter((name) => name !== configsFolder && name !== "shards");
  if (entries.length > 0)
    throw new StoreError(`${out}: exists and is no sweep's folder: it holds ${entries[0]}`, {
      hint: "Choose another one: out in the sweep's file.",
    });
  await mkdir(join(out, configsFolder), { recursive: true }).catch((cause: unknown) => {
    throw new StoreError(`${out}: the sweep's folder cannot be made`, { cause });
  });
  for (const trial of plan.trials)
    await writeFileAtomic(configPath(out, trial), toResolvedYaml(trial.config));
  const text = `${JSON.stringify(recordOf(plan), null, 2)}\n`;
  if (await writeNewFile(join(out, sweepFile), text)) return;
  // Another shard was faster.
  await refuseOther(plan, await requireSweepRecord(out));
}

export function isFinished(out: string, trial: Pick<Trial, "name">): boolean {
  return existsSync(join(runPath(out, trial), "metrics.json"));
}
