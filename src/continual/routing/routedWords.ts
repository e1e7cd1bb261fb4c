// Dimensions: n words, C tags of the router, T tasks.
/**
 * Routed inference for words: one pass with adapters off gives every word a posterior over tags; in sentences where a type
 * is plausible, the adapters of its task are asked in one mixed pass, with the first one's for `O`.
 */

import type { WordEncoding } from "../../data/encoding/wordEncoding.ts";
import { OUTSIDE } from "../../data/files/tags.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { TrunkRows } from "../passes/trunkRows.ts";
import { askOfWords, type WordFeatures, type WordRows } from "../statistics/wordStatistics.ts";
import type { TagChain } from "../taskTypes/tagSequence.ts";
import type { WordChoice } from "../taskTypes/wordPrediction.ts";
import type { LearnedTask, Logits, Posterior, Router } from "../types.ts";
import {
  biased,
  chooseOfSentence,
  raiseOutside,
  type Span,
  type TagLayout,
  tasksOfSentence,
  type WordEvidence,
  type WordFusion,
} from "./wordFusion.ts";

/** Everything that routes words. */
export interface WordRouting {
  /** Of tags, `O` among them. */
  readonly router: Router;
  readonly features: WordFeatures;
  /** By tag of the router, log(words that had it/rows kept): what the router did not see of a frequent tag. */
  readonly priors: readonly number[];
  /** How tags follow each other. */
  readonly chain: TagChain;
  readonly fusion: WordFusion;
}

/** What tasks' heads say of sentences: entry i is of sentence `sentences[i]` by task `tasks[i]`, all its tokens (T, C). */
export type AskWordHeads = (
  tasks: readonly number[],
  sentences: readonly number[],
) => Promise<readonly Logits[]>;

/**
 * Asks adapters anew: one mixed batch, in which every sentence uses its own.
 * @param trunk what the trunk gave for the sentences: adapters go on from there
 */
export function askingWordHeads(
  model: AdaptedBackbone,
  tasks: readonly { readonly learned?: LearnedTask }[],
  encodings: readonly WordEncoding[],
  signal?: AbortSignal,
  trunk?: TrunkRows,
): AskWordHeads {
  const learned = tasks.flatMap((task) => task.learned ?? []);
  const places = new Map(learned.map((task, place) => [task, place]));
  return async (asked, sentences) => {
    if (asked.length === 0) return [];
    // tasksOfSentence asks no task without an adapter.
    const taskOf = Int32Array.from(asked, (task) => places.get(tasks[task]!.learned!)!);
    const texts = sentences.map((s) => encodings[s]!);
    const states = trunk?.pick(sentences);
    return await model.mixedTokenLogits(learned, taskOf, texts, signal, states);
  };
}

/** The rows of the tokens that begin words. */
function wordsOf({ rows: _, classes, values }: Logits, { firstTokens }: WordEncoding): Logits {
  const tokens = firstTokens.filter((token) => token !== null);
  const own = new Float32Array(tokens.length * classes);
  tokens.forEach((token, word) => {
    own.set(values.subarray(token * classes, (token + 1) * classes), word * classes);
  });
  return { rows: tokens.length, classes, values: own };
}

/** @param wanted by sentence the tasks to ask @returns by sentence what they say, in the order of learning */
export async function gatherWordEvidence(
  wanted: readonly Iterable<number>[],
  encodings: readonly WordEncoding[],
  ask: AskWordHeads,
): Promise<readonly (readonly WordEvidence[])[]> {
  const pairs = wanted.flatMap((tasks, sentence) =>
    [...tasks].sort((a, b) => a - b).map((task) => ({ task, sentence })),
  );
  const logits = await ask(
    pairs.map(({ task }) => task),
    pairs.map(({ sentence }) => sentence),
  );
  const evidence: WordEvidence[][] = wanted.map(() => []);
  pairs.forEach(({ task, sentence }, i) => {
    evidence[sentence]!.push({ task, logits: wordsOf(logits[i]!, encodings[sentence]!) });
  });
  return evidence;
}

export function spansOf({ starts }: Pick<WordRows, "starts">): readonly Span[] {
  return starts.slice(1).map((to, s) => ({ from: starts[s]!, to }));
}

/** The tags of a sentence's words. */
export interface DecidedSentence {
  /** As many as words; one without a token is `O`. */
  readonly choices: readonly WordChoice[];
  /** Adapters that were asked. */
  readonly asked: number;
}

/**
 * Answers from posteriors that are there already.
 * @param told as {@link posteriorOfWords} gives it
 * @returns one a sentence
 */
export async function decideWords(
  told: Posterior,
  spans: readonly Span[],
  encodings: readonly WordEncoding[],
  layout: TagLayout,
  { chain, fusion }: Pick<WordRouting, "chain" | "fusion">,
  ask: AskWordHeads,
): Promise<readonly DecidedSentence[]> {
  const posterior = raiseOutside(told, layout, fusion.outside);
  const wanted = spans.map((span) => tasksOfSentence(posterior, span, layout, fusion));
  const evidence = await gatherWordEvidence(wanted, encodings, ask);
  return encodings.map(({ firstTokens }, s) => {
    const found = chooseOfSentence(posterior, spans[s]!, evidence[s]!, chain, layout, fusion);
    return { choices: placeWords(firstTokens, found), asked: wanted[s]!.length };
  });
}

const untold: WordChoice = { tag: OUTSIDE, probability: 1 };

function placeWords(
  firstTokens: WordEncoding["firstTokens"],
  found: readonly WordChoice[],
): readonly WordChoice[] {
  let next = 0;
  return firstTokens.map((token) => (token === null ? untold : (found[next++] ?? untold)));
}

/** Priors folded in: log-posteriors (n, C) before `O` is raised. */
export async function posteriorOfWords(
  { router, priors }: Pick<WordRouting, "router" | "priors">,
  { rows }: WordRows,
  signal?: AbortSignal,
): Promise<Posterior> {
  return biased(await askOfWords(router, rows, signal), priors);
}
