import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float32, float64 } from "../../src/core/tensor.ts";
import { AdamW, type FloatArray } from "../../src/optim/adamw.ts";
import { type ScheduleKind, scheduleFactor } from "../../src/optim/schedule.ts";
import * as golden from "../support/goldens.ts";
import { digits, relativeDifference, tolerances } from "../support/tolerances.ts";

interface OptimInfo {
  readonly learningRates: readonly string[];
  readonly weightDecays: readonly string[];
  readonly sizes: readonly string[];
}

const info: OptimInfo = JSON.parse(readFileSync(join(golden.goldensFolder, "optim", "golden.json"), "utf8"));
const grid = info.learningRates.flatMap((rate) =>
  info.weightDecays.flatMap((decay) => info.sizes.map((size) => ({ rate, decay, size }))),
);

function copy(data: ArrayLike<number | bigint>, precision: golden.Precision): FloatArray {
  return precision === "f32" ? Float32Array.from(data, Number) : Float64Array.from(data, Number);
}

describe.each([
  { precision: "f32", tolerance: tolerances.float32Operator },
  { precision: "f64", tolerance: tolerances.float64 },
] as const)("AdamW against torch, $precision", ({ precision, tolerance }) => {
  it.each(grid)("rate $rate, decay $decay, $size gradients", async ({ rate, decay, size }) => {
    const tensors = await golden.goldenTensors("optim", "adamw", precision);
    const start = golden.need(tensors, `param.${size}`);
    const gradients = golden.need(tensors, `grad.${size}`);
    const values = copy(start.data, precision);
    const optimizer = new AdamW([{ name: "p", values, learningRate: Number(rate) }], {
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: Number(decay),
    });
    const wrap = (data: FloatArray) => (data instanceof Float32Array ? float32(data, start.dims) : float64(data, start.dims));
    const all = copy(gradients.data, precision);
    for (let step = 1; step <= 10; step++) {
      optimizer.step(new Map([["p", all.slice((step - 1) * values.length, step * values.length)]]));
      if (step !== 1 && step !== 10) continue;
      const expected = golden.need(tensors, `lr${rate}.decay${decay}.${size}.step${step}.param`);
      expect(relativeDifference(wrap(values), expected), `step ${step}`).toBeLessThanOrEqual(tolerance);
    }
  });
});

describe("schedules against transformers", () => {
  const rows: readonly { kind: ScheduleKind; warmupSteps: number; totalSteps: number; factors: number[] }[] = JSON.parse(
    readFileSync(join(golden.goldensFolder, "optim", "schedules.json"), "utf8"),
  );
  it.each(rows)("$kind, warm-up $warmupSteps of $totalSteps", ({ kind, warmupSteps, totalSteps, factors }) => {
    factors.forEach((factor, step) => {
      expect(scheduleFactor(kind, step, warmupSteps, totalSteps)).toBeCloseTo(factor, digits.float64);
    });
  });
});
