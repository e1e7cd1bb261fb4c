/** A part of a sweep's trials, for schedulers that start many like processes: Slurm arrays, CI matrices. */
import { ConfigError } from "../core/errors.ts";
import type { SweepPlan } from "./plan.ts";

export interface Shard {
  /** From 1. */
  readonly index: number;
  readonly count: number;
}

/** @throws ConfigError where it is not `i/n` with 1 ≤ i ≤ n */
export function parseShard(text: string): Shard {
  const [, first = "", second = ""] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const [index, count] = [Number(first), Number(second)];
  if (index >= 1 && index <= count) return { index, count };
  throw new ConfigError(`--shard ${text}: expected i/n, the i-th of n parts`, {
    hint: "For example --shard 1/4; in a Slurm array --shard $((SLURM_ARRAY_TASK_ID + 1))/$SLURM_ARRAY_TASK_COUNT.",
  });
}

/**
 * Every n-th trial: parts of which none waits for another.
 * @throws ConfigError where trials are compared on the way, which no part can do alone
 */
export function shardOf(plan: SweepPlan, { index, count }: Shard): SweepPlan {
  if (plan.halving !== undefined)
    throw new ConfigError(
      "--shard: halving compares all trials on the way, and a shard has some of them alone",
      {
        hint: "Leave halving out, or give the trials to workers: --queue.",
      },
    );
  return { ...plan, trials: plan.trials.filter((_, i) => i % count === index - 1) };
}
