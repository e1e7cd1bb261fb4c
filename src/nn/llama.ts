// Dimensions: D width, H heads, K key-value heads, d head width, N = B·T rows.
import { z } from "zod";
import * as op from "../graph/ops.ts";
import { checkActivation, checkHeads, parseConfigFile, rate, size } from "./configFile.ts";
import {
  checkKeyValueHeads,
  type DecoderConfig,
  padIdOf,
  rotaryKeys,
  rotaryOf,
  specialIds,
} from "./decoderConfig.ts";
import type { DecoderNetwork, DecoderSite } from "./decoderNetwork.ts";
import { activate, embedWords, linear, rmsNorm } from "./layers.ts";

const schema = z.object({
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  intermediate_size: size,
  max_position_embeddings: size,
  vocab_size: size,
  hidden_act: z.string().default("silu"),
  rms_norm_eps: z.number().positive().default(1e-6),
  attention_dropout: rate.default(0),
  tie_word_embeddings: z.boolean().default(false),
  ...rotaryKeys,
  ...specialIds,
});

const llamaSchema = schema.extend({
  model_type: z.literal("llama"),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});
const mistralSchema = schema.extend({
  model_type: z.literal("mistral"),
  sliding_window: size.nullish(),
});
const qwen2Schema = schema.extend({
  model_type: z.literal("qwen2"),
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().default(false),
});

/** What the three architectures say each in its own way. */
type Variant = Pick<DecoderConfig, "architecture" | "biases"> & {
  /** Where config.json does not say. */
  readonly defaultKeyValueHeads: number;
  readonly slidingWindow?: number | null | undefined;
};

function assemble(c: z.infer<typeof schema>, variant: Variant, where: string): DecoderConfig {
  if (c.head_dim == null)
    checkHeads(c.hidden_size, c.num_attention_heads, ["hidden_size", "num_attention_heads"], where);
  const keyValueHeads = c.num_key_value_heads ?? variant.defaultKeyValueHeads;
  checkKeyValueHeads(c.num_attention_heads, keyValueHeads, where);
  const headWidth = c.head_dim ?? c.hidden_size / c.num_attention_heads;
  return {
    architecture: variant.architecture,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    keyValueHeads,
    headWidth,
    intermediate: c.intermediate_size,
    vocabularySize: c.vocab_size,
    positions: c.max_position_embeddings,
    ...(variant.slidingWindow != null && { slidingWindow: variant.slidingWindow }),
    typeVocabularySize: 0,
    firstPosition: 0,
    epsilon: c.rms_norm_eps,
    activation: checkActivation(c.hidden_act, "hidden_act", where),
    rotary: rotaryOf(c, headWidth, { theta: 10_000, part: 1 }, where),
    parallelResidual: false,
    biases: variant.biases,
    tiedHead: c.tie_word_embeddings,
    padId: padIdOf(c),
    embeddingDropout: 0,
    hiddenDropout: 0,
    attentionDropout: c.attention_dropout,
  };
}

function sites(config: DecoderConfig): readonly DecoderSite[] {
  const { width, heads, keyValueHeads, headWidth, intermediate, biases } = config;
  const [queries, keys] = [heads * headWidth, keyValueHeads * headWidth];
  return [
    { name: "self_attn.q_proj", sizes: [width, queries], bias: biases.queryKeyValue },
    { name: "self_attn.k_proj", sizes: [width, keys], bias: biases.queryKeyValue },
    { name: "self_attn.v_proj", sizes: [width, keys], bias: biases.queryKeyValue },
    { name: "self_attn.o_proj", sizes: [queries, width], bias: biases.output },
    { name: "mlp.gate_proj", sizes: [width, intermediate], bias: biases.feedForward },
    { name: "mlp.up_proj", sizes: [width, intermediate], bias: biases.feedForward },
    { name: "mlp.down_proj", sizes: [intermediate, width], bias: biases.feedForward },
  ];
}

/** Llama (Touvron et al. 2023): RMS normalisation, rotary positions, gated feed-forward, grouped queries. */
const network: Omit<DecoderNetwork, "parse"> = {
  prefix: "model.",
  wordEmbeddings: "embed_tokens.weight",
  head: "lm_head.weight",
  fanInFanOut: false,
  embed: (config, context, inputs) =>
    embedWords(context, "embed_tokens", inputs.inputIds, config.vocabularySize, config.width), // (N, D)
  layer(config, context, index, x, attend) {
    const { width, heads, keyValueHeads, headWidth, intermediate, epsilon, biases } = config;
    const at = `layers.${index}`;
    const before = rmsNorm(context, `${at}.input_layernorm`, x, width, epsilon);
    const project = (name: string, count: number) =>
      linear(context, `${at}.self_attn.${name}`, before, width, count * headWidth, {
        bias: biases.queryKeyValue,
      });
    const attended = attend(
      `${at}.self_attn`,
      project("q_proj", heads),
      project("k_proj", keyValueHeads),
      project("v_proj", keyValueHeads),
    ); // (N, H·d)
    const mixed = linear(context, `${at}.self_attn.o_proj`, attended, heads * headWidth, width, {
      bias: biases.output,
    });
    const middle = op.add(mixed, x);

    const normed = rmsNorm(context, `${at}.post_attention_layernorm`, middle, width, epsilon);
    const bias = biases.feedForward;
    const gate = linear(context, `${at}.mlp.gate_proj`, normed, width, intermediate, { bias });
    const up = linear(context, `${at}.mlp.up_proj`, normed, width, intermediate, { bias });
    const inner = op.mul(activate(config.activation, gate), up);
    return op.add(linear(context, `${at}.mlp.down_proj`, inner, intermediate, width, { bias }), middle); // (N, D)
  },
  norm: (config, context, x) => rmsNorm(context, "norm", x, config.width, config.epsilon),
  layerList: "layers",
  sites,
  biasedNorms: { layer: [], last: [] },
};

export const llama: DecoderNetwork = {
  ...network,
  parse(config, where) {
    const c = parseConfigFile(llamaSchema, config, where);
    const { attention_bias: attention, mlp_bias: feedForward } = c;
    return assemble(
      c,
      {
        architecture: c.model_type,
        biases: { queryKeyValue: attention, output: attention, feedForward },
        defaultKeyValueHeads: c.num_attention_heads,
      },
      where,
    );
  },
};

/** Mistral (Jiang et al. 2023): Llama's network, with a sliding window in its first version. */
export const mistral: DecoderNetwork = {
  ...network,
  parse(config, where) {
    const c = parseConfigFile(mistralSchema, config, where);
    const biases = { queryKeyValue: false, output: false, feedForward: false };
    const { model_type: architecture, sliding_window: slidingWindow } = c;
    return assemble(c, { architecture, biases, defaultKeyValueHeads: 8, slidingWindow }, where);
  },
};

/** Qwen2 (Yang et al. 2024): Llama's network, with biases on queries, keys and values. */
export const qwen2: DecoderNetwork = {
  ...network,
  parse(config, where) {
    const c = parseConfigFile(qwen2Schema, config, where);
    const biases = { queryKeyValue: true, output: false, feedForward: false };
    const slidingWindow = c.use_sliding_window ? c.sliding_window : undefined;
    return assemble(
      c,
      { architecture: c.model_type, biases, defaultKeyValueHeads: 32, slidingWindow },
      where,
    );
  },
};
