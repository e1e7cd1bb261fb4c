/** A whole run with adapters in the top layer alone. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ConfigError } from "../../../src/core/errors.ts";
import type { RunEvent } from "../../../src/core/record.ts";
import { readConll } from "../../../src/data/files/conll.ts";
import { readPeftFolder } from "../../../src/peft/checkpoint.ts";
import { openRun } from "../../../src/store/openRun.ts";
import { folderOfTestFile } from "../../support/folders.ts";
import { configWith, runToEnd } from "../../support/runs.ts";
import { writeTinyFamily } from "../../support/tinyModels.ts";
import {
  jsonl,
  labels,
  texts as textsOf,
  writeTinyExperiment,
  writeTinyWords,
} from "../../support/tinyStreams.ts";
import { tolerances } from "../../support/tolerances.ts";

const root = folderOfTestFile("top");
let yaml = "";

beforeAll(async () => {
  vi.stubEnv("XDG_CACHE_HOME", join(root, "cache"));
  yaml = await writeTinyExperiment(root);
  // Three layers, where the tiny experiment's own model has one.
  await writeTinyFamily("bert", join(root, "bert"));
});
afterAll(() => void vi.unstubAllEnvs());

async function run(
  name: string,
  settings: Readonly<Record<string, unknown>>,
  { yaml: path = yaml, from }: { readonly yaml?: string; readonly from?: string } = {},
): Promise<RunEvent[]> {
  const all = { backbone: join(root, "bert"), "training.epochs": 2, ...settings, out: join(root, name) };
  const options = from === undefined ? {} : { adaptersFrom: join(root, from) };
  return await runToEnd(await configWith(path, all), options);
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

test("a router's second pass goes on from the trunk, in what is counted and in what answers", async () => {
  // Enough of each task for its trunk to be kept, so that evaluation goes on from the disk.
  const texts = textsOf(labels, "other", 20);
  const test = join(root, "many.jsonl");
  await writeFile(test, jsonl(texts));
  await run("exact", { "method.layers": 1, "stream.test": test });
  const router = { kind: "lda", topTasks: 2, secondPass: "always" };
  const settings = { "method.layers": 1, "stream.test": test, router };
  const events = await run("routed", settings, { from: "exact" });
  const routed = events.flatMap((event) => (event.type === "evaluated" && event.routed) || []);
  // After the first task there is one to ask, then there are two.
  expect(routed.map(({ passesPerExample }) => passesPerExample)).toEqual([1 + 1 / 3, 1 + 2 / 3, 1 + 2 / 3]);

  await using predictor = await openRun(join(root, "routed"));
  const answers = await predictor.predict(texts);
  expect(new Set(answers.map(({ passes }) => passes))).toEqual(new Set([1 + 2 / 3]));
  const right = answers.filter(({ label }, i) => label === texts[i]?.label).length;
  expect(right).toBe(routed.at(-1)?.correct.reduce((sum, count) => sum + count, 0));
});

test.each([
  ["own", [1, 1 + 1 / 3, 1 + 2 / 3]],
  // `O` needs the first task's adapter too: none is asked, or one, or two, or three.
  ["first", [1, 1 + 1 / 3, 1 + 2 / 3, 2]],
])("so does a router's of words, outside: %s", async (outside, possible) => {
  const folder = join(root, `of-words-${outside}`);
  await mkdir(folder);
  const words = await writeTinyWords(folder);
  const router = { kind: "lda", topTasks: 2, secondPass: "always" };
  const name = `words-${outside}`;
  const events = await run(name, { "method.layers": 1, router, outside }, { yaml: words });
  const sentences = (await readConll(join(folder, "test.conll"))).sentences;
  await using predictor = await openRun(join(root, name));
  const texts = sentences.map((sentence) => ({ text: "", words: sentence.words }));
  const passes = (await predictor.findEntities(texts)).map((found) => found.passes);
  for (const each of passes) expect(possible).toContain(each);
  expect(Math.max(...passes)).toBeGreaterThan(1);
  const routed = events.flatMap((event) => (event.type === "words-evaluated" && event.routed) || []);
  const mean = passes.reduce((sum, each) => sum + each, 0) / passes.length;
  expect(Math.abs((routed.at(-1)?.passesPerExample ?? 0) - mean)).toBeLessThan(tolerances.float64);
});

test("more layers than there are is refused before anything is written", async () => {
  const refused = run("deep", { "method.layers": 4 });
  await expect(refused).rejects.toThrow(ConfigError);
  await expect(refused).rejects.toThrow(/method.layers: 4, but .* has 3 layers/);
  expect(await readdir(root)).not.toContain("deep");
});
