/** B: examples in a batch. T: tokens, the longest of the batch. */
import { GraphError } from "../../core/errors.ts";
import { type Rng, shuffled } from "../../core/random.ts";
import { type HostTensor, int64 } from "../../core/tensor.ts";
import type { Encoding } from "./tokenizer.ts";

/** Batches sorted together: larger pools pad less, smaller ones mix lengths better within an epoch. */
const POOL_BATCHES = 50;

export interface Batch {
  readonly size: number;
  readonly length: number;
  readonly inputIds: HostTensor<"int64">; // (B, T)
  readonly attentionMask: HostTensor<"int64">; // (B, T), 1 on tokens, 0 on padding
  readonly tokenTypeIds: HostTensor<"int64">; // (B, T)
  /** Tokens of each example, special ones included. */
  readonly lengths: readonly number[];
}

function checkBatchSize(batchSize: number): void {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new GraphError(`batch size must be a whole number of at least 1, got ${batchSize}`);
}

function cut(indices: readonly number[], batchSize: number): number[][] {
  const batches: number[][] = [];
  for (let start = 0; start < indices.length; start += batchSize)
    batches.push(indices.slice(start, start + batchSize));
  return batches;
}

function byLength(indices: readonly number[], lengths: readonly number[]): number[] {
  return indices.toSorted((a, b) => lengths[a]! - lengths[b]!);
}

/**
 * Plans one epoch: examples of like length share a batch, and chance decides which and in what order.
 * @returns batches of indices into `lengths`; each index occurs once, at most one batch is smaller
 */
export function planBatches(lengths: readonly number[], batchSize: number, rng: Rng): number[][] {
  checkBatchSize(batchSize);
  const order = shuffled([...lengths.keys()], rng);
  const pools = cut(order, batchSize * POOL_BATCHES);
  return shuffled(
    pools.flatMap((pool) => cut(byLength(pool, lengths), batchSize)),
    rng,
  );
}

/** Plans a pass that no chance may touch: all examples by length, shortest first. */
export function planEvaluationBatches(lengths: readonly number[], batchSize: number): number[][] {
  checkBatchSize(batchSize);
  return cut(byLength([...lengths.keys()], lengths), batchSize);
}

/**
 * Lays encodings out as the tensors of one batch, padded to the longest.
 * @param padId token id written on padding; its attention is 0
 */
export function collate(
  encodings: readonly Encoding[],
  padId: number,
  paddingSide: "left" | "right" = "right",
): Batch {
  if (encodings.length === 0) throw new GraphError("a batch needs at least one example");
  const size = encodings.length;
  const lengths = encodings.map((encoding) => encoding.ids.length);
  const length = Math.max(...lengths);
  const dims = [size, length];
  const ids = new BigInt64Array(size * length).fill(BigInt(padId));
  const mask = new BigInt64Array(size * length);
  const types = new BigInt64Array(size * length);
  encodings.forEach((encoding, row) => {
    const start = row * length + (paddingSide === "left" ? length - encoding.ids.length : 0);
    for (let i = 0; i < encoding.ids.length; i++) {
      ids[start + i] = BigInt(encoding.ids[i]!);
      types[start + i] = BigInt(encoding.typeIds[i]!);
      mask[start + i] = 1n;
    }
  });
  return {
    size,
    length,
    inputIds: int64(ids, dims),
    attentionMask: int64(mask, dims),
    tokenTypeIds: int64(types, dims),
    lengths,
  };
}
