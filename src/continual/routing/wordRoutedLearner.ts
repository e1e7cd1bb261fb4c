// Dimensions: n words, F routing features, C tags.
/** What routes words, as it goes on learning from task to task: statistics of the tags, a router, a gate. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { OUTSIDE } from "../../data/conll.ts";
import type { AdaptedBackbone, LearnedTask } from "../adaptedBackbone.ts";
import type { WordTaskToLearn } from "../wordLearner.ts";
import type { FittedRouter, FitWatch } from "./fit.ts";
import { type RouterSettings, statisticsFile } from "./routedLearner.ts";
import {
  askingWordHeads,
  gatherWordEvidence,
  posteriorOfWords,
  spansOf,
  type WordRouting,
} from "./routedWords.ts";
import type { ClassStatistics } from "./statistics.ts";
import { type FileBytes, StatisticsRouter } from "./statisticsRouter.ts";
import type { FeatureAdapter, FeatureConstants, WordSecondPass } from "./types.ts";
import { addPairs, chainOf, countPairs, type TagPairs, tagPairsSchema } from "./wordDecoding.ts";
import { layOutTags, type WordFusion } from "./wordFusion.ts";
import {
  addWordCounts,
  chooseWordFusion,
  countWordFusion,
  tasksToGather,
  type WordCounts,
  wordCountsSchema,
} from "./wordFusionFit.ts";
import {
  contributionsOfWords,
  drawStatistics,
  readWordRows,
  tagsOfWords,
  type WordFeatures,
} from "./wordStatistics.ts";

/** Beside a task's adapter and statistics: how many words each tag had, which followed which, and what ways to route did to held-out sentences. */
export const wordCountsFile = "words.json";

const totalsSchema = z.record(z.string(), z.int().nonnegative());
const wordFileSchema = z.strictObject({
  version: z.literal(2),
  totals: totalsSchema,
  pairs: tagPairsSchema,
  counts: wordCountsSchema,
});

/** What a task leaves behind for those that route words. */
interface WordPart {
  readonly totals: Readonly<Record<string, number>>;
  readonly pairs: TagPairs;
  readonly counts: WordCounts;
}

function encodePart({ totals, pairs, counts }: WordPart): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ version: 2, totals, pairs, counts }, null, 1)}\n`);
}

function decodePart(bytes: Uint8Array, where: string): WordPart {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new StoreError(`${where}: not valid JSON`, { cause });
  }
  const parsed = wordFileSchema.safeParse(json);
  if (!parsed.success)
    throw new StoreError(`${where}: not the counts of a word router: ${z.prettifyError(parsed.error)}`);
  const { version: _, ...part } = parsed.data;
  return part;
}

export interface WordRoutingSettings extends RouterSettings {
  readonly secondPass: WordSecondPass;
  /** Tasks that a second pass asks. */
  readonly topTasks: number;
  readonly featureAdapter: FeatureAdapter;
}

/** What routes words by now, and what it rests on. */
export interface CurrentWordRouting extends WordRouting {
  readonly router: FittedRouter;
  /** The best way without a second pass. */
  readonly alone: WordFusion;
  /** What the chain is made of. */
  readonly pairs: TagPairs;
  /** What the router is fitted to. */
  readonly statistics: ClassStatistics;
}

/**
 * Learns to route words: the words of a task's training sentences become rows of their tags, a router is fitted to all
 * rows so far, and the task's validation sentences say how high the bar of `O` lies and whether adapters are asked.
 * Holds native memory: dispose of it.
 */
export class WordRoutedLearner implements AsyncDisposable {
  readonly settings: WordRoutingSettings;
  private readonly model: AdaptedBackbone;
  private readonly followed: StatisticsRouter;
  private readonly learned: LearnedTask[] = [];
  private readonly parts: WordPart[] = [];
  private newest: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(
    model: AdaptedBackbone,
    settings: WordRoutingSettings,
    constants: FeatureConstants,
    seed: number,
  ) {
    const { kind, featureAdapter } = settings;
    this.model = model;
    this.settings = settings;
    this.followed = new StatisticsRouter((graph) => model.compile(graph), constants, {
      kind,
      seed,
      featureAdapter,
      // How often a tag comes is known, and counts.
      shares: "rows",
      draw: drawStatistics,
    });
  }

  get features(): WordFeatures {
    const { featureAdapter } = this.followed;
    return { ...this.settings.features, ...(featureAdapter && { featureAdapter }) };
  }

  /** Learns to route among one task more, and fits the router that then answers. */
  async learn(task: WordTaskToLearn, learned: LearnedTask, watch: FitWatch = {}): Promise<void> {
    const { signal } = watch;
    this.followed.readThrough(learned);
    const { encodings } = this.model.encodeWords(task.train, `train of ${task.name}`);
    const words = await readWordRows(this.model, encodings, this.features, signal);
    const { contributions, totals } = contributionsOfWords(words, encodings, task.train, task.labels);
    const bytes = this.followed.learn(contributions);
    const pairs = countPairs(tagsOfWords(encodings, task.train));
    const told = [...this.parts, { totals, pairs }];
    const router = await this.followed.router(watch);
    const counts = await this.count(router, task, [...this.learned, learned], told, signal);
    const part = { totals, pairs, counts };
    this.parts.push(part);
    this.newest = new Map([
      [statisticsFile, bytes],
      [wordCountsFile, encodePart(part)],
    ]);
  }

  /** Takes the newest task's adapter in, learned now or by an earlier run. */
  add(learned: LearnedTask): void {
    this.followed.readThrough(learned);
    this.learned.push(learned);
  }

  private async count(
    router: FittedRouter,
    { name, types, validation }: WordTaskToLearn,
    among: readonly LearnedTask[],
    told: readonly Pick<WordPart, "totals" | "pairs">[],
    signal?: AbortSignal,
  ): Promise<WordCounts> {
    if (validation.length === 0) return addWordCounts([]);
    const { encodings } = this.model.encodeWords(validation, `validation of ${name}`);
    const words = await readWordRows(this.model, encodings, this.features, signal);
    const priors = this.priors(router, told);
    const heldOut = {
      posterior: await posteriorOfWords({ router, priors }, words, signal),
      spans: spansOf(words),
      gold: tagsOfWords(encodings, validation),
      chain: chainOf(router.labels, addPairs(told.map(({ pairs }) => pairs))),
      layout: layOutTags(router.labels, OUTSIDE, among),
      topTasks: this.settings.secondPass === "off" ? 0 : this.settings.topTasks,
    };
    const ask = askingWordHeads(this.model, among, encodings, signal);
    const evidence = await gatherWordEvidence(tasksToGather(heldOut), encodings, ask);
    return countWordFusion(heldOut, types, evidence);
  }

  /** By tag log(words/rows kept). */
  private priors({ labels }: FittedRouter, parts: readonly Pick<WordPart, "totals">[]): readonly number[] {
    return labels.map((label) => {
      const words = parts.reduce((sum, { totals }) => sum + (totals[label] ?? 0), 0);
      // Two rows that are the same number for number are kept once each task at least, so neither count is 0.
      return Math.log(Math.max(1, words) / Math.max(1, this.followed.statistics.count(label)));
    });
  }

  /** What routes among everything learned so far. */
  async current(signal?: AbortSignal): Promise<CurrentWordRouting> {
    const router = await this.followed.router({ signal });
    const counts = addWordCounts(this.parts.map((part) => part.counts));
    const pairs = addPairs(this.parts.map((part) => part.pairs));
    const { topTasks, secondPass } = this.settings;
    return {
      router,
      features: this.features,
      priors: this.priors(router, this.parts),
      pairs,
      chain: chainOf(router.labels, pairs),
      fusion: chooseWordFusion(counts, topTasks, secondPass),
      alone: chooseWordFusion(counts, topTasks, "off"),
      statistics: this.followed.statistics,
    };
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
    const { bytes, where } = await read(wordCountsFile);
    const part = decodePart(bytes, where);
    this.followed.recall(rows);
    this.parts.push(part);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.followed[Symbol.asyncDispose]();
  }
}
