import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { resolveConfig } from "../../src/app/config.ts";
import type { ResolvedConfig } from "../../src/app/configSchema.ts";
import { ConfigError, type ConfigIssue } from "../../src/core/errors.ts";
import type { RunEvent, RunEventBody, SentenceMetrics } from "../../src/core/record.ts";

/** A folder that goes away with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-test-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

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

export function configAt(baseDir: string, changes: Readonly<Record<string, unknown>> = {}): ResolvedConfig {
  return resolveConfig({ ...smallest, ...changes }, baseDir);
}

/** The issues of the ConfigError that `action` must throw. */
export async function issuesOf(action: () => unknown): Promise<readonly ConfigIssue[]> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ConfigError) return error.issues;
    throw error;
  }
  throw new ConfigError("expected a ConfigError, but nothing was thrown");
}

export const header = {
  versions: { accrete: "0.1.0", node: "20.19.0", engine: "1.30.0" },
  backbone: { source: "./model", hash: "a".repeat(64), tokenizerHash: "b".repeat(64), architecture: "bert" },
  dataHash: "c".repeat(64),
  feature: { pooling: "mean", normalize: false },
} as const;

/** An event `seconds` after the run began. */
export function at(seconds: number, body: RunEventBody): RunEvent {
  return { time: new Date(Date.UTC(2026, 0, 1) + 1000 * seconds).toISOString(), ...body };
}

export const taskNames = ["travel", "music"] as const;

export const started: RunEventBody = {
  type: "run-started",
  header: {
    accreteVersion: "0.1.0",
    nodeVersion: "20.19.0",
    engineVersion: "1.30.0",
    platform: "linux-x64",
    backbone: { name: "./model", hash: "a".repeat(64), parameters: 22_713_216 },
    dataHash: "c".repeat(64),
    seed: 1,
    config: { seed: 1 },
    trainableParametersPerTask: 40_970,
    tasks: taskNames.map((name) => ({ name, labels: [`${name}-a`, `${name}-b`] })),
  },
};

export function stepEvent(task: number, step: number, totalSteps: number, loss = 1): RunEventBody {
  const speed = { examplesPerSecond: 100, tokensPerSecond: 1200, secondsLeft: 65 };
  return { type: "step", task, epoch: 0, step, totalSteps, loss, learningRate: 1e-3, ...speed };
}

export function evaluatedEvent(til: readonly number[], cil: readonly number[]): RunEventBody {
  return {
    type: "evaluated",
    task: til.length - 1,
    til,
    cil,
    tilCorrect: til.map((accuracy) => Math.round(accuracy * 10)),
    cilCorrect: cil.map((accuracy) => Math.round(accuracy * 10)),
    counted: til.map(() => 10),
    passesPerExample: til.length,
    seconds: 0.5,
  };
}

const protocol = {
  matrix: [
    [0.9, null],
    [0.8, 1],
  ],
  averageAccuracy: 0.9,
  sampleAccuracy: 0.9,
  averageIncrementalAccuracy: 0.9,
  forgetting: 0.1,
  backwardTransfer: -0.1,
  passesPerExample: 2,
};

export const metrics: SentenceMetrics = {
  schemaVersion: 1,
  cil: protocol,
  til: { ...protocol, passesPerExample: 1 },
  cost: { trainSeconds: 3, evalSeconds: 1, peakRssBytes: 500_000_000 },
};
