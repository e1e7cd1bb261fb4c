/** Made-up records of runs: single events, and a whole run of CLINC150's size. */
import {
  computeMetrics,
  computeRoutedMetrics,
  type EvaluatedRow,
} from "../../src/continual/metrics/metrics.ts";
import { createRng } from "../../src/core/random.ts";
import type {
  BaselineMetrics,
  RunEvent,
  RunEventBody,
  RunHeader,
  RunMetrics,
  SentenceMetrics,
} from "../../src/core/record.ts";

export interface SyntheticOptions {
  readonly tasks?: number;
  readonly labelsPerTask?: number;
  readonly stepsPerTask?: number;
  readonly epochs?: number;
  /** Stop in the middle of this task's training. */
  readonly stopIn?: number;
  readonly warnings?: readonly string[];
  /** A router answers, too: its accuracy is half way between CIL's and TIL's, its passes grow. */
  readonly routed?: boolean;
  readonly baseline?: BaselineMetrics;
  readonly taskName?: (task: number) => string;
  readonly labelName?: (task: number, label: number) => string;
}

const verbs =
  "cancel change check confirm dispute find freeze lock order pay redeem replace report request transfer";
const nouns =
  "bill_balance credit_limit_change direct_deposit exchange_rate insurance_coverage interest_rate international_fees " +
  "lost_card minimum_payment new_card_application oil_change_interval pin_number_change restaurant_reservation " +
  "rewards_balance routing_number spending_history travel_notification vaccination_requirements";

function syntheticLabel(task: number, label: number): string {
  const verb = verbs.split(" ")[(task * 7 + label) % 15]!;
  const noun = nouns.split(" ")[(task * 5 + label * 11) % 18]!;
  return `${verb}_${noun}_${task}${label}`;
}

/** A run like CLINC150's, 15 tasks of 10 labels, with figures of a likely shape; every call gives the same. */
export function syntheticEvents(options: SyntheticOptions = {}): RunEvent[] {
  const { tasks = 15, stepsPerTask = 300, epochs = 5, warnings = [], stopIn } = options;
  const rng = createRng(11);
  const header = syntheticHeader(options);
  const clock = { ms: Date.UTC(2026, 2, 3, 9, 14, 7) };
  const events: RunEvent[] = [];
  const emit = (seconds: number, body: RunEventBody) => {
    clock.ms += Math.round(seconds * 1000);
    events.push({ time: new Date(clock.ms).toISOString(), ...body });
  };
  const rows: EvaluatedRow[] = [];
  const diagonal: number[] = [];
  emit(0, { type: "run-started", header });
  for (const message of warnings) emit(0, { type: "warning", message });
  for (let task = 0; task < tasks; task++) {
    const { name, labels } = header.tasks[task]!;
    emit(1, {
      type: "task-started",
      task,
      name,
      labels,
      trainExamples: labels.length * 100,
      validationExamples: labels.length * 20,
      testExamples: labels.length * 30,
      totalSteps: stepsPerTask,
    });
    const floor = 0.02 + 0.1 * rng.uniform();
    const steps = task === stopIn ? Math.floor(stepsPerTask / 2) : stepsPerTask;
    for (let step = 1; step <= steps; step++) {
      const epoch = Math.floor(((step - 1) * epochs) / stepsPerTask);
      const loss = floor + 2.3 * Math.exp((-7 * step) / stepsPerTask) * (0.8 + 0.4 * rng.uniform());
      emit(0.11, {
        type: "step",
        task,
        epoch,
        step,
        totalSteps: stepsPerTask,
        loss,
        learningRate: 5e-4 * (1 - step / stepsPerTask),
        examplesPerSecond: 140 + 10 * rng.uniform(),
        tokensPerSecond: 1700 + 100 * rng.uniform(),
        secondsLeft: (tasks - task) * 40,
      });
      if (step % Math.ceil(stepsPerTask / epochs) === 0 || step === stepsPerTask)
        emit(0.3, {
          type: "epoch",
          task,
          epoch,
          meanLoss: loss * 1.1,
          validationAccuracy: 0.97 - 0.3 * Math.exp(-epoch),
        });
    }
    if (task === stopIn) return events;
    emit(0.1, {
      type: "task-learned",
      task,
      name,
      adapter: `adapters/${name}`,
      seconds: stepsPerTask * 0.11 + 2 + 3 * rng.uniform(),
      truncatedTexts: task === 3 ? 4 : 0,
      stoppedEarly: task === 5,
    });
    const counted = header.tasks.slice(0, task + 1).map(({ labels: own }) => own.length * 30);
    diagonal.push(Math.round((0.92 + 0.08 * rng.uniform()) * counted[task]!));
    const cilCorrect = diagonal.map((correct, j) => {
      const lost = 0.025 * (task - j) + 0.02 * task * rng.uniform();
      return Math.round(correct * Math.max(0.1, 1 - (task === 0 ? 0 : lost)));
    });
    const row: EvaluatedRow = {
      type: "evaluated",
      task,
      til: diagonal.map((correct, j) => correct / counted[j]!),
      cil: cilCorrect.map((correct, j) => correct / counted[j]!),
      tilCorrect: [...diagonal],
      cilCorrect,
      counted,
      passesPerExample: task + 1,
      ...(options.routed === true && { routed: routedRow(cilCorrect, diagonal, counted) }),
      seconds: 1.4 * (task + 1),
    };
    rows.push(row);
    emit(row.seconds, row);
  }
  emit(0.2, { type: "run-finished", metrics: syntheticMetrics(rows, options.baseline) });
  return events;
}

function routedRow(
  cil: readonly number[],
  til: readonly number[],
  counted: readonly number[],
): NonNullable<EvaluatedRow["routed"]> {
  const correct = cil.map((right, j) => Math.round((right + til[j]!) / 2));
  return {
    accuracy: correct.map((right, j) => right / counted[j]!),
    correct,
    taskCorrect: correct,
    passesPerExample: 1 + 0.05 * counted.length,
  };
}

function syntheticHeader(options: SyntheticOptions): RunHeader {
  const { tasks = 15, labelsPerTask = 10, taskName = (task) => `task-${task}` } = options;
  const { labelName = syntheticLabel } = options;
  return {
    accreteVersion: "0.1.0",
    nodeVersion: "v20.19.4",
    engineVersion: "onnxruntime-node 1.30.0",
    platform: "linux x64, 2 cores",
    backbone: {
      name: "sentence-transformers/all-MiniLM-L6-v2",
      hash: "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
      parameters: 22_713_216,
    },
    dataHash: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    seed: 1,
    config: {
      backbone: "../shared/models/minilm-l6",
      "method.adapter": "lora",
      "method.rank": 4,
      "method.alpha": 8,
      "method.dropout": 0.1,
      "method.targetModules": ["query", "value"],
      head: "linear",
      "feature.pooling": "mean",
      "feature.normalize": false,
      "router.kind": "exact",
      "stream.recipe": "clinc150",
      "stream.tasks": tasks,
      "stream.classOrder": "shuffled",
      "training.epochs": 5,
      "training.batchSize": 16,
      "training.learningRate": 5e-4,
      "training.headLearningRate": 5e-3,
      "training.weightDecay": 0.01,
      "training.schedule": "linear",
      "training.maxLength": 128,
      seed: 1,
      out: "runs/clinc150",
    },
    trainableParametersPerTask: 40_714,
    tasks: Array.from({ length: tasks }, (_, task) => ({
      name: taskName(task),
      labels: Array.from({ length: labelsPerTask }, (_, label) => labelName(task, label)),
    })),
  };
}

function syntheticMetrics(rows: readonly EvaluatedRow[], baseline: BaselineMetrics | undefined): RunMetrics {
  const routed = computeRoutedMetrics(rows);
  return {
    schemaVersion: 1,
    ...computeMetrics(rows),
    ...(routed !== undefined && { routed }),
    ...(baseline !== undefined && { baseline }),
    cost: { trainSeconds: 583.4, evalSeconds: 168.2, peakRssBytes: 412_300_000 },
  };
}

export const header = {
  versions: { accrete: "0.1.0", node: "20.19.0", engine: "1.30.0" },
  backbone: { source: "./model", hash: "a".repeat(64), tokenizerHash: "b".repeat(64), architecture: "bert" },
  dataHash: "c".repeat(64),
  feature: { pooling: "mean", normalize: false },
} as const;

/** An event `seconds` after the run began. */
export function at(seconds: number, body: RunEventBody): RunEvent {
  return { time: new Date(Date.UTC(2026, 0, 1) + 1000 * seconds).toISOString(), ...body };
}

export const taskNames = ["travel", "music"] as const;

export const started: RunEventBody = {
  type: "run-started",
  header: {
    accreteVersion: "0.1.0",
    nodeVersion: "20.19.0",
    engineVersion: "1.30.0",
    platform: "linux-x64",
    backbone: { name: "./model", hash: "a".repeat(64), parameters: 22_713_216 },
    dataHash: "c".repeat(64),
    seed: 1,
    config: { seed: 1 },
    trainableParametersPerTask: 40_970,
    tasks: taskNames.map((name) => ({ name, labels: [`${name}-a`, `${name}-b`] })),
  },
};

export function stepEvent(task: number, step: number, totalSteps: number, loss = 1): RunEventBody {
  const speed = { examplesPerSecond: 100, tokensPerSecond: 1200, secondsLeft: 65 };
  return { type: "step", task, epoch: 0, step, totalSteps, loss, learningRate: 1e-3, ...speed };
}

export function evaluatedEvent(til: readonly number[], cil: readonly number[]): RunEventBody {
  return {
    type: "evaluated",
    task: til.length - 1,
    til,
    cil,
    tilCorrect: til.map((accuracy) => Math.round(accuracy * 10)),
    cilCorrect: cil.map((accuracy) => Math.round(accuracy * 10)),
    counted: til.map(() => 10),
    passesPerExample: til.length,
    seconds: 0.5,
  };
}

const protocol = {
  matrix: [
    [0.9, null],
    [0.8, 1],
  ],
  averageAccuracy: 0.9,
  sampleAccuracy: 0.9,
  averageIncrementalAccuracy: 0.9,
  forgetting: 0.1,
  backwardTransfer: -0.1,
  passesPerExample: 2,
};

export const metrics: SentenceMetrics = {
  schemaVersion: 1,
  cil: protocol,
  til: { ...protocol, passesPerExample: 1 },
  cost: { trainSeconds: 3, evalSeconds: 1, peakRssBytes: 500_000_000 },
};
