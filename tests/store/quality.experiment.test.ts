/** How well a store tells its classes apart, against stores that never saw the texts that are asked. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { partsOf } from "../../src/continual/routing/crossCheck.ts";
import { decodeContributions } from "../../src/continual/statistics/contributionFile.ts";
import { hashRow } from "../../src/continual/statistics/fixedRows.ts";
import { statisticsFile } from "../../src/model/taskFiles.ts";
import { compareChecks, qualityOf } from "../../src/store/quality.ts";
import { readStore } from "../../src/workspace/reading.ts";
import { workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

const PARTS = 5;
const labels = ["aa", "bb", "cc"];
const examples = texts(labels, "train", 7);

/** The hash of every example's row; rows lie in the order in which their texts came. */
async function hashesOf(folder: string): Promise<ReadonlyMap<string, number>> {
  const { tasks } = await readStore(folder);
  const hashes = new Map<string, number>();
  for (const { adapter } of tasks) {
    const path = join(folder, adapter.folder, statisticsFile);
    for (const { label, rows } of decodeContributions(await readFile(path), path).contributions) {
      const own = examples.filter((each) => each.label === label);
      for (const [row, { text }] of own.entries())
        hashes.set(text, hashRow(rows.values.subarray(row * rows.width, (row + 1) * rows.width)));
    }
  }
  return hashes;
}

describe("a store's quality", () => {
  test("is what stores without the texts that are asked answer them with", async () => {
    const { at, open } = await workshop();
    await using store = await open("whole");
    await store.correct(examples);
    const checked = await store.check();
    expect(checked?.check.rows).toHaveLength(examples.length);
    const hashes = await hashesOf(at("whole"));
    const place = (text: string) => {
      const { label } = examples.find((each) => each.text === text) ?? {};
      const own = examples.filter((each) => each.label === label).map((each) => hashes.get(each.text) ?? 0);
      return own.toSorted((a, b) => a - b).indexOf(hashes.get(text) ?? 0);
    };
    for (let part = 0; part < PARTS; part++) {
      const isLeftOut = ({ text }: { readonly text: string }) => place(text) % PARTS === part;
      const asked = examples.filter(isLeftOut);
      await using other = await open(`without-${part}`);
      await other.correct(examples.filter((each) => !isLeftOut(each)));
      const answers = await other.predict(asked.map(({ text }) => text));
      for (const [i, { text }] of asked.entries()) {
        const row = checked?.check.rows.find(({ hash }) => hash === hashes.get(text));
        expect({ text, answer: row?.answer }).toEqual({ text, answer: answers[i]?.label });
        expect(row?.score).toBeCloseTo(answers[i]?.score ?? 0, 3);
      }
    }
  });

  test("has five parts, and of many rows as many more as make the first one small, one within the other", () => {
    expect([30, 1500, 7500, 7501, 15_000, 15_001].map(partsOf)).toEqual([5, 5, 5, 10, 10, 20]);
  });

  test("counts what was right, class by class, and which classes were taken for each other", () => {
    const rows = [
      { label: "a", hash: 1, answer: "a", score: 0.95 },
      { label: "a", hash: 2, answer: "b", score: 0.55 },
      { label: "b", hash: 3, answer: "b", score: 1 },
      { label: "b", hash: 4, answer: "b", score: 0.58 },
    ];
    const tasks = [
      { name: "one", labels: ["a"] },
      { name: "two", labels: ["b"] },
      { name: "new", labels: ["c"] },
    ];
    expect(qualityOf({ check: { rows, tooFew: ["c"] }, tasks })).toEqual({
      judged: 4,
      right: 3,
      classes: [
        { label: "a", judged: 2, right: 1 },
        { label: "b", judged: 2, right: 2 },
      ],
      tasks: [
        { task: "one", judged: 2, right: 1 },
        { task: "two", judged: 2, right: 2 },
      ],
      confused: [{ label: "a", answer: "b", texts: 1 }],
      calibration: [
        { from: 0.5, to: 0.6, meanScore: expect.closeTo(0.565), judged: 2, right: 1 },
        { from: 0.9, to: 1, meanScore: expect.closeTo(0.975), judged: 2, right: 2 },
      ],
      tooFew: ["c"],
    });
    const after = [
      { label: "a", hash: 1, answer: "b", score: 1 },
      { label: "a", hash: 2, answer: "a", score: 1 },
      { label: "b", hash: 3, answer: "b", score: 1 },
      { label: "c", hash: 9, answer: "c", score: 1 },
    ];
    const compared = compareChecks({ rows, tooFew: [] }, { rows: after, tooFew: [] });
    expect(compared).toEqual({ judged: 3, rightBefore: 2, rightAfter: 2 });
  });

  test("is none where a class has one text, and none of an empty store", async () => {
    const { open } = await workshop();
    await using store = await open("few");
    expect(await store.check()).toBeUndefined();
    await store.correct([{ text: "a b", label: "one" }]);
    expect(await store.check()).toBeUndefined();
    const { before, after, compared } = await store.preview([
      { text: "c d", label: "one" },
      { text: "e f", label: "two" },
    ]);
    expect({ before, compared }).toEqual({ before: undefined, compared: undefined });
    expect(after).toMatchObject({ judged: 2, tooFew: ["two"] });
    expect(store.version).toBe(2);
  });
});
