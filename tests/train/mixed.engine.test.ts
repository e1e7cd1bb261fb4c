import { beforeAll, describe, expect, test } from "vitest";
import type { LearnedTask } from "../../src/continual/types.ts";
import { GraphError } from "../../src/core/errors.ts";
import { float32 } from "../../src/core/tensor.ts";
import type { Encoding } from "../../src/data/encoding/tokenizer.ts";
import type { Architecture } from "../../src/nn/backbone.ts";
import { defaultHeads, type HeadKind } from "../../src/nn/heads.ts";
import type { AdapterSpec } from "../../src/peft/types.ts";
import type { ModelStructure } from "../../src/train/graphs.ts";
import { drawTask } from "../support/drawnTasks.ts";
import { randomEncodings, TinyModels } from "../support/openedModels.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

const families = ["bert", "roberta", "gpt2", "llama"] as const satisfies readonly Architecture[];

const lora = {
  rank: 2,
  alpha: 4,
  dropout: 0,
  bias: "none",
  targetModules: "all-linear",
  rslora: false,
} as const;

const adapters = {
  lora: { kind: "lora", spec: lora },
  "lora of several ranks with every bias": {
    kind: "lora",
    spec: {
      ...lora,
      bias: "all",
      rslora: true,
      rankPattern: { "query|c_attn|q_proj": 3 },
      alphaPattern: { "value|c_proj|v_proj": 1 },
    },
  },
  prompt: { kind: "prompt-tuning", spec: { virtualTokens: 3, init: "random" } },
} as const satisfies Readonly<Record<string, AdapterSpec>>;

type AdapterName = keyof typeof adapters;

/** Texts of different lengths, and more than one batch of them. */
const encodings = randomEncodings(Array.from({ length: 40 }, (_, i) => 3 + ((i * 7) % 11)));
/** Every task, the first one last; two texts in a row of one task too. */
const taskOf = Int32Array.from(encodings, (_, i) => [2, 1, 1, 0][i % 4] ?? 0);

/** Tasks of 3, 5 and 2 classes, whose heads have scales of their own. */
function drawTasks(structure: ModelStructure): LearnedTask[] {
  return [3, 5, 2].map((classes, i) => {
    const head = { ...structure.head, scale: 10 + i };
    const labels = Array.from({ length: classes }, (_, c) => `${i}/${c}`);
    return drawTask({ ...structure, head }, { name: `task ${i}`, labels, seed: 11 });
  });
}

let models: TinyModels;
beforeAll(async () => {
  models = await TinyModels.write(families);
});

function structureOf(
  family: Architecture,
  adapter: AdapterName,
  head: HeadKind,
  level: "sentence" | "word" = "sentence",
): ModelStructure {
  // With a layer on top of the backbone, which has one row a sentence.
  const pooling = family === "bert" && level === "sentence" ? "pooler" : "mean";
  return {
    backbone: models.of(family).backbone,
    adapter: adapters[adapter],
    feature: { pooling, normalize: false },
    head: defaultHeads[head],
    level,
  };
}

/** Each text's logits by its own task alone, one pass a task. */
async function oneByOne<T>(
  tasks: readonly LearnedTask[],
  logits: (task: LearnedTask, own: readonly Encoding[]) => Promise<readonly T[]>,
): Promise<T[]> {
  const all = new Map<number, T>();
  for (const [t, task] of tasks.entries()) {
    const indices = [...encodings.keys()].filter((i) => taskOf[i] === t);
    const rows = await logits(
      task,
      indices.flatMap((i) => encodings[i] ?? []),
    );
    for (const [row, index] of indices.entries()) all.set(index, rows[row] ?? expect.unreachable());
  }
  return encodings.map((_, i) => all.get(i) ?? expect.unreachable());
}

function expectClose(actual: Float32Array, expected: Float32Array): void {
  const difference = relativeDifference(
    float32(actual, [actual.length]),
    float32(expected, [expected.length]),
  );
  expect(difference).toBeLessThan(tolerances.float32);
}

const several = "lora of several ranks with every bias";

const cases = (["bert", "roberta", "gpt2"] as const).flatMap((family) => [
  { family, adapter: "lora", head: "linear" } as const,
  { family, adapter: several, head: "cosine" } as const,
  { family, adapter: "prompt", head: "linear" } as const,
]);

test.each([
  ...cases,
  { family: "llama", adapter: several, head: "linear" },
  { family: "gpt2", adapter: "prompt", head: "cosine" },
  { family: "roberta", adapter: "lora", head: "dense" },
] as const)(
  "$family, $adapter, $head head: one mixed pass gives what each task gives alone",
  async ({ family, head, adapter }) => {
    const structure = structureOf(family, adapter, head);
    await using model = models.open(family, structure);
    const tasks = drawTasks(structure);
    const expected = await oneByOne(tasks, async (task, own) => {
      const { values, rows, classes } = await model.logits(task, own);
      return Array.from({ length: rows }, (_, r) => values.slice(r * classes, (r + 1) * classes));
    });
    const mixed = await model.mixedLogits(tasks, taskOf, encodings);
    expect(mixed.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
    const join = (rows: readonly Float32Array[]) => Float32Array.from(rows.flatMap((row) => [...row]));
    expectClose(join(mixed), join(expected));
  },
);

test.each([several, "prompt"] as const)(
  "word level, %s: every token's logits by its sentence's task",
  async (adapter) => {
    const structure = structureOf("bert", adapter, "linear", "word");
    await using model = models.open("bert", structure);
    const tasks = drawTasks(structure);
    const expected = await oneByOne(tasks, (task, own) => model.tokenLogits(task, own));
    const mixed = await model.mixedTokenLogits(tasks, taskOf, encodings);
    expect(mixed.map(({ rows, classes }) => [rows, classes])).toEqual(
      expected.map(({ rows, classes }) => [rows, classes]),
    );
    for (const [i, { values }] of mixed.entries())
      expectClose(values, expected[i]?.values ?? expect.unreachable());
  },
);

describe("the stack of tasks", () => {
  test("grows with what is asked for, and a task may go and another come", async () => {
    const structure = structureOf("bert", "lora", "linear");
    await using model = models.open("bert", structure);
    const tasks = drawTasks(structure);
    const alone = async (which: readonly LearnedTask[], index: number) => {
      const [row] = await model.mixedLogits(which, Int32Array.of(index), encodings.slice(0, 1));
      return row ?? expect.unreachable();
    };
    const [first, second, third] = tasks;
    if (first === undefined || second === undefined || third === undefined) return expect.unreachable();
    for (const [which, index] of [
      [tasks, 2],
      [tasks, 0],
      [[second, third], 1],
      [[second, third], 0],
      [[third, first, second], 1],
    ] as const) {
      const { values } = await model.logits(which[index] ?? first, encodings.slice(0, 1));
      expectClose(await alone(which, index), values);
    }
  });

  test("a text without a task, or with one that is not there, is refused", async () => {
    const structure = structureOf("bert", "lora", "linear");
    await using model = models.open("bert", structure);
    const tasks = drawTasks(structure);
    const two = encodings.slice(0, 2);
    for (const [of, says] of [
      [[0], "2 texts, but 1"],
      [[0, 3], "text 1 wants task 3"],
      [[-1, 0], "text 0 wants task -1"],
    ] as const) {
      const asked = model.mixedLogits(tasks, Int32Array.from(of), two);
      await expect(asked).rejects.toThrow(GraphError);
      await expect(asked).rejects.toThrow(says);
    }
  });
});
