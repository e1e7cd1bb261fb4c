/** Texts of no class: what they change, and what they do not. */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DataError, StoreError } from "../../src/core/errors.ts";
import { readLabelled } from "../../src/data/files/items.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { failureOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";

const inPackage = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const backbone = inPackage("models/accrete-mini");

async function read(name: string) {
  const { items } = await readLabelled(inPackage(`demo/${name}.jsonl`), "sentence");
  return items.flatMap((item) => ("text" in item && "label" in item ? item : []));
}

async function demoStore(): Promise<{ readonly store: Store; readonly folder: string }> {
  const folder = await temporaryFolder();
  const router = { kind: "kernel-discriminant" } as const;
  const store = await openStore(folder, { create: { backbone, router }, background: false });
  await store.learn({ name: "demo", train: await read("train") }, { statisticsOnly: true });
  return { store, folder };
}

/** Of no class of the demo, in two halves: some are given, the others asked. */
const strange = [
  "SELECT name FROM users WHERE id = 42;",
  "the mitochondria is the powerhouse of the cell",
  "0x7ffe 0xdeadbeef 0x0000",
  "Once upon a time there was a dragon who collected stamps.",
  "la lluvia en Sevilla es una maravilla",
  "DROP TABLE users; COMMIT;",
  "photosynthesis turns light into sugar",
  "0xcafe 0xbabe 0x0001",
];

const unknownOf = async (store: Store, texts: readonly string[]) =>
  (await store.predict(texts)).map(({ unknown }) => unknown ?? Number.NaN);

describe("texts of no class", () => {
  test("change what is said of unknown texts, and no label and no score", async () => {
    const { store, folder } = await demoStore();
    await using _ = store;
    const known = (await read("test")).filter((_, i) => i % 6 === 0).map(({ text }) => text);
    const before = await store.predict(known);
    const [given, asked] = [strange.slice(0, 4), strange.slice(4)];
    const unknown = await unknownOf(store, asked);
    await store.learnOutside(given);
    const after = await store.predict(known);
    const labelled = (all: typeof before) => all.map(({ label, score }) => ({ label, score }));
    expect(labelled(after)).toEqual(labelled(before));
    expect(store.classes).toHaveLength(24);
    expect(await unknownOf(store, asked)).not.toEqual(unknown);
    await store.rollback();
    expect(await unknownOf(store, asked)).toEqual(unknown);
    await using again = await openStore(folder, { background: false });
    expect(await unknownOf(again, asked)).toEqual(unknown);
  });

  test("are a task that can be forgotten, and outlive every class", async () => {
    const { store } = await demoStore();
    await using _ = store;
    const before = await unknownOf(store, strange);
    await store.learnOutside(strange);
    expect(await unknownOf(store, strange)).not.toEqual(before);
    await store.forget({ task: "(outside)" });
    expect(await unknownOf(store, strange)).toEqual(before);
    await store.learnOutside(strange);
    await store.forget({ task: "demo" });
    expect(await failureOf(store.predict(["hello"]))).toBeInstanceOf(StoreError);
    await store.learnClass("greeting", ["hello", "good morning"]);
    expect((await store.predict(["hello"]))[0]?.label).toBe("greeting");
  });

  test("say nothing before a class is known, and their name is taken", async () => {
    await using store = await openStore(await temporaryFolder(), { create: { backbone }, background: false });
    expect((await failureOf(store.learnOutside(["a"]))).message).toMatch(/before a class is known/);
    expect(await failureOf(store.learnClass("(outside)", ["a"]))).toBeInstanceOf(DataError);
    await store.learnClass("greeting", ["hello", "good morning"]);
    expect(await failureOf(store.learnOutside([]))).toBeInstanceOf(DataError);
    expect(await failureOf(store.learnOutside(["a", " "]))).toBeInstanceOf(DataError);
  });
});
