// Dimensions: B batch, T tokens, D width, V vocabulary, M rows of hidden states.
import { CheckpointError } from "../core/errors.ts";
import { type HostTensor, sizeOf } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import type { Value, WeightSource } from "../graph/types.ts";
import { declarePast, type Past } from "./decoders/cachedAttention.ts";
import {
  buildDecoder,
  type DecoderInputs,
  type DecoderOutputs,
  languageModelLogits,
} from "./decoders/decoder.ts";
import type { DecoderConfig } from "./decoders/decoderConfig.ts";
import { type DecoderNetwork, decoderBiases, decoderSites } from "./decoders/decoderNetwork.ts";
import {
  buildEncoder,
  type ClassifierSettings,
  type EncoderConfig,
  maxTokens,
} from "./encoders/encoderNetwork.ts";
import {
  type Architecture,
  architectureOf,
  type DecoderFamily,
  type EncoderFamily,
  families,
} from "./families.ts";
import { applySteps, checkSteps } from "./featureModules.ts";
import type { FeatureModules } from "./features.ts";
import { nameWeights, type Weights } from "./layers/checkpointNames.ts";
import { type LayerContext, noDropout, noTransform } from "./layers/layers.ts";
import {
  constantParameters,
  frozenParameters,
  joinParameters,
  type Parameters,
} from "./layers/parameters.ts";
import { declareTokenInputs, type HiddenStates, type TokenInputs, type Trunk } from "./layers/tokens.ts";

export { type Architecture, architectureOf } from "./families.ts";

/** What encoders and decoders have in common: sizes, the weights' places, and how to build the graph. */
interface BackboneFrame {
  readonly width: number;
  /** Width of the word embeddings: the same, but in some encoders. */
  readonly embeddingWidth: number;
  /** Longest text in tokens, special tokens and generated ones included. */
  readonly maxTokens: number;
  /** Where a batch is padded. Either side gives the same values. */
  readonly paddingSide: "left" | "right";
  readonly parameters: Parameters;
  /** The weights by AutoModel name, for reading single tensors on the host. */
  readonly weights: ReadonlyMap<string, WeightSource>;
  /** Those of a head that the file has, by Hugging Face's names: `classifier.weight`. */
  readonly headWeights: ReadonlyMap<string, WeightSource>;
  /** The word embedding table's AutoModel name; (V, embedding width). */
  readonly wordEmbeddings: string;
  /** Linear layers an adapter can hook into: AutoModel path → (in, out). */
  readonly sites: ReadonlyMap<string, readonly [number, number]>;
  readonly biases: ReadonlyMap<string, number>;
  /** What stands in front of AutoModel's paths in a model that has a head: `bert.`, `transformer.`. */
  readonly headedPrefix: string;
  /** Linear layers store their weight (in, out), as peft's `fan_in_fan_out`: a merged ΔW is (B·A)ᵀ·s. */
  readonly fanInFanOut: boolean;
  readonly hasPooler: boolean;
  /** Layers over a pooled vector that the model brings along; they are frozen too. */
  readonly modules?: FeatureModules;
  /** Some linear layers read, beside tokens, rows that all texts share. */
  readonly sharesRows: boolean;
  readonly parameterCount: number;
  declareInputs(): TokenInputs;
  /** The layers above a trunk that was computed before; the hidden states begin with its own. */
  buildAbove(context: LayerContext, inputs: TokenInputs, trunk: Trunk): HiddenStates;
}

/** A frozen BERT-type model. */
export interface EncoderBackbone extends BackboneFrame {
  readonly kind: "encoder";
  readonly classifier?: ClassifierSettings;
  readonly config: EncoderConfig;
  build(context: LayerContext, inputs: TokenInputs): HiddenStates;
}

/** A frozen causal language model. */
export interface DecoderBackbone extends BackboneFrame {
  readonly kind: "decoder";
  readonly config: DecoderConfig;
  readonly hasLanguageModelHead: boolean;
  /** The name of the weight that makes logits of hidden states, (V, D); undefined where there is none. */
  readonly languageModelHead: string | undefined;
  /** @param past what the new tokens follow: a graph without gradients; without it they begin their texts */
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

function describeEncoder(
  { open, prefix: headedPrefix }: EncoderFamily,
  json: unknown,
  weights: Weights,
  where: string,
): EncoderBackbone {
  const network = open(json, where);
  const { config, wordEmbeddings } = network;
  const { own, heads, prefix } = nameWeights(weights, { tensor: wordEmbeddings, headedPrefix }, where);
  const parameters = frozenParameters(own, prefix, where);
  // Asks for every weight once, so that a missing or misshapen one is told here and not in the middle of a run.
  buildEncoder(network, bareContext(parameters), declareTokenInputs());
  return {
    kind: "encoder",
    config,
    width: config.width,
    embeddingWidth: config.embeddingWidth,
    maxTokens: maxTokens(config),
    paddingSide: "right",
    parameters,
    weights: own,
    headWeights: heads,
    wordEmbeddings,
    sites: network.sites,
    biases: network.biases,
    headedPrefix,
    fanInFanOut: false,
    hasPooler: parameters.has("pooler.dense.weight"),
    sharesRows: network.sharesRows ?? false,
    ...(network.classifier && { classifier: network.classifier }),
    parameterCount: countParameters(own),
    declareInputs: declareTokenInputs,
    build: (context, inputs) => buildEncoder(network, context, inputs),
    buildAbove: (context, inputs, trunk) => buildEncoder(network, context, inputs, trunk),
  };
}

/** A head that the file has of its own goes before the word embeddings, whatever config.json says of tying them. */
function headOf(network: DecoderNetwork, config: DecoderConfig, heads: Weights, own: Weights) {
  const source = heads.get(network.head) ?? own.get(network.head);
  if (source !== undefined) return { tiedHead: false, source };
  return { tiedHead: config.tiedHead };
}

function describeDecoder(
  { prefix: headedPrefix }: DecoderFamily,
  network: DecoderNetwork,
  json: unknown,
  weights: Weights,
  where: string,
): DecoderBackbone {
  const parsed = network.parse(json, where);
  const { wordEmbeddings, head } = network;
  const probe = { tensor: wordEmbeddings, headedPrefix, ...(parsed.tiedHead && { tied: head }) };
  const { own, heads, prefix } = nameWeights(weights, probe, where);
  const { tiedHead, source } = headOf(network, parsed, heads, own);
  const shared = source !== undefined && own.get(wordEmbeddings) === source;
  const config = { ...parsed, tiedHead: tiedHead || shared };
  const all = source === undefined || shared ? own : new Map(own).set(head, source);
  const parameters = frozenParameters(all, prefix, where);
  const hasLanguageModelHead = config.tiedHead || parameters.has(head);
  const lmLogits = (context: LayerContext, rows: Value) => {
    if (!hasLanguageModelHead)
      throw new CheckpointError(`${where}: the model has no language-modelling head ("${head}")`, {
        hint: "Save it with transformers: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder).",
      });
    return languageModelLogits(network, config, context, rows);
  };
  // Asks for every weight once, so that a missing or misshapen one is told here and not in the middle of a run.
  buildDecoder(network, config, bareContext(parameters), declareTokenInputs());
  if (hasLanguageModelHead)
    lmLogits(bareContext(parameters), op.input("rows", "float32", ["M", config.width]));
  return {
    kind: "decoder",
    config,
    width: config.width,
    embeddingWidth: config.width,
    maxTokens: config.positions,
    paddingSide: "left",
    parameters,
    weights: all,
    headWeights: heads,
    wordEmbeddings,
    sites: decoderSites(network, config),
    biases: decoderBiases(network, config),
    headedPrefix,
    fanInFanOut: network.fanInFanOut,
    hasPooler: false,
    sharesRows: false,
    parameterCount: countParameters(all),
    hasLanguageModelHead,
    languageModelHead: hasLanguageModelHead ? (config.tiedHead ? wordEmbeddings : head) : undefined,
    declareInputs: declareTokenInputs,
    declarePast: () => declarePast(config),
    build: (context, inputs, past) => buildDecoder(network, config, context, inputs, past),
    buildAbove: (context, inputs, trunk) => buildDecoder(network, config, context, inputs, undefined, trunk),
    lmLogits,
  };
}

function describe(architecture: Architecture, config: unknown, weights: Weights, where: string): Backbone {
  const family = families[architecture];
  if (family.kind === "encoder") return describeEncoder(family, config, weights, where);
  return describeDecoder(family, family.network, config, weights, where);
}

/**
 * The backbone with layers of its own over a pooled vector.
 * @param weights those of the layers, by site
 * @throws CheckpointError where a layer does not take what comes before it, or a weight is missing or misshapen
 */
export function withModules<B extends Backbone>(
  backbone: B,
  modules: FeatureModules,
  weights: ReadonlyMap<string, HostTensor>,
  where: string,
): B {
  const width = modules.poolings.length * backbone.width;
  checkSteps(modules.steps, width, where);
  const beside = constantParameters(weights, where);
  applySteps(modules.steps, op.input("pooled", "float32", ["B", width]), beside);
  return {
    ...backbone,
    modules,
    parameters: joinParameters(backbone.parameters, beside),
    parameterCount:
      backbone.parameterCount + [...weights.values()].reduce((sum, { dims }) => sum + sizeOf(dims), 0),
  };
}

/**
 * Describes the model of a Hugging Face folder.
 * @param where the folder, for messages
 * @throws CheckpointError if the architecture is unknown or the weights do not fit the config
 */
export function createBackbone(config: unknown, weights: Weights, where: string): Backbone {
  return describe(architectureOf(config, where), config, weights, where);
}
