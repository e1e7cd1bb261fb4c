/** Prompt tuning against real peft: hidden states, features, logits, losses and gradients. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { gradients } from "../../src/autodiff/gradients.ts";
import { asFloat32, float32, float64, type HostTensor, int64, sizeOf } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Graph } from "../../src/graph/types.ts";
import type { DecoderBackbone } from "../../src/nn/backbone.ts";
import type { Pooling } from "../../src/nn/features.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { noDropout } from "../../src/nn/layers/layers.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { PROMPT_EMBEDDINGS, promptTuningMethod } from "../../src/peft/promptTuning.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import {
  buildFeatureGraph,
  buildInferenceGraph,
  buildTrainingGraph,
  crossEntropy,
  GRADIENT_PREFIX,
} from "../../src/train/graphs.ts";
import { parameterFeeds } from "../../src/train/trainer.ts";
import * as golden from "../support/goldens.ts";
import { promptFeeds, prompts, setups, spec, textBatch, virtualTokens } from "../support/promptRuns.ts";
import { expectClose, relativeDifference } from "../support/tolerances.ts";
import { compileUntilEnd } from "../support/untilEnd.ts";

const adapter = { kind: "prompt-tuning", spec } as const;
const encoders = ["bert", "roberta"] as const;
async function run(
  runtime: Runtime,
  graph: Graph,
  feeds: Readonly<Record<string, HostTensor>>,
  precision: golden.Precision,
) {
  const executable = await compileUntilEnd(runtime, graph);
  return await executable.run(golden.inPrecision(feeds, precision));
}

describe.each(setups)("encoders against peft, $precision", ({ precision, runtime, tolerance }) => {
  test.each(encoders)("%s: every layer, and every feature of the text's own tokens", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    const tensors = await golden.goldenTensors(join("prompt", model), "golden-feature", precision);
    const prompt = golden.need(tensors, "param.prompt_embeddings");
    for (const pooling of ["mean", "cls", "last", "peft-first"] satisfies Pooling[]) {
      const feature = { pooling, normalize: false };
      const { feeds, mask } = promptFeeds(backbone, textBatch(tensors), feature);
      const graph = buildFeatureGraph({ backbone, adapter, feature }, true);
      const outputs = await run(runtime, graph, { ...feeds, [PROMPT_EMBEDDINGS]: prompt }, precision);
      expectClose(outputs.feature, golden.need(tensors, `feature.${pooling}`), tolerance, pooling);
      for (let layer = 0; layer <= backbone.config.layers; layer++) {
        const name = `hidden.${layer}`;
        const rows = (tensor: HostTensor) => golden.realRows(tensor, mask, backbone.width);
        const actual = outputs[name];
        if (actual === undefined) throw new Error(`no ${name}`);
        expectClose(rows(actual), rows(golden.need(tensors, name)), tolerance, name);
      }
    }
  });

  test.each(encoders)("%s: loss and the gradient of the prompt and the head", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    const tensors = await golden.goldenTensors(join("prompt", model), "golden-feature", precision);
    const feature = golden.featureOf("mean");
    const structure = { backbone, adapter, feature, head: defaultHeads.linear };
    const feeds = {
      ...promptFeeds(backbone, textBatch(tensors), feature).feeds,
      ...golden.labelFeeds(tensors),
      ...Object.fromEntries(golden.underPrefix(tensors, "param.")),
    };
    const outputs = await run(runtime, buildTrainingGraph(structure, false).graph, feeds, precision);
    expectClose(outputs.loss, golden.need(tensors, "loss"), tolerance, "loss");
    const expected = golden.underPrefix(tensors, "grad.");
    expect([...expected.keys()].sort()).toEqual(["head.bias", "head.weight", PROMPT_EMBEDDINGS]);
    expect(Object.keys(outputs)).toHaveLength(4);
    for (const [name, gradient] of expected)
      expectClose(outputs[GRADIENT_PREFIX + name], gradient, tolerance, name);
  });

  test.each(encoders)("%s: the logits of a sequence classifier that peft made", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    const { architecture } = backbone.config;
    const saved = await readPeftFolder(join(prompts, model, "peft-seqcls"), { architecture });
    expect(saved.pooling).toBe(model === "bert" ? "peft-first-pooler" : "peft-first");
    const tensors = await golden.goldenTensors(join("prompt", model), "golden-seqcls", precision);
    const feature = { pooling: saved.pooling, normalize: saved.normalize };
    if (saved.head === undefined) throw new Error("no head");
    const graph = buildInferenceGraph({
      backbone,
      adapter: saved.adapter,
      feature,
      head: defaultHeads[saved.head.kind],
    });
    const feeds = {
      ...promptFeeds(backbone, textBatch(tensors), feature).feeds,
      ...parameterFeeds({ adapter: saved.adapter.tensors, head: saved.head.tensors }),
    };
    const outputs = await run(runtime, graph, feeds, precision);
    expectClose(outputs.logits, golden.need(tensors, "logits"), tolerance, "logits");
  });

  test.each(encoders)(
    "%s: a token classifier's logits, token types and all, less the prompt",
    async (model) => {
      const backbone = await golden.goldenBackbone(model);
      const tensors = await golden.goldenTensors(join("prompt", model), "golden-tokcls", precision);
      const file = join(prompts, model, "peft-tokcls", "adapter_model.safetensors");
      const { readSafetensorsHeader, readTensor } = await import("../../src/io/safetensors.ts");
      const stored = (await readSafetensorsHeader(file)).tensors;
      const read = async (name: string) => {
        const entry = stored.get(name);
        if (entry === undefined) throw new Error(`no ${name}`);
        return await readTensor(entry);
      };
      const feature = golden.featureOf("mean");
      const { feeds } = promptFeeds(backbone, textBatch(tensors), feature);
      const graph = buildFeatureGraph({ backbone, adapter, feature }, true);
      const prompt = await read(PROMPT_EMBEDDINGS);
      const outputs = await run(runtime, graph, { ...feeds, [PROMPT_EMBEDDINGS]: prompt }, precision);
      const last = outputs[`hidden.${backbone.config.layers}`];
      if (last === undefined) throw new Error("no hidden states");
      const [weight, bias] = [
        await read("base_model.classifier.weight"),
        await read("base_model.classifier.bias"),
      ];
      const expected = golden.need(tensors, "logits");
      const logits = tokenLogits(last, weight, bias, expected.dims);
      const rows = (tensor: HostTensor) =>
        golden.realRows(tensor, golden.need(tensors, "attention_mask"), expected.dims[2] ?? 0);
      expectClose(rows(logits), rows(expected), tolerance, "logits");
    },
  );
});

/** W h + b for the text's rows of hidden states (B·(n + T), D): (B, T, C). */
function tokenLogits(
  hidden: HostTensor,
  weight: HostTensor,
  bias: HostTensor,
  dims: readonly number[],
): HostTensor {
  const [batch = 0, tokens = 0, classes = 0] = dims;
  const width = weight.dims[1] ?? 0;
  const logits: number[] = [];
  for (let b = 0; b < batch; b++)
    for (let t = 0; t < tokens; t++) {
      const row = (b * (tokens + virtualTokens) + virtualTokens + t) * width;
      for (let c = 0; c < classes; c++) {
        let sum = Number(bias.data[c]);
        for (let d = 0; d < width; d++)
          sum += Number(weight.data[c * width + d]) * Number(hidden.data[row + d]);
        logits.push(sum);
      }
    }
  return float64(logits, dims);
}

/** Hidden states, all logits, the loss on labelled tokens and the prompt's gradient. */
function causalGraph(backbone: DecoderBackbone): Graph {
  const host = { width: backbone.width, sites: backbone.sites, biases: backbone.biases };
  const built = promptTuningMethod(spec).build(host, noDropout);
  const context = {
    parameters: backbone.parameters,
    transform: built.transform,
    dropout: noDropout,
    ...(built.embed && { embed: built.embed }),
  };
  const { hidden, last } = backbone.build(context, backbone.declareInputs());
  const logits = backbone.lmLogits(context, last); // (B·T, V)
  const asked = op.gather(logits, op.input("rows", "int64", ["M"])); // (M, V)
  const loss = crossEntropy(
    asked,
    op.input("answers", "int64", ["M"]),
    op.input("weights", "float32", ["M"]),
  );
  const prompt = built.inputs.get(PROMPT_EMBEDDINGS);
  if (prompt === undefined) throw new Error("no prompt");
  const [gradient] = gradients(loss, [prompt]);
  if (gradient === undefined) throw new Error("no gradient");
  const layers = Object.fromEntries(hidden.map((value, i) => [`hidden.${i}`, value]));
  return createGraph({ logits, loss, gradient, ...layers });
}

/** Each labelled token is asked of the row before it, behind the n virtual rows of its text. */
function answerFeeds(labels: HostTensor<"int64">): Record<string, HostTensor> {
  const [batch = 0, tokens = 0] = labels.dims;
  const [rows, answers]: [number[], number[]] = [[], []];
  for (let b = 0; b < batch; b++)
    for (let t = 1; t < tokens; t++) {
      const label = Number(labels.data[b * tokens + t]);
      if (label === -100) continue;
      rows.push(b * (tokens + virtualTokens) + virtualTokens + t - 1);
      answers.push(label);
    }
  const count = rows.length;
  return {
    rows: int64(rows, [count]),
    answers: int64(answers, [count]),
    weights: float64(new Float64Array(count).fill(1 / count), [count]),
  };
}

describe.each(setups)("decoders against peft, $precision", ({ precision, runtime, tolerance }) => {
  test.each(["gpt2", "gpt_neox", "llama"])("%s: every layer, logits, loss and gradient", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    if (backbone.kind !== "decoder") throw new Error(`${model} is no decoder`);
    const tensors = await golden.goldenTensors(join("prompt", model), "golden-causal", precision);
    const { pooling_weights: _, ...feeds } = promptFeeds(
      backbone,
      textBatch(tensors),
      golden.featureOf("last"),
    ).feeds;
    const outputs = await run(
      runtime,
      causalGraph(backbone),
      {
        ...feeds,
        ...answerFeeds(golden.needIds(tensors, "labels")),
        [PROMPT_EMBEDDINGS]: golden.need(tensors, "param.prompt_embeddings"),
      },
      precision,
    );
    const compare = (name: string, of: string) => {
      const expected = golden.need(tensors, of);
      const actual = outputs[name];
      if (actual === undefined) throw new Error(`no ${name}`);
      expect(sizeOf(actual.dims)).toBe(sizeOf(expected.dims));
      expectClose({ ...actual, dims: expected.dims }, expected, tolerance, name);
    };
    for (let layer = 0; layer <= backbone.config.layers; layer++)
      compare(`hidden.${layer}`, `hidden.${layer}`);
    compare("logits", "logits");
    compare("loss", "loss");
    compare("gradient", "grad.prompt_embeddings");
  });
});

describe("a prompt of words", () => {
  test.each(encoders)("%s reads it as those words before the text", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    const tensors = await golden.goldenTensors(join("prompt", model), "golden-feature", "f32");
    const { readRows } = await import("../../src/io/safetensors.ts");
    const table = backbone.weights.get(backbone.wordEmbeddings);
    if (table === undefined) throw new Error("no word embeddings");
    const ids = [7, 30, 12, 30];
    const words = await readRows(table, ids);
    expect(words.dims).toEqual([4, backbone.width]);

    const feature = golden.featureOf("mean");
    const { feeds } = promptFeeds(backbone, textBatch(tensors), feature);
    const looked = golden.needIds(new Map(Object.entries(feeds)), "input_ids");
    const [batch = 0, tokens = 0] = looked.dims;
    const inputIds = looked.data.slice();
    for (let b = 0; b < batch; b++) inputIds.set(BigInt64Array.from(ids, BigInt), b * tokens);
    const { prompt_slots: _, ...plain } = feeds;
    const withWords = { ...plain, input_ids: int64(inputIds, [batch, tokens]) };
    const expected = await run(setups[0].runtime, buildFeatureGraph({ backbone, feature }), withWords, "f32");
    const graph = buildFeatureGraph({ backbone, adapter, feature });
    const actual = await run(setups[0].runtime, graph, { ...feeds, [PROMPT_EMBEDDINGS]: words }, "f32");
    if (expected.feature === undefined) throw new Error("no feature");
    expectClose(actual.feature, expected.feature, setups[0].tolerance, "feature");

    const other = float32(
      Float32Array.from(asFloat32(words, "words").data, (value) => -value),
      words.dims,
    );
    const changed = await run(setups[0].runtime, graph, { ...feeds, [PROMPT_EMBEDDINGS]: other }, "f32");
    if (changed.feature === undefined) throw new Error("no feature");
    expect(relativeDifference(changed.feature, expected.feature)).toBeGreaterThan(0.01);
  });
});
