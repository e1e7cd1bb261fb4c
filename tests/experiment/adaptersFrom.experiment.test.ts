/** A run that takes the adapters of another in place of training, on the tiny random model. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { selectorFile } from "../../src/continual/newlora/selectorState.ts";
import { ConfigError, StoreError } from "../../src/core/errors.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { readPredictions } from "../../src/experiment/predictions.ts";
import { readRunRecord } from "../../src/report/record/record.ts";
import { readManifest } from "../../src/workspace/manifest.ts";
import { isA, TinyRuns, warningsOf } from "../support/runs.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

const runs = new TinyRuns({ "training.epochs": 1 });
const { root, at } = runs;

beforeAll(async () => {
  await runs.furnish(writeTinyExperiment);
  await runs.run("plain", {});
  await runs.run("whole", { "method.selector": "newlora-frozen" });
});

async function adapterIds(name: string): Promise<readonly (readonly [string, string])[]> {
  const manifest = await readManifest(at(name));
  return (manifest?.tasks ?? []).map((task) => [task.name, task.adapter.id] as const);
}

const rowsOf = (events: readonly RunEvent[]) =>
  events.flatMap((event) => {
    if (event.type !== "evaluated") return [];
    const { time: _, seconds: __, ...row } = event;
    return [row];
  });

test("gives what the whole run gives, and trains nothing", async () => {
  const events = await runs.run("taken", { "method.selector": "newlora-frozen" }, { from: "plain" });
  expect(events.some(({ type }) => type === "step" || type === "epoch")).toBe(false);
  expect(await runs.adapterBytes("taken")).toEqual(await runs.adapterBytes("whole"));
  expect(await adapterIds("taken")).toEqual(await adapterIds("plain"));
  const whole = await readFile(join(at("whole"), "events.jsonl"), "utf8");
  const parsed: RunEvent[] = whole
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(rowsOf(events)).toEqual(rowsOf(parsed));
  expect(rowsOf(events)[2]?.routed).toBeDefined();
  expect(await readPredictions(at("taken"))).toEqual(await readPredictions(at("whole")));
  const notes = warningsOf(events);
  expect(notes.join("\n")).toContain(`Adapters are taken from ${at("plain")}`);
});

test("takes exact figures over where a router needs no logits, and measures the routed ones alike", async () => {
  const router = { router: { kind: "lda", secondPass: "always" } };
  await runs.run("measured", router);
  const taken = rowsOf(await runs.run("routed", router, { from: "plain" }));
  const { metrics } = await readRunRecord(at("measured"));
  const routed = metrics?.level === undefined ? metrics?.routed : undefined;
  expect(taken.at(-1)?.routed?.accuracy).toEqual(routed?.matrix.at(-1));
  expect(taken.at(-1)?.cil).toEqual(metrics?.cil.matrix.at(-1));
  // Adapters read other texts together here: scores may differ in their last digits.
  const measured = await readPredictions(at("measured"));
  expect(await readPredictions(at("routed"))).toEqual(
    measured.map((line) => ("score" in line ? { ...line, score: expect.closeTo(line.score, 5) } : line)),
  );
});

test("leaves what the other run kept beside its adapters there", async () => {
  await runs.run("bare", {}, { from: "whole" });
  const files = Object.keys(await runs.adapterBytes("bare"));
  expect(files.some((name) => name.endsWith(selectorFile))).toBe(false);
  expect(await runs.adapterBytes("bare")).toEqual(await runs.adapterBytes("plain"));
});

test("goes on where it was interrupted", async () => {
  const selector = { "method.selector": "newlora-frozen" };
  await runs.run("again", selector, { from: "plain", stopAfter: isA("task-learned") });
  await runs.run("again", selector, { from: "plain", resume: true });
  expect(await runs.adapterBytes("again")).toEqual(await runs.adapterBytes("whole"));
});

describe("is refused", () => {
  test.each([
    ["other settings", { "training.epochs": 2 }, "plain", /different: training\.epochs/],
    ["another seed and rank", { seed: 2, "method.rank": 2 }, "plain", /different: method\.rank, seed/],
    ["a network trained jointly", { "method.selector": "newlora" }, "plain", /selector newlora/],
  ])("%s", async (_, settings, from, message) => {
    const failure = await runs.run("refused", settings, { from }).catch((error) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure.message).toMatch(message);
  });

  test("a run that is not finished", async () => {
    await runs.run("half", {}, { stopAfter: isA("task-learned") });
    await expect(runs.run("refused", {}, { from: "half" })).rejects.toThrow(/not finished/);
  });

  test("no run at all", async () => {
    await expect(runs.run("refused", {}, { from: "nowhere" })).rejects.toThrow(StoreError);
  });

  test("other data, a damaged adapter", async () => {
    const train = join(root, "train.jsonl");
    const before = await readFile(train, "utf8");
    await writeFile(train, before.replace("number 7 ", "number 7 7 "));
    await expect(runs.run("refused", {}, { from: "plain" })).rejects.toThrow(/of other data/);
    await writeFile(train, before);
    await runs.run("damaged", {});
    await writeFile(join(at("damaged"), "adapters", "task-0", "adapter_model.safetensors"), "x");
    await expect(runs.run("refused", {}, { from: "damaged" })).rejects.toThrow(/is damaged/);
  });
});
