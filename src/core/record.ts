/**
 * The record of a run: what `events.jsonl` and `metrics.json` hold. Producers (the learner) and consumers
 * (terminal, report, server) agree on these types and on nothing else.
 */

/** `matrix[k][j]`: after learning task k, measured on task j; null where j > k. Fractions, never percent. */
export type AccuracyMatrix = readonly (readonly (number | null)[])[];

/** One protocol's figures; the formulas stand at `computeMetrics`. An undefined figure is absent. */
export interface ProtocolMetrics {
  readonly matrix: AccuracyMatrix;
  readonly averageAccuracy: number;
  readonly sampleAccuracy: number;
  readonly averageIncrementalAccuracy: number;
  readonly forgetting?: number;
  readonly backwardTransfer?: number;
  readonly forwardTransfer?: number;
  /** Forward passes of the backbone one prediction costs after the last task, without caches. */
  readonly passesPerExample: number;
}

export interface RunCost {
  /** Learning all tasks: tokenising, building the graph and starting sessions included; evaluation not. */
  readonly trainSeconds: number;
  readonly evalSeconds: number;
  readonly peakRssBytes: number;
}

export interface RunMetrics {
  readonly schemaVersion: 1;
  readonly cil: ProtocolMetrics;
  readonly til: ProtocolMetrics;
  readonly cost: RunCost;
}

/** What is known of a run before its first task. */
export interface RunHeader {
  readonly accreteVersion: string;
  readonly nodeVersion: string;
  readonly engineVersion: string;
  readonly platform: string;
  readonly backbone: { readonly name: string; readonly hash: string; readonly parameters: number };
  readonly dataHash: string;
  readonly seed: number;
  /** One line a setting, resolved: `method.rank` → `4`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly trainableParametersPerTask: number;
  readonly tasks: readonly { readonly name: string; readonly labels: readonly string[] }[];
}

/** `time` is ISO 8601 in UTC; `task` counts from 0. */
export type RunEvent = { readonly time: string } & RunEventBody;

export type RunEventBody =
  | { readonly type: "run-started"; readonly header: RunHeader }
  | { readonly type: "run-resumed"; readonly finishedTasks: number }
  | { readonly type: "warning"; readonly message: string }
  | {
      readonly type: "task-started";
      readonly task: number;
      readonly name: string;
      readonly labels: readonly string[];
      readonly trainExamples: number;
      readonly validationExamples: number;
      readonly testExamples: number;
      readonly totalSteps: number;
    }
  | {
      readonly type: "step";
      readonly task: number;
      readonly epoch: number;
      readonly step: number;
      readonly totalSteps: number;
      readonly loss: number;
      readonly learningRate: number;
      readonly examplesPerSecond: number;
      readonly tokensPerSecond: number;
      /** Estimated seconds until the whole run is done. */
      readonly secondsLeft: number;
    }
  | {
      readonly type: "epoch";
      readonly task: number;
      readonly epoch: number;
      readonly meanLoss: number;
      /** Accuracy on the task's own validation data, where there is any and it was asked for. */
      readonly validationAccuracy?: number;
    }
  | {
      readonly type: "task-learned";
      readonly task: number;
      readonly name: string;
      readonly adapter: string;
      readonly seconds: number;
      readonly truncatedTexts: number;
      readonly stoppedEarly: boolean;
    }
  | {
      readonly type: "evaluated";
      readonly task: number;
      /** Row k of each matrix: entries for tasks 0…k. */
      readonly til: readonly number[];
      readonly cil: readonly number[];
      /** Correct and counted test examples a task, for accuracies over samples. */
      readonly tilCorrect: readonly number[];
      readonly cilCorrect: readonly number[];
      readonly counted: readonly number[];
      readonly passesPerExample: number;
      readonly seconds: number;
    }
  | { readonly type: "run-finished"; readonly metrics: RunMetrics };
