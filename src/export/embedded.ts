/** ONNX files that hold their weights. */
import { closeSync, openSync, readSync } from "node:fs";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { type Graph, type WeightSource, weightSources } from "../graph/types.ts";
import { emitOnnx } from "../onnx/emit.ts";
import type { EmbedWeight } from "../onnx/emitter.ts";

/** A protobuf message, and so an ONNX file, is smaller than 2 GiB; some of it is the graph. */
export const LARGEST_ONNX = 2 ** 31 - 2 ** 26;

/** Bytes of the weights that a graph reads. */
export function weightBytes(graph: Graph): number {
  const sources = new Map<string, number>();
  for (const node of graph.nodes)
    for (const { file, offset, length } of weightSources(node)) sources.set(`${file} ${offset}`, length);
  return [...sources.values()].reduce((sum, length) => sum + length, 0);
}

function readSource({ file, offset, length }: WeightSource): Uint8Array {
  const bytes = new Uint8Array(length);
  const handle = openSync(file, "r");
  try {
    if (readSync(handle, bytes, 0, length, offset) === length) return bytes;
  } finally {
    closeSync(handle);
  }
  throw new CheckpointError(`${file}: truncated since it was opened`);
}

/**
 * A graph as one file, its outputs under their own names.
 * @param embed gives the bytes of weights; default: from their files
 * @throws ConfigError where it would be too large
 */
export function encodeOnnx(graph: Graph, where: string, embed: EmbedWeight = readSource): Uint8Array {
  const bytes = weightBytes(graph);
  if (bytes > LARGEST_ONNX)
    throw new ConfigError(
      `${where}: the weights take ${(bytes / 2 ** 30).toFixed(1)} GiB, and one ONNX file holds 2 GiB at most`,
      { hint: "Take a smaller backbone, or weights in half precision." },
    );
  return emitOnnx(graph, { embed, plainOutputs: true }).bytes;
}
