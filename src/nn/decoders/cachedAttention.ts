// Dimensions: B batch, T new tokens, P places of the cache, H heads, K key-value heads, d head width, N = B·T rows.
import { GraphError } from "../../core/errors.ts";
import * as op from "../../graph/ops.ts";
import { multiplyDims } from "../../graph/shape.ts";
import type { Value } from "../../graph/types.ts";
import { type Rotary, rotaryTurns } from "../layers/rotary.ts";
import type { AttentionOfLayer } from "./decoderAttention.ts";
import { type DecoderConfig, scoreScaleOf } from "./decoderConfig.ts";

/** Keys, after rotation, and values of one layer. */
export interface KeyValue {
  readonly key: Value;
  readonly value: Value;
}

/** What was read before the new tokens. */
export interface Past {
  /** int64 (B), the tokens of each text, the new ones among them. */
  readonly lengths: Value;
  /** Each layer's cache, (B, K, P, d). */
  readonly layers: readonly KeyValue[];
}

/** The input names of a layer's past keys and values. */
export function pastInput(layer: number, part: keyof KeyValue): string {
  return `past_key_values.${layer}.${part}`;
}

/** The past as graph inputs: `lengths` int64 (B), and each layer's keys and values (B, K, P, d). */
export function declarePast(config: DecoderConfig): Past {
  const { layers, keyValueHeads, headWidth } = config;
  const declare = (layer: number, part: keyof KeyValue) =>
    op.input(pastInput(layer, part), "float32", ["B", keyValueHeads, "P", headWidth]);
  return {
    lengths: op.input("lengths", "int64", ["B"]),
    layers: Array.from({ length: layers }, (_, layer) => ({
      key: declare(layer, "key"),
      value: declare(layer, "value"),
    })),
  };
}

/** Turns (B, T, h·d) by the positions of a batch; the cosines and sines of each kind of rotation once. */
function turns(positionIds: Value): (rotary: Rotary | undefined, x: Value, heads: number) => Value {
  const known = new Map<Rotary, ReturnType<typeof rotaryTurns>>();
  return (rotary, x, heads) => {
    if (rotary === undefined) return x;
    const { cos, sin } = known.get(rotary) ?? rotaryTurns(rotary, positionIds);
    known.set(rotary, { cos, sin });
    return op.rotate(x, cos, sin, heads);
  };
}

/**
 * What `decoderAttention` computes, for tokens behind a cache and without gradients: each layer is one operator of the engine.
 * @returns beside it each layer's new keys and values, (B, T, K·d), as far as layers have attended
 */
export function cachedAttention(
  config: DecoderConfig,
  positionIds: Value,
  past: Past,
): { readonly attention: AttentionOfLayer; readonly keyValues: readonly KeyValue[] } {
  const { heads, keyValueHeads, headWidth } = config;
  const [batch = "B", tokens = "T"] = positionIds.shape;
  const turn = turns(positionIds);
  const keyValues: KeyValue[] = [];
  const attention: AttentionOfLayer = (index) => {
    const { rotary, window } = config.attention[index] ?? {};
    const before = past.layers[index];
    if (before === undefined) throw new GraphError(`attention: the past has no layer ${index}`);
    const attributes = {
      heads,
      keyValueHeads,
      scale: scoreScaleOf(config),
      ...(window !== undefined && { window }),
    };
    return (_, qRows, kRows, vRows) => {
      const rows = (x: Value, count: number) => op.reshape(x, [batch, tokens, count * headWidth]);
      const q = turn(rotary, rows(qRows, heads), heads); // (B, T, H·d)
      const key = turn(rotary, rows(kRows, keyValueHeads), keyValueHeads); // (B, T, K·d)
      const value = rows(vRows, keyValueHeads); // (B, T, K·d)
      keyValues.push({ key, value });
      const mixed = op.cachedAttention(q, [key, value], [before.key, before.value], past.lengths, attributes);
      return op.reshape(mixed, [multiplyDims([batch, tokens]), heads * headWidth]); // (N, H·d)
    };
  };
  return { attention, keyValues };
}
