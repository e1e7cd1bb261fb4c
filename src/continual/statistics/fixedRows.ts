// Dimensions: n rows, F routing features.
/** Features in fixed point: rounded once, so that sums over them are whole numbers and exact in any order. */
import { DataError } from "../../core/errors.ts";
import { FNV_OFFSET, hashIn, spreadBits } from "../../core/hashing.ts";
import type { FeatureRows, FixedRows } from "../types.ts";

/**
 * A pooled state of length 1 has components in [−1, 1]; a product of two is below 2^30, so a sum of 2^22 of them, which
 * `totals.ts` lets through at most, is a whole number that float64 holds exactly.
 */
export const FIXED_SCALE = 2 ** 15;
/** The largest number of a row. */
export const FIXED_LARGEST = 2 ** 15 - 1;

/** A fraction by which rounding may make a layer's part longer than 1. */
export const LENGTH_SLACK = 0.01;

/** Of every 100 rows of a class, how many choose λ, shrinkage, temperature and the kind of router. */
const HELD_OUT_SHARE = 0.15;

/**
 * Rounds features to fixed point, ties away from zero; what lies outside [−1, 1) becomes the nearest end.
 * @param features (n, F), each layer's part of length 1
 * @throws DataError naming the first row with a value that is not finite
 */
export function quantize(features: FeatureRows): FixedRows {
  const { rows, width } = features;
  const values = new Int16Array(rows * width);
  for (let i = 0; i < values.length; i++) {
    const value = features.values[i]! * FIXED_SCALE;
    if (!Number.isFinite(value))
      throw new DataError(`feature ${i % width} of text ${Math.floor(i / width)} is ${value}: not a number`);
    const rounded = value < 0 ? -Math.round(-value) : Math.round(value);
    values[i] = Math.max(-FIXED_LARGEST, Math.min(FIXED_LARGEST, rounded));
  }
  return { rows, width, values };
}

/** The inverse of {@link quantize}, exact: (n, F). */
export function dequantize({ rows, width, values }: FixedRows): FeatureRows {
  return { rows, width, values: Float32Array.from(values, (value) => value / FIXED_SCALE) };
}

/** Chosen rows, in the order given. */
export function takeRows({ width, values }: FixedRows, indices: readonly number[]): FixedRows {
  const taken = new Int16Array(indices.length * width);
  indices.forEach((index, row) => {
    taken.set(values.subarray(index * width, (index + 1) * width), row * width);
  });
  return { rows: indices.length, width, values: taken };
}

/** Rows [start, end), the last again and again until there are `size`: products are always as tall. */
export function blockOf(start: number, end: number, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Math.min(start + i, end - 1));
}

/** FNV-1a over a row's numbers, then murmur3's finaliser: the same row has the same hash wherever it stands. */
export function hashRow(values: Int16Array): number {
  let h = FNV_OFFSET;
  for (let i = 0; i < values.length; i++) h = hashIn(h, values[i]! & 0xffff);
  return spreadBits(h);
}

/**
 * Whether a row is one of the 15 % that choose hyperparameters: a function of the row's own numbers, so neither the
 * order of tasks nor any other class has a say.
 */
export function isHeldOut(hash: number): boolean {
  return hash < HELD_OUT_SHARE * 2 ** 32;
}
