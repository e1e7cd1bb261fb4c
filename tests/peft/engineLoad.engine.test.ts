/** Adapters that real peft made, through the library's and the command line's own doors. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { fromSavedAdapter, toSavedAdapter } from "../../src/continual/taskTypes/savedTask.ts";
import { packageVersion } from "../../src/core/packageInfo.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { encodeAll } from "../../src/data/encoding/tokenizer.ts";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { createLearner } from "../../src/model/learner.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import { loadAdapter } from "../../src/store/openRun.ts";
import { runAdapter } from "../support/adapterRuns.ts";
import { accrete } from "../support/cli.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { goldensFolder } from "../support/goldens.ts";
import { digits } from "../support/tolerances.ts";

const peft = join(goldensFolder, "peft");
const examples = ["a b c d", "what is it", "1 2 3 !", "z"].map((text) => ({ text }));

const folder = folderOfTestFile("load");
beforeAll(async () => {
  // The goldens' bases have no tokenizer; this is another model's, cut down to their sixty tokens.
  const from = join(goldensFolder, "tokenizers", "bert-uncased");
  const tokenizer = JSON.parse(await readFile(join(from, "tokenizer.json"), "utf8"));
  const vocabulary = Object.entries(tokenizer.model.vocab).filter(([, id]) => Number(id) < 60);
  tokenizer.model.vocab = Object.fromEntries(vocabulary);
  for (const name of ["bert-seq-cls-base", "roberta-seq-cls-base", "bert-feature-extraction-base"]) {
    const base = join(folder, name);
    await cp(join(peft, name), base, { recursive: true });
    await cp(join(from, "tokenizer_config.json"), join(base, "tokenizer_config.json"));
    await writeFile(join(base, "tokenizer.json"), JSON.stringify(tokenizer));
  }
});

const bertBase = () => join(folder, "bert-seq-cls-base");

describe("loadAdapter", () => {
  test.each(["bert-seq-cls-all", "roberta-seq-cls-lora-only"])(
    "%s predicts its numbered labels, and says what it cannot check",
    async (name) => {
      const backbone = join(folder, `${name.split("-")[0]}-seq-cls-base`);
      await using predictor = await loadAdapter(join(peft, name), { backbone });
      expect(predictor.tasks).toMatchObject([{ name, labels: ["LABEL_0", "LABEL_1", "LABEL_2"] }]);
      expect(predictor.notes.filter((note) => note.includes("made elsewhere"))).toHaveLength(1);
      const predictions = await predictor.predict(examples, { top: 3 });

      const loaded = await loadBackbone(backbone);
      const { encodings } = encodeAll(loaded.tokenizer, examples, 32);
      const batch = collate(encodings, loaded.tokenizer.padId);
      const results = await runAdapter(loaded.backbone, await readPeftFolder(join(peft, name)), batch);
      const logits = Array.from(results.get("logits")?.data ?? [], Number);
      predictions.forEach(({ top }, i) => {
        const row = logits.slice(3 * i, 3 * i + 3);
        const total = row.reduce((sum, logit) => sum + Math.exp(logit), 0);
        expect(top).toHaveLength(3);
        for (const { label, score } of top) {
          const slot = Number(label.replace("LABEL_", ""));
          expect(score).toBeCloseTo(Math.exp(row[slot] ?? Number.NaN) / total, digits.float32);
        }
      });
      expect(new Set(predictions.map(({ score }) => score)).size).toBe(examples.length);
    },
  );

  test("names what does not go together", async () => {
    const bert = join(peft, "bert-seq-cls-none");
    const roberta = join(folder, "roberta-seq-cls-base");
    await expect(loadAdapter(bert, { backbone: roberta })).rejects.toThrow(/is for bert, .* is roberta/);
    const bare = join(peft, "bert-feature-extraction-none");
    const backbone = join(folder, "bert-feature-extraction-base");
    await expect(loadAdapter(bare, { backbone })).rejects.toThrow(/has no head, so it cannot classify/);
  });

  test("an adapter that was cut or widened elsewhere does not fit", async () => {
    const saved = await readPeftFolder(join(peft, "bert-seq-cls-none"));
    const loaded = await loadBackbone(bertBase());
    const fewer = new Map([...saved.adapter.tensors].filter(([name]) => !name.includes("layer.1.")));
    const cut = { ...saved, adapter: { ...saved.adapter, tensors: fewer } };
    expect(() => fromSavedAdapter("t", cut, loaded, "here")).toThrow(/here: tensors are missing: .*layer\.1/);
    const another = { ...saved, backboneHash: "f".repeat(64) };
    expect(() => fromSavedAdapter("t", another, loaded, "here")).toThrow(/trained on another backbone/);
  });

  test("what we save names our version, and where it came from is known", async () => {
    const loaded = await loadBackbone(bertBase());
    const foreign = await readPeftFolder(join(peft, "bert-seq-cls-none"));
    const { task, structure } = fromSavedAdapter("t", foreign, loaded, "here");
    const path = join(folder, "ours");
    await writeFolderAtomic(path, encodePeftFolder(toSavedAdapter(task, structure, loaded)));
    expect(JSON.parse(await readFile(join(path, "accrete.json"), "utf8"))).toMatchObject({
      schemaVersion: 1,
      accreteVersion: packageVersion(),
      backboneHash: loaded.folder.hash,
    });
    await using predictor = await loadAdapter(path);
    expect(predictor.notes.filter((note) => note.includes("made elsewhere"))).toEqual([]);
  });
});

describe("a learner", () => {
  const method = { rank: 4, alpha: 8, targetModules: ["query", "value"] };

  test("takes in an adapter of peft whose structure is its own", async () => {
    await using learner = await createLearner({
      backbone: bertBase(),
      method,
      feature: { pooling: "pooler" },
    });
    await learner.loadAdapter("foreign", join(peft, "bert-seq-cls-none"));
    expect(learner.tasks).toMatchObject([{ name: "foreign", labels: ["LABEL_0", "LABEL_1", "LABEL_2"] }]);
    const [prediction] = await learner.predict(examples);
    expect(prediction?.task).toBe("foreign");
  });

  test("refuses one on other layers, which its graph would ignore", async () => {
    await using learner = await createLearner({
      backbone: bertBase(),
      method: { ...method, targetModules: ["query"] },
      feature: { pooling: "pooler" },
    });
    await expect(learner.loadAdapter("foreign", join(peft, "bert-seq-cls-none"))).rejects.toThrow(
      /is built otherwise/,
    );
  });
});

describe("accrete inspect", () => {
  test.each([
    ["peft/bert-seq-cls-all", "pooler", "linear", 3],
    ["peft/roberta-seq-cls-none", "cls", "dense", 3],
    ["peft/bert-feature-extraction-none", "cls", null, 0],
    ["roberta/peft-patterns", "cls", null, 0],
  ])("%s", async (name, pooling, head, labels) => {
    const { exitCode, out } = await accrete("inspect", join(goldensFolder, name), "--json");
    expect(exitCode).toBe(0);
    const told = JSON.parse(out);
    expect(told).toMatchObject({ kind: "adapter", pooling, head, backboneHash: "" });
    expect(told.labels).toHaveLength(labels);
    const text = await accrete("inspect", join(goldensFolder, name));
    expect(text.out).toContain("hash unknown");
    expect(text.out.includes("rank-stabilised, other ranks or alphas")).toBe(name.includes("patterns"));
  });
});
