import { afterAll, describe, expect, it } from "vitest";
import { RouterFitter } from "../../../src/continual/routers/fit.ts";
import { calibrationSplit } from "../../../src/continual/routers/heldOut.ts";
import { establishedScatter } from "../../../src/continual/routers/scatter.ts";
import { ClassStatistics, type Contribution } from "../../../src/continual/statistics/statistics.ts";
import type { FeatureRows, RouterKind } from "../../../src/continual/types.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { cloud, constants, contribution } from "../../support/routingRows.ts";

const compile = (graph: Parameters<typeof nodeRuntime.compile>[0]) =>
  nodeRuntime.compile(graph, { threads: 1 });
const fitter = new RouterFitter(compile);
afterAll(async () => {
  await fitter[Symbol.asyncDispose]();
});

const empty = ClassStatistics.empty(constants);
const names = ["a", "b", "c", "d", "e", "f"];
const train = names.map((name) => contribution(name, 60, 1));
const held: readonly Contribution[] = names.map((name) => ({ ...contribution(name, 40, 2), role: "judge" }));
const known = empty.with([...train.map((own) => ({ ...own, role: "fit" as const })), ...held]);

function join(parts: readonly FeatureRows[]): FeatureRows {
  const { width } = constants;
  const values = Float32Array.from(parts.flatMap((part) => [...part.values]));
  return { rows: values.length / width, width, values };
}

const inside = join(names.map((name) => cloud(name, 100, 9)));
const gold = names.flatMap((name) => Array<string>(100).fill(name));
const outside = join(["x", "y", "z"].map((name) => cloud(name, 60, 9)));

describe("rows that calibrate", () => {
  it("are half of few held-out rows, are fitted to by no fit that is calibrated, and lack none of the others", () => {
    const { fit, calibrating } = calibrationSplit(known);
    expect(calibrating.targets).toHaveLength(120);
    expect(fit.targets).toHaveLength(600 - 120);
    const all = new Set(
      known.contributions.flatMap(({ rows }) =>
        Array.from({ length: rows.rows }, (_, row) =>
          rows.values.subarray(row * constants.width, (row + 1) * constants.width).join(),
        ),
      ),
    );
    const hex = (list: typeof fit) => list.rows.map(({ values }) => values.join());
    const fitted = new Set(hex(fit));
    expect(hex(calibrating).filter((row) => fitted.has(row))).toEqual([]);
    expect(new Set([...fitted, ...hex(calibrating)])).toEqual(all);
  });

  it("are all of many", () => {
    const many = names.map((name): Contribution => ({ ...contribution(name, 100, 2), role: "judge" }));
    const split = calibrationSplit(
      empty.with([...train.map((own) => ({ ...own, role: "fit" as const })), ...many]),
    );
    expect(split.calibrating.targets).toHaveLength(600);
  });

  it("are of classes with enough rows, where there are enough of them: a class of few rows changes no other", () => {
    const large = Array.from({ length: 20 }, (_, i) => contribution(`class ${i}`, 30, 1));
    const before = calibrationSplit(empty.with(large));
    const after = calibrationSplit(empty.with([...large, contribution("a new one", 5, 1)]));
    expect(before.established).toHaveLength(20);
    expect(after.established).toHaveLength(20);
    expect(after.calibrating.rows.map(({ values }) => values)).toEqual(
      before.calibrating.rows.map(({ values }) => values),
    );
    expect(after.fit.rows).toHaveLength(before.fit.rows.length + 5);
    const few = calibrationSplit(empty.with([...large.slice(1), contribution("a new one", 5, 1)]));
    expect(few.established).toHaveLength(20);
    expect(few.established).toContain(0);
  });
});

describe("scatter within classes", () => {
  it("is that of the rows that do not calibrate", async () => {
    const context = fitter.context(known, 1, undefined);
    const mapper = context.expander({ kind: "identity" });
    const split = calibrationSplit(known);
    const { size, counts, sums, within } = await establishedScatter(context, mapper, split);
    const { fit } = split;
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(fit.targets.length);
    let largest = 0;
    const expected = new Float64Array(size * size);
    for (const [row, c] of fit.targets.entries()) {
      const { values } = fit.rows[row]!;
      const centred = Array.from({ length: size }, (_, i) => values[i]! - sums[c * size + i]! / counts[c]!);
      for (let i = 0; i < size; i++)
        for (let j = 0; j <= i; j++) expected[i * size + j]! += centred[i]! * centred[j]!;
    }
    for (const value of expected) largest = Math.max(largest, Math.abs(value));
    for (let i = 0; i < size; i++)
      for (let j = 0; j <= i; j++)
        expect(Math.abs(within[i * size + j]! - expected[i * size + j]!)).toBeLessThan(2e-3 * largest);
  });
});

describe("a fit that goes on from another", () => {
  const large = Array.from({ length: 20 }, (_, i) => contribution(`class ${i}`, 30, 1));
  const before = empty.with(large);
  const few = contribution("a new one", 5, 1);

  it.each([
    ["a class of few rows more", before.with([few])],
    ["a class of few rows less", before],
    ["a class of many rows more", before.with([contribution("another", 30, 1)])],
    ["a class of many rows less", before.without("class 3").with([few])],
  ])(
    "%s: is the fit from nothing, bit for bit, in the process that made it and in another",
    async (_, after) => {
      await using one = new RouterFitter(compile);
      const begun = await one.fit(before.with([few]), { kind: "kernel-discriminant", seed: 1 });
      const further = await one.fit(after, { kind: "kernel-discriminant", seed: 1 });
      await using anew = new RouterFitter(compile);
      const expected = anew.encode(await anew.fit(after, { kind: "kernel-discriminant", seed: 1 }));
      expect(one.encode(further)).toEqual(expected);
      await using another = new RouterFitter(compile);
      const read = another.decode(one.encode(begun) ?? new Uint8Array(), "router.safetensors");
      another.remember(read, before.with([few]));
      const restored = await another.fit(after, { kind: "kernel-discriminant", seed: 1 });
      expect(another.encode(restored)).toEqual(expected);
    },
  );
});

describe.each<RouterKind>(["kernel-discriminant", "stacking"])("%s, beside the label", (kind) => {
  const router = fitter.fit(known, { kind, seed: 1 });

  it("tells texts of no class from others, and gives the posterior that it gives alone", async () => {
    const assessed = await (await router).assess(inside);
    expect(assessed.posterior).toEqual(await (await router).posterior(inside));
    const strange = (await (await router).assess(outside)).unknown;
    const mean = (values: Iterable<number>) => {
      const all = [...values];
      return all.reduce((sum, value) => sum + value, 0) / all.length;
    };
    expect(mean(assessed.unknown)).toBeLessThan(0.2);
    expect(mean(strange)).toBeGreaterThan(0.35);
  });

  it("holds the right label as often as asked, for classes as frequent as each other", async () => {
    const fitted = await router;
    for (const coverage of [0.8, 0.9]) {
      const { sets = [] } = await fitted.assess(inside, { coverage });
      const covered = sets.filter(({ columns }, row) =>
        columns.some((column) => fitted.labels[column] === gold[row]),
      );
      expect(covered.length / gold.length).toBeGreaterThan(coverage - 0.08);
    }
    const { sets: few = [] } = await fitted.assess(inside, { coverage: 0.999 });
    expect(few[0]).toMatchObject({ calibrated: false, columns: { length: names.length } });
  });

  it("says the same of a text alone and among others, and once it is back from its file", async () => {
    const fitted = await router;
    const bytes = fitter.encode(fitted);
    const read = fitter.decode(bytes ?? new Uint8Array(), "router.safetensors");
    const among = await fitted.assess(inside, { coverage: 0.9 });
    expect(await read.assess(inside, { coverage: 0.9 })).toEqual(among);
    const { width } = inside;
    const classes = names.length;
    for (const row of [0, 63, 64, 250]) {
      const one = { rows: 1, width, values: inside.values.subarray(row * width, (row + 1) * width) };
      const alone = await fitted.assess(one, { coverage: 0.9 });
      expect(alone.posterior.values).toEqual(
        among.posterior.values.subarray(row * classes, (row + 1) * classes),
      );
      expect(alone.unknown[0]).toBe(among.unknown[row]);
      expect(alone.sets?.[0]).toEqual(among.sets?.[row]);
    }
  });

  it("is a function of the state alone, not of the order in which classes came", async () => {
    const turned = empty.with([...held, ...train.map((own) => ({ ...own, role: "fit" as const }))].reverse());
    const again = await fitter.fit(turned, { kind, seed: 1 });
    expect(fitter.encode(again)).toEqual(fitter.encode(await router));
  });
});

it("a stated prior moves unknown by its odds", async () => {
  const router = await fitter.fit(known, { kind: "kernel-discriminant", seed: 1 });
  const odds = ({ unknown }: { readonly unknown: Float64Array }) => unknown.map((p) => p / (1 - p));
  const [rare, even] = [
    odds(await router.assess(inside, { unknownPrior: 0.1 })),
    odds(await router.assess(inside, { unknownPrior: 0.5 })),
  ];
  for (const row of [0, 100, 500]) expect(even[row]! / rare[row]!).toBeCloseTo(9, 6);
});
