// Dimensions: B batch, T new tokens, P past tokens, H heads, K key-value heads, G = H/K, d head width, N = B·T rows.
import { float32, type HostTensor } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import { type Dim, multiplyDims } from "../graph/shape.ts";
import type { Value } from "../graph/types.ts";
import type { DecoderConfig, Rotary } from "./decoderConfig.ts";
import { type LayerContext, MASKED } from "./layers.ts";

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
  readonly layers: readonly KeyValue[];
}

/** Causal self-attention of one layer, up to its output projection: q (N, H·d), k and v (N, K·d) → (N, H·d). */
export type Attend = (site: string, q: Value, k: Value, v: Value) => Value;

export interface DecoderAttention {
  readonly attend: Attend;
  /** Of each layer that has attended, in order. */
  readonly keyValues: readonly KeyValue[];
}

/**
 * The angle per position of every element of a head, and the sign of its partner's sine: elements i and i + width/2
 * turn by θ^(−2i/width) (Su et al. 2021, eq. 34, in the halves' order of Hugging Face); the rest do not turn.
 * Rounded to float32 at each step, as torch does, so that long texts get the same angles.
 */
function rotaryTables(rotary: Rotary, headWidth: number): readonly [HostTensor, HostTensor] {
  const { theta, width, factor } = rotary;
  const [angles, signs] = [new Float32Array(headWidth), new Float32Array(headWidth)];
  const half = width / 2;
  for (let i = 0; i < half; i++) {
    const period = Math.fround(theta ** Math.fround((2 * i) / width));
    const angle = Math.fround(1 / period) / factor;
    angles.fill(angle, i, i + 1).fill(angle, i + half, i + half + 1);
    signs.fill(-1, i, i + 1).fill(1, i + half, i + half + 1);
  }
  return [float32(angles, [headWidth]), float32(signs, [headWidth])];
}

/** Turns rows of heads by their positions: x·cos + partner(x)·sin. (N, h·d) → (N, h·d) for any number of heads h. */
function rotation(config: DecoderConfig, positionIds: Value): (x: Value, heads: number) => Value {
  const { rotary, headWidth } = config;
  if (rotary === undefined) return (x) => x;
  const [angles, signs] = rotaryTables(rotary, headWidth);
  const rows = multiplyDims(positionIds.shape);
  const positions = op.reshape(op.cast(positionIds, "float32"), [rows, 1, 1]);
  const turned = op.mul(positions, op.constant(angles)); // (N, 1, d)
  const cos = op.cos(turned); // (N, 1, d)
  const sin = op.mul(op.sin(turned), op.constant(signs)); // (N, 1, d)
  const half = rotary.width / 2;
  const bounds: readonly (readonly [number, number])[] = [
    [half, rotary.width],
    [0, half],
    ...(rotary.width < headWidth ? [[rotary.width, headWidth] as const] : []),
  ];
  return (x, heads) => {
    const perHead = op.reshape(x, [rows, heads, headWidth]); // (N, h, d)
    const partner = op.concat(
      bounds.map(([start, end]) => op.slice(perHead, -1, start, end)),
      -1,
    ); // (N, h, d)
    const result = op.add(op.mul(perHead, cos), op.mul(partner, sin)); // (N, h, d)
    return op.reshape(result, [rows, heads * headWidth]);
  };
}

/** Zero where the mask is 1, MASKED where it is 0. */
function hide(mask: Value): Value {
  const present = op.cast(mask, "float32");
  return op.mul(op.sub(op.scalar(1, present), present), MASKED);
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

/** q kᵀ/√d + mask. q (B, H, T, d), k (B, K, S, d) → (B, H, T, S) */
function maskedScores(layout: Layout, q: Value, k: Value, mask: Value, headWidth: number): Value {
  const scores = op.matmul(layout.grouped(q), k, { transposeB: true, alpha: 1 / Math.sqrt(headWidth) });
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
  const [batch = "B", tokens = "T"] = inputs.attentionMask.shape;
  const layout = headLayout(config, batch, tokens);
  const rotate = rotation(config, inputs.positionIds);
  const mask = causalMask(inputs, batch, tokens);
  const pastMask = past && op.reshape(hide(past.mask), [batch, 1, 1, past.mask.shape[1] ?? "P"]); // (B, 1, 1, P)
  const keyValues: KeyValue[] = [];

  const attend: Attend = (site, qRows, kRows, vRows) => {
    const q = layout.split(rotate(qRows, heads), heads); // (B, H, T, d)
    const key = layout.split(rotate(kRows, keyValueHeads), keyValueHeads); // (B, K, T, d)
    const value = layout.split(vRows, keyValueHeads); // (B, K, T, d)
    const before = past?.layers[keyValues.length];
    keyValues.push({ key, value });
    const scores = maskedScores(layout, q, key, mask, headWidth); // (B, H, T, T)
    if (before === undefined || pastMask === undefined) {
      const weights = context.dropout(site, op.softmax(scores), attentionDropout);
      return layout.join(mix(layout, weights, value));
    }
    const scoresBefore = maskedScores(layout, q, before.key, pastMask, headWidth); // (B, H, T, P)
    return layout.join(mixBoth(layout, [scores, scoresBefore], [value, before.value]));
  };
  return { attend, keyValues };
}
