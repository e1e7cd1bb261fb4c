/** A figure over several runs; the deviation is the sample's (n − 1), absent for a single value. */
export interface Spread {
  readonly mean: number;
  readonly standardDeviation?: number;
  readonly values: readonly number[];
}

/** mean = Σx / n; standard deviation = √(Σ(x − mean)² / (n − 1)). */
export function spreadOf(values: readonly number[]): Spread {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n < 2) return { mean, values };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, standardDeviation: Math.sqrt(squares / (n - 1)), values };
}
