/** Several runs side by side: what each protocol reaches, what it forgets, and what it costs. */
import type { RunMetrics } from "../core/record.ts";
import { type Spread, spreadOf } from "../core/spread.ts";
import { type Protocol, summarize } from "./record/figures.ts";
import { formatBytes, formatPercent, formatSeconds, missing } from "./record/format.ts";
import type { RunRecord } from "./record/record.ts";
import { formatPasses } from "./routing.ts";

/** One run, or the same one with several seeds. */
export interface NamedRuns {
  readonly name: string;
  readonly records: readonly FinishedRecord[];
}

export type FinishedRecord = RunRecord & { readonly metrics: RunMetrics };

/** CIL in exact mode, CIL with a router, and TIL. */
export const comparedProtocols = ["CIL exact", "CIL routed", "TIL"] as const;
export type ComparedProtocol = (typeof comparedProtocols)[number];

/** Fractions; a figure that some seed lacks is absent. */
export interface ComparedRow {
  readonly run: string;
  readonly protocol: ComparedProtocol;
  readonly seeds: number;
  /** Average accuracy after the last task, at word level micro F1. */
  readonly accuracy: Spread;
  /** The same after each task; empty where the seeds have other numbers of tasks. */
  readonly averages: readonly Spread[];
  /** What a classifier of spellings reaches under the same protocol; absent where some run did not measure it. */
  readonly baseline?: Spread;
  readonly belowBaseline: boolean;
  readonly forgetting?: Spread;
  readonly passesPerExample: Spread;
  readonly trainSeconds: Spread;
  readonly evalSeconds: Spread;
  readonly peakRssBytes: Spread;
}

export interface Comparison {
  readonly rows: readonly ComparedRow[];
  /** In what the runs differ that makes figures no comparison, one sentence each. */
  readonly notes: readonly string[];
}

const protocolOf: { readonly [P in ComparedProtocol]: Protocol } = {
  "CIL exact": "cil",
  "CIL routed": "routed",
  TIL: "til",
};

/** @returns the spread, or nothing where some value is missing */
function spreadOfAll(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === values.length && known.length > 0 ? spreadOf(known) : undefined;
}

/** Of every task, over the seeds. */
function averagesOf(curves: readonly (readonly number[])[]): readonly Spread[] {
  const [first = []] = curves;
  if (curves.some(({ length }) => length !== first.length)) return [];
  return first.map((_, task) => spreadOf(curves.map((curve) => curve[task]!)));
}

function rowsOf({ name, records }: NamedRuns): ComparedRow[] {
  const costs = records.map(({ metrics }) => metrics.cost);
  const cost = {
    trainSeconds: spreadOf(costs.map(({ trainSeconds }) => trainSeconds)),
    evalSeconds: spreadOf(costs.map(({ evalSeconds }) => evalSeconds)),
    peakRssBytes: spreadOf(costs.map(({ peakRssBytes }) => peakRssBytes)),
  };
  const summaries = records.map(summarize);
  return comparedProtocols.flatMap((protocol): ComparedRow[] => {
    const figures = summaries.map((summary) => summary[protocolOf[protocol]]);
    const accuracy = spreadOfAll(figures.map((each) => each?.headline));
    const passesPerExample = spreadOfAll(figures.map((each) => each?.passesPerExample));
    if (accuracy === undefined || passesPerExample === undefined) return [];
    const baselines = records.map(({ metrics }) => metrics.baseline?.[protocol === "TIL" ? "til" : "cil"]);
    const baseline = spreadOfAll(baselines);
    const forgetting = spreadOfAll(figures.map((each) => each?.forgetting));
    return [
      {
        run: name,
        protocol,
        seeds: records.length,
        accuracy,
        averages: averagesOf(figures.map((each) => each?.averages ?? [])),
        ...(baseline !== undefined && { baseline }),
        belowBaseline: baseline !== undefined && accuracy.mean < baseline.mean,
        ...(forgetting !== undefined && { forgetting }),
        passesPerExample,
        ...cost,
      },
    ];
  });
}

/** What two runs must agree in for their figures to compare their methods. */
const comparability: readonly { readonly what: string; readonly of: (record: RunRecord) => string }[] = [
  { what: "level", of: ({ level }) => level },
  { what: "data", of: ({ header }) => header.dataHash },
  { what: "backbone", of: ({ header }) => header.backbone.hash },
  { what: "number of tasks", of: ({ header }) => String(header.tasks.length) },
  {
    what: "labels of the tasks",
    of: ({ header }) => JSON.stringify(header.tasks.map(({ labels }) => [...labels].sort())),
  },
  { what: "platform", of: ({ header }) => header.platform },
];

function valuesOf({ records }: NamedRuns, of: (record: RunRecord) => string): string {
  return JSON.stringify([...new Set(records.map(of))].sort());
}

function seedsOf({ records }: NamedRuns): string {
  return records
    .map(({ header }) => header.seed)
    .sort((a, b) => a - b)
    .join(", ");
}

function differencesOf(runs: readonly NamedRuns[]): string[] {
  const [first, ...others] = runs;
  if (first === undefined) return [];
  return others.flatMap((other) => {
    const differing = comparability.filter(({ of }) => valuesOf(first, of) !== valuesOf(other, of));
    const names = differing.map(({ what }) => what);
    const seeds =
      seedsOf(first) === seedsOf(other)
        ? []
        : [`${other.name} has seed ${seedsOf(other)}, ${first.name} ${seedsOf(first)}.`];
    return names.length === 0
      ? seeds
      : [`${other.name} and ${first.name} differ in ${names.join(", ")}: not one experiment.`, ...seeds];
  });
}

export function compareRuns(runs: readonly NamedRuns[]): Comparison {
  return { rows: runs.flatMap(rowsOf), notes: differencesOf(runs) };
}

/** `97.3`, with several seeds `97.3 ± 0.2`. */
export function formatSpread(spread: Spread | undefined): string {
  if (spread === undefined) return missing;
  const { mean, standardDeviation } = spread;
  const deviation = standardDeviation === undefined ? "" : ` ± ${formatPercent(standardDeviation)}`;
  return formatPercent(mean) + deviation;
}

export const comparisonColumns = [
  "run",
  "protocol",
  "seeds",
  "accuracy, %",
  "baseline, %",
  "forgetting, points",
  "passes",
  "learning",
  "evaluation",
  "peak memory",
] as const;

/** What stands in the columns. @param below follows an accuracy that is below the baseline */
export function comparisonCells(row: ComparedRow, below: string): readonly string[] {
  return [
    row.run,
    row.protocol,
    String(row.seeds),
    formatSpread(row.accuracy) + (row.belowBaseline ? ` ${below}` : ""),
    formatSpread(row.baseline),
    formatSpread(row.forgetting),
    formatPasses(row.passesPerExample.mean),
    formatSeconds(row.trainSeconds.mean),
    formatSeconds(row.evalSeconds.mean),
    formatBytes(row.peakRssBytes.mean),
  ];
}
