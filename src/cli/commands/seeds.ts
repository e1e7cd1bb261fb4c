import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ResolvedConfig } from "../../config/load.ts";
import type { Override } from "../../config/overrides.ts";
import { StoreError } from "../../core/errors.ts";
import type { RoutedMetrics, RunLevel, RunMetrics, WordProtocolMetrics } from "../../core/record.ts";
import { type Spread, spreadOf } from "../../core/spread.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { readRunRecord } from "../../report/record/record.ts";
import { formatDuration, formatTable } from "../terminal/format.ts";
import { type RunToEndOptions, runToEnd } from "../terminal/runToEnd.ts";
import { shortPath } from "../terminal/shell.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Those of every level; a run has the ones of its own. */
const protocolFigures = [
  "averageAccuracy",
  "sampleAccuracy",
  "averageIncrementalAccuracy",
  "microF1",
  "macroF1",
  "averageIncrementalF1",
  "forgetting",
  "backwardTransfer",
  "forwardTransfer",
  "passesPerExample",
  "taskAccuracy",
] as const satisfies readonly (keyof RoutedMetrics | keyof WordProtocolMetrics)[];

const baselineFigures = ["cil", "til"] as const;

const costFigures = ["trainSeconds", "evalSeconds", "peakRssBytes"] as const;

type Figures = Readonly<Record<string, Spread>>;

export interface SeedSummary {
  readonly schemaVersion: 1;
  readonly level?: RunLevel;
  readonly seeds: readonly number[];
  readonly cil: Figures;
  readonly til: Figures;
  /** Where every run had a router. */
  readonly routed?: Figures;
  /** Where every run measured it. */
  readonly baseline?: Figures;
  readonly cost: Figures;
}

/** A figure that some run lacks (forgetting of a single task) is absent. */
function summariseFigures<K extends string>(
  names: readonly K[],
  runs: readonly { readonly [Name in K]?: number }[],
): Figures {
  const figures: Record<string, Spread> = {};
  for (const name of names) {
    const values = runs.flatMap((run) => run[name] ?? []);
    if (values.length === runs.length) figures[name] = spreadOf(values);
  }
  return figures;
}

function routedOf(run: RunMetrics) {
  return "routed" in run ? run.routed : undefined;
}

function baselineOf(run: RunMetrics) {
  return "baseline" in run ? run.baseline : undefined;
}

export function summarise(seeds: readonly number[], runs: readonly RunMetrics[]): SeedSummary {
  const level = runs[0]?.level;
  const routed = runs.flatMap((run) => routedOf(run) ?? []);
  const baselines = runs.flatMap((run) => baselineOf(run) ?? []);
  return {
    schemaVersion: 1,
    ...(level !== undefined && { level }),
    seeds,
    cil: summariseFigures(
      protocolFigures,
      runs.map((run) => run.cil),
    ),
    til: summariseFigures(
      protocolFigures,
      runs.map((run) => run.til),
    ),
    ...(routed.length === runs.length && { routed: summariseFigures(protocolFigures, routed) }),
    ...(baselines.length === runs.length && { baseline: summariseFigures(baselineFigures, baselines) }),
    cost: summariseFigures(
      costFigures,
      runs.map((run) => run.cost),
    ),
  };
}

const transfer = { forgetting: "forgetting", backwardTransfer: "backward transfer" };

const titles: { readonly [L in RunLevel]: Readonly<Record<string, string>> } = {
  sentence: {
    averageAccuracy: "average accuracy",
    sampleAccuracy: "accuracy over samples",
    averageIncrementalAccuracy: "average incremental accuracy",
    ...transfer,
  },
  word: {
    microF1: "micro F1",
    macroF1: "macro F1",
    averageIncrementalF1: "average incremental F1",
    ...transfer,
  },
};

function percent(spread: Spread | undefined): string {
  if (spread === undefined) return "–";
  const deviation =
    spread.standardDeviation === undefined ? "" : ` ± ${(100 * spread.standardDeviation).toFixed(2)}`;
  return `${(100 * spread.mean).toFixed(2)}${deviation}`;
}

function routedLine({ taskAccuracy, passesPerExample }: Figures): string {
  const passes = passesPerExample === undefined ? "–" : passesPerExample.mean.toFixed(2);
  const found = taskAccuracy === undefined ? "" : `task found ${percent(taskAccuracy)}; `;
  return `routed: ${found}${passes} passes an example\n`;
}

function baselineLine({ cil, til }: Figures): string {
  return `baseline, a classifier of spellings without a network: CIL ${percent(cil)}, TIL ${percent(til)}\n`;
}

/** The summary for people, in percent: mean ± sample standard deviation. */
export function formatSummary(summary: SeedSummary): string {
  const rows = Object.entries(titles[summary.level ?? "sentence"]).map(([name, title]) => [
    title,
    percent(summary.cil[name]),
    ...(summary.routed === undefined ? [] : [percent(summary.routed[name])]),
    percent(summary.til[name]),
  ]);
  const protocols = ["CIL", ...(summary.routed === undefined ? [] : ["routed"]), "TIL"];
  const train = summary.cost.trainSeconds;
  return (
    `${summary.seeds.length} seeds: ${summary.seeds.join(", ")} (percent, mean ± sample standard deviation)\n` +
    formatTable(
      [["", ...protocols], ...rows],
      protocols.map((_, column) => column + 1),
    ) +
    (summary.routed === undefined ? "" : routedLine(summary.routed)) +
    (summary.baseline === undefined ? "" : baselineLine(summary.baseline)) +
    (train === undefined ? "" : `training ${formatDuration(train.mean)} a seed on average\n`)
  );
}

async function refuseFull(folder: string): Promise<void> {
  const entries = await readdir(folder).catch(() => []);
  if (entries.length === 0) return;
  throw new StoreError(`${folder}: exists and is not empty`, {
    hint: "Continue those runs with --resume, or choose another folder with --out.",
  });
}

export interface SeedFlags extends RunToEndOptions {
  readonly json?: boolean;
}

/** Runs the experiment once a seed, each in `<out>/seed-<n>`, and writes `<out>/summary.json`. */
export async function runSeeds(
  load: (overrides: readonly Override[]) => Promise<ResolvedConfig>,
  overrides: readonly Override[],
  seeds: readonly number[],
  flags: SeedFlags,
  terminal: Terminal,
): Promise<void> {
  const { out } = await load(overrides);
  if (flags.resume !== true) await refuseFull(out);
  const runs: RunMetrics[] = [];
  for (const seed of seeds) {
    const folder = join(out, `seed-${seed}`);
    const own = [
      { key: "seed", value: seed, source: "--seeds" },
      { key: "out", value: folder, source: "--seeds" },
    ];
    const config = await load([...overrides, ...own]);
    if (flags.quiet !== true) terminal.err(`seed ${seed}, out ${shortPath(folder)}\n`);
    const { adaptersFrom, ...others } = flags;
    const source = adaptersFrom === undefined ? {} : { adaptersFrom: join(adaptersFrom, `seed-${seed}`) };
    await runToEnd(config, { ...others, ...source }, terminal);
    const { metrics } = await readRunRecord(folder);
    if (metrics === undefined)
      throw new StoreError(`${folder}: the run left no metrics.json`, { exitCode: 1 });
    runs.push(metrics);
  }
  const summary = summarise(seeds, runs);
  await mkdir(out, { recursive: true });
  await writeFileAtomic(join(out, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
  terminal.out(flags.json === true ? `${JSON.stringify(summary)}\n` : formatSummary(summary));
}
