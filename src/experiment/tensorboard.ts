/** A run's figures as TensorBoard shows them: what events say in numbers, under tags like Avalanche's. */
import { computeFigures } from "../continual/metrics/runMetrics.ts";
import type { Evaluation } from "../continual/taskTypes/taskType.ts";
import type { RunEvent, RunHeader } from "../core/record.ts";
import { encodeFileVersion, encodeScalars, type Scalar } from "./eventFile.ts";

/** TensorBoard takes every file for its own that has `tfevents` in its name. */
export const tensorboardFile = "events.out.tfevents.accrete";

const three = (task: number) => String(task).padStart(3, "0");
const protocols = [
  ["cil", ""],
  ["til", "/til"],
  ["routed", "/routed"],
] as const;
const testStream = "eval_phase/test_stream/Task000";

/** A function of the events so far: given the same ones, it gives the same bytes. */
export class TensorboardLog {
  private header: RunHeader | undefined;
  private readonly rows = new Map<number, Evaluation>();
  /** Steps of the tasks before this one, and the last step of this one: time goes on from task to task. */
  private before = 0;
  private step = 0;
  private hasBegun = false;

  /** @returns the bytes that the event adds to the file; none where it holds no figure */
  encode(event: RunEvent): Uint8Array {
    if (event.type === "run-started") this.header = event.header;
    if (event.type === "task-started") {
      this.before += this.step;
      this.step = 0;
    }
    if (event.type === "step") this.step = event.step;
    const scalars = this.scalarsOf(event);
    const head = this.hasBegun ? new Uint8Array() : encodeFileVersion(event.time);
    this.hasBegun = true;
    if (scalars.length === 0) return head;
    return Buffer.concat([head, encodeScalars(event.time, this.before + this.step, scalars)]);
  }

  private scalarsOf(event: RunEvent): readonly Scalar[] {
    switch (event.type) {
      case "step": {
        const train = `train_phase/train_stream/Task${three(event.task)}`;
        return [
          { tag: `Loss_MB/${train}`, value: event.loss },
          { tag: `LearningRate_MB/${train}`, value: event.learningRate },
        ];
      }
      case "epoch": {
        const { task, meanLoss, validationAccuracy: accuracy } = event;
        const loss = { tag: `Loss_Epoch/train_phase/train_stream/Task${three(task)}`, value: meanLoss };
        if (accuracy === undefined) return [loss];
        return [loss, { tag: `Top1_Acc_Epoch/eval_phase/valid_stream/Task${three(task)}`, value: accuracy }];
      }
      case "evaluated":
        return [...this.experiences(event), ...this.streams(event)];
      case "words-evaluated":
        return this.streams(event);
      default:
        return [];
    }
  }

  /** Each task's test set by itself. */
  private experiences({ cil, til, routed }: Extract<RunEvent, { type: "evaluated" }>): readonly Scalar[] {
    const of = (accuracies: readonly number[] | undefined, protocol: string) =>
      (accuracies ?? []).map((value, task) => ({
        tag: `Top1_Acc_Exp/${testStream}/Exp${three(task)}${protocol}`,
        value,
      }));
    return [...of(cil, ""), ...of(til, "/til"), ...of(routed?.accuracy, "/routed")];
  }

  /** Everything learned so far together; without a suffix among all classes (class-incremental). */
  private streams(row: Evaluation): readonly Scalar[] {
    this.rows.set(row.task, row);
    const { level = "sentence", tasks = [] } = this.header ?? {};
    const figures = computeFigures(level, [...this.rows.values()], tasks);
    if (figures.level === "word")
      return protocols.flatMap(([protocol, suffix]) => [
        ...figure(`F1_Micro_Stream/${testStream}${suffix}`, figures[protocol]?.microF1),
        ...figure(`F1_Macro_Stream/${testStream}${suffix}`, figures[protocol]?.macroF1),
      ]);
    return protocols.flatMap(([protocol, suffix]) => [
      ...figure(`Top1_Acc_Stream/${testStream}${suffix}`, figures[protocol]?.averageAccuracy),
      ...figure(`StreamForgetting/eval_phase/test_stream${suffix}`, figures[protocol]?.forgetting),
      ...figure(`StreamBWT/eval_phase/test_stream${suffix}`, figures[protocol]?.backwardTransfer),
    ]);
  }
}

function figure(tag: string, value: number | undefined): readonly Scalar[] {
  return value === undefined ? [] : [{ tag, value }];
}
