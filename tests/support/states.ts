/** States that no model learned, for what only keeps them. */
import { createHash } from "node:crypto";
import { ClassStatistics } from "../../src/continual/statistics/statistics.ts";
import { joinRows } from "../../src/model/classes.ts";
import type { ContinualModel } from "../../src/model/continualModel.ts";
import type { TaskState } from "../../src/model/state.ts";
import { makeSaved } from "./adapterFiles.ts";
import { constants, contribution } from "./routingRows.ts";

/** Restores whatever was saved, and knows no backbone. */
export const anyModel: Pick<ContinualModel, "restore" | "loaded" | "feature"> = {
  feature: { pooling: "cls", normalize: false },
  restore: (name, { labels, adapter, head }) => ({
    name,
    labels,
    adapter: adapter.tensors,
    head: head?.tensors ?? new Map(),
  }),
  get loaded(): never {
    throw new TypeError("no backbone was loaded");
  },
};

/** A task with statistics alone. */
export function statisticsTask(name: string, labels: readonly string[] = [name]): TaskState {
  const { contributions } = ClassStatistics.empty(constants).with(
    labels.map((label, i) => contribution(label, 3, i)),
  );
  return { name, labels, rows: { constants, contributions } };
}

/** A task with rows more, of a class that it may know. */
export function grownTask(task: TaskState, label: string, seed = 99, rows = 3): TaskState {
  const { contributions } = ClassStatistics.empty(constants).with([contribution(label, rows, seed)]);
  const added = { constants, contributions };
  const labels = [...new Set([...task.labels, label])];
  return { ...task, labels, rows: task.rows === undefined ? added : joinRows(task.rows, added) };
}

/** A task with an adapter and a head of three classes. */
export function adapterTask(name: string): TaskState {
  const saved = makeSaved();
  return { name, labels: saved.labels, saved };
}

export function sha256Of(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
