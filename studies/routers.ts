/**
 * Routers on frozen MiniLM features: `npx tsx studies/routers.ts [clinc150|banking77 …] [--shared ../shared]
 * [--layers 6,3-4-5-6] [--kinds lda,ranpac] [--threads 1] [--seed 1] [--validation] [--out-of-scope]
 * [--unknown-classes] [--five-shot]`.
 * Fitted to all of train, whatever is chosen is chosen on 15 % of it; with `--validation` it is chosen on validation
 * texts, which the last fit takes in, as in a run. Printed are accuracies on test and on the held-out rows, seconds (of
 * the clock, and of the processor) and bytes.
 * Features of all layers are kept in the system's temporary folder.
 */
import { parseArgs } from "node:util";
import { scoreRows } from "../src/continual/rejection/detectorModel.ts";
import { Detectors } from "../src/continual/rejection/detectors.ts";
import { auroc, falsePositiveRateAt95 } from "../src/continual/rejection/rejection.ts";
import { RouterFitter } from "../src/continual/routers/fit.ts";
import { readOut } from "../src/continual/routers/routerModel.ts";
import { type FeatureMap, FeatureMapper, featureMapKey } from "../src/continual/statistics/featureMaps.ts";
import { quantize } from "../src/continual/statistics/fixedRows.ts";
import { ClassStatistics, type Contribution, withRoles } from "../src/continual/statistics/statistics.ts";
import {
  type FeatureConstants,
  type FeatureRows,
  type FixedRows,
  type RouterKind,
  routerKinds,
} from "../src/continual/types.ts";
import { Algebra, type Matrix } from "../src/linalg/algebra.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { contributionsOf, cutLayers, type Part, readMaterial } from "./material.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shared: { type: "string", default: "../shared" },
    layers: { type: "string", default: "6,3-4-5-6" },
    kinds: { type: "string", default: "nearest-mean,lda,ranpac" },
    threads: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    validation: { type: "boolean", default: false },
    "out-of-scope": { type: "boolean", default: false },
    "unknown-classes": { type: "boolean", default: false },
    "five-shot": { type: "boolean", default: false },
  },
});
const threads = Number(flags.threads);
const validationFraction = flags.validation || flags["unknown-classes"] ? 0.1 : 0;

function accuracy(values: Float64Array, classes: readonly string[], labels: readonly string[]): number {
  let right = 0;
  for (const [row, label] of labels.entries()) {
    const own = values.subarray(row * classes.length, (row + 1) * classes.length);
    if (classes[own.indexOf(Math.max(...own))] === label) right += 1;
  }
  return right / labels.length;
}

const percent = (fraction: number | null) => (fraction === null ? "–" : (100 * fraction).toFixed(2));

/** Seconds of the clock and of the processor, which a busy machine does not stretch as much. */
async function timed<T>(work: () => Promise<T>): Promise<[T, string]> {
  const [begun, used] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(used);
  const wall = (performance.now() - begun) / 1000;
  return [result, `${wall.toFixed(3)} s (processor ${((user + system) / 1e6).toFixed(3)})`];
}

function takeFeatures({ width, values }: FeatureRows, rows: readonly number[]): FeatureRows {
  const taken = rows.flatMap((row) => [...values.subarray(row * width, (row + 1) * width)]);
  return { rows: rows.length, width, values: Float32Array.from(taken) };
}

/** A router of all classes but one, then that one with five rows added; the second time, for the first warms up. */
async function measureFiveShot(
  kind: RouterKind,
  statistics: ClassStatistics,
  train: FeatureRows,
  names: readonly string[],
) {
  await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
  const [first, second] = statistics.labels;
  if (first === undefined || second === undefined) return;
  const before = statistics.without(first).without(second);
  await fitter.fit(before, { kind, seed: 1 });
  const rowsOf = (label: string) => names.flatMap((name, row) => (name === label ? [row] : [])).slice(0, 5);
  const five = (label: string) => ({ label, rows: quantize(takeFeatures(train, rowsOf(label))) });
  const warm = before.with([five(second)]);
  await fitter.fit(warm, { kind, seed: 1 });
  const [, took] = await timed(() => fitter.fit(warm.with([five(first)]), { kind, seed: 1 }));
  console.log(`  a class of five rows into ${kind} of ${warm.labels.length}: ${took}`);
}

async function measureOutOfScope(statistics: ClassStatistics, cut: (part: Part) => FeatureRows) {
  await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
  const [detector, took] = await timed(() => new Detectors(fitter).fit(statistics));
  const pairs = [
    ["validation", "oosValidation"],
    ["test", "oosTest"],
  ] as const;
  // Validation texts that were fitted to say nothing of the detector.
  for (const [inside, outside] of pairs.slice(flags.validation ? 1 : 0)) {
    const [known, unknown] = [await detector.score(cut(inside)), await detector.score(cut(outside))];
    const rejected = known.filter((score) => score > detector.threshold).length / known.length;
    console.log(
      `  out of scope, ${inside}: AUROC ${auroc(known, unknown).toFixed(4)}, FPR@95 ${percent(falsePositiveRateAt95(known, unknown))}, known rejected at the threshold ${percent(rejected)}; fit ${took}`,
    );
  }
}
/** Scores in standard deviations of those of known texts. */
interface Scores {
  readonly known: readonly number[];
  readonly unknown: readonly number[];
}

function standardScores(known: readonly number[], unknown: readonly number[]): Scores {
  const mean = known.reduce((sum, score) => sum + score, 0) / known.length;
  const deviation = Math.sqrt(known.reduce((sum, score) => sum + (score - mean) ** 2, 0) / known.length);
  const standard = (scores: readonly number[]) => scores.map((score) => (score - mean) / deviation);
  return { known: standard(known), unknown: standard(unknown) };
}

function addScores(a: Scores, b: Scores): Scores {
  const add = (one: readonly number[], other: readonly number[]) => one.map((score, i) => score + other[i]!);
  return { known: add(a.known, b.known), unknown: add(a.unknown, b.unknown) };
}

/** −T·log Σ exp(z/T) of each row (Liu et al. 2020); with T towards 0 the largest logit, less. */
function energiesOf({ rows, columns, values }: Matrix, temperature: number): number[] {
  return Array.from({ length: rows }, (_, row) => {
    const own = values.subarray(row * columns, (row + 1) * columns);
    const largest = Math.max(...own);
    const sum = own.reduce((total, value) => total + Math.exp((value - largest) / temperature), 0);
    return -(largest + temperature * Math.log(sum));
  });
}

/**
 * Every seventh class taken for unknown: its validation texts are to be told from those of the others, by what a detector
 * sums, by each part alone, and by energies in the place of largest logits.
 */
async function measureUnknownClasses(
  constants: FeatureConstants,
  train: readonly Contribution[],
  validation: readonly Contribution[],
) {
  await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
  await using algebra = new Algebra((graph) => nodeRuntime.compile(graph, { threads }));
  const names = train.map(({ label }) => label).sort();
  const unknown = new Set(names.filter((_, i) => i % 7 === 3));
  const { model } = await new Detectors(fitter).fit(
    ClassStatistics.empty(constants).with(train.filter(({ label }) => !unknown.has(label))),
  );
  const expanders = new Map<string, FeatureMapper>();
  const expander = (expansion: FeatureMap): FeatureMapper => {
    const held = expanders.get(featureMapKey(expansion)) ?? new FeatureMapper(expansion, constants);
    expanders.set(featureMapKey(expansion), held);
    return held;
  };
  const parts = [true, false].map((outside) =>
    validation.filter(({ label }) => unknown.has(label) === outside).map(({ rows }) => rows),
  );
  const scoresBy = async (score: (rows: FixedRows) => Promise<Iterable<number>>): Promise<Scores> => {
    const [outside = [], inside = []] = await Promise.all(
      parts.map(async (all) => {
        const scores: number[] = [];
        for (const rows of all) scores.push(...(await score(rows)));
        return scores;
      }),
    );
    return standardScores(inside, outside);
  };
  const say = (what: string, scores: Scores) =>
    console.log(
      `    ${what}: AUROC ${auroc(scores.known, scores.unknown).toFixed(4)}, FPR@95 ${percent(falsePositiveRateAt95(scores.known, scores.unknown))}`,
    );
  console.log(`  ${unknown.size} of ${names.length} classes unknown, validation texts`);
  const [near, far] = model.evidence;
  const byDistance = { ...model, evidence: near === undefined ? [] : [near] };
  const distances = await scoresBy((rows) => scoreRows({ algebra, expander }, byDistance, rows));
  say("distances", distances);
  if (far?.type !== "logits") return;
  const logitsOf = async (rows: FixedRows) => {
    const expanded = await expander(far.expansion).expand(algebra, rows);
    return readOut(algebra, { ...expanded, values: Float64Array.from(expanded.values) }, far.readout);
  };
  for (const temperature of [1e-6, 0.3, 1]) {
    const energies = await scoresBy(async (rows) => energiesOf(await logitsOf(rows), temperature));
    say(`energy at T ${temperature}`, energies);
    say(`energy at T ${temperature} and distances`, addScores(energies, distances));
  }
}

const isKind = (name: string): name is RouterKind => routerKinds.some((kind) => kind === name);

for (const recipe of positionals.length > 0 ? positionals : ["clinc150", "banking77"]) {
  const material = await readMaterial(recipe, { shared: flags.shared, threads, validationFraction });
  const { features, labels } = material;
  for (const chosen of flags.layers.split(",")) {
    const layers = chosen.split("-").map(Number);
    const train = cutLayers(features.train, layers, material.layers);
    const test = cutLayers(features.test, layers, material.layers);
    const constants: FeatureConstants = {
      backbone: "minilm-l6",
      layers,
      width: train.width,
      seed: Number(flags.seed),
    };
    const rows = contributionsOf(train, labels.train);
    const held = contributionsOf(cutLayers(features.validation, layers, material.layers), labels.validation);
    const judging = flags.validation ? held : [];
    const statistics = ClassStatistics.empty(constants).with(withRoles(rows, judging));
    const kinds = flags.kinds.split(",").filter(isKind);
    if (flags["five-shot"])
      for (const kind of kinds) await measureFiveShot(kind, statistics, train, labels.train);
    if (flags["unknown-classes"]) await measureUnknownClasses(constants, rows, held);
    if (flags["out-of-scope"] && features.oosTest.rows > 0)
      await measureOutOfScope(statistics, (part) => cutLayers(features[part], layers, material.layers));
    for (const kind of flags["five-shot"] ? [] : kinds) {
      await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
      const [router, fitTime] = await timed(() => fitter.fit(statistics, { kind, seed: Number(flags.seed) }));
      const [{ values }, askTime] = await timed(() => router.posterior(test));
      const settings = Object.entries(router.choice.settings).map(
        ([name, value]) => `${name} ${value.toPrecision(3)}`,
      );
      console.log(
        `${recipe} layers ${chosen} ${kind}: test ${percent(accuracy(values, router.labels, labels.test))} held-out ${percent(router.choice.heldOutAccuracy)} of ${router.choice.heldOutRows}; fit ${fitTime}, ${labels.test.length} texts ${askTime}, ${(router.retainedBytes / 1e6).toFixed(1)} MB; ${settings.join(", ")}`,
      );
    }
  }
}
