import { afterAll, describe, expect, it, vi } from "vitest";
import { searchGrid } from "../../../src/continual/routers/closedFit.ts";
import { type FittedRouter, RouterFitter } from "../../../src/continual/routers/fit.ts";
import {
  accuracyOf,
  fitInverseTemperature,
  logLoss,
  logSoftmax,
} from "../../../src/continual/routers/scores/calibration.ts";
import { largest } from "../../../src/continual/routing/fusion.ts";
import { FIXED_SCALE, takeRows } from "../../../src/continual/statistics/fixedRows.ts";
import { ClassStatistics, type Contribution } from "../../../src/continual/statistics/statistics.ts";
import {
  type FeatureRows,
  type FixedRows,
  type Posterior,
  type RouterKind,
  routerKinds,
} from "../../../src/continual/types.ts";
import { DataError, StoreError } from "../../../src/core/errors.ts";
import { createRng, shuffled } from "../../../src/core/random.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { cloud, constants, contribution } from "../../support/routingRows.ts";

vi.mock("../../../src/continual/routers/members.ts", async (load) => {
  const { fewFeatures } = await import("../../support/fewFeatures.ts");
  return await fewFeatures(load);
});

const fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads: 1 }));
afterAll(() => fitter[Symbol.asyncDispose]());

const kinds = routerKinds;
const labels = ["a", "b", "c", "d"];
const all = labels.map((label, i) => contribution(label, 40, i));
const empty = ClassStatistics.empty(constants);
const queries = cloud("b", 9, 77);

const learn = (statistics: ClassStatistics, kind: RouterKind | "auto") =>
  fitter.fit(statistics, { kind, seed: 1 });

const encode = (router: FittedRouter) => fitter.encode(router) ?? expect.unreachable();

/** Everything that a router is and says, to the last bit. */
async function wholeOf(router: FittedRouter) {
  return { bytes: encode(router), posterior: await router.posterior(queries) };
}

function accuracy(router: FittedRouter, values: Float64Array, label: string): number {
  const columns = router.labels.length;
  const rows = values.length / columns;
  const targets = new Int32Array(rows).fill(router.labels.indexOf(label));
  return accuracyOf({ rows, columns, values }, targets) ?? 0;
}

describe.each(kinds)("router %s", (kind) => {
  it("tells clouds apart and gives probabilities", async () => {
    const router = await learn(empty.with(all), kind);
    expect(router.labels).toEqual(labels);
    for (const label of labels) {
      const { values, rows, classes } = await router.posterior(cloud(label, 50, 99));
      expect(accuracy(router, values, label)).toBeGreaterThan(0.9);
      for (let row = 0; row < rows; row++) {
        let sum = 0;
        for (let c = 0; c < classes; c++) sum += Math.exp(values[row * classes + c]!);
        expect(Math.abs(sum - 1)).toBeLessThan(1e-12);
      }
    }
    expect(router.choice.heldOutRows).toBeGreaterThan(10);
    expect(router.choice.heldOutAccuracy).toBeGreaterThan(0.8);
    expect(router.retainedBytes).toBe(4 * 40 * 16 * 2);
  });

  it("is the same to the last bit whatever the order and the blocks of what it learned", async () => {
    const expected = await wholeOf(await learn(empty.with(all), kind));
    const pieces = all.flatMap(({ label, rows }): Contribution[] => {
      const order = shuffled([...Array(rows.rows).keys()], createRng(3));
      return [0, 1, 2].map((part) => ({
        label,
        rows: takeRows(
          rows,
          order.filter((row) => row % 3 === part),
        ),
      }));
    });
    let statistics = empty;
    for (const piece of shuffled(pieces, createRng(4))) statistics = statistics.with([piece]);
    await learn(statistics.without("c"), kind);
    expect(await wholeOf(await learn(statistics, kind))).toEqual(expected);
    // And a fitter that kept nothing from earlier fits.
    await using other = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads: 1 }));
    const fresh = await other.fit(statistics, { kind, seed: 1 });
    expect({ bytes: other.encode(fresh), posterior: await fresh.posterior(queries) }).toEqual(expected);
  });

  it("that forgot a class, and one of a merge, equal one that never saw more", async () => {
    const [a, b, c, d] = [all[0]!, all[1]!, all[2]!, all[3]!];
    const expected = await wholeOf(await learn(empty.with([a, b, c]), kind));
    expect(await wholeOf(await learn(empty.with(all).without("d"), kind))).toEqual(expected);
    const merged = empty.with([c, a]).merge(empty.with([b]));
    expect(await wholeOf(await learn(merged, kind))).toEqual(expected);
    expect(await wholeOf(await learn(merged.with([d]), kind))).not.toEqual(expected);
  });

  it("says of a text the same alone and among others, wherever it stands", async () => {
    const router = await learn(empty.with(all), kind);
    const many = cloud("a", 150, 5);
    const { values, classes } = await router.posterior(many);
    for (const row of [0, 63, 64, 149]) {
      const alone = await router.posterior({
        rows: 1,
        width: many.width,
        values: many.values.slice(row * many.width, (row + 1) * many.width),
      });
      expect([...alone.values]).toEqual([...values.slice(row * classes, (row + 1) * classes)]);
    }
  });

  it("comes back from its file as it was", async () => {
    const router = await learn(empty.with(all), kind);
    const bytes = encode(router);
    const read = fitter.decode(bytes, "router.safetensors");
    expect(read.choice).toEqual(router.choice);
    expect(read.retainedBytes).toBe(router.retainedBytes);
    expect(await read.posterior(queries)).toEqual(await router.posterior(queries));
    const text = Buffer.from(bytes)
      .toString("latin1")
      .replace(/"version":"\d"/, '"version":"8"');
    expect(() => fitter.decode(Buffer.from(text, "latin1"), "here")).toThrow(StoreError);
  });

  it("learns one class, and classes of a single row", async () => {
    const one = await learn(empty.with([contribution("only", 1, 1)]), kind);
    expect([...(await one.posterior(queries)).values]).toEqual(Array(queries.rows).fill(0));
    const two = await learn(empty.with([contribution("a", 1, 1), contribution("b", 1, 1)]), kind);
    const { values } = await two.posterior(queries);
    expect(accuracy(two, values, "b")).toBeGreaterThan(0.5);
    expect(values.every(Number.isFinite)).toBe(true);
  });

  it("learns rows that are all alike", async () => {
    const same = contribution("a", 1, 1).rows;
    const alike = await learn(
      empty.with([
        { label: "a", rows: same },
        { label: "b", rows: same },
      ]),
      kind,
    );
    expect((await alike.posterior(queries)).values.every(Number.isFinite)).toBe(true);
  });
});

describe.each(["softmax", "network"] as const)("router %s, trained on rows", (kind) => {
  it("takes the rows that chose into its last fit", async () => {
    const router = await learn(empty.with(all), kind);
    const { rows, posterior } = router.judged!;
    const values = Float32Array.from(rows.values, (value) => value / FIXED_SCALE);
    const answered = await router.posterior({ rows: rows.rows, width: rows.width, values });
    expect(answered.values).not.toEqual(posterior().values);
  });
});

describe("a fitter", () => {
  it("takes the kind that does best on held-out rows, and names all it tried", async () => {
    const { choice, kind } = await learn(empty.with(all), "auto");
    expect(choice.kind).toBe(kind);
    expect(choice.tried.map((entry) => entry.kind)).toEqual(["lda", "ensemble"]);
    const best = Math.max(...choice.tried.map(({ heldOutAccuracy }) => heldOutAccuracy ?? 0));
    expect(choice.heldOutAccuracy).toBe(best);
  });

  it("says of held-out rows what a fit without them says, and is fitted to them in the end", async () => {
    const held = labels.map((label, i) => ({ ...contribution(label, 6, 50 + i), role: "judge" }) as const);
    const fitting = all.map((own) => ({ ...own, role: "fit" }) as const);
    const { judged, choice } = await learn(empty.with([...fitting, ...held]), "nearest-mean");
    expect(choice.heldOutRows).toBe(24);
    const features = (rows: FixedRows): FeatureRows => ({
      ...rows,
      values: Float32Array.from(rows.values, (value) => value / FIXED_SCALE),
    });
    // Settings and temperature are those of another choice; the order of the classes is not.
    const without = await (await learn(empty.with(fitting), "nearest-mean")).posterior(
      features(judged!.rows),
    );
    const best = ({ values, classes }: Posterior) =>
      Array.from({ length: 24 }, (_, row) => largest(values.subarray(row * classes, (row + 1) * classes)));
    expect(best(judged!.posterior())).toEqual(best(without));
    const swapped = held.map((own, i) => ({ ...own, label: labels[(i + 1) % 4]! }));
    const misled = await learn(empty.with([...fitting, ...swapped]), "nearest-mean");
    const plain = await learn(empty.with([...fitting, ...held]), "nearest-mean");
    expect(misled.model.members).not.toEqual(plain.model.members);
  });

  it("draws other random features from another seed, and the same from the same", async () => {
    const other = ClassStatistics.empty({ ...constants, seed: 8 }).with(all);
    const [first, second] = [await learn(empty.with(all), "ranpac"), await learn(other, "ranpac")];
    expect(await first.posterior(queries)).not.toEqual(await second.posterior(queries));
  });

  it("begins a network from its seed, and closed forms from the constants' alone", async () => {
    const of = async (kind: RouterKind, seed: number) => {
      const router = await fitter.fit(empty.with(all), { kind, seed });
      return (await router.posterior(queries)).values;
    };
    expect(await of("network", 2)).not.toEqual(await of("network", 1));
    expect(await of("ranpac", 2)).toEqual(await of("ranpac", 1));
  });

  it("says what it is at: every kind's members chosen, then those of the best fitted", async () => {
    const told: string[] = [];
    const { kind } = await fitter.fit(empty.with(all), {
      kind: "auto",
      seed: 1,
      onProgress: ({ stage, kind: of, member, members }) => told.push(`${stage} ${of} ${member}/${members}`),
    });
    const chosen = ["choose lda 1/1"];
    for (let member = 1; member <= 4; member++) chosen.push(`choose ensemble ${member}/4`);
    expect(told.slice(0, 5)).toEqual(chosen);
    expect(told[5]).toContain(`fit ${kind} 1/`);
  });

  it("refuses statistics without a class", async () => {
    await expect(learn(empty, "lda")).rejects.toThrow(DataError);
  });

  it("refuses features of another width, and values that are none", async () => {
    const router = await learn(empty.with(all), "lda");
    await expect(router.posterior({ rows: 1, width: 3, values: new Float32Array(3) })).rejects.toThrow(
      /3 wide/,
    );
    const values = new Float32Array(16).fill(Number.NaN);
    await expect(router.posterior({ rows: 1, width: 16, values })).rejects.toThrow(DataError);
  });

  it("stops where it is told to", async () => {
    const stopped = fitter.fit(empty.with(all), { kind: "lda", seed: 1, signal: AbortSignal.abort() });
    await expect(stopped).rejects.toThrow(/abort/i);
  });
});

describe("the search of a grid", () => {
  const grid = [0.3, 0.1, 0.03, 0.01, 0.003, 0.001];
  const search = async (losses: readonly number[]) => {
    const asked: number[] = [];
    const { setting } = await searchGrid(grid, async (setting) => {
      asked.push(setting);
      return { setting, loss: losses[grid.indexOf(setting)]! };
    });
    return { setting, asked };
  };

  it.each(grid)("finds a valley at %d, without asking everywhere", async (valley) => {
    const bottom = grid.indexOf(valley);
    const { setting, asked } = await search(grid.map((_, place) => Math.abs(place - bottom)));
    expect(setting).toBe(valley);
    expect(new Set(asked).size).toBe(asked.length);
    expect(asked.length).toBeLessThan(grid.length);
  });

  it("takes the strongest of settings that are equally good", async () => {
    expect((await search([1, 1, 1, 1, 1, 1])).setting).toBe(0.3);
  });
});

describe("how frequent classes are", () => {
  const many = ["a", "b", "c"].map((label, i) => contribution(label, 120, i));
  const rare = contribution("d", 6, 3);
  const statistics = empty.with([...many, rare]);
  const rows = 60;
  const asked = cloud("d", rows, 77);
  const meanOfRare = ({ values, classes }: Posterior) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += values[row * classes + 3]!;
    return sum / rows;
  };

  it.each(["softmax", "network", "ranpac"] as const)(
    "are taken out of what %s says, which learns them",
    async (kind) => {
      const uniform = await fitter.fit(statistics, { kind, seed: 1 });
      const asLearned = await fitter.fit(statistics, { kind, seed: 1, classPrior: "empirical" });
      const { prior, unknown: _, ...rest } = uniform.model;
      const { unknown: __, ...learned } = asLearned.model;
      expect(rest).toEqual(learned);
      expect(prior?.map(Math.exp)[3]).toBeCloseTo(6 / 366, 10);
      const [one, other] = [await uniform.posterior(asked), await asLearned.posterior(asked)];
      expect(meanOfRare(one)).toBeGreaterThan(meanOfRare(other));
      // log p(c)/p(a) has moved by log(120/6).
      const shift = ({ values }: Posterior) => values[3]! - values[0]!;
      expect(shift(one) - shift(other)).toBeCloseTo(Math.log(20), 6);
      const read = fitter.decode(encode(uniform), "router.safetensors");
      expect(read.model).toEqual(uniform.model);
    },
  );

  it("are none of what closed forms with equal priors say", async () => {
    for (const kind of ["nearest-mean", "lda"] as const)
      expect((await fitter.fit(statistics, { kind, seed: 1 })).model.prior).toBeUndefined();
  });

  it("are those of the rows that were fitted, where validation rows judge", async () => {
    const judge = { ...contribution("a", 60, 9), role: "judge" } as const;
    const fitted = [...many, rare].map((own) => ({ ...own, role: "fit" }) as const);
    const { judged, model } = await fitter.fit(empty.with([...fitted, judge]), { kind: "softmax", seed: 1 });
    expect(model.prior?.map(Math.exp)[0]).toBeCloseTo(180 / 426, 10);
    const plain = await fitter.fit(empty.with([...fitted, judge]), {
      kind: "softmax",
      seed: 1,
      classPrior: "empirical",
    });
    const [one, other] = [judged!.posterior().values, plain.judged!.posterior().values];
    expect(one[3]! - one[0]! - (other[3]! - other[0]!)).toBeCloseTo(Math.log(20), 6);
  });
});

describe("calibration", () => {
  it("has a log-loss that is the mean of −log softmax", () => {
    const logits = { rows: 2, columns: 3, values: Float64Array.of(1, 2, 3, 0, -1, 5) };
    const { values } = logSoftmax(logits, 0.7);
    expect(logLoss(logits, 0.7, Int32Array.of(2, 0))).toBeCloseTo(-(values[2]! + values[3]!) / 2, 12);
  });

  it("finds the temperature that labels were drawn at", () => {
    const [rows, columns] = [4000, 5];
    const rng = createRng(1);
    const values = Float64Array.from({ length: rows * columns }, () => rng.normal());
    const drawn = logSoftmax({ rows, columns, values }, 2.5);
    const targets = Int32Array.from({ length: rows }, (_, row) => {
      let left = rng.uniform();
      for (let c = 0; c < columns - 1; c++) {
        left -= Math.exp(drawn.values[row * columns + c]!);
        if (left < 0) return c;
      }
      return columns - 1;
    });
    const beta = fitInverseTemperature({ rows, columns, values }, targets);
    expect(Math.abs(beta - 2.5)).toBeLessThan(0.3);
    const at = (b: number) => logLoss({ rows, columns, values }, b, targets);
    expect(at(beta)).toBeLessThan(Math.min(at(beta * 0.8), at(beta * 1.2)));
  });

  it("stays finite where every row is told apart, and where none can be", () => {
    const apart = { rows: 3, columns: 2, values: Float64Array.of(1, 0, 1, 0, 0, 1) };
    expect(fitInverseTemperature(apart, Int32Array.of(0, 0, 1))).toBeLessThan(100);
    const alike = { rows: 2, columns: 2, values: new Float64Array(4) };
    expect(Number.isFinite(fitInverseTemperature(alike, Int32Array.of(0, 1)))).toBe(true);
    const wrong = { rows: 2, columns: 2, values: Float64Array.of(1, 0, 1, 0) };
    const beta = fitInverseTemperature(wrong, Int32Array.of(1, 1));
    expect(beta).toBeGreaterThan(0);
    expect(beta).toBeLessThan(0.1);
  });
});
