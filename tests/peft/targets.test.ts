import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { defaultTargetModules, matchTargetModules, targetMatcher } from "../../src/peft/targets.ts";

const sites = [
  "encoder.layer.0.attention.self.query",
  "encoder.layer.0.attention.self.key",
  "encoder.layer.0.attention.self.value",
  "encoder.layer.0.attention.output.dense",
  "encoder.layer.0.output.dense",
  "encoder.layer.10.attention.self.query",
  "pooler.dense",
];

function hintOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ConfigError) return error.hint ?? "";
    throw error;
  }
  return "";
}

describe("matchTargetModules", () => {
  test.each<[string, readonly string[] | string, readonly number[]]>([
    ["an end after a dot", ["query"], [0, 5]],
    ["several, in the model's order", ["value", "query"], [0, 2, 5]],
    ["a longer end", ["attention.output.dense"], [3]],
    ["an exact path", ["pooler.dense", "encoder.layer.0.attention.self.key"], [1, 6]],
    ["a regex over the whole path", "encoder\\.layer\\.0\\..*(query|key)", [0, 1]],
    ["a regex with alternatives at the top", "pooler.dense|.*\\.key", [1, 6]],
    ["a regex in Python's dialect", "encoder\\.layer\\.(?P<n>1\\d)\\..*", [5]],
    ["peft's shorthand", "ALL-linear", [0, 1, 2, 3, 4, 5, 6]],
  ])("%s", (_, targets, expected) => {
    expect(matchTargetModules(targets, sites)).toEqual(expected.map((index) => sites[index]));
  });

  test.each<[string, readonly string[] | string]>([
    ["an end without its dot", ["uery"]],
    ["a beginning", ["encoder"]],
    ["a regex that matches a part only", "query"],
    ["an empty list", []],
  ])("%s matches nothing", (_, targets) => {
    expect(() => matchTargetModules(targets, sites)).toThrow(/matches no layer/);
  });

  test("names near misses and the layers there are", () => {
    const hint = hintOf(() => matchTargetModules(["querry", "valu"], sites));
    expect(hint).toContain("Did you mean query, value?");
    expect(hint).toContain("query, key, value, dense");
    expect(hintOf(() => matchTargetModules("query", sites))).toContain("whole path");
  });

  test("a broken regex is a ConfigError", () => {
    expect(() => matchTargetModules("(query", sites)).toThrow(/no regular expression/);
  });
});

test("default targets are peft's", () => {
  expect(defaultTargetModules("bert")).toEqual(["query", "value"]);
  expect(defaultTargetModules("gpt_neox")).toEqual(["query_key_value"]);
});

describe("patterns from files", () => {
  const long = `${"a".repeat(60)}!`;

  test.each(["(a+)+b", "(a|aa)+$b", "(.*a){25}b"])("%j ends in linear time", (pattern) => {
    const start = performance.now();
    expect(targetMatcher(pattern)(long)).toBe(false);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test("that look ahead are matched as Python does", () => {
    const matches = targetMatcher("^(?!.*patch).*(?:query|value)");
    expect(["a.query", "patch.query", "a.key"].map(matches)).toEqual([true, false, false]);
  });

  test("that look ahead and take too long are refused", () => {
    expect(() => targetMatcher("(?=a)(a+)+b")(long)).toThrow(/takes more than 500 ms to match/);
  });

  test("that are too long are refused", () => {
    expect(() => targetMatcher("a".repeat(10_001))).toThrow(/has more than 10000 characters/);
  });
});
