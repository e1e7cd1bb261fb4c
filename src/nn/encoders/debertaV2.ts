// Dimensions: B batch, T tokens, D width, H heads, d head width, N = B·T rows, S = 2·span relative positions.
/** DeBERTa v2 and v3 (He et al. 2021): scores of content and of relative positions, apart ("disentangled"). */
import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { size } from "../layers/configFile.ts";
import { type LayerContext, layerNorm, linear } from "../layers/layers.ts";
import type { TokenInputs } from "../layers/tokens.ts";
import { bertConfig, bertKeys, bertNames } from "./bert.ts";
import { type EncoderConfig, type OpenEncoder, readEncoderConfig } from "./encoderNetwork.ts";
import {
  attentionBias,
  type LayerNames,
  type Mix,
  type PostNormParts,
  postNormEncoder,
  sumOfTables,
} from "./postNorm.ts";
import { bucketsOfPairs } from "./relativePositions.ts";

const names: LayerNames = {
  ...bertNames,
  query: "attention.self.query_proj",
  key: "attention.self.key_proj",
  value: "attention.self.value_proj",
};

const schema = z.object({
  model_type: z.literal("deberta-v2"),
  ...bertKeys,
  type_vocab_size: z.int().nonnegative().default(0),
  layer_norm_eps: z.number().positive().default(1e-7),
  embedding_size: size.nullish(),
  relative_attention: z.literal(true),
  max_relative_positions: z.int().default(-1),
  position_buckets: z.int().default(-1),
  position_biased_input: z.boolean().default(true),
  pos_att_type: z.union([z.string(), z.array(z.string())]),
  share_att_key: z.literal(true),
  norm_rel_ebd: z.string().default("none"),
  conv_kernel_size: z.literal(0).default(0),
  attention_head_size: size.nullish(),
  pooler_hidden_act: z.string().default("gelu"),
});

interface Relative {
  /** Half of the table's rows: the largest distance, or bucket. */
  readonly span: number;
  /** Buckets of growing width; absent where every distance has its own row. */
  readonly buckets?: { readonly count: number; readonly farthest: number };
  /** Content against the position of keys, and the position of queries against content. */
  readonly terms: ReadonlySet<string>;
  readonly normed: boolean;
}

/** Near distances are kept, far ones fall into buckets by logarithm. */
export function debertaBucket(distance: number, count: number, farthest: number): number {
  const middle = Math.trunc(count / 2);
  const far = Math.abs(distance);
  if (far <= middle) return distance;
  const part = Math.fround(
    Math.fround(Math.log(far / middle)) / Math.fround(Math.log((farthest - 1) / middle)),
  );
  return Math.sign(distance) * (Math.ceil(Math.fround(part * (middle - 1))) + middle);
}

/** x (M, H·d) → (1 or B, H, M or M/B, d): a row that no text has of its own serves all of them. */
function splitHeads(x: Value, { heads, width }: EncoderConfig, rows: number | string): Value {
  const shared = x.shape[0] === rows;
  const perHead = op.reshape(x, [shared ? 1 : "B", rows, heads, width / heads]);
  return op.transpose(perHead, [0, 2, 1, 3]);
}

/**
 * A score of every pair of tokens by the table's row for their distance.
 * @param content (B, H, T, d)
 * @param positions (1 or B, H, S, d)
 * @param index int64 (T, T), the row for each of the other tokens
 * @returns (B, H, T, T)
 */
function byDistance(content: Value, positions: Value, index: Value, alpha: number, heads: number): Value {
  const rows = positions.shape[2] ?? 1;
  const all = op.expand(positions, ["B", heads, rows, positions.shape[3] ?? 1]);
  const scores = op.matmul(content, all, { transposeB: true, alpha }); // (B, H, T, S)
  const each = op.expand(op.reshape(index, [1, 1, "T", "T"]), ["B", heads, "T", "T"]);
  const flat = op.gatherElements(
    op.reshape(scores, [`${heads}*B*T`, rows]),
    op.reshape(each, [`${heads}*B*T`, "T"]),
  );
  return op.reshape(flat, ["B", heads, "T", "T"]);
}

/** Each token's row of the table of S rows, for distances as seen from the query and from the key. */
function rowsByDistance({ span, buckets }: Relative, config: EncoderConfig, positionIds: Value) {
  const bucketOf = (distance: number) =>
    buckets === undefined ? distance : debertaBucket(distance, buckets.count, buckets.farthest);
  const row = (bucket: number) => Math.min(2 * span - 1, Math.max(0, bucket + span));
  const rows = (sign: 1 | -1) =>
    bucketsOfPairs(positionIds, config.positions, (distance) => row(sign * bucketOf(distance)));
  return { fromQuery: rows(1), fromKey: rows(-1) };
}

function openMix(config: EncoderConfig, relative: Relative, context: LayerContext, inputs: TokenInputs): Mix {
  const { width, heads, attentionDropout, hiddenDropout, epsilon } = config;
  const count = 2 * relative.span;
  const table = context.parameters.get("encoder.rel_embeddings.weight", [count, width]);
  const distances = relative.normed ? layerNorm(context, "encoder.LayerNorm", table, width, epsilon) : table;
  const { fromQuery, fromKey } = rowsByDistance(relative, config, inputs.positionIds);
  const mask = attentionBias(inputs.attentionMask);
  const alpha = 1 / Math.sqrt((width / heads) * (1 + relative.terms.size));
  const split = (x: Value) => op.transpose(op.reshape(x, ["B", "T", heads, width / heads]), [0, 2, 1, 3]);

  return (at, qRows, kRows, vRows) => {
    const [q, k, v] = [split(qRows), split(kRows), split(vRows)]; // (B, H, T, d)
    const dropped = context.dropout(`${at}.attention.self.pos`, distances, hiddenDropout);
    const project = (name: string) =>
      splitHeads(linear(context, `${at}.${name}`, dropped, width, width), config, count);
    let scores = op.matmul(q, k, { transposeB: true, alpha }); // (B, H, T, T)
    if (relative.terms.has("c2p"))
      scores = op.add(scores, byDistance(q, project(names.key), fromQuery, alpha, heads));
    if (relative.terms.has("p2c")) {
      const seen = byDistance(k, project(names.query), fromKey, alpha, heads);
      scores = op.add(scores, op.transpose(seen, [0, 1, 3, 2]));
    }
    const weights = context.dropout(
      `${at}.${names.dropouts.attention}`,
      op.softmax(op.add(scores, mask)),
      attentionDropout,
    );
    return op.reshape(op.transpose(op.matmul(weights, v), [0, 2, 1, 3]), ["B*T", width]);
  };
}

function embed(
  config: EncoderConfig,
  parts: Pick<PostNormParts, "tables">,
  context: LayerContext,
  inputs: TokenInputs,
): Value {
  const { width, embeddingWidth, epsilon } = config;
  const sum = sumOfTables(config, parts, context, inputs);
  const wide =
    embeddingWidth === width
      ? sum
      : linear(context, "embeddings.embed_proj", sum, embeddingWidth, width, { bias: false });
  const normed = layerNorm(context, "embeddings.LayerNorm", wide, width, epsilon);
  const real = op.reshape(op.cast(inputs.attentionMask, "float32"), ["B*T", 1]);
  return context.dropout("embeddings", op.mul(normed, real), config.hiddenDropout); // (N, D)
}

function relativeOf(c: z.infer<typeof schema>): Relative {
  const farthest = c.max_relative_positions < 1 ? c.max_position_embeddings : c.max_relative_positions;
  const count = c.position_buckets;
  return {
    span: count > 0 ? count : farthest,
    ...(count > 0 && { buckets: { count, farthest } }),
    terms: new Set(
      [c.pos_att_type]
        .flat()
        .flatMap((names) => names.toLowerCase().split("|"))
        .map((name) => name.trim())
        .filter((name) => name === "c2p" || name === "p2c"),
    ),
    normed: c.norm_rel_ebd.toLowerCase().includes("layer_norm"),
  };
}

/** @throws CheckpointError for a setting that cannot be honoured */
export const openDebertaV2: OpenEncoder = (json, where) => {
  const c = readEncoderConfig(schema, json, where);
  const bert = bertConfig(c, where);
  const { width } = bert;
  const headWidth = width / bert.heads;
  if (c.attention_head_size != null && c.attention_head_size !== headWidth)
    throw new CheckpointError(
      `${where}: attention_head_size ${c.attention_head_size} is not hidden_size / num_attention_heads, ${headWidth}`,
    );
  const config: EncoderConfig = { ...bert, embeddingWidth: c.embedding_size ?? width };
  const relative = relativeOf(c);
  const tables = { positions: c.position_biased_input, types: c.type_vocab_size > 0 };
  const narrow = config.embeddingWidth !== width;
  const network = postNormEncoder(config, {
    names,
    tables,
    embed: (context, inputs) => embed(config, { tables }, context, inputs),
    openMix: (context, inputs) => openMix(config, relative, context, inputs),
    ...(narrow && {
      biaslessSites: new Map([["embeddings.embed_proj", [config.embeddingWidth, width] as const]]),
    }),
    moreBiases: new Map([
      ["embeddings.LayerNorm.bias", width],
      ...(relative.normed ? [["encoder.LayerNorm.bias", width] as const] : []),
    ]),
  });
  const refused = c.pooler_hidden_act === "gelu" ? undefined : `pooler_hidden_act: ${c.pooler_hidden_act}`;
  return { ...network, sharesRows: true, ...(refused && { classifier: { refused } }) };
};
