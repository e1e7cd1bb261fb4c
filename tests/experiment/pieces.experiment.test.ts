import { readFile, rm, writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import { placedAt } from "../../src/config/places.ts";
import { PieceMaker, pieceFolder, taskParts } from "../../src/experiment/pieces.ts";
import { readManifest } from "../../src/workspace/manifest.ts";
import { refusalOf } from "../support/errors.ts";
import { bytesBelow } from "../support/folders.ts";
import { configAt, isA, runToEnd, type Settings, TinyRuns } from "../support/runs.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";

const runs = new TinyRuns({ "training.epochs": 2 });
beforeAll(() => runs.furnish(writeTinyExperiment));

/** All but times and memory. */
const lasting = (name: string) => !/^(events|metrics|report|manifest|config)/.test(name);

async function learnApart(name: string, settings: Settings, order: readonly number[]): Promise<string> {
  const config = await runs.configFor(name, settings);
  const folder = runs.at(`${name}-pieces`);
  await using maker = await PieceMaker.open(config);
  for (const task of order) for (const part of taskParts) await maker.compute({ part, task }, folder);
  await maker.compute({ part: "baseline" }, folder);
  return folder;
}

test.each<[string, Settings]>([
  ["without a router", {}],
  ["with a router", { router: "lda" }],
  ["with NewLoRA's frozen selection", { "method.selector": "newlora-frozen" }],
])(
  "a run that is put together of pieces is the run of one machine, byte for byte: %s",
  async (name, settings) => {
    await runs.run(`${name} whole`, settings);
    const pieces = await learnApart(`${name} apart`, settings, [2, 0, 1]);
    const events = await runs.run(`${name} apart`, settings, { pieces });
    expect(await bytesBelow(runs.at(`${name} apart`), lasting)).toEqual(
      await bytesBelow(runs.at(`${name} whole`), lasting),
    );
    expect(events.filter(isA("step"))).not.toHaveLength(0);
    expect((await readManifest(runs.at(`${name} apart`)))?.computedBy).toHaveLength(1);
  },
);

test("answers that are there are taken, and not computed", async () => {
  const pieces = await learnApart("taken", {}, [0, 1, 2]);
  // Task 0's own test set, answered otherwise: every logit is the same.
  const file = `${pieceFolder(pieces, { part: "answers", task: 0 })}/test-0.f32`;
  await writeFile(file, new Uint8Array((await readFile(file)).length));
  const events = await runs.run("taken", {}, { pieces });
  const [first] = events.filter(isA("evaluated", 0));
  // Of equal logits the first slot wins: half of the two labels' items.
  expect(first).toMatchObject({ til: [0.5] });
});

test("what is missing or hangs together is refused, and says what to do", async () => {
  const pieces = await learnApart("partial", {}, [0, 1]);
  expect(await refusalOf(runs.run("partial", {}, { pieces }))).toMatch(
    /piece of task .* is missing.*--piece 2/,
  );
  await rm(runs.at("partial"), { recursive: true, force: true });
  const joint = await runs.configFor("joint", { "method.selector": "newlora" });
  expect(await refusalOf(PieceMaker.open(joint))).toContain("hang on each other");
  const config = await runs.configFor("few", {});
  await using maker = await PieceMaker.open(config);
  expect(await refusalOf(maker.compute({ part: "learn", task: 3 }, runs.at("few-pieces")))).toContain(
    "has 3 tasks",
  );
});

test("a run stops after so many tasks, and measures its adapters on validation data where that is asked for", async () => {
  await runs.run("whole", {});
  const first = await runs.run("parts", {}, { tasks: 1, validate: true });
  expect(first.filter(isA("evaluated"))).toHaveLength(1);
  expect(first.filter(isA("task-learned"))).toMatchObject([{ validationAccuracy: expect.any(Number) }]);
  await runs.run("parts", {}, { resume: true });
  expect(await runs.adapterBytes("parts")).toEqual(await runs.adapterBytes("whole"));
});

test("a run may have its files elsewhere, and records what its configuration says", async () => {
  await runs.run("here", {});
  const config = {
    ...(await runs.configFor("here", {})),
    backbone: "/elsewhere/model",
    out: "/elsewhere/run",
  };
  await runToEnd(config, { places: { backbone: runs.at("model"), out: runs.at("placed") } });
  expect(await readFile(runs.at("placed/config.resolved.yaml"), "utf8")).toContain("/elsewhere/model");
  expect((await readManifest(runs.at("placed")))?.backbone.source).toBe("/elsewhere/model");
  expect(await readFile(runs.at("placed/predictions.jsonl"), "utf8")).toBe(
    await readFile(runs.at("here/predictions.jsonl"), "utf8"),
  );
  expect(() => placedAt(configAt("/x"), { "stream.path": "/y" })).toThrow(
    "stream.path: names no file or folder of the configuration",
  );
});
