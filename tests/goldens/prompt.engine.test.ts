/** Ten AdamW steps of prompt tuning against torch and peft: sentences, tokens and answers in words. */
import { join } from "node:path";
import { describe, test } from "vitest";
import { wordTargets } from "../../src/continual/taskTypes/wordTargets.ts";
import { asFloat32, float64, type HostTensor } from "../../src/core/tensor.ts";
import { buildCausalTrainingGraph } from "../../src/generate/graphs.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { buildTrainingGraph } from "../../src/train/graphs.ts";
import { promptFeeds, setups, spec, textBatch, virtualTokens } from "../support/promptRuns.ts";
import * as golden from "../support/goldens.ts";
import { expectSteps } from "../support/goldenSteps.ts";
import { compileUntilEnd } from "../support/untilEnd.ts";

const adapter = { kind: "prompt-tuning", spec } as const;
const encoders = ["bert", "roberta"] as const;
const { adamw } = golden.goldenInfo("prompt");
/** What token labels (B, T) feed, −100 where nothing is asked; the weights exactly 1/n. */
function tokenFeeds(labels: HostTensor): Record<string, HostTensor> {
  const [batch = 0, tokens = 0] = labels.dims;
  const rows = Array.from({ length: batch }, (_, b) =>
    Array.from(labels.data.subarray(b * tokens, (b + 1) * tokens), Number),
  );
  const targets = wordTargets(rows, virtualTokens, undefined);
  const feeds = targets({ indices: rows.map((_, row) => row), length: virtualTokens + tokens });
  const weights = asFloat32(feeds.example_weights, "example_weights");
  const counted = weights.data.filter((weight) => weight > 0).length;
  const exact = Float64Array.from(weights.data, (weight) => (weight > 0 ? 1 / counted : 0));
  return { ...feeds, example_weights: float64(exact, weights.dims) };
}

describe.each(setups)("ten AdamW steps against peft, $precision", ({ precision, runtime, tolerance }) => {
  test.each(encoders)("%s: a sentence's label, by the mean of its own tokens", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    const tensors = await golden.goldenTensors(join("prompt", model), "steps-feature", precision);
    const feature = golden.featureOf("mean");
    const structure = { backbone, adapter, feature, head: defaultHeads.linear };
    await expectSteps({
      executable: await compileUntilEnd(runtime, (buildTrainingGraph(structure, false)).graph),
      feeds: { ...promptFeeds(backbone, textBatch(tensors), feature).feeds, ...golden.labelFeeds(tensors) },
      tensors,
      named: (prefix) => golden.underPrefix(tensors, prefix),
      adamw,
      precision,
      tolerance,
    });
  });

  test.each(encoders)("%s: a label for two tokens of three", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    const tensors = await golden.goldenTensors(join("prompt", model), "steps-tokcls", precision);
    const feature = golden.featureOf("cls");
    const structure = { backbone, adapter, feature, head: defaultHeads.linear, level: "word" } as const;
    const { feeds } = promptFeeds(backbone, textBatch(tensors), feature);
    await expectSteps({
      executable: await compileUntilEnd(runtime, (buildTrainingGraph(structure, false)).graph),
      feeds: { ...feeds, ...tokenFeeds(golden.need(tensors, "labels")) },
      tensors,
      named: (prefix) => golden.underPrefix(tensors, prefix),
      adamw,
      precision,
      tolerance,
    });
  });

  test.each(["gpt2", "gpt_neox", "llama"])("%s: answers in words", async (model) => {
    const backbone = await golden.goldenBackbone(model);
    if (backbone.kind !== "decoder") throw new Error(`${model} is no decoder`);
    const tensors = await golden.goldenTensors(join("prompt", model), "steps-causal", precision);
    const texts = promptFeeds(backbone, textBatch(tensors), golden.featureOf("last")).feeds;
    const { pooling_weights: _, ...feeds } = texts;
    await expectSteps({
      executable: await compileUntilEnd(runtime, (buildCausalTrainingGraph({ backbone, adapter }, false)).graph),
      feeds: { ...feeds, ...golden.exactAnswerFeeds(golden.needIds(tensors, "labels"), virtualTokens) },
      tensors,
      named: (prefix) => golden.underPrefix(tensors, prefix),
      adamw,
      precision,
      tolerance,
    });
  });
});
