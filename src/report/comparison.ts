/** Several runs side by side: what each protocol reaches, what it forgets, and what it costs. */
import type { ProtocolMetrics, RunMetrics, WordProtocolMetrics } from "../core/record.ts";
import { type Spread, spreadOf } from "../core/spread.ts";
import { formatPercent } from "./record/format.ts";
import type { RunRecord } from "./record/record.ts";

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

interface Figures {
  readonly accuracy: number;
  readonly forgetting: number | undefined;
  readonly passesPerExample: number;
}

function figuresOf(metrics: ProtocolMetrics | WordProtocolMetrics): Figures {
  const { forgetting, passesPerExample } = metrics;
  const accuracy = "microF1" in metrics ? metrics.microF1 : metrics.averageAccuracy;
  return { accuracy, forgetting, passesPerExample };
}

const protocolOf: { readonly [P in ComparedProtocol]: (metrics: RunMetrics) => Figures | undefined } = {
  "CIL exact": ({ cil }) => figuresOf(cil),
  "CIL routed": (metrics) =>
    "routed" in metrics && metrics.routed !== undefined ? figuresOf(metrics.routed) : undefined,
  TIL: ({ til }) => figuresOf(til),
};

function baselineOf(metrics: RunMetrics, protocol: ComparedProtocol): number | undefined {
  return metrics.baseline?.[protocol === "TIL" ? "til" : "cil"];
}

/** @returns the spread, or nothing where some value is missing */
function spreadOfAll(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === values.length && known.length > 0 ? spreadOf(known) : undefined;
}

function rowsOf({ name, records }: NamedRuns): ComparedRow[] {
  const costs = records.map(({ metrics }) => metrics.cost);
  const cost = {
    trainSeconds: spreadOf(costs.map(({ trainSeconds }) => trainSeconds)),
    evalSeconds: spreadOf(costs.map(({ evalSeconds }) => evalSeconds)),
    peakRssBytes: spreadOf(costs.map(({ peakRssBytes }) => peakRssBytes)),
  };
  return comparedProtocols.flatMap((protocol): ComparedRow[] => {
    const figures = records.flatMap(({ metrics }) => protocolOf[protocol](metrics) ?? []);
    if (figures.length < records.length || figures.length === 0) return [];
    const accuracy = spreadOf(figures.map((each) => each.accuracy));
    const baseline = spreadOfAll(records.map(({ metrics }) => baselineOf(metrics, protocol)));
    const forgetting = spreadOfAll(figures.map((each) => each.forgetting));
    return [
      {
        run: name,
        protocol,
        seeds: records.length,
        accuracy,
        ...(baseline !== undefined && { baseline }),
        belowBaseline: baseline !== undefined && accuracy.mean < baseline.mean,
        ...(forgetting !== undefined && { forgetting }),
        passesPerExample: spreadOf(figures.map(({ passesPerExample }) => passesPerExample)),
        ...cost,
      },
    ];
  });
}

/** What two figures must agree in to say anything about the methods behind them. */
const commonGround: readonly { readonly what: string; readonly of: (record: RunRecord) => string }[] = [
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

/** The seeds' values, each once. */
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
    const differing = commonGround.filter(({ of }) => valuesOf(first, of) !== valuesOf(other, of));
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

/** Rows in the order of the runs, each run's protocols together. */
export function compareRuns(runs: readonly NamedRuns[]): Comparison {
  return { rows: runs.flatMap(rowsOf), notes: differencesOf(runs) };
}

/** `97.3`, with several seeds `97.3 ± 0.2`. */
export function formatSpread({ mean, standardDeviation }: Spread): string {
  const deviation = standardDeviation === undefined ? "" : ` ± ${formatPercent(standardDeviation)}`;
  return formatPercent(mean) + deviation;
}

/** Whole passes as such, else two decimals. */
export function formatPassesSpread({ mean }: Spread): string {
  return Number.isInteger(mean) ? String(mean) : mean.toFixed(2);
}
