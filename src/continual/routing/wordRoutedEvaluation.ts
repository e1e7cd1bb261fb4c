/** Routed class-incremental entities, a router on frozen features of words choosing which adapters to ask. */
import type { RouterSummary } from "../../core/record.ts";
import type { WordEncoding } from "../../data/wordEncoding.ts";
import type { AdaptedBackbone, LearnedTask } from "../adaptedBackbone.ts";
import type { RoutedTags, WordRoutedProtocol } from "../wordEvaluation.ts";
import type { SentenceLogits } from "../wordPrediction.ts";
import {
  type AskWordHeads,
  askingWordHeads,
  type DecidedSentence,
  decideWords,
  posteriorOfWords,
  spansOf,
} from "./routedWords.ts";
import type { CurrentWordRouting, WordRoutedLearner } from "./wordRoutedLearner.ts";
import { readWordRows, type WordRows } from "./wordStatistics.ts";

/** What a record says of a router of words. */
export function summarizeWordRouter({ router, fusion, statistics }: CurrentWordRouting): RouterSummary {
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

function tagsOf(answers: readonly DecidedSentence[]): readonly (readonly string[])[] {
  return answers.map(({ choices }) => choices.map(({ tag }) => tag));
}

/**
 * Asks the router after each task; adapters' logits on the test set that are there already are read in place of running.
 * Where they run, they go on from the trunk that was kept of the test set.
 */
export class WordRoutedEvaluator implements WordRoutedProtocol {
  private readonly model: AdaptedBackbone;
  private readonly learner: WordRoutedLearner;
  /** Of the one test set: what features are read through never changes. */
  private words: WordRows | undefined;

  constructor(model: AdaptedBackbone, learner: WordRoutedLearner) {
    this.model = model;
    this.learner = learner;
  }

  async answer(
    encodings: readonly WordEncoding[],
    learned: readonly LearnedTask[],
    logits: readonly SentenceLogits[],
    signal?: AbortSignal,
  ): Promise<RoutedTags> {
    const routing = await this.learner.current(signal);
    this.words ??= await readWordRows(this.model, encodings, routing.features, signal);
    const told = await posteriorOfWords(routing, this.words, signal);
    const spans = spansOf(this.words);
    const ask: AskWordHeads =
      logits.length < learned.length
        ? askingWordHeads(
            this.model,
            learned,
            encodings,
            signal,
            await this.model.trunkRows(encodings, signal),
          )
        : async (asked, sentences) => sentences.map((s, i) => logits[asked[i]!]![s]!);
    const answers = await decideWords(told, spans, encodings, learned, routing, ask);
    const alone = await decideWords(
      told,
      spans,
      encodings,
      learned,
      { chain: routing.chain, fusion: routing.alone },
      ask,
    );
    const asked = answers.reduce((sum, answer) => sum + answer.asked, 0);
    return {
      tags: tagsOf(answers),
      firstPassTags: tagsOf(alone),
      passesPerExample: this.model.routedPassesOf(asked / Math.max(1, answers.length)),
      router: summarizeWordRouter(routing),
    };
  }
}
