// Dimensions: B batch, T tokens, P past tokens, D width, V vocabulary, M rows of hidden states.
import { CheckpointError } from "../core/errors.ts";
import * as op from "../graph/ops.ts";
import type { Value, WeightSource } from "../graph/types.ts";
import { modelTypeOf } from "./configFile.ts";
import {
  buildDecoder,
  type DecoderInputs,
  type DecoderOutputs,
  declarePast,
  decoders,
  languageModelLogits,
} from "./decoder.ts";
import type { Past } from "./decoderAttention.ts";
import { type DecoderArchitecture, type DecoderConfig, maxDecoderTokens } from "./decoderConfig.ts";
import { type DecoderNetwork, decoderBiases, decoderSites } from "./decoderNetwork.ts";
import {
  buildEncoder,
  declareTokenInputs,
  type EncoderOutputs,
  encoderBiases,
  encoderSites,
  type TokenInputs,
  type Trunk,
} from "./encoder.ts";
import { type EncoderConfig, maxTokens, parseEncoderConfig } from "./encoderConfig.ts";
import { type LayerContext, noDropout, noTransform } from "./layers.ts";
import { frozenParameters, type Parameters } from "./parameters.ts";

/** Hugging Face's `model_type`. */
export type Architecture = EncoderConfig["architecture"] | DecoderArchitecture;

/** What encoders and decoders have in common: sizes, the weights' places, and how to build the graph. */
interface BackboneFrame {
  readonly width: number;
  /** Longest text in tokens, special tokens and generated ones included. */
  readonly maxTokens: number;
  /** Where a batch is padded. Either side gives the same values; a continuation needs its texts to end together. */
  readonly paddingSide: "left" | "right";
  readonly parameters: Parameters;
  /** The weights by AutoModel name, for reading single tensors on the host. */
  readonly weights: ReadonlyMap<string, WeightSource>;
  /** The word embedding table's AutoModel name; (V, D). */
  readonly wordEmbeddings: string;
  /** Linear layers an adapter can hook into: AutoModel path → (in, out). */
  readonly sites: ReadonlyMap<string, readonly [number, number]>;
  readonly biases: ReadonlyMap<string, number>;
  /** What stands in front of AutoModel's paths in a model that has a head: `bert.`, `transformer.`. */
  readonly headedPrefix: string;
  /** Linear layers store their weight (in, out), as peft's `fan_in_fan_out`: a merged ΔW is (B·A)ᵀ·s. */
  readonly fanInFanOut: boolean;
  readonly hasPooler: boolean;
  readonly parameterCount: number;
  declareInputs(): TokenInputs;
  /** The layers above a trunk that was computed before; the hidden states begin with its own. */
  buildAbove(context: LayerContext, inputs: TokenInputs, trunk: Trunk): EncoderOutputs;
}

/** A frozen BERT-type model. */
export interface EncoderBackbone extends BackboneFrame {
  readonly kind: "encoder";
  readonly config: EncoderConfig;
  build(context: LayerContext, inputs: TokenInputs): EncoderOutputs;
}

/** A frozen causal language model. */
export interface DecoderBackbone extends BackboneFrame {
  readonly kind: "decoder";
  readonly config: DecoderConfig;
  readonly hasLanguageModelHead: boolean;
  /** @param past what the new tokens follow; without it they begin their texts */
  build(context: LayerContext, inputs: DecoderInputs, past?: Past): DecoderOutputs;
  /** The keys and values of what was read before, as inputs. */
  declarePast(): Past;
  /**
   * What the model expects to come next.
   * @param rows (M, D) of the last hidden states
   * @returns logits (M, V)
   * @throws CheckpointError if the checkpoint was saved without its head
   */
  lmLogits(context: LayerContext, rows: Value): Value;
}

/** A frozen language model. */
export type Backbone = EncoderBackbone | DecoderBackbone;

type Weights = ReadonlyMap<string, WeightSource>;

/** Which names a checkpoint uses for the tensor `probe`: bare, or with the prefix of a model saved with a head. */
function findPrefix(probe: string, headedPrefix: string, weights: Weights, where: string): string {
  for (const prefix of ["", headedPrefix]) if (weights.has(prefix + probe)) return prefix;
  throw new CheckpointError(
    `${where}: model.safetensors has no "${probe}", bare or under "${headedPrefix}"`,
    {
      hint: "the file does not hold this architecture's weights",
    },
  );
}

/** Masks and frequencies that old checkpoints store beside the weights. */
const buffers = /\.(attn|attention)\.(masked_)?bias$|\.rotary_emb\.inv_freq$/;

/** The model's own tensors by AutoModel name. */
function namedWeights(weights: Weights, prefix: string): Weights {
  const named = new Map<string, WeightSource>();
  for (const [name, source] of weights)
    if (name.startsWith(prefix) && !buffers.test(name)) named.set(name.slice(prefix.length), source);
  return named;
}

function countParameters(named: Weights): number {
  let count = 0;
  for (const [, source] of named)
    if (source.dtype !== "int64") count += source.dims.reduce((product, dim) => product * dim, 1);
  return count;
}

const bareContext = (parameters: Parameters): LayerContext => ({
  parameters,
  transform: noTransform,
  dropout: noDropout,
});

function describeEncoder(json: unknown, weights: Weights, where: string): EncoderBackbone {
  const config = parseEncoderConfig(json, where);
  const headedPrefix = `${config.architecture}.`;
  const wordEmbeddings = "embeddings.word_embeddings.weight";
  const prefix = findPrefix(wordEmbeddings, headedPrefix, weights, where);
  const parameters = frozenParameters(weights, prefix, where);
  // Asks for every weight once, so that a missing or misshapen one is told here and not in the middle of a run.
  buildEncoder(config, bareContext(parameters), declareTokenInputs());
  const named = namedWeights(weights, prefix);
  return {
    kind: "encoder",
    config,
    width: config.width,
    maxTokens: maxTokens(config),
    paddingSide: "right",
    parameters,
    weights: named,
    wordEmbeddings,
    sites: encoderSites(config),
    biases: encoderBiases(config),
    headedPrefix,
    fanInFanOut: false,
    hasPooler: parameters.has("pooler.dense.weight"),
    parameterCount: countParameters(named),
    declareInputs: declareTokenInputs,
    build: (context, inputs) => buildEncoder(config, context, inputs),
    buildAbove: (context, inputs, trunk) => buildEncoder(config, context, inputs, trunk),
  };
}

/** The head's name has no prefix; under the model's own prefix it is found as every other tensor is. */
function withHead(weights: Weights, head: string, prefix: string): Weights {
  const source = weights.get(head);
  return source === undefined ? weights : new Map(weights).set(prefix + head, source);
}

function describeDecoder(
  network: DecoderNetwork,
  json: unknown,
  weights: Weights,
  where: string,
): DecoderBackbone {
  const config = network.parse(json, where);
  const prefix = findPrefix(network.wordEmbeddings, network.prefix, weights, where);
  const all = config.tiedHead ? weights : withHead(weights, network.head, prefix);
  const parameters = frozenParameters(all, prefix, where);
  const hasLanguageModelHead = config.tiedHead || parameters.has(network.head);
  const lmLogits = (context: LayerContext, rows: Value) => {
    if (!hasLanguageModelHead)
      throw new CheckpointError(`${where}: the model has no language-modelling head ("${network.head}")`, {
        hint: "Save it with transformers: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder).",
      });
    return languageModelLogits(config, context, rows);
  };
  // Asks for every weight once, so that a missing or misshapen one is told here and not in the middle of a run.
  buildDecoder(config, bareContext(parameters), declareTokenInputs());
  if (hasLanguageModelHead)
    lmLogits(bareContext(parameters), op.input("rows", "float32", ["M", config.width]));
  const named = namedWeights(all, prefix);
  return {
    kind: "decoder",
    config,
    width: config.width,
    maxTokens: maxDecoderTokens(config),
    paddingSide: "left",
    parameters,
    weights: named,
    wordEmbeddings: network.wordEmbeddings,
    sites: decoderSites(network, config),
    biases: decoderBiases(network, config),
    headedPrefix: network.prefix,
    fanInFanOut: network.fanInFanOut,
    hasPooler: false,
    parameterCount: countParameters(named),
    hasLanguageModelHead,
    declareInputs: declareTokenInputs,
    declarePast: () => declarePast(config),
    build: (context, inputs, past) => buildDecoder(config, context, inputs, past),
    buildAbove: (context, inputs, trunk) => buildDecoder(config, context, inputs, undefined, trunk),
    lmLogits,
  };
}

type Describe = (config: unknown, weights: Weights, where: string) => Backbone;

const decoder =
  (architecture: DecoderArchitecture): Describe =>
  (config, weights, where) =>
    describeDecoder(decoders[architecture], config, weights, where);

const architectures: { readonly [A in Architecture]: Describe } = {
  bert: describeEncoder,
  roberta: describeEncoder,
  gpt2: decoder("gpt2"),
  gpt_neox: decoder("gpt_neox"),
  llama: decoder("llama"),
  mistral: decoder("mistral"),
  qwen2: decoder("qwen2"),
};

function isArchitecture(name: string): name is Architecture {
  return Object.hasOwn(architectures, name);
}

/**
 * The architecture that a Hugging Face config.json names.
 * @param where the folder, for messages
 * @throws CheckpointError if it names none, or one that is unknown
 */
export function architectureOf(config: unknown, where: string): Architecture {
  return modelTypeOf(config, Object.keys(architectures).filter(isArchitecture), where);
}

/**
 * Describes the model of a Hugging Face folder.
 * @param where the folder, for messages
 * @throws CheckpointError if the architecture is unknown or the weights do not fit the config
 */
export function createBackbone(config: unknown, weights: Weights, where: string): Backbone {
  return architectures[architectureOf(config, where)](config, weights, where);
}
