// Dimensions: D width, H heads, K key-value heads, d head width, N = B·T rows.
import { z } from "zod";
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { checkActivation, parseConfigFile, size } from "../layers/configFile.ts";
import { type LayerContext, linear } from "../layers/layers.ts";
import { layerKinds, readRotary, rotaryByKind, rotaryOfKind } from "../layers/rotaryConfig.ts";
import { type DecoderConfig, type LayerAttention, padIdOf } from "./decoderConfig.ts";
import type { DecoderNetwork } from "./decoderNetwork.ts";
import { gatedFeedForward, headsOf, llamaKeys, llamaNetwork, perHead, projections } from "./llama.ts";

const schema = z.object({
  model_type: z.literal("gemma3_text"),
  ...llamaKeys,
  num_key_value_heads: size.default(4),
  head_dim: size.default(256),
  hidden_activation: z.string().default("gelu_pytorch_tanh"),
  query_pre_attn_scalar: z.number().positive().default(256),
  sliding_window: size.nullish(),
  sliding_window_pattern: size.default(6),
  layer_types: layerKinds.nullish(),
  attention_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
  rope_theta: z.number().positive().default(1_000_000),
  rope_local_base_freq: z.number().positive().default(10_000),
  rope_parameters: rotaryByKind,
  // Of the layers that see everything alone.
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  final_logit_softcapping: z.null().optional(),
  attn_logit_softcapping: z.null().optional(),
  use_bidirectional_attention: z.literal(false).nullish(),
});

function attentionOf(c: z.infer<typeof schema>, where: string): readonly LayerAttention[] {
  const model = { headWidth: c.head_dim, positions: c.max_position_embeddings, where };
  const everywhere: LayerAttention = {
    rotary: readRotary({ ...rotaryOfKind(c.rope_parameters, "full_attention"), ...c.rope_scaling }, model, {
      theta: c.rope_theta,
      part: 1,
    }).rotary,
  };
  const near: LayerAttention = {
    rotary: readRotary(rotaryOfKind(c.rope_parameters, "sliding_attention"), model, {
      theta: c.rope_local_base_freq,
      part: 1,
    }).rotary,
    ...(c.sliding_window != null && { window: c.sliding_window }),
  };
  const slides = (i: number) =>
    c.layer_types == null
      ? (i + 1) % c.sliding_window_pattern !== 0
      : c.layer_types[i] === "sliding_attention";
  return Array.from({ length: c.num_hidden_layers }, (_, i) => (slides(i) ? near : everywhere));
}

function parse(json: unknown, where: string): DecoderConfig {
  const c = parseConfigFile(schema, json, where);
  const bias = c.attention_bias;
  return {
    architecture: c.model_type,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    ...headsOf(c, where, { keyValueHeads: c.num_key_value_heads }),
    intermediate: c.intermediate_size,
    vocabularySize: c.vocab_size,
    positions: c.max_position_embeddings,
    typeVocabularySize: 0,
    firstPosition: 0,
    epsilon: c.rms_norm_eps,
    activation: checkActivation(c.hidden_activation, "hidden_activation", where),
    attention: attentionOf(c, where),
    scoreScale: 1 / Math.sqrt(c.query_pre_attn_scalar),
    parallelResidual: false,
    queryKeyNorm: true,
    biases: { queryKeyValue: bias, output: bias, feedForward: false },
    tiedHead: c.tie_word_embeddings,
    padId: padIdOf(c),
    embeddingDropout: 0,
    hiddenDropout: 0,
    attentionDropout: c.attention_dropout,
  };
}

/** (1 + γ)·x/√(mean(x²) + ε) over the last axis. */
function gemmaNorm(context: LayerContext, site: string, x: Value, width: number, epsilon: number): Value {
  return op.rmsNorm(x, op.add(context.parameters.get(`${site}.weight`, [width]), 1), epsilon);
}

/** Gemma 3 (Gemma Team 2025), its text part: norms around attention and feed-forward, and layers that look near or everywhere. */
export const gemma3: DecoderNetwork = {
  ...llamaNetwork,
  parse,
  embed: (config, context, inputs) => {
    const scale = Math.sqrt(config.width);
    const table = context.parameters.get("embed_tokens.weight", [config.vocabularySize, config.width]);
    const words = op.mul(op.gather(table, op.reshape(inputs.inputIds, ["B*T"])), scale);
    return context.embed?.(words, inputs.inputIds) ?? words; // (N, D)
  },
  layer(config, context, index, x, attend) {
    const { width, heads, headWidth, epsilon, biases } = config;
    const at = `layers.${index}`;
    const norm = (name: string, value: Value) => gemmaNorm(context, `${at}.${name}`, value, width, epsilon);
    const project = projections(config, context, at, norm("input_layernorm", x));
    const normed = (name: "q" | "k") =>
      perHead(project(`${name}_proj`), headWidth, (head) =>
        gemmaNorm(context, `${at}.self_attn.${name}_norm`, head, headWidth, epsilon),
      );
    const attended = attend(`${at}.self_attn`, normed("q"), normed("k"), project("v_proj")); // (N, H·d)
    const mixed = linear(context, `${at}.self_attn.o_proj`, attended, heads * headWidth, width, {
      bias: biases.output,
    });
    const middle = op.add(norm("post_attention_layernorm", mixed), x);
    const read = norm("pre_feedforward_layernorm", middle);
    const outer = gatedFeedForward(config, context, at, read);
    return op.add(norm("post_feedforward_layernorm", outer), middle); // (N, D)
  },
  norm: (config, context, x) => gemmaNorm(context, "norm", x, config.width, config.epsilon),
};
