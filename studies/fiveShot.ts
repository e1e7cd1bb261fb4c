/**
 * What a class of five texts reaches in a store of CLINC150 whose other classes have all of theirs:
 * `npx tsx studies/fiveShot.ts [--shared ../shared] [--kinds lda,ranpac] [--classes 10] [--shots 5] [--together]
 * [--threads 1] [--seed 1]`. The store learns all 150 classes through the library, statistics alone, and lies in the
 * system's temporary folder. For each class drawn: the store as it is without the class, which is what it would be had it
 * never seen it, and with five of the class's train texts. With `--together` all of the classes drawn at once. Printed are
 * means over the classes (and the lowest and highest): the share of the class's test texts that are taken for it, the
 * share of texts taken for it that are its own, and the accuracy on all other classes' test texts before and after. For
 * one class the store itself forgets, learns and answers: whether it says the same is printed.
 */
import { cp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { AdaptedBackbone } from "../src/continual/passes/adaptedBackbone.ts";
import { RouterFitter } from "../src/continual/routers/fit.ts";
import { contributionsOf } from "../src/continual/statistics/classRows.ts";
import { FIXED_SCALE, takeRows } from "../src/continual/statistics/fixedRows.ts";
import { ClassStatistics } from "../src/continual/statistics/statistics.ts";
import { type FeatureRows, type FixedRows, type RouterKind, routerKinds } from "../src/continual/types.ts";
import { StoreError } from "../src/core/errors.ts";
import { createRng, shuffled } from "../src/core/random.ts";
import type { LabelledExample } from "../src/data/files/types.ts";
import { loadStream } from "../src/data/stream.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { readModelSettings } from "../src/model/settings/settings.ts";
import { resolveStructure } from "../src/model/settings/structure.ts";
import { readContributions } from "../src/model/taskFiles.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { openStore } from "../src/store/store.ts";
import { foldersOf } from "../src/workspace/manifest.ts";
import { readStore } from "../src/workspace/reading.ts";

const { values: flags } = parseArgs({
  options: {
    shared: { type: "string", default: "../shared" },
    kinds: { type: "string", default: "lda,ranpac" },
    classes: { type: "string", default: "10" },
    shots: { type: "string", default: "5" },
    together: { type: "boolean", default: false },
    threads: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
  },
});
const [threads, seed, shots] = [Number(flags.threads), Number(flags.seed), Number(flags.shots)];
const folder = join(tmpdir(), "accrete-bench-five-shot");
const place = join(folder, "store");

async function readTexts() {
  const config = resolveConfig(
    {
      backbone: join(flags.shared, "models/minilm-l6"),
      stream: { recipe: "clinc150", path: join(flags.shared, "data/clinc150"), tasks: 1 },
      out: "unused",
    },
    process.cwd(),
  );
  const stream = await loadStream(config.stream, 1);
  const all = (part: "train" | "test") => stream.tasks.flatMap((task) => task[part]);
  return { backbone: config.backbone, train: all("train"), test: all("test") };
}

function textsOf(examples: readonly LabelledExample[], label: string): string[] {
  return examples.flatMap((each) => (each.label === label ? [each.text] : []));
}

function toFeatures({ rows, width, values }: FixedRows): FeatureRows {
  return { rows, width, values: Float32Array.from(values, (value) => value / FIXED_SCALE) };
}

/** What a fit takes the test texts for, by class. */
type Said = ReadonlyMap<string, readonly string[]>;

function shareRight(said: Said, labels: readonly string[]): number {
  const texts = labels.flatMap((label) => (said.get(label) ?? []).map((answer) => answer === label));
  return texts.filter(Boolean).length / texts.length;
}

function precisionOf(said: Said, label: string): number {
  const taken = [...said].flatMap(([own, answers]) =>
    answers.flatMap((answer) => (answer === label ? own === label : [])),
  );
  return taken.length === 0 ? Number.NaN : taken.filter(Boolean).length / taken.length;
}

function spread(values: readonly number[]): string {
  const known = values.filter((value) => !Number.isNaN(value));
  const [mean, low, high] = [
    known.reduce((a, b) => a + b, 0) / known.length,
    Math.min(...known),
    Math.max(...known),
  ];
  const [middle = "", from = "", to = ""] = [mean, low, high].map((value) => (100 * value).toFixed(2));
  return known.length === 1 ? middle : `${middle} (${from}–${to})`;
}

function raise(message: string): never {
  throw new StoreError(message);
}

const { backbone, train, test } = await readTexts();
{
  await using store = await openStore(place, { create: { backbone, threads, router: { kind: "lda" } } });
  if (store.tasks.length === 0) await store.learn({ name: "clinc150", train }, { statisticsOnly: true });
}
const kept = await Promise.all(
  (await readStore(place)).tasks
    .flatMap(foldersOf)
    .map(async ({ folder }) => await readContributions(join(place, folder))),
);
const [{ constants } = raise("the store has no statistics")] = kept;
const full = ClassStatistics.empty(constants).with(kept.flatMap(({ contributions }) => contributions));

const settings = await readModelSettings(place);
const loaded = await loadBackbone(settings.backbone);
await using model = new AdaptedBackbone({
  structure: resolveStructure(settings, loaded),
  tokenizer: loaded.tokenizer,
  runtime: nodeRuntime,
  maxLength: settings.training.maxLength,
  threads,
});
const testRows = await contributionsOf(
  model,
  { layers: constants.layers },
  model.encode(test).encodings,
  test.map(({ label }) => label),
  full.labels,
);

const kinds = routerKinds.filter((kind) => flags.kinds.split(",").includes(kind));
const chosen = shuffled(full.labels, createRng(seed).fork("five-shot")).slice(0, Number(flags.classes));

/** The places of the texts that a class is learned from, among its train texts. */
function drawn(label: string): number[] {
  const places = [...textsOf(train, label).keys()];
  return shuffled(places, createRng(seed).fork("texts", label)).slice(0, shots);
}

async function answersOf(fitter: RouterFitter, kind: RouterKind, statistics: ClassStatistics): Promise<Said> {
  const router = await fitter.fit(statistics, { kind, seed: 1 });
  const said = new Map<string, string[]>();
  for (const { label, rows } of testRows) {
    const { values, classes } = await router.posterior(toFeatures(rows));
    const best = Array.from({ length: rows.rows }, (_, row) => {
      const own = values.subarray(row * classes, (row + 1) * classes);
      return router.labels[own.indexOf(Math.max(...own))] ?? "";
    });
    said.set(label, best);
  }
  return said;
}

/** Statistics without classes, and with a few rows of each. */
function lackOf(labels: readonly string[]) {
  const without = labels.reduce((left, label) => left.without(label), full);
  const few = labels.flatMap((label) =>
    full.contributions
      .filter((own) => own.label === label)
      .map(({ rows }) => ({ label, rows: takeRows(rows, drawn(label)) })),
  );
  return { without, few: without.with(few) };
}

interface Figures {
  readonly recall: number;
  readonly precision: number;
  readonly before: number;
  readonly after: number;
}

async function measure(
  fitter: RouterFitter,
  kind: RouterKind,
  labels: readonly string[],
): Promise<Figures[]> {
  const { without, few } = lackOf(labels);
  const before = await answersOf(fitter, kind, without);
  const after = await answersOf(fitter, kind, few);
  return labels.map((label) => ({
    recall: shareRight(after, [label]),
    precision: precisionOf(after, label),
    before: shareRight(before, without.labels),
    after: shareRight(after, without.labels),
  }));
}

/** Whether the store itself, which forgets a class and learns it from the texts, says the same. */
async function checkStore(fitter: RouterFitter, label: string): Promise<boolean> {
  const copy = join(folder, "copy");
  await rm(copy, { recursive: true, force: true });
  await cp(place, copy, { recursive: true });
  await using store = await openStore(copy);
  await store.forget({ class: label });
  const own = textsOf(train, label);
  await store.learnClass(
    label,
    drawn(label).map((place) => own[place] ?? ""),
  );
  const answers = (await store.predict(textsOf(test, label))).map((answer) => answer.label);
  const expected = (await answersOf(fitter, "lda", lackOf([label]).few)).get(label);
  return JSON.stringify(answers) === JSON.stringify(expected);
}

for (const kind of kinds) {
  const begun = performance.now();
  await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
  const all = await answersOf(fitter, kind, full);
  const figures: Figures[] = [];
  for (const labels of flags.together ? [chosen] : chosen.map((label) => [label]))
    figures.push(...(await measure(fitter, kind, labels)));
  const of = (name: keyof Figures) => spread(figures.map((each) => each[name]));
  const known = full.labels.length - (flags.together ? chosen.length : 1);
  console.log(
    `${kind}, ${known} classes and ${flags.together ? chosen.length : 1} of ${shots} texts, ${chosen.length} classes drawn: recall ${of("recall")}, precision ${of("precision")}, other classes ${of("before")} before, ${of("after")} after; with all texts: recall ${spread(chosen.map((label) => shareRight(all, [label])))}, precision ${spread(chosen.map((label) => precisionOf(all, label)))}; ${((performance.now() - begun) / 1000).toFixed(0)} s`,
  );
  if (kind === "lda" && chosen[0] !== undefined)
    console.log(`the store itself says the same of ${chosen[0]}: ${await checkStore(fitter, chosen[0])}`);
}
