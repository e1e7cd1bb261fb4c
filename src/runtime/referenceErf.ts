const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);
/** From here on erf is 1 less a small erfc; below, its series keeps every digit. */
const ERF_FROM_FRACTION = 2.5;
/** From here on 1 − erf would lose digits of erfc. */
const ERFC_FROM_FRACTION = 1;
/** Enough levels for the continued fraction to have converged at 1, where it is slowest. */
const FRACTION_DEPTH = 200;

/** 2/√π · e^(−x²) · Σₙ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!: all terms have one sign, so nothing cancels. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-18; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return TWO_OVER_SQRT_PI * Math.exp(-x * x) * sum;
}

/** e^(−x²)/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))), for x ≥ 1. */
function erfcFraction(x: number): number {
  let fraction = x;
  for (let k = FRACTION_DEPTH; k >= 1; k--) fraction = x + k / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}

/** 2/√π · ∫₀ˣ e^(−t²) dt, to float64's precision (Abramowitz & Stegun 7.1.6 and 7.1.14). */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) < ERF_FROM_FRACTION) return x === 0 ? x : erfSeries(x);
  return Math.sign(x) * (1 - erfcFraction(Math.abs(x)));
}

/** 1 − erf(x), without losing the digits of its small tail. */
export function erfc(x: number): number {
  return x >= ERFC_FROM_FRACTION ? erfcFraction(x) : 1 - erf(x);
}
