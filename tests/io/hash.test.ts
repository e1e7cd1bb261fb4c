import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DataError } from "../../src/core/errors.ts";
import { canonicalJson, sha256, sha256File, sha256Json } from "../../src/io/hash.ts";
import { temporaryFolder } from "../support/folders.ts";

const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

test("sha256 of text, bytes and file is the standard's", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "abc"), "abc");
  expect(sha256("abc")).toBe(abc);
  expect(sha256(new TextEncoder().encode("abc"))).toBe(abc);
  expect(await sha256File(join(folder, "abc"))).toBe(abc);
});

test("hashing a file can be aborted", async () => {
  await expect(sha256File(process.execPath, AbortSignal.abort())).rejects.toThrow(/abort/i);
});

test("canonical JSON is JSON with the same value, whatever the order of keys", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const text = canonicalJson(value);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonicalJson(Object.fromEntries(Object.entries(value).reverse()))).toBe(text);
    }),
  );
  expect(canonicalJson({ b: [1, { d: "é", c: null }], a: undefined })).toBe('{"b":[1,{"c":null,"d":"é"}]}');
  expect(sha256Json({ b: 1, a: 2 })).toBe(sha256('{"a":2,"b":1}'));
});

test("what JSON cannot hold is refused by place", () => {
  for (const wrong of [Number.NaN, 1n, () => 1, new Date(0), undefined]) {
    expect(() => canonicalJson({ a: [wrong] })).toThrow(DataError);
    expect(() => canonicalJson({ a: [wrong] })).toThrow(/\$\.a\[0\]/);
  }
});
