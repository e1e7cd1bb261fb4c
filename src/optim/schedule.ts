/** How the learning rate goes on after the warm-up. */
export type ScheduleKind = "linear" | "cosine" | "constant";

/**
 * The factor on the learning rate at each step, as transformers' `get_*_schedule_with_warmup`:
 * t/warmup while warming up (so the first step of a warm-up is 0), then
 * linear: (total − t)/(total − warmup); cosine: ½(1 + cos(π·progress)); constant: 1.
 */
const afterWarmup: { readonly [K in ScheduleKind]: (progress: number) => number } = {
  linear: (progress) => Math.max(0, 1 - progress),
  cosine: (progress) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress))),
  constant: () => 1,
};

/** @param step counts from 0. */
export function scheduleFactor(
  kind: ScheduleKind,
  step: number,
  warmupSteps: number,
  totalSteps: number,
): number {
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  return afterWarmup[kind]((step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
}
