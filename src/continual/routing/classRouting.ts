import type { OutOfScopeMetrics, RouterSummary } from "../../core/record.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { Prediction } from "../answers.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import { type FittedRouter, type FitWatch, RouterFitter } from "../routers/fit.ts";
import { stageKindsOf } from "../routers/members.ts";
import { auroc, falsePositiveRateAt95, rocPoints } from "../routers/scores/outOfScope.ts";
import { contributionsOf } from "../statistics/classRows.ts";
import { dequantize } from "../statistics/fixedRows.ts";
import { ClassStatistics, withRoles } from "../statistics/statistics.ts";
import { labelledItems } from "../taskTypes/taskChecks.ts";
import type { AnswerOptions, EncodedItems, RoutedItem, TaskToLearn } from "../taskTypes/taskType.ts";
import { asExamples } from "../taskTypes/textClassification.ts";
import { goldOf, labelOf } from "../taskTypes/textScores.ts";
import type { FeatureRows, LearnedTask, RouterStage } from "../types.ts";
import { type CrossCheck, crossCheck } from "./crossCheck.ts";
import type { Fusion } from "./fusion.ts";
import type { AskHeads, Decision } from "./routedPrediction.ts";
import { StatisticsFits, type StatisticsSettings } from "./statisticsRouting.ts";
import type { CollectWatch, ReadFile, RoutedTask, TaskRouting, TaskRows } from "./taskRouting.ts";

/** The false-reject rate at which rejection is measured where a configuration names none. */
const MEASURED_REJECT_RATE = 0.05;

export interface TextRoutingSettings extends StatisticsSettings {
  /** When the likeliest tasks' heads are asked, and how much they count. */
  readonly secondPass: Fusion;
  /** Share of texts of known classes that may be rejected as unknown; absent: every text gets a label. */
  readonly rejectRate?: number;
}

/** What routes texts, and what it rests on. */
export interface TextRouter {
  readonly stage: RouterStage;
  readonly router: FittedRouter;
  readonly statistics: ClassStatistics;
}

/** How an item type is read for routing, and answered once its classes are known. */
interface TextLike<E extends EncodedItems> {
  encodings(encoded: E): readonly Encoding[];
  /** A place for the features of a test set that is asked again; undefined where it is not. */
  kept(encoded: E): { frozen?: FeatureRows } | undefined;
}

/** Routing of anything that is one text with one class. */
export abstract class ClassRouting<E extends EncodedItems> implements TaskRouting<E, TextRouter> {
  protected readonly reader: AdaptedBackbone;
  protected readonly settings: TextRoutingSettings;
  private readonly fits: StatisticsFits;
  private readonly texts: TextLike<E>;

  constructor(reader: AdaptedBackbone, settings: TextRoutingSettings, texts: TextLike<E>) {
    this.reader = reader;
    this.settings = settings;
    this.texts = texts;
    this.fits = new StatisticsFits(reader, settings, { classPrior: "uniform", kinds: stageKindsOf });
  }

  abstract route(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    encoded: E,
    options?: AnswerOptions,
  ): Promise<readonly RoutedItem[]>;

  async collect(
    task: TaskToLearn,
    train: E,
    validation: E,
    learned: LearnedTask | undefined,
    known: readonly RoutedTask[],
    { signal, onItems }: CollectWatch = {},
  ): Promise<TaskRows> {
    const { name, labels } = task;
    const among = learned === undefined ? known : [...known, { learned }];
    const rowsOf = (encoded: E, examples: TaskToLearn["train"], onTexts?: (items: number) => void) => {
      const encodings = this.texts.encodings(encoded);
      const own = labelledItems(examples, name).map(({ label }) => label);
      const how = { signal, onTexts };
      return contributionsOf(this.reader, this.settings.features, encodings, own, labels, how);
    };
    const fitted = await rowsOf(train, task.train, onItems);
    return this.fits.keep(withRoles(fitted, await rowsOf(validation, task.validation)), among);
  }

  async frozenAccuracy({ constants, contributions }: TaskRows, signal?: AbortSignal) {
    const judging = contributions.filter(({ role }) => role === "judge");
    const fitting = contributions.filter(({ role }) => role !== "judge");
    if (judging.length === 0 || fitting.length === 0) return undefined;
    // A fitter of its own: what the store's has counted is not of these rows.
    await using fitter = new RouterFitter((graph) => this.reader.compile(graph));
    const { seed } = this.settings;
    const router = await fitter.fit(ClassStatistics.empty(constants).with(fitting), {
      kind: "kernel-discriminant",
      seed,
      signal,
    });
    let [right, all] = [0, 0];
    for (const { label, rows } of judging) {
      const { values, classes } = await router.posterior(dequantize(rows), signal);
      for (let row = 0; row < rows.rows; row++, all++) {
        const own = values.subarray(row * classes, (row + 1) * classes);
        if (router.labels[own.indexOf(Math.max(...own))] === label) right += 1;
      }
    }
    return right / all;
  }

  async crossCheck(tasks: readonly RoutedTask[], signal?: AbortSignal): Promise<CrossCheck | undefined> {
    const statistics = this.fits.statistics(tasks);
    if (statistics.labels.length === 0) return undefined;
    // A fitter of its own: what the store's has counted is not of these rows.
    await using fitter = new RouterFitter((graph) => this.reader.compile(graph));
    const { immediate: kind } = this.fits.kindsFor(tasks);
    return await crossCheck(fitter, statistics, { kind, seed: this.settings.seed, signal });
  }

  consolidates(tasks: readonly RoutedTask[]): boolean {
    const { immediate, consolidated } = this.fits.kindsFor(tasks);
    return immediate !== consolidated;
  }

  async fit(tasks: readonly RoutedTask[], stage: RouterStage, watch: FitWatch = {}): Promise<TextRouter> {
    return { stage, ...(await this.fits.fit(tasks, stage, watch)) };
  }

  encodeTotals(): ReadonlyMap<string, Uint8Array> {
    return this.fits.encodeTotals();
  }

  async restoreTotals(tasks: readonly RoutedTask[], read: ReadFile): Promise<void> {
    await this.fits.restoreTotals(tasks, read);
  }

  summarize({ router, statistics }: TextRouter): RouterSummary {
    const { confident, weight, topTasks } = this.settings.secondPass;
    return {
      kind: router.kind,
      heldOutAccuracy: router.choice.heldOutAccuracy,
      retainedBytes: router.retainedBytes,
      bytesPerClass: router.retainedBytes / Math.max(1, statistics.labels.length),
      ...(topTasks > 0 && {
        secondPass: { below: Number.isFinite(confident) ? confident : null, weight, topTasks },
      }),
    };
  }

  encode({ router, statistics, stage }: TextRouter) {
    return Promise.resolve(this.fits.encode(router, statistics, stage));
  }

  async open(
    tasks: readonly RoutedTask[],
    stage: RouterStage,
    read: ReadFile,
  ): Promise<TextRouter | undefined> {
    const opened = await this.fits.open(tasks, stage, read);
    return opened && { stage, router: opened.router, statistics: opened.statistics };
  }

  /** Routing features (n, F), kept where the same texts are asked again. */
  protected async features(encoded: E, signal?: AbortSignal): Promise<FeatureRows> {
    const kept = this.texts.kept(encoded);
    const { features } = this.settings;
    const rows =
      kept?.frozen ?? (await this.reader.routingFeatures(this.texts.encodings(encoded), features, signal));
    if (kept !== undefined) kept.frozen = rows;
    return rows;
  }

  /**
   * How well texts of no known class are told from test texts.
   * @param answered the routed answers of each test set
   */
  async measureRejection(
    routing: TextRouter,
    tests: readonly E[],
    answered: readonly (readonly RoutedItem[])[],
    outside: E,
    signal?: AbortSignal,
  ): Promise<OutOfScopeMetrics> {
    const rate = this.settings.rejectRate ?? MEASURED_REJECT_RATE;
    const threshold = routing.router.unknownThreshold(rate);
    const unknownOf = async (encoded: E) =>
      (await routing.router.assess(await this.features(encoded, signal), { signal })).unknown;
    const inside: Float64Array[] = [];
    for (const test of tests) inside.push(await unknownOf(test));
    const outsideScores = await unknownOf(outside);
    const scores = inside.flatMap((own) => [...own]);
    const share = (all: ArrayLike<number>) =>
      Array.from(all).filter((score) => score > threshold).length / all.length;
    const right = tests.flatMap(({ items }, own) =>
      items.filter(
        (item, row) =>
          labelOf(answered[own]?.[row]?.answer) === goldOf(item) && inside[own]![row]! <= threshold,
      ),
    ).length;
    return {
      auroc: auroc(scores, outsideScores),
      falsePositiveRateAt95: falsePositiveRateAt95(scores, outsideScores),
      roc: rocPoints(scores, outsideScores),
      rejectRate: rate,
      inScopeAccuracy: right / scores.length,
      inScopeRejected: share(scores),
      outOfScopeRejected: share(outsideScores),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fits[Symbol.asyncDispose]();
  }
}

/** Where no head is asked. */
export const noHeads: AskHeads = () => Promise.resolve([]);

/** An answer as evaluation takes it. */
export function toItem(
  {
    label,
    score,
    task,
    top,
    unknown,
    rejected,
  }: Pick<Decision, "label" | "score" | "task" | "top"> & {
    readonly unknown?: number;
    readonly rejected?: true;
  },
  passes: number,
  tasks: readonly RoutedTask[],
  { items }: Pick<EncodedItems, "items">,
  i: number,
): RoutedItem & { readonly answer: Prediction } {
  return {
    answer: {
      text: asExamples(items.slice(i, i + 1))[0]?.text ?? "",
      label: rejected === true ? null : label,
      score,
      task: task === undefined ? "" : (tasks[task]?.name ?? ""),
      top,
      ...(unknown !== undefined && { unknown }),
      passes,
    },
    task,
  };
}
