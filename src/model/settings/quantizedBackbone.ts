/** A backbone whose linear layers are in 8 bits: made once, kept in the cache under its hash, mapped from there. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError, ConfigError } from "../../core/errors.ts";
import type { QuantizedWeight, WeightSource } from "../../graph/types.ts";
import { writeStreamAtomic } from "../../io/atomic.ts";
import { cacheFolder } from "../../io/cacheFolder.ts";
import { sha256 } from "../../io/hash.ts";
import { multipliesBytes } from "../../io/processor.ts";
import {
  readSafetensorsHeader,
  readTensorBytes,
  streamSafetensors,
  type TensorToStore,
} from "../../io/safetensors.ts";
import type { Backbone } from "../../nn/backbone.ts";
import { frozenParameters, type QuantizedLinear, quantizedParameters } from "../../nn/layers/parameters.ts";
import { bytesOf, type LinearWeight, linearTensors, rowMaxima } from "./linearWeights.ts";
import { type NormReaders, readNorms, smoothingFactors } from "./smoothing.ts";

/** Of how weights and activations are rounded: another scheme is another backbone. */
const SCHEME = "int8 1";

/** What a backbone in 8 bits is called by; it is another one than that in float32. */
export function quantizedHash(hash: string): string {
  return sha256(`${hash} ${SCHEME}`);
}

/** The weights of linear layers by their names: all sites of adapters, and a decoder's head. */
function linearWeights(backbone: Backbone): ReadonlyMap<string, Omit<LinearWeight, "norm">> {
  const { weights, fanInFanOut } = backbone;
  const names = new Map([...backbone.sites.keys()].map((site) => [`${site}.weight`, fanInFanOut]));
  const head = backbone.kind === "decoder" ? backbone.languageModelHead : undefined;
  if (head !== undefined) names.set(head, false);
  const found = new Map<string, LinearWeight>();
  for (const [name, inOut] of names) {
    const source = weights.get(name);
    if (source !== undefined) found.set(name, { source, inOut });
  }
  return found;
}

/** Which normalisation a linear layer reads: name of its weight → name of γ. */
const normsSchema = z.record(z.string(), z.string());

/** Everything that graphs read: linear layers in 8 bits, all else as it is stored. */
function tensorsOf(backbone: Backbone, { norms, reach }: NormReaders): ReadonlyMap<string, TensorToStore> {
  const { weights, wordEmbeddings } = backbone;
  const linears = new Map<string, LinearWeight>();
  for (const [name, linear] of linearWeights(backbone)) {
    const norm = norms.get(name);
    linears.set(name, { ...linear, ...(norm && { norm }) });
  }
  const made = new Map<string, Promise<Float32Array>>();
  const factorsOf = (norm: string) => {
    const most = reach.get(norm) ?? new Float32Array();
    const readers = [...linears.values()].filter((own) => own.norm === norm);
    const factors =
      made.get(norm) ?? rowMaxima(readers, most.length).then((largest) => smoothingFactors(most, largest));
    made.set(norm, factors);
    return factors;
  };
  const tensors = new Map<string, TensorToStore>();
  for (const [name, source] of weights) {
    const { dtype, dims } = source;
    const linear = linears.get(name);
    if (linear !== undefined)
      for (const [part, tensor] of linearTensors(name, linear, factorsOf)) tensors.set(part, tensor);
    // A head that is tied is read as a table too.
    if (linear === undefined || name === wordEmbeddings)
      tensors.set(name, { dtype, dims, read: () => readTensorBytes(source) });
  }
  for (const [norm, { length }] of reach)
    tensors.set(`${norm} smoothing`, {
      dtype: "float32",
      dims: [length],
      read: async () => bytesOf(await factorsOf(norm)),
    });
  return tensors;
}

/** @throws ConfigError where the processor cannot multiply bytes exactly */
function requireInt8(where: string): void {
  if (multipliesBytes()) return;
  throw new ConfigError(
    `${where}: precision: int8 needs a processor that multiplies bytes (AVX-512 VNNI, AVX-VNNI, AMX or Arm's dot products), which this one does not`,
    { hint: "Use precision: fp32 here, or auto, which chooses it." },
  );
}

/** Writes the model in 8 bits unless it is there. @returns its file */
async function ensureFile(backbone: Backbone, hash: string): Promise<string> {
  const folder = join(cacheFolder(), "int8", hash);
  const path = join(folder, "model.safetensors");
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  const readers = await readNorms(backbone);
  const norms = JSON.stringify(Object.fromEntries(readers.norms));
  const tensors = tensorsOf(backbone, readers);
  await writeStreamAtomic(path, streamSafetensors(tensors, { scheme: SCHEME, hash, norms }));
  return path;
}

/**
 * The backbone with its linear layers in 8 bits.
 * @param hash of the backbone in 8 bits
 * @throws ConfigError where the processor cannot multiply bytes exactly
 * @throws StoreError if the cache cannot be written
 */
export async function quantizeBackbone<B extends Backbone>(
  backbone: B,
  hash: string,
  where: string,
): Promise<B> {
  requireInt8(where);
  const path = await ensureFile(backbone, hash);
  const { tensors, metadata } = await readSafetensorsHeader(path);
  const damaged = (what: string) =>
    new CheckpointError(`${path}: ${what}`, {
      hint: "Delete this file: it is made again when it is needed.",
    });
  if (metadata.get("hash") !== hash) throw damaged("is not the copy in 8 bits that it is called by");
  const find = (name: string): WeightSource => {
    const entry = tensors.get(name);
    if (entry === undefined) throw damaged(`the copy in 8 bits has no "${name}"`);
    return entry;
  };
  const norms = normsSchema.parse(JSON.parse(metadata.get("norms") ?? "{}"));
  const linears = new Map<string, QuantizedLinear>();
  for (const name of linearWeights(backbone).keys()) {
    const part = (own: string): QuantizedWeight => ({
      name: own,
      codes: find(`${own} codes`),
      scales: find(`${own} scales`),
    });
    const factors = norms[name] && `${norms[name]} smoothing`;
    linears.set(name, {
      weight: part(name),
      transposed: part(`${name} transposed`),
      sums: find(`${name} sums`),
      ...(factors && { smoothing: { name: factors, source: find(factors) } }),
    });
  }
  const parameters = quantizedParameters(frozenParameters(tensors, "", where), linears);
  return { ...backbone, parameters };
}
