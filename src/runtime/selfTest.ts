/** A small computation whose values are known: a device that gives others computes wrongly. */
import { EngineError } from "../core/errors.ts";
import { float32, int64 } from "../core/tensor.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph } from "../graph/types.ts";
import type { Runtime, Tensors } from "./types.ts";

const BATCH = 2;
const TOKENS = 3;
const WIDTH = 8;

/** Numbers between −1 and 1 without a pattern that a wrong stride could keep. */
function numbers(count: number, first: number): number[] {
  return Array.from({ length: count }, (_, i) => (((first + i) * 7919) % 2003) / 1001.5 - 1);
}

const matrix = (rows: number, columns: number, first: number) =>
  op.constant(float32(numbers(rows * columns, first), [rows, columns]));

/** One attention layer with norms, GELU and rotated positions; its loss, and the sums that gradients are made of. */
export function selfTestGraph(): Graph {
  const ids = op.input("ids", "int64", ["B", "T"]);
  const angles = op.input("angles", "float32", ["B", "T", WIDTH]);
  const one = op.constant(
    float32(
      Array.from({ length: WIDTH }, () => 1),
      [WIDTH],
    ),
  );
  const zero = op.constant(float32(numbers(WIDTH, 3), [WIDTH]));
  const embedded = op.gather(matrix(10, WIDTH, 1), ids); // (B, T, WIDTH)
  const rotated = op.add(op.mul(embedded, op.cos(angles)), op.mul(op.tanh(embedded), op.sin(angles)));
  const x = op.layerNorm(rotated, one, zero, 1e-5);
  const scores = op.matmul(op.matmul(x, matrix(WIDTH, WIDTH, 101)), op.transpose(x, [0, 2, 1])); // (B, T, T)
  const attended = op.matmul(op.softmax(scores), x);
  const hidden = op.rmsNorm(op.gelu(op.matmul(attended, matrix(WIDTH, WIDTH, 211))), one, 1e-5);
  const logits = op.matmul(op.reduceSum(hidden, [1]), matrix(WIDTH, 4, 307)); // (B, 4)
  const loss = op.logSoftmax(logits);
  const kept = op.where(op.greater(hidden, 0), hidden, op.neg(hidden));
  const flat = op.reshape(kept, ["B*T", WIDTH]);
  const sums = op.scatterAdd(op.reshape(ids, ["B*T"]), flat, [10, WIDTH]);
  return createGraph({ loss, sums: op.reduceSum(sums, [1]) });
}

export const selfTestFeeds: Tensors = {
  ids: int64([1, 5, 9, 5, 0, 5], [BATCH, TOKENS]),
  // As large as the angles of a long text.
  angles: float32(
    numbers(BATCH * TOKENS * WIDTH, 11).map((x) => 40 * x),
    [BATCH, TOKENS, WIDTH],
  ),
};

/** What the reference interpreter computes in float64: `tests/runtime/selfTest.test.ts` makes them anew. */
export const selfTestValues: Readonly<Record<string, readonly number[]>> = {
  loss: [
    -1.50686958, -0.596577901, -1.75319901, -2.90982012, -0.172165675, -2.18963185, -3.34783788, -4.50604377,
  ],
  sums: [5.33456716, 5.84009377, 0, 0, 0, 16.0376772, 0, 0, 0, 6.49051582],
};

/** Of float32 on any device; a wrong kernel is off by far more. */
const TOLERANCE = 1e-4;

/** @throws EngineError where a device computes something else */
export async function requireCorrect(runtime: Runtime): Promise<void> {
  await using executable = await runtime.compile(selfTestGraph(), { threads: 1 });
  const results = await executable.run(selfTestFeeds);
  for (const [name, expected] of Object.entries(selfTestValues)) {
    const got = results[name]?.data ?? [];
    const largest = Math.max(...expected.map(Math.abs));
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - Number(got[i] ?? Number.NaN))));
    // Written so that NaN is wrong, too.
    if (!(worst <= TOLERANCE * largest))
      throw new EngineError(
        `${runtime.name} computes wrongly: "${name}" of the self-test is off by ${(worst / largest).toExponential(1)}`,
        { hint: "Use device: cpu, or another driver of the GPU." },
      );
  }
}
