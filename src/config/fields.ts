/** Every key of a configuration with its type and default. */

import { z } from "zod";
import { routerMembers } from "../continual/routers/members.ts";
import { routerKinds as statisticsKinds } from "../continual/types.ts";
import { probeKinds } from "../core/record.ts";
import { nameSchema } from "../core/registry.ts";
import { isPrompt, promptNames } from "../data/encoding/prompts.ts";
import { streamSchema } from "../data/streamSpec.ts";
import { multipliesBytes } from "../io/processor.ts";
import { poolingKinds } from "../nn/features.ts";

/** A million of anything counted here is a slip of the keyboard, and would only fail for lack of memory. */
const count = z.int().min(1).max(1_000_000);
const positive = z.number().positive();
const fraction = z.number().min(0).max(1);

const selectorKind = z.enum(["newlora", "newlora-frozen"]);
export type SelectorKind = z.output<typeof selectorKind>;

/** `selector: newlora` is short for `selector: { kind: newlora, inference: soft }`. */
const selectorSchema = z.union([
  selectorKind.transform((kind) => ({ kind, inference: "soft" as const })),
  z.strictObject({ kind: selectorKind, inference: z.enum(["soft", "hard", "off"]).default("soft") }),
]);

const loraSchema = z.strictObject({
  adapter: z.literal("lora").optional().default("lora"),
  /** r: inner width of the two matrices. */
  rank: count.max(10_000).default(4),
  /** The update is scaled by alpha/r, with `rslora` by alpha/√r. */
  alpha: positive.default(8),
  /** Of what enters an adapter, in training. */
  dropout: z.number().min(0).lt(1).default(0.1),
  /** Which biases of the backbone are trained too, as peft names them. */
  bias: z.enum(["none", "all", "lora_only"]).default("none"),
  /** Default: peft's for the backbone's architecture. */
  targetModules: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).optional(),
  /** Rank-stabilised LoRA (Kalajdzievski 2023). */
  rslora: z.boolean().default(false),
  /** How many of the uppermost layers are adapted; default: all. */
  layers: count.optional(),
  /** NewLoRA's network that says which task a text belongs to. */
  selector: selectorSchema.optional(),
});

const promptTuningSchema = z.strictObject({
  adapter: z.literal("prompt-tuning"),
  /** Trained vectors before every text. */
  virtualTokens: count.max(10_000).default(10),
  /** The first values: drawn by chance, words of the vocabulary, a text's words, or a text chosen by the task. */
  init: z
    .union([z.enum(["auto", "random", "vocab"]), z.strictObject({ text: z.string().min(1) })])
    .default("auto"),
});

const methodSchema = z.discriminatedUnion("adapter", [loraSchema, promptTuningSchema]);

/** Peak learning rates of adapters where a configuration names none; docs/results.md says how they were chosen. */
export const defaultLearningRates: {
  readonly [A in z.output<typeof methodSchema>["adapter"]]: number;
} = { lora: 5e-4, "prompt-tuning": 5e-3 };

const cosineScale = z.union([z.literal("learnable"), positive]);

/** `head: cosine` is short for `head: { kind: cosine, scale: learnable }`. */
const headSchema = z.union([
  z.enum(["linear", "cosine", "own", "none"]).transform(expandHead),
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("none") }),
    z.strictObject({ kind: z.literal("linear") }),
    z.strictObject({ kind: z.literal("own") }),
    z.strictObject({ kind: z.literal("cosine"), scale: cosineScale.default("learnable") }),
  ]),
]);

export type SelectorConfig = z.output<typeof selectorSchema>;

export type HeadConfig =
  /** The model's own language-modelling head answers with the label's words. */
  | { readonly kind: "none" }
  | { readonly kind: "linear" }
  /** The head that transformers has for the backbone's family, on the feature that it reads. */
  | { readonly kind: "own" }
  | { readonly kind: "cosine"; readonly scale: number | "learnable" };

function expandHead(kind: HeadConfig["kind"]): HeadConfig {
  return kind === "cosine" ? { kind, scale: "learnable" } : { kind };
}

const featureSchema = z.strictObject({
  /** Default: what the model's own `1_Pooling/config.json` says, else `cls`. */
  pooling: z.enum(poolingKinds).optional(),
  /** Brings the vector to length 1; default: what the model's own files say, else not. */
  normalize: z.boolean().optional(),
});

const beta = z.number().min(0).lt(1);

const trainingSchema = z.strictObject({
  /** Passes over a task's train data. */
  epochs: count.default(3),
  /** Optimisation steps a task at least: few texts are gone through more often. Default: 0 in a run, 60 in a store. */
  minSteps: z.int().min(0).max(1_000_000).optional(),
  /** Texts, or sentences, a step. */
  batchSize: count.default(16),
  /** Default: by the kind of adapter: 5e-4 with LoRA, 5e-3 with prompts. */
  learningRate: z.number().min(0).optional(),
  /** Peak learning rate of heads. */
  headLearningRate: z.number().min(0).default(5e-3),
  /** Decoupled, as in AdamW. */
  weightDecay: z.number().min(0).default(0.01),
  /** AdamW's decay of the two moments. */
  betas: z.tuple([beta, beta]).default([0.9, 0.999]),
  /** AdamW's, in the denominator. */
  epsilon: positive.default(1e-8),
  /** How the learning rate falls after the warm-up. */
  schedule: z.enum(["linear", "cosine", "constant"]).default("linear"),
  /** Share of a task's steps over which the learning rate rises from 0. */
  warmup: fraction.default(0.1),
  /** Largest norm of all gradients together; 0 turns clipping off. */
  gradientClipping: z.number().min(0).default(1),
  /** Stop a task after `patience` epochs without a better validation accuracy. */
  earlyStopping: z.strictObject({ patience: count }).optional(),
  /** In tokens, special ones included; longer texts are cut. */
  maxLength: z.int().min(3).max(1_000_000).default(128),
  /** What becomes of texts beyond `maxLength`; default: `truncate`. `window`: they are read in parts, whose vectors are averaged. */
  longText: z.enum(["truncate", "window"]).optional(),
  /** Whether the frozen backbone's own dropout is on in training. */
  backboneDropout: z.boolean().default(false),
});

/** What may choose the task: a router on statistics of the classes, or NewLoRA's network. */
export const routerKinds = ["auto", ...statisticsKinds, "newlora", "newlora-frozen"] as const;

/** `true`: every kind; `false`, or an empty list: none. */
const probingSchema = z.union([
  z.boolean().transform((on) => (on ? [...probeKinds] : [])),
  z.array(z.enum(probeKinds)).transform((kinds) => probeKinds.filter((kind) => kinds.includes(kind))),
]);

const secondPassKinds = ["auto", "unsure", "always", "off"] as const;

const routerKind = nameSchema(routerKinds, () => routerMembers.names());

export interface RouterConfig {
  /** One of {@link routerKinds}, or a kind that an extension registered. */
  readonly kind: string;
  /** Tasks whose adapters a second pass asks. Default: 1; of words `auto`, as many as do best on validation sentences. */
  readonly topTasks?: number | "auto" | undefined;
  /**
   * Who gets a second pass, through adapters. Texts: `off` (default) nobody, `unsure` those whose likeliest class is below 0.8,
   * `always` all. Words: `auto` (default) where it gains on validation sentences, `always`, `off`.
   */
  readonly secondPass?: (typeof secondPassKinds)[number] | undefined;
  /** Hidden states whose pooled vectors make the routing feature, 0 the embeddings'. */
  readonly layers?: readonly number[] | undefined;
  /** At word level, whether features are read through the first task's adapter or the frozen backbone alone; default: `first`. */
  readonly featureAdapter?: "first" | "none" | undefined;
  /** At word level, what entities of earlier types are that a new task's sentences have no tags of; default: in runs `mark`, else `outside`. */
  readonly unlabelled?: "outside" | "mark" | undefined;
  /** Share of texts of known classes that may be taken for unknown; absent: every text gets a label. */
  readonly rejectRate?: number | undefined;
}

/** `router: lda` is short for `router: { kind: lda }`. */
const routerForms = [
  routerKind.transform((kind): RouterConfig => ({ kind })),
  z.strictObject({
    kind: routerKind.default("auto"),
    topTasks: z.union([z.literal("auto"), z.int().min(1).max(3)]).optional(),
    secondPass: z.enum(secondPassKinds).optional(),
    layers: z.array(z.int().min(0)).min(1).optional(),
    featureAdapter: z.enum(["first", "none"]).optional(),
    unlabelled: z.enum(["outside", "mark"]).optional(),
    rejectRate: z.number().gt(0).lt(1).optional(),
  }),
] as const;
const routerSchema = z.union(routerForms);

/** Every key; the schema of a whole configuration adds the rules between them. */
export const configFields = z.strictObject({
  /** Modules that register routers, metrics and stream formats, as paths; absolute after loading. */
  extensions: z.array(z.string().min(1)).optional(),
  /** A folder (absolute after loading) or a hub id such as `org/name`. */
  backbone: z.string().min(1),
  /** Commit, branch or tag of a hub model. */
  backboneRevision: z.string().min(1).optional(),
  /** What is trained of a task beside its head. */
  method: methodSchema.prefault({}),
  /**
   * What chooses among tasks beside exact answers; `none`: nothing does. A store and a learner have one by default, and a
   * run of words.
   */
  router: z.union([...routerForms, z.literal("none")]).optional(),
  /** What turns a vector into labels; `none`: the language model answers in words. */
  head: headSchema.prefault("linear"),
  /** What gets a label: a text, or each word. */
  level: z.enum(["sentence", "word"]).default("sentence"),
  /**
   * At `level: word`, whose `O` a word is compared with: every head's own, or the first task's for all, as the original has
   * it.
   */
  outside: z.enum(["own", "first"]).default("own"),
  /** How a text's vector is made. */
  feature: featureSchema.prefault({}),
  /** How a sentence is put before the model. With `head: none` default `default`, else as it is. */
  prompt: z
    .string()
    .refine(isPrompt, { error: `one of ${promptNames.join(", ")}, or a text with {text} once` })
    .optional(),
  /** Which data, and how it is divided into tasks. */
  stream: streamSchema,
  /** How an adapter and its head are trained. */
  training: trainingSchema.prefault({}),
  /** Classifiers fitted before the first and after each task on features as they are then: what an adapter did to them. */
  probing: probingSchema.optional(),
  /**
   * Of the frozen linear layers: float32, or 8 bits; `auto`: 8 bits where the processor multiplies bytes exactly, settled when
   * a run or store begins. All else is computed in float32. `float32` stands in folders of before there was a choice.
   */
  precision: z
    .enum(["fp32", "int8", "auto", "float32"])
    .default("fp32")
    .transform((asked) => (asked === "int8" || (asked === "auto" && multipliesBytes()) ? "int8" : "fp32")),
  /** Where graphs are computed; default `cpu`. `webgpu`: a GPU through Vulkan, Metal or Direct3D 12. */
  device: z.enum(["cpu", "webgpu"]).optional(),
  /** Threads of the engine; default: the physical cores. */
  threads: count.optional(),
  /** Of a store: versions before the present one that are kept to go back to; default 20. */
  keepVersions: z.int().min(0).max(1_000_000).optional(),
  /** Of every random choice of training. */
  seed: z.int().min(0).default(1),
  /** The run folder, absolute after loading. */
  out: z.string().min(1),
});

export type Fields = z.output<typeof configFields>;

/** The sections that do not speak of data: what a store and a learner are made from. */
export const modelFields = configFields
  .pick({
    extensions: true,
    backbone: true,
    backboneRevision: true,
    precision: true,
    device: true,
    method: true,
    router: true,
    head: true,
    level: true,
    outside: true,
    feature: true,
    prompt: true,
    training: true,
    threads: true,
    keepVersions: true,
    seed: true,
  })
  .extend({ router: routerSchema.optional() });

export type ModelFields = z.output<typeof modelFields>;
