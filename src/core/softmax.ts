/** eˣ / Σ eˣ in float64. */
export function softmax(logits: ArrayLike<number>): number[] {
  const all = Array.from(logits);
  const peak = all.reduce((largest, logit) => Math.max(largest, logit), Number.NEGATIVE_INFINITY);
  const powers = all.map((logit) => Math.exp(logit - peak));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
