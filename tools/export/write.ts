/**
 * Stores on real models, exported as every kind, with what the stores answer to 200 texts: tools/export/check.sh has other programs
 * answer the same.
 *
 *     npx tsx tools/export/write.ts <folder> [decoder, default ../shared/models/stories260k]
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import type { LabelledExample } from "../../src/data/files/types.ts";
import { exportKinds, exportStore, openStore } from "../../src/index.ts";

const [out = "exported", decoder = "../shared/models/stories260k"] = process.argv.slice(2);
const TEXTS = 200;
const dataSchema = z.looseObject({
  train: z.array(z.tuple([z.string(), z.string()])),
  test: z.array(z.tuple([z.string(), z.string()])),
});

/** CLINC150's texts of a split. */
async function clinc(split: "train" | "test", classes: number, each: number): Promise<LabelledExample[]> {
  const data = dataSchema.parse(JSON.parse(await readFile("../shared/data/clinc150/data_full.json", "utf8")));
  const rows = data[split].map(([text, label]) => ({ text, label }));
  const labels = [...new Set(rows.map(({ label }) => label))].slice(0, classes);
  return labels.flatMap((label) => rows.filter((row) => row.label === label).slice(0, each));
}

interface Made {
  readonly name: string;
  readonly backbone: string;
  readonly settings: object;
  /** Labels by heads, or text by a decoder's own words. */
  readonly speaks: boolean;
}

const training = { epochs: 2, learningRate: 2e-3, headLearningRate: 1e-2, maxLength: 64 };
const minilm = "../shared/models/minilm-l6";
const stores: readonly Made[] = [
  { name: "minilm-mean", backbone: minilm, settings: { feature: { pooling: "mean" } }, speaks: false },
  { name: "minilm-own", backbone: minilm, settings: { head: "own" }, speaks: false },
  { name: "decoder-head", backbone: decoder, settings: {}, speaks: false },
  { name: "decoder-words", backbone: decoder, settings: { head: "none", prompt: "{text}" }, speaks: true },
];

async function make({ name, backbone, settings, speaks }: Made): Promise<void> {
  const folder = join(out, name);
  const train = await clinc("train", 8, speaks ? 10 : 30);
  const asked = (await clinc("test", 150, 30)).filter((_, i) => i % 22 === 0).slice(0, TEXTS);
  const texts = asked.map(({ text }) => text);
  const create = { backbone: resolve(backbone), training, ...settings };
  await using store = await openStore(join(folder, "store"), { create, background: false });
  await store.learn({ name: "task", train });
  const answers = speaks
    ? (await store.generate(texts, { task: "task", maxNewTokens: 5 })).map(({ completion }) => completion)
    : (await store.predict(texts, { task: "task", top: 999 })).map(({ top }) => top);
  const all = speaks ? [] : (await store.predict(texts, { top: 999 })).map(({ top }) => top);
  await writeFile(
    join(folder, "answers.json"),
    JSON.stringify({ backbone: resolve(backbone), texts, answers, all }),
  );
  for (const to of exportKinds) {
    const written = await exportStore(join(folder, "store"), { to, out: join(folder, to) }).catch(
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const said =
      typeof written === "string"
        ? `refused: ${written}`
        : written.files.map((file) => `${file.name} ${file.bytes}`).join(", ");
    console.log(`${name}, ${to}: ${said}`);
  }
}

await mkdir(out, { recursive: true });
for (const made of stores) await make(made);
