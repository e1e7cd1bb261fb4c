/** Token classifiers in peft's folders: what peft wrote is read and computes the same, and we write what peft writes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import { float32, float64, type HostTensor } from "../../src/core/tensor.ts";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { Architecture, SavedAdapter } from "../../src/peft/types.ts";
import { buildInferenceGraph } from "../../src/train/graphs.ts";
import { parameterFeeds } from "../../src/train/trainer.ts";
import {
  configOf,
  copyGolden,
  editTensors,
  host,
  keysOf,
  makeHead,
  makeSaved,
} from "../support/adapterFiles.ts";
import { temporaryFolder } from "../support/folders.ts";
import { goldenBackbone, goldenTensors, inPrecision, need } from "../support/goldens.ts";
import { promptFeeds, setups, textBatch, virtualTokens } from "../support/promptRuns.ts";
import { relativeDifference } from "../support/tolerances.ts";

const architectures: readonly Architecture[] = ["bert", "roberta"];
const feature = { pooling: "cls", normalize: false } as const;

const golden = (model: string) => copyGolden("prompt", model, "peft-tokcls");

/** The rows of real tokens: (n, C). */
function realRows(logits: HostTensor, mask: HostTensor, front: number): HostTensor {
  const [batch = 0, tokens = 0] = mask.dims;
  const classes = logits.dims.at(-1) ?? 0;
  const values: number[] = [];
  for (let b = 0; b < batch; b++)
    for (let t = 0; t < tokens; t++) {
      if (Number(mask.data[b * tokens + t]) === 0) continue;
      const row = b * (front + tokens) + front + t;
      values.push(...Array.from(logits.data.slice(row * classes, (row + 1) * classes), Number));
    }
  const dims = [values.length / classes, classes];
  return logits.dtype === "float64" ? float64(values, dims) : float32(values, dims);
}

describe.each(setups)("peft's token classifiers, $precision", ({ precision, runtime, tolerance }) => {
  test.each(architectures)("%s with a prompt: the logits of every token", async (model) => {
    const backbone = await goldenBackbone(model);
    const tensors = await goldenTensors(join("prompt", model), "golden-tokcls", precision);
    const { adapter, head, level } = await readPeftFolder(await golden(model));
    if (head === undefined) throw new TypeError("no head was read");
    const texts = textBatch(tensors);
    await using executable = await runtime.compile(
      buildInferenceGraph({
        backbone,
        adapter,
        feature,
        head: { kind: head.kind, scale: 1, scaleLearnable: false },
        ...(level && { level }),
      }),
    );
    const { feeds } = promptFeeds(backbone, texts, feature);
    const parameters = parameterFeeds({ adapter: adapter.tensors, head: head.tensors });
    const { logits } = await executable.run(inPrecision({ ...feeds, ...parameters }, precision));
    if (logits === undefined) throw new TypeError("no logits");
    const found = realRows(logits, texts.attentionMask, virtualTokens);
    const expected = realRows(need(tensors, "logits"), texts.attentionMask, 0);
    expect(relativeDifference(found, expected)).toBeLessThanOrEqual(tolerance);
  });
});

describe("folders", () => {
  test.each(architectures)("of peft's, %s: read and written again as they were", async (model) => {
    const dir = await golden(model);
    const saved = await readPeftFolder(dir);
    expect(saved).toMatchObject({ level: "word", head: { kind: "linear" }, pooling: "cls" });
    // Beside a prompt nothing tells bert from roberta: their heads over tokens are alike.
    expect(saved.architecture).toBeUndefined();
    const again = encodePeftFolder({ ...saved, architecture: model });
    const config = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8"));
    // peft names its head's modules twice.
    expect(configOf(again)).toEqual({ ...config, modules_to_save: ["classifier", "score"] });
    const weights = "adapter_model.safetensors";
    expect(again.get(weights)).toEqual(new Uint8Array(await readFile(join(dir, weights))));
  });

  const saved = (change: Partial<SavedAdapter> = {}): SavedAdapter =>
    makeSaved({
      head: makeHead.linear(),
      level: "word",
      labels: ["O", "B-x", "I-x"],
      ...feature,
      architecture: "bert",
      ...change,
    });

  test.each<[string, SavedAdapter, string]>([
    ["BERT's own head", saved(), "TOKEN_CLS"],
    ["RoBERTa's own head, which is no dense one", saved({ architecture: "roberta" }), "TOKEN_CLS"],
    ["a cosine head", saved({ head: makeHead.cosine() }), "FEATURE_EXTRACTION"],
  ])("of ours: %s", async (_, adapter, taskType) => {
    const files = encodePeftFolder(adapter);
    const inside = taskType === "TOKEN_CLS";
    expect(configOf(files).task_type).toBe(taskType);
    expect(files.has("head.safetensors")).toBe(!inside);
    expect(keysOf(files).includes("base_model.model.classifier.weight")).toBe(inside);
    const path = join(await temporaryFolder(), "ours");
    await writeFolderAtomic(path, files);
    expect(await readPeftFolder(path, { host })).toEqual(adapter);
  });

  test("without half of the head are refused", async () => {
    const dir = await golden("bert");
    await editTensors(dir, (tensors) => tensors.delete("base_model.classifier.bias"));
    await expect(readPeftFolder(dir)).rejects.toThrow(CheckpointError);
    await expect(readPeftFolder(dir)).rejects.toThrow(/TOKEN_CLS .* needs base_model.classifier.bias/);
  });
});
