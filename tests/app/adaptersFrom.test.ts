/** A run that takes the adapters of another in place of training, on the tiny random model. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { readManifest } from "../../src/workspace/manifest.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import { selectorFile } from "../../src/continual/newlora/selectorState.ts";
import { ConfigError, StoreError } from "../../src/core/errors.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { readRunRecord } from "../../src/report/record.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

let root = "";
let yaml = "";
const at = (name: string) => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "accrete-adapters-from-"));
  yaml = await writeTinyExperiment(root);
  await run("plain", {});
  await run("whole", { "method.selector": "newlora-frozen" });
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Asked {
  readonly from?: string;
  readonly resume?: boolean;
  readonly stopAfter?: RunEvent["type"];
}

async function run(
  name: string,
  settings: Readonly<Record<string, unknown>>,
  { from, resume = false, stopAfter }: Asked = {},
): Promise<RunEvent[]> {
  const overrides = Object.entries({ "training.epochs": 1, ...settings, out: at(name) });
  const { config } = await loadConfig(
    yaml,
    overrides.map(([key, value]) => ({ key, value, source: "test" })),
  );
  const events: RunEvent[] = [];
  for await (const event of runExperiment(config, { resume, ...(from && { adaptersFrom: at(from) }) })) {
    events.push(event);
    if (event.type === stopAfter) break;
  }
  return events;
}

/** Relative name → bytes in hex. */
async function adapterFiles(name: string): Promise<Record<string, string>> {
  const folder = join(at(name), "adapters");
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
  const read = paths.map(async (path) => [path.slice(folder.length), (await readFile(path)).toString("hex")]);
  return Object.fromEntries(await Promise.all(read));
}

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
  const events = await run("taken", { "method.selector": "newlora-frozen" }, { from: "plain" });
  expect(events.some(({ type }) => type === "step" || type === "epoch")).toBe(false);
  expect(await adapterFiles("taken")).toEqual(await adapterFiles("whole"));
  expect(await adapterIds("taken")).toEqual(await adapterIds("plain"));
  const whole = await readFile(join(at("whole"), "events.jsonl"), "utf8");
  const parsed: RunEvent[] = whole
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(rowsOf(events)).toEqual(rowsOf(parsed));
  expect(rowsOf(events)[2]?.routed).toBeDefined();
  const notes = events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
  expect(notes.join("\n")).toContain(`Adapters are taken from ${at("plain")}`);
});

test("takes exact figures over where a router needs no logits, and measures the routed ones alike", async () => {
  const router = { router: { kind: "lda", secondPass: "always" } };
  await run("measured", router);
  const taken = rowsOf(await run("routed", router, { from: "plain" }));
  const { metrics } = await readRunRecord(at("measured"));
  const routed = metrics?.level === undefined ? metrics?.routed : undefined;
  expect(taken.at(-1)?.routed?.accuracy).toEqual(routed?.matrix.at(-1));
  expect(taken.at(-1)?.cil).toEqual(metrics?.cil.matrix.at(-1));
});

test("leaves what the other run kept beside its adapters there", async () => {
  await run("bare", {}, { from: "whole" });
  const files = Object.keys(await adapterFiles("bare"));
  expect(files.some((name) => name.endsWith(selectorFile))).toBe(false);
  expect(await adapterFiles("bare")).toEqual(await adapterFiles("plain"));
});

test("goes on where it was interrupted", async () => {
  const selector = { "method.selector": "newlora-frozen" };
  await run("again", selector, { from: "plain", stopAfter: "task-learned" });
  await run("again", selector, { from: "plain", resume: true });
  expect(await adapterFiles("again")).toEqual(await adapterFiles("whole"));
});

describe("is refused", () => {
  test.each([
    ["other settings", { "training.epochs": 2 }, "plain", /different: training\.epochs/],
    ["another seed and rank", { seed: 2, "method.rank": 2 }, "plain", /different: method\.rank, seed/],
    ["a network trained jointly", { "method.selector": "newlora" }, "plain", /selector newlora/],
  ])("%s", async (_, settings, from, message) => {
    const failure = await run("refused", settings, { from }).catch((error) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure.message).toMatch(message);
  });

  test("a run that is not finished", async () => {
    await run("half", {}, { stopAfter: "task-learned" });
    await expect(run("refused", {}, { from: "half" })).rejects.toThrow(/not finished/);
  });

  test("no run at all", async () => {
    await expect(run("refused", {}, { from: "nowhere" })).rejects.toThrow(StoreError);
  });

  test("other data, a damaged adapter", async () => {
    const train = join(root, "train.jsonl");
    const before = await readFile(train, "utf8");
    await writeFile(train, before.replace("number 7 ", "number 7 7 "));
    await expect(run("refused", {}, { from: "plain" })).rejects.toThrow(/of other data/);
    await writeFile(train, before);
    await run("damaged", {});
    await writeFile(join(at("damaged"), "adapters", "task-0", "adapter_model.safetensors"), "x");
    await expect(run("refused", {}, { from: "damaged" })).rejects.toThrow(/is damaged/);
  });
});
