import { describe, expect, test } from "vitest";
import { float32 } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Value } from "../../src/graph/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { sharing } from "../../src/runtime/sharing.ts";
import type { Executable, Runtime } from "../../src/runtime/types.ts";

/** Counts what is compiled, and what of it is still open. */
function counting() {
  const counts = { compiled: 0, open: 0 };
  const runtime: Runtime = {
    name: "counting",
    async compile(graph, options) {
      counts.compiled++;
      const executable = await nodeRuntime.compile(graph, options);
      counts.open++;
      return {
        run: (feeds) => executable.run(feeds),
        [Symbol.asyncDispose]: async () => {
          counts.open--;
          await executable[Symbol.asyncDispose]();
        },
      };
    },
  };
  return { counts, runtime: sharing(runtime) };
}

type Operator = (x: Value, y: Value) => Value;

/** x · factor, or another operator of both, as a graph of its own. */
function graphOf(factor: number, operator: Operator = op.mul) {
  const x = op.input("x", "float32", [2]);
  return createGraph({ y: operator(x, op.constant(float32(Float32Array.of(factor, factor), [2]))) });
}

async function resultOf(executable: Executable): Promise<readonly number[]> {
  const { y } = await executable.run({ x: float32(Float32Array.of(1, 2), [2]) });
  return Array.from(y?.data ?? [], Number);
}

describe("a shared runtime", () => {
  test("compiles equal graphs once, and ends the session with the last of its holders", async () => {
    const { counts, runtime } = counting();
    const [one, two] = [await runtime.compile(graphOf(3)), await runtime.compile(graphOf(3))];
    expect(counts).toEqual({ compiled: 1, open: 1 });
    await one[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    expect(counts.open).toBe(1);
    expect(await resultOf(two)).toEqual([3, 6]);
    await two[Symbol.asyncDispose]();
    expect(counts.open).toBe(0);
    await using again = await runtime.compile(graphOf(3));
    expect(await resultOf(again)).toEqual([3, 6]);
    expect(counts).toEqual({ compiled: 2, open: 1 });
  });

  test("keeps apart what differs: a constant, an operator, the order of its operands, a number of threads", async () => {
    const { counts, runtime } = counting();
    await using one = await runtime.compile(graphOf(3), { threads: 1 });
    await using two = await runtime.compile(graphOf(4), { threads: 1 });
    await using three = await runtime.compile(graphOf(3), { threads: 2 });
    expect(await Promise.all([one, two, three].map(resultOf))).toEqual([
      [3, 6],
      [4, 8],
      [3, 6],
    ]);
    await using four = await runtime.compile(graphOf(3, op.sub), { threads: 1 });
    await using five = await runtime.compile(
      graphOf(3, (x, y) => op.sub(y, x)),
      { threads: 1 },
    );
    expect(await Promise.all([four, five].map(resultOf))).toEqual([
      [-2, -1],
      [2, 1],
    ]);
    expect(counts.compiled).toBe(5);
  });
});
