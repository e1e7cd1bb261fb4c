/** Words on a real engine and a tiny model. T tokens, C slots. */

import { beforeAll, describe, expect, test, vi } from "vitest";
import { AdaptedBackbone } from "../../../src/continual/passes/adaptedBackbone.ts";
import { TaskTrainer } from "../../../src/continual/taskTypes/taskTrainer.ts";
import { TokenClassification } from "../../../src/continual/taskTypes/tokenClassification.ts";
import { OutsideLogits, type OutsideRule } from "../../../src/continual/taskTypes/wordPrediction.ts";
import { IGNORED, wordTargets } from "../../../src/continual/taskTypes/wordTargets.ts";
import { type LearnedTask, type LoadedBackbone, type Logits, rowOf } from "../../../src/continual/types.ts";
import { CheckpointError, DataError } from "../../../src/core/errors.ts";
import { createRng } from "../../../src/core/random.ts";
import { asFloat32, float32 } from "../../../src/core/tensor.ts";
import { buildWordStream } from "../../../src/data/wordStream.ts";
import { Evaluator } from "../../../src/model/evaluator.ts";
import { loadBackbone } from "../../../src/model/settings/backbone.ts";
import { defaultHeads } from "../../../src/nn/heads.ts";
import { encodePeftFolder } from "../../../src/peft/checkpoint.ts";
import type { AdapterSpec } from "../../../src/peft/types.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { buildTrainingGraph, type ModelStructure } from "../../../src/train/graphs.ts";
import { modelFeeds, parameterFeeds } from "../../../src/train/trainer.ts";
import { configOf, keysOf } from "../../support/adapterFiles.ts";
import { folderOfTestFile } from "../../support/folders.ts";
import { fitTask, fitTasks } from "../../support/learning.ts";
import { plainTraining } from "../../support/openedModels.ts";
import { writeTinyModel } from "../../support/tinyModels.ts";
import { relativeDifference, tolerances } from "../../support/tolerances.ts";

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

function openType(adapter: string, outside: OutsideRule): TokenClassification {
  const model = new AdaptedBackbone({
    structure: structureWith(adapter),
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: 128,
    threads: 1,
  });
  return new TokenClassification(model, loaded, outside);
}

const asTensor = ({ values, rows, classes }: Logits) => float32(values, [rows, classes]);

const valuesOf = ({ adapter, head }: LearnedTask) =>
  [...adapter, ...head].map(([, { data }]) => data.slice());

interface Path {
  readonly tags: readonly string[];
  readonly score: number;
}

/** Every way to tag a sentence in which `I-x` goes on with what has begun; or `anyhow`. */
function pathsThrough(
  words: readonly (readonly (readonly [string, number])[])[],
  anyhow = false,
): readonly Path[] {
  return words.reduce<readonly Path[]>(
    (paths, scores) =>
      paths.flatMap(({ tags, score }) =>
        scores.flatMap(([tag, own]) => {
          const before = tags.at(-1) ?? "O";
          const stray = tag.startsWith("I-") && before.slice(1) !== tag.slice(1);
          return stray && !anyhow ? [] : [{ tags: [...tags, tag], score: score + own }];
        }),
      ),
    [{ tags: [], score: 0 }],
  );
}

/** The labels of the heads, task by task. */
const heads: { readonly [R in OutsideRule]: readonly (readonly string[])[] } = {
  own: [
    ["O", "B-x", "I-x"],
    ["O", "B-y", "I-y"],
    ["O", "B-z", "I-z"],
  ],
  first: [
    ["O", "B-x", "I-x"],
    ["B-y", "I-y"],
    ["B-z", "I-z"],
  ],
};

test("the only sentence with a type is never held out", async () => {
  await using type = openType("lora", "own");
  const given = [...Array.from({ length: 20 }, (_, i) => sentence(`a/B-x ${i}`)), sentence("b/B-rare end")];
  for (let seed = 0; seed < 20; seed++) {
    const { train: kept, validation } = type.splitValidation(given, 0.5, createRng(seed));
    expect(kept).toContain(given[20]);
    expect(kept.length + validation.length).toBe(given.length);
    expect(validation.length).toBeGreaterThanOrEqual(9);
  }
});

test("tags of other schemes are taken as the entities that they mark", async () => {
  await using type = openType("lora", "own");
  const train = [sentence("a/S-x b/O"), sentence("b/B-y g/E-y")];
  const checked = type.check({ name: "bioes", train }, []);
  expect(checked.train.map(({ tags }) => tags)).toEqual([
    ["B-x", "O"],
    ["B-y", "I-y"],
  ]);
  const items = [sentence("a/U-x b/B-y g/L-y")];
  const answer = { text: "a b g", entities: [], passes: 1, tags: ["B-x", "B-y", "I-y"] };
  expect(type.measure(items, [answer])).toMatchObject({ microF1: 1 });
  const mixed = { name: "mixed", train: [sentence("a/S-x b/U-y")] };
  expect(() => type.check(mixed, [])).toThrow(
    /sentence 1, word 2: "U-y" is a tag of BILOU, those before are BIOES/,
  );
});

describe.each([
  ["lora", "own"],
  ["lora", "first"],
  ["prompt", "own"],
  ["prompt", "first"],
] as const)("%s, outside: %s", (adapter, outside) => {
  test("heads have O in slot 0 where the rule says; earlier tasks do not change", async () => {
    await using type = openType(adapter, outside);
    await using trainer = new TaskTrainer(type.trained, training, 1);
    const learned: LearnedTask[] = [];
    const before: ReturnType<typeof valuesOf>[] = [];
    for (const task of tasks) {
      const one = (await fitTask(type, trainer, task, learned)).learned;
      learned.push(one);
      before.push(valuesOf(one));
    }
    expect(learned.map(({ labels }) => labels)).toEqual(heads[outside]);
    for (const { labels, head } of learned) expect(head.get("weight")?.dims).toEqual([labels.length, 16]);
    expect(learned.map(valuesOf)).toEqual(before);
  });

  test("tags are the largest by the rule, alone and among all, and where every head has its O those that can stand together", async () => {
    await using type = openType(adapter, outside);
    const learned = await fitTasks(type, training, tasks);
    const encoded = type.encode(test_);
    const perTask = await type.logits(learned, encoded);
    /** By tag what speaks for it. */
    const scored = (among: readonly number[], sentence: number, token: number) => {
      const rowsOf = (j: number) => rowOf(perTask[j]?.[sentence] ?? expect.unreachable(), token);
      const scores = new Map<string, number>();
      for (const j of among) {
        const row = rowsOf(j);
        const level = outside === "own" ? row[0]! : 0;
        learned[j]?.labels.forEach((label, slot) => {
          scores.set(label, row[slot]! - level);
        });
      }
      return outside === "first" ? scores.set("O", rowsOf(0)[0]!) : scores;
    };
    for (const only of [undefined, 0, 1, 2]) {
      const answers = await type.answer(learned, encoded, { only });
      const among = only === undefined ? [...tasks.keys()] : [only];
      for (const [i, answer] of answers.entries()) {
        const words = encoded.encodings[i]?.firstTokens.map((token) => [
          ...scored(among, i, token ?? expect.unreachable()),
        ]);
        const best = (paths: readonly Path[]) => paths.reduce((a, b) => (b.score > a.score ? b : a)).tags;
        const expected =
          outside === "own"
            ? best(pathsThrough(words ?? []))
            : (words ?? []).flatMap((scores) => best(pathsThrough([scores], true)));
        expect("tags" in answer && answer.tags).toEqual(expected);
      }
    }
  });

  test("a token's logits do not depend on the sentence's company", async () => {
    await using type = openType(adapter, outside);
    const model = type.trained;
    const [learned] = await fitTasks(type, training, tasks.slice(0, 1));
    if (learned === undefined) throw new TypeError("nothing was learned");
    const { encodings } = type.encode(train);
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

  test("each adapter reads the test set once, O a sentence once, whatever is asked of them", async () => {
    await using type = openType(adapter, outside);
    const model = type.trained;
    const learned = await fitTasks(type, training, tasks);
    const passes = vi.spyOn(model, "tokenLogitsOfTasks");
    const never = () => expect.unreachable();
    const evaluator = new Evaluator({ type, routerOf: never, untrained: never, expectLabels: () => {} }, {});
    const evaluate = async (count: number) => {
      const state = { tasks: learned.slice(0, count).map((task) => ({ ...task, learned: task })) };
      const { figures } = await evaluator.evaluate(state, tasks.slice(0, count));
      return figures.type === "words-evaluated" ? figures : expect.unreachable();
    };
    const rows: Awaited<ReturnType<typeof evaluate>>[] = [];
    for (const k of tasks.keys()) rows.push(await evaluate(k + 1));
    expect(await evaluate(tasks.length)).toEqual(rows.at(-1));
    expect(
      passes.mock.calls.flatMap(([asked, encodings]) => asked.map(({ name }) => [name, encodings.length])),
    ).toEqual(tasks.map(({ name }) => [name, test_.length]));
    expect(rows.map(({ til }) => til.passesPerExample)).toEqual(
      outside === "first" ? [1, 3 / 2, 5 / 3] : [1, 1, 1],
    );
    expect(rows.map(({ cil }) => cil.passesPerExample)).toEqual([1, 2, 3]);
    for (const [k, { til }] of rows.entries())
      expect(til.perTask).toEqual(rows.at(-1)?.til.perTask.slice(0, k + 1));
  });
});

describe.each(["lora", "prompt"])("%s, where the first task's O is there for all", (adapter) => {
  test("a training step's loss is that of O's logit before the head's own, prompt and padding aside", async () => {
    await using type = openType(adapter, "first");
    const model = type.trained;
    const [first, second] = await fitTasks(type, training, tasks.slice(0, 2));
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

  test("O is computed once a sentence, however often it is learned from", async () => {
    await using type = openType(adapter, "first");
    const model = type.trained;
    const [first] = await fitTasks(type, training, tasks.slice(0, 1));
    if (first === undefined) throw new TypeError("nothing was learned");
    const passes = vi.spyOn(model, "tokenLogitsOfTasks");
    const outside = new OutsideLogits(model, first);
    const { encodings } = type.encode(train);
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

describe("a head without O", () => {
  const headless: LearnedTask = {
    name: "later",
    labels: ["B-y", "I-y"],
    adapter: new Map(),
    head: new Map(),
  };
  const withO: LearnedTask = { ...headless, name: "first", labels: ["O", "B-x", "I-x"] };
  const encoded = (type: TokenClassification) => type.encode(test_);

  test("is refused in the first place, and with outside: own anywhere", async () => {
    await using first = openType("lora", "first");
    for (const only of [undefined, 0]) {
      const answered = first.answer([headless], encoded(first), { only });
      await expect(answered).rejects.toThrow(CheckpointError);
      await expect(answered).rejects.toThrow(/task "later": its head has no O/);
    }
    await using own = openType("lora", "own");
    for (const known of [[headless], [withO, headless]])
      await expect(own.answer(known, encoded(own))).rejects.toThrow(/task "later": its head has no O/);
  });

  test("a type comes again with an O of its own alone", () => {
    const known = [withO];
    const again = { name: "again", train: [sentence("a/B-x end")] };
    expect(() => openType("lora", "first").check(again, known)).toThrow(DataError);
    expect(() => openType("lora", "first").check(again, known)).toThrow(/were learned already: x/);
    expect(openType("lora", "own").check(again, known).labels).toEqual(["B-x", "I-x"]);
  });
});

test("a later task is saved as Hugging Face's token classifier with its own O", async () => {
  await using type = openType("lora", "own");
  const learned = await fitTasks(type, training, tasks.slice(0, 2));
  const second = learned[1] ?? expect.unreachable();
  const saved = type.save(second);
  expect(saved.labels).toEqual(["O", "B-y", "I-y"]);
  const files = encodePeftFolder(saved);
  expect(configOf(files)).toMatchObject({ task_type: "TOKEN_CLS", modules_to_save: ["classifier", "score"] });
  expect(keysOf(files)).toEqual(
    expect.arrayContaining(["base_model.model.classifier.weight", "base_model.model.classifier.bias"]),
  );
  expect([...files.keys()]).not.toContain("head.safetensors");
  // Nothing but the task itself is needed to tag with it.
  const restored = type.restore(second.name, saved, "here");
  expect(restored).toEqual(second);
  const answers = (known: readonly LearnedTask[], only: number) =>
    type.answer(known, type.encode(test_), { only });
  expect(await answers([restored], 0)).toEqual(await answers(learned, 1));
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
