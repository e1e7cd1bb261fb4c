/**
 * FewRel16's sentences as files of entities: what stands at the head and at the tail of a relation is an entity of the type
 * "relation:head" or "relation:tail": `npx tsx studies/relationWords.ts OUT [--shared ../shared] [--train 100]
 * [--validation 30] [--test 40]`. Of each relation so many sentences, shuffled by a fixed seed, so that every run learns from the
 * same ones. Nothing but the head and the tail of the one relation that a sentence was collected for is annotated.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, DataError } from "../src/core/errors.ts";
import { createRng, shuffled } from "../src/core/random.ts";
import { readJsonAs } from "../src/data/files/lines.ts";
import { toCharacterSpans } from "../src/data/files/spans.ts";
import { type FewRelInstance, fewRelSchema, relationNamesSchema } from "../src/data/recipes.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shared: { type: "string", default: "../shared" },
    train: { type: "string", default: "100" },
    validation: { type: "string", default: "30" },
    test: { type: "string", default: "40" },
  },
});
const [out] = positionals;
if (out === undefined)
  throw new ConfigError("no folder to write to", { hint: "npx tsx studies/relationWords.ts OUT" });

/** Every mention of head and tail, by its place in the tokens joined by spaces. */
function toRow({ tokens, h, t }: FewRelInstance, relation: string): string {
  const text = tokens.join(" ");
  const startOf = (token: number) => tokens.slice(0, token).reduce((sum, { length }) => sum + length + 1, 0);
  const mentions = (["head", "tail"] as const).flatMap((role) =>
    (role === "head" ? h : t)[2].map((mention) => {
      const last = Math.max(...mention);
      const end = startOf(last) + (tokens[last] ?? "").length;
      return { type: `${relation}:${role}`, start: startOf(Math.min(...mention)), end };
    }),
  );
  return `${JSON.stringify({ text, entities: toCharacterSpans(text, mentions) })}\n`;
}

const folder = join(flags.shared, "data/fewrel16");
const hint = "The file is not as its authors published it.";
const relations = await readJsonAs(fewRelSchema, join(folder, "val_wiki.json"), hint);
const names = await readJsonAs(relationNamesSchema, join(folder, "pid2name.json"), hint);
const parts = { train: Number(flags.train), validation: Number(flags.validation), test: Number(flags.test) };
const rows: Record<keyof typeof parts, string[]> = { train: [], validation: [], test: [] };
for (const [id, instances] of Object.entries(relations)) {
  const relation = names[id]?.[0];
  if (relation === undefined) throw new DataError(`${folder}: no name for relation ${id}`);
  const order = shuffled(instances, createRng(1).fork(id)).map((instance) => toRow(instance, relation));
  let from = 0;
  for (const part of ["train", "validation", "test"] as const) {
    rows[part].push(...order.slice(from, from + parts[part]));
    from += parts[part];
  }
}
await mkdir(out, { recursive: true });
for (const [part, lines] of Object.entries(rows)) {
  await writeFile(join(out, `${part}.jsonl`), lines.join(""));
  console.log(`${join(out, `${part}.jsonl`)}: ${lines.length} sentences`);
}
