/** A word run's router on statistics of tags: how it is opened, learns with the tasks, lies in the run's folder, and answers. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { AdaptedBackbone, LearnedTask } from "../continual/adaptedBackbone.ts";
import { RouterFitter } from "../continual/routing/fit.ts";
import { statisticsFile } from "../continual/routing/routedLearner.ts";
import { type RoutedSentence, routeWords, type WordRouting } from "../continual/routing/routedWords.ts";
import { wordSecondPasses } from "../continual/routing/types.ts";
import { chainOf, tagPairsSchema } from "../continual/routing/wordDecoding.ts";
import { WordRoutedEvaluator } from "../continual/routing/wordRoutedEvaluation.ts";
import { WordRoutedLearner, type WordRoutingSettings } from "../continual/routing/wordRoutedLearner.ts";
import type { WordTaskToLearn } from "../continual/wordLearner.ts";
import type { WordEncoding } from "../data/wordEncoding.ts";
import { sha256, sha256Json } from "../io/hash.ts";
import type { LoadedBackbone } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { OpenedRun } from "./openedRun.ts";
import { featureConstants, readCompanion, routerFile, routerSettingsOf, routingFile } from "./routing.ts";
import type { SideLearning } from "./sideLearning.ts";

export interface OpenedWordRouting {
  readonly learner: WordRoutedLearner;
  readonly evaluator: WordRoutedEvaluator;
}

function openLearner(
  settings: WordRoutingSettings,
  loaded: LoadedBackbone,
  model: AdaptedBackbone,
  seed: number,
): WordRoutedLearner {
  const constants = featureConstants(model, loaded, settings.features.layers, seed);
  // A word's features are no sentence's, whatever else is the same.
  const backbone = sha256Json([constants.backbone, "word", "mean of its tokens"]);
  return new WordRoutedLearner(model, settings, { ...constants, backbone }, seed);
}

/**
 * Unless told otherwise, words are read through the first task's adapter: it has learned to tell entities from `O`, which
 * the backbone alone was not made for, and a second pass asks it anyway.
 */
function wordSettingsOf(
  config: Pick<ResolvedConfig, "router">,
  layers: number,
): WordRoutingSettings | undefined {
  const settings = routerSettingsOf(config, layers);
  const { secondPass, featureAdapter = "first" } = config.router ?? {};
  const asked = wordSecondPasses.find((each) => each === secondPass);
  return settings && { ...settings, secondPass: asked ?? "auto", featureAdapter };
}

/** @returns undefined where no router is asked for */
export function openWordRouting(
  config: Pick<ResolvedConfig, "router" | "seed">,
  loaded: LoadedBackbone,
  model: AdaptedBackbone,
): OpenedWordRouting | undefined {
  const settings = wordSettingsOf(config, loaded.backbone.config.layers);
  if (settings === undefined) return undefined;
  const learner = openLearner(settings, loaded, model, config.seed);
  return { learner, evaluator: new WordRoutedEvaluator(model, learner) };
}

const summarySchema = z.strictObject({
  version: z.literal(2),
  level: z.literal("word"),
  kind: z.string(),
  settings: z.record(z.string(), z.number()),
  heldOutAccuracy: z.number().nullable(),
  heldOutRows: z.int().nonnegative(),
  retainedBytes: z.number().nonnegative(),
  layers: z.array(z.int().nonnegative()),
  /** By tag of the router. */
  priors: z.array(z.number()),
  pairs: tagPairsSchema,
  fusion: z.strictObject({
    outside: z.number(),
    plausible: z.number(),
    router: z.number(),
    heads: z.number(),
    topTasks: z.int().nonnegative(),
  }),
  /** SHA-256 of the router's file. */
  router: z.string(),
  /** SHA-256 of the tasks' statistics that it was fitted to, in the order of learning. */
  statistics: z.array(z.string()),
});

async function summarize(learner: WordRoutedLearner, router: Uint8Array, signal?: AbortSignal) {
  const current = await learner.current(signal);
  const { kind, settings, heldOutAccuracy, heldOutRows } = current.router.choice;
  const summary: z.infer<typeof summarySchema> = {
    version: 2,
    level: "word",
    kind,
    settings: { ...settings },
    heldOutAccuracy,
    heldOutRows,
    retainedBytes: current.router.retainedBytes,
    layers: [...current.features.layers],
    priors: [...current.priors],
    pairs: current.pairs,
    fusion: { ...current.fusion },
    router: sha256(router),
    statistics: [...learner.statisticsHashes],
  };
  return new TextEncoder().encode(`${JSON.stringify(summary, null, 2)}\n`);
}

/** What a course of words does for a router. */
export function wordRoutingSide(
  { learner }: OpenedWordRouting,
  taskAt: (index: number) => WordTaskToLearn,
): SideLearning {
  return {
    digest: (index, learned, watch) => learner.learn(taskAt(index), learned, watch),
    add: (learned) => learner.add(learned),
    companions: () => learner.files(),
    recall: (folder) => learner.recall((name) => readCompanion(folder, name)),
    runFiles: async (signal) => {
      const router = await learner.encodeRouter(signal);
      return new Map([
        [routerFile, router],
        [routingFile, await summarize(learner, router, signal)],
      ]);
    },
    [Symbol.asyncDispose]: () => learner[Symbol.asyncDispose](),
  };
}

/** Tags words without asking every adapter. Holds native memory: dispose of it. */
export interface WordRouter extends AsyncDisposable {
  /** @returns one a sentence */
  answer(encodings: readonly WordEncoding[], signal?: AbortSignal): Promise<readonly RoutedSentence[]>;
}

interface Learned {
  readonly run: OpenedRun;
  readonly model: AdaptedBackbone;
  /** In the order of learning. */
  readonly tasks: readonly LearnedTask[];
}

/** How sentences are routed in a run of this configuration; undefined where nothing routes. */
export function wordRouterOf(learned: Learned): (() => Promise<WordRouter>) | undefined {
  const { config, loaded } = learned.run;
  const settings = wordSettingsOf(config, loaded.backbone.config.layers);
  if (settings === undefined) return undefined;
  return async () => {
    const { model, tasks } = learned;
    const { routing, holder } = (await readSaved(learned, settings)) ?? (await fitAnew(learned, settings));
    return {
      answer: (encodings, signal) => routeWords(model, tasks, routing, encodings, signal),
      [Symbol.asyncDispose]: () => holder[Symbol.asyncDispose](),
    };
  };
}

interface Opened {
  readonly routing: WordRouting;
  readonly holder: AsyncDisposable;
}

/** @returns undefined unless the router in the run's folder is whole, of this version and that of these tasks */
async function readSaved(
  { run, model, tasks }: Learned,
  settings: WordRoutingSettings,
): Promise<Opened | undefined> {
  const holder = new RouterFitter((graph) => model.compile(graph));
  try {
    const summary = summarySchema.parse(JSON.parse(await readFile(join(run.path, routingFile), "utf8")));
    const bytes = await readFile(join(run.path, routerFile));
    const known = run.tasks.map(({ files }) => files[statisticsFile]);
    if (sha256(bytes) === summary.router && JSON.stringify(known) === JSON.stringify(summary.statistics)) {
      const { layers, priors, pairs, fusion } = summary;
      const router = holder.decode(bytes, join(run.path, routerFile));
      const through = settings.featureAdapter === "first" && tasks[0] && { featureAdapter: tasks[0] };
      const chain = chainOf(router.labels, pairs);
      return { routing: { router, features: { layers, ...through }, priors, chain, fusion }, holder };
    }
  } catch {
    // Whatever is wrong with these two files, the tasks' own statistics say the same.
  }
  await holder[Symbol.asyncDispose]();
  return undefined;
}

/** @throws CheckpointError if a task's statistics are missing */
async function fitAnew({ run, model, tasks }: Learned, settings: WordRoutingSettings): Promise<Opened> {
  const learner = openLearner(settings, run.loaded, model, run.config.seed);
  try {
    for (const [i, { where }] of run.tasks.entries()) {
      await learner.recall((name) => readCompanion(where, name));
      learner.add(tasks[i]!);
    }
    return { routing: await learner.current(), holder: learner };
  } catch (error) {
    await learner[Symbol.asyncDispose]();
    throw error;
  }
}
