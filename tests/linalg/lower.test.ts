import { expect, test } from "vitest";
import { copyLower, type Lower, mirrorLower, packedLength } from "../../src/linalg/lower.ts";

/** Rows of 3, the numbers above the diagonal none of the triangle's. */
const square: Lower = { layout: "square", n: 3, values: Float64Array.of(11, 9, 9, 21, 22, 9, 31, 32, 33) };

test("a triangle is packed row after row, and unpacked into a square that is else left alone", () => {
  const packed = { layout: "packed", n: 3, values: new Float32Array(packedLength(3)) } as const;
  expect(copyLower(square, packed)).toBe(packed.values);
  expect([...packed.values]).toEqual([11, 21, 22, 31, 32, 33]);
  const values = new Float64Array(9).fill(7);
  copyLower(packed, { layout: "square", n: 3, values });
  expect([...values]).toEqual([11, 7, 7, 21, 22, 7, 31, 32, 33]);
  expect([...mirrorLower(values, 3)]).toEqual([11, 21, 31, 21, 22, 32, 31, 32, 33]);
});

test("the leading rows go into a smaller square, and into part of a larger one", () => {
  const packed: Lower = { layout: "packed", n: 3, values: Float64Array.of(11, 21, 22, 31, 32, 33) };
  for (const from of [square, packed]) {
    expect([...copyLower(from, { layout: "square", n: 2, values: new Float64Array(4) })]).toEqual([
      11, 0, 21, 22,
    ]);
    const larger = { layout: "square", n: 4, values: new Float64Array(16) } as const;
    expect([...copyLower(from, larger, 2)].slice(0, 8)).toEqual([11, 0, 0, 0, 21, 22, 0, 0]);
  }
});
