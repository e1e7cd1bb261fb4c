/**
 * Between tags of words and slots of tokens. B: sentences in a batch. T: tokens, the longest of the batch.
 *
 * A task's logits have `O` in slot 0 and its own labels after it. With `outside: first` the first task's head computes `O`;
 * it is concatenated in front of later heads.
 */
import { DataError, GraphError } from "../../core/errors.ts";
import { float32, type HostTensor, int64 } from "../../core/tensor.ts";
import type { WordEncoding } from "../../data/encoding/wordEncoding.ts";
import { OUTSIDE } from "../../data/files/tags.ts";
import { OUTSIDE_LOGITS } from "../../train/graphs.ts";
import type { BatchView, TrainingData } from "../../train/trainer.ts";
import type { SentenceLogits } from "./wordPrediction.ts";

/** The target of tokens that do not count: torch's `ignore_index`. */
export const IGNORED = -100;

/** `O`, then the labels of the given tasks in order. */
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
 * What batches of sentences feed beside the model's inputs: `labels` (B·T) slots, `example_weights` (B·T), 1/n on the n
 * first tokens of words and 0 elsewhere, and where given `outside_logits` (B·T, 1).
 *
 * @param targets of each sentence's tokens, as `tokenTargets` gives them
 * @param virtualTokens that stand before every sentence and have no target
 */
export function wordTargets(
  targets: readonly (readonly number[])[],
  virtualTokens: number,
  outside?: SentenceLogits,
): TrainingData["targets"] {
  const front: readonly number[] = new Array<number>(virtualTokens).fill(IGNORED);
  return (batch) => {
    const { labels, weights } = collateTargets(
      batch.indices.map((index) => [...front, ...(targets[index] ?? [])]),
    );
    const rows = labels.data.length;
    return {
      labels: int64(labels.data, [rows]),
      example_weights: float32(weights.data, [rows]),
      ...(outside !== undefined && { [OUTSIDE_LOGITS]: collateOutside(batch, outside, virtualTokens) }),
    };
  };
}

/** (B·T, 1); 0 on virtual tokens and padding, which weigh nothing. */
function collateOutside(
  { indices, length }: BatchView,
  outside: SentenceLogits,
  virtualTokens: number,
): HostTensor<"float32"> {
  const values = new Float32Array(indices.length * length);
  for (const [row, index] of indices.entries())
    values.set(outside[index]?.values ?? [], row * length + virtualTokens);
  return float32(values, [values.length, 1]);
}
