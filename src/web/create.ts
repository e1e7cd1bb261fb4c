/** A store that begins empty in the browser, on a model as Hugging Face publishes it. */

import { encodeContributions } from "../continual/statistics/contributionFile.ts";
import { ClassStatistics } from "../continual/statistics/statistics.ts";
import type { FeatureConstants } from "../continual/types.ts";
import { CheckpointError } from "../core/errors.ts";
import { openTokenizer, type Tokenizer } from "../data/encoding/tokenizer.ts";
import { buildRoutedModel } from "../export/portableModel.ts";
import { onnxFile, type WebManifest, webFile, webStatisticsFile } from "../export/webFiles.ts";
import { type Backbone, createBackbone } from "../nn/backbone.ts";
import type { TokenPooling } from "../nn/features.ts";
import { emitOnnx } from "../onnx/emit.ts";
import { sha256, sha256Json, sha256Listing } from "../portable/hash.ts";
import { lengthBytes, parseHeader, readHeaderLength } from "../portable/safetensorsFormat.ts";
import { defaultRoutingLayers } from "../train/routingGraph.ts";
import { type FileSource, requireFile } from "./files.ts";

export interface ModelOptions {
  /** Which vector stands for a text; default `mean`. */
  readonly pooling?: Exclude<TokenPooling, "pooler" | "peft-first" | "peft-first-pooler"> | undefined;
  /** Tokens that a text may have, special ones included; default 128, or what the model takes. */
  readonly maxTokens?: number | undefined;
}

const DEFAULT_TOKENS = 128;

/** Files that say how texts are read; of older models more than the first two. */
const tokenizerFiles: ReadonlySet<string> = new Set([
  "tokenizer.json",
  "tokenizer_config.json",
  "config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "sentence_bert_config.json",
]);

/** Each file is fetched once. */
function keeping({ where, read }: FileSource): FileSource {
  const kept = new Map<string, Promise<Uint8Array | undefined>>();
  return {
    where,
    read: (name) => {
      const reading = kept.get(name) ?? read(name);
      kept.set(name, reading);
      return reading;
    },
  };
}

interface Model {
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
  readonly onnx: (layers: readonly number[], pooling: TokenPooling) => Uint8Array;
  /** As Node hashes a model's folder. */
  readonly hash: string;
}

function parseConfig(bytes: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new CheckpointError(`${where}/config.json: is not JSON`, { cause });
  }
}

async function openModel(source: FileSource): Promise<Model> {
  const { where } = source;
  const config = await requireFile(source, "config.json", "Is this the folder of a Hugging Face model?");
  const weights = await requireFile(
    source,
    "model.safetensors",
    "A model for a browser is one file: model.safetensors.",
  );
  const path = `${where}/model.safetensors`;
  const length = readHeaderLength(weights.subarray(0, lengthBytes), weights.length, path);
  const { tensors } = parseHeader(weights.subarray(lengthBytes, lengthBytes + length), weights.length, path);
  const backbone = createBackbone(parseConfig(config, where), tensors, where);
  if (backbone.kind === "decoder")
    throw new CheckpointError(`${where}: is a decoder; in a browser encoders run`, {
      hint: "Take an encoder, such as accrete-mini.",
    });
  const digests = new Map([
    ["config.json", sha256(config)],
    ["model.safetensors", sha256(weights)],
  ]);
  return {
    backbone,
    tokenizer: await openTokenizer({
      where,
      read: (name) => (tokenizerFiles.has(name) ? source.read(name) : Promise.resolve(undefined)),
    }),
    hash: sha256Listing(digests),
    onnx: (layers, pooling) => {
      const graph = buildRoutedModel(backbone, { pooling, normalize: false }, layers);
      const embed = ({ offset, length: size }: { readonly offset: number; readonly length: number }) =>
        weights.subarray(offset, offset + size);
      return emitOnnx(graph, { embed, plainOutputs: true }).bytes;
    },
  };
}

function constantsOf(
  { backbone, tokenizer, hash }: Model,
  layers: readonly number[],
  pooling: TokenPooling,
): FeatureConstants {
  return {
    // As a store in Node names what makes its features (statisticsSettings), without a prompt.
    backbone: sha256Json([hash, tokenizer.hash, pooling, null]),
    layers,
    width: backbone.width * layers.length,
    seed: 1,
  };
}

/**
 * The folder of an exported store without a class, as its files.
 * @throws CheckpointError if the model is missing, damaged, or no encoder
 */
export async function emptyStore(given: FileSource, options: ModelOptions): Promise<FileSource> {
  const source = keeping(given);
  const { pooling = "mean", maxTokens = DEFAULT_TOKENS } = options;
  const model = await openModel(source);
  const { backbone, tokenizer } = model;
  const layers = defaultRoutingLayers(backbone.config.layers);
  const constants = constantsOf(model, layers, pooling);
  const { contributions } = ClassStatistics.empty(constants);
  const files = new Map<string, Uint8Array>();
  for (const name of tokenizerFiles) {
    const bytes = await source.read(name);
    if (bytes !== undefined) files.set(name, bytes);
  }
  files.set(onnxFile, model.onnx(layers, pooling));
  files.set(webStatisticsFile, encodeContributions({ constants, contributions }));
  const longest = Math.min(maxTokens, backbone.maxTokens, tokenizer.maxLength ?? Number.POSITIVE_INFINITY);
  const manifest: WebManifest = {
    version: 1,
    accrete: "web",
    router: "kernel-discriminant",
    seed: constants.seed,
    tasks: [],
    maxTokens: longest,
    files: [...files.keys()].sort(),
  };
  files.set(webFile, new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`));
  return { where: source.where, read: (name) => Promise.resolve(files.get(name)) };
}
