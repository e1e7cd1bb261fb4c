import { z } from "zod";
import { probeKinds } from "../core/record.ts";
import { isPrompt, promptNames } from "../data/prompts.ts";
import { type StreamSpec, streamSchema } from "../data/streamSpec.ts";
import { poolingKinds } from "../nn/features.ts";
import { checkSettings } from "./combinations.ts";

const count = z.int().min(1);
const positive = z.number().positive();
const fraction = z.number().min(0).max(1);

const selectorKind = z.enum(["newlora", "newlora-frozen"]);
type SelectorKind = z.output<typeof selectorKind>;

/** `selector: newlora` is short for `selector: { kind: newlora, inference: soft }`. */
const selectorSchema = z.union([
  selectorKind.transform((kind) => ({ kind, inference: "soft" as const })),
  z.strictObject({ kind: selectorKind, inference: z.enum(["soft", "hard", "off"]).default("soft") }),
]);

const loraSchema = z.strictObject({
  adapter: z.literal("lora").optional().default("lora"),
  rank: count.default(4),
  alpha: positive.default(8),
  dropout: z.number().min(0).lt(1).default(0.1),
  bias: z.enum(["none", "all", "lora_only"]).default("none"),
  /** Default: peft's for the backbone's architecture. */
  targetModules: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).exactOptional(),
  rslora: z.boolean().default(false),
  /** How many of the uppermost layers are adapted; default: all. */
  layers: count.exactOptional(),
  /** NewLoRA's network that says which task a text belongs to. */
  selector: selectorSchema.exactOptional(),
});

const promptTuningSchema = z.strictObject({
  adapter: z.literal("prompt-tuning"),
  virtualTokens: count.default(10),
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
  z.enum(["linear", "cosine", "none"]).transform(expandHead),
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("none") }),
    z.strictObject({ kind: z.literal("linear") }),
    z.strictObject({ kind: z.literal("cosine"), scale: cosineScale.default("learnable") }),
  ]),
]);

export type HeadConfig =
  /** The model's own language-modelling head answers with the label's words. */
  | { readonly kind: "none" }
  | { readonly kind: "linear" }
  | { readonly kind: "cosine"; readonly scale: number | "learnable" };

function expandHead(kind: HeadConfig["kind"]): HeadConfig {
  return kind === "cosine" ? { kind, scale: "learnable" } : { kind };
}

const featureSchema = z.strictObject({
  /** Default: what the model's own `1_Pooling/config.json` says, else `cls`. */
  pooling: z.enum(poolingKinds).exactOptional(),
  normalize: z.boolean().exactOptional(),
});

const beta = z.number().min(0).lt(1);

const trainingSchema = z.strictObject({
  epochs: count.default(3),
  batchSize: count.default(16),
  /** Default: by the kind of adapter, {@link defaultLearningRates}. */
  learningRate: z.number().min(0).exactOptional(),
  headLearningRate: z.number().min(0).default(5e-3),
  weightDecay: z.number().min(0).default(0.01),
  betas: z.tuple([beta, beta]).default([0.9, 0.999]),
  epsilon: positive.default(1e-8),
  schedule: z.enum(["linear", "cosine", "constant"]).default("linear"),
  /** Share of a task's steps over which the learning rate rises from 0. */
  warmup: fraction.default(0.1),
  /** Largest norm of all gradients together; 0 turns clipping off. */
  gradientClipping: z.number().min(0).default(1),
  /** Stop a task after `patience` epochs without a better validation accuracy. */
  earlyStopping: z.strictObject({ patience: count }).exactOptional(),
  /** In tokens, special ones included; longer texts are cut. */
  maxLength: z.int().min(3).default(128),
  backboneDropout: z.boolean().default(false),
});

/** What may choose the task: a router on statistics of the classes, or NewLoRA's network. */
export const routerKinds = [
  "auto",
  "nearest-mean",
  "lda",
  "kernel-lda",
  "ranpac",
  "softmax",
  "network",
  "ensemble",
  "newlora",
  "newlora-frozen",
] as const;

/** `true`: every kind; `false`, or an empty list: none. */
const probingSchema = z.union([
  z.boolean().transform((on) => (on ? [...probeKinds] : [])),
  z.array(z.enum(probeKinds)).transform((kinds) => probeKinds.filter((kind) => kinds.includes(kind))),
]);

const routerKind = z.enum(routerKinds);

export interface RouterConfig {
  readonly kind: (typeof routerKinds)[number];
  /** Tasks whose adapters a second pass asks. */
  readonly topTasks: number;
  /** Whether texts of which the first pass is not sure get a second. */
  readonly secondPass: "auto" | "always" | "off";
  /** Hidden states whose pooled vectors make the routing feature, 0 the embeddings'. */
  readonly layers?: readonly number[];
  /** Features are read through the first task's adapter in place of the frozen backbone alone; default: false. */
  readonly firstSession?: boolean;
  /** Share of texts of known classes that may be taken for unknown; absent: every text gets a label. */
  readonly rejectRate?: number;
}

/** `router: lda` is short for `router: { kind: lda }`. */
const routerSchema = z.union([
  routerKind.transform((kind): RouterConfig => ({ kind, topTasks: 1, secondPass: "auto" })),
  z.strictObject({
    kind: routerKind.default("auto"),
    topTasks: z.int().min(1).max(2).default(1),
    secondPass: z.enum(["auto", "always", "off"]).default("auto"),
    layers: z.array(z.int().min(0)).min(1).exactOptional(),
    firstSession: z.boolean().exactOptional(),
    rejectRate: z.number().gt(0).lt(1).exactOptional(),
  }),
]);

/** Every key with its type and default; {@link configSchema} adds the rules between them. */
export const configFields = z.strictObject({
  /** A folder (absolute after loading) or a hub id such as `org/name`. */
  backbone: z.string().min(1),
  backboneRevision: z.string().min(1).exactOptional(),
  method: methodSchema.prefault({}),
  router: routerSchema.exactOptional(),
  head: headSchema.prefault("linear"),
  level: z.enum(["sentence", "word"]).default("sentence"),
  feature: featureSchema.prefault({}),
  /** How a sentence is put before the model. With `head: none` default `default`, else as it is. */
  prompt: z
    .string()
    .refine(isPrompt, { error: `one of ${promptNames.join(", ")}, or a text with {text} once` })
    .exactOptional(),
  stream: streamSchema,
  training: trainingSchema.prefault({}),
  /** Classifiers fitted before the first and after each task on features as they are then: what an adapter did to them. */
  probing: probingSchema.exactOptional(),
  precision: z.literal("float32").default("float32"),
  /** Threads of the engine; default: the physical cores. */
  threads: count.exactOptional(),
  seed: z.int().min(0).default(1),
  /** The run folder, absolute after loading. */
  out: z.string().min(1),
});

type Fields = z.output<typeof configFields>;

interface KeyRule {
  readonly path:
    | readonly [section: keyof Fields]
    | readonly [section: "stream" | "feature" | "method", key: string];
  readonly broken: (config: Fields) => boolean;
  readonly message: string;
}

function refusedKeys(keys: readonly (keyof Fields["stream"])[], message: (key: string) => string): KeyRule[] {
  return keys.map((key) => ({
    path: ["stream", key],
    broken: ({ stream }) => stream[key] !== undefined,
    message: message(key),
  }));
}

/** Which keys go with which level. */
const levelRules: { readonly [L in Fields["level"]]: readonly KeyRule[] } = {
  sentence: refusedKeys(
    ["base", "increment", "typeOrder", "sampling"],
    (key) => `${key} divides entity types: it goes with level: word`,
  ),
  word: [
    ...refusedKeys(
      ["recipe", "outOfScope", "tasks", "firstTasks", "testTexts", "taskList", "domains", "classOrder"],
      (key) => `at level: word tasks are made of entity types by base and increment: leave ${key} out`,
    ),
    {
      path: ["stream", "base"],
      broken: ({ stream }) => stream.path === undefined && stream.base === undefined,
      message: "level: word needs base, the number of entity types of the first task",
    },
    {
      path: ["stream", "test"],
      broken: ({ stream }) => stream.path === undefined && stream.test === undefined,
      message: "level: word needs test, a CoNLL file",
    },
    {
      path: ["stream", "format"],
      broken: ({ stream }) =>
        stream.format !== undefined && (stream.path === undefined || stream.format !== "continual"),
      message: "at level: word train and test are CoNLL files, or path is a folder of the two-file layout",
    },
    {
      path: ["stream", "path"],
      broken: ({ stream }) =>
        stream.path !== undefined &&
        (stream.base ?? stream.increment ?? stream.typeOrder ?? stream.sampling) !== undefined,
      message:
        "at level: word the folder of path has a division of its own: leave base, increment, typeOrder and sampling out",
    },
    {
      path: ["prompt"],
      broken: ({ prompt }) => prompt !== undefined,
      message: "a prompt is put around a sentence: at level: word there is none",
    },
    {
      path: ["feature", "pooling"],
      broken: ({ feature }) => feature.pooling !== undefined || feature.normalize !== undefined,
      message: "a feature is a sentence's vector: at level: word every word is classified by its own",
    },
  ],
};

/** What goes without a head. */
const headRules: readonly KeyRule[] = [
  {
    path: ["feature", "pooling"],
    broken: ({ head, feature }) =>
      head.kind === "none" && (feature.pooling !== undefined || feature.normalize !== undefined),
    message: "a feature is what a head reads: with head: none there is none",
  },
];

function hasSelector({ method }: Fields): boolean {
  return method.adapter === "lora" && method.selector !== undefined;
}

/** What lies below the layers that are adapted is the same for all tasks. */
const layerRules: readonly KeyRule[] = [
  {
    path: ["method", "layers"],
    broken: ({ method }) => method.adapter === "lora" && method.layers !== undefined && method.bias === "all",
    message: "bias: all trains the biases of every layer: with layers take bias: lora_only or none",
  },
];

/** What a selection network needs beside it. */
const selectorRules: readonly KeyRule[] = [
  {
    path: ["method", "selector"],
    broken: (config) => hasSelector(config) && config.level === "word",
    message: "a selector reads a sentence's vector: at level: word there is none",
  },
  {
    path: ["method", "selector"],
    broken: (config) => hasSelector(config) && config.head.kind === "none",
    message: "a selector weighs heads: it goes with head: linear or cosine",
  },
];

function routesBySelector({ router }: Pick<Fields, "router">): SelectorKind | undefined {
  return router?.kind === "newlora" || router?.kind === "newlora-frozen" ? router.kind : undefined;
}

/** What a router needs beside it. */
const routerRules: readonly KeyRule[] = [
  {
    path: ["router"],
    broken: (config) => routesBySelector(config) !== undefined && config.level === "word",
    message: "NewLoRA's network reads a sentence's vector: at level: word take a router on statistics",
  },
  {
    path: ["router"],
    broken: ({ router, level }) => router?.rejectRate !== undefined && level === "word",
    message: "a word of no known type is O: rejectRate belongs to level: sentence",
  },
  {
    path: ["router"],
    broken: (config) => routesBySelector(config) !== undefined && config.head.kind === "none",
    message: "NewLoRA's network weighs heads: it goes with head: linear or cosine",
  },
  {
    path: ["router"],
    broken: ({ router, head }) =>
      head.kind === "none" && (router?.secondPass === "always" || router?.rejectRate !== undefined),
    message: "without heads a router chooses the adapter that answers: leave secondPass and rejectRate out",
  },
  {
    path: ["router"],
    broken: (config) => routesBySelector(config) !== undefined && config.method.adapter !== "lora",
    message: "newlora and newlora-frozen go with adapter: lora",
  },
  {
    path: ["method", "selector"],
    broken: (config) => {
      const kind = routesBySelector(config);
      if (kind === undefined || config.method.adapter !== "lora") return false;
      const { selector } = config.method;
      return selector !== undefined && (selector.kind !== kind || selector.inference === "off");
    },
    message:
      "router names another selector than method.selector, or one that is not asked: leave one of the two out",
  },
  {
    path: ["router"],
    broken: (config) => {
      const { router } = config;
      if (router === undefined || routesBySelector(config) === undefined) return false;
      return (router.layers ?? router.rejectRate ?? router.firstSession) !== undefined;
    },
    message:
      "layers, firstSession and rejectRate belong to routers on statistics, not to newlora and newlora-frozen",
  },
];

function probes({ probing = [] }: Fields): boolean {
  return probing.length > 0;
}

/** Probes read what a head reads. */
const probingRules: readonly KeyRule[] = [
  {
    path: ["probing"],
    broken: (config) => probes(config) && config.level === "word",
    message: "probes read sentences' vectors: at level: word there is none, leave probing out",
  },
  {
    path: ["probing"],
    broken: (config) => probes(config) && config.head.kind === "none",
    message: "probes read the vector that a head reads: they go with head: linear or cosine",
  },
];

function withLearningRate<C extends Pick<Fields, "method" | "training">>(config: C) {
  const { method, training } = config;
  const learningRate = training.learningRate ?? defaultLearningRates[method.adapter];
  return { ...config, training: { ...training, learningRate } };
}

/** A router that is a selection network needs the network. */
function withSelector<C extends Pick<Fields, "method" | "router">>(config: C): C {
  const { method } = config;
  const kind = routesBySelector(config);
  if (kind === undefined || method.adapter !== "lora" || method.selector !== undefined) return config;
  return { ...config, method: { ...method, selector: { kind, inference: "soft" } } };
}

const checkedFields = configFields.superRefine((config, context) => {
  const rules = [
    ...levelRules[config.level],
    ...headRules,
    ...layerRules,
    ...selectorRules,
    ...routerRules,
    ...probingRules,
  ];
  for (const { path, broken, message } of rules)
    if (broken(config)) context.addIssue({ code: "custom", path: [...path], message });
  const { method, head, level } = config;
  const verdict = checkSettings({ adapter: method.adapter, head: head.kind, level });
  if (!verdict.allowed)
    context.addIssue({ code: "custom", path: ["head"], message: `${verdict.reason}: ${verdict.hint}` });
});

/** A whole configuration: its rules hold, and what one setting decides of another's default is filled in. */
export const configSchema = checkedFields.transform((config) => withSelector(withLearningRate(config)));

/** Read-only all the way down. */
export type DeepReadonly<T> = T extends (...args: never[]) => unknown
  ? T
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** A checked configuration: every default filled in, every path absolute, frozen. */
export type ResolvedConfig = DeepReadonly<Omit<z.output<typeof configSchema>, "stream">> & {
  readonly stream: StreamSpec;
};

/**
 * What the configuration will know one day. Naming it gets a plain refusal, where the nearest known key
 * would be a misleading answer to someone who followed the documentation of a later version.
 */
export const laterKeys: Readonly<Record<string, string>> = {};

export const laterValues: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  precision: { bfloat16: "other precisions", float16: "other precisions", int8: "other precisions" },
};
