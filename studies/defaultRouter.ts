/**
 * A kind of router on every data set at once: `npx tsx studies/defaultRouter.ts [clinc150|banking77|demo-mini|demo-minilm|fewrel16 …]
 * [--shared ../shared] [--kinds kernel-discriminant,stacking] [--seeds 1,2,3] [--on test|validation] [--few-shot 10]
 * [--shots 5] [--outside] [--threads 1] [--precision int8]`.
 * Fitted to train and validation rows as a run fits, all classes at once. Printed are, on test: accuracy, expected calibration error
 * and the 95th percentile of what chance alone gives, coverage and mean size of sets at 0.90 and 0.95, AUROC of `unknown` where there
 * are texts out of scope, seconds of processor time and peak memory. With `--on validation` nothing is fitted to validation rows and test is not
 * read: that is what settings are chosen by. With `--few-shot n` n classes keep so many rows as `--shots` says, once a seed, and the
 * rest all: recall of those classes' texts, and accuracy of the others before and after.
 */
import { parseArgs } from "node:util";
import {
  calibrationErrorByChance,
  expectedCalibrationError,
} from "../src/continual/metrics/calibrationError.ts";
import { type FittedRouter, RouterFitter } from "../src/continual/routers/fit.ts";
import { auroc } from "../src/continual/routers/scores/outOfScope.ts";
import { quantize, takeRows } from "../src/continual/statistics/fixedRows.ts";
import {
  ClassStatistics,
  type Contribution,
  OUTSIDE_LABEL,
  withRoles,
} from "../src/continual/statistics/statistics.ts";
import { type FeatureRows, type RouterKind, routerKinds } from "../src/continual/types.ts";
import { createRng, shuffled } from "../src/core/random.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { defaultRoutingLayers } from "../src/train/routingGraph.ts";
import {
  constantsOf,
  contributionsOf,
  cutLayers,
  type Material,
  type Part,
  readMaterial,
} from "./material.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shared: { type: "string", default: "../shared" },
    kinds: { type: "string", default: "kernel-discriminant,stacking" },
    seeds: { type: "string", default: "1" },
    on: { type: "string", default: "test" },
    "few-shot": { type: "string", default: "0" },
    shots: { type: "string", default: "5" },
    outside: { type: "boolean", default: false },
    threads: { type: "string", default: "1" },
    precision: { type: "string", default: "fp32" },
  },
});
const threads = Number(flags.threads);
const judged: Part = flags.on === "validation" ? "validation" : "test";
const kinds = routerKinds.filter((kind) => flags.kinds.split(",").includes(kind));
const percent = (fraction: number) => (100 * fraction).toFixed(2);

interface Answered {
  readonly labels: readonly string[];
  readonly scores: Float64Array;
  readonly columns: Int32Array;
  readonly assessed: Awaited<ReturnType<FittedRouter["assess"]>>;
}

async function ask(router: FittedRouter, features: FeatureRows, coverage?: number): Promise<Answered> {
  const assessed = await router.assess(features, { coverage });
  const { values, classes, rows } = assessed.posterior;
  const columns = Int32Array.from({ length: rows }, (_, row) => {
    const own = values.subarray(row * classes, (row + 1) * classes);
    return own.indexOf(Math.max(...own));
  });
  return {
    labels: Array.from(columns, (column) => router.labels[column] ?? ""),
    scores: Float64Array.from(columns, (column, row) =>
      Math.min(1, Math.exp(values[row * classes + column]!)),
    ),
    columns,
    assessed,
  };
}

function shareOf(right: readonly boolean[]): number {
  return right.filter(Boolean).length / right.length;
}

/** Sets of labels, by what coverage was asked for. */
async function saySets(
  router: FittedRouter,
  features: FeatureRows,
  gold: readonly string[],
): Promise<string> {
  const said: string[] = [];
  for (const coverage of [0.9, 0.95]) {
    const { sets } = (await ask(router, features, coverage)).assessed;
    if (sets === undefined) return "no sets";
    const covered = sets.map(({ columns }, row) => columns.some((c) => router.labels[c] === gold[row]));
    const size = sets.reduce((sum, { columns }) => sum + columns.length, 0) / sets.length;
    const empty = sets.filter(({ columns }) => columns.length === 0).length / sets.length;
    said.push(
      `${coverage}: ${percent(shareOf(covered))}, ${size.toFixed(2)} labels, ${percent(empty)} empty`,
    );
  }
  return `sets ${said.join("; ")}`;
}

async function measure(material: Material, statistics: ClassStatistics, kind: RouterKind, seed: number) {
  const layers = statistics.constants.layers;
  const cut = (part: Part) => cutLayers(material.features[part], layers, material.layers);
  await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
  const used = process.cpuUsage();
  const router = await fitter.fit(statistics, { kind, seed });
  const { user, system } = process.cpuUsage(used);
  const features = cut(judged);
  const gold = material.labels[judged];
  const asked = process.cpuUsage();
  const { labels, scores, assessed } = await ask(router, features);
  const answering = process.cpuUsage(asked);
  const correct = labels.map((label, row) => label === gold[row]);
  const chance = calibrationErrorByChance(scores, createRng(1));
  const outside = judged === "test" ? cut("oosTest") : undefined;
  const unknown = outside && outside.rows > 0 ? (await router.assess(outside)).unknown : undefined;
  const settings = Object.entries(router.choice.settings).map(
    ([name, value]) => `${name} ${value.toPrecision(3)}`,
  );
  console.log(
    [
      `  ${kind} seed ${seed}: accuracy ${percent(shareOf(correct))}`,
      `calibration error ${expectedCalibrationError(scores, correct).toFixed(4)} (chance ${chance.toFixed(4)})`,
      await saySets(router, features, gold),
      ...(unknown ? [`AUROC ${auroc(assessed.unknown, unknown).toFixed(4)}`] : []),
      `mean unknown ${percent(assessed.unknown.reduce((a, b) => a + b, 0) / assessed.unknown.length)}${unknown ? ` and ${percent(unknown.reduce((a, b) => a + b, 0) / unknown.length)} out of scope` : ""}`,
      `fit ${((user + system) / 1e6).toFixed(1)} s`,
      `${((answering.user + answering.system) / 1e3 / gold.length).toFixed(2)} ms a text`,
      `peak ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`,
      settings.join(", "),
    ].join("; "),
  );
}

async function measureFewShot(
  material: Material,
  statistics: ClassStatistics,
  kind: RouterKind,
  seed: number,
) {
  const shots = Number(flags.shots);
  const layers = statistics.constants.layers;
  await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
  const rng = createRng(seed).fork("few-shot");
  const few = new Set(shuffled(statistics.labels, rng).slice(0, Number(flags["few-shot"])));
  const without = [...few].reduce((left, label) => left.without(label), statistics);
  const added: Contribution[] = [...few].map((label) => {
    const own = contributionsOf(
      cutLayers(material.features.train, layers, material.layers),
      material.labels.train,
    );
    const { rows } = own.find((each) => each.label === label) ?? own[0]!;
    const chosen = shuffled([...Array(rows.rows).keys()], rng.fork("rows", label)).slice(0, shots);
    return { label, rows: takeRows(rows, chosen) };
  });
  const features = cutLayers(material.features[judged], layers, material.layers);
  const gold = material.labels[judged];
  const rightOf = async (known: ClassStatistics) => {
    const router = await fitter.fit(known, { kind, seed });
    const { labels } = await ask(router, features);
    return labels.map((label, row) => label === gold[row]);
  };
  const [before, after] = [await rightOf(without), await rightOf(without.with(added))];
  const among = (right: readonly boolean[], own: boolean) =>
    percent(shareOf(right.filter((_, row) => few.has(gold[row] ?? "") === own)));
  console.log(
    `  ${kind} draw ${seed}, ${few.size} classes of ${shots}: recall ${among(after, true)}; the others ${among(before, false)} before, ${among(after, false)} after`,
  );
}

for (const name of positionals.length > 0
  ? positionals
  : ["demo-mini", "demo-minilm", "banking77", "clinc150"]) {
  const precision = flags.precision === "int8" ? "int8" : "fp32";
  const how = { shared: flags.shared, threads, validationFraction: 0.1, precision } as const;
  const material = await readMaterial(name, how);
  const layers = defaultRoutingLayers(material.layers);
  const train = cutLayers(material.features.train, layers, material.layers);
  const held = cutLayers(material.features.validation, layers, material.layers);
  const rows = contributionsOf(train, material.labels.train);
  const judging = judged === "validation" ? [] : contributionsOf(held, material.labels.validation);
  console.log(`${name}, on ${judged}`);
  for (const seed of flags.seeds.split(",").map(Number)) {
    const constants = constantsOf(name, train, layers, seed);
    const outside = quantize(cutLayers(material.features.oosValidation, layers, material.layers));
    const strange = flags.outside ? [{ label: OUTSIDE_LABEL, rows: outside, role: "outside" as const }] : [];
    const statistics = ClassStatistics.empty(constants).with([...withRoles(rows, judging), ...strange]);
    for (const kind of kinds)
      if (Number(flags["few-shot"]) > 0) await measureFewShot(material, statistics, kind, seed);
      else await measure(material, statistics, kind, seed);
  }
}
