/** What every task type must do by every interface. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32 } from "../../src/core/tensor.ts";
import {
  type AnswerOptions,
  type Learner,
  loadAdapter,
  type Prediction,
  type Store,
  type TaggedText,
  type TaskTypeName,
} from "../../src/index.ts";
import { failureOf } from "../support/errors.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { expectClose, relativeDifference, tolerances } from "../support/tolerances.ts";
import { interfaces, learnThird, type Taught, teachAlone } from "./interfaces.ts";
import { type Material, materials } from "./materials.ts";

type Model = Store | Learner;
type Answers = readonly (Prediction | TaggedText)[];

const textOf = (item: { readonly text?: string; readonly words?: readonly string[] }) =>
  item.text ?? item.words?.join(" ") ?? "";

async function ask(
  model: Pick<Model, "level" | "predict" | "findEntities">,
  texts: readonly string[],
  options: AnswerOptions = {},
): Promise<Answers> {
  const answers: Answers =
    model.level === "word" ? await model.findEntities(texts, options) : await model.predict(texts, options);
  return answers.map(({ version: _, ...answer }) => answer);
}

/** What is said of a text, without how sure it is. */
function saidOf(answer: Answers[number]): unknown {
  if (!("entities" in answer)) return { label: answer.label, task: answer.task, passes: answer.passes };
  return { entities: answer.entities.map(({ score: _, ...entity }) => entity) };
}

function scoresOf(answer: Answers[number]): readonly number[] {
  if ("entities" in answer) return answer.entities.map(({ score }) => score);
  return [answer.score];
}

/** The same answers, and the same scores but for rounding. */
function expectAlike(actual: Answers, expected: Answers): void {
  expect(actual.map(saidOf)).toEqual(expected.map(saidOf));
  const [own, other] = [actual.flatMap(scoresOf), expected.flatMap(scoresOf)];
  const largest = Math.max(0, ...other);
  own.forEach((score, i) => {
    expect(Math.abs(score - (other[i] ?? Number.NaN))).toBeLessThanOrEqual(tolerances.float32 * largest);
  });
}

/** The classes that answers name. */
function namedBy(answers: Answers): ReadonlySet<string> {
  return new Set(
    answers.flatMap((answer) =>
      "entities" in answer ? answer.entities.map(({ type }) => type) : (answer.label ?? []),
    ),
  );
}

async function share(model: Model, items: Parameters<Model["evaluate"]>[0], options: AnswerOptions) {
  const figures = await model.evaluate(items, options);
  return "accuracy" in figures ? figures.accuracy : figures.microF1;
}

function conformance(title: string, material: Material): void {
  const { lessons, both, taskType, reaches } = material;
  const [first, second, third] = lessons;
  const questions = both.map(textOf);
  const known = new Set([...first.classes, ...second.classes]);
  const root = folderOfTestFile("conformance");
  const backbone = join(root, "model");
  /** Every way to ask; routed without any. */
  const ways: readonly AnswerOptions[] = [{ exact: true }, { task: "task-0" }, { task: "task-1" }, {}];

  beforeAll(() => material.writeBackbone(backbone));

  describe.each(Object.entries(interfaces))(`${title}, %s`, (name, { teach }) => {
    const folder = join(root, name);
    let taught: Taught;
    beforeAll(async () => {
      await mkdir(folder);
      taught = await teach(material, folder, backbone);
    });
    afterAll(() => taught.model[Symbol.asyncDispose]());

    test("the second task leaves the first one's files as they are, byte for byte", () => {
      expect(Object.keys(taught.first.before)).toContain("adapter_model.safetensors");
      expect(taught.first.after).toEqual(taught.first.before);
    });

    test("it knows what it learned", () => {
      expect(taught.model.taskType).toBe(taskType);
      expect(taught.model.tasks.map((task) => task.name)).toEqual(["task-0", "task-1"]);
      expect(new Set(taught.model.classes)).toEqual(known);
    });

    test("what was saved and restored answers the same", async () => {
      await using restored = await taught.restore();
      expect(restored.tasks).toEqual(taught.model.tasks);
      for (const options of ways) {
        if (!taught.restoresRouter && options.exact === undefined && options.task === undefined) continue;
        expect(await ask(restored, questions, options)).toEqual(await ask(taught.model, questions, options));
      }
    });

    test("an adapter that was saved answers by itself as its task did", async () => {
      const at = join(folder, "adapter");
      await taught.model.saveAdapter("task-0", at);
      const maxLength = material.settings.training?.maxLength ?? 32;
      await using alone = await loadAdapter(at, { name: "task-0", maxLength, threads: 1 });
      expect(alone.taskType).toBe(taskType);
      expect(new Set(alone.classes)).toEqual(new Set(first.classes));
      const task = "task-0";
      expectAlike(await ask(alone, questions), await ask(taught.model, questions, { task }));
    });

    test.each(ways)("alone or in a batch the same answers: %j", async (options) => {
      const together = await ask(taught.model, questions, options);
      const alone: Answers[number][] = [];
      for (const question of questions) alone.push(...(await ask(taught.model, [question], options)));
      expectAlike(alone, together);
    });

    test("a task answers with its own classes, and knows them", async () => {
      for (const lesson of [first, second]) {
        const task = lesson.name;
        const answers = await ask(taught.model, questions, { task });
        for (const label of namedBy(answers)) expect(lesson.classes).toContain(label);
        expect(await share(taught.model, lesson.test, { task })).toBeGreaterThanOrEqual(reaches.task);
      }
    });

    test.each([
      ["exact", { exact: true }, reaches.exact],
      ["routed", {}, reaches.routed],
    ] as const)("%s answers choose among all classes", async (_, options, least) => {
      const answers = await ask(taught.model, questions, options);
      for (const label of namedBy(answers)) expect(known).toContain(label);
      expect(await share(taught.model, both, options)).toBeGreaterThanOrEqual(least);
    });

    test("every item's answer stands in an evaluation, as it is given", async () => {
      const { predictions, items } = await taught.model.evaluate(first.test, { exact: true });
      const answers = await ask(taught.model, first.test.map(textOf), { exact: true });
      expect(items).toBe(first.test.length);
      expect(predictions.map((line) => ("label" in line ? line.label : line.entities))).toEqual(
        answers.map((answer) => ("label" in answer ? answer.label : answer.entities)),
      );
    });

    test("texts have vectors, where a model reads texts", async () => {
      const embedded = taught.model.embed(questions.slice(0, 2));
      if (taskType === "token-classification") {
        expect((await failureOf(embedded)).message).toContain("tags words, and has no vector of a text");
        return;
      }
      const [one, two] = await embedded;
      const [again] = await taught.model.embed(questions.slice(0, 1));
      const width = taskType === "text-generation" ? 32 : 16;
      const vector = (values: Float32Array | undefined) => float32(Float32Array.from(values ?? []), [width]);
      expectClose(vector(again), vector(one), tolerances.float32);
      expect(relativeDifference(vector(two), vector(one))).toBeGreaterThan(0.01);
    });

    test("texts are continued, where a model generates text", async () => {
      const generating = taught.model.generate(["lamp 7"], { maxNewTokens: 4 });
      if (taskType !== "text-generation") {
        expect((await failureOf(generating)).message).toContain("generates no text");
        return;
      }
      const [answer] = await generating;
      expect(["task-0", "task-1"]).toContain(answer?.task);
      const [newest] = await taught.model.generate(["lamp 7"], { maxNewTokens: 4, exact: true });
      expect(newest?.task).toBe("task-1");
      const [own] = await taught.model.generate(["lamp 7"], { maxNewTokens: 4, task: "task-0" });
      expect(own?.task).toBe("task-0");
    });

    test("it learns a third task, goes back, merges one that was learned elsewhere, and forgets", async () => {
      const { model } = taught;
      const own = await ask(model, questions, { task: "task-0" });
      const before = await ask(model, questions);
      await learnThird(model, material);
      expect(model.classes).toEqual([...known, ...third.classes].sort());
      expect(await ask(model, questions, { task: "task-0" })).toEqual(own);
      expect(await share(model, third.test, { task: "task-2" })).toBeGreaterThanOrEqual(reaches.task);

      await model.rollback();
      expect(model.tasks.map((task) => task.name)).toEqual(["task-0", "task-1"]);
      expect(await ask(model, questions)).toEqual(before);

      const kind = "path" in model ? "store" : "learner";
      const elsewhere = await teachAlone(kind, material, third, join(folder, "elsewhere"), backbone);
      const alone = await ask(elsewhere, third.test.map(textOf), { task: "task-2" });
      if ("path" in model) await model.merge(join(folder, "elsewhere"));
      else if (!("path" in elsewhere)) await model.merge(elsewhere);
      expect(model.tasks.map((task) => task.name)).toEqual(["task-0", "task-1", "task-2"]);
      expect(await ask(model, third.test.map(textOf), { task: "task-2" })).toEqual(alone);
      expect(await ask(model, questions, { task: "task-0" })).toEqual(own);

      const [gone = ""] = first.classes;
      const forgotten = await model.forget({ class: gone });
      expect(forgotten.classes).toEqual([gone]);
      expect(model.classes).not.toContain(gone);
      for (const options of ways) expect(namedBy(await ask(model, questions, options))).not.toContain(gone);
      expect((await failureOf(model.forget({ class: gone }))).message).toContain(`no class called "${gone}"`);

      const second1 = await ask(model, questions, { task: "task-1" });
      await model.forget({ task: "task-0" });
      expect(model.tasks.map((task) => task.name)).toEqual(["task-1", "task-2"]);
      expect(await ask(model, questions, { task: "task-1" })).toEqual(second1);
      for (const label of namedBy(await ask(model, questions))) expect(first.classes).not.toContain(label);
      expect((await failureOf(ask(model, questions, { task: "task-0" }))).message).toContain(
        "no task is called",
      );
    });
  });
}

/** Runs the suite over all heads and adapters of a task type. */
export function conformanceOf(taskType: TaskTypeName): void {
  for (const [title, material] of Object.entries(materials[taskType])) conformance(title, material);
}
