/** Sets of relations between two entities of a sentence: FewRel and TACRED. */
import { z } from "zod";
import type { Rng } from "../../core/random.ts";
import type { LabelledExample } from "../../data/files/types.ts";
import {
  type FewRelInstance,
  fewRelSchema,
  markEntities,
  relationNamesSchema,
  splitRelations,
} from "../../data/recipes.ts";
import type { SentenceSource } from "./catalogue.ts";
import { findFile, misshapen, parseJsonFile, type RawFolder, readSplits, requireFile } from "./rawFolder.ts";

/**
 * FewRel (Han et al. 2018): `val_wiki.json` (16 relations), `pid2name.json`, and `train_wiki.json` (64 more) where it
 * is there. Its test relations are not public, so each relation's 700 sentences are split 420, 140, 140 by seed.
 */
export async function readFewRel(raw: RawFolder, rng: Rng): Promise<SentenceSource> {
  const trainFile = await findFile(raw, "train_wiki.json");
  const files = [...(trainFile === undefined ? [] : [trainFile]), await requireFile(raw, "val_wiki.json")];
  const namesFile = await requireFile(raw, "pid2name.json");
  const names = await parseJsonFile(raw, namesFile, relationNamesSchema);
  const relations = new Map<string, FewRelInstance[]>();
  for (const path of files)
    for (const [id, instances] of Object.entries(await parseJsonFile(raw, path, fewRelSchema)))
      relations.set(id, [...(relations.get(id) ?? []), ...instances]);
  const nameOf = (id: string): string => {
    const name = names[id]?.[0];
    if (name === undefined) throw misshapen(raw, namesFile, `has no name for relation ${id}`);
    return name;
  };
  const source = {
    ...splitRelations(relations, nameOf, rng),
    files: [...files, namesFile],
    overlap: "drop",
  } as const;
  const notes =
    trainFile === undefined
      ? [`There is no train_wiki.json: these are the ${relations.size} relations of val_wiki.json alone.`]
      : [];
  return { source, notes };
}

const index = z.int().min(0);
const tacredSchema = z.array(
  z.looseObject({
    relation: z.string().min(1),
    token: z.array(z.string()).min(1),
    /** First and last token, the last one included. */
    subj_start: index,
    subj_end: index,
    obj_start: index,
    obj_end: index,
  }),
);
type TacredInstance = z.infer<typeof tacredSchema>[number];

const owners: Readonly<Record<string, string>> = { org: "organization", per: "person" };

/** `per:stateorprovince_of_birth` → `person related: state or province of birth`. */
export function tacredLabel(relation: string): string {
  const at = relation.indexOf(":");
  const owner = owners[relation.slice(0, at)];
  const words = relation
    .slice(at + 1)
    .replaceAll("_", " ")
    .replace("stateorprovince", "state or province")
    .replace("cities", "city");
  return owner === undefined ? relation.replaceAll("_", " ") : `${owner} related: ${words}`;
}

/** Subject first in numbering, as FewRel's head; ends are included in the file, so a span is a list of its tokens. */
function tacredText(row: TacredInstance): string {
  const span = (from: number, to: number) =>
    Array.from({ length: Math.max(1, to - from + 1) }, (_, i) => from + i);
  return markEntities({
    tokens: row.token,
    h: ["", "", [span(row.subj_start, row.subj_end)]],
    t: ["", "", [span(row.obj_start, row.obj_end)]],
  });
}

/** `no_relation` is no class; the other one is too rare to be learned (the benchmark has 40 classes for 41 relations). */
const leftOut = new Set(["no_relation", "per:country_of_death"]);

/** TACRED (Zhang et al. 2017; LDC2018T24): `train.json`, `dev.json`, `test.json`, here or in `data/json`. */
export async function readTacred(raw: RawFolder): Promise<SentenceSource> {
  const files: string[] = [];
  let dropped = 0;
  const splits = await readSplits(async (split): Promise<LabelledExample[]> => {
    const file = split === "validation" ? "dev.json" : `${split}.json`;
    const path = await requireFile(raw, file, `data/json/${file}`);
    files.push(path);
    const rows = await parseJsonFile(raw, path, tacredSchema);
    const kept = rows.filter(({ relation }) => !leftOut.has(relation));
    dropped += rows.length - kept.length;
    return kept.map((row, i) => {
      if (Math.max(row.subj_end, row.obj_end) >= row.token.length)
        throw misshapen(raw, path, `row ${i}: an entity ends behind the last token`);
      return { text: tacredText(row), label: tacredLabel(row.relation) };
    });
  });
  return {
    source: { ...splits, files, overlap: "drop" },
    notes: [`Left out ${dropped.toLocaleString("en")} rows of ${[...leftOut].join(" and ")}.`],
  };
}
