import { expect, it } from "vitest";
import { benchCommand } from "../../src/cli/commands/tools/bench.ts";
import { multipliesBytes } from "../../src/io/processor.ts";
import { listeningTerminal } from "../support/cli.ts";

it("prints the machine's ceilings, and each step's time beside them", async () => {
  const terminal = listeningTerminal();
  await benchCommand({ threads: 1, json: true }, terminal);
  const { ceilings, rows, features, threads, peakBytes } = JSON.parse(terminal.heard().out);
  expect(threads).toBe(1);
  expect(Array.isArray(features)).toBe(true);
  expect(ceilings.float32).toBeGreaterThan(1e8);
  expect(ceilings.copy).toBeGreaterThan(1e8);
  expect(peakBytes).toBeGreaterThan(1e7);
  expect(rows).toHaveLength(multipliesBytes() ? 8 : 4);
  for (const { milliseconds, shareOfCeiling } of rows) {
    expect(milliseconds).toBeGreaterThan(0);
    expect(shareOfCeiling).toBeGreaterThan(0);
  }
});
