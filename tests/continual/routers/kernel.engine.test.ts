import { afterAll, describe, expect, it } from "vitest";
import { RouterFitter } from "../../../src/continual/routers/fit.ts";
import { oracleShrinkage } from "../../../src/continual/routers/kernelFit.ts";
import { askKernel, layOut, SQUARED_WIDTH } from "../../../src/continual/routers/readouts/kernelModel.ts";
import { dequantize, quantize } from "../../../src/continual/statistics/fixedRows.ts";
import { ClassStatistics, type Contribution } from "../../../src/continual/statistics/statistics.ts";
import { type FeatureRows, type RouterKind, routerKinds } from "../../../src/continual/types.ts";
import { Algebra } from "../../../src/linalg/algebra.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { cloud, constants, contribution } from "../../support/routingRows.ts";
import { digits } from "../../support/tolerances.ts";

const compile = (graph: Parameters<typeof nodeRuntime.compile>[0]) =>
  nodeRuntime.compile(graph, { threads: 1 });
const fitter = new RouterFitter(compile);
const algebra = new Algebra(compile);
afterAll(async () => {
  await fitter[Symbol.asyncDispose]();
  await algebra[Symbol.asyncDispose]();
});

const empty = ClassStatistics.empty(constants);

async function answersTo(
  contributions: readonly Contribution[],
  queries: FeatureRows,
  kind: RouterKind = "kernel-discriminant",
) {
  const router = await fitter.fit(empty.with(contributions), { kind, seed: 1 });
  const { values, classes } = await router.posterior(queries);
  const probabilities = Array.from({ length: queries.rows }, (_, row) =>
    [...values.subarray(row * classes, (row + 1) * classes)].map(Math.exp),
  );
  const labels = probabilities.map((own) => router.labels[own.indexOf(Math.max(...own))]);
  return { probabilities, labels };
}

/** One row, again and again. */
function repeated(label: string, times: number, seed = 3): Contribution {
  const { width, values } = cloud(label, 1, seed);
  const rows = Float32Array.from({ length: times * width }, (_, at) => values[at % width]!);
  return { label, rows: quantize({ rows: times, width, values: rows }) };
}

const sums = (rows: readonly (readonly number[])[]) =>
  rows.map((own) => own.reduce((sum, each) => sum + each, 0));

describe("a kernel density", () => {
  it("is the formula, computed row by row", async () => {
    const kept = [
      [0, 0],
      [1, 0.5],
      [4, 1],
    ];
    const asked = [
      [0.5, 0.25],
      [3, 2],
    ];
    const readout = {
      projection: { rows: 2, columns: 2, values: Float32Array.of(2, 0, 1, 1) },
      offset: Float64Array.of(0.5, 0),
      spread: Float64Array.of(4, 1.5),
      kept: layOut(
        [
          { fit: [Float32Array.from(kept[0]!)], calibrating: [Float32Array.from(kept[1]!)] },
          { fit: [Float32Array.from(kept[2]!)], calibrating: [] },
        ],
        2,
      ),
      bias: Float64Array.of(0.25, 0),
      fitBias: Float64Array.of(0.5, 0),
    };
    const expanded = { rows: 2, columns: 2, values: Float32Array.from(asked.flat()) };
    const { logits, fitLogits, background } = await askKernel(algebra, readout, expanded);
    const expected = asked.map(([x = 0, y = 0]) => {
      const [a, b] = [2 * x + y - 0.5, y];
      const kernels = kept.map(([k = 0, l = 0]) =>
        Math.exp(-((a - k) ** 2 + (b - l) ** 2) / (2 * SQUARED_WIDTH)),
      );
      const [first = 0, second = 0, third = 0] = kernels;
      return [
        [Math.log((first + second) / 2) + 0.25, Math.log(third)],
        [Math.log(first) + 0.5, Math.log(third)],
      ];
    });
    const checks = [
      [logits, expected.flatMap(([all = []]) => all)],
      [fitLogits, expected.flatMap(([, fit = []]) => fit)],
    ] as const;
    for (const [said, right] of checks)
      said.values.forEach((value, i) => {
        expect(value).toBeCloseTo(right[i]!, digits.float32);
      });
    asked.forEach(([x = 0, y = 0], row) => {
      const squares = (2 * x + y - 0.5) ** 2 / 4 + y ** 2 / 1.5;
      expect(background[row]).toBeCloseTo(-0.5 * (squares + Math.log(4 * 1.5)), digits.float32);
    });
  });

  it("shrinks all the way where rows say nothing of directions, and hardly where they say all", () => {
    const round = Float64Array.of(2, 0, 0, 0, 2, 0, 0, 0, 2);
    expect(oracleShrinkage(round, 3, 10)).toBe(1);
    // tr S = 10, tr S² = 66; α = (⅓·66 + 100)/((1000 + ⅓)·(66 − 100/3)).
    const long = Float64Array.of(8, 0, 0, 0, 1, 0, 0, 0, 1);
    expect(oracleShrinkage(long, 3, 1000)).toBeCloseTo(122 / ((1000 + 1 / 3) * (66 - 100 / 3)), 12);
  });
});

describe("kernel-discriminant on little", () => {
  const queries = cloud("b", 5, 90);
  const { rows: fixed } = repeated("b", 2);
  const repeatedQueries = dequantize(fixed);

  it("a single class is certain", async () => {
    const { probabilities, labels } = await answersTo([contribution("b", 4, 1)], queries);
    expect(labels).toEqual(Array(5).fill("b"));
    expect(probabilities.flat()).toEqual(Array(5).fill(1));
  });

  it.each([
    ["a row a class", ["a", "b", "c"].map((label) => contribution(label, 1, 5, 0.02))],
    ["a row repeated in each class", ["a", "b", "c"].map((label) => repeated(label, 6))],
    [
      "one class repeated, the others not",
      [repeated("a", 9), contribution("b", 9, 2), contribution("c", 2, 2)],
    ],
    ["five rows a class", ["a", "b", "c", "d"].map((label) => contribution(label, 5, 6))],
  ])("%s: answers, and probabilities that say something", async (_, contributions) => {
    const { probabilities, labels } = await answersTo(contributions, queries);
    expect(labels).toEqual(Array(5).fill("b"));
    for (const own of probabilities) expect(Math.max(...own)).toBeGreaterThan(1.2 / own.length);
    for (const sum of sums(probabilities)) expect(sum).toBeCloseTo(1, 9);
  });

  it.each(routerKinds)("%s answers where every class is one row, repeated", async (kind) => {
    const { labels } = await answersTo(
      ["a", "b", "c"].map((label) => repeated(label, 12)),
      repeatedQueries,
      kind,
    );
    expect(labels).toEqual(["b", "b"]);
  });

  it("classes of the same rows are equally likely", async () => {
    const { rows } = contribution("b", 8, 4);
    const { probabilities } = await answersTo(
      [
        { label: "one", rows },
        { label: "two", rows },
      ],
      queries,
    );
    for (const [one, two] of probabilities) expect(one).toBeCloseTo(two!, 9);
  });

  it("all rows of all classes alike: as likely as each other", async () => {
    const { rows } = repeated("b", 4);
    const { probabilities } = await answersTo(
      ["one", "two", "three"].map((label) => ({ label, rows })),
      queries,
    );
    for (const own of probabilities) for (const each of own) expect(each).toBeCloseTo(1 / 3, 9);
  });

  it("a class of thousands costs no more than one of hundreds, and takes nothing from a small one", async () => {
    const large = [contribution("a", 3000, 1, 0.05), contribution("b", 12, 1, 0.05)];
    const router = await fitter.fit(empty.with(large), { kind: "kernel-discriminant", seed: 1 });
    const [member] = router.model.members;
    expect(member?.type === "density" && [...member.kernel.readout.kept.starts]).toEqual([0, 512, 524]);
    expect((await answersTo(large, queries)).labels).toEqual(Array(5).fill("b"));
  });
});
