import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createLearner } from "../../src/index.ts";
import { temporaryFolder } from "../support/folders.ts";
import { writeTinyModel } from "../support/tinyModels.ts";

const rows = (label: string, ...texts: readonly string[]) => texts.map((text) => ({ text, label }));
const train = [...rows("a", "one two", "two one", "one one"), ...rows("b", "six ten", "ten six", "ten ten")];

/** Vectors of two texts by a learner on a tiny model, with a file of sentence-transformers beside it or without. */
async function vectorsOf(files: Readonly<Record<string, object>>, settings: object = {}) {
  const folder = join(await temporaryFolder(), "model");
  await writeTinyModel(folder);
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, name), JSON.stringify(content));
  await using learner = await createLearner({
    backbone: folder,
    training: { epochs: 1 },
    seed: 1,
    threads: 1,
    ...settings,
  });
  await learner.learn({ name: "task", train });
  const vectors = await learner.embed(["one two six", "ten"]);
  return vectors.map((vector) => Array.from(vector));
}

it("the default prompt of sentence-transformers is put before every text, unless a prompt is asked for", async () => {
  const file = {
    "config_sentence_transformers.json": { prompts: { query: "six " }, default_prompt_name: "query" },
  };
  const [plain, prompted, byFile, overruled] = [
    await vectorsOf({}),
    await vectorsOf({}, { prompt: "six {text}" }),
    await vectorsOf(file),
    await vectorsOf(file, { prompt: "{text}" }),
  ];
  expect(byFile).toEqual(prompted);
  expect(byFile).not.toEqual(plain);
  expect(overruled).toEqual(plain);
});
