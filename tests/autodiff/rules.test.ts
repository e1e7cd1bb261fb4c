import { describe, expect, it } from "vitest";
import { gradients } from "../../src/autodiff/gradients.ts";
import { float32, float64, type HostTensor } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { OpKind, Value } from "../../src/graph/types.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import { createDraw, type Draw } from "../support/draw.ts";
import { type OperatorCase, operatorCases } from "../support/operatorCases.ts";
import { largestMagnitude, relativeDifference, tolerances } from "../support/tolerances.ts";

/**
 * What each operator's gradient is checked at, or why it has none. Keyed by operator, so that a new one does
 * not compile before its gradient is checked.
 */
const checks: { readonly [K in OpKind]: readonly OperatorCase[] | { readonly notDifferentiable: string } } = {
  ...operatorCases,
  weight: { notDifferentiable: "a leaf that is not fed: nothing can be perturbed" },
  quantizedGemm: { notDifferentiable: "rounding is taken for the identity, which no difference shows" },
  round: { notDifferentiable: "it is flat between its steps" },
  equal: { notDifferentiable: "its result is bool" },
  greater: { notDifferentiable: "its result is bool" },
  rotate: { notDifferentiable: "it is for inference" },
  cachedAttention: { notDifferentiable: "it is for inference" },
  stopGradient: { notDifferentiable: "it is there to have no gradient" },
};

const STEP = 1e-5;
const SEEDS = [0, 1, 2, 3, 4];

interface Prepared {
  readonly loss: Value;
  readonly feeds: Readonly<Record<string, HostTensor>>;
  /** The float inputs that the loss depends on. */
  readonly wrt: ReadonlyMap<string, Value>;
}

/** loss = Σ output · r with random r, so that every element of the output counts and none cancels. */
function prepare(build: (draw: Draw) => Value, seed: number): Prepared {
  const draw = createDraw(seed);
  const output = build(draw);
  const wrt = new Map([...draw.inputs].filter(([, value]) => value.dtype === "float32"));
  const weighted = op.mul(output, draw.float("r", output.shape));
  const axes = output.shape.map((_, axis) => axis);
  return { loss: axes.length === 0 ? weighted : op.reduceSum(weighted, axes), feeds: draw.feeds, wrt };
}

function widened(tensor: HostTensor): HostTensor<"float64"> {
  return float64(Array.from(tensor.data, Number), tensor.dims);
}

/** (loss(x + h) − loss(x − h)) / 2h for each element of one input. */
async function centralDifferences({ loss, feeds }: Prepared, name: string): Promise<HostTensor> {
  const executable = await referenceRuntime.compile(createGraph({ loss }));
  const point = feeds[name] ?? float32([], [0]);
  const lossAt = async (index: number, step: number): Promise<number> => {
    const moved = widened(point);
    moved.data[index] = (moved.data[index] ?? 0) + step;
    return Number((await executable.run({ ...feeds, [name]: moved })).loss?.data[0]);
  };
  const differences = new Float64Array(point.data.length);
  for (let i = 0; i < differences.length; i++)
    differences[i] = ((await lossAt(i, STEP)) - (await lossAt(i, -STEP))) / (2 * STEP);
  return float64(differences, point.dims);
}

/** Gradients of all inputs at once, and of each alone: a rule builds only what is wanted. */
async function analyticGradients({ loss, feeds, wrt }: Prepared) {
  const names = [...wrt.keys()];
  const together = gradients(loss, [...wrt.values()]);
  const outputs = new Map(together.map((value, i) => [`together ${names[i]}`, value]));
  for (const [name, value] of wrt)
    for (const gradient of gradients(loss, [value])) outputs.set(`alone ${name}`, gradient);
  const executable = await referenceRuntime.compile(createGraph({ loss, ...Object.fromEntries(outputs) }));
  return executable.run(feeds);
}

/** @returns the largest element of each input's gradient. */
async function checkGradients(build: (draw: Draw) => Value, seed: number): Promise<Map<string, number>> {
  const prepared = prepare(build, seed);
  const largest = new Map<string, number>();
  const analytic = await analyticGradients(prepared);
  for (const name of prepared.wrt.keys()) {
    const numeric = await centralDifferences(prepared, name);
    largest.set(name, largestMagnitude(numeric));
    for (const way of ["together", "alone"]) {
      const gradient = analytic[`${way} ${name}`] ?? float32([], [0]);
      const difference = relativeDifference(gradient, numeric);
      expect(difference, `seed ${seed}, d/d${name} (${way})`).toBeLessThanOrEqual(tolerances.gradient);
    }
  }
  return largest;
}

describe.each(Object.entries(checks))("gradient of %s", (kind, cases) => {
  if ("notDifferentiable" in cases) {
    it.skip(`none: ${cases.notDifferentiable}`, () => {});
    return;
  }
  it.each(cases.map((one) => [one.name, one.build] as const))("%s", async (_, build) => {
    const largest = new Map<string, number>();
    for (const seed of SEEDS)
      for (const [name, value] of await checkGradients(build, seed))
        largest.set(name, Math.max(value, largest.get(name) ?? 0));
    expect(largest.size, `${kind}: no float input to differentiate by`).toBeGreaterThan(0);
    for (const [name, value] of largest)
      expect(value, `${kind}: the gradient of ${name} vanishes everywhere`).toBeGreaterThan(1e-3);
  });
});
