/** JSON beyond what a text may hold, with a small limit in the place of the engine's. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DataError } from "../../../src/core/errors.ts";
import { readJson } from "../../../src/data/files/lines.ts";
import { folderWith } from "../../support/folders.ts";

function fileOf(content: string | Uint8Array): string {
  return join(folderWith({ "large.json": content }), "large.json");
}

describe("a file that is too long to be one text", () => {
  const value = {
    "0": { train: { input: [["a", '"}{,[\\"', "größe"]], tags: [] }, "a,b": "\\" },
    '1","x': [1, -2.5e3, null, true, "]"],
    empty: {},
    ["__proto__"]: "own",
  };

  test.each([
    ["on one line", JSON.stringify(value)],
    ["indented", JSON.stringify(value, null, 2)],
    ["with blanks around it", `\n ${JSON.stringify(value)} \n`],
  ])("is read all the same, %s", async (_, text) => {
    const path = fileOf(text);
    const limit = statSync(path).size - 1;
    expect(await readJson(path, limit)).toEqual(JSON.parse(text));
  });

  test("whatever its object holds", async () => {
    const objects = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1, maxKeys: 5 });
    await fc.assert(
      fc.asyncProperty(objects, fc.boolean(), async (object, indented) => {
        const text = `${JSON.stringify(object, null, indented ? 1 : 0)}${" ".repeat(4)}`;
        const parts = Object.entries(object).map(([key, each]) =>
          Buffer.byteLength(JSON.stringify({ [key]: each }, null, 2)),
        );
        const path = fileOf(text);
        const limit = Math.max(...parts);
        // Where one member is nearly all of the file, blanks make the file longer than the limit.
        const read = await readJson(path, Math.min(limit, Buffer.byteLength(text) - 1));
        expect(read).toEqual(JSON.parse(text));
      }),
      { numRuns: 60 },
    );
  });

  test.each<[string, string, RegExp]>([
    ["an array", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", /no single JSON object/],
    ["a text", JSON.stringify("a".repeat(40)), /no single JSON object/],
    ["two objects", '{"a": 1} {"b": 2, "c": 3, "d": 4}', /no single JSON object/],
    ["something before it", 'x = {"a": 1, "b": 2, "c": 3, "d": 4}', /no single JSON object/],
    ["something after it", '{"a": 1, "b": 2, "c": 3, "d": 4} x', /no single JSON object/],
    ["its end missing", '{"a": 1, "b": 2, "c": 3, "d": [4, 5]', /its end is missing/],
    ["a damaged member", '{"a": 1, "b": 2, "c": [3}, "d": [4, 5]}', /member 3 of its object/],
    ["a comma too many", '{"a": 1, "b": 2,, "c": [3], "d": [4, 5]}', /member 3 of its object/],
    ["a comma at the end", '{"a": 1, "b": 2, "c": [3], "d": [4, 5],}', /member 5 of its object/],
    [
      "a member too long",
      `{"a": 1, "b": "${"b".repeat(40)}"}`,
      /member 2 of its object is longer than 20 bytes/,
    ],
  ])("is refused with %s", async (_, text, message) => {
    const path = fileOf(text);
    await expect(readJson(path, 20)).rejects.toThrow(DataError);
    await expect(readJson(path, 20)).rejects.toThrow(message);
    await expect(readJson(path, 20)).rejects.toThrow(path);
  });

  test("is refused where it is not UTF-8", async () => {
    const path = fileOf(Buffer.from('{"a": "gr\xf6\xdfe", "b": "rather long"}', "latin1"));
    expect(readFileSync(path)).toContain(0xf6);
    await expect(readJson(path, 24)).rejects.toThrow(/member 1 of its object/);
  });
});
