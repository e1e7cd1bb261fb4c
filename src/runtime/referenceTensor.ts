import { EngineError } from "../core/errors.ts";
import { type DType, float64, type HostTensor, int64, sizeOf } from "../core/tensor.ts";

/** What the interpreter computes with: row-major elements, whatever their type, as float64. */
export interface Dense {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: Float64Array;
}

export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64";
}

export function dense(dtype: DType, dims: readonly number[], data?: Float64Array): Dense {
  return { dtype, dims, data: data ?? new Float64Array(sizeOf(dims)) };
}

/** @throws EngineError where an int64 is too large to be exact in float64. */
export function fromHost(tensor: HostTensor): Dense {
  const data = new Float64Array(tensor.data.length);
  for (let i = 0; i < data.length; i++) data[i] = Number(tensor.data[i]);
  if (tensor.dtype === "int64" && !data.every(Number.isSafeInteger))
    throw new EngineError("the reference runtime holds int64 in float64: an element is beyond ±2⁵³");
  return dense(tensor.dtype, tensor.dims, data);
}

/** Floats come out as float64, whatever the graph calls them. */
export function toHost({ dtype, dims, data }: Dense): HostTensor {
  switch (dtype) {
    case "float32":
    case "float64":
      return float64(data, dims);
    case "int64":
      return int64(
        BigInt64Array.from(data, (value) => BigInt(value)),
        dims,
      );
    case "int32":
      return { dtype, dims, data: Int32Array.from(data) };
    case "uint8":
    case "bool":
      return { dtype, dims, data: Uint8Array.from(data) };
  }
}

/** How far apart neighbours along each axis lie in row-major order. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= dims[axis]!;
  }
  return strides;
}

/** For each element of a tensor of `dims`, in order, where an operand with these strides keeps its own. */
export function offsetsOf(dims: readonly number[], strides: readonly number[]): Int32Array {
  const offsets = new Int32Array(sizeOf(dims));
  const position = new Array<number>(dims.length).fill(0);
  let offset = 0;
  for (let i = 0; i < offsets.length; i++) {
    offsets[i] = offset;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      position[axis]!++;
      offset += strides[axis]!;
      if (position[axis]! < dims[axis]!) break;
      offset -= strides[axis]! * dims[axis]!;
      position[axis] = 0;
    }
  }
  return offsets;
}

/** The offsets that read an operand as if it were repeated along its missing and size-1 axes. */
export function broadcastOffsets(from: readonly number[], to: readonly number[]): Int32Array {
  const lead = to.length - from.length;
  const own = stridesOf(from);
  const strides = to.map((_, axis) => (axis < lead || from[axis - lead] === 1 ? 0 : own[axis - lead]!));
  return offsetsOf(to, strides);
}

/** The shape two operands broadcast to. @throws EngineError if they do not. */
export function broadcastDims(where: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const x = a[a.length - rank + axis] ?? 1;
    const y = b[b.length - rank + axis] ?? 1;
    if (x !== y && x !== 1 && y !== 1)
      throw new EngineError(`${where}: (${a.join(", ")}) and (${b.join(", ")}) do not broadcast`);
    return x === 1 ? y : x;
  });
}
