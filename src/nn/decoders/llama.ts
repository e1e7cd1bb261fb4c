// Dimensions: D width, H heads, K key-value heads, d head width, N = B·T rows.
import { z } from "zod";
import * as op from "../../graph/ops.ts";
import { multiplyDims } from "../../graph/shape.ts";
import type { Value } from "../../graph/types.ts";
import { checkActivation, checkHeads, parseConfigFile, rate, size } from "../layers/configFile.ts";
import { activate, embedWords, type LayerContext, linear, rmsNorm } from "../layers/layers.ts";
import { layerKinds, rotaryKeys, rotaryOf } from "../layers/rotaryConfig.ts";
import {
  checkKeyValueHeads,
  type DecoderConfig,
  inAllLayers,
  type LayerAttention,
  padIdOf,
  specialIds,
} from "./decoderConfig.ts";
import type { DecoderNetwork, DecoderSite } from "./decoderNetwork.ts";

/** What the families of Llama's network call its sizes. */
export const llamaKeys = {
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  intermediate_size: size,
  max_position_embeddings: size,
  vocab_size: size,
  rms_norm_eps: z.number().positive().default(1e-6),
  attention_dropout: rate.default(0),
  ...specialIds,
} as const;

/** With what most of them have beside. */
export const llamaSchema = z.object({
  ...llamaKeys,
  hidden_act: z.string().default("silu"),
  tie_word_embeddings: z.boolean().default(false),
  ...rotaryKeys,
});

const ownSchema = llamaSchema.extend({
  model_type: z.literal("llama"),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});
const mistralSchema = llamaSchema.extend({
  model_type: z.literal("mistral"),
  sliding_window: size.nullish(),
});
/** Qwen's layers from `max_window_layers` on have a window, where it is used at all. */
const qwenWindow = {
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().default(false),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: layerKinds.nullish(),
} as const;
const qwen2Schema = llamaSchema.extend({ model_type: z.literal("qwen2"), ...qwenWindow });
const qwen3Schema = llamaSchema.extend({
  model_type: z.literal("qwen3"),
  attention_bias: z.boolean().default(false),
  ...qwenWindow,
});
const smollm3Schema = llamaSchema.extend({
  model_type: z.literal("smollm3"),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
  no_rope_layers: z.array(z.union([z.literal(0), z.literal(1)])).nullish(),
  no_rope_layer_interval: size.default(4),
  use_sliding_window: z.boolean().default(false),
  sliding_window: size.nullish(),
  layer_types: layerKinds.nullish(),
});

/** What the architectures say each in its own way. */
interface Variant extends Pick<DecoderConfig, "architecture" | "biases" | "queryKeyNorm"> {
  /** Where config.json does not say. */
  readonly defaultKeyValueHeads: number;
  readonly defaultHeadWidth?: number;
  readonly defaultTheta?: number;
  /** Of every layer; default: none has a window, all rotate. */
  attention?(rotary: NonNullable<LayerAttention["rotary"]>, index: number): LayerAttention;
}

/** The heads and key-value heads of a config.json, and their width. @throws CheckpointError if they do not fit */
export function headsOf(
  c: z.infer<z.ZodObject<typeof llamaKeys>>,
  where: string,
  defaults: { readonly keyValueHeads: number; readonly headWidth?: number | undefined },
) {
  const headWidth = c.head_dim ?? defaults.headWidth;
  if (headWidth === undefined)
    checkHeads(c.hidden_size, c.num_attention_heads, ["hidden_size", "num_attention_heads"], where);
  const keyValueHeads = c.num_key_value_heads ?? defaults.keyValueHeads;
  checkKeyValueHeads(c.num_attention_heads, keyValueHeads, where);
  return {
    heads: c.num_attention_heads,
    keyValueHeads,
    headWidth: headWidth ?? c.hidden_size / c.num_attention_heads,
  };
}

/** The sizes of a family with Llama's keys. @throws CheckpointError for a setting that cannot be honoured */
export function llamaConfig(c: z.infer<typeof llamaSchema>, variant: Variant, where: string): DecoderConfig {
  const { defaultKeyValueHeads: keyValueHeads, defaultHeadWidth, defaultTheta: theta = 10_000 } = variant;
  const heads = headsOf(c, where, { keyValueHeads, headWidth: defaultHeadWidth });
  const { rotary, positions } = rotaryOf(
    c,
    { headWidth: heads.headWidth, positions: c.max_position_embeddings, where },
    { theta, part: 1 },
  );
  const plain = inAllLayers(c.num_hidden_layers, { rotary });
  return {
    architecture: variant.architecture,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    ...heads,
    intermediate: c.intermediate_size,
    vocabularySize: c.vocab_size,
    positions,
    typeVocabularySize: 0,
    firstPosition: 0,
    epsilon: c.rms_norm_eps,
    activation: checkActivation(c.hidden_act, "hidden_act", where),
    attention: plain.map((attention, i) => variant.attention?.(rotary, i) ?? attention),
    parallelResidual: false,
    ...(variant.queryKeyNorm && { queryKeyNorm: true }),
    biases: variant.biases,
    tiedHead: c.tie_word_embeddings,
    padId: padIdOf(c),
    embeddingDropout: 0,
    hiddenDropout: 0,
    attentionDropout: c.attention_dropout,
  };
}

/** The linear layers of a layer of Llama's. */
export function llamaSites(config: DecoderConfig): readonly DecoderSite[] {
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

/** Queries, keys and values of rows x (N, D): (N, H·d), (N, K·d) twice. */
export type Project = (name: "q_proj" | "k_proj" | "v_proj") => Value;

export function projections(config: DecoderConfig, context: LayerContext, at: string, x: Value): Project {
  const { width, heads, keyValueHeads, headWidth, biases } = config;
  return (name) =>
    linear(
      context,
      `${at}.self_attn.${name}`,
      x,
      width,
      (name === "q_proj" ? heads : keyValueHeads) * headWidth,
      { bias: biases.queryKeyValue },
    );
}

/** A normalisation of every head by itself. x (N, h·d) → (N, h·d) */
export function perHead(x: Value, headWidth: number, norm: (x: Value) => Value): Value {
  const [rows = "B*T", size = headWidth] = x.shape;
  const heads = typeof size === "number" ? size / headWidth : 1;
  return op.reshape(norm(op.reshape(x, [rows, heads, headWidth])), [multiplyDims([rows]), size]);
}

/** down(activation(gate) · up). (N, D) → (N, D) */
export function gatedFeedForward(config: DecoderConfig, context: LayerContext, at: string, x: Value): Value {
  const { width, intermediate } = config;
  const bias = config.biases.feedForward;
  const gate = linear(context, `${at}.mlp.gate_proj`, x, width, intermediate, { bias });
  const up = linear(context, `${at}.mlp.up_proj`, x, width, intermediate, { bias });
  const inner = op.mul(activate(config.activation, gate), up);
  return linear(context, `${at}.mlp.down_proj`, inner, intermediate, width, { bias });
}

/** Llama (Touvron et al. 2023): RMS normalisation, rotary positions, gated feed-forward, grouped queries. */
export const llamaNetwork: Omit<DecoderNetwork, "parse"> = {
  prefix: "model.",
  wordEmbeddings: "embed_tokens.weight",
  head: "lm_head.weight",
  fanInFanOut: false,
  embed: (config, context, inputs) =>
    embedWords(context, "embed_tokens", inputs.inputIds, config.vocabularySize, config.width), // (N, D)
  layer(config, context, index, x, attend) {
    const { width, heads, headWidth, epsilon, biases } = config;
    const at = `layers.${index}`;
    const before = rmsNorm(context, `${at}.input_layernorm`, x, width, epsilon);
    const project = projections(config, context, at, before);
    const normed = (name: "q" | "k") =>
      config.queryKeyNorm === undefined
        ? project(`${name}_proj`)
        : perHead(project(`${name}_proj`), headWidth, (head) =>
            rmsNorm(context, `${at}.self_attn.${name}_norm`, head, headWidth, epsilon),
          );
    const attended = attend(`${at}.self_attn`, normed("q"), normed("k"), project("v_proj")); // (N, H·d)
    const mixed = linear(context, `${at}.self_attn.o_proj`, attended, heads * headWidth, width, {
      bias: biases.output,
    });
    const middle = op.add(mixed, x);
    const read = rmsNorm(context, `${at}.post_attention_layernorm`, middle, width, epsilon);
    return op.add(gatedFeedForward(config, context, at, read), middle); // (N, D)
  },
  norm: (config, context, x) => rmsNorm(context, "norm", x, config.width, config.epsilon),
  layerList: "layers",
  sites: llamaSites,
  biasedNorms: { layer: [], last: [] },
};

export const llama: DecoderNetwork = {
  ...llamaNetwork,
  parse(config, where) {
    const c = parseConfigFile(ownSchema, config, where);
    const { attention_bias: attention, mlp_bias: feedForward } = c;
    return llamaConfig(
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
  ...llamaNetwork,
  parse(config, where) {
    const c = parseConfigFile(mistralSchema, config, where);
    const biases = { queryKeyValue: false, output: false, feedForward: false };
    const { model_type: architecture, sliding_window: window } = c;
    const attention = (rotary: NonNullable<LayerAttention["rotary"]>) => ({
      rotary,
      ...(window != null && { window }),
    });
    return llamaConfig(c, { architecture, biases, defaultKeyValueHeads: 8, attention }, where);
  },
};

function qwenAttention(c: z.infer<z.ZodObject<typeof qwenWindow>>): NonNullable<Variant["attention"]> {
  const window = c.use_sliding_window ? c.sliding_window : undefined;
  const slides = (i: number) =>
    (c.layer_types?.[i] ?? (i >= c.max_window_layers ? "sliding_attention" : "full_attention")) ===
    "sliding_attention";
  return (rotary, i) => ({ rotary, ...(window != null && slides(i) && { window }) });
}

/** Qwen2 (Yang et al. 2024): Llama's network, with biases on queries, keys and values. */
export const qwen2: DecoderNetwork = {
  ...llamaNetwork,
  parse(config, where) {
    const c = parseConfigFile(qwen2Schema, config, where);
    const biases = { queryKeyValue: true, output: false, feedForward: false };
    const attention = qwenAttention(c);
    return llamaConfig(c, { architecture: c.model_type, biases, defaultKeyValueHeads: 32, attention }, where);
  },
};

/** Qwen3 (Yang et al. 2025): Llama's network, every head of queries and keys normalised. */
export const qwen3: DecoderNetwork = {
  ...llamaNetwork,
  parse(config, where) {
    const c = parseConfigFile(qwen3Schema, config, where);
    const bias = c.attention_bias;
    return llamaConfig(
      c,
      {
        architecture: c.model_type,
        biases: { queryKeyValue: bias, output: bias, feedForward: false },
        defaultKeyValueHeads: 32,
        defaultHeadWidth: 128,
        queryKeyNorm: true,
        attention: qwenAttention(c),
      },
      where,
    );
  },
};

/** SmolLM3 (Hugging Face 2025): Llama's network, in which some layers know no positions. */
export const smollm3: DecoderNetwork = {
  ...llamaNetwork,
  parse(config, where) {
    const c = parseConfigFile(smollm3Schema, config, where);
    const { attention_bias: bias, mlp_bias: feedForward } = c;
    const rotates = (i: number) =>
      (c.no_rope_layers?.[i] ?? ((i + 1) % c.no_rope_layer_interval === 0 ? 0 : 1)) === 1;
    const window = c.use_sliding_window ? c.sliding_window : undefined;
    const slides = (i: number) =>
      c.layer_types == null ? !rotates(i) : c.layer_types[i] === "sliding_attention";
    return llamaConfig(
      c,
      {
        architecture: c.model_type,
        biases: { queryKeyValue: bias, output: bias, feedForward },
        defaultKeyValueHeads: 4,
        defaultTheta: 2_000_000,
        attention: (rotary, i) => ({
          ...(rotates(i) && { rotary }),
          ...(window != null && slides(i) && { window }),
        }),
      },
      where,
    );
  },
};
