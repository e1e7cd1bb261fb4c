import { describe, expect, it } from "vitest";
import { limitedThreads } from "../../src/io/processor.ts";

describe("threads of the engine", () => {
  it("are left to the engine where nothing is limited", () => {
    expect(limitedThreads(undefined, 8, 8)).toBe(0);
    expect(limitedThreads(8, 8, 8)).toBe(0);
  });

  it("are what a container or an affinity allows, at least one", () => {
    expect(limitedThreads(2.5, 8, 8)).toBe(2);
    expect(limitedThreads(0.4, 8, 8)).toBe(1);
    expect(limitedThreads(undefined, 3, 8)).toBe(3);
    expect(limitedThreads(6, 3, 8)).toBe(3);
  });
});
