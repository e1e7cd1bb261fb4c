// Dimensions: B batch, T tokens, D width, I feed-forward, N = B·T rows.
/** ModernBERT (Warner et al. 2024): rotary positions, gated feed-forward, and layers that look near or everywhere. */
import { z } from "zod";
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { checkActivation, checkHeads, parseConfigFile, rate, size } from "../layers/configFile.ts";
import {
  activate,
  attention,
  embedWords,
  type LayerContext,
  layerNorm,
  linear,
  MASKED,
} from "../layers/layers.ts";
import { type Rotary, rotations } from "../layers/rotary.ts";
import { layerKinds, readRotary, rotaryByKind, rotaryOfKind } from "../layers/rotaryConfig.ts";
import type { TokenInputs } from "../layers/tokens.ts";
import {
  type ClassifierSettings,
  type EncoderConfig,
  type EncoderNetwork,
  encoderKeys,
  type OpenEncoder,
} from "./encoderNetwork.ts";
import { attentionBias } from "./postNorm.ts";

const schema = z.object({
  model_type: z.literal("modernbert"),
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  intermediate_size: size,
  vocab_size: size,
  max_position_embeddings: size,
  hidden_activation: z.string().default("gelu"),
  norm_eps: z.number().positive().default(1e-5),
  norm_bias: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  pad_token_id: z.int().nonnegative().nullish(),
  local_attention: size.default(128),
  global_attn_every_n_layers: size.default(3),
  layer_types: layerKinds.nullish(),
  global_rope_theta: z.number().positive().default(160_000),
  local_rope_theta: z.number().positive().nullish(),
  embedding_dropout: rate.default(0),
  attention_dropout: rate.default(0),
  mlp_dropout: rate.default(0),
  rope_parameters: rotaryByKind,
  rope_scaling: z.null().optional(),
  classifier_pooling: z.enum(["cls", "mean"]).default("cls"),
  classifier_bias: z.boolean().default(false),
  classifier_activation: z.string().default("gelu"),
  ...encoderKeys,
});

type Config = z.infer<typeof schema>;

/** What one layer sees. */
interface Sight {
  readonly rotary: Rotary;
  /** Tokens to either side; absent where it sees all. */
  readonly reach?: number;
}

function sights(c: Config, headWidth: number, where: string): readonly Sight[] {
  const model = { headWidth, positions: c.max_position_embeddings, where };
  const everywhere: Sight = {
    rotary: readRotary(rotaryOfKind(c.rope_parameters, "full_attention"), model, {
      theta: c.global_rope_theta,
      part: 1,
    }).rotary,
  };
  const near: Sight = {
    rotary: readRotary(rotaryOfKind(c.rope_parameters, "sliding_attention"), model, {
      theta: c.local_rope_theta ?? 10_000,
      part: 1,
    }).rotary,
    reach: Math.trunc(c.local_attention / 2),
  };
  const kindOf = (i: number) =>
    c.layer_types?.[i] ?? (i % c.global_attn_every_n_layers === 0 ? "full_attention" : "sliding_attention");
  return Array.from({ length: c.num_hidden_layers }, (_, i) =>
    kindOf(i) === "full_attention" ? everywhere : near,
  );
}

/** (B, 1, T, T): hides what lies farther than `reach` to either side. */
function nearMask(reach: number, positionIds: Value): Value {
  const distance = op.sub(
    op.reshape(positionIds, ["B", 1, "T", 1]),
    op.reshape(positionIds, ["B", 1, 1, "T"]),
  );
  const beyond = (x: Value) => op.cast(op.greater(x, reach), "float32");
  return op.mul(op.add(beyond(distance), beyond(op.mul(distance, -1))), MASKED);
}

/** @throws CheckpointError for a setting that cannot be honoured */
export const openModernbert: OpenEncoder = (json, where) => {
  const c = parseConfigFile(schema, json, where);
  checkHeads(c.hidden_size, c.num_attention_heads, ["hidden_size", "num_attention_heads"], where);
  const config: EncoderConfig = {
    architecture: c.model_type,
    width: c.hidden_size,
    embeddingWidth: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    intermediate: c.intermediate_size,
    vocabularySize: c.vocab_size,
    positions: c.max_position_embeddings,
    typeVocabularySize: 0,
    epsilon: c.norm_eps,
    activation: checkActivation(c.hidden_activation, "hidden_activation", where),
    padId: c.pad_token_id ?? 0,
    firstPosition: 0,
    hiddenDropout: c.mlp_dropout,
    attentionDropout: c.attention_dropout,
  };
  return network(c, config, sights(c, c.hidden_size / c.num_attention_heads, where));
};

/** The head that runs has neither biases nor another activation. */
function classifierOf(c: Config): ClassifierSettings {
  const refused = [
    c.classifier_bias && "classifier_bias: true",
    c.norm_bias && "norm_bias: true",
    c.classifier_activation !== "gelu" && `classifier_activation: ${c.classifier_activation}`,
  ].find((setting) => setting !== false);
  return { pooling: c.classifier_pooling, ...(refused !== undefined && { refused }) };
}

function network(c: Config, config: EncoderConfig, seen: readonly Sight[]): EncoderNetwork {
  const { width, intermediate, layers, epsilon } = config;
  const norm = (context: LayerContext, site: string, x: Value) =>
    layerNorm(context, site, x, width, epsilon, { bias: c.norm_bias });
  const sites = new Map<string, readonly [number, number]>();
  const biases = new Map<string, number>();
  const declare = (site: string, sizes: readonly [number, number], bias: boolean) => {
    sites.set(site, sizes);
    if (bias) biases.set(`${site}.bias`, sizes[1]);
  };
  const declareNorm = (site: string) => c.norm_bias && biases.set(`${site}.bias`, width);
  declareNorm("embeddings.norm");
  for (let i = 0; i < layers; i++) {
    declare(`layers.${i}.attn.Wqkv`, [width, 3 * width], c.attention_bias);
    declare(`layers.${i}.attn.Wo`, [width, width], c.attention_bias);
    declare(`layers.${i}.mlp.Wi`, [width, 2 * intermediate], c.mlp_bias);
    declare(`layers.${i}.mlp.Wo`, [intermediate, width], c.mlp_bias);
    if (i > 0) declareNorm(`layers.${i}.attn_norm`);
    declareNorm(`layers.${i}.mlp_norm`);
  }
  declareNorm("final_norm");
  return {
    config,
    wordEmbeddings: "embeddings.tok_embeddings.weight",
    embed: (context, inputs) => {
      const words = embedWords(
        context,
        "embeddings.tok_embeddings",
        inputs.inputIds,
        config.vocabularySize,
        width,
      );
      return context.dropout("embeddings", norm(context, "embeddings.norm", words), c.embedding_dropout);
    },
    openLayers: (context, inputs) => openLayers(c, config, seen, context, inputs, norm),
    finish: (context, x) => norm(context, "final_norm", x),
    sites,
    biases,
    classifier: classifierOf(c),
  };
}

function openLayers(
  c: Config,
  config: EncoderConfig,
  seen: readonly Sight[],
  context: LayerContext,
  inputs: TokenInputs,
  norm: (context: LayerContext, site: string, x: Value) => Value,
): (index: number, x: Value) => Value {
  const { width, heads, intermediate, attentionDropout } = config;
  const rotate = rotations(width / heads, inputs.positionIds);
  const all = attentionBias(inputs.attentionMask); // (B, 1, 1, T)
  const masks = new Map<number | undefined, Value>([[undefined, all]]);
  const maskOf = (reach: number | undefined) => {
    const mask = masks.get(reach) ?? op.add(all, nearMask(reach ?? config.positions, inputs.positionIds));
    masks.set(reach, mask);
    return mask;
  };
  const shape = { heads, headWidth: width / heads, batch: "B", tokens: "T" };

  const attend = (at: string, sight: Sight | undefined, x: Value) => {
    const packed = linear(context, `${at}.Wqkv`, x, width, 3 * width, { bias: c.attention_bias }); // (N, 3·D)
    const part = (i: number) => op.slice(packed, 1, i * width, (i + 1) * width); // (N, D)
    const turn = rotate(sight?.rotary);
    const mixed = attention(
      turn(part(0), heads),
      turn(part(1), heads),
      part(2),
      maskOf(sight?.reach),
      shape,
      (weights) => context.dropout(at, weights, attentionDropout),
    );
    const out = linear(context, `${at}.Wo`, mixed, width, width, { bias: c.attention_bias });
    return context.dropout(`${at}.out`, out, attentionDropout);
  };
  const feedForward = (at: string, x: Value) => {
    const both = linear(context, `${at}.Wi`, x, width, 2 * intermediate, { bias: c.mlp_bias }); // (N, 2·I)
    const inner = op.slice(both, 1, 0, intermediate);
    const gate = op.slice(both, 1, intermediate, 2 * intermediate);
    const gated = op.mul(activate(config.activation, inner), gate); // (N, I)
    const kept = context.dropout(at, gated, config.hiddenDropout);
    return linear(context, `${at}.Wo`, kept, intermediate, width, { bias: c.mlp_bias });
  };

  return (index, x) => {
    const at = `layers.${index}`;
    // The embeddings are normalised already.
    const before = index === 0 ? x : norm(context, `${at}.attn_norm`, x);
    const middle = op.add(x, attend(`${at}.attn`, seen[index], before));
    return op.add(middle, feedForward(`${at}.mlp`, norm(context, `${at}.mlp_norm`, middle)));
  };
}
