/** The baseline under every result: a classifier of spellings, without a network. */
import { measureTextBaseline } from "../continual/metrics/baseline.ts";
import { measureWordBaseline } from "../continual/metrics/wordBaseline.ts";
import type { TaskTypeName } from "../continual/taskTypes/taskType.ts";
import type { BaselineMetrics } from "../core/record.ts";
import type { Compile } from "../linalg/algebra.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { labelledTask, type StreamTask, taggedTask } from "./stream.ts";

type Measure = (
  tasks: readonly StreamTask[],
  compile: Compile,
  signal?: AbortSignal,
) => Promise<BaselineMetrics>;

const ofTexts: Measure = (tasks, compile, signal) =>
  measureTextBaseline(tasks.map(labelledTask), compile, signal);

const measures: { readonly [N in TaskTypeName]: Measure } = {
  "text-classification": ofTexts,
  "text-generation": ofTexts,
  "token-classification": (tasks, compile, signal) =>
    measureWordBaseline(tasks.map(taggedTask), compile, signal),
};

export function measureBaseline(
  { type }: ContinualModel,
  tasks: readonly StreamTask[],
  signal?: AbortSignal,
): Promise<BaselineMetrics> {
  return measures[type.name](tasks, (graph) => type.trained.compile(graph), signal);
}
