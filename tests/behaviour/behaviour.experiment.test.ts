import { afterAll, beforeAll, expect, test } from "vitest";
import { Bench } from "./bench.ts";
import { perform } from "./driver.ts";
import { differences, goldenOf, readGolden } from "./golden.ts";
import { isRecordedHere } from "./machine.ts";
import { closenessOf, goldenNameOf, scenarios } from "./scenarios/index.ts";

const exact = await isRecordedHere();

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
});
afterAll(() => bench[Symbol.asyncDispose]());

test.each(scenarios.map((scenario) => [scenario.name, scenario] as const))(
  `%s is as recorded, ${exact ? "to the bit" : "within tolerances: another processor or engine recorded it"}`,
  async (_, scenario) => {
    const golden = await readGolden(goldenNameOf(scenario));
    expect(
      differences(goldenOf(await perform(scenario, bench)), golden, closenessOf(scenario, exact)),
    ).toEqual([]);
  },
  // The longest takes a quarter of a minute, and four times that where other work has the processor.
  300_000,
);

test("every scenario has a name of its own", () => {
  const names = scenarios.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
});
