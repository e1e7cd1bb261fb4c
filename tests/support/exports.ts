/** Exported folders, read as other programs read them: by onnxruntime, tokenizer and config.json alone. */
import "../../src/runtime/telemetry.ts";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { z } from "zod";
import type { Prediction } from "../../src/continual/answers.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { softmax } from "../../src/core/softmax.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { loadTokenizer } from "../../src/data/encoding/tokenizerFolder.ts";
import type { LabelledExample } from "../../src/data/files/types.ts";

const configSchema = z.looseObject({ id2label: z.record(z.string(), z.string()) });
const tokenizerConfigSchema = z.looseObject({ model_max_length: z.number() });

export const readJson = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, "utf8"));

/** Classes of a text by their scores. */
export type Scores = ReadonlyMap<string, number>;

/** An exported folder's logits for texts, one batch: rows of (C), at word level of (T·C). */
export async function exportedLogits(folder: string, texts: readonly string[]) {
  const tokenizer = await loadTokenizer(folder);
  const { model_max_length } = tokenizerConfigSchema.parse(
    await readJson(join(folder, "tokenizer_config.json")),
  );
  const encodings = texts.map((text) => tokenizer.encode({ text }, model_max_length));
  const batch = collate(encodings, tokenizer.padId);
  const session = await ort.InferenceSession.create(join(folder, "onnx/model.onnx"));
  const given = {
    input_ids: batch.inputIds,
    attention_mask: batch.attentionMask,
    token_type_ids: batch.tokenTypeIds,
  };
  const feeds = session.inputNames.map((name) => {
    const { data, dims } = Object.entries(given).find(([own]) => own === name)![1];
    return [name, new ort.Tensor("int64", data, dims)] as const;
  });
  const { logits } = await session.run(Object.fromEntries(feeds));
  await session.release();
  const values = logits?.data;
  if (!(values instanceof Float32Array)) throw new TypeError("the model gives no logits");
  const width = values.length / texts.length;
  return {
    dims: logits?.dims ?? [],
    rows: texts.map((_, i) => values.subarray(i * width, (i + 1) * width)),
    encodings,
  };
}

/** The names of an exported folder's classes, in the order of its logits. */
export async function exportedLabels(folder: string): Promise<readonly string[]> {
  const { id2label } = configSchema.parse(await readJson(join(folder, "config.json")));
  return Object.keys(id2label).map((_, i) => id2label[String(i)]!);
}

export async function exportedScores(folder: string, texts: readonly string[]): Promise<readonly Scores[]> {
  const labels = await exportedLabels(folder);
  const { rows } = await exportedLogits(folder, texts);
  return rows.map((row) => new Map([...softmax(row)].map((score, c) => [labels[c]!, score])));
}

/** The largest difference between answers and scores, and how many texts get another label. */
export function compareScores(answers: readonly Prediction[], scores: readonly Scores[]) {
  let [largest, otherwise] = [0, 0];
  answers.forEach(({ label, top }, i) => {
    const own = [...scores[i]!].reduce((best, next) => (next[1] > best[1] ? next : best));
    if (own[0] !== label) otherwise += 1;
    for (const each of top)
      largest = Math.max(largest, Math.abs(each.score - (scores[i]!.get(each.label) ?? Number.NaN)));
  });
  return { largest, otherwise, texts: answers.length };
}

/** The demo's texts of a split, of its first classes. */
export async function demoTexts(split: "train" | "test", classes = 24): Promise<LabelledExample[]> {
  const lines = (await readFile(join(packageRoot, `demo/${split}.jsonl`), "utf8")).trim().split("\n");
  const schema = z.object({ text: z.string(), label: z.string() });
  const all = lines.map((line) => schema.parse(JSON.parse(line)));
  const labels = [...new Set(all.map(({ label }) => label))].sort().slice(0, classes);
  return all.filter(({ label }) => labels.includes(label));
}
