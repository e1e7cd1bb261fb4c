/** From logits to tags. T: tokens of a sentence. C: slots of a head. */

import type { WordEncoding } from "../../data/encoding/wordEncoding.ts";
import { OUTSIDE } from "../../data/files/tags.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import { type LearnedTask, type Logits, rowOf } from "../types.ts";
import { constraintsOf, likeliestTags, type TagChain } from "./tagSequence.ts";

/** Logits of one adapter and head on the tokens of each sentence, (T, C) each. */
export type SentenceLogits = readonly Logits[];

/**
 * Whose `O` a word is compared with. `own`: every head has one in slot 0, and tags of different tasks are compared by
 * log p(tag) − log p(O), each by its own head. `first`: the first task's head alone has one, and all logits stand side by
 * side.
 */
export type OutsideRule = "own" | "first";

/** The tags that compete for a token, and their logits. */
export interface TagsInPlay {
  readonly tags: readonly string[];
  /** @param rows the token's logits by each head, in order */
  readonly compete: (rows: readonly Float32Array[]) => number[];
  /** What can follow what; absent where each word is tagged by itself, as the original does. */
  readonly chain?: TagChain;
}

/** @param labels of each head, in slot order */
export function tagsInPlay(labels: readonly (readonly string[])[], rule: OutsideRule): TagsInPlay {
  const sideBySide = (rows: readonly Float32Array[]) => rows.flatMap((row) => [...row]);
  if (rule === "first") return { tags: labels.flat(), compete: sideBySide };
  if (labels.length === 1)
    return { tags: labels.flat(), compete: sideBySide, chain: constraintsOf(labels.flat()) };
  const tags = [OUTSIDE, ...labels.flatMap((own) => own.slice(1))];
  return {
    tags,
    chain: constraintsOf(tags),
    // log p(tag) − log p(O) = z_tag − z_O of the same head; O itself is 0.
    compete: (rows) => [0, ...rows.flatMap((row) => Array.from(row.subarray(1), (z) => z - row[0]!))],
  };
}

/** A word's tag, and its probability: softmax over the tags in play. */
export interface WordChoice {
  readonly tag: string;
  readonly probability: number;
}

/** log softmax. */
function logsOf(logits: readonly number[]): readonly number[] {
  const peak = Math.max(...logits);
  const log = peak + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - peak), 0));
  return logits.map((logit) => logit - log);
}

/**
 * The tag of every word, read on its first token: the likeliest together that can stand beside each other, without a
 * chain each word's likeliest; of equals the first.
 * @param perTask logits by each head in play
 * @returns for each sentence as many as words; a word without a token is `O` with probability 1: nothing else is in play
 */
export function chooseTags(
  encodings: readonly WordEncoding[],
  perTask: readonly SentenceLogits[],
  { tags, compete, chain }: TagsInPlay,
): readonly (readonly WordChoice[])[] {
  const outside = tags.map((tag) => (tag === OUTSIDE ? 0 : Number.NEGATIVE_INFINITY));
  return encodings.map(({ firstTokens }, sentence) => {
    const words = firstTokens.map((token) =>
      token === null ? outside : logsOf(compete(perTask.map((logits) => rowOf(logits[sentence]!, token)))),
    );
    const chosen = chain ? likeliestTags(words, chain) : words.map((logs) => logs.indexOf(Math.max(...logs)));
    return words.map((logs, word) => {
      const best = chosen[word] ?? 0;
      return { tag: tags[best] ?? OUTSIDE, probability: Math.exp(logs[best] ?? 0) };
    });
  });
}

/**
 * The first task's `O` logits, computed once a sentence: neither its adapter nor its head ever changes again.
 * Sentences of several tasks and splits are known by their words' array.
 */
export class OutsideLogits {
  private readonly model: AdaptedBackbone;
  private readonly first: LearnedTask;
  private readonly known = new WeakMap<readonly string[], Float32Array>();

  constructor(model: AdaptedBackbone, first: LearnedTask) {
    this.model = model;
    this.first = first;
  }

  /** @returns for each sentence the logits of its tokens (T, 1) */
  async of(
    sentences: readonly { readonly words: readonly string[] }[],
    encodings: readonly WordEncoding[],
    signal?: AbortSignal,
  ): Promise<SentenceLogits> {
    const fresh = [...sentences.keys()].filter((i) => !this.known.has(sentences[i]!.words));
    const computed = await this.model.tokenLogits(
      this.first,
      fresh.map((i) => encodings[i]!),
      signal,
    );
    for (const [n, i] of fresh.entries()) {
      const { rows, classes, values } = computed[n]!;
      const outside = Float32Array.from({ length: rows }, (_, token) => values[token * classes]!);
      this.known.set(sentences[i]!.words, outside);
    }
    return sentences.map(({ words }) => {
      const values = this.known.get(words) ?? new Float32Array();
      return { rows: values.length, classes: 1, values };
    });
  }
}
