import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { splitStatistics, trainingRows } from "../../../src/continual/routers/heldOut.ts";
import { TotalsKeeper } from "../../../src/continual/routers/totalsKeeper.ts";
import {
  decodeContributions,
  encodeContributions,
} from "../../../src/continual/statistics/contributionFile.ts";
import { FeatureMapper } from "../../../src/continual/statistics/featureMaps.ts";
import { hashRow, isHeldOut, quantize, takeRows } from "../../../src/continual/statistics/fixedRows.ts";
import {
  ClassStatistics,
  type Contribution,
  identify,
  withRoles,
} from "../../../src/continual/statistics/statistics.ts";
import { accumulate, emptyTotals, type Totals } from "../../../src/continual/statistics/totals.ts";
import type { FixedRows } from "../../../src/continual/types.ts";
import { DataError, StoreError } from "../../../src/core/errors.ts";
import { createRng, shuffled } from "../../../src/core/random.ts";
import { Algebra } from "../../../src/linalg/algebra.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { cloud, constants, contribution } from "../../support/routingRows.ts";

const algebra = new Algebra((graph) => nodeRuntime.compile(graph, { threads: 1 }));
afterAll(() => algebra[Symbol.asyncDispose]());

const expansions = {
  identity: new FeatureMapper({ kind: "identity" }, constants),
  relu: new FeatureMapper({ kind: "relu", size: 40 }, constants),
};

function rowsOf({ rows, width, values }: FixedRows): number[][] {
  return Array.from({ length: rows }, (_, row) => [...values.subarray(row * width, (row + 1) * width)]);
}

function plain({ classes, second, rows }: Totals) {
  const sorted = [...classes].sort(([a], [b]) => (a < b ? -1 : 1));
  return { classes: sorted.map(([label, { count, sum }]) => [label, count, [...sum]]), second, rows };
}

async function totalsOf(expander: FeatureMapper, contributions: readonly Contribution[]) {
  const totals = emptyTotals(expander.size, true);
  await accumulate(algebra, expander, totals, contributions);
  return totals;
}

describe("fixed point", () => {
  it("rounds once, ties away from zero, and cuts at the ends", () => {
    const values = Float32Array.of(0, 0.5, -0.5, 1, -1, 1.5 / 32768, -1.5 / 32768, 0.4 / 32768);
    expect([...quantize({ rows: 1, width: 8, values }).values]).toEqual([
      0, 16384, -16384, 32767, -32767, 2, -2, 0,
    ]);
  });

  it("names the text whose feature is not a number", () => {
    const values = Float32Array.of(0, 0, 0, Number.NaN);
    expect(() => quantize({ rows: 2, width: 2, values })).toThrow("feature 1 of text 1 is NaN");
  });

  it("holds out about 15 % of the rows, by their own numbers", () => {
    const { rows, width, values } = quantize(cloud("a", 4000, 1));
    let heldOut = 0;
    for (let row = 0; row < rows; row++)
      if (isHeldOut(hashRow(values.subarray(row * width, (row + 1) * width)))) heldOut += 1;
    // Four standard deviations of a binomial.
    expect(Math.abs(heldOut / rows - 0.15)).toBeLessThan(4 * Math.sqrt((0.15 * 0.85) / rows));
  });
});

describe("totals are exact", () => {
  const all = ["a", "b", "c", "d"].map((label, i) => contribution(label, 30 + i, i));

  it.each(Object.entries(expansions))("%s: equal big-integer sums", async (_, expander) => {
    const totals = await totalsOf(expander, all);
    const sums = new Map<string, bigint[]>();
    const second = Array.from({ length: expander.size ** 2 }, () => 0n);
    for (const { label, rows } of all) {
      const { values } = await expander.expand(algebra, rows);
      const sum = sums.get(label) ?? Array.from({ length: expander.size }, () => 0n);
      for (let row = 0; row < rows.rows; row++)
        for (let i = 0; i < expander.size; i++) {
          const own = BigInt(values[row * expander.size + i]!);
          sum[i]! += own;
          for (let j = 0; j <= i; j++)
            second[i * expander.size + j]! += own * BigInt(values[row * expander.size + j]!);
        }
      sums.set(label, sum);
    }
    for (const [label, sum] of sums) expect([...totals.classes.get(label)!.sum].map(BigInt)).toEqual(sum);
    for (let i = 0; i < expander.size; i++)
      for (let j = 0; j <= i; j++)
        expect(BigInt(totals.second![i * expander.size + j]!)).toBe(second[i * expander.size + j]);
  });

  it.each(Object.entries(expansions))("%s: no order and no blocking leaves a trace", async (_, expander) => {
    const expected = plain(await totalsOf(expander, all));
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 7 }), async (seed, size) => {
        const pieces = all.flatMap(({ label, rows }) => {
          const order = shuffled([...Array(rows.rows).keys()], createRng(seed));
          const cuts: Contribution[] = [];
          for (let start = 0; start < order.length; start += size)
            cuts.push({ label, rows: takeRows(rows, order.slice(start, start + size)) });
          return cuts;
        });
        expect(plain(await totalsOf(expander, shuffled(pieces, createRng(seed + 1))))).toEqual(expected);
      }),
      { numRuns: 12 },
    );
  });

  it("more rows than one float32 sum holds exactly are summed in several", async () => {
    const many = [contribution("a", 2500, 1)];
    const whole = await totalsOf(expansions.relu, many);
    const parts = emptyTotals(expansions.relu.size, true);
    for (let start = 0; start < 2500; start += 100) {
      const indices = Array.from({ length: 100 }, (_, i) => start + i);
      await accumulate(algebra, expansions.relu, parts, [
        { label: "a", rows: takeRows(many[0]!.rows, indices) },
      ]);
    }
    expect(plain(whole)).toEqual(plain(parts));
  });

  it("what is kept from fit to fit equals what is summed anew, after adding and taking away", async () => {
    const keeper = new TotalsKeeper(algebra);
    const first = ClassStatistics.empty(constants).with(all);
    const second = first.without("b").with([contribution("e", 9, 5), contribution("a", 4, 6)]);
    for (const part of ["fit", "all"] as const) {
      const asked = { size: 16, second: true, part };
      await keeper.totals(expansions.identity, first, asked);
      const kept = await keeper.totals(expansions.identity, second, asked);
      const fresh = await new TotalsKeeper(algebra).totals(expansions.identity, second, asked);
      expect(plain(kept)).toEqual(plain(fresh));
      if (part === "all") expect(kept.rows).toBe(30 + 32 + 33 + 9 + 4);
    }
  });

  it("the first random features of many are those of few", async () => {
    const { rows } = contribution("a", 5, 1);
    const few = await new FeatureMapper({ kind: "relu", size: 8 }, constants).expand(algebra, rows);
    const many = await expansions.relu.expand(algebra, rows, 8);
    expect(many.values).toEqual(few.values);
    expect(few.values.some((value) => value > 0)).toBe(true);
  });
});

describe("a set of contributions", () => {
  const parts = ["a", "b", "c"].map((label, i) => contribution(label, 12, i));
  const [a, b, c] = [parts[0]!, parts[1]!, parts[2]!];
  const empty = ClassStatistics.empty(constants);
  const content = (statistics: ClassStatistics) =>
    statistics.contributions.map(({ id, label }) => [label, id]);

  it("is the same in any order, and a merge is the union", () => {
    const whole = content(empty.with([a, b, c]));
    expect(content(empty.with([c]).with([b, a]))).toEqual(whole);
    expect(content(empty.with([c, a]).merge(empty.with([a, b])))).toEqual(whole);
    expect(empty.with([a, a]).count("a")).toBe(12);
  });

  it("that forgot a class is one that never saw it", () => {
    const more = contribution("b", 3, 9);
    expect(content(empty.with([a, b, more, c]).without("b"))).toEqual(content(empty.with([a, c])));
    expect(empty.with([a, b]).without("b").labels).toEqual(["a"]);
  });

  it("counts rows and bytes by class", () => {
    const { bytes, bytesPerClass } = empty.with([a, b]).retained();
    expect(bytesPerClass.get("a")).toBe(12 * 16 * 2);
    expect(bytes).toBe(2 * 12 * 16 * 2);
  });

  it.each([
    ["backbone", { backbone: "other" }],
    ["layers", { layers: [1, 3] }],
    ["seed", { seed: 8 }],
    ["featureAdapter", { featureAdapter: "adapter" }],
  ])("refuses to merge features of another %s", (name, change) => {
    const other = ClassStatistics.empty({ ...constants, ...change });
    expect(() => empty.merge(other)).toThrow(StoreError);
    expect(() => empty.merge(other)).toThrow(name);
  });

  it("refuses rows of another width", () => {
    const rows = { rows: 1, width: 3, values: new Int16Array(3) };
    expect(() => empty.with([{ label: "x", rows }])).toThrow(DataError);
  });

  it("refuses rows that are not of length 1 a layer", () => {
    const rows = { rows: 1, width: 16, values: new Int16Array(16).fill(20_000) };
    expect(() => empty.with([{ label: "x", rows }])).toThrow(/class "x": row 0 has length 2\.441/);
  });

  it("splits rows alike whatever the order and the blocks they came in", () => {
    const halves = [takeRows(a.rows, [0, 2, 4, 6, 8, 10]), takeRows(a.rows, [11, 9, 7, 5, 3, 1])];
    const whole = empty.with([a, b, c]);
    const cut = empty.with([c, b, ...halves.map((rows) => ({ label: "a", rows }))]);
    const split = (statistics: ClassStatistics) =>
      splitStatistics(statistics.contributions, statistics.labels, constants.width);
    expect(split(cut)).toEqual(split(whole));
    expect(split(whole).judges.rows).toBeGreaterThan(0);
  });

  it("fits or holds out rows as their role says, whatever their hash", () => {
    const judge = { ...contribution("a", 9, 31), role: "judge" } as const;
    const statistics = empty.with([{ ...a, role: "fit" }, judge, b]);
    const split = splitStatistics(statistics.contributions, statistics.labels, constants.width);
    const held = new Map(split.heldOut.map(({ label, rows }) => [label, rows.rows]));
    expect(held.get("a")).toBe(9);
    const judging = rowsOf(split.judges);
    expect(judging).toEqual(expect.arrayContaining(rowsOf(judge.rows)));
    for (const row of rowsOf(a.rows)) expect(judging).not.toContainEqual(row);
    expect(trainingRows(statistics, "fit").rows.rows).toBe(12 + 12 - (held.get("b") ?? 0));
    expect(trainingRows(statistics, "all").rows.rows).toBe(12 + 9 + 12);
  });

  it("knows the same rows in another role for others", () => {
    const ids = [undefined, "fit", "judge"].map((role) =>
      identify({ ...a, ...(role === "fit" || role === "judge" ? { role } : {}) }),
    );
    expect(new Set(ids).size).toBe(3);
  });

  it("gives train rows a role only where enough texts were held out", () => {
    const roles = (held: number) =>
      withRoles([contribution("a", 100, 1), b], [contribution("a", held, 2), contribution("b", 0, 3)]).map(
        ({ label, role, rows }) => [label, role, rows.rows],
      );
    expect(roles(5)).toEqual([
      ["a", "fit", 100],
      ["b", undefined, 12],
      ["a", "judge", 5],
    ]);
    expect(roles(4)[0]).toEqual(["a", undefined, 100]);
    expect(roles(0)).toEqual([
      ["a", undefined, 100],
      ["b", undefined, 12],
    ]);
  });

  it("never holds out all of a class", () => {
    for (let seed = 0; seed < 40; seed++) {
      const statistics = empty.with([contribution("x", 1, seed), b]);
      const split = splitStatistics(statistics.contributions, statistics.labels, constants.width);
      const fits = split.promotedHeldOutRows.some(({ label }) => label === "x");
      expect(split.heldOut.some(({ label }) => label === "x")).toBe(false);
      const { values } = statistics.contributions.find(({ label }) => label === "x")!.rows;
      expect(fits).toBe(isHeldOut(hashRow(values)));
    }
  });
});

describe("the file of contributions", () => {
  const contributions = [
    { ...contribution("a", 3, 1), role: "fit" } as const,
    contribution('"ß, \n', 2, 2),
    { ...contribution("a", 1, 3), role: "judge" } as const,
  ];

  it("comes back as it was", () => {
    const bytes = encodeContributions({ constants: { ...constants, featureAdapter: "x" }, contributions });
    expect(decodeContributions(bytes, "here")).toEqual({
      constants: { ...constants, featureAdapter: "x" },
      contributions,
    });
  });

  it("of another version or damaged is refused by name", () => {
    const bytes = encodeContributions({ constants, contributions });
    const text = Buffer.from(bytes).toString("latin1");
    const other = (from: string, to: string) => Buffer.from(text.replace(from, to), "latin1");
    const read = (changed: Uint8Array) => () => decodeContributions(changed, "here");
    expect(read(other('"version":"1"', '"version":"9"'))).toThrow(/here: version 9 of the file/);
    expect(read(other('\\"width\\":16', '\\"width\\":17'))).toThrow(StoreError);
    expect(read(other("[3,16,2]", "[6,08,2]"))).toThrow();
  });
});
