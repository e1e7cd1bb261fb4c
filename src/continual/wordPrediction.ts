/**
 * From logits to tags. The first task's head has `O` in slot 0; a later head has its own labels only, and the first
 * one's `O` competes with them. T: tokens of a sentence. C: slots of a head.
 */
import { OUTSIDE } from "../data/conll.ts";
import type { WordEncoding } from "../data/wordEncoding.ts";
import { type AdaptedBackbone, type LearnedTask, type Logits, rowOf } from "./adaptedBackbone.ts";
import { wordTags } from "./wordTargets.ts";

/** Logits of one adapter and head on the tokens of each sentence, (T, C) each. */
export type SentenceLogits = readonly Logits[];

/** The columns of a head's logits that compete, `from` up to, not including, `to`. */
export interface Columns {
  readonly logits: SentenceLogits;
  readonly from: number;
  readonly to: number;
}

function allColumns(logits: SentenceLogits): Columns {
  return { logits, from: 0, to: logits[0]?.classes ?? 0 };
}

/**
 * Class-incremental: every head's columns side by side, `O` once.
 * @param perTask by each task's adapter and head, in the order of learning
 */
export function classIncremental(perTask: readonly SentenceLogits[]): readonly Columns[] {
  return perTask.map(allColumns);
}

/** Task-incremental: the task's own columns, behind `O` of the first task where that is another. */
export function taskIncremental(perTask: readonly SentenceLogits[], task: number): readonly Columns[] {
  const [first, own] = [perTask[0] ?? [], perTask[task] ?? []];
  return task === 0 ? [allColumns(own)] : [{ logits: first, from: 0, to: 1 }, allColumns(own)];
}

/** One token's competing logits, in slot order. */
function competing(columns: readonly Columns[], sentence: number, token: number): number[] {
  return columns.flatMap(({ logits, from, to }) => {
    const own = logits[sentence];
    return own === undefined ? [] : [...rowOf(own, token).subarray(from, to)];
  });
}

/** A word's tag, and its probability: softmax over the tags in play. */
export interface WordChoice {
  readonly tag: string;
  readonly probability: number;
}

/** The largest of a token's logits, the first of equals. */
function choose(logits: readonly number[]): { readonly slot: number; readonly probability: number } {
  const peak = Math.max(...logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - peak), 0);
  return { slot: logits.indexOf(peak), probability: 1 / total };
}

/**
 * The tag of every word, read on its first token.
 * @param slots the tags of the competing columns, in order
 * @returns for each sentence as many as words; a word without a token is `O` with probability 1: nothing else is in play
 */
export function chooseTags(
  encodings: readonly WordEncoding[],
  columns: readonly Columns[],
  slots: readonly string[],
): readonly (readonly WordChoice[])[] {
  return encodings.map((encoding, sentence) => {
    const chosen = new Map(
      encoding.firstTokens.flatMap((token) =>
        token === null ? [] : [[token, choose(competing(columns, sentence, token))] as const],
      ),
    );
    const slotOf = encoding.ids.map((_, token) => chosen.get(token)?.slot ?? 0);
    const tags = wordTags(encoding, slotOf, slots);
    return encoding.firstTokens.map((token, word) => ({
      tag: tags[word] ?? OUTSIDE,
      probability: token === null ? 1 : (chosen.get(token)?.probability ?? 1),
    }));
  });
}

/** The tags alone of {@link chooseTags}. */
export function predictTags(
  encodings: readonly WordEncoding[],
  columns: readonly Columns[],
  slots: readonly string[],
): readonly (readonly string[])[] {
  return chooseTags(encodings, columns, slots).map((words) => words.map(({ tag }) => tag));
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
