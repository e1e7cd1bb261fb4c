import { describe, expect, it } from "vitest";
import { gradients } from "../../src/autodiff/gradients.ts";
import type { HostTensor } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Value } from "../../src/graph/types.ts";
import { sentenceFeature } from "../../src/nn/features.ts";
import { declareHead, defaultHeads, HEAD_PREFIX } from "../../src/nn/heads.ts";
import { noDropout, noTransform } from "../../src/nn/layers/layers.ts";
import { inputParameters } from "../../src/nn/layers/parameters.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { buildFeatureGraph, buildTrainingGraph, crossEntropy, GRADIENT_PREFIX } from "../../src/train/graphs.ts";
import { tolerances } from "../support/tolerances.ts";
import * as golden from "../support/goldens.ts";
import { expectSteps } from "../support/goldenSteps.ts";
import { expectClose } from "../support/tolerances.ts";
import { compileUntilEnd } from "../support/untilEnd.ts";

const runtimes: readonly {
  readonly precision: golden.Precision;
  readonly runtime: Runtime;
  readonly tolerance: number;
}[] = [
  { precision: "f32", runtime: nodeRuntime, tolerance: tolerances.float32 },
  { precision: "f64", runtime: referenceRuntime, tolerance: tolerances.goldenFloat64 },
];

const families = ["xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "modernbert", "deberta-v2"];
const stored = ["bert-seqcls", "bert-sharded", "bert-f16", "bert-bf16", "roberta-seqcls"];
const models = ["bert", "roberta", ...stored, ...families];
describe.each(runtimes)("against transformers, $precision", ({ precision, runtime, tolerance }) => {
  it.each(models)("%s: embeddings, every layer and every feature", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    const tensors = await golden.goldenTensors(model, "golden-forward", precision);
    const mask = golden.need(tensors, "attention_mask");
    let compared = 0;
    for (const [name, feature] of Object.entries(golden.features)) {
      const expected = tensors.get(`feature.${name}`);
      if (expected === undefined) continue;
      const executable = await compileUntilEnd(runtime, buildFeatureGraph({ backbone, feature }, true));
      const feeds = golden.inPrecision(golden.batchFeeds(backbone, feature, tensors), precision);
      const outputs = await executable.run(feeds);
      expectClose(outputs.feature, expected, tolerance, name);
      for (let layer = 0; layer <= backbone.config.layers; layer++) {
        const hidden = outputs[`hidden.${layer}`];
        if (hidden === undefined) throw new Error(`no hidden.${layer}`);
        const real = golden.realRows(hidden, mask, backbone.width);
        expectClose(real, golden.realRows(golden.need(tensors, `hidden.${layer}`), mask, backbone.width), tolerance, `hidden.${layer}`);
      }
      compared += 1;
    }
    expect(compared).toBeGreaterThanOrEqual(2);
  });
});

const cases = ["bert", "roberta", ...families].flatMap((model) =>
  Object.entries(golden.goldenInfo(model).cases)
    .filter(([name]) => name.startsWith("lora-"))
    .map(([name, info]) => ({ model, name, info })),
);

async function caseStructure(model: string, info: golden.GoldenCase) {
  return {
    backbone: await golden.goldenBackbone(model),
    adapter: { kind: "lora", spec: golden.loraOf(golden.goldenInfo(model), info.bias) } as const,
    feature: golden.featureOf(info.feature),
    head: { ...defaultHeads[info.head], scaleLearnable: info.head === "cosine" },
  };
}

describe.each(runtimes)("loss and gradients against torch and peft, $precision", ({ precision, runtime, tolerance }) => {
  it.each(cases)("$model $name", async ({ model, name, info }) => {
    const structure = await caseStructure(model, info);
    const tensors = await golden.goldenTensors(model, `golden-${name}`, precision);
    const executable = await compileUntilEnd(runtime, buildTrainingGraph(structure, false).graph);
    const parameters = golden.underPrefix(tensors, "param.");
    const outputs = await executable.run(
      golden.inPrecision(
        {
          ...golden.batchFeeds(structure.backbone, structure.feature, tensors),
          ...golden.labelFeeds(tensors),
          ...Object.fromEntries(parameters),
        },
        precision,
      ),
    );
    expectClose(outputs.loss, golden.need(tensors, "loss"), tolerance, "loss");
    const expected = golden.underPrefix(tensors, "grad.");
    expect(expected.size).toBeGreaterThanOrEqual(8);
    for (const [parameter, gradient] of expected)
      expectClose(outputs[GRADIENT_PREFIX + parameter], gradient, tolerance, parameter);
    const ours = Object.keys(outputs).filter((key) => key.startsWith(GRADIENT_PREFIX));
    const zero = info.zeroGradients.map(golden.ourName);
    const unknown = ours.map((key) => key.slice(GRADIENT_PREFIX.length)).filter((key) => !expected.has(key) && !zero.includes(key));
    expect(unknown).toEqual([]);
  });

  it("bert, every parameter of the backbone", async () => {
    const tensors = await golden.goldenTensors("bert", "golden-full-mean-linear", precision);
    const backbone = await golden.goldenBackbone("bert");
    const parameters = inputParameters();
    const context = { parameters, transform: noTransform, dropout: noDropout };
    const feature = golden.featureOf("mean");
    const { last } = backbone.build(context, backbone.declareInputs());
    const head = declareHead("linear", backbone.width);
    const pooled = sentenceFeature(backbone, context, feature, last);
    const loss = crossEntropy(head.logits(pooled), op.input("labels", "int64", ["B"]), op.input("example_weights", "float32", ["B"]));
    const trained = new Map<string, Value>(parameters.declared.map(({ name, dims }) => [name, parameters.get(name, dims)]));
    for (const [name, value] of head.inputs) trained.set(HEAD_PREFIX + name, value);
    const grads = gradients(loss, [...trained.values()]);
    const outputs = Object.fromEntries([...trained.keys()].map((name, i) => [name, grads[i]!]));
    const executable = await compileUntilEnd(runtime, createGraph({ loss, ...outputs }));

    // The backbone's own values lie in its checkpoint, in float32 for both precisions.
    const { readTensor } = await import("../../src/io/safetensors.ts");
    const values: Record<string, HostTensor> = Object.fromEntries(golden.underPrefix(tensors, "param."));
    for (const { name } of parameters.declared) {
      const source = backbone.weights.get(name);
      if (source === undefined) throw new Error(`no ${name}`);
      values[name] = await readTensor(source);
    }
    const results = await executable.run(
      golden.inPrecision({ ...golden.batchFeeds(backbone, feature, tensors), ...golden.labelFeeds(tensors), ...values }, precision),
    );
    expectClose(results.loss, golden.need(tensors, "loss"), tolerance, "loss");
    const expected = golden.underPrefix(tensors, "grad.");
    expect(expected.size).toBeGreaterThan(45);
    for (const [name, gradient] of expected) expectClose(results[name], gradient, tolerance, name);
  });
});

const stepCases = cases.flatMap(({ model, info }) => (info.steps ?? []).map((file) => ({ model, info, file })));

describe.each(runtimes)("ten AdamW steps against torch, $precision", ({ precision, runtime, tolerance }) => {
  it.each(stepCases)("$model $file", async ({ model, info, file }) => {
    const { adamw } = golden.goldenInfo(model);
    const structure = await caseStructure(model, info);
    const tensors = await golden.goldenTensors(model, file, precision);
    const executable = await compileUntilEnd(runtime, buildTrainingGraph(structure, false).graph);
    await expectSteps({
      executable,
      feeds: { ...golden.batchFeeds(structure.backbone, structure.feature, tensors), ...golden.labelFeeds(tensors) },
      tensors,
      named: (prefix) => golden.underPrefix(tensors, prefix),
      adamw,
      ...(file.endsWith("-clip") && { maxNorm: adamw.maxNormWhereClipped }),
      precision,
      tolerance,
    });
  });
});
