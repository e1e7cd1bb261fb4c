/** What a sweep's configurations reached: the runs of each, as `accrete compare` sets them side by side. */
import type { FinishedRecord, NamedRuns } from "../report/comparison.ts";
import { readRunRecord } from "../report/record/record.ts";
import { endedConfigurations } from "./status.ts";
import { isFinished, runPath, type SweepRecord } from "./sweepFolder.ts";

export interface SweepResults {
  /** One a configuration whose seeds are all finished. */
  readonly runs: readonly NamedRuns[];
  /** What is left out, one sentence each. */
  readonly notes: readonly string[];
}

/** @throws StoreError where a finished run's record is damaged */
export async function readResults(out: string, record: SweepRecord): Promise<SweepResults> {
  const ended = await endedConfigurations(out, record);
  const runs: NamedRuns[] = [];
  const notes: string[] = [];
  for (const { name, label } of record.configurations) {
    const trials = record.trials.filter(({ configuration }) => configuration === name);
    const finished = trials.filter((trial) => isFinished(out, trial));
    if (finished.length < trials.length) {
      const why = ended.has(name) ? "ended early" : `${finished.length} of ${trials.length} trials finished`;
      notes.push(`${name} (${label}) is left out: ${why}.`);
      continue;
    }
    const records: FinishedRecord[] = [];
    for (const trial of trials) {
      const { metrics, ...rest } = await readRunRecord(runPath(out, trial));
      if (metrics !== undefined) records.push({ ...rest, metrics });
    }
    runs.push({ name: `${name}: ${label}`, records });
  }
  return { runs, notes };
}
