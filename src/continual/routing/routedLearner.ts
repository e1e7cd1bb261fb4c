// Dimensions: n texts, F routing features, C classes.
/** What routes, as it goes on learning from task to task: statistics of the classes, and a router fitted to them. */
import type { LabelledExample } from "../../data/types.ts";
import type { AdaptedBackbone } from "../adaptedBackbone.ts";
import type { TaskToLearn } from "../learner.ts";
import { contributionsOf, withRoles } from "./classRows.ts";
import type { FittedRouter, FitWatch } from "./fit.ts";
import { fusionOf, type SecondPassSettings } from "./fusion.ts";
import type { OutOfScopeDetector } from "./outOfScope.ts";
import type { Routing } from "./routedPrediction.ts";
import type { ClassStatistics } from "./statistics.ts";
import { type FileBytes, StatisticsRouter } from "./statisticsRouter.ts";
import type { FeatureConstants, RouterKind, RoutingFeatureSpec } from "./types.ts";

/** The file beside a task's adapter: its classes' rows. */
export const statisticsFile = "statistics.safetensors";

/** What a router of sentences and one of words are fitted by. */
export interface RouterSettings {
  readonly kind: RouterKind | "auto";
  readonly features: RoutingFeatureSpec;
}

export interface RoutingSettings extends RouterSettings, SecondPassSettings {}

/** What routes by now, and what it rests on. */
export interface CurrentRouting extends Routing {
  readonly router: FittedRouter;
  readonly statistics: ClassStatistics;
}

/**
 * Learns to route: a task's texts become rows of its classes, and a router is fitted to all rows so far. Its settings are
 * chosen on the rows of validation texts by fits without them; the fit that answers takes them in. Without validation texts
 * some of the train rows choose.
 * Holds native memory: dispose of it.
 */
export class RoutedLearner implements AsyncDisposable {
  readonly settings: RoutingSettings;
  private readonly model: AdaptedBackbone;
  private readonly followed: StatisticsRouter;
  private newest: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(model: AdaptedBackbone, settings: RoutingSettings, constants: FeatureConstants, seed: number) {
    const { kind } = settings;
    this.model = model;
    this.settings = settings;
    this.followed = new StatisticsRouter((graph) => model.compile(graph), constants, { kind, seed });
  }

  /** Learns to route among one task more, and fits the router that then answers. */
  async learn(task: TaskToLearn, watch: FitWatch = {}): Promise<void> {
    const { features } = this.settings;
    const { signal } = watch;
    const rowsOf = (examples: readonly LabelledExample[], part: string) =>
      contributionsOf(this.model, features, examples, task.labels, `${part} of ${task.name}`, { signal });
    const { contributions: train } = await rowsOf(task.train, "train");
    const { contributions: judging } = await rowsOf(task.validation, "validation");
    const bytes = this.followed.learn(withRoles(train, judging));
    await this.followed.router(watch);
    this.newest = new Map([[statisticsFile, bytes]]);
  }

  /** What routes among everything learned so far. */
  async current(signal?: AbortSignal): Promise<CurrentRouting> {
    const { features } = this.settings;
    const { statistics } = this.followed;
    const router = await this.followed.router({ signal });
    return { router, features, fusion: fusionOf(this.settings), statistics };
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
   * Takes up what an earlier run learned of the next task.
   * @param read gives a file beside its adapter
   * @throws StoreError if the file is damaged, or was made of other features
   */
  async recall(read: (name: string) => Promise<FileBytes>): Promise<void> {
    this.followed.recall(await read(statisticsFile));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.followed[Symbol.asyncDispose]();
  }
}
