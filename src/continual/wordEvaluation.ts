import type { RoutedWordScores, RouterSummary, WordScores } from "../core/record.ts";
import type { WordEncoding } from "../data/wordEncoding.ts";
import { maskTypes, type WordTask } from "../data/wordStream.ts";
import type { AdaptedBackbone, LearnedTask } from "./adaptedBackbone.ts";
import { countEntities, type EntityCounts, poolCounts, scoreCounts } from "./entityMetrics.ts";
import {
  type Columns,
  classIncremental,
  predictTags,
  type SentenceLogits,
  taskIncremental,
} from "./wordPrediction.ts";
import { wordSlots } from "./wordTargets.ts";

/** Both protocols' scores after learning a task. */
export interface WordEvaluationRow {
  readonly til: WordScores;
  readonly cil: WordScores;
  readonly routed?: RoutedWordScores;
}

/** Tags of every sentence's words by a router, and what they cost. */
export interface RoutedTags {
  readonly tags: readonly (readonly string[])[];
  /** By the router alone. */
  readonly firstPassTags: readonly (readonly string[])[];
  readonly passesPerExample: number;
  readonly router: RouterSummary;
}

/** Answers on the test set without asking every adapter. */
export interface WordRoutedProtocol {
  /**
   * @param learned in the order of learning
   * @param logits by those tasks whose adapters were asked already
   */
  answer(
    encodings: readonly WordEncoding[],
    learned: readonly LearnedTask[],
    logits: readonly SentenceLogits[],
    signal?: AbortSignal,
  ): Promise<RoutedTags>;
}

function countsOf(counts: EntityCounts, types: readonly string[]): EntityCounts {
  return new Map([...counts].filter(([type]) => types.includes(type)));
}

/**
 * Evaluates entities on the one test set that all tasks share. An adapter never changes once its task is learned, so
 * its logits are computed once and kept; the reported cost is that of a prediction without this.
 */
export class WordEvaluator {
  private readonly model: AdaptedBackbone;
  private readonly encodings: readonly WordEncoding[];
  /** Words of the test set that were cut off, and are predicted `O`. */
  readonly cutWords: number;
  private readonly tasks: WordTask[] = [];
  private readonly learned: LearnedTask[] = [];
  /** By the task whose adapter made them. */
  private readonly logits: SentenceLogits[] = [];
  /** Task-incremental counts of each task; they stay as they are. */
  private readonly ownCounts: EntityCounts[] = [];
  private readonly routing: WordRoutedProtocol | undefined;

  /** @param test of any of the stream's tasks: only its words are looked at */
  constructor(model: AdaptedBackbone, test: WordTask["test"], routing?: WordRoutedProtocol) {
    this.model = model;
    this.routing = routing;
    const { encodings, cutWords } = model.encodeWords(test, "test");
    this.encodings = encodings;
    this.cutWords = cutWords;
  }

  /** Takes a learned task in, without evaluating. */
  add(task: WordTask, learned: LearnedTask): void {
    this.tasks.push(task);
    this.learned.push(learned);
  }

  /**
   * Scores what the adapters that were added find; types that none of them has learned are `O` in the gold tags.
   * @param known figures of the same adapters in exact evaluation, which are then not made again
   */
  async evaluate(
    signal?: AbortSignal,
    known?: Pick<WordEvaluationRow, "til" | "cil">,
  ): Promise<WordEvaluationRow> {
    const exact = known ?? (await this.evaluateExactly(signal));
    const routed = await this.evaluateRouted(signal);
    return { til: exact.til, cil: exact.cil, ...(routed !== undefined && { routed }) };
  }

  private async evaluateRouted(signal?: AbortSignal): Promise<RoutedWordScores | undefined> {
    const answered = await this.routing?.answer(this.encodings, this.learned, this.logits, signal);
    if (answered === undefined) return undefined;
    const { tags, firstPassTags, passesPerExample, router } = answered;
    const gold = (this.tasks.at(-1)?.test ?? []).map((sentence) => sentence.tags);
    const scores = this.scores(countEntities(gold, tags), passesPerExample);
    const firstPassMicroF1 = scoreCounts(countEntities(gold, firstPassTags)).micro.f1;
    return { ...scores, firstPassMicroF1, router };
  }

  private async evaluateExactly(signal?: AbortSignal): Promise<WordEvaluationRow> {
    const missing = this.learned.slice(this.logits.length);
    this.logits.push(...(await this.model.tokenLogitsOfTasks(missing, this.encodings, signal)));
    for (let task = this.ownCounts.length; task < this.learned.length; task++)
      this.ownCounts.push(this.countOwn(task));
    const seen = this.learned.length;
    const cil = this.count(this.tasks[seen - 1]?.test ?? [], classIncremental(this.logits), this.tasks);
    return {
      til: this.scores(poolCounts(this.ownCounts), this.meanPasses(seen)),
      cil: this.scores(cil, this.model.passesOf(seen)),
    };
  }

  private countOwn(task: number): EntityCounts {
    const own = this.tasks[task]!;
    return this.count(maskTypes(own.test, own.types), taskIncremental(this.logits, task), [own]);
  }

  private count(
    test: WordTask["test"],
    columns: readonly Columns[],
    tasks: readonly WordTask[],
  ): EntityCounts {
    const gold = test.map(({ tags }) => tags);
    return countEntities(gold, predictTags(this.encodings, columns, wordSlots(tasks)));
  }

  /** The first task answers alone; a later one needs the first one's adapter for `O` besides its own. */
  private meanPasses(tasks: number): number {
    return (this.model.passesOf(1) + (tasks - 1) * this.model.passesOf(2)) / tasks;
  }

  private scores(counts: EntityCounts, passesPerExample: number): WordScores {
    const { micro, macro, perType } = scoreCounts(counts);
    return {
      microF1: micro.f1,
      ...(macro !== undefined && { macroF1: macro.f1 }),
      perTask: this.tasks.map(({ types }) => scoreCounts(countsOf(counts, types)).micro.f1),
      perType,
      passesPerExample,
    };
  }
}
