/** A sweep from its plan to its end: which trials are to run, and which configurations are ended early. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import type { ExecuteOptions, Executor, TrialJob } from "./executor.ts";
import { bestOf, type Rung, readRung, validationFigure, writeRung } from "./halving.ts";
import type { SweepPlan, Trial } from "./plan.ts";
import { runPath } from "./sweepFolder.ts";
import { clearFailures, hasReached, readFailure, readProgress } from "./trialState.ts";

export interface ConductOptions extends Omit<ExecuteOptions, "out"> {
  readonly onRung?: ((rung: Rung) => void) | undefined;
}

const cancelFile = "cancelled";

/** Whoever conducts the sweep stops its trials when it sees this. */
export async function cancelSweep(out: string): Promise<void> {
  await writeFileAtomic(join(out, cancelFile), `${new Date().toISOString()}\n`);
}

export function isCancelled(out: string): boolean {
  return existsSync(join(out, cancelFile));
}

async function compare(plan: SweepPlan, names: readonly string[], after: number): Promise<Rung> {
  const figures: Record<string, number | null> = {};
  for (const name of names) {
    const trials = plan.trials.filter(({ configuration }) => configuration === name);
    const failures = await Promise.all(trials.map((trial) => readFailure(plan.out, trial)));
    const progress = await Promise.all(trials.map((trial) => readProgress(runPath(plan.out, trial))));
    figures[name] = failures.some((failure) => failure !== undefined)
      ? null
      : validationFigure(progress, after);
  }
  return { after, figures, goesOn: bestOf(figures, plan.halving?.keep ?? 1) };
}

async function jobsOf(
  plan: SweepPlan,
  trials: readonly Trial[],
  tasks: number | undefined,
): Promise<TrialJob[]> {
  const validate = plan.halving !== undefined;
  const jobs = await Promise.all(
    trials.map(async (trial) =>
      (await hasReached(plan.out, trial, tasks)) ? [] : [{ trial, tasks, validate }],
    ),
  );
  return jobs.flat();
}

/**
 * Runs what is left of a sweep that was begun. What it decides and what is done lies in its folder, so that it may be
 * killed at any moment and be called again.
 */
export async function conductSweep(
  plan: SweepPlan,
  executor: Executor,
  { onRung, ...options }: ConductOptions,
): Promise<void> {
  const { out, halving } = plan;
  await clearFailures(out, plan.trials);
  await rm(join(out, cancelFile), { force: true });
  let names = plan.configurations.map(({ name }) => name);
  for (const after of [...(halving?.after ?? []), undefined]) {
    const decided = after === undefined ? undefined : await readRung(out, after);
    if (decided !== undefined) {
      names = decided.goesOn;
      continue;
    }
    const trials = plan.trials.filter(({ configuration }) => names.includes(configuration));
    await executor.execute(await jobsOf(plan, trials, after), { out, ...options });
    options.signal.throwIfAborted();
    if (after === undefined) continue;
    const rung = await compare(plan, names, after);
    await writeRung(out, rung);
    onRung?.(rung);
    names = rung.goesOn;
  }
}
