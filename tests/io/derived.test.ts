/** Cached and derived bytes are taken only as they were written. */
import { readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checksum, checksumFile } from "../../src/io/checksum.ts";
import { sha256 } from "../../src/io/hash.ts";
import { cachedFileHash } from "../../src/io/hashCache.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { openSealed, sealJson } from "../../src/io/sealed.ts";
import { temporaryFolder } from "../support/folders.ts";

let folder = "";
const cacheBefore = process.env.XDG_CACHE_HOME;
beforeEach(async () => {
  folder = await temporaryFolder();
  process.env.XDG_CACHE_HOME = join(folder, "cache");
});
afterEach(() => {
  if (cacheBefore === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = cacheBefore;
});

describe("a checksum", () => {
  test("is CRC-32, of bytes and of a file", async () => {
    // The check value of the algorithm's catalogue.
    expect(checksum(new TextEncoder().encode("123456789"))).toBe("cbf43926");
    const bytes = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 31) % 251);
    await writeFile(join(folder, "large"), bytes);
    expect(await checksumFile(join(folder, "large"))).toBe(checksum(bytes));
  });
});

describe("a remembered hash", () => {
  test("is that of the bytes, where they changed and size and time did not", async () => {
    const path = join(folder, "weights");
    const time = new Date("2026-01-01");
    await writeFile(path, "the weights");
    await utimes(path, time, time);
    expect(await cachedFileHash(path)).toBe(sha256("the weights"));
    await writeFile(path, "the_weights");
    await utimes(path, time, time);
    expect((await stat(path)).mtimeMs).toBe(time.getTime());
    expect(await cachedFileHash(path)).toBe(sha256("the_weights"));
  });

  test("is not believed of other bytes, whatever the cache says of their times", async () => {
    const path = join(folder, "weights");
    await writeFile(path, "the weights");
    await cachedFileHash(path);
    const cache = join(folder, "cache", "accrete", "hashes.json");
    const { [path]: entry } = JSON.parse(await readFile(cache, "utf8"));
    await writeFile(path, "the_weights");
    const { size, mtimeNs, ctimeNs, ino } = await stat(path, { bigint: true });
    const stamp = `${size}:${mtimeNs}:${ctimeNs}:${ino}`;
    await writeFile(cache, JSON.stringify({ [path]: { ...entry, stamp } }));
    expect(await cachedFileHash(path)).toBe(sha256("the_weights"));
  });
});

describe("sealed JSON", () => {
  const value = { version: 3, settings: { alpha: 0.5, names: ["a", "b"] } };

  test("opens as it was sealed, and however it is spaced", () => {
    expect(openSealed(sealJson(value))).toEqual(value);
    const spaced = JSON.stringify(JSON.parse(new TextDecoder().decode(sealJson(value))));
    expect(openSealed(new TextEncoder().encode(spaced))).toEqual(value);
  });

  test.each([
    ["0.5", "0.6"],
    ['"a"', '"c"'],
    ["sha256", "sha255"],
  ])("does not open where %s became %s", (from, to) => {
    const text = new TextDecoder().decode(sealJson(value));
    expect(text).toContain(from);
    expect(openSealed(new TextEncoder().encode(text.replace(from, to)))).toBeUndefined();
  });

  test.each(["", "{", "null", "[]", "{}", '{"sha256": 1}'])("%j is none", (text) => {
    expect(openSealed(new TextEncoder().encode(text))).toBeUndefined();
  });
});

describe("values", () => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "that are %s are refused, naming the tensor",
    (wrong) => {
      const data = new Float32Array([1, 2, wrong]);
      const bytes = encodeSafetensors(new Map([["w", { dtype: "float32", dims: [3], data }]]));
      expect(() => decodeSafetensors(bytes, "here")).toThrow(
        `here: w: value 2 is ${wrong}, not a finite number`,
      );
    },
  );

  test("whose sum alone is too large are fine", () => {
    const data = new Float64Array([Number.MAX_VALUE, Number.MAX_VALUE]);
    const bytes = encodeSafetensors(new Map([["w", { dtype: "float64", dims: [2], data }]]));
    expect(decodeSafetensors(bytes, "here").tensors.get("w")?.data).toEqual(data);
  });
});
