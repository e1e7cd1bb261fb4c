/** What a scenario is: data, in the keys that a user writes. Only the driver knows how the product does it. */

export type BackboneName = "mini" | "bert" | "bert-layers" | "llama" | "gpt2";
export type DatasetName = "letters" | "demo" | "words" | "commands";

interface Lora {
  adapter: "lora";
  rank: number;
  alpha: number;
  dropout: number;
  bias: "none" | "all" | "lora_only";
  targetModules: string[];
  rslora: boolean;
  layers?: number;
  selector?: { kind: "newlora" | "newlora-frozen"; inference: "soft" | "hard" };
}

interface PromptTuning {
  adapter: "prompt-tuning";
  virtualTokens: number;
  init: "random" | "vocab" | { text: string };
}

export interface StatisticsRouter {
  kind: "auto" | "nearest-mean" | "lda" | "ranpac" | "softmax" | "network" | "ensemble";
  topTasks: number;
  /** Sentences have no `auto`, words no `unsure`. */
  secondPass: "off" | "unsure" | "always" | "auto";
  layers: number[];
  /** Of words. */
  featureAdapter?: "first" | "none";
  /** Of words. */
  unlabelled?: "outside" | "mark";
  rejectRate?: number;
}

/** The sections of a configuration that do not speak of data, each value named: none rests on a default. */
export interface Settings {
  method: Lora | PromptTuning;
  head: { kind: "none" } | { kind: "linear" } | { kind: "cosine"; scale: "learnable" | number };
  level: "sentence" | "word";
  outside?: "own" | "first";
  feature?: { pooling: "cls" | "mean" | "last" | "pooler" | "peft-first"; normalize: boolean };
  prompt?: string;
  router?: "none" | StatisticsRouter | { kind: "newlora" | "newlora-frozen"; topTasks: number };
  training: {
    epochs: number;
    batchSize: number;
    learningRate: number;
    headLearningRate: number;
    weightDecay: number;
    betas: [number, number];
    epsilon: number;
    schedule: "linear" | "cosine" | "constant";
    warmup: number;
    gradientClipping: number;
    earlyStopping?: { patience: number };
    maxLength: number;
    backboneDropout: boolean;
  };
  threads: number;
  seed: number;
}

interface Common {
  readonly name: string;
  readonly backbone: BackboneName;
  readonly data: DatasetName;
  /**
   * Other last bits lead to other choices: a router is trained in many steps, or holds rows out by their hash. Elsewhere it
   * is compared roughly.
   */
  readonly sensitive?: true;
}

/** An experiment over a stream. */
export interface RunScenario extends Common {
  readonly kind: "run";
  readonly settings: Settings;
  readonly stream: Readonly<Record<string, unknown>>;
  readonly probing?: readonly ("linear" | "cosine" | "prototype" | "cosine-prototype")[];
  /** Texts of no class are rejected or not. */
  readonly outOfScope?: true;
  /** Leaves out the validation file, so that a part of train takes its place. */
  readonly withoutValidation?: true;
  /** Stopped after so many steps of the task (counted from 0), or where `steps` is absent once the task is learned; then resumed. */
  readonly interrupt?: { readonly task: number; readonly steps?: number };
  /** The run whose golden this one must equal. */
  readonly equals?: string;
}

/** An experiment with the original's flags. */
export interface FlagsScenario extends Common {
  readonly kind: "flags";
  readonly flags: Readonly<Record<string, string>>;
  readonly faithful?: true;
}

export type StoreStep =
  /** A task of the data set. */
  | { readonly learn: string; readonly statisticsOnly?: true }
  /** The first `examples` texts of the label. */
  | { readonly learnClass: string; readonly examples: number; readonly task?: string }
  | { readonly forget: { readonly class: string } | { readonly task: string } }
  | { readonly rollback: "previous" | number }
  /** Asks in every form, under this name. */
  | { readonly ask: string };

/** A store that is taught step by step, and asked in the end. */
export interface StoreScenario extends Common {
  readonly kind: "store";
  readonly settings: Settings;
  /** The run that it begins as, in place of nothing. */
  readonly begin?: RunScenario;
  /** Steps of a second store; the union of both goes on with `steps`. */
  readonly merge?: readonly [first: readonly StoreStep[], second: readonly StoreStep[]];
  readonly steps: readonly StoreStep[];
}

/** A learner in memory: learns tasks of the data set, answers, saves its adapters, and another one takes them in. */
export interface LearnerScenario extends Common {
  readonly kind: "learner";
  readonly settings: Settings;
  readonly tasks: readonly string[];
}

export type Scenario = RunScenario | FlagsScenario | StoreScenario | LearnerScenario;

/** An answer to one text. */
export type Answer =
  | {
      readonly label: string | null;
      readonly score: number;
      readonly task: string;
      /** The runner-up and its score. */
      readonly next: readonly [label: string, score: number] | null;
    }
  | { readonly entities: readonly { readonly type: string; readonly score: number; readonly at: string }[] }
  | { readonly completion: string; readonly task: string };

export interface Tensor {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number | bigint> & ArrayBufferView;
}

/** What a scenario computes. */
export interface Outcome {
  /** Everything trained or counted: `<task> <part> <name>`. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Figures by their path. */
  readonly figures: ReadonlyMap<string, unknown>;
  /** By how it was asked, an answer a text of the data set's questions. */
  readonly answers: ReadonlyMap<string, readonly Answer[]>;
}
