// Dimensions: B batch, T tokens, D width, V vocabulary.
import type { Value } from "../../graph/types.ts";
import type { LayerContext } from "../layers/layers.ts";
import type { TokenInputs } from "../layers/tokens.ts";
import type { Attend } from "./decoderAttention.ts";
import type { DecoderConfig } from "./decoderConfig.ts";

/** A linear layer of one decoder layer. */
export interface DecoderSite {
  /** Below the layer: `attn.c_attn`. */
  readonly name: string;
  readonly sizes: readonly [inFeatures: number, outFeatures: number];
  readonly bias: boolean;
}

/** What one decoder architecture adds to the frame that all share. Names are AutoModel's paths. */
export interface DecoderNetwork {
  /** What a checkpoint saved with a head writes in front of AutoModel's names. */
  readonly prefix: string;
  readonly wordEmbeddings: string;
  /** The head's weights (V, D), whose name has no prefix. */
  readonly head: string;
  /** Linear layers store (in, out), and peft wants to be told so. */
  readonly fanInFanOut: boolean;
  /** @throws CheckpointError for a setting that cannot be honoured */
  parse(config: unknown, where: string): DecoderConfig;
  /** → (B·T, D) */
  embed(config: DecoderConfig, context: LayerContext, inputs: TokenInputs): Value;
  /** x (B·T, D) → (B·T, D) */
  layer(config: DecoderConfig, context: LayerContext, index: number, x: Value, attend: Attend): Value;
  /** The last normalisation. (B·T, D) → (B·T, D) */
  norm(config: DecoderConfig, context: LayerContext, x: Value): Value;
  /** What layers are called in front of their number: `h`. */
  readonly layerList: string;
  /** The linear layers of every layer, which an adapter can hook into. */
  sites(config: DecoderConfig): readonly DecoderSite[];
  /** Normalisations with a bias: those of every layer, and the last one. */
  readonly biasedNorms: { readonly layer: readonly string[]; readonly last: readonly string[] };
}

function forEachLayer(network: DecoderNetwork, config: DecoderConfig, visit: (at: string) => void): void {
  for (let i = 0; i < config.layers; i++) visit(`${network.layerList}.${i}`);
}

/** Every linear layer that an adapter can hook into, by AutoModel path, with its (in, out) sizes. */
export function decoderSites(
  network: DecoderNetwork,
  config: DecoderConfig,
): ReadonlyMap<string, readonly [number, number]> {
  const found = new Map<string, readonly [number, number]>();
  forEachLayer(network, config, (at) => {
    for (const { name, sizes } of network.sites(config)) found.set(`${at}.${name}`, sizes);
  });
  return found;
}

/** Every bias of the network with its size, in peft's sense of `bias: all`. */
export function decoderBiases(network: DecoderNetwork, config: DecoderConfig): ReadonlyMap<string, number> {
  const biases = new Map<string, number>();
  forEachLayer(network, config, (at) => {
    for (const { name, sizes, bias } of network.sites(config))
      if (bias) biases.set(`${at}.${name}.bias`, sizes[1]);
    for (const norm of network.biasedNorms.layer) biases.set(`${at}.${norm}.bias`, config.width);
  });
  for (const norm of network.biasedNorms.last) biases.set(`${norm}.bias`, config.width);
  return biases;
}
