import { describe, expect, it } from "vitest";
import { EngineError } from "../../src/core/errors.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import { requireCorrect, selfTestFeeds, selfTestGraph, selfTestValues } from "../../src/runtime/selfTest.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { refusalOf } from "../support/errors.ts";

/** The reference, but for one number of one output. */
const wrong: Runtime = {
  name: "wrong",
  compile: async (graph, options) => {
    const executable = await referenceRuntime.compile(graph, options);
    return {
      run: async (feeds) => {
        const { sums, ...others } = await executable.run(feeds);
        if (sums === undefined) throw new EngineError("no sums");
        const data = Float64Array.from(
          [...sums.data].map(Number),
          (value, i) => value + (i === 5 ? 0.01 : 0),
        );
        return { ...others, sums: { dtype: "float64", dims: sums.dims, data } };
      },
      [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose](),
    };
  },
};

describe("the self-test of a device", () => {
  it("has the values of the reference", async () => {
    await using executable = await referenceRuntime.compile(selfTestGraph());
    const results = await executable.run(selfTestFeeds);
    for (const [name, values] of Object.entries(selfTestValues)) {
      const made = [...(results[name]?.data ?? [])].map((value) => Number(Number(value).toPrecision(9)));
      expect(made, name).toEqual(values);
    }
  });

  it("takes the reference, and refuses what computes wrongly", async () => {
    await requireCorrect(referenceRuntime);
    expect(await refusalOf(requireCorrect(wrong))).toMatch(
      /wrong computes wrongly: "sums" of the self-test is off by 6.2e-4/,
    );
  });
});
