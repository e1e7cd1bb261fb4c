// Dimensions: B batch, T new tokens, P past tokens, H heads, K key-value heads, G = H/K, d head width, N = B·T rows.
import * as op from "../../graph/ops.ts";
import { type Dim, multiplyDims } from "../../graph/shape.ts";
import type { Value } from "../../graph/types.ts";
import { type LayerContext, MASKED } from "../layers/layers.ts";
import { rotations } from "../layers/rotary.ts";
import { hide } from "../layers/tokens.ts";
import type { DecoderConfig } from "./decoderConfig.ts";

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

/** One layer's keys, after rotation, and values, each (B, K, tokens, d). */
export interface KeyValue {
  readonly key: Value;
  readonly value: Value;
}

/** What was read before the new tokens: which places hold a real token, int64 (B, P), and each layer's keys and values. */
export interface Past {
  readonly mask: Value;
  /** int64 (B, P), the place of each in its text; there where a layer has a window. */
  readonly positions?: Value;
  readonly layers: readonly KeyValue[];
}

/** Causal self-attention of one layer, up to its output projection: q (N, H·d), k and v (N, K·d) → (N, H·d). */
export type Attend = (site: string, q: Value, k: Value, v: Value) => Value;

export interface DecoderAttention {
  /** Of the layer of that number, from 0. */
  layer(index: number): Attend;
  /** Of each layer that has attended, in order. */
  readonly keyValues: readonly KeyValue[];
}

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

/** (B, 1, T, S): hides what lies `window` tokens back or farther. @param seen int64 (B, S), positions of keys */
function windowMask(window: number, positionIds: Value, seen: Value): Value {
  const [batch = "B", tokens = "T"] = positionIds.shape;
  const others = seen.shape[1] ?? tokens;
  const distance = op.sub(
    op.reshape(positionIds, [batch, 1, tokens, 1]),
    op.reshape(seen, [batch, 1, 1, others]),
  );
  return op.mul(op.cast(op.greater(distance, window - 1), "float32"), MASKED);
}

/** A mask for every width of window, each built once. */
function masksByWindow(
  plain: Value,
  positionIds: Value,
  seen: Value | undefined,
): (window: number | undefined) => Value {
  const known = new Map<number | undefined, Value>();
  return (window) => {
    const narrowed =
      window === undefined || seen === undefined
        ? plain
        : op.add(plain, windowMask(window, positionIds, seen));
    const mask = known.get(window) ?? narrowed;
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

/** Softmax over past and new tokens together, and the mixed values, with neither copied to stand behind the other. */
function mixBoth(layout: Layout, scores: readonly [Value, Value], values: readonly [Value, Value]): Value {
  const [largestNew, largestPast] = [
    op.reduceMax(scores[0], [-1], true),
    op.reduceMax(scores[1], [-1], true),
  ];
  const largest = op.maximum(largestNew, largestPast); // (B, H, T, 1)
  const powers = [op.exp(op.sub(scores[0], largest)), op.exp(op.sub(scores[1], largest))] as const;
  const total = op.add(op.reduceSum(powers[0], [-1], true), op.reduceSum(powers[1], [-1], true));
  return op.div(op.add(mix(layout, powers[0], values[0]), mix(layout, powers[1], values[1])), total);
}

/**
 * Causal self-attention (Vaswani et al. 2017) with rotary positions where the model has them, and grouped queries
 * (Ainslie et al. 2023) without repeating a key.
 * @param past what the new tokens follow; all of it lies before them
 */
export function decoderAttention(
  config: DecoderConfig,
  context: LayerContext,
  inputs: AttentionInputs,
  past?: Past,
): DecoderAttention {
  const { heads, keyValueHeads, headWidth, attentionDropout } = config;
  const { scoreScale = 1 / Math.sqrt(headWidth) } = config;
  const [batch = "B", tokens = "T"] = inputs.attentionMask.shape;
  const layout = headLayout(config, batch, tokens);
  const rotate = rotations(headWidth, inputs.positionIds);
  const maskOf = masksByWindow(causalMask(inputs, batch, tokens), inputs.positionIds, inputs.positionIds);
  const hidden = past && op.reshape(hide(past.mask), [batch, 1, 1, past.mask.shape[1] ?? "P"]); // (B, 1, 1, P)
  const pastMaskOf = hidden && masksByWindow(hidden, inputs.positionIds, past.positions);
  const keyValues: KeyValue[] = [];

  const layer = (index: number): Attend => {
    const { rotary, window } = config.attention[index] ?? {};
    const turn = rotate(rotary);
    return (site, qRows, kRows, vRows) => {
      const q = layout.split(turn(qRows, heads), heads); // (B, H, T, d)
      const key = layout.split(turn(kRows, keyValueHeads), keyValueHeads); // (B, K, T, d)
      const value = layout.split(vRows, keyValueHeads); // (B, K, T, d)
      const before = past?.layers[index];
      keyValues.push({ key, value });
      const scores = maskedScores(layout, q, key, maskOf(window), scoreScale); // (B, H, T, T)
      if (before === undefined || pastMaskOf === undefined) {
        const weights = context.dropout(site, op.softmax(scores), attentionDropout);
        return layout.join(mix(layout, weights, value));
      }
      const scoresBefore = maskedScores(layout, q, before.key, pastMaskOf(window), scoreScale); // (B, H, T, P)
      return layout.join(mixBoth(layout, [scores, scoresBefore], [value, before.value]));
    };
  };
  return { layer, keyValues };
}
