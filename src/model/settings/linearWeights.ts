// Dimensions: K inputs and O outputs of a linear layer.
/** Weights of linear layers rounded to 8 bits, column by column. */
import { CheckpointError } from "../../core/errors.ts";
import type { WeightSource } from "../../graph/types.ts";
import { readTensor, type TensorToStore } from "../../io/safetensors.ts";

/** Steps on either side of 0. */
const STEPS = 127;

/** A linear layer's weight as it is stored. */
export interface LinearWeight {
  readonly source: WeightSource;
  /** Stored (in, out), as GPT-2's Conv1D; else (out, in), as torch's Linear. */
  readonly inOut: boolean;
  /** The normalisation whose result it reads, by the name of its γ. */
  readonly norm?: string;
}

/** Values, and where the one of input k and output o lies: k·down + o·across. */
interface Matrix {
  readonly values: Float32Array;
  /** K */
  readonly rows: number;
  /** O */
  readonly columns: number;
  readonly down: number;
  readonly across: number;
}

/** W, (K, O), read where it lies. */
async function readLinear({ source, inOut }: LinearWeight): Promise<Matrix> {
  const [first = 0, second = 0] = source.dims;
  const { data: values } = await readTensor(source);
  if (!(values instanceof Float32Array)) throw new CheckpointError(`${source.file}: weights are no floats`);
  if (inOut) return { values, rows: first, columns: second, down: second, across: 1 };
  return { values, rows: second, columns: first, down: 1, across: second };
}

function transpose({ values, rows, columns, down, across }: Matrix): Matrix {
  return { values, rows: columns, columns: rows, down: across, across: down };
}

/** W with its rows divided by the factors of what it is multiplied with. */
async function readSmoothed(linear: LinearWeight, factors: Float32Array | undefined): Promise<Matrix> {
  const matrix = await readLinear(linear);
  if (factors === undefined) return matrix;
  const { values, rows, columns, down, across } = matrix;
  for (let k = 0; k < rows; k++)
    for (let o = 0; o < columns; o++) values[k * down + o * across]! /= factors[k]!;
  return matrix;
}

/** max_k|w_ko| of each column: (O) */
function columnMaxima({ values, rows, columns, down, across }: Matrix): Float32Array {
  const largest = new Float32Array(columns);
  for (let row = 0; row < rows; row++)
    for (let c = 0; c < columns; c++)
      largest[c] = Math.max(largest[c]!, Math.abs(values[row * down + c * across]!));
  return largest;
}

/** max_o|w_ko| over several layers of as many inputs: (K) */
export async function rowMaxima(linears: readonly LinearWeight[], size: number): Promise<Float32Array> {
  const largest = new Float32Array(size);
  for (const linear of linears)
    columnMaxima(transpose(await readLinear(linear))).forEach((own, k) => {
      largest[k] = Math.max(largest[k]!, own);
    });
  return largest;
}

/** Of each column, the largest element/127: (O) */
function columnScales(matrix: Matrix): Float32Array {
  return columnMaxima(matrix).map((largest) => (largest === 0 ? 1 : largest / STEPS));
}

/** round(w/scale), (K, O) */
function columnCodes(matrix: Matrix): Int8Array {
  const { values, rows, columns, down, across } = matrix;
  const scales = columnScales(matrix);
  const codes = new Int8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let c = 0; c < columns; c++)
      codes[row * columns + c] = Math.round(values[row * down + c * across]! / scales[c]!);
  return codes;
}

/** What the columns of the rounded matrix add up to: (O) */
function columnSums(matrix: Matrix): Float32Array {
  const { rows, columns } = matrix;
  const codes = columnCodes(matrix);
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++)
    for (let c = 0; c < columns; c++) sums[c]! += codes[row * columns + c]!;
  return columnScales(matrix).map((scale, c) => scale * sums[c]!);
}

export const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Int8Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/**
 * What is kept of a linear layer: codes, scales and sums of W, and codes and scales of Wᵀ, which gradients go through. Each is made
 * when it is written.
 * @param factorsOf (K), by a normalisation
 */
export function linearTensors(
  name: string,
  linear: LinearWeight,
  factorsOf: (norm: string) => Promise<Float32Array>,
): readonly (readonly [string, TensorToStore])[] {
  const [first = 0, second = 0] = linear.source.dims;
  const [k, o] = linear.inOut ? [first, second] : [second, first];
  const smoothed = async () => readSmoothed(linear, linear.norm ? await factorsOf(linear.norm) : undefined);
  const transposed = async () => transpose(await readLinear(linear));
  const floats = (part: string, size: number, make: () => Promise<Float32Array>) =>
    [`${name} ${part}`, { dtype: "float32", dims: [size], read: async () => bytesOf(await make()) }] as const;
  const bytes = (part: string, dims: readonly number[], make: () => Promise<Int8Array>) =>
    [`${name} ${part}`, { dtype: "uint8", dims, read: async () => bytesOf(await make()) }] as const;
  return [
    bytes("codes", [k, o], async () => columnCodes(await smoothed())),
    floats("scales", o, async () => columnScales(await smoothed())),
    floats("sums", o, async () => columnSums(await smoothed())),
    bytes("transposed codes", [o, k], async () => columnCodes(await transposed())),
    floats("transposed scales", k, async () => columnScales(await transposed())),
  ];
}
