// Dimensions: n rows, F routing features.
/** Small routing features: normal clouds about random centres, each layer's part of length 1. */
import { quantize } from "../../src/continual/statistics/fixedRows.ts";
import type { Contribution } from "../../src/continual/statistics/statistics.ts";
import type { FeatureConstants, FeatureRows } from "../../src/continual/types.ts";
import { createRng } from "../../src/core/random.ts";

export const constants: FeatureConstants = { backbone: "tiny", layers: [1, 2], width: 16, seed: 7 };

/** @param spread of a class about its centre */
export function cloud(label: string, rows: number, seed: number, spread = 0.15): FeatureRows {
  const { width, layers } = constants;
  const each = width / layers.length;
  const centre = createRng(11).fork(label);
  const middle = Array.from({ length: width }, () => centre.normal());
  const rng = createRng(seed).fork(label, "rows");
  const values = new Float32Array(rows * width);
  for (let start = 0; start < values.length; start += each) {
    const part = Array.from(
      { length: each },
      (_, i) => middle[(start + i) % width]! + spread * 4 * rng.normal(),
    );
    const length = Math.hypot(...part);
    values.set(
      part.map((value) => value / length),
      start,
    );
  }
  return { rows, width, values };
}

export function contribution(label: string, rows: number, seed: number, spread?: number): Contribution {
  return { label, rows: quantize(cloud(label, rows, seed, spread)) };
}
