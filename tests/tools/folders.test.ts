import { describe, expect, test } from "vitest";
import { checkFolders, readSources } from "../../tools/folders/check.ts";

const readme = (folder: string) => [`${folder}/README.md`, "# It"] as const;

/** What is wrong with files, and the pages that each folder needs. */
function problems(
  files: Readonly<Record<string, string>>,
  table: Readonly<Record<string, readonly string[]>>,
) {
  const folders = [...new Set(Object.keys(files).map((file) => file.slice(0, file.lastIndexOf("/"))))];
  return checkFolders(new Map([...Object.entries(files), ...folders.map(readme)]), table);
}

test("our own sources pass", () => {
  expect(checkFolders(readSources(new URL("../../src/", import.meta.url)))).toEqual([]);
});

describe("finds", () => {
  test("a cycle of three folders, type imports included, with the files that close it", () => {
    const files = {
      "a/one.ts": 'import {\n  two,\n} from "../b/two.ts";\n',
      "b/two.ts": 'export * from "../c/three.ts";\nimport { own } from "./other.ts";\n',
      "b/other.ts": "export const own = 1;\n",
      "c/three.ts": 'import type { One } from "../a/one.ts";\n',
    };
    expect(problems(files, { a: ["b"], b: ["c"], c: ["a"] })).toEqual([
      `folders import each other in a circle: a → b → c → a
  a/one.ts imports b/two.ts
  b/two.ts imports c/three.ts
  c/three.ts imports a/one.ts`,
    ]);
  });

  test("a cycle through an import that waits until it is needed", () => {
    const files = {
      "a/one.ts": 'import { two } from "../b/two.ts";\n',
      "b/two.ts": 'export const late = () => import("../a/one.ts");\n',
    };
    expect(problems(files, { a: ["b"], b: ["a"] })).toEqual([expect.stringContaining("a → b → a")]);
  });

  test("an import that the table does not allow", () => {
    const files = { "a/one.ts": 'import "../b/two.ts";\n', "b/two.ts": "\n" };
    expect(problems(files, { a: [], b: [] })).toEqual(["a/one.ts imports b/two.ts: a may not import b"]);
    expect(problems(files, { a: ["b"], b: [] })).toEqual([]);
  });

  test("a folder that is not in the table, and one that is there alone", () => {
    expect(problems({ "a/one.ts": "\n" }, { b: [] })).toEqual([
      expect.stringContaining("names src/b, which has no files"),
      expect.stringContaining("src/a is not in the table"),
    ]);
  });

  test("the engine where it does not belong", () => {
    const source = 'import * as ort from "onnxruntime-node";\n';
    const files = { "runtime/node.ts": source, "runtime/other.ts": source };
    expect(problems(files, { runtime: [] })).toEqual([
      "runtime/other.ts imports onnxruntime-node: only runtime/node.ts and runtime/web.ts may",
    ]);
  });

  test("too many files, too long a file, and no page", () => {
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`a/f${i}.ts`, "\n"]));
    expect(problems(many, { a: [] })).toEqual(["src/a has 17 files of at most 16"]);
    const long = "\n".repeat(421);
    expect(problems({ "a/long.ts": long }, { a: [] })).toEqual(["a/long.ts has 421 lines of at most 420"]);
    expect(problems({ "autodiff/rules.ts": long }, { autodiff: [] })).toEqual([]);
    expect(checkFolders(new Map([["a/one.ts", "\n"]]), { a: [] })).toEqual([
      "src/a/README.md is missing: say what is in the folder",
    ]);
  });

  test("nothing in comments and texts that look like imports", () => {
    const files = {
      "a/one.ts": '/**\n * import { two } from "../b/two.ts";\n */\nconst text = \'import "../b/two.ts"\';\n',
      "b/two.ts": "\n",
    };
    expect(problems(files, { a: [], b: [] })).toEqual([]);
  });
});
