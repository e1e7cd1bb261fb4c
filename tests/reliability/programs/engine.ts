/** Runs a graph of one operator: a program of its own, whose system calls a test traces. */
import { createGraph } from "../../../src/graph/graph.ts";
import * as op from "../../../src/graph/ops.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";

const x = op.input("x", "float32", ["B"]);
await using executable = await nodeRuntime.compile(createGraph({ y: op.add(x, x) }), { threads: 1 });
const { y } = await executable.run({ x: { dtype: "float32", dims: [2], data: new Float32Array([1, 2]) } });
console.log(Array.from(y?.data ?? [], Number).join(" "));
