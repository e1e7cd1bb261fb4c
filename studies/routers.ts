/**
 * Routers on frozen MiniLM features: `npx tsx studies/routers.ts [clinc150|banking77 …] [--shared ../shared]
 * [--layers 6,3-4-5-6] [--kinds lda,ranpac] [--threads 1] [--seed 1] [--validation]
 * [--five-shot]`.
 * Fitted to all of train, whatever is chosen is chosen on 15 % of it; with `--validation` it is chosen on validation
 * texts, which the last fit takes in, as in a run. Printed are accuracies on test and on the held-out rows, seconds (of
 * the clock, and of the processor) and bytes.
 * Features of all layers are kept in the system's temporary folder.
 */
import { parseArgs } from "node:util";
import { RouterFitter } from "../src/continual/routers/fit.ts";
import { quantize } from "../src/continual/statistics/fixedRows.ts";
import { ClassStatistics, withRoles } from "../src/continual/statistics/statistics.ts";
import {
  type FeatureConstants,
  type FeatureRows,
  type RouterKind,
  routerKinds,
} from "../src/continual/types.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { contributionsOf, cutLayers, readMaterial } from "./material.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shared: { type: "string", default: "../shared" },
    layers: { type: "string", default: "6,3-4-5-6" },
    kinds: { type: "string", default: "nearest-mean,lda,ranpac" },
    threads: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    validation: { type: "boolean", default: false },
    "five-shot": { type: "boolean", default: false },
  },
});
const threads = Number(flags.threads);
const validationFraction = flags.validation ? 0.1 : 0;

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
