/** What an answer says beside its label: how likely it is of no class, and a set of labels with a promise. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { readLabelled } from "../../src/data/files/items.ts";
import type { LabelledExample } from "../../src/data/files/types.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { failureOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";
import { statisticsOnly, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

const inPackage = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const backbone = inPackage("models/accrete-mini");

async function readDemo(name: string): Promise<readonly LabelledExample[]> {
  const { items } = await readLabelled(inPackage(`demo/${name}.jsonl`), "sentence");
  return items.flatMap((item) => ("text" in item ? item : []));
}

async function demoStore(folder: string, changes: object = {}): Promise<Store> {
  const router = { kind: "kernel-discriminant", ...changes } as const;
  const store = await openStore(folder, { create: { backbone, router }, background: false });
  const task = { name: "demo", train: await readDemo("train"), validation: await readDemo("validation") };
  await store.learn(task, statisticsOnly);
  return store;
}

/** Of no class of the demo. */
const strange = [
  "SELECT name FROM users WHERE id = 42;",
  "the mitochondria is the powerhouse of the cell",
  "0x7ffe 0xdeadbeef 0x0000",
  "Once upon a time there was a dragon who collected stamps.",
  "la lluvia en Sevilla es una maravilla",
];

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("on the demo's classes", () => {
  let folder: string;
  let store: Store;
  let known: readonly LabelledExample[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "accrete-test-"));
    store = await demoStore(folder);
    known = (await readDemo("test")).filter((_, i) => i % 3 === 0);
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test("unknown is a probability on every answer, larger of texts of no class", async () => {
    const inside = (await store.predict(known)).map(({ unknown }) => unknown ?? Number.NaN);
    const outside = (await store.predict(strange)).map(({ unknown }) => unknown ?? Number.NaN);
    for (const unknown of [...inside, ...outside]) expect(unknown >= 0 && unknown <= 1).toBe(true);
    expect(mean(outside)).toBeGreaterThan(3 * mean(inside));
  });

  test("a text within a task, or asked of every adapter, has no such probability", async () => {
    const [answer] = await store.predict([known[0]!], { task: "demo" });
    expect(answer).not.toHaveProperty("unknown");
  });

  test("a set has the likeliest labels, more of them where more is asked, and mostly the right one", async () => {
    const rightAt: number[] = [];
    const sizes: number[] = [];
    for (const coverage of [0.5, 0.9]) {
      const answers = await store.predict(known, { coverage });
      for (const { set, label, setCalibrated } of answers) {
        expect(setCalibrated).toBeUndefined();
        if (set?.[0] !== undefined) expect(set[0]).toBe(label);
      }
      rightAt.push(mean(answers.map(({ set }, i) => Number(set?.includes(known[i]!.label)))));
      sizes.push(mean(answers.map(({ set }) => set?.length ?? Number.NaN)));
    }
    expect(sizes[1]).toBeGreaterThan(sizes[0]!);
    expect(rightAt[1]).toBeGreaterThan(rightAt[0]!);
    // Texts of the demo's test are worded unlike those that calibrate.
    expect(rightAt[1]).toBeGreaterThan(0.75);
  });
});

test("a rate of rejection decides, on texts that were held out, who gets no label", async () => {
  await using store = await demoStore(await temporaryFolder(), { rejectRate: 0.05 });
  const answers = await store.predict(strange);
  expect(answers.filter(({ label }) => label === null).length).toBeGreaterThanOrEqual(3);
  for (const { top } of answers) expect(top[0]?.label).toBeDefined();
});

describe("coverage", () => {
  test("says where too few texts were held out for the level asked, and names every class then", async () => {
    const { open } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb", "cc"], "train", 4) }, statisticsOnly);
    const [answer] = await store.predict(["a train number 3 a"], { coverage: 0.99 });
    expect(answer).toMatchObject({ setCalibrated: false });
    expect([...(answer?.set ?? [])].sort()).toEqual(["aa", "bb", "cc"]);
  });

  test("is refused where nothing calibrates it", async () => {
    const { open } = await workshop();
    await using store = await open("store", { router: { kind: "lda" } });
    await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
    const refusal = await failureOf(store.predict(["a"], { coverage: 0.9 }));
    expect(refusal).toBeInstanceOf(ConfigError);
    expect(refusal.message).toContain("coverage: router lda");
    expect((await failureOf(store.predict(["a"], { coverage: 1 }))).message).toContain("options.coverage");
    const within = await failureOf(store.predict(["a"], { coverage: 0.9, task: "one" }));
    expect(within.message).toContain("within a task");
  });
});
