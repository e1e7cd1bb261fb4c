import { describe, expect, test } from "vitest";
import { applyOverrides, formatOverride, parseOverride } from "../../src/config/overrides.ts";
import { ConfigError } from "../../src/core/errors.ts";

describe("parseOverride", () => {
  test.each([
    ["a=3", 3],
    ["a=5e-4", 5e-4],
    ["a=true", true],
    ["a=null", null],
    ["a=some text", "some text"],
    ["a=x=y", "x=y"],
    ["a=[b, c]", ["b", "c"]],
    ["a={ kind: cosine, scale: 2 }", { kind: "cosine", scale: 2 }],
  ])("%s", (text, value) => {
    expect(parseOverride(text)).toEqual({ key: "a", value, source: "--set" });
  });

  test.each(["epochs", "=3", "a..b=3", ".a=3", "a=[1", 'a={"b": 1, "b": 2}'])("refuses %s", (text) => {
    expect(() => parseOverride(text)).toThrow(ConfigError);
  });
});

describe("applyOverrides", () => {
  test("makes mappings on the way, keeps their neighbours, and says what was replaced", () => {
    const raw = { training: { epochs: 3, batchSize: 8 } };
    const {
      raw: merged,
      applied,
      issues,
    } = applyOverrides(raw, [
      parseOverride("training.epochs=5"),
      parseOverride("method.rank=2"),
      parseOverride("training.epochs=6"),
    ]);
    expect(merged).toEqual({ training: { epochs: 6, batchSize: 8 }, method: { rank: 2 } });
    expect(applied.map((each) => each.replaced)).toEqual([3, undefined, 5]);
    expect(issues).toEqual([]);
    expect(raw).toEqual({ training: { epochs: 3, batchSize: 8 } });
  });

  test("a key inside a text has no place to go", () => {
    const raw = { head: "cosine", out: "runs" };
    const { issues } = applyOverrides(raw, [parseOverride("head.scale=1"), parseOverride("out.folder=x")]);
    expect(issues).toEqual([
      {
        path: "head",
        expected: "a mapping, so that scale can be set in it: write head.kind in place of head",
        received: '"cosine"',
      },
      { path: "out", expected: "a mapping, so that folder can be set in it", received: '"runs"' },
    ]);
  });

  test("__proto__ is a key like any other", () => {
    const { raw } = applyOverrides({}, [parseOverride("__proto__.polluted=1")]);
    expect(Object.keys(raw)).toEqual(["__proto__"]);
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });
});

test("an override is shown with its value, its source, and the file's", () => {
  const { applied } = applyOverrides({ seed: 1 }, [parseOverride("seed=2"), parseOverride("out=x", "--out")]);
  expect(applied.map(formatOverride)).toEqual(["seed = 2 (--set; the file says 1)", 'out = "x" (--out)']);
});
