/** A model folder's files, as small as they can be. */
import { createHash } from "node:crypto";
import { float32, type HostTensor } from "../../src/core/tensor.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";

export const weightsA: ReadonlyMap<string, HostTensor> = new Map([["a", float32([1, 2], [2])]]);
export const weightsB: ReadonlyMap<string, HostTensor> = new Map([["b", float32([3], [1])]]);
export const modelFiles: Readonly<Record<string, Uint8Array | string>> = {
  "config.json": '{"model_type": "bert"}',
  "tokenizer.json": "{}",
  "model.safetensors": encodeSafetensors(weightsA, { format: "pt" }),
};

export function without(name: string): Record<string, Uint8Array | string> {
  return Object.fromEntries(Object.entries(modelFiles).filter(([key]) => key !== name));
}

export function hex(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}
