import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { resolveConfig } from "../../src/config/load.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { blocksOf, readPage } from "../support/pages.ts";

const readme = readPage("README.md");
const example = join(packageRoot, "examples/two-tasks.ts");
const longestExampleLines = 15;

test("the README's example is examples/two-tasks.ts, and short", () => {
  const code = readFileSync(example, "utf8");
  expect(blocksOf(readme, "ts")).toEqual([code]);
  expect(code.trimEnd().split("\n").length).toBeLessThanOrEqual(longestExampleLines);
});

test("the README's configuration is valid", () => {
  const blocks = blocksOf(readme, "yaml");
  expect(blocks).toHaveLength(1);
  for (const block of blocks) {
    const config = resolveConfig(parse(block), "/experiments");
    expect(config).toMatchObject({ backbone: "/shared/models/minilm-l6", out: "/experiments/runs/example" });
  }
});
