/** What tasks share they cannot be taken apart by, nor joined with another model's: it is refused by name. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { resolveConfig } from "../../src/config/load.ts";
import { createLearner, openStore, runExperiment } from "../../src/index.ts";
import { failureOf } from "../support/errors.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { type Material, materials } from "./materials.ts";

const root = folderOfTestFile("refusals");
const backbone = join(root, "model");
beforeAll(() => materials["text-classification"]["linear, LoRA"].writeBackbone(backbone));

interface Shared {
  readonly material: Material;
  readonly settings: { readonly [key: string]: unknown };
  readonly says: string;
}

const texts = materials["text-classification"]["linear, LoRA"];
const words = materials["token-classification"]["linear, LoRA"];
const short = { training: { ...texts.settings.training, epochs: 1, minSteps: 0 } };

const shared: Readonly<Record<string, Shared>> = {
  "a selection network": {
    material: texts,
    settings: { method: { adapter: "lora", selector: "newlora" } },
    says: "all tasks share a selection network (method.selector)",
  },
  "a selection network on frozen features": {
    material: texts,
    settings: { method: { adapter: "lora", selector: "newlora-frozen" } },
    says: "all tasks share a selection network (method.selector)",
  },
  "the first task's adapter, which features of words are read through": {
    material: words,
    settings: { router: { kind: "lda", featureAdapter: "first" } },
    says: "router.featureAdapter: first",
  },
  "what earlier tasks found in later ones' sentences": {
    material: words,
    settings: { router: { kind: "lda", featureAdapter: "none", unlabelled: "mark" } },
    says: "router.unlabelled: mark",
  },
  "the first task's O": {
    material: words,
    settings: { outside: "first", router: { kind: "lda", featureAdapter: "none", unlabelled: "outside" } },
    says: "outside: first",
  },
};

const [aClass] = [texts, words].map(({ lessons: [first] }) => first.classes[0]);

describe.each(Object.entries(shared))("tasks that share %s", (name, { material, settings, says }) => {
  const [first, second, third] = material.lessons;
  const target = { class: first.classes[0] ?? aClass ?? "" };

  test("in a run: it answers and learns another task as a store, and neither forgets nor merges", async () => {
    const folder = join(root, name);
    await mkdir(folder);
    const { stream } = await material.writeStream(folder);
    const raw = { ...material.settings, ...short, ...settings, backbone, stream, out: "run" };
    for await (const _ of runExperiment(resolveConfig(raw, folder)));
    await using store = await openStore(join(folder, "run"));
    const { name: task, train, types } = third;
    await store.learn({ name: task, train, ...(types && { types }) });
    const figures = await store.evaluate(material.both);
    expect(figures.items).toBe(material.both.length);
    expect((await failureOf(store.forget(target))).message).toContain(says);
    expect((await failureOf(store.forget({ task: "task-0" }))).message).toContain(says);
    expect((await failureOf(store.merge(join(folder, "run")))).message).toContain(says);
    await store.rollback();
    expect(store.tasks.map((each) => each.name)).toEqual([first.name, second.name]);
  });

  test("in a learner: it answers, and neither forgets nor merges", async () => {
    const config = { ...material.settings, ...short, ...settings, backbone };
    await using learner = await createLearner(config);
    await using other = await createLearner(config);
    for (const { name: task, train, types } of [first, second])
      await learner.learn({ name: task, train, ...(types && { types }) });
    expect((await learner.evaluate(material.both)).items).toBe(material.both.length);
    expect((await failureOf(learner.forget(target))).message).toContain(says);
    expect((await failureOf(learner.merge(other))).message).toContain(says);
  });
});

test("no store begins with outside: first", async () => {
  const create = { backbone, level: "word", outside: "first" } as const;
  const error = await failureOf(openStore(join(root, "none"), { create }));
  expect(error.message).toContain("outside: first");
  expect(error.hint).toContain("outside: own");
});
