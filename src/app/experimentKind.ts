/** What experiments of every kind have in common, so that one procedure runs them all. */
import type { LearnedTask } from "../continual/adaptedBackbone.ts";
import type { FitWatch } from "../continual/routing/fit.ts";
import type { Evaluation } from "../continual/runMetrics.ts";
import type { LearnResult } from "../continual/taskTrainer.ts";
import type { ProbedRow } from "../core/probing.ts";
import type { FloorMetrics, TaskHeader } from "../core/record.ts";
import type { FeatureSpec } from "../nn/features.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { FitEvent } from "../train/trainer.ts";
import type { LoadedBackbone } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { Timekeeper } from "./timekeeper.ts";

/** A task before it is learned, and how much data it has. */
export interface TaskOutline extends TaskHeader {
  readonly trainExamples: number;
  readonly validationExamples: number;
  readonly testExamples: number;
}

/** A stream, read and divided into tasks. */
export interface Curriculum {
  /** In the order of learning; the numbers of tasks below count along it. */
  readonly tasks: readonly TaskOutline[];
  /** SHA-256 over the bytes of the files that it was read from, hex. */
  readonly dataHash: string;
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
  /**
   * Puts the stream before a backbone, and refuses what cannot be learned there before anything is written.
   * @throws DataError, ConfigError or CheckpointError
   */
  plan(loaded: LoadedBackbone): Promise<Plan>;
}

/** A stream and a backbone that fit. */
export interface Plan {
  /** How a sentence's vector is made; a formality where none is read. */
  readonly feature: FeatureSpec;
  readonly trainableParametersPerTask: number;
  /** Of a selection network that all tasks share. */
  readonly selectorParameters?: number;
  open(): Course;
}

/** A stream that is being learned. Holds native memory: dispose of it. */
export interface Course extends AsyncDisposable {
  /** What showed once texts met the model, one sentence each. */
  readonly notes: readonly string[];
  /** Optimisation steps a task takes at most. */
  plannedSteps(task: number): number;
  /** @throws EngineError if the loss leaves the finite numbers; nothing of the task is kept then. */
  learn(task: number, signal?: AbortSignal): AsyncGenerator<FitEvent, LearnResult>;
  /**
   * What goes on learning from task to task beside the adapters takes the newest task in: once it is learned, or its
   * adapter taken from another run. Absent: nothing does.
   */
  digest?(task: number, learned: LearnedTask, watch: FitWatch): Promise<void>;
  /** Takes in the next task as it was learned, now or by an earlier run. */
  add(task: number, learned: LearnedTask): void;
  /**
   * Measures what was taken in so far, after the given task.
   * @param known what another run measured of the same adapters: what hangs on them alone need not be measured again
   */
  evaluate(task: number, time: Timekeeper, signal?: AbortSignal, known?: Evaluation): Promise<Evaluation>;
  /**
   * Probes the features that the newest task's adapter makes; those of the backbone alone before the first task.
   * Absent: the run does not probe.
   */
  probe?(
    learned: number,
    newest: LearnedTask | undefined,
    time: Timekeeper,
    signal?: AbortSignal,
  ): Promise<ProbedRow>;
  /** What a classifier without a network reaches on the stream. Absent where texts have no label. */
  floor?(signal?: AbortSignal): Promise<FloorMetrics>;
  /** What is written of a learned task. */
  save(learned: LearnedTask): SavedAdapter;
  /** Files of our own that go with the newest task's adapter, by name: what goes on learning as it is by now. */
  companions?(): ReadonlyMap<string, Uint8Array>;
  /** Files at the top of the run's folder, by name: what answers with everything taken in so far. */
  runFiles?(signal?: AbortSignal): Promise<ReadonlyMap<string, Uint8Array>>;
  /**
   * Takes up the companions of a task that an earlier run learned.
   * @param folder of the task's adapter
   * @throws CheckpointError if one is missing, damaged, or does not fit the backbone
   */
  recall?(folder: string): Promise<void>;
  /**
   * The inverse of `save`.
   * @throws CheckpointError if the adapter does not fit the backbone
   */
  restore(name: string, saved: SavedAdapter, where: string): LearnedTask;
}

export interface ExperimentKind {
  /** @throws DataError or ConfigError saying what cannot be learned from */
  load(config: ResolvedConfig): Promise<Curriculum>;
}
