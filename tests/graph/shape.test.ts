import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addDims,
  broadcastShapes,
  type Dim,
  divideDim,
  evaluateDim,
  formatShape,
  multiplyDims,
  normaliseAxis,
  sameShape,
  sameSize,
  sumDims,
} from "../../src/graph/shape.ts";

const bindings = new Map([
  ["B", 3],
  ["T", 5],
  ["R", 1],
]);
const aDim: fc.Arbitrary<Dim> = fc.oneof(
  fc.integer({ min: 0, max: 9 }),
  fc.constantFrom("B", "T", "R", "T+10", "T+-2", "B*T", "2*B"),
);

describe("products of dimensions", () => {
  it.each<[Dim, Dim, Dim]>([
    ["B*T", "B", "T"],
    ["B", "B", 1],
    ["6*B*T", "2*B", "3*T"],
    [12, 4, 3],
    ["B*T+10", "B", "T+10"],
  ])("%j divided by %j is %j", (dim, by, rest) => {
    expect(divideDim(dim, by)).toBe(rest);
  });

  it.each<[Dim, Dim]>([
    ["B*T", "R"],
    ["B", "B*T"],
    [5, 2],
  ])("%j is not divided by %j", (dim, by) => {
    expect(() => divideDim(dim, by)).toThrow(`${by} is no factor of ${dim}`);
  });

  it.each<[Dim[], Dim]>([
    [[], 1],
    [[2, 3], 6],
    [["B", "T"], "B*T"],
    [["T", "B"], "B*T"],
    [["T", 2, "B", 3], "6*B*T"],
    [["B*T", 4], "4*B*T"],
    [["2*B", "3*T"], "6*B*T"],
    [["B", 1], "B"],
    [["B", 0], 0],
    [["T+10", "B"], "B*T+10"],
  ])("%j is %j", (dims, product) => {
    expect(multiplyDims(dims)).toBe(product);
  });

  it("have the value of their factors' product, in any order", () => {
    fc.assert(
      fc.property(fc.array(aDim, { maxLength: 5 }), (dims) => {
        const value = dims.reduce<number>((product, dim) => product * evaluateDim(dim, bindings), 1);
        expect(evaluateDim(multiplyDims(dims), bindings)).toBe(value);
        expect(multiplyDims([...dims].reverse())).toBe(multiplyDims(dims));
        expect(multiplyDims([multiplyDims(dims.slice(0, 2)), ...dims.slice(2)])).toBe(multiplyDims(dims));
      }),
    );
  });
});

describe("sums of dimensions", () => {
  it.each<[Dim, number, Dim]>([
    [2, 3, 5],
    ["T", 10, "T+10"],
    ["T+10", -3, "T+7"],
    ["T+10", -10, "T"],
    ["T", -1, "T+-1"],
    ["T+-1", 1, "T"],
    ["B*T", 0, "B*T"],
  ])("%j + %j is %j", (dim, constant, sum) => {
    expect(addDims(dim, constant)).toBe(sum);
    expect(sumDims(dim, constant)).toBe(sum);
    expect(sumDims(constant, dim)).toBe(sum);
    expect(evaluateDim(sum, bindings)).toBe(evaluateDim(dim, bindings) + constant);
  });

  it("of two symbols, or of a product and a number, cannot be written", () => {
    expect(() => sumDims("B", "T")).toThrow("cannot add the symbolic dimensions B and T");
    expect(() => addDims("B*T", 1)).toThrow("cannot add 1 to the product B*T");
  });
});

describe("evaluateDim", () => {
  it("binds a sum before the product around it", () => {
    expect(evaluateDim("2*B*T+10", bindings)).toBe(2 * 3 * 15);
  });
  it("names a symbol that nothing binds", () => {
    expect(() => evaluateDim("B*S", bindings)).toThrow("dimension B*S: S is not bound by any input");
  });
});

describe("comparing shapes", () => {
  it("sameShape wants every axis the same", () => {
    expect(sameShape(["B", 3], ["B", 3])).toBe(true);
    expect(sameShape(["B", 3], ["B", 4])).toBe(false);
    expect(sameShape(["B", 3], ["B"])).toBe(false);
    expect(sameShape([], [])).toBe(true);
  });
  it("sameSize wants equal products, whatever the symbols turn out to be", () => {
    expect(sameSize(["B", "T", 6], ["B*T", 2, 3])).toBe(true);
    expect(sameSize(["B", 6], ["T", 6])).toBe(false);
    expect(sameSize([], [1, 1])).toBe(true);
    expect(sameSize(["B", "T+1"], ["B*T+1"])).toBe(true);
  });
  it("formatShape", () => {
    expect(formatShape(["B", 3, "T+1"])).toBe("(B, 3, T+1)");
  });
});

describe("broadcasting", () => {
  it.each<[Dim[], Dim[], Dim[]]>([
    [[], [], []],
    [["B", "T", 3], [3], ["B", "T", 3]],
    [
      ["B", 1, 3],
      ["T", 1],
      ["B", "T", 3],
    ],
    [[1], ["B"], ["B"]],
    [[0], [1], [0]],
  ])("%j with %j is %j, either way", (a, b, result) => {
    expect(broadcastShapes("here", a, b)).toEqual(result);
    expect(broadcastShapes("here", b, a)).toEqual(result);
  });

  it("does not take a symbol for 1, nor for a number", () => {
    expect(() => broadcastShapes("here", ["B", 3], ["T", 3])).toThrow(
      "here: shapes (B, 3) and (T, 3) do not broadcast",
    );
    expect(() => broadcastShapes("here", ["B"], [3])).toThrow("here: shapes (B) and (3) do not broadcast");
    expect(() => broadcastShapes("here", [2], [3])).toThrow("do not broadcast");
  });
});

describe("axes", () => {
  it("count from the end where negative", () => {
    expect(normaliseAxis("here", -1, 3)).toBe(2);
    expect(normaliseAxis("here", 0, 3)).toBe(0);
  });
  it.each([3, -4, 0.5])("%d is out of range for rank 3", (axis) => {
    expect(() => normaliseAxis("here", axis, 3)).toThrow(`here: axis ${axis} is out of range for rank 3`);
  });
});
