/**
 * `accrete-lm/web` in Node, on the engine's build for browsers: what it answers, and learns, is what a store in Node does. Chromium
 * is in chromium.e2e.test.ts.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import type { Prediction } from "../../src/continual/answers.ts";
import { CheckpointError, errorCode, StoreError } from "../../src/core/errors.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { exportStore } from "../../src/export/exportStore.ts";
import { openStore } from "../../src/store/store.ts";
import { addressSource, type FileSource } from "../../src/web/files.ts";
import { savedStores } from "../../src/web/opfs.ts";
import { WebStore } from "../../src/web/store.ts";
import { refusalOf } from "../support/errors.ts";
import { demoTexts } from "../support/exports.ts";
import { folderOfTestFile, freshTarget } from "../support/folders.ts";
import { tolerances } from "../support/tolerances.ts";

/** A folder's files, without a server. */
function folderSource(
  folder: string,
  changed: Readonly<Record<string, string | undefined>> = {},
): FileSource {
  return {
    where: folder,
    read: async (name) => {
      if (name in changed) return changed[name] === undefined ? undefined : Buffer.from(changed[name]);
      return await readFile(join(folder, name)).catch((cause: unknown) => {
        if (errorCode(cause) === "ENOENT") return undefined;
        throw cause;
      });
    },
  };
}

/** Labels are the same, and every score, that of unknown too, differs by at most 1e-4. */
function expectSame(
  ours: readonly Prediction[],
  theirs: readonly Prediction[],
  tolerance: number = tolerances.float32,
): void {
  expect(ours.map(({ label, task }) => [label, task])).toEqual(
    theirs.map(({ label, task }) => [label, task]),
  );
  ours.forEach(({ top, unknown }, i) => {
    const expected = new Map(theirs[i]!.top.map(({ label, score }) => [label, score]));
    expect(expected.size).toBe(top.length);
    for (const { label, score } of top)
      expect(Math.abs(score - expected.get(label)!)).toBeLessThan(tolerance);
    expect(Math.abs(unknown! - theirs[i]!.unknown!)).toBeLessThan(tolerance);
  });
}

const folder = folderOfTestFile("web");
const store = join(folder, "store");
const exported = join(folder, "exported");
const greeting = ["hello there", "good morning to you", "hi, how are you", "hey", "greetings, friend"];
let asked: readonly string[] = [];

beforeAll(async () => {
  const create = { backbone: "accrete-mini", threads: 2, router: { rejectRate: 0.02 } };
  await using open = await openStore(store, { create, background: false });
  const train = await demoTexts("train", 22);
  await open.learn({ name: "demo", train }, { statisticsOnly: true });
  await open.learnOutside(["the quick brown fox", "seven purple umbrellas", "lorem ipsum dolor"]);
  await exportStore(store, { to: "onnx", out: exported });
  const texts = (await demoTexts("test", 24)).map(({ text }) => text);
  asked = [...texts.slice(-196), "hello", "xylophone quartz", "", "?"];
});

describe("an exported store", () => {
  test("answers 200 texts as in Node", async () => {
    await using web = await WebStore.open(folderSource(exported));
    await using node = await openStore(store, { background: false });
    expect(web.labels).toEqual(node.classes);
    expect(web.tasks.map(({ name }) => name)).toEqual(["demo"]);
    const answers = await web.predict(asked, { top: 99 });
    expect(answers).toHaveLength(200);
    expectSame(answers, await node.predict(asked, { top: 99 }));
    expect(answers.some(({ label }) => label === null)).toBe(true);
  });

  test("learns a class, more of it, and forgets it, as in Node", async () => {
    await using web = await WebStore.open(folderSource(exported));
    const before = await web.predict(asked, { top: 99 });
    const copy = join(folder, "taught");
    await using node = await openStore(copy, {
      create: { backbone: "accrete-mini", threads: 2, router: { rejectRate: 0.02 } },
      background: false,
    });
    await node.merge(store);
    for (const examples of [greeting.slice(0, 3), greeting.slice(3)]) {
      await web.learnClass("greeting", examples);
      await node.learnClass("greeting", examples);
      expectSame(await web.predict(asked, { top: 99 }), await node.predict(asked, { top: 99 }));
    }
    expect(web.countExamples("greeting")).toBe(5);
    expect(web.tasks.at(-1)).toEqual({ name: "greeting", labels: ["greeting"] });
    await web.forgetClass("greeting");
    // The router that came along was fitted in Node.
    expectSame(await web.predict(asked, { top: 99 }), before);
    expect(web.labels).not.toContain("greeting");
  });

  test("changes are made one after the other, and answers on their way end with what they began with", async () => {
    await using web = await WebStore.open(folderSource(exported));
    const late = web.predict(["hello"], { top: 99 });
    const both = [web.learnClass("greeting", greeting), web.learnClass("farewell", ["bye", "see you"])];
    expect((await late)[0]?.top).toHaveLength(22);
    await Promise.all(both);
    expect(web.labels).toHaveLength(24);
    // One that is refused does not stop the next.
    const refused = refusalOf(web.forgetClass("nobody"), StoreError);
    await web.learnClass("thanks", ["thank you", "thanks"]);
    expect(await refused).toContain('no class is called "nobody" Classes: ');
    expect(web.labels).toContain("thanks");
  });
});

describe("an empty store on the model that ships", () => {
  const model = folderSource(join(packageRoot, "models/accrete-mini"));

  test("learns and answers as a store in Node, and its features are told as the same", async () => {
    await using web = await WebStore.create(model);
    expect(web.labels).toEqual([]);
    expect(await refusalOf(web.predict(["a"]), StoreError)).toContain("no class is known Teach one");
    const create = { backbone: "accrete-mini", threads: 2, training: { maxLength: 128 }, seed: 1 };
    await using node = await openStore(join(folder, "node"), { create, background: false });
    const train = await demoTexts("train", 4);
    for (const label of new Set(train.map((each) => each.label))) {
      const examples = train.filter((each) => each.label === label).map(({ text }) => text);
      await web.learnClass(label, examples);
      await node.learnClass(label, examples);
    }
    const some = asked.slice(0, 50);
    expectSame(await web.predict(some, { top: 9 }), await node.predict(some, { top: 9 }), tolerances.redrawn);
  });

  test.each([
    ["no model", { "config.json": undefined }, /config.json is missing .*Hugging Face/],
    ["a config that is no JSON", { "config.json": "{" }, /config.json: is not JSON/],
    ["weights that are cut", { "model.safetensors": "xyz" }, /model.safetensors: truncated/],
    ["an unknown architecture", { "config.json": '{"model_type": "mamba"}' }, /mamba/],
  ])("%s", async (_, changed, message) => {
    const broken = folderSource(join(packageRoot, "models/accrete-mini"), changed);
    expect(await refusalOf(WebStore.create(broken), CheckpointError)).toMatch(message);
  });
});

describe("what cannot be opened", () => {
  test.each([
    [
      "a folder that is no export",
      { "accrete.json": undefined },
      /accrete.json is missing Make the folder with/,
    ],
    ["a damaged manifest", { "accrete.json": "[]" }, /accrete.json: is none of an exported store/],
    ["no model", { "onnx/model.onnx": undefined }, /model.onnx is missing/],
    ["no statistics", { "statistics.safetensors": undefined }, /statistics.safetensors is missing/],
  ])("%s", async (_, changed, message) => {
    expect(await refusalOf(WebStore.open(folderSource(exported, changed)), CheckpointError)).toMatch(message);
  });

  test("a damaged model", async () => {
    const broken = folderSource(exported, { "onnx/model.onnx": "nonsense" });
    await expect(WebStore.open(broken)).rejects.toThrow(/the engine refused .*model.onnx/);
  });

  test("an address that nobody serves", async () => {
    const nowhere = addressSource("http://127.0.0.1:9/store");
    expect(await refusalOf(WebStore.open(nowhere))).toContain(
      "http://127.0.0.1:9/store/accrete.json: cannot be fetched",
    );
    expect(addressSource(pathToFileURL("/a/b/")).where).toBe("file:///a/b");
  });

  test("what was saved, where there is no browser", async () => {
    expect(await refusalOf(savedStores(), StoreError)).toContain("no file system of its own");
    expect(await refusalOf(WebStore.openSaved("../x"))).toContain('cannot be called "../x"');
    expect(freshTarget()).toBeTruthy();
  });
});
