/** Where every trial of a sweep stands, for people and programs. */

import { isCancelled } from "./conduct.ts";
import { readRung } from "./halving.ts";
import { isFinished, type RecordedTrial, runPath, type SweepRecord } from "./sweepFolder.ts";
import { type Failure, isHeld, readFailure, readProgress } from "./trialState.ts";

/** In the order in which they are counted out. */
export const trialStates = ["finished", "running", "paused", "waiting", "ended", "failed"] as const;
export type TrialState = (typeof trialStates)[number];

export interface TrialStatus {
  readonly trial: string;
  readonly configuration: string;
  readonly label: string;
  readonly seed: number;
  readonly state: TrialState;
  /** Tasks that are learned and evaluated, of those of the stream. */
  readonly evaluated: number;
  readonly tasks: number | undefined;
  readonly examplesPerSecond: number | undefined;
  readonly secondsLeft: number | undefined;
  readonly failure: Failure | undefined;
}

export interface SweepStatus {
  readonly name: string;
  readonly cancelled: boolean;
  readonly counts: { readonly [S in TrialState]: number };
  readonly trials: readonly TrialStatus[];
}

/** Configurations that were ended early. */
export async function endedConfigurations(out: string, record: SweepRecord): Promise<ReadonlySet<string>> {
  const ended = new Set<string>();
  for (const after of record.halving?.after ?? []) {
    const rung = await readRung(out, after);
    for (const name of Object.keys(rung?.figures ?? {}))
      if (rung?.goesOn.includes(name) === false) ended.add(name);
  }
  return ended;
}

async function stateOf(
  out: string,
  trial: RecordedTrial,
  ended: ReadonlySet<string>,
  begun: boolean,
  failure: Failure | undefined,
): Promise<TrialState> {
  if (isFinished(out, trial)) return "finished";
  if (await isHeld(runPath(out, trial))) return "running";
  if (failure !== undefined) return "failed";
  if (ended.has(trial.configuration)) return "ended";
  return begun ? "paused" : "waiting";
}

export function countStates(trials: readonly TrialStatus[]): SweepStatus["counts"] {
  const count = (state: TrialState) => trials.filter((trial) => trial.state === state).length;
  return {
    finished: count("finished"),
    running: count("running"),
    paused: count("paused"),
    waiting: count("waiting"),
    ended: count("ended"),
    failed: count("failed"),
  };
}

export async function readStatus(out: string, record: SweepRecord): Promise<SweepStatus> {
  const ended = await endedConfigurations(out, record);
  const labels = new Map(record.configurations.map(({ name, label }) => [name, label]));
  const trials = await Promise.all(
    record.trials.map(async (trial): Promise<TrialStatus> => {
      const progress = await readProgress(runPath(out, trial));
      const failure = await readFailure(out, trial);
      const state = await stateOf(out, trial, ended, progress.tasks !== undefined, failure);
      const { evaluated, tasks, examplesPerSecond, secondsLeft } = progress;
      const { configuration, seed, name } = trial;
      const label = labels.get(configuration) ?? "";
      return {
        trial: name,
        configuration,
        label,
        seed,
        state,
        evaluated,
        tasks,
        examplesPerSecond,
        secondsLeft,
        failure,
      };
    }),
  );
  const counts = countStates(trials);
  return { name: record.name, cancelled: isCancelled(out), counts, trials };
}
