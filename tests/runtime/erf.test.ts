import { describe, expect, it } from "vitest";
import { erf, erfc } from "../../src/runtime/referenceErf.ts";
import { tolerances } from "../support/tolerances.ts";

// From mpmath with 40 digits, rounded to float64: x, erf(x), erfc(x).
const known = [
  [1e-10, 1.1283791670955126e-10, 0.999999999887162],
  [0.1, 0.1124629160182849, 0.887537083981715],
  [0.5, 0.5204998778130465, 0.4795001221869535],
  [1, 0.8427007929497149, 0.15729920705028513],
  [1.5, 0.9661051464753108, 0.033894853524689274],
  [2, 0.9953222650189527, 0.004677734981047266],
  [2.4999, 0.9995928300996666, 0.0004071699003334514],
  [2.5, 0.999593047982555, 0.0004069520174449589],
  [3, 0.9999779095030014, 2.209049699858544e-5],
  [3.5, 0.9999992569016276, 7.430983723414128e-7],
  [4, 0.9999999845827421, 1.541725790028002e-8],
  [5, 0.9999999999984626, 1.537459794428035e-12],
  [6, 1.0, 2.1519736712498913e-17],
] as const;

describe("erf to float64's precision", () => {
  it.each(known)("at %d", (x, expected, complement) => {
    expect(Math.abs(erf(x) - expected)).toBeLessThanOrEqual(tolerances.erf * expected);
    expect(erf(-x)).toBe(-erf(x));
    // The exponent of e^(−x²) is itself rounded: a relative error of x²·2⁻⁵³ cannot be avoided.
    expect(Math.abs(erfc(x) - complement)).toBeLessThanOrEqual((1 + x * x) * tolerances.erf * complement);
    expect(Math.abs(erfc(-x) - (2 - complement))).toBeLessThanOrEqual(tolerances.erf);
  });

  it("at the ends", () => {
    expect(erf(0)).toBe(0);
    expect(erf(Number.POSITIVE_INFINITY)).toBe(1);
    expect(erf(Number.NEGATIVE_INFINITY)).toBe(-1);
    expect(erf(Number.NaN)).toBeNaN();
    expect(erfc(Number.POSITIVE_INFINITY)).toBe(0);
    expect(erfc(Number.NEGATIVE_INFINITY)).toBe(2);
  });
});
