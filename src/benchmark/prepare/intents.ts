/** Sets of intents: CLINC150 and Banking77. */
import { z } from "zod";
import type { Rng } from "../../core/random.ts";
import type { LabelledExample } from "../../data/files/types.ts";
import { readRecipe } from "../../data/recipes.ts";
import type { Source } from "../../data/source.ts";
import type { SentenceSource } from "./catalogue.ts";
import { findFile, misshapen, parseJsonFile, type RawFolder, requireFile } from "./rawFolder.ts";

/** `card_arrival` → `card arrival`: labels as the benchmark's files have them, where they are text to be generated. */
function labelText(label: string): string {
  return label.replaceAll("_", " ");
}

function nameLabels({ train, validation, test, ...source }: Source): Source {
  const named = (examples: readonly LabelledExample[]) =>
    examples.map((example) => ({ ...example, label: labelText(example.label) }));
  return {
    ...source,
    train: named(train),
    ...(validation !== undefined && { validation: named(validation) }),
    test: named(test),
  };
}

const orderSchema = z.record(z.string(), z.int().min(0));

/**
 * CLINC150 (Larson et al. 2019): `data_full.json`. The benchmark's own download has a `label_dict.json` beside it,
 * label → number, which then orders the classes; else they stand as they first appear in train.
 */
export async function readClinc150(raw: RawFolder, rng: Rng): Promise<SentenceSource> {
  await requireFile(raw, "data_full.json");
  const source = await readRecipe("clinc150", raw.path, rng);
  const order = await findFile(raw, "label_dict.json");
  if (order === undefined) return { source: nameLabels(source) };
  const numbers = Object.entries(await parseJsonFile(raw, order, orderSchema));
  const classOrder = numbers.sort((a, b) => a[1] - b[1]).map(([name]) => labelText(name));
  return { source: nameLabels(source), classOrder };
}

/**
 * Banking77 (Casanueva et al. 2020): `train.csv`, `test.csv`, and `categories.json`, whose order the classes take.
 * It has no validation part, so one is split from train.
 */
export async function readBanking77(raw: RawFolder, rng: Rng): Promise<SentenceSource> {
  for (const name of ["train.csv", "test.csv"]) await requireFile(raw, name);
  const path = await requireFile(raw, "categories.json");
  const categories = await parseJsonFile(raw, path, z.array(z.string().min(1)).min(2));
  if (new Set(categories).size < categories.length) throw misshapen(raw, path, "names a category twice");
  const source = nameLabels(await readRecipe("banking77", raw.path, rng));
  return { source, classOrder: categories.map(labelText) };
}
