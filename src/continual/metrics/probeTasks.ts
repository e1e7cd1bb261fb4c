/** Probing a model before and after a task's adapter is learned. */

import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { LabelledExample, Task } from "../../data/files/types.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { FeatureRows, LearnedTask } from "../types.ts";
import { type ProbeOptions, type ProbeResult, type ProbeRows, probeFeatures } from "./probe.ts";

/**
 * How well the classes of all tasks together can be told apart by the features that one adapter makes, or, before
 * anything is learned, by those of the backbone alone. The difference between the two is what learning the task did to
 * the features of all of them. Probes see every task's training texts, later ones too: they measure a model and are
 * no method.
 *
 * @param learned the task through whose adapter the texts go; undefined: adapters off
 * @param tasks all of a stream's
 * @returns an accuracy for each task's test texts, among the classes of all tasks
 * @throws DataError if a test set is empty
 */
export async function probeTasks(
  model: AdaptedBackbone,
  learned: LearnedTask | undefined,
  tasks: readonly Task[],
  options: ProbeOptions,
): Promise<ProbeResult> {
  const slots = new Map([...new Set(tasks.flatMap(({ labels }) => labels))].map((label, i) => [label, i]));
  const features = async (encodings: readonly Encoding[]): Promise<FeatureRows> =>
    learned === undefined
      ? await model.frozenFeatures(encodings, options.signal)
      : (await model.outputs(learned, encodings, options.signal)).features;
  const rowsOf = async (examples: readonly LabelledExample[], what: string): Promise<ProbeRows> => ({
    features: await features(model.encode(examples, what).encodings),
    slots: examples.map(({ label }) => slots.get(label) ?? -1),
  });
  const train = await rowsOf(
    tasks.flatMap((task) => task.train),
    "train of all tasks",
  );
  const tests: ProbeRows[] = [];
  for (const task of tasks) tests.push(await rowsOf(task.test, `test of ${task.name}`));
  return probeFeatures((graph) => model.compile(graph), train, tests, slots.size, options);
}
