// Dimensions: B batch, T tokens.
/** How far tokens lie apart, sorted into buckets. */
import { int64 } from "../../core/tensor.ts";
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";

/**
 * The bucket of every pair of tokens: what a table of distances says of query − key.
 * @param positionIds int64 (B, T). Encoders are padded on the right, so a batch's longest text has every position
 * @param longest positions that a text may have
 * @param bucketOf of a distance, −longest < distance < longest; a function of it alone
 * @returns int64 (T, T), the same for every text
 */
export function bucketsOfPairs(
  positionIds: Value,
  longest: number,
  bucketOf: (distance: number) => number,
): Value {
  const [, tokens = "T"] = positionIds.shape;
  const places = op.cast(op.reduceMax(op.cast(positionIds, "float32"), [0]), "int64"); // (T)
  const distances = op.sub(op.reshape(places, [tokens, 1]), op.reshape(places, [1, tokens])); // (T, T)
  const table = BigInt64Array.from({ length: 2 * longest - 1 }, (_, i) => BigInt(bucketOf(i - longest + 1)));
  return op.gather(op.constant(int64(table, [table.length])), op.add(distances, longest - 1));
}
