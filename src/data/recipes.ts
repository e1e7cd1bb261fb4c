/** Ready streams, read from the files as their authors publish them. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { type Rng, shuffled } from "../core/random.ts";
import { readJsonAs } from "./files/lines.ts";
import { collect, readExamples } from "./files/readers.ts";
import type { LabelledExample, Splits } from "./files/types.ts";
import type { Source } from "./source.ts";
import type { RecipeName } from "./streamSpec.ts";

/** A recipe's files and their reading; `parse` refuses what has another form. */
interface Recipe {
  readonly files: readonly string[];
  read(paths: readonly string[], parse: Parse, rng: Rng): Promise<Omit<Source, "files" | "overlap">>;
}

type Parse = <T>(path: string | undefined, schema: z.ZodType<T>) => Promise<T>;

const clincTexts = z.array(z.tuple([z.string(), z.string()]).transform(([text]) => ({ text })));
const clincRows = z.array(
  z.tuple([z.string(), z.string().min(1)]).transform(([text, label]): LabelledExample => ({ text, label })),
);
const clincSchema = z.object({
  train: clincRows,
  val: clincRows,
  test: clincRows,
  oos_val: clincTexts,
  oos_test: clincTexts,
});

/** CLINC150 (Larson et al. 2019). `oos_train` is left out: nothing is trained on out-of-scope texts. */
const clinc150: Recipe = {
  files: ["data_full.json"],
  read: async ([path], parse) => {
    const { train, val, test, oos_val, oos_test } = await parse(path, clincSchema);
    return { train, validation: val, test, outOfScope: { validation: oos_val, test: oos_test }, tasks: 15 };
  },
};

/** Banking77 (Casanueva et al. 2020). It has no validation file: the stream splits one off train. */
const banking77: Recipe = {
  files: ["train.csv", "test.csv"],
  read: async (paths) => {
    const [train = [], test = []] = await Promise.all(paths.map((path) => collect(readExamples(path))));
    return { train, test, tasks: 7 };
  },
};

/** An entity: its name, its Wikidata id, and its mentions, each a list of token indices. */
const entitySchema = z.tuple([z.string(), z.string(), z.array(z.array(z.int().min(0)).min(1)).min(1)]);
export const fewRelSchema = z.record(
  z.string(),
  z.array(z.object({ tokens: z.array(z.string()).min(1), h: entitySchema, t: entitySchema })),
);
export type FewRelInstance = z.infer<typeof fewRelSchema>[string][number];
export const relationNamesSchema = z.record(z.string(), z.tuple([z.string().min(1)]).rest(z.string()));

/**
 * The sentence, tokens joined by spaces, with the first mention of head and tail marked as the benchmark code's
 * FewRel texts have them: `… [E11] head [E12] … [E21] tail [E22] …`.
 */
export function markEntities({ tokens, h, t }: FewRelInstance): string {
  const [head, tail] = [h[2][0]!, t[2][0]!];
  const marked = tokens.flatMap((token, i) => [
    ...(i === Math.min(...head) ? ["[E11]"] : []),
    ...(i === Math.min(...tail) ? ["[E21]"] : []),
    token,
    ...(i === Math.max(...tail) ? ["[E22]"] : []),
    ...(i === Math.max(...head) ? ["[E12]"] : []),
  ]);
  return marked.join(" ");
}

/**
 * The sentences of each relation, split by chance into three, one and one fifths. A label is the relation's name.
 * @param nameOf throws where an id has no name
 */
export function splitRelations(
  relations: Iterable<readonly [id: string, instances: readonly FewRelInstance[]]>,
  nameOf: (id: string) => string,
  rng: Rng,
): Splits<LabelledExample> {
  const train: LabelledExample[] = [];
  const validation: LabelledExample[] = [];
  const test: LabelledExample[] = [];
  for (const [id, instances] of relations) {
    const label = nameOf(id);
    const examples = instances.map((instance) => ({ text: markEntities(instance), label }));
    const order = shuffled(examples, rng.fork(id));
    const fifth = Math.floor(order.length / 5);
    const trained = order.length - 2 * fifth;
    train.push(...order.slice(0, trained));
    validation.push(...order.slice(trained, trained + fifth));
    test.push(...order.slice(trained + fifth));
  }
  return { train, validation, test };
}

/** FewRel's public validation part (Han et al. 2018): 16 relations of 700 sentences (420, 140, 140). */
const fewrel: Recipe = {
  files: ["val_wiki.json", "pid2name.json"],
  read: async ([relationsPath, namesPath], parse, rng) => {
    const relations = await parse(relationsPath, fewRelSchema);
    const names = await parse(namesPath, relationNamesSchema);
    const nameOf = (id: string): string => {
      const name = names[id]?.[0];
      if (name === undefined)
        throw new DataError(`recipe fewrel: ${namesPath} has no name for relation ${id}`);
      return name;
    };
    return { ...splitRelations(Object.entries(relations), nameOf, rng), tasks: 8 };
  },
};

const recipes: Readonly<Record<RecipeName, Recipe>> = { clinc150, banking77, fewrel };

export async function readRecipe(name: RecipeName, folder: string, rng: Rng): Promise<Source> {
  const { files: names, read } = recipes[name];
  const files = names.map((file) => join(folder, file));
  for (const path of files) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true)
      throw new DataError(`recipe ${name}: ${path} does not exist`, {
        hint: `stream.path must be a folder that holds ${names.join(" and ")}.`,
      });
  }
  const hint = "The file is not as its authors published it.";
  const parse: Parse = (path = "", schema) => readJsonAs(schema, path, hint, `recipe ${name}: ${path}`);
  return { ...(await read(files, parse, rng)), files, overlap: "drop" };
}
