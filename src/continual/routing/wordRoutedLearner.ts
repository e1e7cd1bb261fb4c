// Dimensions: n words, F routing features, C tags.
/** What routes words, as it goes on learning from task to task: statistics of the tags, a router, a gate. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { OUTSIDE } from "../../data/conll.ts";
import { sha256 } from "../../io/hash.ts";
import type { AdaptedBackbone, LearnedTask } from "../adaptedBackbone.ts";
import type { WordTaskToLearn } from "../wordLearner.ts";
import { decodeContributions, encodeContributions } from "./contributionFile.ts";
import { type FittedRouter, RouterFitter } from "./fit.ts";
import { hashAdapter, type RoutingSettings, statisticsFile } from "./routedLearner.ts";
import {
  askingWordHeads,
  gatherWordEvidence,
  posteriorOfWords,
  spansOf,
  type WordRouting,
} from "./routedWords.ts";
import { ClassStatistics, checkSameConstants } from "./statistics.ts";
import type { FeatureConstants } from "./types.ts";
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
  /** SHA-256 of its statistics' file. */
  readonly hash: string;
}

function encodePart({ totals, pairs, counts }: WordPart): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ version: 2, totals, pairs, counts }, null, 1)}\n`);
}

function decodePart(bytes: Uint8Array, where: string): Omit<WordPart, "hash"> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new StoreError(`${where}: not valid JSON`, { cause });
  }
  const parsed = wordFileSchema.safeParse(json);
  if (!parsed.success)
    throw new StoreError(`${where}: not the counts of a word router: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
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
  private readonly model: AdaptedBackbone;
  readonly settings: RoutingSettings;
  private constants: FeatureConstants;
  private readonly seed: number;
  private readonly fitter: RouterFitter;
  private readonly learned: LearnedTask[] = [];
  private readonly parts: WordPart[] = [];
  private statistics: ClassStatistics;
  /** Through whose adapter features are read, once there is one and they are to be. */
  private session: LearnedTask | undefined;
  private fitted: FittedRouter | undefined;
  private newest: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(model: AdaptedBackbone, settings: RoutingSettings, constants: FeatureConstants, seed: number) {
    this.model = model;
    this.settings = settings;
    this.constants = constants;
    this.seed = seed;
    this.fitter = new RouterFitter((graph) => model.compile(graph));
    this.statistics = ClassStatistics.empty(constants);
  }

  get features(): WordFeatures {
    return { ...this.settings.features, ...(this.session && { session: this.session }) };
  }

  /** Learns to route among one task more. */
  async learn(task: WordTaskToLearn, learned: LearnedTask, signal?: AbortSignal): Promise<void> {
    if (this.settings.firstSession === true) this.readThrough(learned);
    const { encodings } = this.model.encodeWords(task.train, `train of ${task.name}`);
    const words = await readWordRows(this.model, encodings, this.features, signal);
    const { contributions, totals } = contributionsOfWords(words, encodings, task.train, task.labels);
    this.statistics = drawStatistics(this.statistics.with(contributions));
    this.fitted = undefined;
    const bytes = encodeContributions({ constants: this.constants, contributions });
    const pairs = countPairs(tagsOfWords(encodings, task.train));
    const told = [...this.parts, { totals, pairs }];
    const counts = await this.count(task, [...this.learned, learned], told, signal);
    const part = { totals, pairs, counts, hash: sha256(bytes) };
    this.parts.push(part);
    this.newest = new Map([
      [statisticsFile, bytes],
      [wordCountsFile, encodePart(part)],
    ]);
  }

  /** Takes the newest task's adapter in, learned now or by an earlier run. */
  add(learned: LearnedTask): void {
    if (this.settings.firstSession === true) this.readThrough(learned);
    this.learned.push(learned);
  }

  /**
   * Makes the first task that is learned the one through whose adapter all features are read from then on.
   * @throws StoreError if the statistics there are were read through another
   */
  private readThrough(learned: LearnedTask): void {
    if (this.session !== undefined) return;
    const constants = { ...this.constants, firstSession: hashAdapter(learned) };
    if (this.parts.length === 0) this.statistics = ClassStatistics.empty(constants);
    else checkSameConstants(constants, this.statistics.constants);
    this.session = learned;
    this.constants = constants;
  }

  private async count(
    { name, types, validation }: WordTaskToLearn,
    among: readonly LearnedTask[],
    told: readonly Pick<WordPart, "totals" | "pairs">[],
    signal?: AbortSignal,
  ): Promise<WordCounts> {
    if (validation.length === 0) return addWordCounts([]);
    const router = await this.router(signal);
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
      return Math.log(Math.max(1, words) / Math.max(1, this.statistics.count(label)));
    });
  }

  /** Fitted to the rows so far; the same rows and settings give the same router. */
  private async router(signal?: AbortSignal): Promise<FittedRouter> {
    const { kind } = this.settings;
    const options = { kind, seed: this.seed, ...(signal && { signal }) };
    this.fitted ??= await this.fitter.fit(this.statistics, options);
    return this.fitted;
  }

  /** What routes among everything learned so far. */
  async current(signal?: AbortSignal): Promise<CurrentWordRouting> {
    const router = await this.router(signal);
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
      statistics: this.statistics,
    };
  }

  /** The files that go with the newest task's adapter, by name. */
  files(): ReadonlyMap<string, Uint8Array> {
    return this.newest;
  }

  /** The fitted router's bytes, enough to answer without the statistics. */
  async encodeRouter(signal?: AbortSignal): Promise<Uint8Array> {
    return this.fitter.encode(await this.router(signal));
  }

  /** SHA-256 of the tasks' statistics that the router is fitted to, in the order of learning. */
  get statisticsHashes(): readonly string[] {
    return this.parts.map(({ hash }) => hash);
  }

  /**
   * Takes up what an earlier run learned of the next task; its adapter is {@link add}'s.
   * @param read gives the bytes of a file beside its adapter
   * @throws StoreError if a file is damaged, or was made of other features
   */
  async recall(
    read: (name: string) => Promise<{ readonly bytes: Uint8Array; readonly where: string }>,
  ): Promise<void> {
    const rows = await read(statisticsFile);
    const { constants, contributions } = decodeContributions(rows.bytes, rows.where);
    const told = await read(wordCountsFile);
    const joined = ClassStatistics.empty(constants).with(contributions);
    if (this.settings.firstSession === true && this.parts.length === 0) {
      // Which adapter it is, the file says before the adapter itself is there; it must be the one that is added then.
      const { firstSession: _, ...plain } = constants;
      checkSameConstants(this.constants, plain);
      this.statistics = joined;
    } else this.statistics = drawStatistics(this.statistics.merge(joined));
    this.fitted = undefined;
    this.parts.push({ ...decodePart(told.bytes, told.where), hash: sha256(rows.bytes) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fitter[Symbol.asyncDispose]();
  }
}
