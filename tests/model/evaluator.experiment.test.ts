/** An evaluation's figures against counting the answers that the same model predicts. */
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { type Answer, isTagged } from "../../src/continual/answers.ts";
import { AdaptedBackbone } from "../../src/continual/passes/adaptedBackbone.ts";
import { GenerativeBackbone } from "../../src/continual/passes/generativeBackbone.ts";
import { countEntities, poolCounts, scoreCounts } from "../../src/continual/taskTypes/entityMetrics.ts";
import { isLabelled, isTaggedSentence } from "../../src/continual/taskTypes/taskChecks.ts";
import type { Item, TaskTypeName, TestedTask } from "../../src/continual/taskTypes/taskType.ts";
import { maskTypes } from "../../src/data/wordStream.ts";
import type { ModelConfig } from "../../src/index.ts";
import type { ContinualModel, ModelPredictOptions } from "../../src/model/continualModel.ts";
import { openModel } from "../../src/model/openModel.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import { resolveModelSettings } from "../../src/model/settings/settings.ts";
import { emptyState, type ModelState } from "../../src/model/state.ts";
import { type Lesson, type Material, materials } from "../conformance/materials.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { tolerances } from "../support/tolerances.ts";
import { untilEnd } from "../support/untilEnd.ts";

const root = folderOfTestFile("evaluator");

interface Learned {
  readonly model: ContinualModel;
  /** After each task. */
  readonly states: readonly ModelState[];
  readonly tested: readonly TestedTask[];
  readonly next: TestedTask;
}

async function learn(material: Material, settings: Partial<ModelConfig>): Promise<Learned> {
  const backbone = join(root, material.taskType);
  await material.writeBackbone(backbone);
  const training = { ...material.settings.training, epochs: 3 };
  const resolved = resolveModelSettings(
    { ...material.settings, training, backbone, ...settings },
    "the test's settings",
  );
  const model = untilEnd(
    await openModel(resolved, await loadBackbone(backbone), {
      trunks: "memory",
      expectedLabels: material.lessons.flatMap(({ classes }) => classes),
    }),
  );
  let state = emptyState;
  const states: ModelState[] = [];
  const [first, second, third] = material.lessons;
  for (const { name, train, types } of [first, second]) {
    const learning = model.learn(state, model.withValidation({ name, train, types }));
    let next = await learning.next();
    while (!next.done) next = await learning.next();
    state = next.value.state;
    states.push(state);
  }
  return { model, states, tested: testsOf([first, second]), next: testsOf([third])[0]! };
}

/** Words of all tasks are tested on the same sentences; types of tasks to come are O. */
function testsOf(lessons: readonly Lesson[]): TestedTask[] {
  const seen: string[] = [];
  return lessons.map(({ name, classes, types, test: own }) => {
    if (types === undefined) return { name, labels: classes, test: own };
    seen.push(...types);
    const labels = classes.flatMap((type) => [`B-${type}`, `I-${type}`]);
    return {
      name,
      labels,
      types,
      test: maskTypes(materialOf("token-classification").both.filter(isTaggedSentence), seen),
    };
  });
}

function materialOf(type: TaskTypeName): Material {
  const [material] = Object.values<Material>(materials[type]);
  return material ?? expect.unreachable();
}

const always = { kind: "lda", topTasks: 2, secondPass: "always" } as const;
const variants: readonly (readonly [string, TaskTypeName, Partial<ModelConfig>])[] = [
  ["text classification without a router", "text-classification", {}],
  ["text classification, routed", "text-classification", { router: always }],
  [
    "text classification, newlora",
    "text-classification",
    { method: { adapter: "lora", selector: "newlora" } },
  ],
  [
    "text classification, newlora-frozen, hard",
    "text-classification",
    { method: { adapter: "lora", selector: { kind: "newlora-frozen", inference: "hard" } } },
  ],
  ["token classification without a router", "token-classification", {}],
  ["token classification, routed", "token-classification", { router: always }],
  [
    "token classification, outside: first, routed",
    "token-classification",
    { router: always, outside: "first" },
  ],
  ["text generation without a router", "text-generation", {}],
  ["text generation, routed", "text-generation", { router: { kind: "lda" } }],
];

const labelOf = (answer: Answer) => (isTagged(answer) ? expect.unreachable() : answer.label);
const tagsOf = (answers: readonly Answer[]) =>
  answers.map((answer) => (isTagged(answer) ? answer.tags : expect.unreachable()));
const goldTags = (items: readonly Item[]) => items.filter(isTaggedSentence).map(({ tags }) => tags);

function countRight(items: readonly Item[], answers: readonly Answer[]): number {
  return items.filter((item, i) => isLabelled(item) && labelOf(answers[i]!) === item.label).length;
}

const meanPasses = (answers: readonly Answer[]) =>
  answers.reduce((sum, { passes }) => sum + passes, 0) / answers.length;

describe.each(variants)("%s", (_, type, settings) => {
  let learned: Learned;
  let evaluated: Awaited<ReturnType<typeof evaluateAll>>;
  beforeAll(async () => {
    learned = await learn(materialOf(type), settings);
    evaluated = await evaluateAll();
  });

  /** Both evaluations, as a run makes them. */
  async function evaluateAll() {
    const { model, states, tested, next } = learned;
    const evaluator = model.openEvaluator();
    const all = [];
    for (const [k, state] of states.entries()) {
      const router = await model.fitRouter(state, "consolidated");
      const seen = tested.slice(0, k + 1);
      all.push(await evaluator.evaluate(state, seen, { router, next: tested[k + 1] ?? next }));
    }
    return all;
  }

  test("figures are what counting the model's answers gives, after every task", async () => {
    const { model, states, tested } = learned;
    for (const [k, { figures }] of evaluated.entries()) {
      const seen = tested.slice(0, k + 1);
      const ask = (items: readonly Item[], options: ModelPredictOptions) =>
        model.predict(states[k]!, items, options);
      if (figures.type === "evaluated") {
        expect(figures.counted).toEqual(seen.map(({ test: items }) => items.length));
        const counts = { til: [] as number[], cil: [] as number[], routed: [] as number[] };
        const passes: Answer[] = [];
        for (const { name, test: items } of seen) {
          counts.til.push(countRight(items, await ask(items, { task: name })));
          const exact = await ask(items, { exact: true });
          counts.cil.push(countRight(items, exact));
          expect(meanPasses(exact)).toBe(figures.passesPerExample);
          const routed = await ask(items, {});
          counts.routed.push(countRight(items, routed));
          passes.push(...routed);
        }
        expect(figures.tilCorrect).toEqual(counts.til);
        expect(figures.cilCorrect).toEqual(counts.cil);
        expect(figures.til).toEqual(counts.til.map((count, j) => count / seen[j]!.test.length));
        expect(figures.cil).toEqual(counts.cil.map((count, j) => count / seen[j]!.test.length));
        expect(figures.routed === undefined).toBe(!model.routes);
        if (figures.routed === undefined) continue;
        expect(figures.routed.correct).toEqual(counts.routed);
        expect(figures.routed.passesPerExample).toBeCloseTo(meanPasses(passes), 12);
      } else {
        const items = seen[k]?.test ?? [];
        const exact = await ask(items, { exact: true });
        const cil = scoreCounts(countEntities(goldTags(items), tagsOf(exact)));
        expect(figures.cil).toMatchObject({ microF1: cil.micro.f1, perType: cil.perType });
        expect(figures.cil.passesPerExample).toBe(meanPasses(exact));
        const own = await Promise.all(
          seen.map(async ({ name, types = [], test: all }) => {
            const answers = await ask(all, { task: name });
            return countEntities(goldTags(maskTypes(all.filter(isTaggedSentence), types)), tagsOf(answers));
          }),
        );
        expect(figures.til.microF1).toBe(scoreCounts(poolCounts(own)).micro.f1);
        expect(figures.routed === undefined).toBe(!model.routes);
        if (figures.routed === undefined) continue;
        const routed = await ask(items, {});
        const scores = scoreCounts(countEntities(goldTags(items), tagsOf(routed)));
        expect(figures.routed).toMatchObject({ microF1: scores.micro.f1, perType: scores.perType });
        expect(figures.routed.passesPerExample).toBeCloseTo(meanPasses(routed), 12);
      }
    }
  });

  test("what is recorded of each item is the answer to it", async () => {
    const { model, states, tested } = learned;
    const { predictions } = evaluated[1] ?? expect.unreachable();
    const asked = {
      til: (task: string): ModelPredictOptions => ({ task }),
      cil: (): ModelPredictOptions => ({ exact: true }),
      routed: (): ModelPredictOptions => ({}),
    };
    let lines = 0;
    for (const protocol of ["til", "cil", "routed"] as const) {
      const recorded = predictions.filter((line) => line.protocol === protocol);
      const shared = protocol !== "til" && model.type.sharesTest;
      const tests = protocol === "routed" && !model.routes ? [] : shared ? tested.slice(-1) : tested;
      for (const { name, test: items } of tests) {
        const own = recorded.filter(({ task }) => task === name);
        expect(own.map(({ index, learned: count }) => [index, count])).toEqual(items.map((__, i) => [i, 2]));
        const answers = await model.predict(states[1]!, items, asked[protocol](name));
        for (const [i, answer] of answers.entries()) {
          const line = own[i] ?? expect.unreachable();
          if (isTagged(answer)) {
            expect("entities" in line && line.entities.map(({ type: kind, start }) => [kind, start])).toEqual(
              answer.entities.map(({ type: kind, start }) => [kind, start]),
            );
            continue;
          }
          const item = items[i] ?? expect.unreachable();
          expect(line).toMatchObject({ gold: isLabelled(item) ? item.label : "", label: answer.label });
          // Of a test set that is kept, what was generated says how likely it is among all texts, not among labels.
          if (type === "text-classification" && "score" in line)
            expect(Math.abs(line.score - answer.score)).toBeLessThan(tolerances.float32);
        }
        lines += own.length;
      }
    }
    expect(predictions).toHaveLength(lines);
  });

  test("each adapter runs once over a test set, however often that is asked", async () => {
    const { model, tested } = learned;
    const passes = [
      vi.spyOn(AdaptedBackbone.prototype, "outputsOfTasks"),
      vi.spyOn(AdaptedBackbone.prototype, "tokenLogitsOfTasks"),
    ];
    const spoken = vi.spyOn(GenerativeBackbone.prototype, "speak");
    try {
      const again = await evaluateAll();
      expect(again.map(({ figures }) => figures)).toEqual(evaluated.map(({ figures }) => figures));
      const runs = passes.flatMap(({ mock }) =>
        mock.calls.flatMap(([tasks, { length }]) => tasks.map(({ name }) => `${name} ${length}`)),
      );
      const spokenOf = spoken.mock.calls.map(([{ name }, { length }]) => `${name} ${length}`);
      const [one, two] = tested.map(({ name, test: { length } }) => `${name} ${length}`);
      const [{ test: first }, { test: second }] = [tested[0]!, tested[1]!];
      const both = [
        `task-0 ${first.length}`,
        `task-0 ${second.length}`,
        `task-1 ${first.length}`,
        `task-1 ${second.length}`,
      ];
      if (model.type.sharesTest) expect(runs.sort()).toEqual([one, two].sort());
      else if (type === "text-classification") expect(runs.sort()).toEqual(both.sort());
      // The newest adapter alone answers for all, and each one's own test set.
      else expect(spokenOf).toEqual([one, `task-1 ${first.length}`, two]);
    } finally {
      for (const spy of [...passes, spoken]) spy.mockRestore();
    }
  });

  test("exact figures that are known are taken, and nothing is run for them", async () => {
    const { model, states, tested } = learned;
    const [, last] = evaluated;
    const { routed: _routed, unseen: _unseen, ...known } = { unseen: undefined, ...last!.figures };
    const router = await model.fitRouter(states[1]!, "consolidated");
    const exact = vi.spyOn(model.type, "answer");
    const { figures, predictions } = await model
      .openEvaluator()
      .evaluate(states[1]!, tested, { router, known: last!.figures });
    expect(exact).not.toHaveBeenCalled();
    exact.mockRestore();
    expect(figures).toMatchObject(known);
    // Scores of features that were read in other batches differ by rounding.
    const { calibration: _, ...routed } = { calibration: undefined, ...figures.routed };
    expect(last!.figures.routed).toMatchObject(routed);
    expect(predictions.every(({ protocol }) => protocol === "routed")).toBe(true);
  });
});

test("a model that generates is asked about the task to come, with the newest adapter and with none", async () => {
  const { model, states, tested, next } = await learn(materialOf("text-generation"), {});
  const evaluator = model.openEvaluator();
  const [first] = states;
  const { figures } = await evaluator.evaluate(first!, tested.slice(0, 1), { next: tested[1] });
  expect(figures.type === "evaluated" && figures.unseen?.counted).toBe(tested[1]?.test.length);
  const { figures: last } = await evaluator.evaluate(states[1]!, tested);
  expect(last).not.toHaveProperty("unseen");
  const { figures: ofHeads } = await (async () => {
    const other = await learn(materialOf("text-classification"), {});
    return await other.model.openEvaluator().evaluate(other.states[0]!, other.tested.slice(0, 1), { next });
  })();
  expect(ofHeads).not.toHaveProperty("unseen");
});
