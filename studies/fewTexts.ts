/**
 * The first tasks of CLINC150 with a few texts a class, as files: `npx tsx studies/fewTexts.ts OUT [--shared ../shared]
 * [--tasks 10] [--train 48] [--validation 4] [--test 2]`. For models that take long to train. The tasks are those of
 * configs/clinc150.yaml with seed 1, their classes in that order; the texts of each class are its first ones.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { ConfigError } from "../src/core/errors.ts";
import { loadStream } from "../src/data/stream.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shared: { type: "string", default: "../shared" },
    tasks: { type: "string", default: "10" },
    train: { type: "string", default: "48" },
    validation: { type: "string", default: "4" },
    test: { type: "string", default: "2" },
  },
});
const [out] = positionals;
if (out === undefined)
  throw new ConfigError("no folder to write to", { hint: "npx tsx studies/fewTexts.ts OUT" });

const clinc = { recipe: "clinc150", path: join(flags.shared, "data/clinc150"), tasks: 15 };
const config = resolveConfig(
  { backbone: "unused", stream: { ...clinc, classOrder: "shuffled" }, seed: 1, out: "unused" },
  process.cwd(),
);
const { tasks } = await loadStream(config.stream, config.seed);
await mkdir(out, { recursive: true });
for (const part of ["train", "validation", "test"] as const) {
  const rows = tasks.slice(0, Number(flags.tasks)).flatMap((task) =>
    task.labels.flatMap((label) =>
      task[part]
        .filter((example) => example.label === label)
        .slice(0, Number(flags[part]))
        .map(({ text }) => `${JSON.stringify({ text, label })}\n`),
    ),
  );
  await writeFile(join(out, `${part}.jsonl`), rows.join(""));
  console.log(`${join(out, `${part}.jsonl`)}: ${rows.length} texts`);
}
