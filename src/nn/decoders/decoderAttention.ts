// Dimensions: B batch, T tokens, H heads, K key-value heads, G = H/K, d head width, N = B·T rows.
import * as op from "../../graph/ops.ts";
import { type Dim, multiplyDims } from "../../graph/shape.ts";
import type { Value } from "../../graph/types.ts";
import { type LayerContext, MASKED } from "../layers/layers.ts";
import { rotations } from "../layers/rotary.ts";
import { hide } from "../layers/tokens.ts";
import { type DecoderConfig, scoreScaleOf } from "./decoderConfig.ts";

/** What a decoder reads of its inputs to know who sees whom. */
export interface AttentionInputs {
  readonly attentionMask: Value;
  readonly positionIds: Value;
  /**
   * For new tokens that branch: int64 (T, T), the same for every text, 1 where the row's token may see the column's.
   * Absent: a token sees what is not later than itself.
   */
  readonly tree?: Value;
}

/** Causal self-attention of one layer, up to its output projection: q (N, H·d), k and v (N, K·d) → (N, H·d). */
export type Attend = (site: string, q: Value, k: Value, v: Value) => Value;

/** That of the layer of some number, from 0. */
export type AttentionOfLayer = (index: number) => Attend;

/**
 * (B, 1, T, T): a token sees the real tokens whose position is not after its own. Positions count real tokens, so
 * this is the usual triangle wherever the padding stands. A row of padding sees nothing: its values mean nothing.
 */
function causalMask({ attentionMask, positionIds, tree }: AttentionInputs, batch: Dim, tokens: Dim): Value {
  if (tree !== undefined) {
    const apart = op.reshape(hide(tree), [1, 1, tokens, tokens]);
    return op.add(apart, op.reshape(hide(attentionMask), [batch, 1, 1, tokens]));
  }
  const at = (shape: readonly Dim[]) => op.reshape(positionIds, shape);
  const later = op.cast(op.greater(at([batch, 1, tokens]), at([batch, tokens, 1])), "float32"); // (B, T, T)
  const padding = op.reshape(hide(attentionMask), [batch, 1, tokens]);
  return op.reshape(op.add(op.mul(later, MASKED), padding), [batch, 1, tokens, tokens]);
}

/** (B, 1, T, T): hides what lies `window` tokens back or farther. */
function windowMask(window: number, positionIds: Value): Value {
  const [batch = "B", tokens = "T"] = positionIds.shape;
  const at = (shape: readonly Dim[]) => op.reshape(positionIds, shape);
  const distance = op.sub(at([batch, 1, tokens, 1]), at([batch, 1, 1, tokens]));
  return op.mul(op.cast(op.greater(distance, window - 1), "float32"), MASKED);
}

/** A mask for every width of window, each built once. */
function masksByWindow(plain: Value, positionIds: Value): (window: number | undefined) => Value {
  const known = new Map<number | undefined, Value>();
  return (window) => {
    const mask =
      known.get(window) ?? (window === undefined ? plain : op.add(plain, windowMask(window, positionIds)));
    known.set(window, mask);
    return mask;
  };
}

/** Splits rows into heads and joins them again, for a batch of some size. */
function headLayout(config: DecoderConfig, batch: Dim, tokens: Dim) {
  const { heads, keyValueHeads, headWidth } = config;
  const group = heads / keyValueHeads;
  return {
    /** (N, h·d) → (B, h, T, d) */
    split: (x: Value, count: number) =>
      op.transpose(op.reshape(x, [batch, tokens, count, headWidth]), [0, 2, 1, 3]),
    /** (B, H, T, d) → (N, H·d) */
    join: (x: Value) =>
      op.reshape(op.transpose(x, [0, 2, 1, 3]), [multiplyDims([batch, tokens]), heads * headWidth]),
    /** (B, H, T, s) → (B, K, G·T, s): the queries that share a key lie side by side already. */
    grouped: (x: Value) =>
      group === 1
        ? x
        : op.reshape(x, [batch, keyValueHeads, multiplyDims([group, tokens]), x.shape[3] ?? headWidth]),
    /** (B, K, G·T, s) → (B, H, T, s) */
    ungrouped: (x: Value) =>
      group === 1 ? x : op.reshape(x, [batch, heads, tokens, x.shape[3] ?? headWidth]),
  };
}

type Layout = ReturnType<typeof headLayout>;

/** scale·q kᵀ + mask. q (B, H, T, d), k (B, K, S, d) → (B, H, T, S) */
function maskedScores(layout: Layout, q: Value, k: Value, mask: Value, scale: number): Value {
  const scores = op.matmul(layout.grouped(q), k, { transposeB: true, alpha: scale });
  return op.add(layout.ungrouped(scores), mask);
}

/** weights · v. weights (B, H, T, S), v (B, K, S, d) → (B, H, T, d) */
function mix(layout: Layout, weights: Value, v: Value): Value {
  return layout.ungrouped(op.matmul(layout.grouped(weights), v));
}

/**
 * Causal self-attention (Vaswani et al. 2017) with rotary positions where the model has them, and grouped queries
 * (Ainslie et al. 2023) without repeating a key.
 */
export function decoderAttention(
  config: DecoderConfig,
  context: LayerContext,
  inputs: AttentionInputs,
): AttentionOfLayer {
  const { heads, keyValueHeads, headWidth, attentionDropout } = config;
  const [batch = "B", tokens = "T"] = inputs.attentionMask.shape;
  const layout = headLayout(config, batch, tokens);
  const rotate = rotations(headWidth, inputs.positionIds);
  const maskOf = masksByWindow(causalMask(inputs, batch, tokens), inputs.positionIds);
  return (index) => {
    const { rotary, window } = config.attention[index] ?? {};
    const turn = rotate(rotary);
    return (site, qRows, kRows, vRows) => {
      const q = layout.split(turn(qRows, heads), heads); // (B, H, T, d)
      const key = layout.split(turn(kRows, keyValueHeads), keyValueHeads); // (B, K, T, d)
      const value = layout.split(vRows, keyValueHeads); // (B, K, T, d)
      const scores = maskedScores(layout, q, key, maskOf(window), scoreScaleOf(config)); // (B, H, T, T)
      const weights = context.dropout(site, op.softmax(scores), attentionDropout);
      return layout.join(mix(layout, weights, value));
    };
  };
}
