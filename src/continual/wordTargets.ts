/**
 * Between tags of words and slots of tokens. B: sentences in a batch. T: tokens, the longest of the batch.
 *
 * A task's logits have `O` in slot 0 and its own labels after it; over all tasks, `O` once and then the labels of
 * every task in learning order. The first task's head computes `O`; it is concatenated in front of later heads.
 */
import { DataError, GraphError } from "../core/errors.ts";
import { float32, type HostTensor, int64 } from "../core/tensor.ts";
import { OUTSIDE } from "../data/conll.ts";
import type { WordEncoding } from "../data/wordEncoding.ts";

/** The target of tokens that do not count: torch's `ignore_index`. */
export const IGNORED = -100;

/** `O`, then the labels of the given tasks in order. One task: its training and TIL slots; all tasks: CIL's. */
export function wordSlots(tasks: readonly { readonly labels: readonly string[] }[]): readonly string[] {
  return [OUTSIDE, ...tasks.flatMap(({ labels }) => labels)];
}

/**
 * The slot of each token of a sentence: its word's on the first token of a word, {@link IGNORED} on the others and on
 * special tokens. Words that were cut off have no token and no target.
 *
 * @param tags of the words
 * @param slots as {@link wordSlots} gives them
 * @returns as many as `encoding.ids`
 * @throws DataError if the tags are not as many as the words, or one has no slot
 */
export function tokenTargets(
  encoding: WordEncoding,
  tags: readonly string[],
  slots: readonly string[],
): readonly number[] {
  if (tags.length !== encoding.firstTokens.length)
    throw new DataError(`a sentence of ${encoding.firstTokens.length} words has ${tags.length} tags`);
  const targets = encoding.ids.map(() => IGNORED);
  for (const [word, tag] of tags.entries()) {
    const slot = slots.indexOf(tag);
    if (slot < 0)
      throw new DataError(`the tag ${JSON.stringify(tag)} is none of the task's: ${slots.join(", ")}`, {
        hint: "Mask the types of other tasks to O first.",
      });
    const token = encoding.firstTokens[word] ?? null;
    if (token !== null) targets[token] = slot;
  }
  return targets;
}

/** Targets of a batch as a graph can take them. */
export interface TargetBatch {
  readonly labels: HostTensor<"int64">; // (B, T), a slot; 0 where the token does not count
  /** 1/n on the n tokens that count, 0 elsewhere: the weighted sum is torch's mean with `ignore_index`. */
  readonly weights: HostTensor<"float32">; // (B, T)
  /** n, the tokens that count. */
  readonly counted: number;
}

/**
 * Lays targets out beside their encodings, padded to the longest as `collate` does.
 *
 * @param targets of each sentence, as {@link tokenTargets} gives them
 * @throws GraphError for an empty batch
 */
export function collateTargets(
  targets: readonly (readonly number[])[],
  paddingSide: "left" | "right" = "right",
): TargetBatch {
  if (targets.length === 0) throw new GraphError("a batch needs at least one sentence");
  const length = Math.max(...targets.map((row) => row.length));
  const counted = targets.flat().filter((target) => target !== IGNORED).length;
  const labels = new BigInt64Array(targets.length * length);
  const weights = new Float32Array(targets.length * length);
  for (const [row, sentence] of targets.entries()) {
    const start = row * length + (paddingSide === "left" ? length - sentence.length : 0);
    for (const [i, target] of sentence.entries()) {
      if (target === IGNORED) continue;
      labels[start + i] = BigInt(target);
      weights[start + i] = 1 / counted;
    }
  }
  const dims = [targets.length, length];
  return { labels: int64(labels, dims), weights: float32(weights, dims), counted };
}

/**
 * The tags of a sentence's words from what was predicted on its tokens. A word that was cut off, or has no token, is
 * `O`: what there was to find in it is missed.
 *
 * @param predicted slot of each token of `encoding.ids`
 * @throws DataError if a slot is none of `slots`
 */
export function wordTags(
  encoding: WordEncoding,
  predicted: ArrayLike<number>,
  slots: readonly string[],
): readonly string[] {
  return encoding.firstTokens.map((token) => {
    if (token === null) return OUTSIDE;
    const tag = slots[predicted[token] ?? -1];
    if (tag === undefined)
      throw new DataError(`token ${token}: slot ${predicted[token]} is none of ${slots.length}`);
    return tag;
  });
}
