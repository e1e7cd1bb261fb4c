// Dimensions: n texts, F routing features, C classes.
/** What routes, as it goes on learning from task to task: statistics of the classes, a router fitted to them, a gate. */
import { z } from "zod";
import type { LabelledExample } from "../../data/types.ts";
import type { AdaptedBackbone, LearnedTask } from "../adaptedBackbone.ts";
import type { TaskToLearn } from "../learner.ts";
import { contributionsOf } from "./classRows.ts";
import { parseJson } from "./contributionFile.ts";
import type { FittedRouter, FitWatch } from "./fit.ts";
import {
  addFusionCounts,
  chooseFusion,
  type FusionCounts,
  fusionCountsSchema,
  type SecondPass,
} from "./fusionFit.ts";
import type { OutOfScopeDetector } from "./outOfScope.ts";
import type { Routing } from "./routedPrediction.ts";
import { countSecondPass, type HeldOutTask, withRoles } from "./secondPassCounts.ts";
import type { ClassStatistics } from "./statistics.ts";
import { type FileBytes, StatisticsRouter } from "./statisticsRouter.ts";
import type { FeatureConstants, RouterKind, RoutingFeatureSpec } from "./types.ts";

/** The files beside a task's adapter: its classes' rows, and what a second pass did to its held-out texts. */
export const statisticsFile = "statistics.safetensors";
export const fusionFile = "fusion.json";

export interface RoutingSettings {
  readonly kind: RouterKind | "auto";
  readonly features: RoutingFeatureSpec;
  /** Tasks that a second pass asks. */
  readonly topTasks: number;
  readonly secondPass: SecondPass;
}

const fusionFileSchema = z.strictObject({ version: z.literal(1), ...fusionCountsSchema.unwrap().shape });

function encodePart(statistics: Uint8Array, counts: FusionCounts): ReadonlyMap<string, Uint8Array> {
  return new Map([
    [statisticsFile, statistics],
    [fusionFile, encodeCounts(counts)],
  ]);
}

/** The bytes of {@link fusionFile}. */
export function encodeCounts(counts: FusionCounts): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ version: 1, ...counts }, null, 1)}\n`);
}

/** @throws StoreError naming `where` */
export function decodeCounts(bytes: Uint8Array, where: string): FusionCounts {
  const { version: _, ...counts } = parseJson(fusionFileSchema, new TextDecoder().decode(bytes), where);
  return counts;
}

/** What routes by now, and what it rests on. */
export interface CurrentRouting extends Routing {
  readonly router: FittedRouter;
  readonly counts: FusionCounts;
  readonly statistics: ClassStatistics;
}

/**
 * Learns to route: a task's texts become rows of its classes, and a router is fitted to all rows so far. Its settings, and
 * whether a second pass gains anything, are chosen on the rows of validation texts by fits without them; the fit that
 * answers takes them in. The adapters that mislead on those texts are those of earlier tasks. Without validation texts
 * some of the train rows choose, and nothing speaks for a second pass.
 * Holds native memory: dispose of it.
 */
export class RoutedLearner implements AsyncDisposable {
  readonly settings: RoutingSettings;
  private readonly model: AdaptedBackbone;
  private readonly followed: StatisticsRouter;
  private readonly learned: LearnedTask[] = [];
  /** What a second pass did to the held-out texts of each task. */
  private readonly counts: FusionCounts[] = [];
  private newest: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(model: AdaptedBackbone, settings: RoutingSettings, constants: FeatureConstants, seed: number) {
    const { kind } = settings;
    this.model = model;
    this.settings = settings;
    this.followed = new StatisticsRouter((graph) => model.compile(graph), constants, { kind, seed });
  }

  /** Learns to route among one task more, and fits the router that then answers. */
  async learn(task: TaskToLearn, learned: LearnedTask, watch: FitWatch = {}): Promise<void> {
    const { features } = this.settings;
    const { signal } = watch;
    const rowsOf = (examples: readonly LabelledExample[], part: string) =>
      contributionsOf(this.model, features, examples, task.labels, `${part} of ${task.name}`, { signal });
    const { contributions: train } = await rowsOf(task.train, "train");
    const { contributions: judging } = await rowsOf(task.validation, "validation");
    const bytes = this.followed.learn(withRoles(train, judging));
    const heldOut = { examples: task.validation, judging };
    const router = await this.followed.router(watch);
    const counts = await this.count(router, heldOut, [...this.learned, learned], signal);
    this.counts.push(counts);
    this.newest = encodePart(bytes, counts);
  }

  /** Takes the newest task's adapter in, learned now or by an earlier run. */
  add(learned: LearnedTask): void {
    this.learned.push(learned);
  }

  private async count(
    router: FittedRouter,
    heldOut: HeldOutTask,
    among: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<FusionCounts> {
    const { topTasks, secondPass } = this.settings;
    if (secondPass === "off" || heldOut.examples.length === 0) return addFusionCounts([]);
    const tasks = among.map((learned) => ({ ...learned, learned }));
    return countSecondPass(this.model, tasks, router, heldOut, topTasks, signal);
  }

  /** What routes among everything learned so far. */
  async current(signal?: AbortSignal): Promise<CurrentRouting> {
    const { features, topTasks, secondPass } = this.settings;
    const { statistics } = this.followed;
    const counts = addFusionCounts(this.counts);
    return {
      router: await this.followed.router({ signal }),
      features,
      fusion: chooseFusion(counts, topTasks, secondPass),
      counts,
      statistics,
    };
  }

  /** As {@link StatisticsRouter.detector}. */
  detector(falseRejectRate: number, signal?: AbortSignal): Promise<OutOfScopeDetector> {
    return this.followed.detector(falseRejectRate, signal);
  }

  /** As {@link StatisticsRouter.encodeDetector}. */
  encodeDetector(falseRejectRate: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.followed.encodeDetector(falseRejectRate, signal);
  }

  /** The files that go with the newest task's adapter, by name. */
  files(): ReadonlyMap<string, Uint8Array> {
    return this.newest;
  }

  /** As {@link StatisticsRouter.encode}. */
  encodeRouter(signal?: AbortSignal): Promise<Uint8Array> {
    return this.followed.encode(signal);
  }

  /** As {@link StatisticsRouter.hashes}. */
  get statisticsHashes(): readonly string[] {
    return this.followed.hashes;
  }

  /**
   * Takes up what an earlier run learned of the next task; its adapter is {@link add}'s.
   * @param read gives a file beside its adapter
   * @throws StoreError if a file is damaged, or was made of other features
   */
  async recall(read: (name: string) => Promise<FileBytes>): Promise<void> {
    const rows = await read(statisticsFile);
    const { bytes, where } = await read(fusionFile);
    const counts = decodeCounts(bytes, where);
    this.followed.recall(rows);
    this.counts.push(counts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.followed[Symbol.asyncDispose]();
  }
}
