// Dimensions: n rows, D features read, H hidden units, C classes.
/** A fitted network with one hidden layer, and what it says. */
import type { Algebra, Matrix, Matrix32 } from "../../../linalg/algebra.ts";

/** A hidden layer and a cosine head. */
export interface NetworkReadout {
  /** (D), taken away from the features before they are multiplied by `factor`. */
  readonly offset: Float32Array;
  readonly factor: number;
  /** (H, D) */
  readonly hidden: Matrix32;
  /** (H) */
  readonly bias: Float32Array;
  /** (C, H), rows of length 1. */
  readonly head: Matrix32;
  readonly scale: number;
}

/** Features less their mean, over their root mean square: what the network was trained to read. */
export function standardize(expanded: Matrix32, how: Pick<NetworkReadout, "offset" | "factor">): Matrix32 {
  const copy = { ...expanded, values: expanded.values.slice() };
  standardizeInPlace(copy, how);
  return copy;
}

/** As {@link standardize}, in the rows that are given. */
export function standardizeInPlace(
  { columns, values }: Matrix32,
  { offset, factor }: Pick<NetworkReadout, "offset" | "factor">,
): void {
  for (let start = 0; start < values.length; start += columns)
    for (let i = 0; i < columns; i++) values[start + i] = (values[start + i]! - offset[i]!) * factor;
}

/** Rows brought to length 1; in place. */
export function unitRows(values: Float32Array, columns: number): Float32Array {
  for (let start = 0; start < values.length; start += columns) {
    let squares = 0;
    for (let i = start; i < start + columns; i++) squares += values[i]! * values[i]!;
    const length = Math.sqrt(squares + 1e-12);
    for (let i = start; i < start + columns; i++) values[i]! /= length;
  }
  return values;
}

/** Logits, one product a layer. @param expanded the layers read, as they are, (n, D) @returns (n, C) */
export async function askNetwork(
  algebra: Algebra,
  readout: NetworkReadout,
  expanded: Matrix32,
): Promise<Matrix> {
  const { hidden, bias, head, scale } = readout;
  const active = await algebra.product32(standardize(expanded, readout), hidden, "second"); // (n, H)
  for (let start = 0; start < active.values.length; start += active.columns)
    for (let i = 0; i < bias.length; i++)
      active.values[start + i] = Math.max(0, active.values[start + i]! + bias[i]!);
  unitRows(active.values, active.columns);
  const { rows, columns, values } = await algebra.product32(active, head, "second");
  return { rows, columns, values: Float64Array.from(values, (cosine) => scale * cosine) };
}
