// Dimensions: D width, H heads, d head width, N = B·T rows.
import { z } from "zod";
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { checkActivation, checkHeads, parseConfigFile, rate, size } from "../layers/configFile.ts";
import { activate, embedWords, layerNorm, linear } from "../layers/layers.ts";
import { rotaryKeys, rotaryOf } from "../layers/rotaryConfig.ts";
import { type DecoderConfig, inAllLayers, padIdOf, specialIds } from "./decoderConfig.ts";
import type { DecoderNetwork } from "./decoderNetwork.ts";

const schema = z.object({
  model_type: z.literal("gpt_neox"),
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  intermediate_size: size,
  max_position_embeddings: size,
  vocab_size: size,
  hidden_act: z.string().default("gelu"),
  layer_norm_eps: z.number().positive().default(1e-5),
  rotary_pct: z.number().positive().max(1).default(0.25),
  rotary_emb_base: z.number().positive().default(10_000),
  use_parallel_residual: z.boolean().default(true),
  attention_bias: z.boolean().default(true),
  hidden_dropout: rate.default(0),
  attention_dropout: rate.default(0),
  tie_word_embeddings: z.boolean().default(false),
  ...rotaryKeys,
  ...specialIds,
});

function parse(config: unknown, where: string): DecoderConfig {
  const c = parseConfigFile(schema, config, where);
  checkHeads(c.hidden_size, c.num_attention_heads, ["hidden_size", "num_attention_heads"], where);
  const headWidth = c.hidden_size / c.num_attention_heads;
  const { rotary, positions } = rotaryOf(
    c,
    { headWidth, positions: c.max_position_embeddings, where },
    { theta: c.rotary_emb_base, part: c.rotary_pct },
  );
  return {
    architecture: c.model_type,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    keyValueHeads: c.num_attention_heads,
    headWidth,
    intermediate: c.intermediate_size,
    vocabularySize: c.vocab_size,
    positions,
    typeVocabularySize: 0,
    firstPosition: 0,
    epsilon: c.layer_norm_eps,
    activation: checkActivation(c.hidden_act, "hidden_act", where),
    attention: inAllLayers(c.num_hidden_layers, { rotary }),
    parallelResidual: c.use_parallel_residual,
    biases: { queryKeyValue: c.attention_bias, output: c.attention_bias, feedForward: true },
    tiedHead: c.tie_word_embeddings,
    padId: padIdOf(c),
    embeddingDropout: c.hidden_dropout,
    hiddenDropout: c.hidden_dropout,
    attentionDropout: c.attention_dropout,
  };
}

/** Queries, keys and values of (N, 3·D), which lies head by head: each head's query, key and value together. */
function unpack({ heads, headWidth, width }: DecoderConfig, packed: Value): readonly [Value, Value, Value] {
  const rows = packed.shape[0] ?? "B*T";
  const perHead = op.reshape(packed, [rows, heads, 3 * headWidth]); // (N, H, 3·d)
  const part = (i: number) =>
    op.reshape(op.slice(perHead, 2, i * headWidth, (i + 1) * headWidth), [rows, width]); // (N, D)
  return [part(0), part(1), part(2)];
}

/** GPT-NeoX (Black et al. 2022), as in Pythia: partly rotated heads, attention and feed-forward side by side. */
export const gptNeox: DecoderNetwork = {
  prefix: "gpt_neox.",
  wordEmbeddings: "embed_in.weight",
  head: "embed_out.weight",
  fanInFanOut: false,
  parse,
  embed(config, context, inputs) {
    const words = embedWords(context, "embed_in", inputs.inputIds, config.vocabularySize, config.width);
    return context.dropout("emb_dropout", words, config.embeddingDropout); // (N, D)
  },
  layer(config, context, index, x, attend) {
    const { width, intermediate, epsilon, hiddenDropout, biases } = config;
    const at = `layers.${index}`;
    const before = layerNorm(context, `${at}.input_layernorm`, x, width, epsilon);
    const queryKeyValue = linear(context, `${at}.attention.query_key_value`, before, width, 3 * width, {
      bias: biases.queryKeyValue,
    });
    const attended = attend(`${at}.attention`, ...unpack(config, queryKeyValue));
    const mixed = linear(context, `${at}.attention.dense`, attended, width, width, { bias: biases.output });
    const fromAttention = op.add(context.dropout(`${at}.post_attention_dropout`, mixed, hiddenDropout), x);

    const read = config.parallelResidual ? x : fromAttention;
    const normed = layerNorm(context, `${at}.post_attention_layernorm`, read, width, epsilon);
    const inner = activate(
      config.activation,
      linear(context, `${at}.mlp.dense_h_to_4h`, normed, width, intermediate),
    );
    const outer = linear(context, `${at}.mlp.dense_4h_to_h`, inner, intermediate, width);
    return op.add(context.dropout(`${at}.post_mlp_dropout`, outer, hiddenDropout), fromAttention); // (N, D)
  },
  norm: (config, context, x) => layerNorm(context, "final_layer_norm", x, config.width, config.epsilon),
  layerList: "layers",
  sites: ({ width, intermediate, biases }) => [
    { name: "attention.query_key_value", sizes: [width, 3 * width], bias: biases.queryKeyValue },
    { name: "attention.dense", sizes: [width, width], bias: biases.output },
    { name: "mlp.dense_h_to_4h", sizes: [width, intermediate], bias: biases.feedForward },
    { name: "mlp.dense_4h_to_h", sizes: [intermediate, width], bias: biases.feedForward },
  ],
  biasedNorms: { layer: ["input_layernorm", "post_attention_layernorm"], last: ["final_layer_norm"] },
};
