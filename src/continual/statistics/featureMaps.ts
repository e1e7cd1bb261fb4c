// Dimensions: n rows, F routing features, D those that an expansion reads, M what it gives.
/**
 * Fixed maps from routing features to what a closed form is fitted on. All is whole numbers: inputs are fixed point,
 * random weights are rounded, outputs have few bits. So neither order nor batch has a say, and Gram matrices are exact.
 */
import { EngineError } from "../../core/errors.ts";
import { createRng } from "../../core/random.ts";
import type { Algebra, Matrix32 } from "../../linalg/algebra.ts";
import type { FeatureConstants, FixedRows } from "../types.ts";
import { FIXED_SCALE, LENGTH_SLACK } from "./fixedRows.ts";

/** What of the features is read, and what is made of it. */
export interface FeatureMap {
  /**
   * `identity`: the features. `rounded`: the features in steps of 2^−10, few enough for products that are exact in float32.
   * `relu`: max(0, W·x), W normal (McDonnell et al. 2023, RanPAC).
   */
  readonly kind: "identity" | "rounded" | "relu";
  /** Places in `FeatureConstants.layers`; absent: all. */
  readonly layers?: readonly number[];
  /** M; the identity's is that of its layers. */
  readonly size?: number;
}

/** Of the features' fixed point in one step of rounded features. */
const ROUNDED_BITS = 5;
export const ROUNDED_STEP = 2 ** ROUNDED_BITS;
/** Standard deviation of a random weight before it is rounded to a whole number. */
const WEIGHT_DEVIATION = 8;
/** Sums below this are exact in float32. */
export const EXACT_FLOAT32 = 2 ** 24;
/** ReLU features: steps of a standard deviation of W·x, in 7 bits: cut at four deviations. */
const RELU_STEPS = 32;
/** Random features are at most 127, so that 1,024 products of two sum to less than 2^24. */
const LARGEST = 127;
/** Rows whose products are summed in float32. */
export const EXACT_ROWS = 1024;

/** Names an expansion: equal ones give the same numbers. */
export function featureMapKey({ kind, layers, size }: FeatureMap): string {
  return JSON.stringify([kind, layers ?? null, size ?? null]);
}

/** The columns that an expansion reads, as [start, end) pairs. */
function columnsOf(
  expansion: FeatureMap,
  { layers, width }: FeatureConstants,
): (readonly [number, number])[] {
  const each = width / layers.length;
  const places = expansion.layers ?? layers.map((_, place) => place);
  return places.map((place) => {
    if (place >= layers.length)
      throw new EngineError(
        `a router reads layer number ${place} of the features, which have ${layers.length}`,
      );
    return [place * each, (place + 1) * each];
  });
}

/** M: how many numbers an expansion gives. */
export function expandedSize(expansion: FeatureMap, constants: FeatureConstants): number {
  if (expansion.kind === "relu" && expansion.size !== undefined) return expansion.size;
  return columnsOf(expansion, constants).reduce((sum, [start, end]) => sum + end - start, 0);
}

/** Whole numbers with the standard deviation {@link WEIGHT_DEVIATION}, (M, D), and the longest row's length. */
function drawWeights(seed: number, size: number, inputs: number, expansion: FeatureMap) {
  // Saved routers hold no weights and draw them anew, so the names of the stream stay as they are.
  const rng = createRng(seed).fork("expansion", expansion.kind, 0);
  const values = new Float32Array(size * inputs);
  let longest = 0;
  for (let row = 0; row < size; row++) {
    // A row hangs on its number alone: the first of many random features are those of few.
    const draw = rng.fork(row);
    let squares = 0;
    for (let i = 0; i < inputs; i++) {
      const weight = Math.round(WEIGHT_DEVIATION * draw.normal());
      values[row * inputs + i] = weight;
      squares += weight * weight;
    }
    longest = Math.max(longest, Math.sqrt(squares));
  }
  return { values, longest };
}

/** An expansion with its random weights drawn. */
export class FeatureMapper {
  readonly expansion: FeatureMap;
  /** M */
  readonly size: number;
  private readonly columns: readonly (readonly [number, number])[];
  private readonly inputs: number;
  private readonly weights: Matrix32 | undefined;
  /** Bits that inputs lose so that every sum of W·x is exact. */
  private readonly shift: number = 0;

  constructor(expansion: FeatureMap, constants: FeatureConstants) {
    this.expansion = expansion;
    this.columns = columnsOf(expansion, constants);
    this.inputs = this.columns.reduce((sum, [start, end]) => sum + end - start, 0);
    this.size = expandedSize(expansion, constants);
    if (expansion.kind !== "relu") return;
    const { values, longest } = drawWeights(constants.seed, this.size, this.inputs, expansion);
    this.weights = { rows: this.size, columns: this.inputs, values };
    // |Σ x_i·w_i| ≤ |x|·|w|, for every part of the sum too.
    const length = Math.sqrt(this.columns.length) * (1 + LENGTH_SLACK);
    while ((length * FIXED_SCALE * longest) / 2 ** this.shift >= EXACT_FLOAT32) this.shift += 1;
  }

  /** What W·x is in whole numbers where it would be 1 for standard normal W and features as they are. */
  private get unit(): number {
    return (WEIGHT_DEVIATION * FIXED_SCALE) / 2 ** this.shift;
  }

  /**
   * @param rows (n, F)
   * @returns (n, M), whole numbers: within ±2^15 for the identity, ±2^10 rounded, 0 to 127 for random features
   */
  async expand(algebra: Algebra, rows: FixedRows, size = this.size): Promise<Matrix32> {
    const values = this.gather(rows);
    if (this.weights === undefined) return { rows: rows.rows, columns: this.inputs, values };
    const weights = {
      rows: size,
      columns: this.inputs,
      values: this.weights.values.subarray(0, size * this.inputs),
    };
    const product = await algebra.product32(
      { rows: rows.rows, columns: this.inputs, values },
      weights,
      "second",
    );
    this.rectify(product.values);
    return product;
  }

  /** The columns read, with {@link shift} bits less. */
  private gather({ rows, width, values }: FixedRows): Float32Array {
    const gathered = new Float32Array(rows * this.inputs);
    const divisor = 2 ** this.shift;
    const rounded = this.expansion.kind === "rounded";
    let place = 0;
    for (let row = 0; row < rows; row++)
      for (const [start, end] of this.columns) {
        const last = row * width + end;
        let i = row * width + start;
        // Half a step added, then floored: Math.round of a quotient, many times faster.
        if (rounded) while (i < last) gathered[place++] = (values[i++]! + ROUNDED_STEP / 2) >> ROUNDED_BITS;
        else while (i < last) gathered[place++] = values[i++]!;
      }
    if (this.shift > 0)
      for (let i = 0; i < gathered.length; i++) gathered[i] = Math.trunc(gathered[i]! / divisor);
    return gathered;
  }

  private rectify(values: Float32Array): void {
    const factor = RELU_STEPS / (this.unit * Math.sqrt(this.columns.length));
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      values[i] = value > 0 ? Math.min(LARGEST, Math.round(value * factor)) : 0;
    }
  }
}
