import { createRng, type Rng } from "../../src/core/random.ts";
import { float32, type HostTensor, int64, sizeOf } from "../../src/core/tensor.ts";
import { input } from "../../src/graph/ops.ts";
import { evaluateDim, type Shape } from "../../src/graph/shape.ts";
import type { Value } from "../../src/graph/types.ts";

/** Draws random graph inputs and what is fed to them; B, T, D and so on are bound to small numbers. */
export interface Draw {
  readonly rng: Rng;
  readonly feeds: Readonly<Record<string, HostTensor>>;
  readonly inputs: ReadonlyMap<string, Value>;
  /** What a shape is in this draw. */
  dims(shape: Shape): number[];
  /** A float32 input of standard normal elements, or whatever `element` draws. */
  float(name: string, shape: Shape, element?: (rng: Rng, index: number) => number): Value;
  /** An int64 input of elements 0…limit−1. */
  index(name: string, shape: Shape, limit: number): Value;
  /** A bool input. */
  bool(name: string, shape: Shape): Value;
}

/** ±[0.3, 2): away from the kink of relu and the pole of 1/x. */
export const awayFromZero = (rng: Rng): number =>
  (rng.integer(2) === 0 ? -1 : 1) * (0.3 + 1.7 * rng.uniform());
/** [0.3, 2) */
export const positive = (rng: Rng): number => 0.3 + 1.7 * rng.uniform();

export function createDraw(seed: number): Draw {
  const rng = createRng(seed);
  const feeds: Record<string, HostTensor> = {};
  const inputs = new Map<string, Value>();
  // Every third seed has a batch, every fourth a sequence, of one.
  const bindings = new Map([
    ["B", seed % 3 === 0 ? 1 : 2 + rng.integer(2)],
    ["T", seed % 4 === 0 ? 1 : 2 + rng.integer(3)],
  ]);
  const dims = (shape: Shape) => shape.map((dim) => evaluateDim(dim, bindings));
  const add = (name: string, shape: Shape, tensor: HostTensor): Value => {
    const value = input(name, tensor.dtype, shape);
    feeds[name] = tensor;
    inputs.set(name, value);
    return value;
  };
  const elements = (shape: Shape, element: (rng: Rng, index: number) => number) =>
    Array.from({ length: sizeOf(dims(shape)) }, (_, i) => element(rng, i));
  return {
    rng,
    feeds,
    inputs,
    dims,
    float: (name, shape, element = (from) => from.normal()) =>
      add(name, shape, float32(elements(shape, element), dims(shape))),
    index: (name, shape, limit) =>
      add(
        name,
        shape,
        int64(
          elements(shape, () => rng.integer(limit)),
          dims(shape),
        ),
      ),
    bool: (name, shape) => {
      const data = Uint8Array.from(elements(shape, () => rng.integer(2)));
      return add(name, shape, { dtype: "bool", dims: dims(shape), data });
    },
  };
}
