// B batch, T tokens, D width, V vocabulary, M rows of logits.
import { describe, expect, it } from "vitest";
import { float64, type HostTensor, int64 } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { buildCausalGraph, buildCausalTrainingGraph, type CausalStructure } from "../../src/generate/graphs.ts";
import { generateGreedy, openCausalModel } from "../../src/generate/greedy.ts";
import { readSafetensorsHeader } from "../../src/io/safetensors.ts";
import type { DecoderBackbone } from "../../src/nn/backbone.ts";
import { poolingWeights, tokenFeeds } from "../../src/nn/features.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Executable, Runtime, Tensors } from "../../src/runtime/types.ts";
import { buildFeatureGraph, GRADIENT_PREFIX } from "../../src/train/graphs.ts";
import { tolerances } from "../support/tolerances.ts";
import * as golden from "../support/goldens.ts";
import { expectSteps } from "../support/goldenSteps.ts";
import { expectClose } from "../support/tolerances.ts";
import { compileUntilEnd, untilEnd } from "../support/untilEnd.ts";

const models = ["gpt2", "gpt_neox", "llama", "qwen2", "qwen3", "smollm3", "phi3", "gemma3_text"] as const;
/** Rotary scalings, of which there is the forward pass alone. */
const scalings = ["rope-llama3", "rope-yarn", "rope-dynamic", "rope-longrope"] as const;
const files = ["golden-forward", "golden-lora"] as const;
const trained = models.flatMap((model) => files.map((file) => ({ model, file })));

interface Setup {
  readonly precision: golden.Precision;
  readonly runtime: Runtime;
  readonly tolerance: number;
}

const setups: readonly Setup[] = [
  { precision: "f32", runtime: nodeRuntime, tolerance: tolerances.float32 },
  { precision: "f64", runtime: referenceRuntime, tolerance: tolerances.goldenFloat64 },
];

async function structureOf(model: string, file: string): Promise<CausalStructure> {
  const backbone = await golden.goldenDecoder(model);
  if (file === "golden-forward") return { backbone };
  return { backbone, adapter: { kind: "lora", spec: golden.loraOf(golden.goldenInfo(model)) } };
}

/** The golden's tensors under a prefix, by our names: AutoModel's paths. */
function ours(tensors: ReadonlyMap<string, HostTensor>, prefix: string, backbone: DecoderBackbone): Record<string, HostTensor> {
  const outer = `${prefix}base_model.model.${backbone.headedPrefix}`;
  return Object.fromEntries(
    [...tensors].filter(([key]) => key.startsWith(outer)).map(([key, tensor]) => [key.slice(outer.length), tensor]),
  );
}

/** The batch as the golden has it; positions are ours and must be its. */
function batchFeeds(backbone: DecoderBackbone, tensors: ReadonlyMap<string, HostTensor>): Tensors {
  const attentionMask = golden.needIds(tensors, "attention_mask");
  const inputIds = golden.needIds(tensors, "input_ids");
  const feeds = tokenFeeds(backbone.config, { inputIds, attentionMask, tokenTypeIds: inputIds });
  expect(feeds.position_ids).toEqual(golden.needIds(tensors, "position_ids"));
  return feeds;
}

function allRows(mask: HostTensor): HostTensor<"int64"> {
  return int64(BigInt64Array.from({ length: mask.data.length }, (_, row) => BigInt(row)), [mask.data.length]);
}

describe.each(setups)("against transformers, $precision", ({ precision, runtime, tolerance }) => {
  it.each([...trained, ...scalings.map((model) => ({ model, file: "golden-forward" }))])(
    "$model $file: every layer and the logits of every real token",
    async ({ model, file }) => {
      const structure = await structureOf(model, file);
      const { backbone } = structure;
      const tensors = await golden.goldenTensors(model, file, precision);
      const mask = golden.need(tensors, "attention_mask");
      const executable = await compileUntilEnd(runtime, buildCausalGraph(structure, true));
      const feeds = { ...batchFeeds(backbone, tensors), ...ours(tensors, "param.", backbone), logit_rows: allRows(mask) };
      const outputs = await executable.run(golden.inPrecision(feeds, precision));
      const compare = (name: string, width: number) => {
        const actual = outputs[name];
        if (actual === undefined) throw new Error(`no ${name}`);
        const expected = golden.realRows(golden.need(tensors, name), mask, width);
        expectClose(golden.realRows(actual, mask, width), expected, tolerance, name);
      };
      for (let layer = 0; layer <= backbone.config.layers; layer++) compare(`hidden.${layer}`, backbone.width);
      compare("logits", backbone.config.vocabularySize);
    },
  );

  it.each(models)("%s: the last real token's vector as a sentence's feature, padded on either side", async (model) => {
    const backbone = await golden.goldenDecoder(model);
    const tensors = await golden.goldenTensors(model, "golden-forward", precision);
    const feature = { pooling: "last", normalize: false } as const;
    const executable = await compileUntilEnd(runtime, buildFeatureGraph({ backbone, feature }));
    const last = golden.need(tensors, `hidden.${backbone.config.layers}`);
    const [batch = 0, tokens = 0, width = 0] = last.dims;
    const rows = Array.from({ length: batch }, (_, b) =>
      Array.from({ length: width }, (_, d) => Number(last.data[((b + 1) * tokens - 1) * width + d])),
    );
    const expected = float64(rows.flat(), [batch, width]);
    const encodings = promptsOf(tensors).map((ids) => ({ ids, typeIds: ids.map(() => 0), truncated: false }));
    for (const side of ["left", "right"] as const) {
      const texts = collate(encodings, 0, side);
      const feeds = { ...tokenFeeds(backbone.config, texts), pooling_weights: poolingWeights(["last"], texts.attentionMask) };
      expectClose((await executable.run(feeds)).feature, expected, tolerance, side);
    }
  });

  it.each(models)("%s: loss on the answers and every LoRA gradient", async (model) => {
    const structure = await structureOf(model, "golden-lora");
    const { backbone } = structure;
    const tensors = await golden.goldenTensors(model, "golden-lora", precision);
    const executable = await compileUntilEnd(runtime, buildCausalTrainingGraph(structure, false).graph);
    const answers = golden.exactAnswerFeeds(golden.needIds(tensors, "labels"));
    const feeds = { ...batchFeeds(backbone, tensors), ...ours(tensors, "param.", backbone), ...answers };
    const outputs = await executable.run(golden.inPrecision(feeds, precision));
    expectClose(outputs.loss, golden.need(tensors, "loss"), tolerance, "loss");
    const expected = Object.entries(ours(tensors, "grad.", backbone));
    expect(expected.length).toBeGreaterThanOrEqual(6);
    expect(Object.keys(outputs)).toHaveLength(expected.length + 1);
    for (const [name, gradient] of expected) expectClose(outputs[GRADIENT_PREFIX + name], gradient, tolerance, name);
  });

  it.each(models)("%s: ten AdamW steps with LoRA", async (model) => {
    const structure = await structureOf(model, "steps-lora");
    const { backbone } = structure;
    const tensors = await golden.goldenTensors(model, "steps-lora", precision);
    await expectSteps({
      executable: await compileUntilEnd(runtime, buildCausalTrainingGraph(structure, false).graph),
      feeds: { ...batchFeeds(backbone, tensors), ...golden.exactAnswerFeeds(golden.needIds(tensors, "labels")) },
      tensors,
      named: (prefix) => new Map(Object.entries(ours(tensors, prefix, backbone))),
      adamw: golden.goldenInfo(model).adamw,
      precision,
      tolerance: tolerance,
    });
  });
});

/** Each row's real tokens. */
function promptsOf(tensors: ReadonlyMap<string, HostTensor>): number[][] {
  const [inputs, mask] = [golden.needIds(tensors, "input_ids"), golden.needIds(tensors, "attention_mask")];
  const [batch = 0, tokens = 0] = inputs.dims;
  return Array.from({ length: batch }, (_, b) =>
    Array.from({ length: tokens }, (_, t) => b * tokens + t)
      .filter((i) => mask.data[i] === 1n)
      .map((i) => Number(inputs.data[i])),
  );
}

function greedyOf(tensors: ReadonlyMap<string, HostTensor>): number[][] {
  const { dims, data } = golden.needIds(tensors, "greedy");
  const [batch = 0, count = 0] = dims;
  return Array.from({ length: batch }, (_, b) => Array.from(data.subarray(b * count, (b + 1) * count), Number));
}

/** Decoding the slow way: the whole text anew for every token, one text at a time. */
async function withoutCache(
  executable: Executable,
  backbone: DecoderBackbone,
  parameters: Tensors,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  const text = [...prompt];
  while (text.length < prompt.length + count) {
    const dims = [1, text.length];
    const batch = {
      inputIds: int64(BigInt64Array.from(text, BigInt), dims),
      attentionMask: int64(new BigInt64Array(text.length).fill(1n), dims),
      tokenTypeIds: int64(new BigInt64Array(text.length), dims),
    };
    const rows = int64([text.length - 1], [1]);
    const { logits } = await executable.run({ ...tokenFeeds(backbone.config, batch), ...parameters, logit_rows: rows });
    const values = Array.from(logits?.data ?? [], Number);
    text.push(values.indexOf(Math.max(...values)));
  }
  return text.slice(prompt.length);
}

describe.each([...trained, ...scalings.map((model) => ({ model, file: "golden-forward" }))])(
  "greedy decoding against transformers: $model $file",
  ({ model, file }) => {
    async function prepare() {
      const structure = await structureOf(model, file);
      const tensors = await golden.goldenTensors(model, file, "f32");
      const parameters = ours(tensors, "param.", structure.backbone);
      return { structure, parameters, prompts: promptsOf(tensors), expected: greedyOf(tensors) };
    }

    it("with the cache: in one padded batch, in small batches, and alone", async () => {
      const { structure, parameters, prompts, expected } = await prepare();
      const causal = untilEnd(await openCausalModel(structure, nodeRuntime));
      for (const batchSize of [4, 3, 1]) {
        const options = { maxNewTokens: 20, stopIds: [], batchSize, parameters };
        const results = await generateGreedy(causal, prompts, options);
        expect(results, `batches of ${batchSize}`).toEqual(expected.map((row) => ({ ids: row, stopped: false })));
      }
    });

    it("without the cache", async () => {
      const { structure, parameters, prompts, expected } = await prepare();
      const executable = await compileUntilEnd(nodeRuntime, buildCausalGraph(structure));
      for (const [row, prompt] of prompts.entries())
        expect(await withoutCache(executable, structure.backbone, parameters, prompt, 20)).toEqual(expected[row]);
    });

    it("stops a text at its stop id and goes on with the others", async () => {
      const { structure, parameters, prompts, expected } = await prepare();
      const causal = untilEnd(await openCausalModel(structure, nodeRuntime));
      const stop = expected[0]?.[3] ?? -1;
      const results = await generateGreedy(causal, prompts, { maxNewTokens: 20, stopIds: [stop], parameters });
      expect(results).toEqual(
        expected.map((row) => {
          const at = row.indexOf(stop);
          return { ids: at === -1 ? row : row.slice(0, at), stopped: at !== -1 };
        }),
      );
    });
  },
);

describe("adapters as peft saves them", () => {
  it.each(models)("%s: the file's keys are the sites' names behind the model's prefix", async (model) => {
    const backbone = await golden.goldenDecoder(model);
    const file = await readSafetensorsHeader(`${golden.goldensFolder}/${model}/peft-causal/adapter_model.safetensors`);
    const targets = golden.goldenInfo(model).lora.targetModules;
    const sites = [...backbone.sites].filter(([site]) => targets.some((target) => site.endsWith(`.${target}`)));
    const expected = sites.flatMap(([site, [inFeatures, outFeatures]]) => [
      [`base_model.model.${backbone.headedPrefix}${site}.lora_A.weight`, [3, inFeatures]],
      [`base_model.model.${backbone.headedPrefix}${site}.lora_B.weight`, [outFeatures, 3]],
    ]);
    expect(sites.length).toBeGreaterThan(0);
    expect([...file.tensors].map(([key, { dims }]) => [key, dims]).sort()).toEqual(expected.sort());
  });
});
