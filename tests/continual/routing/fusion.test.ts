/** From posteriors to answers: who is asked, and how evidence is weighed. */
import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import {
  type ClassLayout,
  fuse,
  layOut,
  probabilitiesOf,
  secondPassFusions,
  taskProbabilities,
  tasksToAsk,
} from "../../../src/continual/routing/fusion.ts";
import { decide, type RouteOptions, type route } from "../../../src/continual/routing/routedPrediction.ts";
import type { FeatureRows, Posterior, Router, SecondPass } from "../../../src/continual/types.ts";
import type { Encoding } from "../../../src/data/encoding/tokenizer.ts";

const labels = ["a", "b", "c", "d"];
const tasks = [
  { name: "first", labels: ["c", "a"] },
  { name: "second", labels: ["b", "d"] },
];
const layout = layOut(labels, tasks);

function posteriorOf(...rows: readonly (readonly number[])[]): Posterior {
  return {
    rows: rows.length,
    classes: rows[0]?.length ?? 0,
    values: Float64Array.from(rows.flat(), Math.log),
  };
}

const close = (value: number) => expect.closeTo(value, 10);

test("what is routed is encodings alone: no label, task or number of classes can come with them", () => {
  expectTypeOf<Parameters<typeof route>[3]>().toEqualTypeOf<readonly Encoding[]>();
  expectTypeOf<keyof Encoding>().toEqualTypeOf<"ids" | "typeIds" | "truncated" | "windows">();
  expectTypeOf<keyof RouteOptions>().toEqualTypeOf<"top" | "coverage" | "signal">();
  expectTypeOf<Parameters<Router["posterior"]>[0]>().toEqualTypeOf<FeatureRows>();
});

describe("classes and tasks", () => {
  test("a task's slots are found among the router's columns, whatever their order", () => {
    expect(layout.columns.map((own) => [...own])).toEqual([
      [2, 0],
      [1, 3],
    ]);
    expect([...layOut(["b"], tasks).columns[1]!]).toEqual([0, -1]);
  });

  test("a task is as likely as its classes together; a shared label counts for each", () => {
    const shared = layOut(labels, [{ labels: ["a", "b"] }, { labels: ["b", "c", "d"] }]);
    const given = probabilitiesOf(posteriorOf([0.1, 0.2, 0.3, 0.4]), 0);
    expect([...taskProbabilities(given, shared)]).toEqual([close(0.3), close(0.9)]);
  });

  test("the likeliest tasks are asked, and none where the first pass is sure", () => {
    const given = Float64Array.from([0.3, 0.35, 0.3, 0.05]);
    const gate = { confident: 0.8, weight: 1, topTasks: 1 };
    expect(tasksToAsk(given, layout, gate)).toEqual([0]);
    expect(tasksToAsk(given, layout, { ...gate, topTasks: 2 })).toEqual([0, 1]);
    expect(tasksToAsk(given, layout, { ...gate, confident: 0.35 })).toEqual([]);
    expect(tasksToAsk(given, layout, { ...gate, topTasks: 0 })).toEqual([]);
  });
});

describe("fused evidence", () => {
  test("is log p(class) + w · log softmax of the head, within what the tasks asked have together", () => {
    const logs = posteriorOf([0.4, 0.3, 0.2, 0.1]).values;
    const logits = Float32Array.from([1, -1]);
    const { probabilities, spoke } = fuse(logs, [{ task: 0, logits }], layout, 0.5);
    // The slots of task 0 are c and a.
    const c = 0.2 * Math.sqrt(1 / (1 + Math.exp(-2)));
    const a = 0.4 * Math.sqrt(1 / (1 + Math.exp(2)));
    expect([...probabilities]).toEqual([
      close((0.6 * a) / (a + c)),
      close(0.3),
      close((0.6 * c) / (a + c)),
      close(0.1),
    ]);
    expect([...spoke]).toEqual([
      [2, 0],
      [0, 0],
    ]);
  });

  test("weight 0, or a head that does not know, changes nothing", () => {
    const logs = posteriorOf([0.4, 0.3, 0.2, 0.1]).values;
    for (const [logits, weight] of [
      [Float32Array.from([9, -9]), 0],
      [Float32Array.from([2, 2]), 3],
    ] as const) {
      const { probabilities } = fuse(logs, [{ task: 1, logits }], layout, weight);
      expect([...probabilities]).toEqual([0.4, 0.3, 0.2, 0.1].map(close));
    }
  });

  test("leaves out a slot whose label the router does not know", () => {
    const known = layOut(["a", "b", "d"], tasks);
    const logs = posteriorOf([0.5, 0.3, 0.2]).values;
    const { probabilities } = fuse(logs, [{ task: 0, logits: Float32Array.from([50, 0]) }], known, 1);
    expect([...probabilities]).toEqual([0.5, 0.3, 0.2].map(close));
  });

  test("of a label of two tasks is that of the surer head", () => {
    const shared: ClassLayout = layOut(["a", "b"], [{ labels: ["a", "b"] }, { labels: ["b", "a"] }]);
    const evidence = [
      { task: 0, logits: Float32Array.from([0, 0]) },
      { task: 1, logits: Float32Array.from([3, 0]) },
    ];
    const { spoke } = fuse(posteriorOf([0.5, 0.5]).values, evidence, shared, 1);
    expect(Object.fromEntries(spoke)).toEqual({ 0: 0, 1: 1 });
  });

  test("stays a distribution", () => {
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    const logit = fc.double({ min: -30, max: 30, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(share, { minLength: 4, maxLength: 4 }),
        fc.array(logit, { minLength: 4, maxLength: 4 }),
        fc.double({ min: 0, max: 4, noNaN: true }),
        (shares, logits, weight) => {
          const total = shares.reduce((sum, value) => sum + value, 0);
          const logs = posteriorOf(shares.map((value) => value / total)).values;
          const evidence = [
            { task: 0, logits: Float32Array.from(logits.slice(0, 2)) },
            { task: 1, logits: Float32Array.from(logits.slice(2)) },
          ];
          const { probabilities } = fuse(logs, evidence, layout, weight);
          expect(probabilities.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 9);
        },
      ),
    );
  });
});

describe("an answer", () => {
  const learned = tasks.map((task) => ({
    ...task,
    learned: { ...task, adapter: new Map(), head: new Map() },
  }));
  const router = {
    kind: "lda" as const,
    labels,
    posterior: () => Promise.reject(new TypeError("the posteriors are there already")),
  };
  const fusion = { confident: 0.7, weight: 1, topTasks: 1 };
  const rows = posteriorOf([0.75, 0.1, 0.1, 0.05], [0.3, 0.2, 0.32, 0.18], [0.1, 0.38, 0.1, 0.42]);
  const heads: Readonly<Record<string, readonly number[]>> = { "1 0": [0, 4], "2 1": [1, 0] };

  test("says how many heads were asked, and names the task that spoke", async () => {
    const asked: string[] = [];
    const answers = await decide(rows, learned, { router, fusion }, async (of, texts) =>
      texts.map((row, i) => {
        asked.push(`${row} ${of[i]}`);
        return Float32Array.from(heads[`${row} ${of[i]}`] ?? []);
      }),
    );
    expect(asked).toEqual(["1 0", "2 1"]);
    expect(answers.map(({ label, task, asked: count }) => [label, task, count])).toEqual([
      ["a", 0, 0],
      ["a", 0, 1],
      ["b", 1, 1],
    ]);
    for (const { label, score, top } of answers) expect(top[0]).toEqual({ label, score });
  });

  test("of a task that has no adapter rests on the first pass", async () => {
    const [first, second] = learned;
    const { learned: _, ...statisticsOnly } = first!;
    const asked: number[] = [];
    const [, answer] = await decide(rows, [statisticsOnly, second!], { router, fusion }, async (of, texts) =>
      texts.map((_, i) => {
        asked.push(of[i]!);
        return new Float32Array(2);
      }),
    );
    expect(asked).toEqual([1]);
    expect(answer).toMatchObject({ label: "c", task: 0, asked: 0, score: close(0.32) });
  });
});

describe("what the settings ask for", () => {
  const sure = Float64Array.from([0.8, 0.1, 0.05, 0.05]);
  const unsure = Float64Array.from([0.79, 0.11, 0.05, 0.05]);
  const asked = (secondPass: SecondPass, topTasks = 1) =>
    [sure, unsure].map((given) => tasksToAsk(given, layout, secondPassFusions[secondPass](topTasks)));

  test("off: no text; unsure: those below 0.8; always: every text", () => {
    expect(asked("off")).toEqual([[], []]);
    expect(asked("unsure")).toEqual([[], [0]]);
    expect(asked("always")).toEqual([[0], [0]]);
    expect(asked("always", 2)).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });

  test("the heads' evidence counts half", () => {
    for (const secondPass of ["unsure", "always"] as const)
      expect(secondPassFusions[secondPass](2)).toMatchObject({ weight: 0.5, topTasks: 2 });
  });
});
