import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sha256, sha256Listing } from "../../src/portable/hash.ts";
import { baseName, folderName } from "../../src/portable/paths.ts";
import { plainSha256 } from "../../src/portable/sha256.ts";

const byNode = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("SHA-256 without Node", () => {
  // The lengths around which padding takes another block.
  test.each([0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 128, 1000, 100_000])("of %i bytes", (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + 11) & 0xff);
    expect(plainSha256(bytes)).toBe(byNode(bytes));
  });

  test("of any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(plainSha256(bytes)).toBe(byNode(bytes));
      }),
    );
  });
});

test("a listing is what sha256sum prints, sorted", () => {
  const digests = new Map([
    ["b", "2"],
    ["a", "1"],
  ]);
  expect(sha256Listing(digests)).toBe(sha256("1  a\n2  b\n"));
});

test.each([
  ["/models/a/model.safetensors", "/models/a", "model.safetensors"],
  ["C:\\models\\model.safetensors", "C:\\models", "model.safetensors"],
  ["model.safetensors", "", "model.safetensors"],
])("%s", (path, folder, name) => {
  expect([folderName(path), baseName(path)]).toEqual([folder, name]);
});
