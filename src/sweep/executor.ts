/** Who runs a sweep's trials: child processes here, or workers behind a queue. */
import { setTimeout as sleep } from "node:timers/promises";
import { runChild } from "./childRun.ts";
import type { Trial } from "./plan.ts";
import { configPath, logPath, runPath } from "./sweepFolder.ts";
import { hasReached, isHeld, writeFailure } from "./trialState.ts";

/** A trial that is to be brought so far. */
export interface TrialJob {
  readonly trial: Trial;
  /** Tasks after which it pauses; absent: it runs to its end. */
  readonly tasks?: number | undefined;
  /** Whether each adapter is measured on validation data too. */
  readonly validate: boolean;
}

export type ExecutorEvent =
  | { readonly type: "begun"; readonly trial: string; readonly worker: string; readonly attempt: number }
  | { readonly type: "done"; readonly trial: string }
  /** It is tried again, unless it was the last time. */
  | { readonly type: "failed"; readonly trial: string; readonly attempt: number; readonly last: boolean };

export interface ExecuteOptions {
  /** The sweep's folder. */
  readonly out: string;
  readonly onEvent: (event: ExecutorEvent) => void;
  readonly signal: AbortSignal;
}

/** Brings every job to its goal, or gives it up and writes why. Whatever is done already costs nothing. */
export interface Executor {
  readonly execute: (jobs: readonly TrialJob[], options: ExecuteOptions) => Promise<void>;
}

/** How often a trial is tried before it is given up. */
export const mostTries = 3;
/** Bad configuration or data: the same the next time. */
const badInput = 2;

/** What `accrete run` is given for a job. */
export function runArguments(
  config: string,
  { tasks, validate }: Pick<TrialJob, "tasks" | "validate">,
): string[] {
  return [
    "run",
    config,
    "--resume",
    "--quiet",
    ...(tasks === undefined ? [] : ["--tasks", String(tasks)]),
    ...(validate ? ["--validate"] : []),
  ];
}

/** How long whoever finds another process in a trial's folder waits before it looks again. */
const busyMs = 1000;

/** Runs one job here, as often as it takes. */
async function runJob(job: TrialJob, { out, onEvent, signal }: ExecuteOptions): Promise<void> {
  const { trial, tasks } = job;
  for (let attempt = 1; attempt <= mostTries; ) {
    if (await hasReached(out, trial, tasks)) return onEvent({ type: "done", trial: trial.name });
    if (await isHeld(runPath(out, trial))) {
      await sleep(busyMs, undefined, { signal });
      continue;
    }
    onEvent({ type: "begun", trial: trial.name, worker: "here", attempt });
    const args = runArguments(configPath(out, trial), job);
    const { exitCode, log } = await runChild(args, { log: logPath(out, trial), signal });
    signal.throwIfAborted();
    if ((await hasReached(out, trial, tasks)) || (await isHeld(runPath(out, trial)))) continue;
    const last = exitCode === badInput || attempt === mostTries;
    if (last) {
      const time = new Date().toISOString();
      await writeFailure(out, trial, { tries: attempt, exitCode, log, time });
    }
    onEvent({ type: "failed", trial: trial.name, attempt, last });
    if (last) return;
    attempt += 1;
  }
}

/** So many trials at once, each in a child process. */
export function localExecutor(jobsAtOnce: number): Executor {
  return {
    async execute(jobs, options) {
      const waiting = [...jobs];
      const work = async (): Promise<void> => {
        for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await runJob(job, options);
      };
      await Promise.all(Array.from({ length: Math.min(jobsAtOnce, jobs.length) }, work));
    },
  };
}
