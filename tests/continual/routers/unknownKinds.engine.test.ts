import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type FittedRouter, RouterFitter } from "../../../src/continual/routers/fit.ts";
import { UNKNOWN_PRIOR } from "../../../src/continual/routers/scores/unknown.ts";
import { ClassStatistics, OUTSIDE_LABEL } from "../../../src/continual/statistics/statistics.ts";
import { type FeatureRows, routerKinds } from "../../../src/continual/types.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { cloud, constants, contribution } from "../../support/routingRows.ts";

vi.mock("../../../src/continual/routers/members.ts", async (load) => {
  const { fewFeatures } = await import("../../support/fewFeatures.ts");
  return await fewFeatures(load);
});

const fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads: 1 }));
afterAll(() => fitter[Symbol.asyncDispose]());

const names = ["a", "b", "c", "d", "e", "f"];
const empty = ClassStatistics.empty(constants);
const known = empty.with(names.map((label, i) => contribution(label, 120, i)));

const mean = (values: Iterable<number>) => {
  const all = [...values];
  return all.reduce((sum, value) => sum + value, 0) / all.length;
};

describe.each(routerKinds)("texts of no class, %s", (kind) => {
  let router: FittedRouter;
  beforeAll(async () => {
    router = await fitter.fit(known, { kind, seed: 1 });
  });

  const unknownOf = async (labels: readonly string[], of = router, unknownPrior?: number) => {
    const all: number[] = [];
    for (const label of labels)
      all.push(...(await of.assess(cloud(label, 60, 900), { unknownPrior })).unknown);
    return all;
  };

  it("are likelier to be unknown, and about the share asked for of known texts is rejected", async () => {
    const [inside, outside] = [await unknownOf(names), await unknownOf(["x", "y", "z"])];
    expect(mean(outside)).toBeGreaterThan(2 * mean(inside));
    const threshold = router.unknownThreshold(0.1);
    const rejected = inside.filter((probability) => probability > threshold).length / inside.length;
    expect(rejected).toBeGreaterThan(0.01);
    expect(rejected).toBeLessThan(0.25);
  });

  it("are told alike alone, among others, by a router from its file, and whatever the order of classes", async () => {
    const queries = cloud("b", 70, 8);
    const { unknown, posterior } = await router.assess(queries);
    expect(posterior).toEqual(await router.posterior(queries));
    const last: FeatureRows = { rows: 1, width: 16, values: queries.values.slice(69 * 16) };
    expect((await router.assess(last)).unknown[0]).toBe(unknown[69]);
    const bytes = fitter.encode(router) ?? expect.unreachable();
    const read = fitter.decode(bytes, "router.safetensors");
    expect((await read.assess(queries)).unknown).toEqual(unknown);
    expect(read.unknownThreshold(0.05)).toBe(router.unknownThreshold(0.05));
    const turned = empty.with([...known.contributions].reverse());
    expect(fitter.encode(await fitter.fit(turned, { kind, seed: 1 }))).toEqual(bytes);
  });

  it("are told better by texts of no class that were given", async () => {
    const rows = ["x", "y"].map((label) => contribution(label, 200, 5).rows);
    const outside = rows.map((own) => ({ label: OUTSIDE_LABEL, rows: own, role: "outside" as const }));
    const taught = await fitter.fit(known.with(outside), { kind, seed: 1 });
    // Of as many texts of no class as of known ones.
    const likelihood = async (of: FittedRouter) =>
      mean((await unknownOf(["x", "y"], of, 0.5)).map((p) => Math.log(p))) +
      mean((await unknownOf(names, of, 0.5)).map((p) => Math.log(1 - p)));
    expect(await likelihood(taught)).toBeGreaterThan(await likelihood(router));
  });

  it("are as probable as the prior says where there is one class alone", async () => {
    const one = await fitter.fit(empty.with([contribution("a", 40, 1)]), { kind, seed: 1 });
    const { unknown } = await one.assess(cloud("x", 3, 2));
    for (const probability of unknown) expect(probability).toBeCloseTo(UNKNOWN_PRIOR, 12);
  });
});
