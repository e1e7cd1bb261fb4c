/** A whole run with adapters in the top layer alone. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { openRun } from "../../src/app/predictor.ts";
import { runExperiment } from "../../src/app/runExperiment.ts";
import { ConfigError } from "../../src/core/errors.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { writeTinyExperiment } from "../app/tinyExperiment.ts";
import { writeTinyFamily } from "../app/tinyFamilies.ts";

let root = "";
let yaml = "";

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "accrete-top-"));
  vi.stubEnv("XDG_CACHE_HOME", join(root, "cache"));
  yaml = await writeTinyExperiment(root);
  // Three layers, where the tiny experiment's own model has one.
  await writeTinyFamily("bert", join(root, "bert"));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true, force: true });
});

async function run(name: string, settings: Readonly<Record<string, unknown>>): Promise<RunEvent[]> {
  const all = { backbone: join(root, "bert"), "training.epochs": 2, ...settings, out: join(root, name) };
  const overrides = Object.entries(all).map(([key, value]) => ({ key, value, source: "test" }));
  const events: RunEvent[] = [];
  for await (const event of runExperiment((await loadConfig(yaml, overrides)).config)) events.push(event);
  return events;
}

const adapterOf = (name: string, task: string) => readPeftFolder(join(root, name, "adapters", task));

const keptTrunks = () => readdir(join(root, "cache", "accrete", "trunk"));

test("costs the shared trunk once, whether layers or their modules are named", async () => {
  const events = await run("layers", { "method.layers": 1 });
  // The three tasks' training texts; the test sets are too small to be kept.
  const kept = await keptTrunks();
  expect(kept).toHaveLength(3);

  const targetModules = ["query", "value"].map((name) => `encoder.layer.2.attention.self.${name}`);
  await run("modules", { "method.targetModules": targetModules });
  expect(await keptTrunks()).toEqual(kept);
  for (const task of ["task-0", "task-1", "task-2"]) {
    const [layers, modules] = [await adapterOf("layers", task), await adapterOf("modules", task)];
    expect(layers.adapter.spec).toMatchObject({ layers: [2] });
    expect(layers.adapter.tensors).toEqual(modules.adapter.tensors);
  }

  const passes = events.flatMap((event) => (event.type === "evaluated" ? [event.passesPerExample] : []));
  expect(passes).toEqual([1, 4 / 3, 5 / 3]);
  const written = JSON.parse(
    await readFile(join(root, "layers/adapters/task-0/adapter_config.json"), "utf8"),
  );
  expect(written).toMatchObject({ layers_to_transform: [2], target_modules: ["query", "value"] });

  await using predictor = await openRun(join(root, "layers"));
  const [exact, told] = [{ exact: true }, { task: "task-1" }];
  expect((await predictor.predict([{ text: "a test" }], exact)).map(({ passes: each }) => each)).toEqual([
    5 / 3,
  ]);
  expect((await predictor.predict([{ text: "a test" }], told)).map(({ passes: each }) => each)).toEqual([1]);
});

test("more layers than there are is refused before anything is written", async () => {
  const refused = run("deep", { "method.layers": 4 });
  await expect(refused).rejects.toThrow(ConfigError);
  await expect(refused).rejects.toThrow(/method.layers: 4, but .* has 3 layers/);
  expect(await readdir(root)).not.toContain("deep");
});
