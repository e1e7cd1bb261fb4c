import { CheckpointError } from "../core/errors.ts";
import type { WeightSource } from "../graph/types.ts";
import {
  buildEncoder,
  declareTokenInputs,
  type EncoderOutputs,
  encoderBiases,
  encoderSites,
  type TokenInputs,
} from "./encoder.ts";
import { type EncoderConfig, maxTokens, parseEncoderConfig } from "./encoderConfig.ts";
import { type LayerContext, noDropout, noTransform } from "./layers.ts";
import { frozenParameters, type Parameters } from "./parameters.ts";

/** A frozen language model: its sizes, its weights' places, and how to build its graph. */
export interface Backbone {
  readonly config: EncoderConfig;
  readonly width: number;
  /** Longest text in tokens, special tokens included. */
  readonly maxTokens: number;
  readonly parameters: Parameters;
  /** The weights by AutoModel name, for reading single tensors on the host. */
  readonly weights: ReadonlyMap<string, WeightSource>;
  /** The encoder's linear layers, which an adapter can hook into: AutoModel path → (in, out). */
  readonly sites: ReadonlyMap<string, readonly [number, number]>;
  /** The encoder's biases: AutoModel name → size. */
  readonly biases: ReadonlyMap<string, number>;
  readonly hasPooler: boolean;
  readonly parameterCount: number;
  declareInputs(): TokenInputs;
  build(context: LayerContext, inputs: TokenInputs): EncoderOutputs;
}

/** The prefix of a checkpoint's names: none for a bare model, `bert.` for one saved with a head. */
function findPrefix(
  config: EncoderConfig,
  weights: ReadonlyMap<string, WeightSource>,
  where: string,
): string {
  const probe = "embeddings.word_embeddings.weight";
  for (const prefix of ["", `${config.architecture}.`]) if (weights.has(prefix + probe)) return prefix;
  throw new CheckpointError(
    `${where}: model.safetensors has no "${probe}", bare or under "${config.architecture}."`,
    {
      hint: "the file does not hold this architecture's weights",
    },
  );
}

/**
 * Describes the model of a Hugging Face folder.
 * @param where the folder, for messages
 * @throws CheckpointError if the architecture is unknown or the weights do not fit the config
 */
export function createBackbone(
  config: unknown,
  weights: ReadonlyMap<string, WeightSource>,
  where: string,
): Backbone {
  const encoder = parseEncoderConfig(config, where);
  const prefix = findPrefix(encoder, weights, where);
  const parameters = frozenParameters(weights, prefix, where);
  // Asks for every weight once, so that a missing or misshapen one is told here and not in the middle of a run.
  buildEncoder(encoder, { parameters, transform: noTransform, dropout: noDropout }, declareTokenInputs());
  const named = new Map<string, WeightSource>();
  for (const [name, source] of weights)
    if (name.startsWith(prefix)) named.set(name.slice(prefix.length), source);
  let parameterCount = 0;
  for (const [, source] of named)
    if (source.dtype !== "int64") parameterCount += source.dims.reduce((product, dim) => product * dim, 1);
  return {
    config: encoder,
    width: encoder.width,
    maxTokens: maxTokens(encoder),
    parameters,
    weights: named,
    sites: encoderSites(encoder),
    biases: encoderBiases(encoder),
    hasPooler: parameters.has("pooler.dense.weight"),
    parameterCount,
    declareInputs: declareTokenInputs,
    build: (context, inputs) => buildEncoder(encoder, context, inputs),
  };
}
