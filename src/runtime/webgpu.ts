/** What ONNX Runtime 1.30's WebGPU provider gets wrong, found by comparing every operator with the reference. */
import { EngineError } from "../core/errors.ts";
import type { OnnxNode } from "../onnx/emit.ts";
import type { Tensors } from "./types.ts";

/** WebGPU allows sin and cos an absolute error of 2^−11, which positions' angles do not. */
const coarse = new Set(["Sin", "Cos"]);

/** A text's cache lies in the processor's memory and comes anew with every token; these have not been compared on a GPU. */
const besideCache = new Set(["RotaryEmbedding", "GroupQueryAttention"]);

/** @returns names of the nodes that the processor has to compute beside a GPU */
export function processorNodes(nodes: readonly OnnxNode[]): string[] {
  const read = new Set(nodes.flatMap(({ input }) => input));
  return nodes
    .filter(
      ({ opType, output }) =>
        coarse.has(opType) ||
        besideCache.has(opType) ||
        // Its second output, which gradients read, is left unwritten there.
        (opType === "SimplifiedLayerNormalization" && output.slice(1).some((name) => read.has(name))),
    )
    .map(({ name }) => name);
}

/** @throws EngineError for a tensor without elements, over which a product ends the process there */
export function refuseEmpty(feeds: Tensors): void {
  for (const [name, { data, dims }] of Object.entries(feeds))
    if (data.length === 0)
      throw new EngineError(`input "${name}": (${dims.join(", ")}) holds nothing, which WebGPU cannot take`, {
        hint: "Use device: cpu.",
      });
}
