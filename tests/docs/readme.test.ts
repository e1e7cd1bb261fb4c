import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { resolveConfig } from "../../src/config/load.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { blocksOf, readPage } from "../support/pages.ts";

const readme = readPage("README.md");
const library = readPage("docs/library.md");
const exampleOf = (name: string) => join(packageRoot, "examples", `${name}.ts`);
const longestExampleLines = 15;

test.each([
  ["README.md", readme, "store"],
  ["docs/library.md", library, "two-tasks"],
])("the example of %s is a file, and short", (_, page, name) => {
  const code = readFileSync(exampleOf(name), "utf8");
  expect(blocksOf(page, "ts")).toEqual([code]);
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
