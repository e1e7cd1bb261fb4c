/** Words on a real engine and a tiny model. T tokens, C slots. */
import { beforeAll, describe, expect, test, vi } from "vitest";
import { type LoadedBackbone, loadBackbone } from "../../src/app/backbone.ts";
import {
  AdaptedBackbone,
  type LearnedTask,
  type Logits,
  rowOf,
} from "../../src/continual/adaptedBackbone.ts";
import type { LearnResult } from "../../src/continual/taskTrainer.ts";
import { WordEvaluator } from "../../src/continual/wordEvaluation.ts";
import { WordLearner, wordTargets } from "../../src/continual/wordLearner.ts";
import { computeWordMetrics, type WordsEvaluatedRow } from "../../src/continual/wordMetrics.ts";
import {
  chooseTags,
  classIncremental,
  OutsideLogits,
  predictTags,
  taskIncremental,
} from "../../src/continual/wordPrediction.ts";
import { IGNORED } from "../../src/continual/wordTargets.ts";
import { StoreError } from "../../src/core/errors.ts";
import type { WordScores } from "../../src/core/record.ts";
import { asFloat32, float32 } from "../../src/core/tensor.ts";
import type { WordEncoding } from "../../src/data/wordEncoding.ts";
import { buildWordStream } from "../../src/data/wordStream.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import type { AdapterSpec } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { buildTrainingGraph, type ModelStructure } from "../../src/train/graphs.ts";
import { modelFeeds, parameterFeeds } from "../../src/train/trainer.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { plainTraining } from "../support/openedModels.ts";
import { writeTinyModel } from "../support/tinyModels.ts";
import { digits, relativeDifference, tolerances } from "../support/tolerances.ts";

const adapters: { readonly [name: string]: AdapterSpec } = {
  lora: {
    kind: "lora",
    spec: { rank: 2, alpha: 4, dropout: 0, bias: "none", rslora: false, targetModules: ["query", "value"] },
  },
  prompt: { kind: "prompt-tuning", spec: { virtualTokens: 3, init: "vocab" } },
};

const training = { ...plainTraining, epochs: 2, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 };

const sentence = (text: string) => {
  const pairs = text.split(" ").map((part) => part.split("/"));
  return { words: pairs.map(([word = ""]) => word), tags: pairs.map(([, tag = "O"]) => tag) };
};

const train = Array.from({ length: 24 }, (_, i) =>
  sentence(`text ${["a/B-x", "b/B-y g/I-y", "c/B-z"][i % 3]} ${"number ".repeat(i % 4)}${i}`),
);
const test_ = ["text a/B-x g end", "b/B-y text c/B-z 99", "g/B-y"].map(sentence);
const { tasks } = buildWordStream(
  { train, validation: [], test: test_ },
  {
    base: 1,
    increment: 1,
    typeOrder: "alphabetical",
    sampling: "all",
    validationFraction: 0,
    overlap: "refuse",
  },
  1,
);

const root = folderOfTestFile("word");
let loaded: LoadedBackbone;
beforeAll(async () => {
  await writeTinyModel(root);
  loaded = await loadBackbone(root);
});

function structureWith(adapter: string): ModelStructure {
  return {
    backbone: loaded.backbone,
    ...(adapters[adapter] && { adapter: adapters[adapter] }),
    feature: { pooling: "cls", normalize: false },
    head: defaultHeads.linear,
    level: "word",
  };
}

function openModel(adapter: string): AdaptedBackbone {
  return new AdaptedBackbone({
    structure: structureWith(adapter),
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: 128,
    threads: 1,
  });
}

async function finish(learning: ReturnType<WordLearner["learn"]>): Promise<LearnResult> {
  for (;;) {
    const next = await learning.next();
    if (next.done) return next.value;
  }
}

async function learnAll(model: AdaptedBackbone): Promise<LearnedTask[]> {
  await using learner = new WordLearner(model, training, 1);
  const learned: LearnedTask[] = [];
  for (const task of tasks) {
    const result = await finish(learner.learn(task));
    learner.add(result.learned);
    learned.push(result.learned);
  }
  return learned;
}

const asTensor = ({ values, rows, classes }: Logits) => float32(values, [rows, classes]);

describe.each(["lora", "prompt"])("%s", (adapter) => {
  test("only the first head has O; earlier tasks do not change", async () => {
    await using model = openModel(adapter);
    await using learner = new WordLearner(model, training, 1);
    const [first, second] = tasks;
    if (first === undefined || second === undefined) throw new TypeError("no tasks");
    const one = (await finish(learner.learn(first))).learned;
    learner.add(one);
    const before = [...one.adapter, ...one.head].map(([, { data }]) => data.slice());
    const two = (await finish(learner.learn(second))).learned;
    expect(one.labels).toEqual(["O", "B-x", "I-x"]);
    expect(two.labels).toEqual(["B-y", "I-y"]);
    expect(two.head.get("weight")?.dims).toEqual([2, 16]);
    expect([...one.adapter, ...one.head].map(([, { data }]) => data)).toEqual(before);
  });

  test("a token's logits do not depend on the sentence's company", async () => {
    await using model = openModel(adapter);
    const [learned] = await learnAll(model);
    if (learned === undefined) throw new TypeError("nothing was learned");
    const { encodings } = model.encodeWords(train);
    const together = await model.tokenLogits(learned, encodings);
    for (const i of [0, 5, 23]) {
      const [alone] = await model.tokenLogits(learned, [encodings[i] ?? encodings[0]!]);
      if (alone === undefined || together[i] === undefined) throw new TypeError("no logits");
      expect(alone.rows).toBe(encodings[i]?.ids.length);
      expect(relativeDifference(asTensor(alone), asTensor(together[i]))).toBeLessThanOrEqual(
        tolerances.float32,
      );
    }
  });

  test("a training step's loss is that of O's logit before the head's own, prompt and padding aside", async () => {
    await using model = openModel(adapter);
    const [first, second] = await learnAll(model);
    if (first === undefined || second === undefined) throw new TypeError("too little was learned");
    const sentences = tasks[1]?.train.slice(0, 5) ?? [];
    const { encodings } = model.encodeWords(sentences);
    const outside = await new OutsideLogits(model, first).of(sentences, encodings);
    const slots = ["O", "B-y", "I-y"];
    const targets = encodings.map(({ ids, firstTokens }, i) =>
      ids.map((_, token) => {
        const word = firstTokens.indexOf(token);
        return word < 0 ? IGNORED : slots.indexOf(sentences[i]?.tags[word] ?? "");
      }),
    );
    const { feeds, length } = modelFeeds(model.structure, encodings, loaded.tokenizer.padId);
    const indices = [...sentences.keys()];
    const graph = buildTrainingGraph(model.structure, false, { outsideLogits: true });
    await using executable = await nodeRuntime.compile(graph.graph, { threads: 1 });
    const { loss } = await executable.run({
      ...feeds,
      ...parameterFeeds(second),
      ...wordTargets(targets, model.virtualTokens, outside)({ indices, length }),
    });

    const own = await model.tokenLogits(second, encodings);
    const losses = encodings.flatMap((_, i) =>
      (targets[i] ?? []).flatMap((slot, token) => {
        if (slot === IGNORED || own[i] === undefined) return [];
        const logits = [outside[i]?.values[token] ?? Number.NaN, ...rowOf(own[i], token)];
        const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
        return [Math.log(total) - (logits[slot] ?? Number.NaN)];
      }),
    );
    expect(losses).toHaveLength(sentences.reduce((sum, { words }) => sum + words.length, 0));
    const mean = losses.reduce((sum, value) => sum + value, 0) / losses.length;
    expect(relativeDifference(asFloat32(loss, "loss"), float32([mean], []))).toBeLessThanOrEqual(
      tolerances.float32,
    );
  });

  test("each adapter reads the test set once, O a sentence once, whatever is asked of them", async () => {
    await using model = openModel(adapter);
    const learned = await learnAll(model);
    const passes = vi.spyOn(model, "tokenLogitsOfTasks");
    const evaluator = new WordEvaluator(model, tasks[0]?.test ?? []);
    const rows = [];
    for (const [i, task] of tasks.entries()) {
      const one = learned[i];
      if (one === undefined) throw new TypeError("too little was learned");
      evaluator.add(task, one);
      rows.push(await evaluator.evaluate());
    }
    expect(await evaluator.evaluate()).toEqual(rows.at(-1));
    expect(
      passes.mock.calls.flatMap(([asked, encodings]) => asked.map(({ name }) => [name, encodings.length])),
    ).toEqual(tasks.map(({ name }) => [name, test_.length]));
    expect(rows.map(({ til }) => til.passesPerExample)).toEqual([1, 3 / 2, 5 / 3]);
    for (const [k, { til }] of rows.entries())
      expect(til.perTask).toEqual(rows.at(-1)?.til.perTask.slice(0, k + 1));

    passes.mockClear();
    const [first] = learned;
    if (first === undefined) throw new TypeError("nothing was learned");
    const outside = new OutsideLogits(model, first);
    const { encodings } = model.encodeWords(train);
    const once = await outside.of(train, encodings);
    // Masked for another task, a sentence keeps its array of words.
    const again = await outside.of(
      train.slice(3, 9).map(({ words }) => ({ words })),
      encodings.slice(3, 9),
    );
    expect(again).toEqual(once.slice(3, 9));
    expect(passes.mock.calls.flatMap(([, { length }]) => (length > 0 ? [length] : []))).toEqual([24]);
  });
});

test("a first head without O is refused", () => {
  const model = openModel("lora");
  const learner = new WordLearner(model, training, 1);
  const headless: LearnedTask = {
    name: "later",
    labels: ["B-y", "I-y"],
    adapter: new Map(),
    head: new Map(),
  };
  expect(() => learner.add(headless)).toThrow(StoreError);
});

describe("targets", () => {
  test("stand behind virtual tokens and before padding; the counted ones share the weight", () => {
    const outside = [
      { rows: 3, classes: 1, values: new Float32Array([7, 8, 9]) },
      { rows: 2, classes: 1, values: new Float32Array([5, 6]) },
    ];
    const targets = wordTargets(
      [
        [IGNORED, 2, IGNORED],
        [0, 1],
      ],
      2,
      outside,
    );
    const { labels, example_weights, outside_logits } = targets({ indices: [1, 0], length: 5 });
    expect(labels?.dims).toEqual([10]);
    expect([...(labels?.data ?? [])].map(Number)).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 2, 0]);
    const third = Math.fround(1 / 3);
    expect([...(example_weights?.data ?? [])]).toEqual([0, 0, third, third, 0, 0, 0, 0, third, 0]);
    expect(outside_logits?.dims).toEqual([10, 1]);
    expect([...(outside_logits?.data ?? [])]).toEqual([0, 0, 5, 6, 0, 0, 0, 7, 8, 9]);
    expect(wordTargets([[0]], 0)({ indices: [0], length: 1 })).not.toHaveProperty("outside_logits");
  });
});

describe("choosing tags", () => {
  const logits = (classes: number, ...rows: number[][]): readonly Logits[] => [
    { rows: rows.length, classes, values: Float32Array.from(rows.flat()) },
  ];
  /** Three words: on tokens 1 and 2, and one that was cut off. */
  const encoding: WordEncoding = {
    ids: [101, 7, 8, 102],
    typeIds: [0, 0, 0, 0],
    truncated: true,
    firstTokens: [1, 2, null],
    end: 3,
    cutWords: 1,
  };
  const first = logits(2, [9, 9], [1, 0], [0, 2], [9, 9]);
  const second = logits(1, [9], [1], [3], [9]);

  test("all heads side by side, O once; of equals the first; a lost word is O", () => {
    const slots = ["O", "B-x", "B-y"];
    const [words] = chooseTags([encoding], classIncremental([first, second]), slots);
    expect(words?.map(({ tag }) => tag)).toEqual(["O", "B-y", "O"]);
    const share = (logit: number, ...all: number[]) =>
      Math.exp(logit) / all.reduce((sum, value) => sum + Math.exp(value), 0);
    expect(words?.[0]?.probability).toBeCloseTo(share(1, 1, 0, 1), digits.float64);
    expect(words?.[1]?.probability).toBeCloseTo(share(3, 0, 2, 3), digits.float64);
    expect(words?.[2]?.probability).toBe(1);
  });

  test("a task's own head competes with the first one's O only", () => {
    const sure = logits(2, [9, 9], [1, 3], [0, 2], [9, 9]);
    const other = logits(1, [0], [-1], [0.5], [0]);
    expect(predictTags([encoding], taskIncremental([sure, other], 1), ["O", "B-y"])).toEqual([
      ["O", "B-y", "O"],
    ]);
    expect(predictTags([encoding], taskIncremental([sure, other], 0), ["O", "B-x"])).toEqual([
      ["B-x", "B-x", "O"],
    ]);
  });
});

describe("figures", () => {
  const scores = (microF1: number, perTask: number[], f1: Readonly<Record<string, number>>): WordScores => ({
    microF1,
    macroF1: microF1 / 2,
    perTask,
    perType: Object.fromEntries(
      Object.entries(f1).map(([type, value]) => [
        type,
        { precision: value, recall: value, f1: value, support: 1 },
      ]),
    ),
    passesPerExample: perTask.length,
  });
  const row = (task: number, cil: WordScores, til = cil): WordsEvaluatedRow => ({
    type: "words-evaluated",
    task,
    cil,
    til,
    seconds: 0,
  });
  const rows = [
    row(0, scores(0.8, [0.8], { a: 0.8, b: 0.6 })),
    row(1, scores(0.6, [0.5, 0.9], { a: 0.3, b: 0.7, c: 0.9 })),
  ];
  const division = [{ types: ["a", "b"] }, { types: ["c"] }, { types: ["d"] }];

  test("by hand, for the tasks learned so far", () => {
    const { cil } = computeWordMetrics(rows.toReversed(), division);
    expect(cil).toEqual({
      matrix: [
        [0.8, null],
        [0.5, 0.9],
      ],
      microF1: 0.6,
      macroF1: 0.3,
      averageIncrementalF1: (0.8 + 0.6) / 2,
      forgetting: 0.8 - 0.5,
      backwardTransfer: 0.5 - 0.8,
      perType: rows[1]?.cil.perType,
      typeMatrix: {
        types: ["a", "b", "c"],
        f1: [
          [0.8, 0.3],
          [0.6, 0.7],
          [null, 0.9],
        ],
        forgetting: [0.5, 0, null],
        meanForgetting: 0.25,
      },
      passesPerExample: 2,
    });
  });

  test("one task has none of forgetting", () => {
    const { til } = computeWordMetrics(rows.slice(0, 1), division);
    expect(til).not.toHaveProperty("forgetting");
    expect(til).not.toHaveProperty("backwardTransfer");
    expect(til.typeMatrix).not.toHaveProperty("meanForgetting");
  });

  test("missing, repeated and short rows are refused", () => {
    expect(() => computeWordMetrics([], division)).toThrow(/no evaluated task/);
    expect(() => computeWordMetrics(rows.slice(1), division)).toThrow(/task 0 was evaluated never or twice/);
    expect(() => computeWordMetrics([...rows, ...rows.slice(1)], division)).toThrow(/never or twice/);
    expect(() => computeWordMetrics([row(0, scores(1, [], {}))], division)).toThrow(
      /perTask needs 1 entries/,
    );
  });
});
