// Dimensions: n words, F routing features, C tags.
/** Routing of words by statistics of their tags, and which tasks' adapters a sentence is asked of. */
import type { RouterSummary } from "../../core/record.ts";
import { OUTSIDE, type TaggedSentence } from "../../data/files/tags.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { FitOptions, FittedRouter, FitWatch } from "../routers/fit.ts";
import type { ClassStatistics } from "../statistics/statistics.ts";
import {
  contributionsOfWords,
  drawStatistics,
  readWordRows,
  tagsOfWords,
  type WordFeatures,
  type WordRows,
} from "../statistics/wordStatistics.ts";
import { isTaggedSentence } from "../taskTypes/taskChecks.ts";
import type { AnswerOptions, RoutedItem, TaskToLearn } from "../taskTypes/taskType.ts";
import {
  type EncodedSentences,
  type TokenClassification,
  typesOf,
} from "../taskTypes/tokenClassification.ts";
import type { LearnedTask, Posterior, RouterStage } from "../types.ts";
import {
  type AskWordHeads,
  askingWordHeads,
  type DecidedSentence,
  decideWords,
  gatherWordEvidence,
  posteriorOfWords,
  type WordRouting as Routing,
  spansOf,
} from "./routedWords.ts";
import { StatisticsFits, type StatisticsSettings } from "./statisticsRouting.ts";
import type { TagCounts } from "./tagCounts.ts";
import type { CollectWatch, ReadFile, RoutedTask, TaskRouting, TaskRows } from "./taskRouting.ts";
import { knownTags, markEarlier, UNKNOWN } from "./unlabelled.ts";
import { addPairs, chainOf, countPairs, type TagPairs } from "./wordDecoding.ts";
import { layOutTags, type WordFusion } from "./wordFusion.ts";
import {
  addWordCounts,
  chooseWordFusion,
  countWordFusion,
  MOST_TASKS,
  type TopTasks,
  tasksToGather,
  type WordCounts,
} from "./wordFusionFit.ts";

/** From so many classes on, half of them with so many rows, held-out rows are enough to choose the kind of router by. */
const ENOUGH_CLASSES = 20;
const ENOUGH_ROWS = 20;

/**
 * For words: LDA, and where there are rows enough to choose by, whatever does best on those held out. Classes are counted and not
 * rows, so that neither a class of few examples nor one of thousands decides.
 */
export function defaultWordKind(statistics: ClassStatistics): FitOptions["kind"] {
  const { labels } = statistics;
  const large = labels.filter((label) => statistics.count(label) >= ENOUGH_ROWS);
  return labels.length >= ENOUGH_CLASSES && 2 * large.length >= labels.length ? "auto" : "lda";
}

export interface WordRoutingSettings extends StatisticsSettings {
  /** Tasks that a second pass asks at most; `auto`: as many as do best on held-out sentences. */
  readonly topTasks: TopTasks;
  /** What entities of earlier types are where a new task's sentences have no tags of them. */
  readonly unlabelled: "outside" | "mark";
  /** `auto`: where it gains on held-out sentences. */
  readonly secondPass: "auto" | "always" | "off";
}

/** What routes words, and what it rests on. */
export interface WordRouter extends Routing {
  readonly router: FittedRouter;
  readonly statistics: ClassStatistics;
  /** The best way without a second pass. */
  readonly alone: WordFusion;
}

const nothingCounted: TagCounts = { totals: {}, pairs: addPairs([]), counts: addWordCounts([]) };

function partsOf(tasks: readonly RoutedTask[]): readonly TagCounts[] {
  return tasks.map(({ rows }) => rows?.tags ?? nothingCounted);
}

export class WordRouting implements TaskRouting<EncodedSentences, WordRouter> {
  private readonly type: TokenClassification;
  private readonly model: AdaptedBackbone;
  private readonly settings: WordRoutingSettings;
  private readonly fits: StatisticsFits;
  /** Of a test set that is asked again. */
  private readonly keptWords = new WeakMap<EncodedSentences, WordRows>();

  constructor(type: TokenClassification, settings: WordRoutingSettings) {
    this.type = type;
    this.model = type.trained;
    this.settings = settings;
    // How often a tag comes is known, and counts.
    this.fits = new StatisticsFits(this.model, settings, {
      classPrior: "empirical",
      // Held-out sentences are counted by the router that answers: one kind is both.
      kinds: (named, statistics) => {
        const kind = named ?? defaultWordKind(statistics);
        return { immediate: kind, consolidated: kind };
      },
      draw: drawStatistics,
    });
  }

  private get mostTasks(): number {
    const { secondPass, topTasks } = this.settings;
    if (secondPass === "off") return 0;
    return topTasks === "auto" ? MOST_TASKS : topTasks;
  }

  private features(tasks: readonly Pick<RoutedTask, "learned">[]): WordFeatures {
    const featureAdapter = this.fits.featureAdapter(tasks);
    return { ...this.settings.features, ...(featureAdapter && { featureAdapter }) };
  }

  async collect(
    task: TaskToLearn,
    train: EncodedSentences,
    validation: EncodedSentences,
    learned: LearnedTask | undefined,
    known: readonly RoutedTask[],
    watch: CollectWatch = {},
  ): Promise<TaskRows> {
    const { name, labels } = task;
    const own = { name, labels: learned?.labels ?? labels, ...(learned && { learned }) };
    const among = [...known, own];
    const words = await readWordRows(this.model, train.encodings, this.features(among), watch.signal);
    const sentences = await this.marked(task, train, words, known, watch);
    const found = [...new Set([...labels, ...sentences.flatMap(({ tags }) => tags)])];
    const tagsKept = found.filter((tag) => tag !== OUTSIDE && tag !== UNKNOWN);
    const { contributions, totals } = contributionsOfWords(words, train.encodings, sentences, tagsKept);
    watch.onItems?.(sentences.length);
    const rows = this.fits.keep(contributions, among);
    const pairs = countPairs(tagsOfWords(train.encodings, sentences).map(knownTags));
    const parts = [...partsOf(known), { totals, pairs }];
    const tasks = [...known, { ...own, rows }];
    const counts =
      validation.items.length === 0
        ? addWordCounts([])
        : await this.count(tasks, parts, task, validation, watch);
    return { ...rows, tags: { totals, pairs, counts } };
  }

  /** The tags of a task's sentences, entities of earlier types marked by what was learned so far where that is asked for. */
  private async marked(
    { labels, train }: TaskToLearn,
    { encodings }: EncodedSentences,
    words: WordRows,
    known: readonly RoutedTask[],
    { signal, onProgress }: CollectWatch,
  ): Promise<readonly Pick<TaggedSentence, "tags">[]> {
    const sentences = train.filter(isTaggedSentence);
    const told = known.filter(({ rows }) => rows !== undefined);
    if (this.settings.unlabelled === "outside" || told.length === 0) return sentences;
    const routing = await this.fit(known, "consolidated", { signal, onProgress });
    const layout = layOutTags(routing.chain.labels, OUTSIDE, known, this.type.outside);
    const decided = await decideWords(
      await posteriorOfWords(routing, words, signal),
      spansOf(words),
      encodings,
      layout,
      routing,
      askingWordHeads(this.model, known, encodings, signal),
    );
    const types = new Set(typesOf(labels));
    return sentences.map(({ tags }, s) => ({ tags: markEarlier(tags, decided[s]!.choices, types) }));
  }

  /** What ways to route do to held-out sentences. */
  private async count(
    tasks: readonly RoutedTask[],
    parts: readonly Pick<TagCounts, "totals" | "pairs">[],
    { labels, validation }: TaskToLearn,
    { encodings }: EncodedSentences,
    { signal, onProgress }: CollectWatch,
  ): Promise<WordCounts> {
    const { router, statistics } = await this.fits.fit(tasks, "consolidated", { signal, onProgress });
    const words = await readWordRows(this.model, encodings, this.features(tasks), signal);
    const priors = priorsOf(router, statistics, parts);
    const heldOut = {
      posterior: await posteriorOfWords({ router, priors }, words, signal),
      spans: spansOf(words),
      gold: tagsOfWords(encodings, validation.filter(isTaggedSentence)),
      chain: chainOf(router.labels, addPairs(parts.map(({ pairs }) => pairs))),
      layout: layOutTags(router.labels, OUTSIDE, tasks, this.type.outside),
      topTasks: this.mostTasks,
    };
    const ask = askingWordHeads(this.model, tasks, encodings, signal);
    const evidence = await gatherWordEvidence(tasksToGather(heldOut), encodings, ask);
    return countWordFusion(heldOut, typesOf(labels), evidence);
  }

  consolidates(): boolean {
    return false;
  }

  async fit(tasks: readonly RoutedTask[], stage: RouterStage, watch: FitWatch = {}): Promise<WordRouter> {
    const { router, statistics } = await this.fits.fit(tasks, stage, watch);
    return this.assemble(tasks, router, statistics);
  }

  /** Everything but the router itself is a handful of counts. */
  private assemble(
    tasks: readonly RoutedTask[],
    router: FittedRouter,
    statistics: ClassStatistics,
  ): WordRouter {
    const parts = partsOf(tasks);
    const counts = addWordCounts(parts.map((part) => part.counts));
    const pairs: TagPairs = addPairs(parts.map((part) => part.pairs));
    const { topTasks, secondPass } = this.settings;
    return {
      router,
      statistics,
      features: this.features(tasks),
      priors: priorsOf(router, statistics, parts),
      chain: chainOf(router.labels, pairs),
      fusion: chooseWordFusion(counts, topTasks, secondPass),
      alone: chooseWordFusion(counts, topTasks, "off"),
    };
  }

  async route(
    routing: WordRouter,
    tasks: readonly RoutedTask[],
    encoded: EncodedSentences,
    { only, signal }: AnswerOptions = {},
  ): Promise<readonly RoutedItem[]> {
    const own = only === undefined ? undefined : new Set([OUTSIDE, ...(tasks[only]?.labels ?? [])]);
    const items: RoutedItem[] = [];
    const topTasks = own === undefined ? routing.fusion.topTasks : 0;
    const kept = encoded.kept !== undefined;
    const parts = this.model.twoPassParts(encoded.encodings, kept ? 0 : topTasks);
    for (const { encodings, trunk } of parts) {
      const words = kept
        ? await this.wordsOfTest(encoded, routing, signal)
        : await readWordRows(this.model, encodings, routing.features, signal, trunk);
      const posterior = amongTags(routing, await posteriorOfWords(routing, words, signal), own);
      const ask = kept
        ? await this.headsOfTest(encoded, tasks, signal)
        : askingWordHeads(this.model, tasks, encodings, signal, trunk);
      const decideBy = (fusion: WordFusion) => {
        const layout = layOutTags(routing.chain.labels, OUTSIDE, tasks, this.type.outside);
        return decideWords(
          posterior,
          spansOf(words),
          encodings,
          layout,
          { chain: routing.chain, fusion },
          ask,
        );
      };
      const decided = await decideBy(own === undefined ? routing.fusion : routing.alone);
      const alone = kept ? await decideBy(routing.alone) : [];
      items.push(...this.toItems(encoded, items.length, decided, alone));
    }
    return items;
  }

  private toItems(
    { split, encodings }: EncodedSentences,
    from: number,
    decided: readonly DecidedSentence[],
    alone: readonly DecidedSentence[],
  ): readonly RoutedItem[] {
    const to = from + decided.length;
    const part = { split: split.slice(from, to), encodings: encodings.slice(from, to) };
    const answersOf = (sentences: readonly DecidedSentence[]) =>
      this.type.describeAnswers(
        part,
        sentences.map(({ choices }) => choices),
        sentences.map(({ asked }) => this.model.routedPassesOf(asked)),
      );
    const first = alone.length === 0 ? [] : answersOf(alone);
    return answersOf(decided).map((answer, i) => ({
      answer,
      task: undefined,
      asked: decided[i]!.asked,
      ...(first[i] && { first: first[i] }),
    }));
  }

  private async wordsOfTest(
    encoded: EncodedSentences,
    { features }: WordRouter,
    signal?: AbortSignal,
  ): Promise<WordRows> {
    const words =
      this.keptWords.get(encoded) ?? (await readWordRows(this.model, encoded.encodings, features, signal));
    this.keptWords.set(encoded, words);
    return words;
  }

  /** The logits that are kept already, or adapters above the trunk that was kept of the sentences. */
  private async headsOfTest(
    { encodings, kept }: EncodedSentences,
    tasks: readonly RoutedTask[],
    signal?: AbortSignal,
  ): Promise<AskWordHeads> {
    const known = tasks.map(({ learned }) => learned && kept?.get(learned));
    if (tasks.every(({ learned }, i) => learned === undefined || known[i] !== undefined))
      return (asked, sentences) => Promise.resolve(sentences.map((s, i) => known[asked[i]!]![s]!));
    const trunk = await this.model.trunkRows(encodings, signal);
    return askingWordHeads(this.model, tasks, encodings, signal, trunk);
  }

  summarize({ router, fusion, statistics }: WordRouter): RouterSummary {
    const { heads, plausible, topTasks } = fusion;
    const headsAlone = fusion.router === 0 && ({ headsAlone: true } as const);
    return {
      kind: router.kind,
      heldOutAccuracy: router.choice.heldOutAccuracy,
      retainedBytes: router.retainedBytes,
      bytesPerClass: router.retainedBytes / Math.max(1, statistics.labels.length),
      ...(topTasks > 0 && { secondPass: { below: null, weight: heads, topTasks, plausible, ...headsAlone } }),
    };
  }

  encode({ router, statistics }: WordRouter): Promise<ReadonlyMap<string, Uint8Array>> {
    return Promise.resolve(this.fits.encode(router, statistics, "consolidated"));
  }

  async open(
    tasks: readonly RoutedTask[],
    stage: RouterStage,
    read: ReadFile,
  ): Promise<WordRouter | undefined> {
    const opened = await this.fits.open(tasks, stage, read);
    return opened && this.assemble(tasks, opened.router, opened.statistics);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fits[Symbol.asyncDispose]();
  }
}

/** By tag log(words/rows kept). */
function priorsOf(
  { labels }: FittedRouter,
  statistics: ClassStatistics,
  parts: readonly Pick<TagCounts, "totals">[],
): readonly number[] {
  return labels.map((label) => {
    const words = parts.reduce((sum, { totals }) => sum + (totals[label] ?? 0), 0);
    // Two rows that are the same number for number are kept once each task at least, so neither count is 0.
    return Math.log(Math.max(1, words) / Math.max(1, statistics.count(label)));
  });
}

/** The posterior with the tags of other tasks out of play. */
function amongTags(
  { router: { labels } }: WordRouter,
  posterior: Posterior,
  own: ReadonlySet<string> | undefined,
): Posterior {
  if (own === undefined) return posterior;
  const { rows, classes } = posterior;
  const values = posterior.values.map((value, i) =>
    own.has(labels[i % classes] ?? "") ? value : Number.NEGATIVE_INFINITY,
  );
  return { rows, classes, values };
}
