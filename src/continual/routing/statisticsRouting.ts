/** What routing on statistics has in common for texts and words: constants, one fitter, the router's file. */
import { z } from "zod";
import { sha256, sha256Json } from "../../io/hash.ts";
import { openSealed, sealJson } from "../../io/sealed.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import { type FitOptions, type FittedRouter, type FitWatch, RouterFitter } from "../routers/fit.ts";
import { hashAdapter } from "../statistics/adapterHash.ts";
import {
  ClassStatistics,
  type Contribution,
  checkSameConstants,
  distinctContributions,
} from "../statistics/statistics.ts";
import type { FeatureConstants, LearnedTask, RoutingFeatureSpec } from "../types.ts";
import type { ReadFile, RoutedTask, TaskRows } from "./taskRouting.ts";

export const routingFile = "routing.json";
export const routerFile = "router.safetensors";

export interface StatisticsSettings {
  /** Absent: the default for what is routed. */
  readonly kind: FitOptions["kind"] | undefined;
  readonly features: RoutingFeatureSpec;
  /** Whether features are read through the first task's adapter; else the frozen backbone's alone. */
  readonly featureAdapter: "first" | "none";
  /** Hash of what computes the features beside the layers: backbone, tokenizer, pooling, prompt. */
  readonly identity: string;
  readonly seed: number;
}

const choiceSchema = z.strictObject({
  kind: z.string(),
  settings: z.record(z.string(), z.number()),
  heldOutAccuracy: z.number().nullable(),
  heldOutRows: z.int().nonnegative(),
  retainedBytes: z.number().nonnegative(),
});

const summarySchema = z.looseObject({
  version: z.literal(3),
  /** SHA-256 of what the router is a function of. */
  key: z.string(),
  /** SHA-256 of the router's file. */
  router: z.string(),
  choice: choiceSchema,
});

type Summary = z.infer<typeof summarySchema>;

/** Fits a router to tasks' statistics, once for the same ones. Holds native memory: dispose of it. */
export class StatisticsFits implements AsyncDisposable {
  readonly settings: StatisticsSettings;
  readonly fitter: RouterFitter;
  private readonly model: AdaptedBackbone;
  private readonly how: {
    readonly classPrior: NonNullable<FitOptions["classPrior"]>;
    readonly defaultKind: (statistics: ClassStatistics) => FitOptions["kind"];
    readonly draw: (statistics: ClassStatistics) => ClassStatistics;
  };
  /** The latest router and what it is a function of: learning a task may ask for it before the state that has it. */
  private latest: { readonly key: string; readonly router: Promise<FittedRouter> } | undefined;

  constructor(
    model: AdaptedBackbone,
    settings: StatisticsSettings,
    how: {
      readonly classPrior: NonNullable<FitOptions["classPrior"]>;
      /** The kind of router where the settings name none. */
      readonly defaultKind: (statistics: ClassStatistics) => FitOptions["kind"];
      readonly draw?: (statistics: ClassStatistics) => ClassStatistics;
    },
  ) {
    this.model = model;
    this.settings = settings;
    this.how = { draw: (statistics) => statistics, ...how };
    this.fitter = new RouterFitter((graph) => model.compile(graph));
  }

  /** Through whose adapter features are read. */
  featureAdapter([first]: readonly Pick<RoutedTask, "learned">[]): LearnedTask | undefined {
    return this.settings.featureAdapter === "first" ? first?.learned : undefined;
  }

  /** What shapes the features: the settings, and where features are read through it the first task's adapter. */
  constants(tasks: readonly Pick<RoutedTask, "learned">[]): FeatureConstants {
    const { features, identity, seed } = this.settings;
    const adapter = this.featureAdapter(tasks);
    return {
      backbone: identity,
      layers: features.layers,
      width: this.model.structure.backbone.width * features.layers.length,
      seed,
      ...(adapter && { featureAdapter: hashAdapter(adapter) }),
    };
  }

  /** What is kept of a task's contributions. */
  keep(contributions: readonly Contribution[], tasks: readonly Pick<RoutedTask, "learned">[]): TaskRows {
    return { constants: this.constants(tasks), contributions: distinctContributions(contributions) };
  }

  /** @throws StoreError if tasks have statistics of features that were made otherwise */
  statistics(tasks: readonly RoutedTask[]): ClassStatistics {
    const constants = this.constants(tasks);
    for (const { rows } of tasks) if (rows !== undefined) checkSameConstants(constants, rows.constants);
    const all = ClassStatistics.empty(constants).with(tasks.flatMap(({ rows }) => rows?.contributions ?? []));
    return this.how.draw(all);
  }

  /** What a router is a function of. */
  private keyOf(statistics: ClassStatistics): string {
    const { seed } = this.settings;
    const rows = statistics.contributions.map(({ id }) => id);
    return sha256Json({ kind: this.kindFor(statistics), seed, rows, constants: { ...statistics.constants } });
  }

  private kindFor(statistics: ClassStatistics): FitOptions["kind"] {
    return this.settings.kind ?? this.how.defaultKind(statistics);
  }

  async fit(
    tasks: readonly RoutedTask[],
    watch: FitWatch = {},
  ): Promise<{ readonly router: FittedRouter; readonly statistics: ClassStatistics }> {
    const statistics = this.statistics(tasks);
    const key = this.keyOf(statistics);
    if (this.latest?.key !== key) {
      const { seed } = this.settings;
      const { classPrior } = this.how;
      const router = this.fitter.fit(statistics, {
        kind: this.kindFor(statistics),
        seed,
        classPrior,
        ...watch,
      });
      this.latest = { key, router };
      // A fit that failed is no answer for the next one who asks.
      router.catch(() => {
        if (this.latest?.router === router) this.latest = undefined;
      });
    }
    return { router: await this.latest.router, statistics };
  }

  /**
   * @param extra what is saved beside the router, as plain data
   * @returns no file where the router comes from an extension that saves nothing
   */
  encode(
    router: FittedRouter,
    statistics: ClassStatistics,
    extra: Readonly<Record<string, unknown>> = {},
  ): ReadonlyMap<string, Uint8Array> {
    const bytes = this.fitter.encode(router);
    if (bytes === undefined) return new Map();
    const { kind, settings, heldOutAccuracy, heldOutRows } = router.choice;
    const { retainedBytes } = router;
    const choice = { kind, settings: { ...settings }, heldOutAccuracy, heldOutRows, retainedBytes };
    const summary: Summary = {
      version: 3,
      key: this.keyOf(statistics),
      router: sha256(bytes),
      choice,
      ...extra,
    };
    return new Map([
      [routerFile, bytes],
      [routingFile, sealJson(summary)],
    ]);
  }

  /** @returns undefined unless the files are whole, of this version, and of these very statistics */
  async open(tasks: readonly RoutedTask[], read: ReadFile) {
    const [json, bytes] = [await read(routingFile), await read(routerFile)];
    if (json === undefined || bytes === undefined) return undefined;
    const parsed = summarySchema.safeParse(openSealed(json));
    if (!parsed.success) return undefined;
    const statistics = this.statistics(tasks);
    if (parsed.data.key !== this.keyOf(statistics) || parsed.data.router !== sha256(bytes)) return undefined;
    return { router: this.fitter.decode(bytes, routerFile), statistics, summary: parsed.data };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.latest?.router.catch(() => undefined);
    await this.fitter[Symbol.asyncDispose]();
  }
}
