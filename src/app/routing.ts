/** A sentence run's router on statistics of the classes: how it is opened, learns with the tasks, and lies in the run's folder. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { AdaptedBackbone } from "../continual/adaptedBackbone.ts";
import type { TaskToLearn } from "../continual/learner.ts";
import { RoutedEvaluator } from "../continual/routing/routedEvaluation.ts";
import {
  type CurrentRouting,
  RoutedLearner,
  type RouterSettings,
  type RoutingSettings,
  statisticsFile,
} from "../continual/routing/routedLearner.ts";
import { type FeatureConstants, type SecondPass, secondPasses } from "../continual/routing/types.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import type { TaskStream } from "../data/types.ts";
import { sha256, sha256Json } from "../io/hash.ts";
import type { LoadedBackbone } from "./backbone.ts";
import type { RouterConfig } from "./configFields.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { SideLearning } from "./sideLearning.ts";

/** The files at the top of a run's folder that answer without the statistics: what routes, and its numbers. */
export const routingFile = "routing.json";
export const routerFile = "router.safetensors";
export const detectorFile = "detector.safetensors";

/** The false-reject rate at which rejection is measured where a configuration names none. */
const MEASURED_REJECT_RATE = 0.05;

/** Layers of the upper half that make the routing feature at most. */
const MOST_LAYERS = 4;

/**
 * The embeddings, which know words as such, and hidden states of the upper half of the backbone, the last one among
 * them: at most four of these, evenly spread.
 * @param layers of the backbone
 */
export function defaultRoutingLayers(layers: number): readonly number[] {
  const first = Math.ceil(layers / 2);
  const count = Math.min(MOST_LAYERS, layers - first + 1);
  const step = count < 2 ? 0 : (layers - first) / (count - 1);
  const upper = Array.from({ length: count }, (_, i) => Math.round(layers - (count - 1 - i) * step));
  return [0, ...upper];
}

/** The settings of a configuration that sentences and words have alike; undefined where a network routes, or nothing. */
export function routerSettingsOf(
  { router }: Pick<ResolvedConfig, "router">,
  layers: number,
): (RouterSettings & Pick<RoutingSettings, "topTasks">) | undefined {
  if (router === undefined || router.kind === "newlora" || router.kind === "newlora-frozen") return undefined;
  const { kind, topTasks, layers: chosen = defaultRoutingLayers(layers) } = router;
  return { kind, topTasks, features: { layers: chosen } };
}

/** Settings of a router on statistics of sentences; undefined where a network routes, or nothing. */
export function routingSettingsOf(
  config: Pick<ResolvedConfig, "router">,
  layers: number,
): RoutingSettings | undefined {
  const settings = routerSettingsOf(config, layers);
  return settings && { ...settings, secondPass: secondPassOf(config.router) };
}

/** When a router of sentences asks adapters: never unless it is told to. */
export function secondPassOf(router: Pick<RouterConfig, "secondPass"> | undefined): SecondPass {
  return secondPasses.find((each) => each === router?.secondPass) ?? "off";
}

/**
 * Refuses layers that the backbone does not have, before anything is learned.
 * @throws ConfigError
 */
export function checkRouter({ router }: Pick<ResolvedConfig, "router">, { backbone }: LoadedBackbone): void {
  const { layers } = backbone.config;
  const wrong = router?.layers?.find((layer) => layer > layers);
  if (wrong === undefined) return;
  throw new ConfigError(`router.layers: the backbone has no hidden state ${wrong}`, {
    issues: [
      {
        path: "router.layers",
        expected: `numbers from 0 (the embeddings) to ${layers} (the last layer)`,
        received: String(wrong),
      },
    ],
  });
}

/** What shapes routing features: the same for the same backbone, pooling, prompt, layers and seed. */
export function featureConstants(
  model: AdaptedBackbone,
  loaded: LoadedBackbone,
  layers: readonly number[],
  seed: number,
): FeatureConstants {
  const { backbone, feature } = model.structure;
  const identity = [loaded.folder.hash, loaded.tokenizer.hash, feature.pooling, model.prompt ?? null];
  return { backbone: sha256Json(identity), layers, width: backbone.width * layers.length, seed };
}

export interface OpenedRouting {
  readonly learner: RoutedLearner;
  readonly evaluator: RoutedEvaluator;
  /** The detector of texts of no class that is kept once so many tasks are learned. */
  readonly rejecting?: { readonly rate: number; readonly afterTasks: number };
}

/** @returns undefined where no router on statistics is asked for */
export function openRouting(
  config: Pick<ResolvedConfig, "router" | "seed">,
  loaded: LoadedBackbone,
  model: AdaptedBackbone,
  { outOfScope, tasks }: Pick<TaskStream, "outOfScope" | "tasks">,
): OpenedRouting | undefined {
  const settings = routingSettingsOf(config, loaded.backbone.config.layers);
  if (settings === undefined) return undefined;
  const constants = featureConstants(model, loaded, settings.features.layers, config.seed);
  const learner = new RoutedLearner(model, settings, constants, config.seed);
  const rate = config.router?.rejectRate;
  const afterTasks = tasks.length;
  const outside = outOfScope && {
    examples: outOfScope.test,
    rejectRate: rate ?? MEASURED_REJECT_RATE,
    afterTasks,
  };
  return {
    learner,
    evaluator: new RoutedEvaluator(model, learner, outside),
    ...(rate !== undefined && { rejecting: { rate, afterTasks } }),
  };
}

const summarySchema = z.strictObject({
  version: z.literal(2),
  kind: z.string(),
  settings: z.record(z.string(), z.number()),
  heldOutAccuracy: z.number().nullable(),
  heldOutRows: z.int().nonnegative(),
  retainedBytes: z.number().nonnegative(),
  layers: z.array(z.int().nonnegative()),
  /** SHA-256 of the router's file. */
  router: z.string(),
  /** SHA-256 of the detector's file, where there is one. */
  detector: z.string().exactOptional(),
  /** SHA-256 of the tasks' statistics that it was fitted to, in the order of learning. */
  statistics: z.array(z.string()),
});

/** What `routing.json` says. */
export type RoutingSummary = z.infer<typeof summarySchema>;

function summarize(
  learner: RoutedLearner,
  current: CurrentRouting,
  router: Uint8Array,
  detector: Uint8Array | undefined,
) {
  const { kind, settings, heldOutAccuracy, heldOutRows } = current.router.choice;
  const summary: RoutingSummary = {
    version: 2,
    kind,
    settings: { ...settings },
    heldOutAccuracy,
    heldOutRows,
    retainedBytes: current.router.retainedBytes,
    layers: [...current.features.layers],
    router: sha256(router),
    ...(detector && { detector: sha256(detector) }),
    statistics: [...learner.statisticsHashes],
  };
  return new TextEncoder().encode(`${JSON.stringify(summary, null, 2)}\n`);
}

/** What a course does for a router: statistics beside each adapter, and what answers at the top of the run's folder. */
export function routingSide(
  { learner, rejecting }: OpenedRouting,
  taskAt: (index: number) => TaskToLearn,
): SideLearning {
  const encodeDetector = async (signal: AbortSignal | undefined) =>
    learner.statisticsHashes.length === rejecting?.afterTasks
      ? await learner.encodeDetector(rejecting.rate, signal)
      : undefined;
  return {
    digest: (index, _, watch) => learner.learn(taskAt(index), watch),
    companions: () => learner.files(),
    recall: (folder) => learner.recall((name) => readCompanion(folder, name)),
    runFiles: async (signal) => {
      const router = await learner.encodeRouter(signal);
      const detector = await encodeDetector(signal);
      const summary = summarize(learner, await learner.current(signal), router, detector);
      return new Map([
        [routerFile, router],
        ...(detector === undefined ? [] : [[detectorFile, detector] as const]),
        [routingFile, summary],
      ]);
    },
    [Symbol.asyncDispose]: () => learner[Symbol.asyncDispose](),
  };
}

/** @throws CheckpointError naming the file that is missing */
export async function readCompanion(
  folder: string,
  name: string,
): Promise<{ readonly bytes: Uint8Array; readonly where: string }> {
  const where = join(folder, name);
  const bytes = await readFile(where).catch((cause: unknown) => {
    const what = name === statisticsFile ? "the statistics of the task's classes are" : "this file is";
    throw new CheckpointError(`${where}: ${what} missing`, {
      cause,
      hint: "The task was learned without a router: run anew, with --adapters-from to spare the training.",
    });
  });
  return { bytes, where };
}

/** What lies at the top of a run's folder. */
export interface SavedRouting {
  readonly summary: RoutingSummary;
  readonly router: Uint8Array;
  readonly detector: Uint8Array | undefined;
}

/** @returns undefined unless it is there, whole and of this version: whoever needs it can fit anew */
export async function readRoutingSummary(folder: string): Promise<SavedRouting | undefined> {
  try {
    const parsed = summarySchema.safeParse(JSON.parse(await readFile(join(folder, routingFile), "utf8")));
    if (!parsed.success) return undefined;
    const summary = parsed.data;
    const router = await readHashed(join(folder, routerFile), summary.router);
    const detector = await readHashed(join(folder, detectorFile), summary.detector).catch(() => undefined);
    return router && { summary, router, detector };
  } catch {
    return undefined;
  }
}

/** @returns undefined where its bytes are others, or no hash is known */
async function readHashed(path: string, hash: string | undefined): Promise<Uint8Array | undefined> {
  if (hash === undefined) return undefined;
  const bytes = await readFile(path);
  return sha256(bytes) === hash ? bytes : undefined;
}
