// Dimensions: n texts, F routing features, C classes, T tasks.
/** Routing of texts by statistics of their classes: a head's label, or whose adapter answers in words. */
import type { OutOfScopeMetrics, RouterSummary } from "../../core/record.ts";
import { softmax } from "../../core/softmax.ts";
import { type Encoding, encodeAll } from "../../data/encoding/tokenizer.ts";
import { sha256 } from "../../io/hash.ts";
import { type Answer, checkTop, DEFAULT_TOP, type Prediction, rankLabels } from "../answers.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { GenerativeBackbone } from "../passes/generativeBackbone.ts";
import { Detectors } from "../rejection/detectors.ts";
import type { OutOfScopeDetector } from "../rejection/outOfScope.ts";
import { auroc, falsePositiveRateAt95 } from "../rejection/rejection.ts";
import type { FittedRouter, FitWatch } from "../routers/fit.ts";
import { stageKindsOf } from "../routers/stages.ts";
import { contributionsOf } from "../statistics/classRows.ts";
import { type ClassStatistics, withRoles } from "../statistics/statistics.ts";
import { labelledItems } from "../taskTypes/taskChecks.ts";
import type { AnswerOptions, EncodedItems, RoutedItem, TaskToLearn } from "../taskTypes/taskType.ts";
import { asExamples, type EncodedTexts } from "../taskTypes/textClassification.ts";
import type { EncodedPrompts } from "../taskTypes/textGeneration.ts";
import { goldOf, labelOf } from "../taskTypes/textScores.ts";
import { type FeatureRows, type LearnedTask, type RouterStage, rowOf } from "../types.ts";
import { type Fusion, firstPassOnly } from "./fusion.ts";
import { type AskHeads, askingHeads, type Decision, decide, route } from "./routedPrediction.ts";
import { StatisticsFits, type StatisticsSettings } from "./statisticsRouting.ts";
import type { CollectWatch, ReadFile, RoutedTask, TaskRouting, TaskRows } from "./taskRouting.ts";

export const detectorFile = "detector.safetensors";

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
  /** Fitted when it is first asked, or read from its file. */
  detector?: Promise<OutOfScopeDetector>;
}

/** How an item type is read for routing, and answered once its classes are known. */
interface TextLike<E extends EncodedItems> {
  encodings(encoded: E): readonly Encoding[];
  /** A place for the features of a test set that is asked again; undefined where it is not. */
  kept(encoded: E): { frozen?: FeatureRows } | undefined;
}

/** Routing of anything that is one text with one class. */
abstract class ClassRouting<E extends EncodedItems> implements TaskRouting<E, TextRouter> {
  protected readonly reader: AdaptedBackbone;
  protected readonly settings: TextRoutingSettings;
  private readonly fits: StatisticsFits;
  private readonly detectors: Detectors;
  private readonly texts: TextLike<E>;

  constructor(reader: AdaptedBackbone, settings: TextRoutingSettings, texts: TextLike<E>) {
    this.reader = reader;
    this.settings = settings;
    this.texts = texts;
    this.fits = new StatisticsFits(reader, settings, { classPrior: "uniform", kinds: stageKindsOf });
    this.detectors = new Detectors(this.fits.fitter);
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

  async encode(routing: TextRouter, _tasks: readonly RoutedTask[], watch: FitWatch = {}) {
    const { router, statistics, stage } = routing;
    const { rejectRate } = this.settings;
    if (rejectRate === undefined) return this.fits.encode(router, statistics, stage);
    const bytes = this.detectors.encode(await this.detector(routing, rejectRate, watch.signal));
    const files = this.fits.encode(router, statistics, stage, { detector: sha256(bytes), rejectRate });
    return files.size === 0 ? files : new Map([...files, [detectorFile, bytes]]);
  }

  async open(
    tasks: readonly RoutedTask[],
    stage: RouterStage,
    read: ReadFile,
  ): Promise<TextRouter | undefined> {
    const opened = await this.fits.open(tasks, stage, read);
    if (opened === undefined) return undefined;
    const { router, statistics, summary } = opened;
    const routing: TextRouter = { stage, router, statistics };
    const bytes = await read(detectorFile);
    if (
      bytes !== undefined &&
      summary.detector === sha256(bytes) &&
      summary.rejectRate === this.settings.rejectRate
    )
      routing.detector = Promise.resolve(this.detectors.decode(bytes, detectorFile));
    return routing;
  }

  /** @param rate share of held-out texts of known classes that may be called unknown */
  protected detector(routing: TextRouter, rate: number, signal?: AbortSignal): Promise<OutOfScopeDetector> {
    const { statistics } = routing;
    routing.detector ??= this.detectors.fit(statistics, { falseRejectRate: rate, signal });
    const { detector } = routing;
    // A fit that failed is no answer for the next one who asks.
    detector.catch(() => {
      if (routing.detector === detector) delete routing.detector;
    });
    return detector;
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
    const detector = await this.detector(routing, rate, signal);
    const inside: Float64Array[] = [];
    for (const test of tests) inside.push(await detector.score(await this.features(test, signal), signal));
    const outsideScores = await detector.score(await this.features(outside, signal), signal);
    const scores = inside.flatMap((own) => [...own]);
    const share = (all: ArrayLike<number>) =>
      Array.from(all).filter((score) => score > detector.threshold).length / all.length;
    const right = tests.flatMap(({ items }, own) =>
      items.filter(
        (item, row) =>
          labelOf(answered[own]?.[row]?.answer) === goldOf(item) && inside[own]![row]! <= detector.threshold,
      ),
    ).length;
    return {
      auroc: auroc(scores, outsideScores),
      falsePositiveRateAt95: falsePositiveRateAt95(scores, outsideScores),
      rejectRate: detector.falseRejectRate,
      inScopeAccuracy: right / scores.length,
      inScopeRejected: share(scores),
      outOfScopeRejected: share(outsideScores),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fits[Symbol.asyncDispose]();
  }
}

/** The router names the class; where it is not sure, the likeliest tasks' heads are asked too. */
export class TextRouting extends ClassRouting<EncodedTexts> {
  constructor(reader: AdaptedBackbone, settings: TextRoutingSettings) {
    super(reader, settings, { encodings: ({ encodings }) => encodings, kept: ({ kept }) => kept });
  }

  async route(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    encoded: EncodedTexts,
    { top = DEFAULT_TOP, only, signal }: AnswerOptions = {},
  ): Promise<readonly RoutedItem[]> {
    checkTop(top);
    const { secondPass, features, rejectRate } = this.settings;
    if (only !== undefined) return await this.routeWithin(routing, tasks[only]!, encoded, top, signal);
    const { router } = routing;
    if (encoded.kept !== undefined) return await this.routeTest(routing, tasks, encoded, top, signal);
    const detector = rejectRate === undefined ? undefined : await this.detector(routing, rejectRate, signal);
    const how = { router, features, fusion: secondPass, ...(detector && { detector }) };
    const answers = await route(this.reader, tasks, how, encoded.encodings, { top, signal });
    return answers.map((answer, i) => toItem(answer, answer.passes, tasks, encoded, i));
  }

  /** A test set is asked after every task: what passes gave is kept, and the first pass is told apart. */
  private async routeTest(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    encoded: EncodedTexts,
    top: number,
    signal?: AbortSignal,
  ): Promise<readonly RoutedItem[]> {
    const { router } = routing;
    const posterior = await router.posterior(await this.features(encoded, signal), signal);
    const how = { router, fusion: this.settings.secondPass };
    const alone = await decide(posterior, tasks, { router, fusion: firstPassOnly }, noHeads, 1);
    const decided = await decide(posterior, tasks, how, this.headsOn(encoded, tasks, signal), top);
    return decided.map((decision, i) => ({
      ...toItem(decision, this.reader.routedPassesOf(decision.asked), tasks, encoded, i),
      first: toItem(alone[i]!, 1, tasks, encoded, i).answer,
      asked: decision.asked,
    }));
  }

  /** The logits that are kept already, or adapters above the trunk that was kept of the texts. */
  private headsOn(
    { encodings, kept }: EncodedTexts,
    tasks: readonly RoutedTask[],
    signal?: AbortSignal,
  ): AskHeads {
    return async (asked, rows) => {
      if (rows.length === 0) return [];
      const known = tasks.map(({ learned }) => learned && kept?.logits.get(learned));
      if (asked.every((task) => known[task] !== undefined))
        return rows.map((row, i) => rowOf(known[asked[i]!]!, row));
      const trunk = await this.reader.trunkRows(encodings, signal);
      return await askingHeads(this.reader, tasks, encodings, signal, trunk)(asked, rows);
    };
  }

  /** Chooses among the classes of a task that has statistics alone. */
  private async routeWithin(
    routing: TextRouter,
    { name, labels }: RoutedTask,
    encoded: EncodedTexts,
    top: number,
    signal?: AbortSignal,
  ): Promise<readonly RoutedItem[]> {
    const { router } = routing;
    const { values, classes } = await router.posterior(await this.features(encoded, signal), signal);
    const columns = router.labels.flatMap((label, i) => (labels.includes(label) ? i : []));
    const names = columns.map((column) => router.labels[column] ?? "");
    return asExamples(encoded.items).map(({ text }, row) => {
      const logs = columns.map((column) => values[row * classes + column] ?? Number.NEGATIVE_INFINITY);
      const ranked = rankLabels(names, softmax(logs), top);
      const [best = { label: "", score: 0 }] = ranked;
      return { answer: { text, ...best, task: name, top: ranked, passes: 1 }, task: undefined };
    });
  }
}

const noHeads: AskHeads = () => Promise.resolve([]);

function toItem(
  {
    label,
    score,
    task,
    top,
    unknown,
  }: Pick<Decision, "label" | "score" | "task" | "top"> & { readonly unknown?: true },
  passes: number,
  tasks: readonly RoutedTask[],
  { items }: Pick<EncodedItems, "items">,
  i: number,
): RoutedItem & { readonly answer: Prediction } {
  return {
    answer: {
      text: asExamples(items.slice(i, i + 1))[0]?.text ?? "",
      label: unknown === true ? null : label,
      score,
      task: task === undefined ? "" : (tasks[task]?.name ?? ""),
      top,
      ...(unknown === true && { unknown }),
      passes,
    },
    task,
  };
}

/** The router's pass, and the chosen adapter's. */
const PASSES_OF_AN_ANSWER = 2;

/** The router chooses the task of each text, and that task's adapter the label among its own. */
export class GenerationRouting extends ClassRouting<EncodedPrompts> {
  private readonly model: GenerativeBackbone;

  constructor(model: GenerativeBackbone, reader: AdaptedBackbone, settings: TextRoutingSettings) {
    super(reader, settings, {
      encodings: ({ items }) => reader.encode(asExamples(items)).encodings,
      kept: ({ kept }) => kept,
    });
    this.model = model;
  }

  async route(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    encoded: EncodedPrompts,
    { top = DEFAULT_TOP, signal }: AnswerOptions = {},
  ): Promise<readonly RoutedItem[]> {
    checkTop(top);
    const chosen = await this.choose(routing, tasks, await this.features(encoded, signal), signal);
    const texts = asExamples(encoded.items);
    const items: RoutedItem[] = chosen.map((decision, i) => ({
      // A task of statistics alone has no adapter that could answer: the router's own label stands.
      answer: toItem(decision, 1, tasks, encoded, i).answer,
      task: decision.task,
      first: toItem(decision, 1, tasks, encoded, i).answer,
    }));
    for (const [index, { learned, labels }] of tasks.entries()) {
      const own = [...items.keys()].filter((i) => chosen[i]?.task === index);
      if (own.length === 0 || learned === undefined) continue;
      const prompts = own.map((i) => encoded.prompts[i]!);
      const scores = await this.model.scores(learned, prompts, labels, signal);
      own.forEach((i, row) => {
        const ranked = rankLabels(labels, softmax(scores[row]!), top);
        const [best = { label: "", score: 0 }] = ranked;
        const { text } = texts[i]!;
        const answer: Answer = {
          text,
          ...best,
          task: learned.name,
          top: ranked,
          passes: PASSES_OF_AN_ANSWER,
        };
        items[i] = { ...items[i]!, answer };
      });
    }
    return items;
  }

  /**
   * The router learned from texts inside the prompt; a text that is given whole is what stands there already, so nothing is
   * put around it.
   */
  async chooseTasks(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    texts: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly (number | undefined)[]> {
    const { tokenizer, maxTextTokens } = this.reader;
    const { encodings } = encodeAll(
      tokenizer,
      texts.map((text) => ({ text })),
      maxTextTokens,
      "prompt",
    );
    const { features } = this.settings;
    const rows = await this.reader.routingFeatures(encodings, features, signal);
    return (await this.choose(routing, tasks, rows, signal)).map(({ task }) => task);
  }

  private async choose(
    { router }: TextRouter,
    tasks: readonly RoutedTask[],
    features: FeatureRows,
    signal?: AbortSignal,
  ): Promise<readonly Decision[]> {
    const posterior = await router.posterior(features, signal);
    return await decide(posterior, tasks, { router, fusion: firstPassOnly }, noHeads, 1);
  }
}
