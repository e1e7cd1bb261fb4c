import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import * as op from "../../src/graph/ops.ts";
import type { WeightSource } from "../../src/graph/types.ts";
import { readSafetensorsHeader } from "../../src/io/safetensors.ts";
import { createBackbone, type DecoderBackbone } from "../../src/nn/backbone.ts";
import type {
  DecoderArchitecture,
  DecoderConfig,
  LayerAttention,
} from "../../src/nn/decoders/decoderConfig.ts";
import { families } from "../../src/nn/families.ts";
import { noDropout, noTransform } from "../../src/nn/layers/layers.ts";
import { goldensFolder } from "../support/goldens.ts";

type Json = Readonly<Record<string, unknown>>;

const llamaSizes: Json = {
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 40,
  max_position_embeddings: 64,
  vocab_size: 60,
};

const samples: { readonly [A in DecoderArchitecture]: Json } = {
  gpt2: { model_type: "gpt2", n_embd: 24, n_layer: 2, n_head: 3, n_positions: 64, vocab_size: 60 },
  gpt_neox: {
    model_type: "gpt_neox",
    hidden_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    intermediate_size: 40,
    max_position_embeddings: 64,
    vocab_size: 60,
  },
  llama: { model_type: "llama", ...llamaSizes },
  mistral: { model_type: "mistral", ...llamaSizes },
  qwen2: { model_type: "qwen2", ...llamaSizes },
  qwen3: { model_type: "qwen3", ...llamaSizes },
  smollm3: { model_type: "smollm3", ...llamaSizes },
  phi3: { model_type: "phi3", ...llamaSizes },
  gemma3_text: { model_type: "gemma3_text", ...llamaSizes },
};

/** What every layer has, where all have the same. */
const inEvery = (attention: LayerAttention): Partial<DecoderConfig> => ({
  attention: [attention, attention],
});

function parse(architecture: DecoderArchitecture, changes: Json = {}): DecoderConfig {
  return families[architecture].network.parse({ ...samples[architecture], ...changes }, "a model");
}

describe("config.json of decoders", () => {
  const honoured: readonly (readonly [string, DecoderArchitecture, Json, Partial<DecoderConfig>])[] = [
    ["GPT-2 without n_inner", "gpt2", { n_inner: null }, { intermediate: 96, tiedHead: true }],
    [
      "Pythia before transformers 5",
      "gpt_neox",
      { rotary_pct: 0.5, rotary_emb_base: 500 },
      inEvery({ rotary: { theta: 500, width: 4 } }),
    ],
    [
      "GPT-NeoX's default part",
      "gpt_neox",
      {},
      { ...inEvery({ rotary: { theta: 10_000, width: 2 } }), parallelResidual: true },
    ],
    ["GPT-NeoX in sequence", "gpt_neox", { use_parallel_residual: false }, { parallelResidual: false }],
    [
      "Llama before transformers 5",
      "llama",
      { rope_theta: 500_000 },
      inEvery({ rotary: { theta: 500_000, width: 8 } }),
    ],
    ["no scaling", "llama", { rope_scaling: null }, inEvery({ rotary: { theta: 10_000, width: 8 } })],
    [
      "linear scaling, its old name",
      "llama",
      { rope_scaling: { type: "linear", factor: 4 } },
      inEvery({ rotary: { theta: 10_000, width: 8, scaling: { kind: "linear", factor: 4 } } }),
    ],
    [
      "the parameters of transformers 5",
      "llama",
      { rope_parameters: { rope_type: "default", rope_theta: 7 }, rope_theta: 8 },
      inEvery({ rotary: { theta: 7, width: 8 } }),
    ],
    ["heads of a width of their own", "llama", { head_dim: 16 }, { headWidth: 16 }],
    ["no grouping", "llama", { num_key_value_heads: null }, { keyValueHeads: 4 }],
    [
      "biases",
      "llama",
      { attention_bias: true, mlp_bias: true },
      { biases: { queryKeyValue: true, output: true, feedForward: true } },
    ],
    ["Qwen2's biases", "qwen2", {}, { biases: { queryKeyValue: true, output: false, feedForward: false } }],
    ["the end's id as padding", "llama", { eos_token_id: [7, 8] }, { padId: 7 }],
    ["a padding id", "llama", { pad_token_id: 3, eos_token_id: 7 }, { padId: 3 }],
  ];
  it.each(honoured)("%s", (_, architecture, changes, expected) => {
    expect(parse(architecture, changes)).toMatchObject(expected);
  });

  const refused: readonly (readonly [string, DecoderArchitecture, Json, string])[] = [
    [
      "scaling of other kinds, by name",
      "llama",
      { rope_scaling: { rope_type: "proportional", factor: 8 } },
      'rotary scaling "proportional"',
    ],
    [
      "scaling without its numbers",
      "llama",
      { rope_parameters: { rope_type: "llama3", factor: 8 } },
      'rotary scaling "llama3" without its "low_freq_factor"',
    ],
    ["an activation that is not known", "llama", { hidden_act: "swish9" }, 'unknown hidden_act "swish9"'],
    ["heads that do not share the width", "gpt2", { n_head: 5 }, "n_embd 24 is no multiple of n_head 5"],
    [
      "queries that do not share the keys",
      "llama",
      { num_key_value_heads: 3 },
      "num_attention_heads 4 is no multiple of num_key_value_heads 3",
    ],
    ["cross-attention", "gpt2", { add_cross_attention: true }, "add_cross_attention"],
    [
      "scores scaled by layer",
      "gpt2",
      { scale_attn_by_inverse_layer_idx: true },
      "scale_attn_by_inverse_layer_idx",
    ],
    ["missing sizes, all at once", "llama", { vocab_size: undefined, hidden_size: 0 }, "hidden_size"],
    ["an odd number of rotated elements", "gpt_neox", { rotary_pct: 0.4 }, "rotates 3 elements"],
  ];
  it.each(refused)("refuses %s", (_, architecture, changes, message) => {
    expect(() => parse(architecture, changes)).toThrow(CheckpointError);
    expect(() => parse(architecture, changes)).toThrow(message);
  });

  it("hides what lies behind a sliding window, in the layers that have one", () => {
    const windows = (architecture: DecoderArchitecture, changes: Json) =>
      parse(architecture, changes).attention.map(({ window }) => window);
    const none = [undefined, undefined];
    expect(windows("mistral", { sliding_window: 16 })).toEqual([16, 16]);
    expect(windows("mistral", { sliding_window: null })).toEqual(none);
    expect(windows("qwen2", { sliding_window: 16 })).toEqual(none);
    const used = { sliding_window: 16, use_sliding_window: true };
    expect(windows("qwen2", { ...used, max_window_layers: 1 })).toEqual([undefined, 16]);
    const kinds = ["sliding_attention", "full_attention"];
    expect(windows("qwen3", { ...used, layer_types: kinds })).toEqual([16, undefined]);
    expect(windows("gemma3_text", { sliding_window: 8, layer_types: kinds })).toEqual([8, undefined]);
    expect(windows("phi3", { sliding_window: 8 })).toEqual([8, 8]);
  });

  it("knows which layers of SmolLM3 know no positions", () => {
    const rotates = parse("smollm3", { num_hidden_layers: 5 }).attention.map(
      ({ rotary }) => rotary !== undefined,
    );
    expect(rotates).toEqual([true, true, true, false, true]);
  });

  it("cuts texts where LongRoPE's other divisors would begin", () => {
    const rope_parameters = { rope_type: "longrope", short_factor: [1, 1, 1, 1], long_factor: [2, 2, 2, 2] };
    const changes = { rope_parameters, max_position_embeddings: 64, original_max_position_embeddings: 16 };
    expect(parse("phi3", changes).positions).toBe(16);
  });
});

async function files(
  model: string,
): Promise<{ readonly config: Json; readonly weights: Map<string, WeightSource> }> {
  const folder = join(goldensFolder, model);
  const { tensors } = await readSafetensorsHeader(join(folder, "model.safetensors"));
  return { config: JSON.parse(readFileSync(join(folder, "config.json"), "utf8")), weights: new Map(tensors) };
}

function decoder(config: unknown, weights: ReadonlyMap<string, WeightSource>): DecoderBackbone {
  const backbone = createBackbone(config, weights, "a model");
  if (backbone.kind !== "decoder") throw new Error("no decoder");
  return backbone;
}

/** The checkpoint as AutoModel saves it: no prefix, no head. */
function bare(weights: ReadonlyMap<string, WeightSource>, prefix: string): Map<string, WeightSource> {
  const kept = [...weights].filter(([name]) => name.startsWith(prefix));
  return new Map(kept.map(([name, source]) => [name.slice(prefix.length), source]));
}

const context = ({ parameters }: DecoderBackbone) => ({
  parameters,
  transform: noTransform,
  dropout: noDropout,
});
const rows = ({ width }: DecoderBackbone) => op.input("rows", "float32", ["M", width]);

function elements(weights: ReadonlyMap<string, WeightSource>): number {
  return [...weights.values()].reduce((sum, { dims }) => sum + dims.reduce((a: number, b) => a * b, 1), 0);
}

describe("checkpoints of decoders", () => {
  it.each(["gpt2", "gpt_neox", "llama"])(
    "%s is read with and without the prefix of a model with a head",
    async (model) => {
      const { config, weights } = await files(model);
      const whole = decoder(config, weights);
      const without = decoder(config, bare(weights, whole.headedPrefix));
      expect([...without.weights.keys()].sort()).toEqual(
        [...whole.weights.keys()].filter((name) => !/^(lm_head|embed_out)\./.test(name)).sort(),
      );
      expect(whole.parameterCount).toBe(elements(weights));
      expect(whole.hasLanguageModelHead).toBe(true);
      expect(whole.lmLogits(context(whole), rows(whole)).shape).toEqual(["M", 60]);
    },
  );

  it("has a head in a bare checkpoint only where it is tied", async () => {
    const tied = await files("gpt2");
    expect(decoder(tied.config, bare(tied.weights, "transformer.")).hasLanguageModelHead).toBe(true);
    const untied = await files("llama");
    const headless = decoder(untied.config, bare(untied.weights, "model."));
    expect(headless.hasLanguageModelHead).toBe(false);
    expect(() => headless.lmLogits(context(headless), rows(headless))).toThrow(
      'the model has no language-modelling head ("lm_head.weight")',
    );
  });

  it("does not count the masks and frequencies of old checkpoints", async () => {
    const { config, weights } = await files("gpt2");
    const { parameterCount } = decoder(config, weights);
    const source = weights.get("transformer.wpe.weight");
    if (source === undefined) throw new Error("no wpe");
    weights.set("transformer.h.0.attn.bias", source).set("transformer.h.0.attn.masked_bias", source);
    expect(decoder(config, weights).parameterCount).toBe(parameterCount);
  });

  it("names a missing tensor, and one of another shape", async () => {
    const { config, weights } = await files("llama");
    expect(() => decoder({ ...config, intermediate_size: 41 }, weights)).toThrow("config.json says (41, 32)");
    weights.delete("model.layers.1.mlp.up_proj.weight");
    expect(() => decoder(config, weights)).toThrow('has no tensor "model.layers.1.mlp.up_proj.weight"');
    expect(() => decoder(config, new Map())).toThrow('no "embed_tokens.weight", bare or under "model."');
  });

  it("names every architecture when it meets an unknown one", () => {
    expect(() => createBackbone({ model_type: "opt" }, new Map(), "a model")).toThrow(
      'unknown architecture "opt"',
    );
  });

  it("lists the sites and biases of the checkpoint, no more and no less", async () => {
    for (const model of ["gpt2", "gpt_neox", "llama", "qwen2"]) {
      const { config, weights } = await files(model);
      const { sites, biases, weights: named, fanInFanOut } = decoder(config, weights);
      const matrices = [...named].filter(([name, { dims }]) => dims.length === 2 && name.includes(".0."));
      for (const [name, { dims }] of matrices) {
        const sizes = sites.get(name.replace(/\.weight$/, ""));
        expect(fanInFanOut ? sizes : sizes?.toReversed(), `${model} ${name}`).toEqual(dims);
      }
      const stored = [...named]
        .filter(([name]) => name.endsWith(".bias"))
        .map(([name, { dims }]) => [name, dims[0]]);
      expect([...biases].sort(), model).toEqual(stored.sort());
    }
  });
});
