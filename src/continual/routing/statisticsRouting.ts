/** What routing on statistics has in common for texts and words: constants, one fitter, the router's file. */
import { z } from "zod";
import { AccreteError } from "../../core/errors.ts";
import { openSealed, sealJson } from "../../io/sealed.ts";
import { sha256, sha256Json } from "../../portable/hash.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import { type FitOptions, type FittedRouter, type FitWatch, RouterFitter } from "../routers/fit.ts";
import type { StageKinds } from "../routers/members.ts";
import { hashAdapter } from "../statistics/adapterHash.ts";
import {
  ClassStatistics,
  type Contribution,
  checkSameConstants,
  distinctContributions,
} from "../statistics/statistics.ts";
import type { FeatureConstants, LearnedTask, RouterStage, RoutingFeatureSpec } from "../types.ts";
import type { ReadFile, RoutedTask, TaskRows } from "./taskRouting.ts";

export const routingFile = "routing.json";
export const routerFile = "router.safetensors";
export const totalsFile = "totals.safetensors";

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

/** A file that is damaged or of another release is as none: what it holds can be made anew. */
function unlessUnreadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof AccreteError) return undefined;
    throw error;
  }
}

/** Fits a router to tasks' statistics, once for the same ones. Holds native memory: dispose of it. */
export class StatisticsFits implements AsyncDisposable {
  readonly settings: StatisticsSettings;
  readonly fitter: RouterFitter;
  private readonly model: AdaptedBackbone;
  private readonly how: {
    readonly classPrior: NonNullable<FitOptions["classPrior"]>;
    readonly kinds: (kind: FitOptions["kind"] | undefined, statistics: ClassStatistics) => StageKinds;
    readonly draw: (statistics: ClassStatistics) => ClassStatistics;
  };
  /** The latest routers, by what they are a function of: learning a task may ask for one before the state that has it. */
  private readonly latest = new Map<
    RouterStage,
    { readonly key: string; readonly router: Promise<FittedRouter> }
  >();

  constructor(
    model: AdaptedBackbone,
    settings: StatisticsSettings,
    how: {
      readonly classPrior: NonNullable<FitOptions["classPrior"]>;
      /** The kinds of routers that go with the kind that the settings name. */
      readonly kinds: (kind: FitOptions["kind"] | undefined, statistics: ClassStatistics) => StageKinds;
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
  private keyOf(statistics: ClassStatistics, stage: RouterStage): string {
    const { seed } = this.settings;
    const rows = [...statistics.contributions, ...statistics.outside].map(({ id }) => id);
    const kind = this.kinds(statistics)[stage];
    return sha256Json({ kind, seed, rows, constants: { ...statistics.constants } });
  }

  private kinds(statistics: ClassStatistics): StageKinds {
    return this.how.kinds(this.settings.kind, statistics);
  }

  /** The kinds of both stages for the tasks' statistics. */
  kindsFor(tasks: readonly RoutedTask[]): StageKinds {
    return this.kinds(this.statistics(tasks));
  }

  async fit(
    tasks: readonly RoutedTask[],
    stage: RouterStage,
    watch: FitWatch = {},
  ): Promise<{ readonly router: FittedRouter; readonly statistics: ClassStatistics }> {
    const statistics = this.statistics(tasks);
    const key = this.keyOf(statistics, stage);
    let known = this.latest.get(stage);
    if (known?.key !== key) {
      const { seed } = this.settings;
      const { classPrior } = this.how;
      const kind = this.kinds(statistics)[stage];
      const router = this.fitter.fit(statistics, { kind, seed, classPrior, ...watch });
      known = { key, router };
      this.latest.set(stage, known);
      // A fit that failed is no answer for the next one who asks.
      router.catch(() => {
        if (this.latest.get(stage)?.router === router) this.latest.delete(stage);
      });
    }
    return { router: await known.router, statistics };
  }

  /**
   * @param stage that the router was fitted for
   * @param extra what is saved beside the router, as plain data
   * @returns no file where the router comes from an extension that saves nothing
   */
  encode(
    router: FittedRouter,
    statistics: ClassStatistics,
    stage: RouterStage,
    extra: Readonly<Record<string, unknown>> = {},
  ): ReadonlyMap<string, Uint8Array> {
    const bytes = this.fitter.encode(router);
    if (bytes === undefined) return new Map();
    const { kind, settings, heldOutAccuracy, heldOutRows } = router.choice;
    const { retainedBytes } = router;
    const choice = { kind, settings: { ...settings }, heldOutAccuracy, heldOutRows, retainedBytes };
    const summary: Summary = {
      version: 3,
      key: this.keyOf(statistics, stage),
      router: sha256(bytes),
      choice,
      ...extra,
    };
    return new Map([
      [routerFile, bytes],
      [routingFile, sealJson(summary)],
    ]);
  }

  /** What the fit of a next state goes on from. */
  encodeTotals(): ReadonlyMap<string, Uint8Array> {
    const bytes = this.fitter.encodeTotals();
    return new Map(bytes === undefined ? [] : [[totalsFile, bytes]]);
  }

  /** Goes on from what another process counted for these tasks; a file that is damaged is as none. */
  async restoreTotals(tasks: readonly RoutedTask[], read: ReadFile): Promise<void> {
    if (!this.fitter.countedNothing) return;
    const bytes = await read(totalsFile);
    if (bytes === undefined) return;
    unlessUnreadable(() => this.fitter.restoreTotals(bytes, totalsFile, this.statistics(tasks)));
  }

  /** @returns undefined unless the files are whole, of this version, and of these very statistics */
  async open(tasks: readonly RoutedTask[], stage: RouterStage, read: ReadFile) {
    const [json, bytes] = [await read(routingFile), await read(routerFile)];
    if (json === undefined || bytes === undefined) return undefined;
    const parsed = summarySchema.safeParse(openSealed(json));
    if (!parsed.success) return undefined;
    const statistics = this.statistics(tasks);
    if (parsed.data.key !== this.keyOf(statistics, stage) || parsed.data.router !== sha256(bytes))
      return undefined;
    const router = unlessUnreadable(() => this.fitter.decode(bytes, routerFile));
    if (router === undefined) return undefined;
    this.fitter.remember(router, statistics);
    return { router, statistics, summary: parsed.data };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { router } of this.latest.values()) await router.catch(() => undefined);
    await this.fitter[Symbol.asyncDispose]();
  }
}
