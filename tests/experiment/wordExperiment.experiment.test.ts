/** Words from the configuration on: run, resume, predict, and what the figures are made of. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { countEntities, poolCounts, scoreCounts } from "../../src/continual/taskTypes/entityMetrics.ts";
import { DataError, StoreError } from "../../src/core/errors.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { readConll } from "../../src/data/files/conll.ts";
import type { TaggedSentence } from "../../src/data/files/tags.ts";
import { maskTypes } from "../../src/data/wordStream.ts";
import { readPredictions } from "../../src/experiment/predictions.ts";
import { decodeSafetensors } from "../../src/io/safetensors.ts";
import { readRunRecord } from "../../src/report/record/record.ts";
import { renderTables } from "../../src/report/terminal.ts";
import { openRun } from "../../src/store/openRun.ts";
import { finishOf, isA, TinyRuns, warningsOf, wordMetrics } from "../support/runs.ts";
import { conll, writeTinyWords } from "../support/tinyStreams.ts";
import { tolerances } from "../support/tolerances.ts";

const division = [["animal", "building"], ["colour"], ["dish"]] as const;

const runs = new TinyRuns({ "training.epochs": 5 });
const { root } = runs;
const rules = ["own", "first"] as const;
const told: { [rule: string]: readonly RunEvent[] } = {};

const metricsOf = (from: readonly RunEvent[]) => wordMetrics(finishOf(from));

const keysIn = async (path: string) => [...decodeSafetensors(await readFile(path), path).tensors.keys()];

/** Tags as the answers' entities have them: a way from text to figures that is not the run's own. */
async function predictedTags(
  run: string,
  sentences: readonly TaggedSentence[],
  task?: string,
): Promise<string[][]> {
  await using predictor = await openRun(run);
  const options = task === undefined ? {} : { task };
  const answers = await predictor.findEntities(
    sentences.map(({ words }) => ({ text: "", words })),
    options,
  );
  return sentences.map(({ words }, i) => {
    let next = 0;
    const starts = words.map((word) => {
      const start = next;
      next += word.length + 1;
      return start;
    });
    const tags = words.map(() => "O");
    for (const { type, start, end } of answers[i]?.entities ?? [])
      for (const [w, at] of starts.entries())
        if (at >= start && at < end) tags[w] = `${at === start ? "B" : "I"}-${type}`;
    return tags;
  });
}

beforeAll(async () => {
  await runs.furnish(writeTinyWords);
  for (const outside of rules) told[outside] = await runs.run(outside, { outside });
});

describe.each(rules)("a run, outside: %s", (outside) => {
  const rule = { outside };
  const folder = join(root, outside);
  let events: readonly RunEvent[] = [];
  beforeAll(() => {
    events = told[outside] ?? [];
  });

  test("learns every task's types and finds them in a test set that all share", () => {
    const { cil, til } = metricsOf(events);
    expect(cil.microF1).toBeGreaterThan(0.8);
    expect(til.microF1).toBeGreaterThan(0.8);
    expect(Object.keys(cil.perType).sort()).toEqual(division.flat());
    expect(cil.typeMatrix.types).toEqual(division.flat());
    expect(cil.typeMatrix.f1.map((row) => row.map((value) => value === null))).toEqual([
      [false, false, false],
      [false, false, false],
      [true, false, false],
      [true, true, false],
    ]);
    expect(cil.passesPerExample).toBe(3);
    // Where only the first task has an O, the others need it.
    expect(til.passesPerExample).toBe(outside === "own" ? 1 : 5 / 3);
    expect([til.forgetting, til.backwardTransfer]).toEqual([0, 0]);
  });

  test("says of what it is made, task by task", () => {
    const [started] = events;
    if (started?.type !== "run-started") throw new TypeError("the run did not start");
    expect(started.header.level).toBe("word");
    expect(started.header.tasks.map(({ types }) => types)).toEqual(division);
    expect(started.header.tasks[1]?.labels).toEqual(["B-colour", "I-colour"]);
    const scored = events.filter((event) => event.type === "words-evaluated");
    expect(scored.map(({ cil }) => cil.perTask.length)).toEqual([1, 2, 3]);
    const [, middle] = scored;
    expect(Object.keys(middle?.cil.perType ?? {}).sort()).toEqual(["animal", "building", "colour"]);
  });

  test("has the scores of its own predictions", async () => {
    const { sentences } = await readConll(join(root, "test.conll"));
    const { cil, til } = metricsOf(events);
    const gold = sentences.map(({ tags }) => tags);
    const together = scoreCounts(countEntities(gold, await predictedTags(folder, sentences)));
    expect([cil.microF1, cil.macroF1]).toEqual([together.micro.f1, together.macro?.f1]);
    expect(cil.perType).toEqual(together.perType);
    const counts = [];
    for (const [task, types] of division.entries()) {
      const own = maskTypes(sentences, types).map(({ tags }) => tags);
      const found = await predictedTags(folder, sentences, `task-${task}`);
      counts.push(countEntities(own, found));
      expect(til.matrix[2]?.[task]).toBe(scoreCounts(counts[task] ?? new Map()).micro.f1);
    }
    expect(til.microF1).toBe(scoreCounts(poolCounts(counts)).micro.f1);
  });

  test("records every answer, with what was looked for", async () => {
    const { sentences } = await readConll(join(root, "test.conll"));
    const lines = await readPredictions(folder);
    const last = lines.filter(({ protocol, learned }) => protocol === "cil" && learned === 3);
    expect(last.map(({ index }) => index)).toEqual([...sentences.keys()]);
    await using predictor = await openRun(folder);
    const found = await predictor.findEntities(sentences.map(({ words }) => ({ text: "", words })));
    expect(last.map((line) => ("entities" in line ? line.entities : []))).toEqual(
      found.map(({ entities }) => entities),
    );
    const gold = last.flatMap((line) => ("goldEntities" in line ? line.goldEntities : []));
    expect(gold).toHaveLength(sentences.flatMap(({ tags }) => tags.filter((tag) => tag[0] === "B")).length);
    // A task's own types alone are looked for by its own adapter.
    const own = lines.filter(
      ({ protocol, learned, task }) => protocol === "til" && learned === 3 && task === "task-1",
    );
    expect(own).toHaveLength(sentences.length);
    const types = own.flatMap((line) =>
      "entities" in line ? [...line.goldEntities, ...line.entities].map(({ type }) => type) : [],
    );
    expect(new Set(types)).toEqual(new Set(["colour"]));
  });

  test("leaves metrics, matrices, tables and a report", async () => {
    const { cil, ...rest } = metricsOf(events);
    expect(JSON.parse(await readFile(join(folder, "metrics.json"), "utf8"))).toEqual({ ...rest, cil });
    const csv = await readFile(join(folder, "cil_matrix.csv"), "utf8");
    expect(csv.split("\n")[3]).toBe(["task-2", ...(cil.matrix[2] ?? [])].join(","));
    const record = await readRunRecord(folder);
    const tables = renderTables(record, { color: false, width: 80 });
    const percent = (value: number) => (100 * value).toFixed(1);
    expect(tables).toMatch(
      new RegExp(`micro F1, % +${percent(cil.microF1)} +${percent(rest.til.microF1)}\n`),
    );
    expect(tables).toMatch(
      new RegExp(`colour +– +${percent(cil.typeMatrix.f1[2]?.[1] ?? -1).replace("100.0", "100")} `),
    );
    expect(tables).toContain(
      `Baseline (hashed spellings, LDA, no network): CIL ${percent(rest.baseline?.cil ?? -1)} %`,
    );
    expect(tables).not.toContain("accuracy");
    const page = await readFile(join(folder, "report.html"), "utf8");
    expect(page).toContain("F1 of each entity type after each task");
    expect(page).toContain("3 tasks, 4 entity types");
    expect(page).toContain("Baseline, CIL");
    expect(page.match(/<bdi>dish<\/bdi>/g)).toHaveLength(2);
    expect(page).not.toContain("accuracy A");
  });

  test("keeps its adapters as token classifiers of peft's", async () => {
    for (const [task, slots] of [
      [0, ["O", "B-animal", "I-animal", "B-building", "I-building"]],
      [1, [...(outside === "own" ? ["O"] : []), "B-colour", "I-colour"]],
    ] as const) {
      const adapter = join(folder, "adapters", `task-${task}`);
      expect((await readdir(adapter)).sort()).toEqual([
        ".accrete",
        "accrete.json",
        "adapter_config.json",
        "adapter_model.safetensors",
      ]);
      expect(JSON.parse(await readFile(join(adapter, "adapter_config.json"), "utf8"))).toMatchObject({
        task_type: "TOKEN_CLS",
        modules_to_save: ["classifier", "score"],
      });
      const own = JSON.parse(await readFile(join(adapter, "accrete.json"), "utf8"));
      expect(own).toMatchObject({ level: "word", labels: slots });
      expect(await keysIn(join(adapter, "adapter_model.safetensors"))).toEqual(
        expect.arrayContaining([
          "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight",
          "base_model.model.classifier.bias",
          "base_model.model.classifier.weight",
        ]),
      );
    }
  });

  test("goes on after an interruption, and ends with the same bytes", async () => {
    const cut = `${outside}-cut`;
    await runs.abort(cut, rule, isA("step", 1));
    expect(Object.keys(await runs.adapterBytes(cut)).some((path) => path.startsWith("task-1"))).toBe(false);
    const rest = await runs.run(cut, rule, { resume: true });
    const whole = await runs.adapterBytes(outside);
    expect(Object.keys(whole)).toHaveLength(12);
    expect(await runs.adapterBytes(cut)).toEqual(whole);
    expect(await readPredictions(runs.at(cut))).toEqual(await readPredictions(folder));
    const { cil, til } = metricsOf(events);
    expect(metricsOf(rest)).toMatchObject({ cil, til });
  });

  test("stops by the micro F1 of the task's own validation sentences", async () => {
    const settings = { ...rule, "training.epochs": 1, "training.earlyStopping": { patience: 1 } };
    const short = `${outside}-short`;
    const stopped = await runs.run(short, settings);
    const { sentences } = await readConll(join(root, "validation.conll"));
    const accuracies = stopped.flatMap((event) => (event.type === "epoch" ? [event.validationAccuracy] : []));
    expect(accuracies).toHaveLength(3);
    for (const [task, types] of division.entries()) {
      const gold = maskTypes(sentences, types).map(({ tags }) => tags);
      const found = await predictedTags(join(root, short), sentences, `task-${task}`);
      expect(accuracies[task]).toBe(scoreCounts(countEntities(gold, found)).micro.f1);
    }
  });
});

describe("other adapters and heads", () => {
  test("a prompt: learned, read again, and the same after an interruption", async () => {
    const settings = {
      method: { adapter: "prompt-tuning", virtualTokens: 5, init: "auto" },
      "training.learningRate": 5e-2,
    };
    const { cil } = metricsOf(await runs.run("prompt", settings));
    expect(cil.microF1).toBeGreaterThan(0.6);
    const { sentences } = await readConll(join(root, "test.conll"));
    const gold = sentences.map(({ tags }) => tags);
    const found = await predictedTags(join(root, "prompt"), sentences);
    expect(scoreCounts(countEntities(gold, found)).micro.f1).toBe(cil.microF1);
    const folder = join(root, "prompt", "adapters", "task-1");
    expect(JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8"))).toMatchObject({
      task_type: "TOKEN_CLS",
      prompt_tuning_init_text: "Classify the entities in this sentence:",
    });
    expect(await keysIn(join(folder, "adapter_model.safetensors"))).toEqual([
      "base_model.classifier.bias",
      "base_model.classifier.weight",
      "prompt_embeddings",
    ]);
    await runs.abort("prompt-cut", settings, isA("step", 2));
    await runs.run("prompt-cut", settings, { resume: true });
    expect(await runs.adapterBytes("prompt-cut")).toEqual(await runs.adapterBytes("prompt"));
  });

  test("a cosine head lies beside its adapter, and is still one over words", async () => {
    const { cil } = metricsOf(await runs.run("cosine", { head: "cosine", "stream.sampling": "greedy" }));
    expect(cil.microF1).toBeGreaterThan(0.6);
    const folder = join(root, "cosine", "adapters", "task-2");
    expect(await readdir(folder)).toContain("head.safetensors");
    await using predictor = await openRun(join(root, "cosine"));
    expect(predictor.level).toBe("word");
    const { sentences } = await readConll(join(root, "test.conll"));
    const found = await predictedTags(join(root, "cosine"), sentences);
    const gold = sentences.map(({ tags }) => tags);
    expect(scoreCounts(countEntities(gold, found)).micro.f1).toBe(cil.microF1);
  });
});

describe.each(rules)("predictions, outside: %s", (outside) => {
  const folder = join(root, outside);

  test("have places in the text, whatever white space it has", async () => {
    await using predictor = await openRun(folder);
    const text = "text  a g\tnumber\n2004   c end";
    const [answer] = await predictor.findEntities([{ text }]);
    expect(answer).toMatchObject({ text, passes: 3 });
    expect(answer?.entities.map(({ score: _, ...entity }) => entity)).toEqual([
      { type: "animal", word: "a g", start: 6, end: 9 },
      { type: "colour", word: "c", start: 24, end: 25 },
    ]);
    for (const { score } of answer?.entities ?? []) {
      expect(score).toBeGreaterThan(0.5);
      expect(score).toBeLessThanOrEqual(1);
    }
  });

  test("take words that were split already, and texts without any", async () => {
    await using predictor = await openRun(folder);
    const words = ["text", "d", "j", "number", "9", "end"];
    const [split, empty] = await predictor.findEntities([{ text: "", words }, { text: " " }]);
    expect(split).toMatchObject({
      text: "text d j number 9 end",
      entities: [{ type: "dish", word: "d j", start: 5, end: 8 }],
    });
    expect(empty).toMatchObject({ text: " ", entities: [], passes: 3 });
  });

  test("with a task: its own types alone, by its own adapter, and where it has no O by the first one's", async () => {
    await using predictor = await openRun(folder);
    const texts = [{ text: "text a g number 2004 c end" }];
    const [first] = await predictor.findEntities(texts, { task: "task-0" });
    const [second] = await predictor.findEntities(texts, { task: "task-1" });
    expect(first?.entities.map(({ type }) => type)).toEqual(["animal"]);
    expect(second?.entities.map(({ type }) => type)).toContain("colour");
    expect([first?.passes, second?.passes]).toEqual([1, outside === "own" ? 1 : 2]);
    await expect(predictor.findEntities(texts, { task: "task-9" })).rejects.toThrow(/no task is called/);
  });

  test("are the same alone and in company", async () => {
    await using predictor = await openRun(folder);
    const texts = Array.from({ length: 40 }, (_, i) => ({
      text: `text ${"abcd"[i % 4]} ${"word ".repeat(i % 7)}end`,
    }));
    const together = await predictor.findEntities(texts);
    for (const i of [0, 13, 39]) {
      const [alone] = await predictor.findEntities([texts[i] ?? { text: "" }]);
      expect(alone?.entities.map(({ type, start }) => [type, start])).toEqual(
        together[i]?.entities.map(({ type, start }) => [type, start]),
      );
      for (const [n, { score }] of (alone?.entities ?? []).entries())
        expect(Math.abs(score - (together[i]?.entities[n]?.score ?? 2))).toBeLessThanOrEqual(
          tolerances.float32,
        );
    }
  });

  test("are not labels of texts", async () => {
    await using predictor = await openRun(folder);
    await expect(predictor.predict([{ text: "a" }])).rejects.toThrow(StoreError);
    await expect(predictor.predict([{ text: "a" }])).rejects.toThrow(/tags words/);
  });
});

describe("bad input", () => {
  /** A run on the tiny data with one file replaced. */
  async function runWith(split: "train" | "test", text: string): Promise<RunEvent[]> {
    const file = join(root, `bad-${split}.conll`);
    await writeFile(file, text);
    const out = `bad-${Math.random()}`;
    return runs.run(out, { [`stream.${split}`]: file, "training.epochs": 1 });
  }

  test("a line without a tag: its file and number", async () => {
    const text = conll(0, 8).replace("number\tO\n2\t", "number\n2\t");
    const line = text.split("\n").indexOf("number") + 1;
    const running = runWith("train", text);
    await expect(running).rejects.toThrow(DataError);
    await expect(running).rejects.toThrow(`bad-train.conll, line ${line}: the word "number" has no tag`);
  });

  test("a type that train has not", async () => {
    const running = runWith("test", `${conll(2000, 4)}\nend\tB-colur\n`);
    await expect(running).rejects.toThrow(/test has an entity type that train has not: "colur"/);
  });

  test("an I- without a beginning is read as one, and the run says so", async () => {
    const told = await runWith("test", `${conll(2000, 4)}\ntext\tO\na\tI-animal\nend\tO\n`);
    const notes = warningsOf(told);
    expect(notes).toContainEqual(expect.stringMatching(/1 I- tag without a beginning before, .* read as B-/));
    const { cil } = metricsOf(told);
    const sentences = (await readConll(join(root, "bad-test.conll"))).sentences;
    expect(sentences.at(-1)?.tags).toEqual(["O", "B-animal", "O"]);
    expect(cil.perType.animal?.support).toBe(3);
  });

  test("words beyond the length stay in the figures as missed, and the run says how many", async () => {
    // The model reads 32 tokens, two of them special.
    const long = `${"e\tO\n".repeat(40)}a\tB-animal\n`;
    const told = await runWith("test", `${conll(2000, 4)}\n${long}`);
    const notes = warningsOf(told);
    expect(notes).toContainEqual(expect.stringMatching(/^Words of test beyond training.maxLength: 11;/));
    expect(metricsOf(told).cil.perType.animal?.support).toBe(3);
  });
});
