import { EngineError } from "../core/errors.ts";
import { sizeOf } from "../core/tensor.ts";
import type { Dim, Shape } from "../graph/shape.ts";
import type { OpAttributes, OpKind, WeightSource } from "../graph/types.ts";
import { erf, erfc } from "./referenceErf.ts";
import {
  broadcastDims,
  broadcastOffsets,
  type Dense,
  dense,
  fromHost,
  isFloat,
  offsetsOf,
  stridesOf,
} from "./referenceTensor.ts";

/** What a rule may ask about the run it is part of. */
export interface InterpretContext {
  feed(input: OpAttributes["input"]): Dense;
  weight(source: WeightSource): Dense;
  dim(dim: Dim): number;
  dims(shape: Shape): readonly number[];
}

/** Computes a node's outputs from its operands, in float64. */
export type InterpretRule<K extends OpKind> = (
  attributes: OpAttributes[K],
  inputs: readonly Dense[],
  context: InterpretContext,
) => readonly Dense[];

function operand(inputs: readonly Dense[], index: number): Dense {
  const value = inputs[index];
  if (value === undefined) throw new EngineError(`operand ${index} is missing`);
  return value;
}

function unary(f: (x: number) => number) {
  return (_: unknown, inputs: readonly Dense[]): readonly Dense[] => {
    const x = operand(inputs, 0);
    return [dense(x.dtype, x.dims, x.data.map(f))];
  };
}

function binary(kind: string, f: (a: number, b: number) => number, result?: "bool") {
  return (_: unknown, inputs: readonly Dense[]): readonly Dense[] => {
    const [a, b] = [operand(inputs, 0), operand(inputs, 1)];
    const dims = broadcastDims(kind, a.dims, b.dims);
    const [atA, atB] = [broadcastOffsets(a.dims, dims), broadcastOffsets(b.dims, dims)];
    const y = dense(result ?? a.dtype, dims);
    for (let i = 0; i < y.data.length; i++) y.data[i] = f(a.data[atA[i]!]!, b.data[atB[i]!]!);
    return [y];
  };
}

function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const part = x - down;
  if (part !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** What a byte stands for in a row: step · (byte − zero). */
function rowSteps(row: Float64Array, ownZero: boolean) {
  let [smallest, largest] = [0, 1e-30];
  for (const value of row) {
    smallest = Math.min(smallest, value);
    largest = Math.max(largest, ownZero ? value : Math.abs(value));
  }
  if (!ownZero) return { step: Math.fround(largest / 127), zero: 128, most: 255 };
  const step = Math.fround((largest - smallest) / 255);
  return { step, zero: roundHalfEven(-smallest / step), most: 255 };
}

/** Calls `visit` with the start of each row along the last axis. */
function forEachRow(x: Dense, visit: (start: number, width: number, row: number) => void): void {
  const width = x.dims.at(-1) ?? 1;
  for (let row = 0; row * width < x.data.length; row++) visit(row * width, width, row);
}

function reduce(start: number, f: (sum: number, x: number) => number) {
  return (
    { axes, keepDims }: OpAttributes["reduceSum"],
    inputs: readonly Dense[],
    { dims }: InterpretContext,
  ): readonly Dense[] => {
    const x = operand(inputs, 0);
    const reduced = new Set(axes);
    const kept = x.dims.map((dim, axis) => (reduced.has(axis) ? 1 : dim));
    const y = dense(x.dtype, dims(keepDims ? kept : x.dims.filter((_, axis) => !reduced.has(axis))));
    y.data.fill(start);
    const to = broadcastOffsets(kept, x.dims);
    for (let i = 0; i < x.data.length; i++) y.data[to[i]!] = f(y.data[to[i]!]!, x.data[i]!);
    return [y];
  };
}

/** alpha · op(a) · op(b) for each of the leading entries; a matrix b serves every one of them. */
function product({ transposeA, transposeB, alpha }: OpAttributes["matmul"], a: Dense, b: Dense): Dense {
  const [aRows, aColumns] = [a.dims.at(-2)!, a.dims.at(-1)!];
  const [bRows, bColumns] = [b.dims.at(-2)!, b.dims.at(-1)!];
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [k2, n] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
  if (k !== k2) throw new EngineError(`product: inner dims differ: ${k} and ${k2}`);
  const [aRow, aStep] = transposeA ? [1, aColumns] : [aColumns, 1];
  const [bStep, bColumn] = transposeB ? [1, bColumns] : [bColumns, 1];
  const batch = a.dims.slice(0, -2);
  const y = dense(a.dtype, [...batch, m, n]);
  for (let entry = 0; entry < sizeOf(batch); entry++) {
    const [aStart, yStart] = [entry * m * k, entry * m * n];
    const bStart = b.dims.length > 2 ? entry * k * n : 0;
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let s = 0; s < k; s++)
          sum += a.data[aStart + i * aRow + s * aStep]! * b.data[bStart + s * bStep + j * bColumn]!;
        y.data[yStart + i * n + j] = alpha * sum;
      }
  }
  return y;
}

/** Copies x into y along an axis: x's element `i` there becomes y's element `i + shift`, where y has it. */
function copyShifted(x: Dense, y: Dense, axis: number, shift: number): void {
  const [strides, positions] = [stridesOf(y.dims), stridesOf(x.dims)];
  const to = offsetsOf(x.dims, strides);
  const [size, limit, stride] = [x.dims[axis]!, y.dims[axis]!, strides[axis]!];
  for (let i = 0; i < x.data.length; i++) {
    const at = (Math.floor(i / positions[axis]!) % size) + shift;
    if (at >= 0 && at < limit) y.data[to[i]! + shift * stride] = x.data[i]!;
  }
}

function checkRange(kind: string, start: number, end: number, size: number): void {
  if (start < 0 || start > end || end > size)
    throw new EngineError(`${kind}: elements ${start}…${end} do not lie within 0…${size}`);
}

function checkIndex(kind: string, index: number, size: number): number {
  if (index < 0 || index >= size)
    throw new EngineError(`${kind}: index ${index} is out of range, there are ${size}`);
  return index;
}

/** Calls `visit` with each index's place and the row it names. */
function forEachIndex(kind: string, indices: Dense, rows: number, visit: (i: number, row: number) => void) {
  indices.data.forEach((index, i) => {
    visit(i, checkIndex(kind, index, rows));
  });
}

function roundHalfToEven(x: number): number {
  const whole = Math.round(x);
  return whole - x === 0.5 && whole % 2 !== 0 ? whole - 1 : whole;
}

export const interpretRules: { readonly [K in OpKind]: InterpretRule<K> } = {
  input: (attributes, _, context) => [context.feed(attributes)],
  weight: ({ source }, _, context) => [context.weight(source)],
  constant: ({ tensor }) => [fromHost(tensor)],

  neg: unary((x) => -x),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  reciprocal: unary((x) => 1 / x),
  tanh: unary(Math.tanh),
  sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  relu: unary((x) => Math.max(x, 0)),
  round: unary(roundHalfToEven),
  erf: unary(erf),
  cos: unary(Math.cos),
  sin: unary(Math.sin),
  // x·Φ(x) = x/2 · erfc(−x/√2)
  gelu: unary((x) => (x / 2) * erfc(-x * Math.SQRT1_2)),

  add: binary("add", (a, b) => a + b),
  sub: binary("sub", (a, b) => a - b),
  mul: binary("mul", (a, b) => a * b),
  div: (attributes, inputs) => {
    const divide = isFloat(operand(inputs, 0).dtype)
      ? (a: number, b: number) => a / b
      : (a: number, b: number) => Math.trunc(a / b);
    return binary("div", divide)(attributes, inputs);
  },
  maximum: binary("maximum", Math.max),
  equal: binary("equal", (a, b) => (a === b ? 1 : 0), "bool"),
  greater: binary("greater", (a, b) => (a > b ? 1 : 0), "bool"),
  where: (_, inputs) => {
    const [condition, a, b] = [operand(inputs, 0), operand(inputs, 1), operand(inputs, 2)];
    const dims = broadcastDims("where", condition.dims, broadcastDims("where", a.dims, b.dims));
    const [atCondition, atA, atB] = [condition, a, b].map((x) => broadcastOffsets(x.dims, dims));
    const y = dense(a.dtype, dims);
    for (let i = 0; i < y.data.length; i++)
      y.data[i] = condition.data[atCondition![i]!] !== 0 ? a.data[atA![i]!]! : b.data[atB![i]!]!;
    return [y];
  },
  cast: ({ to }, inputs) => {
    const x = operand(inputs, 0);
    if (isFloat(to)) return [dense(to, x.dims, x.data)];
    return [dense(to, x.dims, x.data.map(to === "bool" ? (value) => (value === 0 ? 0 : 1) : Math.trunc))];
  },

  matmul: (attributes, inputs) => [product(attributes, operand(inputs, 0), operand(inputs, 1))],
  gemm: (attributes, inputs) => {
    const y = product(attributes, operand(inputs, 0), operand(inputs, 1));
    const c = inputs[2];
    if (c === undefined) return [y];
    const atC = broadcastOffsets(c.dims, y.dims);
    return [
      dense(
        y.dtype,
        y.dims,
        y.data.map((value, i) => value + c.data[atC[i]!]!),
      ),
    ];
  },

  quantizedGemm: ({ weight, rounding }, inputs, context) => {
    const [x, c] = [operand(inputs, 0), inputs[1]];
    const [k = 0, o = 0] = weight.codes.dims;
    const codes = context.weight(weight.codes).data.map((byte) => (byte > 127 ? byte - 256 : byte));
    const { data: scales } = context.weight(weight.scales);
    const factors = rounding.smoothing && context.weight(rounding.smoothing.source).data;
    const y = dense(x.dtype, [x.dims[0] ?? 1, o]);
    const atC = c && broadcastOffsets(c.dims, y.dims);
    forEachRow(x, (start, width, row) => {
      const own = x.data.slice(start, start + width).map((value, i) => value * (factors?.[i] ?? 1));
      const { step, zero, most } = rowSteps(own, rounding.sums !== undefined);
      const sums = new Float64Array(o);
      for (let i = 0; i < k; i++) {
        const code = Math.min(most, Math.max(0, roundHalfEven(own[i]! / step) + zero)) - zero;
        for (let j = 0; j < o; j++) sums[j]! += code * codes[i * o + j]!;
      }
      for (let j = 0; j < o; j++)
        y.data[row * o + j] = sums[j]! * scales[j]! * step + (atC ? c!.data[atC[row * o + j]!]! : 0);
    });
    return [y];
  },

  transpose: ({ permutation }, inputs) => {
    const x = operand(inputs, 0);
    const strides = stridesOf(x.dims);
    const dims = permutation.map((axis) => x.dims[axis]!);
    const from = offsetsOf(
      dims,
      permutation.map((axis) => strides[axis]!),
    );
    return [
      dense(
        x.dtype,
        dims,
        Float64Array.from(from, (at) => x.data[at]!),
      ),
    ];
  },
  reshape: ({ shape }, inputs, context) => {
    const x = operand(inputs, 0);
    return [dense(x.dtype, context.dims(shape), x.data)];
  },
  expand: ({ shape }, inputs, context) => {
    const x = operand(inputs, 0);
    const dims = context.dims(shape);
    return [
      dense(
        x.dtype,
        dims,
        Float64Array.from(broadcastOffsets(x.dims, dims), (at) => x.data[at]!),
      ),
    ];
  },
  concat: ({ axis }, inputs) => {
    const first = operand(inputs, 0);
    const total = inputs.reduce((sum, x) => sum + x.dims[axis]!, 0);
    const y = dense(
      first.dtype,
      first.dims.map((dim, i) => (i === axis ? total : dim)),
    );
    let start = 0;
    for (const x of inputs) {
      copyShifted(x, y, axis, start);
      start += x.dims[axis]!;
    }
    return [y];
  },
  slice: ({ axis, start, end }, inputs, context) => {
    const x = operand(inputs, 0);
    const last = context.dim(end);
    checkRange("slice", start, last, x.dims[axis]!);
    const y = dense(
      x.dtype,
      x.dims.map((dim, i) => (i === axis ? last - start : dim)),
    );
    copyShifted(x, y, axis, -start);
    return [y];
  },
  pad: ({ axis, before, shape }, inputs, context) => {
    const x = operand(inputs, 0);
    const y = dense(x.dtype, context.dims(shape));
    checkRange("pad", before, before + x.dims[axis]!, y.dims[axis]!);
    copyShifted(x, y, axis, before);
    return [y];
  },
  gather: (_, inputs) => {
    const [x, indices] = [operand(inputs, 0), operand(inputs, 1)];
    const [rows = 1, ...rest] = x.dims;
    const width = sizeOf(rest);
    const y = dense(x.dtype, [...indices.dims, ...rest]);
    forEachIndex("gather", indices, rows, (i, row) => {
      y.data.set(x.data.subarray(row * width, (row + 1) * width), i * width);
    });
    return [y];
  },
  scatterAdd: ({ shape }, inputs, context) => {
    const [indices, updates] = [operand(inputs, 0), operand(inputs, 1)];
    const y = dense(updates.dtype, context.dims(shape));
    const [rows = 1, ...rest] = y.dims;
    const width = sizeOf(rest);
    forEachIndex("scatterAdd", indices, rows, (i, row) => {
      for (let j = 0; j < width; j++) y.data[row * width + j]! += updates.data[i * width + j]!;
    });
    return [y];
  },
  gatherElements: (_, inputs) => {
    const [x, indices] = [operand(inputs, 0), operand(inputs, 1)];
    const [columns, width] = [x.dims[1]!, indices.dims[1]!];
    const y = dense(x.dtype, indices.dims);
    forEachIndex("gatherElements", indices, columns, (i, column) => {
      y.data[i] = x.data[Math.floor(i / width) * columns + column]!;
    });
    return [y];
  },
  scatterElementsAdd: ({ shape }, inputs, context) => {
    const [indices, updates] = [operand(inputs, 0), operand(inputs, 1)];
    const y = dense(updates.dtype, context.dims(shape));
    const [columns, width] = [y.dims[1]!, indices.dims[1]!];
    forEachIndex("scatterElementsAdd", indices, columns, (i, column) => {
      y.data[Math.floor(i / width) * columns + column]! += updates.data[i]!;
    });
    return [y];
  },

  reduceSum: reduce(0, (sum, x) => sum + x),
  reduceMax: reduce(Number.NEGATIVE_INFINITY, Math.max),
  softmax: (_, inputs) => {
    const x = operand(inputs, 0);
    const y = dense(x.dtype, x.dims);
    forEachRow(x, (start, width) => {
      const row = x.data.subarray(start, start + width);
      const largest = row.reduce((a, b) => Math.max(a, b));
      const powers = row.map((value) => Math.exp(value - largest));
      const sum = powers.reduce((a, b) => a + b);
      y.data.set(
        powers.map((value) => value / sum),
        start,
      );
    });
    return [y];
  },
  logSoftmax: (_, inputs) => {
    const x = operand(inputs, 0);
    const y = dense(x.dtype, x.dims);
    forEachRow(x, (start, width) => {
      const row = x.data.subarray(start, start + width);
      const largest = row.reduce((a, b) => Math.max(a, b));
      const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0);
      y.data.set(
        row.map((value) => value - largest - Math.log(sum)),
        start,
      );
    });
    return [y];
  },
  layerNorm: ({ epsilon }, inputs) => {
    const [x, gamma, beta] = [operand(inputs, 0), operand(inputs, 1), operand(inputs, 2)];
    const statistics = [...x.dims.slice(0, -1), 1];
    const [y, mean] = [dense(x.dtype, x.dims), dense(x.dtype, statistics)];
    const inverseDeviation = dense(x.dtype, statistics);
    forEachRow(x, (start, width, row) => {
      const values = x.data.subarray(start, start + width);
      const average = values.reduce((a, b) => a + b) / width;
      const variance = values.reduce((sum, value) => sum + (value - average) ** 2, 0) / width;
      const inverse = 1 / Math.sqrt(variance + epsilon);
      mean.data[row] = average;
      inverseDeviation.data[row] = inverse;
      values.forEach((value, i) => {
        y.data[start + i] = gamma.data[i]! * (value - average) * inverse + beta.data[i]!;
      });
    });
    return [y, mean, inverseDeviation];
  },
  rmsNorm: ({ epsilon }, inputs) => {
    const [x, gamma] = [operand(inputs, 0), operand(inputs, 1)];
    const y = dense(x.dtype, x.dims);
    const inverseRoot = dense(x.dtype, [...x.dims.slice(0, -1), 1]);
    forEachRow(x, (start, width, row) => {
      const values = x.data.subarray(start, start + width);
      const inverse = 1 / Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / width + epsilon);
      inverseRoot.data[row] = inverse;
      values.forEach((value, i) => {
        y.data[start + i] = gamma.data[i]! * value * inverse;
      });
    });
    return [y, inverseRoot];
  },
  rotate: ({ heads }, inputs) => {
    const [x, cos, sin] = [operand(inputs, 0), operand(inputs, 1), operand(inputs, 2)];
    const [rows = 0, half = 0] = cos.dims;
    const size = x.data.length / (rows * heads);
    const y = dense(x.dtype, x.dims, x.data.slice());
    for (let head = 0; head < rows * heads; head++)
      for (let i = 0; i < half; i++) {
        const [at, angle] = [head * size + i, Math.floor(head / heads) * half + i];
        const [a, b] = [x.data[at]!, x.data[at + half]!];
        y.data[at] = a * cos.data[angle]! - b * sin.data[angle]!;
        y.data[at + half] = b * cos.data[angle]! + a * sin.data[angle]!;
      }
    return [y];
  },
  cachedAttention: ({ heads, keyValueHeads, scale, window = Number.POSITIVE_INFINITY }, inputs) => {
    const [q, k, v] = [operand(inputs, 0), operand(inputs, 1), operand(inputs, 2)];
    const [pastKey, pastValue, lengths] = [operand(inputs, 3), operand(inputs, 4), operand(inputs, 5)];
    const [, tokens = 0] = q.dims;
    const [, , places = 0, width = 0] = pastKey.dims;
    const first = Math.max(...lengths.data) === tokens;
    const y = dense(q.dtype, q.dims);
    lengths.data.forEach((length, b) => {
      const before = first ? 0 : length - tokens;
      /** Element i of the head at a place of the text, from the cache or from what is new. */
      const at = (past: Dense, added: Dense, head: number, place: number, i: number) =>
        place < before
          ? past.data[((b * keyValueHeads + head) * places + place) * width + i]!
          : added.data[((b * tokens + place - before) * keyValueHeads + head) * width + i]!;
      for (let t = 0; t < length - before; t++)
        for (let head = 0; head < heads; head++) {
          const shared = Math.floor((head * keyValueHeads) / heads);
          const row = ((b * tokens + t) * heads + head) * width;
          const start = Math.max(0, before + t + 1 - window);
          const powers = Array.from({ length: before + t + 1 - start }, (_, s) => {
            let score = 0;
            for (let i = 0; i < width; i++) score += q.data[row + i]! * at(pastKey, k, shared, start + s, i);
            return Math.exp(scale * score);
          });
          const total = powers.reduce((sum, power) => sum + power, 0);
          for (let i = 0; i < width; i++)
            y.data[row + i] = powers.reduce(
              (sum, power, s) => sum + (power / total) * at(pastValue, v, shared, start + s, i),
              0,
            );
        }
    });
    return [y];
  },
  stopGradient: (_, inputs) => [operand(inputs, 0)],
};
