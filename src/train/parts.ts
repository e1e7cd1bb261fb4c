// Dimensions: B examples, T tokens.
/** A batch's loss and gradients computed in parts, so that memory follows the part and not the batch. */
import { asFloat32, float32, type HostTensor } from "../core/tensor.ts";
import { dimFactors } from "../graph/shape.ts";
import type { Graph } from "../graph/types.ts";
import type { Executable, Tensors } from "../runtime/types.ts";

/** Tokens that go through a training graph at once, where one example has not more. */
const PART_TOKENS = 512;
/** Numbers in the hidden states of these tokens: what a step holds grows with the width, so a wide backbone takes fewer at once. */
const PART_VALUES = 448 * 768;

/** Tokens of a part. @param width of the backbone */
function tokensOfPart(width: number): number {
  return Math.min(PART_TOKENS, Math.floor(PART_VALUES / width));
}

/** Whether rows of a tensor belong to examples, so many to each. */
function isByExample(dim: number | string | undefined): boolean {
  return (
    typeof dim === "string" && dimFactors(dim).some(({ symbol, offset }) => symbol === "B" && offset === 0)
  );
}

function rowsOf<T extends HostTensor>(tensor: T, from: number, to: number): T {
  const [rows = 1, ...rest] = tensor.dims;
  const width = tensor.data.length / rows;
  return { ...tensor, dims: [to - from, ...rest], data: tensor.data.subarray(from * width, to * width) };
}

function add(sums: Record<string, HostTensor<"float32">>, outputs: Tensors): void {
  for (const [name, output] of Object.entries(outputs)) {
    const { data, dims } = asFloat32(output, name);
    const sum = sums[name]?.data;
    if (sum === undefined) sums[name] = float32(data, dims);
    else for (let i = 0; i < data.length; i++) sum[i] = (sum[i] ?? 0) + (data[i] ?? 0);
  }
}

/** The sizes of a batch. */
export interface BatchSizes {
  /** B */
  readonly size: number;
  /** T */
  readonly length: number;
  /** Of the backbone's hidden states. */
  readonly width: number;
}

/** What is fed into a training graph. */
export interface PartedFeeds {
  /** Parameters, the same for all examples. */
  readonly parameters: Tensors;
  /** What belongs to the batch. */
  readonly batch: Tensors;
}

/**
 * Runs a training graph on a batch, some hundred tokens at a time. The loss is a sum over examples, and so are its gradients: what the
 * parts give is added up. A batch that is no longer goes through whole, and so does one that is not told apart by example, as answers
 * in words.
 */
export async function runInParts(
  { inputs }: Graph,
  executable: Executable,
  { parameters, batch }: PartedFeeds,
  { size, length, width }: BatchSizes,
): Promise<Tensors> {
  const examples = Math.max(1, Math.floor(tokensOfPart(width) / length));
  const fed = inputs.filter(({ attributes }) => batch[attributes.name] !== undefined);
  const divides = fed.every(({ attributes }) => isByExample(attributes.shape[0]));
  if (examples >= size || !divides) return await executable.run({ ...parameters, ...batch });
  const parts = Math.ceil(size / examples);
  const sums: Record<string, HostTensor<"float32">> = {};
  for (let part = 0; part < parts; part++) {
    // Of nearly the same size, so that none is much smaller than the others.
    const [from, to] = [Math.floor((part * size) / parts), Math.floor(((part + 1) * size) / parts)];
    const own: Record<string, HostTensor> = { ...parameters };
    for (const { attributes } of fed) {
      const tensor = batch[attributes.name];
      if (tensor === undefined) continue;
      const each = (tensor.dims[0] ?? 0) / size;
      own[attributes.name] = rowsOf(tensor, from * each, to * each);
    }
    add(sums, await executable.run(own));
  }
  return sums;
}
