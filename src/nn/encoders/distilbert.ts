/** DistilBERT (Sanh et al. 2019): BERT without token types, under other names. */
import { z } from "zod";
import { checkActivation, checkHeads, rate, size } from "../layers/configFile.ts";
import { encoderKeys, type OpenEncoder, readEncoderConfig } from "./encoderNetwork.ts";
import { type LayerNames, postNormEncoder } from "./postNorm.ts";

const names: LayerNames = {
  list: "transformer.layer",
  query: "attention.q_lin",
  key: "attention.k_lin",
  value: "attention.v_lin",
  mixed: "attention.out_lin",
  attentionNorm: "sa_layer_norm",
  inner: "ffn.lin1",
  outer: "ffn.lin2",
  outputNorm: "output_layer_norm",
  dropouts: { attention: "attention", outer: "ffn" },
};

const schema = z.object({
  model_type: z.literal("distilbert"),
  dim: size,
  n_layers: size,
  n_heads: size,
  hidden_dim: size,
  vocab_size: size,
  max_position_embeddings: size,
  activation: z.string().default("gelu"),
  pad_token_id: z.int().nonnegative().nullish(),
  dropout: rate.default(0.1),
  attention_dropout: rate.default(0.1),
  ...encoderKeys,
});

/** What transformers writes into the network. */
const EPSILON = 1e-12;

/** @throws CheckpointError for a setting that cannot be honoured */
export const openDistilbert: OpenEncoder = (json, where) => {
  const c = readEncoderConfig(schema, json, where);
  checkHeads(c.dim, c.n_heads, ["dim", "n_heads"], where);
  return postNormEncoder(
    {
      architecture: c.model_type,
      width: c.dim,
      embeddingWidth: c.dim,
      layers: c.n_layers,
      heads: c.n_heads,
      intermediate: c.hidden_dim,
      vocabularySize: c.vocab_size,
      positions: c.max_position_embeddings,
      typeVocabularySize: 0,
      epsilon: EPSILON,
      activation: checkActivation(c.activation, "activation", where),
      padId: c.pad_token_id ?? 0,
      firstPosition: 0,
      hiddenDropout: c.dropout,
      attentionDropout: c.attention_dropout,
    },
    { names, tables: { positions: true, types: false } },
  );
};
