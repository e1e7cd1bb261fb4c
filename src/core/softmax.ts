/** eˣ / Σ eˣ in float64. */
export function softmax(logits: ArrayLike<number>): number[] {
  let peak = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) peak = Math.max(peak, logits[i]!);
  const powers: number[] = [];
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    const power = Math.exp(logits[i]! - peak);
    powers.push(power);
    total += power;
  }
  for (let i = 0; i < powers.length; i++) powers[i]! /= total;
  return powers;
}
