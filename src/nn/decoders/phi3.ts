// Dimensions: D width, H heads, K key-value heads, d head width, I feed-forward, N = B·T rows.
import { z } from "zod";
import * as op from "../../graph/ops.ts";
import { parseConfigFile, rate, size } from "../layers/configFile.ts";
import { activate, linear, rmsNorm } from "../layers/layers.ts";
import type { DecoderConfig } from "./decoderConfig.ts";
import type { DecoderNetwork } from "./decoderNetwork.ts";
import { llamaConfig, llamaNetwork, llamaSchema } from "./llama.ts";

const schema = llamaSchema.extend({
  model_type: z.literal("phi3"),
  rms_norm_eps: z.number().positive().default(1e-5),
  original_max_position_embeddings: size.default(4096),
  resid_pdrop: rate.default(0),
  embd_pdrop: rate.default(0),
  sliding_window: size.nullish(),
});

/** Old files call LongRoPE by other names. */
function renamed(c: z.infer<typeof schema>): z.infer<typeof schema> {
  const { rope_parameters, rope_scaling, ...rest } = c;
  const own = rope_scaling ?? rope_parameters;
  if (own == null) return rest;
  const kind = own.rope_type ?? own.type;
  return {
    ...rest,
    rope_parameters: { ...own, ...((kind === "su" || kind === "yarn") && { rope_type: "longrope" }) },
  };
}

function parse(json: unknown, where: string): DecoderConfig {
  const c = renamed(parseConfigFile(schema, json, where));
  const { sliding_window: window } = c;
  const config = llamaConfig(
    c,
    {
      architecture: c.model_type,
      biases: { queryKeyValue: false, output: false, feedForward: false },
      defaultKeyValueHeads: c.num_attention_heads,
      attention: (rotary) => ({ rotary, ...(window != null && { window }) }),
    },
    where,
  );
  return { ...config, embeddingDropout: c.embd_pdrop, hiddenDropout: c.resid_pdrop };
}

const unbiased = { bias: false };

/** Phi-3 (Abdin et al. 2024): Llama's network, its projections packed into two. */
export const phi3: DecoderNetwork = {
  ...llamaNetwork,
  parse,
  layer(config, context, index, x, attend) {
    const { width, heads, keyValueHeads, headWidth, intermediate, epsilon, hiddenDropout } = config;
    const at = `layers.${index}`;
    const [queries, keys] = [heads * headWidth, keyValueHeads * headWidth];
    const before = rmsNorm(context, `${at}.input_layernorm`, x, width, epsilon);
    const packed = linear(context, `${at}.self_attn.qkv_proj`, before, width, queries + 2 * keys, unbiased); // (N, (H + 2·K)·d)
    const part = (start: number, count: number) => op.slice(packed, 1, start, start + count);
    const attended = attend(
      `${at}.self_attn`,
      part(0, queries),
      part(queries, keys),
      part(queries + keys, keys),
    ); // (N, H·d)
    const mixed = linear(context, `${at}.self_attn.o_proj`, attended, queries, width, unbiased);
    const middle = op.add(context.dropout(`${at}.resid_attn_dropout`, mixed, hiddenDropout), x);

    const read = rmsNorm(context, `${at}.post_attention_layernorm`, middle, width, epsilon);
    const both = linear(context, `${at}.mlp.gate_up_proj`, read, width, 2 * intermediate, unbiased); // (N, 2·I)
    const gate = activate(config.activation, op.slice(both, 1, 0, intermediate));
    const inner = op.mul(op.slice(both, 1, intermediate, 2 * intermediate), gate);
    const outer = linear(context, `${at}.mlp.down_proj`, inner, intermediate, width, unbiased);
    return op.add(context.dropout(`${at}.resid_mlp_dropout`, outer, hiddenDropout), middle); // (N, D)
  },
  sites: ({ width, heads, keyValueHeads, headWidth, intermediate }) => [
    {
      name: "self_attn.qkv_proj",
      sizes: [width, (heads + 2 * keyValueHeads) * headWidth],
      bias: false,
    },
    { name: "self_attn.o_proj", sizes: [heads * headWidth, width], bias: false },
    { name: "mlp.gate_up_proj", sizes: [width, 2 * intermediate], bias: false },
    { name: "mlp.down_proj", sizes: [intermediate, width], bias: false },
  ],
};
