/** What each family of models is made of: the one table that a new one is entered in. */
import { type DecoderArchitecture, decoderArchitectures } from "./decoders/decoderConfig.ts";
import type { DecoderNetwork } from "./decoders/decoderNetwork.ts";
import { gemma3 } from "./decoders/gemma3.ts";
import { gpt2 } from "./decoders/gpt2.ts";
import { gptNeox } from "./decoders/gptNeox.ts";
import { llama, mistral, qwen2, qwen3, smollm3 } from "./decoders/llama.ts";
import { phi3 } from "./decoders/phi3.ts";
import { openBert } from "./encoders/bert.ts";
import { openDebertaV2 } from "./encoders/debertaV2.ts";
import { openDistilbert } from "./encoders/distilbert.ts";
import {
  type EncoderArchitecture,
  encoderArchitectures,
  type OpenEncoder,
} from "./encoders/encoderNetwork.ts";
import { openModernbert } from "./encoders/modernbert.ts";
import { openMpnet } from "./encoders/mpnet.ts";
import type { Pooling } from "./features.ts";
import type { HeadKind } from "./heads.ts";
import { modelTypeOf } from "./layers/configFile.ts";

/** Hugging Face's `model_type`. */
export type Architecture = EncoderArchitecture | DecoderArchitecture;

/** Encoders first, each in the order in which messages and tables name them. */
export const architectures: readonly Architecture[] = [...encoderArchitectures, ...decoderArchitectures];

/** A classification head that Hugging Face has for a family. */
export interface OwnHead {
  readonly kind: HeadKind;
  /** What it reads of a text, never normalised; at word level it reads every token. */
  readonly pooling: Extract<Pooling, "cls" | "pooler" | "last" | "mean">;
  /** Our name of a head's tensor → Hugging Face's. */
  readonly names: ReadonlyMap<string, string>;
  /** Hugging Face's head has no bias: ours, which has one, is that head where it is zero. */
  readonly biasFree?: true;
}

/** What peft adapts where nobody names a layer. */
export interface DefaultTargets {
  readonly modules: readonly string[];
  /** Whether peft's own table says so; it has none for some families. */
  readonly peft: boolean;
}

interface FamilyFrame {
  /** What transformers' classes begin with: `BertModel`, `BertForSequenceClassification`. */
  readonly className: string;
  /** What stands in front of AutoModel's paths in a model that has a head. */
  readonly prefix: string;
  readonly targets: DefaultTargets;
  /** Of texts, and of words where transformers has such a class. */
  readonly heads: { readonly sentence: OwnHead; readonly word?: OwnHead };
  /** Settings of config.json and parts of models that are refused, for the documentation. */
  readonly refuses: readonly string[];
}

/** A family of encoders. */
export interface EncoderFamily extends FamilyFrame {
  readonly kind: "encoder";
  readonly open: OpenEncoder;
}

/** A family of decoders. */
export interface DecoderFamily extends FamilyFrame {
  readonly kind: "decoder";
  readonly network: DecoderNetwork;
}

export type Family = EncoderFamily | DecoderFamily;

const namesOf = (...pairs: readonly (readonly [string, string])[]) => new Map(pairs);

/** Of a linear layer called so. */
const linearNames = (name: string) => namesOf(["weight", `${name}.weight`], ["bias", `${name}.bias`]);

/** A linear layer over tokens; the pooling only says that nothing is pooled. */
const tokenClassifier: OwnHead = { kind: "linear", pooling: "cls", names: linearNames("classifier") };
const tokenScore: OwnHead = { kind: "linear", pooling: "cls", names: linearNames("score") };

/** RoBERTa's head and its likes: two linear layers, something between them. */
function twoLayers(kind: HeadKind, first: string, second: string): OwnHead {
  return {
    kind,
    pooling: "cls",
    names: namesOf(
      ["dense.weight", `${first}.weight`],
      ["dense.bias", `${first}.bias`],
      ["weight", `${second}.weight`],
      ["bias", `${second}.bias`],
    ),
  };
}

const robertaHeads = {
  sentence: twoLayers("dense", "classifier.dense", "classifier.out_proj"),
  word: tokenClassifier,
};

/** Decoders share one head over the last token. peft's reads a prompt's text at its end, where no padding may stand. */
const decoderScore: OwnHead = {
  kind: "linear",
  pooling: "last",
  names: namesOf(["weight", "score.weight"]),
  biasFree: true,
};

const modernbertHead: OwnHead = {
  kind: "dense-gelu-norm",
  pooling: "cls",
  names: namesOf(
    ["dense.weight", "head.dense.weight"],
    ["norm.weight", "head.norm.weight"],
    ["weight", "classifier.weight"],
    ["bias", "classifier.bias"],
  ),
};

const peftTargets = (...modules: readonly string[]): DefaultTargets => ({ modules, peft: true });
const ownTargets = (...modules: readonly string[]): DefaultTargets => ({ modules, peft: false });

const bertRefuses = ["relative `position_embedding_type`", "`is_decoder`", "`add_cross_attention`"];

const robertaLike = (className: string, targets: DefaultTargets): EncoderFamily => ({
  kind: "encoder",
  open: openBert,
  className,
  prefix: "roberta.",
  targets,
  heads: robertaHeads,
  refuses: bertRefuses,
});

/** Llama's network with small differences. */
const llamaLike = (
  network: DecoderNetwork,
  className: string,
  targets: DefaultTargets,
  refuses: readonly string[] = [],
  heads: FamilyFrame["heads"] = { sentence: decoderScore, word: tokenScore },
): DecoderFamily => ({
  kind: "decoder",
  network,
  className,
  prefix: "model.",
  targets,
  heads,
  refuses,
});

type Families = { readonly [A in EncoderArchitecture]: EncoderFamily } & {
  readonly [A in DecoderArchitecture]: DecoderFamily;
};

/** Every family, by Hugging Face's `model_type`. */
export const families: Families = {
  bert: {
    kind: "encoder",
    open: openBert,
    className: "Bert",
    prefix: "bert.",
    targets: peftTargets("query", "value"),
    heads: {
      sentence: { kind: "linear", pooling: "pooler", names: linearNames("classifier") },
      word: tokenClassifier,
    },
    refuses: bertRefuses,
  },
  roberta: robertaLike("Roberta", peftTargets("query", "value")),
  "xlm-roberta": robertaLike("XLMRoberta", peftTargets("query", "value")),
  camembert: robertaLike("Camembert", ownTargets("query", "value")),
  distilbert: {
    kind: "encoder",
    open: openDistilbert,
    className: "DistilBert",
    prefix: "distilbert.",
    targets: ownTargets("q_lin", "v_lin"),
    heads: {
      sentence: twoLayers("dense-relu", "pre_classifier", "classifier"),
      word: tokenClassifier,
    },
    refuses: [],
  },
  electra: {
    kind: "encoder",
    open: openBert,
    className: "Electra",
    prefix: "electra.",
    targets: peftTargets("query", "value"),
    heads: {
      sentence: twoLayers("dense-gelu", "classifier.dense", "classifier.out_proj"),
      word: tokenClassifier,
    },
    refuses: [...bertRefuses, "prompt tuning where `embedding_size` is not `hidden_size`"],
  },
  mpnet: {
    kind: "encoder",
    open: openMpnet,
    className: "MPNet",
    prefix: "mpnet.",
    targets: ownTargets("q", "v"),
    heads: robertaHeads,
    refuses: ["`relative_attention_num_buckets` other than 32"],
  },
  modernbert: {
    kind: "encoder",
    open: openModernbert,
    className: "ModernBert",
    prefix: "model.",
    targets: ownTargets("Wqkv"),
    heads: { sentence: modernbertHead, word: modernbertHead },
    refuses: ["heads with `classifier_bias`, `norm_bias` or another `classifier_activation` than gelu"],
  },
  "deberta-v2": {
    kind: "encoder",
    open: openDebertaV2,
    className: "DebertaV2",
    prefix: "deberta.",
    targets: peftTargets("query_proj", "value_proj"),
    heads: {
      sentence: twoLayers("dense-gelu", "pooler.dense", "classifier"),
      word: tokenClassifier,
    },
    refuses: [
      "`conv_kernel_size` above 0 (v2 xlarge and xxlarge)",
      "`relative_attention: false`",
      "`share_att_key: false`",
      "prompt tuning where `embedding_size` is not `hidden_size`",
    ],
  },
  gpt2: {
    kind: "decoder",
    network: gpt2,
    className: "GPT2",
    prefix: "transformer.",
    targets: peftTargets("c_attn"),
    heads: { sentence: decoderScore, word: tokenClassifier },
    refuses: ["`add_cross_attention`", "`scale_attn_by_inverse_layer_idx`", "`scale_attn_weights: false`"],
  },
  gpt_neox: {
    kind: "decoder",
    network: gptNeox,
    className: "GPTNeoX",
    prefix: "gpt_neox.",
    targets: peftTargets("query_key_value"),
    heads: { sentence: decoderScore, word: tokenClassifier },
    refuses: [],
  },
  llama: llamaLike(llama, "Llama", peftTargets("q_proj", "v_proj")),
  mistral: llamaLike(mistral, "Mistral", peftTargets("q_proj", "v_proj")),
  qwen2: llamaLike(qwen2, "Qwen2", peftTargets("q_proj", "v_proj")),
  qwen3: llamaLike(qwen3, "Qwen3", peftTargets("q_proj", "v_proj")),
  smollm3: llamaLike(smollm3, "SmolLM3", ownTargets("q_proj", "v_proj")),
  phi3: llamaLike(phi3, "Phi3", ownTargets("qkv_proj"), [
    "texts longer than `original_max_position_embeddings` with LongRoPE",
  ]),
  gemma3_text: llamaLike(
    gemma3,
    "Gemma3Text",
    peftTargets("q_proj", "v_proj"),
    ["images (`gemma3`)", "`use_bidirectional_attention` (EmbeddingGemma)", "soft-capped logits"],
    { sentence: decoderScore },
  ),
};

/** Whether a text is the `model_type` of a family. */
export function isArchitecture(name: string): name is Architecture {
  return Object.hasOwn(families, name);
}

/** Names in config.json that are near a family's, and what to do. */
const neighbours: Readonly<Record<string, string>> = {
  deberta: "DeBERTa v1 has another attention: take a v2 or v3 model.",
  gemma3: 'Of Gemma 3 the text models run ("gemma3_text"): take one without images.',
  gemma: "Of Gemma the third version runs (gemma3_text).",
  gemma2: "Of Gemma the third version runs (gemma3_text).",
  phi: "Of Phi the third version runs (phi3).",
  mixtral: "Mixtures of experts do not run.",
  qwen3_moe: "Mixtures of experts do not run.",
};

/**
 * The architecture that a Hugging Face config.json names.
 * @param where the folder, for messages
 * @throws CheckpointError if it names none, or one that is unknown
 */
export function architectureOf(config: unknown, where: string): Architecture {
  return modelTypeOf(config, architectures, where, neighbours);
}

/** The head that Hugging Face has for a family; undefined where it has none of that level. */
export function ownHead(architecture: Architecture, level: "sentence" | "word"): OwnHead | undefined {
  return families[architecture].heads[level];
}
