/** Whole small runs: their configurations, what they tell and what they leave. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadConfig, type ResolvedConfig, resolveConfig } from "../../src/config/load.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import type { RunEvent, RunMetrics, SentenceMetrics, WordMetrics } from "../../src/core/record.ts";
import { temporaryFolder } from "./folders.ts";

export type Settings = Readonly<Record<string, unknown>>;

export async function writeConfig(text: string): Promise<string> {
  const path = join(await temporaryFolder(), "experiment.yaml");
  await writeFile(path, text);
  return path;
}

export const smallest = {
  backbone: "./model",
  stream: { train: "train.jsonl", test: "test.jsonl", tasks: 2 },
  out: "run",
};

export function configAt(baseDir: string, changes: Settings = {}): ResolvedConfig {
  return resolveConfig({ ...smallest, ...changes }, baseDir);
}

/** A configuration file's, with settings changed as on the command line. */
export async function configWith(yaml: string, settings: Settings = {}): Promise<ResolvedConfig> {
  const overrides = Object.entries(settings).map(([key, value]) => ({ key, value, source: "test" }));
  return (await loadConfig(yaml, overrides)).config;
}

export type RunOptions = NonNullable<Parameters<typeof runExperiment>[1]> & {
  /** Whoever stops reading stops the run: what was not committed is lost, as when it is killed. */
  readonly stopAfter?: (event: RunEvent) => boolean;
};

/** Runs to the end, or until an event after which the run is left. @returns what it told */
export async function runToEnd(
  config: ResolvedConfig,
  { stopAfter, ...options }: RunOptions = {},
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of runExperiment(config, options)) {
    events.push(event);
    if (stopAfter?.(event) === true) break;
  }
  return events;
}

/** The figures of a finished run that labelled texts. */
export function sentenceMetrics({ metrics }: { readonly metrics: RunMetrics | undefined }): SentenceMetrics {
  if (metrics === undefined || metrics.level !== undefined) throw new TypeError("no metrics of sentences");
  return metrics;
}

/** The figures of a finished run that found entities. */
export function wordMetrics({ metrics }: { readonly metrics: RunMetrics | undefined }): WordMetrics {
  if (metrics?.level !== "word") throw new TypeError("no metrics of words");
  return metrics;
}

/** The last event's, of a run that came to its end. */
export function finishOf(events: readonly RunEvent[]): { readonly metrics: RunMetrics } {
  const last = events.at(-1);
  if (last?.type !== "run-finished") throw new TypeError("the run did not finish");
  return last;
}

/** What a run warned of. */
export function warningsOf(events: readonly RunEvent[]): string[] {
  return events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
}
