/** LoRA merged into the weights: the exported model gives what transformers gives with the adapter that real peft saved. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { HostTensor } from "../../src/core/tensor.ts";
import { float32 } from "../../src/core/tensor.ts";
import { mergedOnnx, mergedWeights } from "../../src/export/merged.ts";
import { architectures } from "../../src/nn/families.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { goldenBase } from "../support/goldenAdapters.ts";
import * as golden from "../support/goldens.ts";
import { expectClose, tolerances } from "../support/tolerances.ts";

interface Case {
  readonly title: string;
  readonly base: string;
  readonly adapter: readonly string[];
  readonly expected: readonly string[];
  readonly level: "sentence" | "word";
}

const infoSchema = z.object({ base: z.string(), level: z.enum(["sentence", "word"]).nullable() });

/** An adapter of every family with its own head over texts, and one over words. */
const families: readonly Case[] = architectures.flatMap((base) =>
  (["sentence", "word"] as const).flatMap((level) => {
    const kind = level === "word" ? "peft-tokcls" : "peft-seqcls";
    const expected = [base, `golden-${kind}.f32.safetensors`];
    return existsSync(join(golden.goldensFolder, ...expected))
      ? [{ title: `${base}, ${level}`, base, adapter: [base, kind], expected, level }]
      : [];
  }),
);

/** As people save them: DoRA, word embeddings along with it, a part of the head left in the model. */
const saved: readonly Case[] = readdirSync(join(golden.goldensFolder, "saved"))
  .filter((name) => !name.endsWith("-model"))
  .flatMap((name) => {
    const path = join(golden.goldensFolder, "saved", name, "golden.json");
    const { base, level } = infoSchema.parse(JSON.parse(readFileSync(path, "utf8")));
    if (level === null) return [];
    const expected = ["saved", name, "golden.f32.safetensors"];
    return [{ title: name, base, adapter: ["saved", name], expected, level }];
  });

function feedOf({ data, dims }: HostTensor): ort.Tensor {
  return new ort.Tensor("int64", BigInt64Array.from(data, BigInt), dims);
}

describe("as transformers computes with the adapter", () => {
  test("there are adapters of most families, and DoRA", () => {
    expect(families.length).toBeGreaterThan(25);
    expect(saved.map(({ title }) => title)).toEqual(expect.arrayContaining(["dora-bert", "dora-gpt2"]));
  });

  test.each([...families, ...saved])("$title", async ({ base, adapter, expected, level }) => {
    const { backbone, told } = await goldenBase(base);
    const folder = join(golden.goldensFolder, ...adapter);
    const read = await readPeftFolder(folder, { backbone: told, level });
    if (read.adapter.kind !== "lora") throw new Error("no LoRA");
    const weights = await mergedWeights(backbone, read, read.adapter);
    const config: unknown = JSON.parse(
      await readFile(join(golden.goldensFolder, base, "config.json"), "utf8"),
    );
    const bytes = await mergedOnnx(config, backbone, read, weights, base);
    const session = await ort.InferenceSession.create(bytes);
    const tensors = await golden.readTensors(...expected);
    const feeds = session.inputNames.map((name) => {
      const fed = tensors.get(name) ?? golden.need(tensors, "input_ids");
      return [name, feedOf(name === "token_type_ids" && !tensors.has(name) ? zeroed(fed) : fed)] as const;
    });
    const { logits } = await session.run(Object.fromEntries(feeds));
    await session.release();
    const theirs = golden.need(tensors, "logits");
    if (!(logits?.data instanceof Float32Array)) throw new Error("no logits");
    const ours = float32(logits.data, logits.dims);
    expect(ours.dims).toEqual(theirs.dims);
    if (level === "sentence") return expectClose(ours, theirs, tolerances.float32, "logits");
    const mask = golden.need(tensors, "attention_mask");
    const classes = theirs.dims.at(-1) ?? 0;
    expectClose(
      golden.realRows(ours, mask, classes),
      golden.realRows(theirs, mask, classes),
      tolerances.float32,
      "logits",
    );
  });
});

function zeroed({ data, dims }: HostTensor): HostTensor {
  return { dtype: "int64", data: new BigInt64Array(data.length), dims };
}
