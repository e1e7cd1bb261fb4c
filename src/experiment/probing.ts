/** Probing as a part of a run over sentences. */
import type { ResolvedConfig } from "../config/schema.ts";
import type { ProbeResult } from "../continual/metrics/probe.ts";
import { probeTasks } from "../continual/metrics/probeTasks.ts";
import { TextClassification } from "../continual/taskTypes/textClassification.ts";
import type { LearnedTask } from "../continual/types.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { labelledTask, type StreamTask } from "./stream.ts";

export interface Probing {
  /** Probes the features that the newest task's adapter makes; without one those of the backbone alone. */
  measure(newest: LearnedTask | undefined, signal: AbortSignal | undefined): Promise<ProbeResult>;
}

/** @returns undefined where the configuration asks for no probe */
export function openProbing(
  { probing: kinds = [], seed }: Pick<ResolvedConfig, "probing" | "seed">,
  { type }: ContinualModel,
  tasks: readonly StreamTask[],
): Probing | undefined {
  if (kinds.length === 0 || !(type instanceof TextClassification)) return undefined;
  return {
    measure: (newest, signal) =>
      probeTasks(type.trained, newest, tasks.map(labelledTask), { seed, kinds, ...(signal && { signal }) }),
  };
}
