// Dimensions: D width, N = B·T rows.
import { z } from "zod";
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { checkActivation, checkHeads, parseConfigFile, rate, size } from "../layers/configFile.ts";
import { activate, embedding, embedWords, type LayerContext, layerNorm, linear } from "../layers/layers.ts";
import { type DecoderConfig, inAllLayers, padIdOf, specialIds } from "./decoderConfig.ts";
import type { DecoderNetwork } from "./decoderNetwork.ts";

const schema = z.object({
  model_type: z.literal("gpt2"),
  n_embd: size,
  n_layer: size,
  n_head: size,
  n_inner: size.nullish(),
  n_positions: size,
  vocab_size: size,
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  embd_pdrop: rate.default(0.1),
  resid_pdrop: rate.default(0.1),
  attn_pdrop: rate.default(0.1),
  tie_word_embeddings: z.boolean().default(true),
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
  add_cross_attention: z.literal(false).default(false),
  ...specialIds,
});

function parse(config: unknown, where: string): DecoderConfig {
  const c = parseConfigFile(schema, config, where);
  checkHeads(c.n_embd, c.n_head, ["n_embd", "n_head"], where);
  return {
    architecture: c.model_type,
    width: c.n_embd,
    layers: c.n_layer,
    heads: c.n_head,
    keyValueHeads: c.n_head,
    headWidth: c.n_embd / c.n_head,
    intermediate: c.n_inner ?? 4 * c.n_embd,
    vocabularySize: c.vocab_size,
    positions: c.n_positions,
    typeVocabularySize: 0,
    firstPosition: 0,
    epsilon: c.layer_norm_epsilon,
    activation: checkActivation(c.activation_function, "activation_function", where),
    attention: inAllLayers(c.n_layer, {}),
    parallelResidual: false,
    biases: { queryKeyValue: true, output: true, feedForward: true },
    tiedHead: c.tie_word_embeddings,
    padId: padIdOf(c),
    embeddingDropout: c.embd_pdrop,
    hiddenDropout: c.resid_pdrop,
    attentionDropout: c.attn_pdrop,
  };
}

/** Hugging Face's Conv1D: a linear layer whose weight is stored (in, out). */
function conv1d(
  context: LayerContext,
  site: string,
  x: Value,
  inFeatures: number,
  outFeatures: number,
): Value {
  return linear(context, site, x, inFeatures, outFeatures, { layout: "in-out" });
}

/** GPT-2 (Radford et al. 2019): learned positions, normalisation before each part. */
export const gpt2: DecoderNetwork = {
  prefix: "transformer.",
  wordEmbeddings: "wte.weight",
  head: "lm_head.weight",
  fanInFanOut: true,
  parse,
  embed(config, context, inputs) {
    const words = embedWords(context, "wte", inputs.inputIds, config.vocabularySize, config.width);
    const positions = embedding(context, "wpe", inputs.positionIds, config.positions, config.width);
    return context.dropout("drop", op.add(words, positions), config.embeddingDropout); // (N, D)
  },
  layer(config, context, index, x, attend) {
    const { width, intermediate, epsilon, hiddenDropout } = config;
    const at = `h.${index}`;
    const before = layerNorm(context, `${at}.ln_1`, x, width, epsilon);
    const packed = conv1d(context, `${at}.attn.c_attn`, before, width, 3 * width); // (N, 3·D)
    const part = (i: number) => op.slice(packed, 1, i * width, (i + 1) * width); // (N, D)
    const attended = attend(`${at}.attn`, part(0), part(1), part(2));
    const mixed = conv1d(context, `${at}.attn.c_proj`, attended, width, width);
    const middle = op.add(context.dropout(`${at}.attn.resid_dropout`, mixed, hiddenDropout), x);

    const normed = layerNorm(context, `${at}.ln_2`, middle, width, epsilon);
    const inner = activate(config.activation, conv1d(context, `${at}.mlp.c_fc`, normed, width, intermediate));
    const outer = conv1d(context, `${at}.mlp.c_proj`, inner, intermediate, width);
    return op.add(context.dropout(`${at}.mlp.dropout`, outer, hiddenDropout), middle); // (N, D)
  },
  norm: (config, context, x) => layerNorm(context, "ln_f", x, config.width, config.epsilon),
  layerList: "h",
  sites: ({ width, intermediate }) => [
    { name: "attn.c_attn", sizes: [width, 3 * width], bias: true },
    { name: "attn.c_proj", sizes: [width, width], bias: true },
    { name: "mlp.c_fc", sizes: [width, intermediate], bias: true },
    { name: "mlp.c_proj", sizes: [intermediate, width], bias: true },
  ],
  biasedNorms: { layer: ["ln_1", "ln_2"], last: ["ln_f"] },
};
