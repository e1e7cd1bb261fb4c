/** `accrete export --to onnx`: onnxruntime, asked for the exported model alone, gives what the store answers. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { exportStore } from "../../src/export/exportStore.ts";
import { parseWebManifest } from "../../src/export/webFiles.ts";
import { openStore } from "../../src/store/store.ts";
import { compareScores, demoTexts, exportedLabels, exportedScores, readJson } from "../support/exports.ts";
import { folderOfTestFile, freshTarget } from "../support/folders.ts";
import { workshop } from "../support/stores.ts";
import { rowsOf, texts } from "../support/tinyStreams.ts";
import { tolerances } from "../support/tolerances.ts";

/** Answers among all classes, by the router that answers at once. */
async function answersOf(store: string, asked: readonly string[]) {
  await using open = await openStore(store, { background: false });
  return await open.predict(asked, { top: 100 });
}

describe("the model that ships, all classes of the demo", () => {
  const store = join(folderOfTestFile("demo"), "store");
  let asked: readonly string[] = [];

  beforeAll(async () => {
    const create = { backbone: "accrete-mini", threads: 2 };
    await using open = await openStore(store, { create, background: false });
    const train = await demoTexts("train");
    const labels = [...new Set(train.map(({ label }) => label))];
    for (const [i, half] of [labels.slice(0, 12), labels.slice(12)].entries())
      await open.learn(
        { name: `half-${i}`, train: train.filter(({ label }) => half.includes(label)) },
        { statisticsOnly: true },
      );
    asked = (await demoTexts("test")).slice(0, 200).map(({ text }) => text);
  });

  test("200 texts get the same label, and every score within 1e-4", async () => {
    const out = freshTarget();
    await exportStore(store, { to: "onnx", out });
    const compared = compareScores(await answersOf(store, asked), await exportedScores(out, asked));
    expect(compared).toEqual({ largest: expect.any(Number), otherwise: 0, texts: 200 });
    expect(compared.largest).toBeLessThan(tolerances.float32);
  });

  test("what transformers.js and accrete-lm/web look for is there, and nothing else", async () => {
    const out = freshTarget();
    const { files, notes } = await exportStore(store, { to: "onnx", out });
    expect(files.map(({ name }) => name)).toEqual([
      "accrete.json",
      "config.json",
      "onnx/model.onnx",
      "router.safetensors",
      "statistics.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
      "vocab.txt",
    ]);
    expect(notes).toEqual([]);
    expect(await readJson(join(out, "config.json"))).toMatchObject({
      architectures: ["BertForSequenceClassification"],
      model_type: "bert",
      problem_type: "single_label_classification",
      "transformers.js_config": { dtype: "fp32" },
    });
    expect(await exportedLabels(out)).toEqual([
      ...new Set((await demoTexts("train")).map(({ label }) => label).sort()),
    ]);
    expect(await readJson(join(out, "tokenizer_config.json"))).toMatchObject({ model_max_length: 128 });
    const manifest = parseWebManifest(JSON.stringify(await readJson(join(out, "accrete.json"))), "it");
    expect(manifest).toMatchObject({ router: "kernel-discriminant", maxTokens: 128, seed: 1 });
    expect(manifest.tasks.map(({ name }) => name)).toEqual(["half-0", "half-1"]);
  });
});

describe("tiny stores", () => {
  /** Classes of very different sizes, and one task with an adapter. */
  const sizes = { aa: 40, bb: 3, cc: 17, dd: 1, ee: 9 };

  test.each(["kernel-discriminant", "lda", "nearest-mean", "stacking", "ranpac"])(
    "router.kind %s: what answers at once",
    async (kind) => {
      const { at, open } = await workshop();
      await using store = await open("store", { router: { kind } });
      await store.learn({ name: "adapted", train: texts(["ff", "gg"]) });
      await store.learn({ name: "sizes", train: rowsOf("x", sizes) }, { statisticsOnly: true });
      await exportStore(at("store"), { to: "onnx", out: at("out") });
      const asked = [...rowsOf("y", sizes), ...texts(["ff", "gg"], "test", 3)].map(({ text }) => text);
      const compared = compareScores(
        await answersOf(at("store"), asked),
        await exportedScores(at("out"), asked),
      );
      expect(compared).toMatchObject({ otherwise: 0, texts: 76 });
      expect(compared.largest).toBeLessThan(tolerances.float32);
    },
  );

  test("a single class is certain", async () => {
    const { at, open } = await workshop();
    await using store = await open("store");
    await store.learnClass("only", ["one", "two"]);
    await exportStore(at("store"), { to: "onnx", out: at("out") });
    const [scores] = await exportedScores(at("out"), ["three"]);
    expect([...scores!]).toEqual([["only", 1]]);
  });

  test("a task of statistics alone, texts that are cut, and a prompt that is named", async () => {
    const { at, open } = await workshop();
    await using store = await open("store", {
      training: { maxLength: 12, longText: "window" },
      prompt: "about {text}",
    });
    await store.learn({ name: "a", train: texts(["aa", "bb"]) }, { statisticsOnly: true });
    const { notes } = await exportStore(at("store"), { to: "onnx", out: at("out") });
    expect(notes).toEqual([
      expect.stringContaining('"about {text}"'),
      expect.stringContaining("more than 12 tokens are cut"),
    ]);
    expect(await readJson(at("out/accrete.json"))).toMatchObject({ prompt: "about {text}", maxTokens: 12 });
    expect((await readdir(at("."))).filter((name) => name.startsWith(".tmp"))).toEqual([]);
  });
});
