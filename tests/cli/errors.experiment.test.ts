/** What a run recorded of every answer: read as data, and what was answered wrong. */
import { rm, writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { scoreCounts } from "../../src/continual/taskTypes/entityMetrics.ts";
import type { Protocol } from "../../src/index.ts";
import { computeMetrics, readRun } from "../../src/index.ts";
import { accrete, ask, succeed } from "../support/cli.ts";
import { failureOf } from "../support/errors.ts";
import { sentenceMetrics, TinyRuns, wordMetrics } from "../support/runs.ts";
import { jsonl, labels, texts, writeTinyExperiment, writeTinyWords } from "../support/tinyStreams.ts";

const ofTexts = new TinyRuns({ "training.epochs": 1, router: "lda" });
const ofWords = new TinyRuns({ "training.epochs": 3 });

beforeAll(async () => {
  await ofTexts.furnish(writeTinyExperiment);
  await ofTexts.run("run");
  await ofWords.furnish(writeTinyWords);
  await ofWords.run("run");
});

describe("of texts", () => {
  test("a run is read as data, and its figures follow from it", async () => {
    const run = await readRun(ofTexts.at("run"));
    expect(run.config.training.epochs).toBe(1);
    expect(run.tasks.map(({ name }) => name)).toEqual(["task-0", "task-1", "task-2"]);
    const rows = run.tasks.flatMap(({ evaluated }) => evaluated ?? []);
    const { cil, til, routed } = sentenceMetrics(run);
    expect(computeMetrics("sentence", rows, run.header.tasks)).toMatchObject({ cil, til, routed });
    const accuracy = (protocol: Protocol, learned: number) => {
      const lines = run.predictions.filter((line) => line.protocol === protocol && line.learned === learned);
      return lines.filter((line) => "gold" in line && line.gold === line.label).length / lines.length;
    };
    expect(accuracy("cil", 3)).toBeCloseTo(cil.sampleAccuracy, 12);
    expect(accuracy("til", 3)).toBeCloseTo(til.sampleAccuracy, 12);
    expect(accuracy("routed", 3)).toBeCloseTo(routed?.sampleAccuracy ?? Number.NaN, 12);
  });

  test("errors are counted by pair and class, and shown with their texts", async () => {
    const { predictions } = await readRun(ofTexts.at("run"));
    const lines = predictions.filter(({ protocol, learned }) => protocol === "cil" && learned === 3);
    const wrong = lines.filter((line) => "gold" in line && line.gold !== line.label);
    expect(wrong.length).toBeGreaterThan(0);
    const [errors] = await ask("errors", ofTexts.at("run"), "--protocol", "cil", "--top", "100");
    expect(errors).toMatchObject({
      level: "sentence",
      protocol: "cil",
      learned: 3,
      items: 36,
      wrong: wrong.length,
    });
    const counted = errors.confusions.map(({ count }: { count: number }) => count);
    expect(counted.reduce((sum: number, count: number) => sum + count, 0)).toBe(wrong.length);
    expect(counted).toEqual(counted.toSorted((a: number, b: number) => b - a));
    expect(errors.perClass.map(({ label }: { label: string }) => label).sort()).toEqual([...labels]);
    const tests = texts(labels, "test", 6);
    for (const { gold, text, task, index } of errors.examples) {
      expect(tests).toContainEqual({ text, label: gold });
      expect(wrong).toContainEqual(expect.objectContaining({ task, index, gold }));
    }
    expect(errors).not.toHaveProperty("note");

    const shown = await succeed("errors", ofTexts.at("run"), "--top", "2");
    expect(shown).toMatch(/^protocol +routed, after 3 tasks\ntexts +36\nwith errors +\d+\n/);
    const all = await succeed("errors", ofTexts.at("run"), "--top", "2", "--protocol", "cil");
    expect(all).toMatch(/\nmost confused\ncount +is +answered\n/);
    expect(all).toMatch(/\naccuracy by class \(the worst 2 of 6\)\nclass +texts +accuracy\n/);
    expect(all).toMatch(
      /\nwrong answers, the surest first\ntask-\d \d+: \w test number \d \w\n {2}\w\w, answered \w\w \(\d\.\d{3}\)\n/,
    );
  });

  test("evaluating the test file anew gives the run's own figures", async () => {
    const { metrics } = await readRun(ofTexts.at("run"));
    const [figures] = await ask("evaluate", ofTexts.at("run"), ofTexts.at("test.jsonl"), "--exact");
    expect(figures.accuracy).toBeCloseTo(sentenceMetrics({ metrics }).cil.sampleAccuracy, 12);
    expect(figures.predictions[0]).toEqual({
      gold: "aa",
      label: expect.any(String),
      score: expect.any(Number),
    });
    const text = await succeed("evaluate", ofTexts.at("run"), ofTexts.at("test.jsonl"), "--task", "task-0");
    expect(text).toMatch(/^accuracy +\d+\.\d %\ntexts +36\n\nclass +texts +accuracy\naa +6 +\d+\.\d %\n/);
  });

  test("what cannot be evaluated or analysed is refused", async () => {
    await writeFile(ofTexts.at("empty.jsonl"), "");
    const empty = await accrete("evaluate", ofTexts.at("run"), ofTexts.at("empty.jsonl"));
    expect(empty).toMatchObject({ exitCode: 2, out: "" });
    expect(empty.err).toContain("empty.jsonl: holds no examples");
    const protocol = await accrete("errors", ofWords.at("run"), "--protocol", "routed");
    expect(protocol.exitCode).toBe(2);
    expect(protocol.err).toContain("the run has no answers of protocol routed");
    const nowhere = await accrete("errors", ofTexts.root);
    expect(nowhere.exitCode).toBe(2);
    expect(nowhere.err).toContain("no events.jsonl");
    expect((await failureOf(readRun(ofTexts.at("nowhere")))).message).toContain("no events.jsonl");
  });

  test("where the data changed or is gone, texts are left out, and it is said why", async () => {
    await writeFile(ofTexts.at("test.jsonl"), jsonl(texts(labels, "test", 7)));
    const [changed] = await ask("errors", ofTexts.at("run"), "--protocol", "cil");
    expect(changed.note).toBe("No texts are shown: the data has changed since the run.");
    await rm(ofTexts.at("test.jsonl"));
    const [gone] = await ask("errors", ofTexts.at("run"), "--protocol", "cil");
    expect(gone.note).toMatch(/^No texts are shown: the data is gone: .*test.jsonl does not exist/);
    for (const example of gone.examples) expect(example).not.toHaveProperty("text");
    const shown = await succeed("errors", ofTexts.at("run"), "--protocol", "cil");
    expect(shown).toMatch(/\ntask-\d \d+\n {2}\w\w, answered/);
    expect(shown).toContain("\n! No texts are shown: the data is gone");
  });
});

describe("of words", () => {
  interface Entity {
    readonly type: string;
    readonly start: number;
    readonly end: number;
  }

  test.each(["cil", "til"] as const)(
    "the recorded entities give the run's own %s figures",
    async (protocol) => {
      const run = await readRun(ofWords.at("run"));
      const lines = run.predictions.filter((line) => line.protocol === protocol && line.learned === 3);
      const key = ({ type, start, end }: Entity) => `${type} ${start} ${end}`;
      const counts = { correct: 0, predicted: 0, gold: 0 };
      for (const line of lines) {
        if (!("entities" in line)) throw new TypeError("a label where entities were asked for");
        const gold = new Set(line.goldEntities.map(key));
        counts.gold += gold.size;
        counts.predicted += line.entities.length;
        counts.correct += line.entities.filter((entity) => gold.has(key(entity))).length;
      }
      const { micro } = scoreCounts(new Map([["all", counts]]));
      expect(micro.f1).toBeCloseTo(wordMetrics(run)[protocol].microF1, 12);
    },
  );

  test("errors are counted by type, and shown with their sentences", async () => {
    const [errors] = await ask("errors", ofWords.at("run"), "--top", "100");
    expect(errors).toMatchObject({ level: "word", protocol: "cil", learned: 3, items: 24 });
    const { perType } = wordMetrics(await readRun(ofWords.at("run"))).cil;
    for (const { type, gold, missed, mistyped } of errors.perType) {
      const { support = Number.NaN, recall = Number.NaN } = perType[type] ?? {};
      expect(gold).toBe(support);
      expect(gold - missed - mistyped).toBeCloseTo(recall * support, 9);
    }
    expect(errors.examples).toHaveLength(errors.wrong);
    for (const { text, missed, spurious, mistyped } of errors.examples)
      for (const { word, start, end } of [...missed, ...spurious, ...mistyped])
        expect(text.slice(start, end)).toBe(word);
    const shown = await succeed("errors", ofWords.at("run"));
    expect(shown).toMatch(/\nerrors by type\ntype +entities +missed +spurious +mistyped\n/);
    expect(shown).toMatch(/\nsentences with errors\ntask-2 \d+: text \w/);
  });

  test("evaluating the test file anew gives the run's own figures", async () => {
    const [figures] = await ask("evaluate", ofWords.at("run"), ofWords.at("test.conll"), "--exact");
    const { microF1, macroF1, perType } = wordMetrics(await readRun(ofWords.at("run"))).cil;
    expect(figures).toMatchObject({ items: 24, perType });
    expect([figures.microF1, figures.macroF1]).toEqual([microF1, macroF1]);
  });
});
