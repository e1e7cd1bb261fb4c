import { GraphError } from "./errors.ts";

export type DType = "float32" | "float64" | "int32" | "int64" | "uint8" | "bool";

/** Types in which weights may lie on disk; half precision is computed in float32. */
export type StorageDType = DType | "float16" | "bfloat16";

/** The typed array that holds a dtype's elements, row-major. Booleans are bytes of 0 and 1. */
export interface DTypeArrays {
  float32: Float32Array;
  float64: Float64Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

export interface HostTensor<D extends DType = DType> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: DTypeArrays[D];
}

export const bytesPerElement: { readonly [D in StorageDType]: number } = {
  float32: 4,
  float64: 8,
  int32: 4,
  int64: 8,
  uint8: 1,
  bool: 1,
  float16: 2,
  bfloat16: 2,
};

export function sizeOf(dims: readonly number[]): number {
  let size = 1;
  for (const dim of dims) size *= dim;
  return size;
}

function hostTensor<D extends DType>(dtype: D, dims: readonly number[], data: DTypeArrays[D]): HostTensor<D> {
  if (sizeOf(dims) !== data.length)
    throw new GraphError(
      `${dtype} tensor of shape (${dims.join(", ")}) needs ${sizeOf(dims)} elements, got ${data.length}`,
    );
  return { dtype, dims, data };
}

/** @param data row-major elements; plain arrays are copied, typed arrays are kept. */
export function float32(data: Float32Array | readonly number[], dims: readonly number[]) {
  return hostTensor("float32", dims, data instanceof Float32Array ? data : Float32Array.from(data));
}

export function float64(data: Float64Array | readonly number[], dims: readonly number[]) {
  return hostTensor("float64", dims, data instanceof Float64Array ? data : Float64Array.from(data));
}

export function int64(data: BigInt64Array | readonly number[], dims: readonly number[]) {
  return hostTensor("int64", dims, data instanceof BigInt64Array ? data : BigInt64Array.from(data, BigInt));
}

export function uint8(data: Uint8Array | readonly number[], dims: readonly number[]) {
  return hostTensor("uint8", dims, data instanceof Uint8Array ? data : Uint8Array.from(data));
}

export function zeros(dims: readonly number[]): HostTensor<"float32"> {
  return float32(new Float32Array(sizeOf(dims)), dims);
}

export function isFloat32(tensor: HostTensor): tensor is HostTensor<"float32"> {
  return tensor.dtype === "float32";
}

/** The elements as float32. @throws GraphError if the tensor has another type. */
export function asFloat32(tensor: HostTensor | undefined, what: string): HostTensor<"float32"> {
  if (tensor === undefined) throw new GraphError(`${what}: no such tensor`);
  if (!isFloat32(tensor)) throw new GraphError(`${what}: expected float32, got ${tensor.dtype}`);
  return tensor;
}
