/** A whole configuration: the keys of the fields, and the rules between them. */
import type { z } from "zod";
import type { StreamSpec } from "../data/streamSpec.ts";
import { checkSettings } from "./combinations.ts";
import {
  configFields,
  defaultLearningRates,
  type Fields,
  type ModelFields,
  modelFields,
  type RouterConfig,
  type SelectorKind,
} from "./fields.ts";

/** A rule between keys. */
interface KeyRule<F> {
  readonly path: readonly [section: string, key?: string];
  readonly broken: (config: F) => boolean;
  readonly message: string;
}

type ModelRule = KeyRule<ModelFields>;
type RunRule = KeyRule<Fields>;
type Level = Fields["level"];

function refusedKeys(keys: readonly (keyof Fields["stream"])[], message: (key: string) => string): RunRule[] {
  return keys.map((key) => ({
    path: ["stream", key],
    broken: ({ stream }) => stream[key] !== undefined,
    message: message(key),
  }));
}

/** Which keys of a stream go with which level. */
const streamRules: { readonly [L in Level]: readonly RunRule[] } = {
  sentence: refusedKeys(
    ["base", "increment", "typeOrder", "sampling", "wordColumn"],
    (key) => `${key} is about tagged words: it goes with level: word`,
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
      message: "level: word needs test, a file of tagged sentences",
    },
    {
      path: ["stream", "format"],
      broken: ({ stream }) =>
        stream.format !== undefined && (stream.path === undefined || stream.format !== "continual"),
      message:
        "at level: word the files of train and test say what they are; path is a folder of the two-file layout",
    },
    {
      path: ["stream", "path"],
      broken: ({ stream }) =>
        stream.path !== undefined &&
        (stream.base ?? stream.increment ?? stream.typeOrder ?? stream.sampling ?? stream.wordColumn) !==
          undefined,
      message:
        "at level: word the folder of path has a division of its own: leave base, increment, typeOrder, sampling and wordColumn out",
    },
  ],
};

function secondPassAmong(kinds: readonly string[], message: string): ModelRule {
  return {
    path: ["router", "secondPass"],
    broken: ({ router }) => router?.secondPass !== undefined && !kinds.includes(router.secondPass),
    message,
  };
}

/** Which keys of a model go with which level. */
const levelRules: { readonly [L in Level]: readonly ModelRule[] } = {
  sentence: [
    {
      path: ["router", "featureAdapter"],
      broken: ({ router }) => router?.featureAdapter !== undefined,
      message: "a router of sentences reads the frozen backbone alone: featureAdapter goes with level: word",
    },
    {
      path: ["router", "unlabelled"],
      broken: ({ router }) => router?.unlabelled !== undefined,
      message: "entities without tags are a matter of words: unlabelled goes with level: word",
    },
    {
      path: ["outside"],
      broken: ({ outside }) => outside === "first",
      message: "O is a tag of words: outside goes with level: word",
    },
    secondPassAmong(["off", "unsure", "always"], "at level: sentence one of off, unsure, always"),
    {
      path: ["router", "topTasks"],
      broken: ({ router }) => router?.topTasks === "auto" || router?.topTasks === 3,
      message: "at level: sentence 1 or 2",
    },
  ],
  word: [
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
    {
      path: ["training", "longText"],
      broken: ({ training }) => training.longText === "window",
      message: "windows are averaged to a text's vector: at level: word there is none, and sentences are cut",
    },
    secondPassAmong(["auto", "always", "off"], "at level: word one of auto, always, off"),
  ],
};

/** What goes without a head. */
const headRules: readonly ModelRule[] = [
  {
    path: ["feature", "pooling"],
    broken: ({ head, feature }) =>
      head.kind === "none" && (feature.pooling !== undefined || feature.normalize !== undefined),
    message: "a feature is what a head reads: with head: none there is none",
  },
  {
    path: ["training", "longText"],
    broken: ({ head, training }) => head.kind === "none" && training.longText === "window",
    message: "windows are averaged to the vector that a head reads: with head: none there is none",
  },
];

function hasSelector({ method }: Pick<ModelFields, "method">): boolean {
  return method.adapter === "lora" && method.selector !== undefined;
}

/** What lies below the layers that are adapted is the same for all tasks. */
const layerRules: readonly ModelRule[] = [
  {
    path: ["method", "layers"],
    broken: ({ method }) => method.adapter === "lora" && method.layers !== undefined && method.bias === "all",
    message: "bias: all trains the biases of every layer: with layers take bias: lora_only or none",
  },
];

/** What a selection network needs beside it. */
const selectorRules: readonly ModelRule[] = [
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

/** NewLoRA's network, where it routes. */
export function routesBySelector({
  router,
}: {
  readonly router?: Partial<NonNullable<ModelFields["router"]>> | undefined;
}): SelectorKind | undefined {
  return router?.kind === "newlora" || router?.kind === "newlora-frozen" ? router.kind : undefined;
}

/** What a router needs beside it. */
const routerRules: readonly ModelRule[] = [
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
      head.kind === "none" && ((router?.secondPass ?? "off") !== "off" || router?.rejectRate !== undefined),
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
      return (router.layers ?? router.rejectRate) !== undefined;
    },
    message: "layers and rejectRate belong to routers on statistics, not to newlora and newlora-frozen",
  },
];

function probes({ probing = [] }: Fields): boolean {
  return probing.length > 0;
}

/** Probes read what a head reads. */
const probingRules: readonly RunRule[] = [
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

function withLearningRate<C extends Pick<ModelFields, "method" | "training">>(config: C) {
  const { method, training } = config;
  const learningRate = training.learningRate ?? defaultLearningRates[method.adapter];
  return { ...config, training: { ...training, learningRate } };
}

/** A router that is a selection network needs the network. */
function withSelector<C extends Pick<ModelFields, "method" | "router">>(config: C): C {
  const { method } = config;
  const kind = routesBySelector(config);
  if (kind === undefined || method.adapter !== "lora" || method.selector !== undefined) return config;
  return { ...config, method: { ...method, selector: { kind, inference: "soft" } } };
}

/** When a router asks adapters where it is not said. */
const defaultSecondPass = { sentence: "off", word: "auto" } as const;
const defaultTopTasks = { sentence: 1, word: "auto" } as const;

function withSecondPass<C extends Pick<ModelFields, "level" | "router">>(config: C): C {
  const { level, router } = config;
  if (router === undefined) return config;
  const { secondPass = defaultSecondPass[level], topTasks = defaultTopTasks[level] } = router;
  return { ...config, router: { ...router, topTasks, secondPass } };
}

function withDefaults<C extends Pick<ModelFields, "method" | "training" | "level" | "router">>(config: C) {
  return withSecondPass(withSelector(withLearningRate(config)));
}

/** Where a rule that is broken is told. */
interface Context {
  addIssue(issue: { readonly code: "custom"; readonly path: string[]; readonly message: string }): void;
}

function applyRules<F>(rules: readonly KeyRule<F>[], config: F, context: Context): void {
  for (const { path, broken, message } of rules)
    if (broken(config))
      context.addIssue({ code: "custom", path: path.filter((key) => key !== undefined), message });
}

const deviceRules: readonly ModelRule[] = [
  {
    path: ["precision"],
    broken: ({ device, precision }) => device === "webgpu" && precision === "int8",
    message: "products of bytes are computed by the processor: with device: webgpu, precision must be fp32",
  },
];

function checkModel(config: ModelFields, context: Context): void {
  const rules = [
    ...levelRules[config.level],
    ...headRules,
    ...layerRules,
    ...selectorRules,
    ...routerRules,
    ...deviceRules,
  ];
  applyRules(rules, config, context);
  const { method, head, level } = config;
  const verdict = checkSettings({ adapter: method.adapter, head: head.kind, level });
  if (!verdict.allowed)
    context.addIssue({ code: "custom", path: ["head"], message: `${verdict.reason}: ${verdict.hint}` });
}

/** What a store and a learner are made from: the rules hold, and what one setting decides of another's default is filled in. */
export const modelSchema = modelFields.superRefine(checkModel).transform((config) => withDefaults(config));

/** As written; all but `backbone` have defaults. */
export type ModelConfig = z.input<typeof modelFields>;
export type ModelSettings = DeepReadonly<z.output<typeof modelSchema>>;

/** The router of a run; `none` is none, and stays in what was resolved, lest it become the default. */
function routerOf({ level, router }: Pick<Fields, "level" | "router">): RouterConfig | undefined {
  if (router === "none") return undefined;
  if (level !== "word") return router;
  // A run takes all it can from a task's sentences; what is to forget and merge says otherwise, or begins as a store.
  return { unlabelled: "mark", ...(router ?? { kind: "auto" }) };
}

function withRouter({ router: asked, ...config }: Fields) {
  const router = routerOf({ ...config, router: asked });
  return { ...config, ...(router && { router }) };
}

/** The configuration of a run. */
export const configSchema = configFields
  .superRefine((config, context) => {
    checkModel(withRouter(config), context);
    applyRules([...streamRules[config.level], ...probingRules], config, context);
  })
  .transform((config) => {
    const filled = withDefaults(withRouter(config));
    return { ...filled, ...(config.router === "none" && { router: config.router }) };
  });

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
