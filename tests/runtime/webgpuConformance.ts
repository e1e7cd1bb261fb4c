/** Runs every operator's cases on WebGPU and on the reference; prints what differs, as JSON. A process of its own. */
import { AccreteError, messageOf } from "../../src/core/errors.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Graph } from "../../src/graph/types.ts";
import { nodeRuntimes } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Runtime, Tensors } from "../../src/runtime/types.ts";
import { createDraw } from "../support/draw.ts";
import { edgeCases, operatorCases } from "../support/operatorCases.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

async function runOnce(runtime: Runtime, graph: Graph, feeds: Tensors): Promise<Tensors> {
  await using executable = await runtime.compile(graph, { threads: 1 });
  return await executable.run(feeds);
}

const cases = [
  ...Object.entries(operatorCases).flatMap(([kind, some]) =>
    some.map(({ name, build }) => [`${kind}: ${name}`, build] as const),
  ),
  ...edgeCases.map(({ name, build }) => [`edge: ${name}`, build] as const),
];

/** A statistic of its own: a kernel may leave what it seldom gives unwritten. */
function normStatistics() {
  const draw = createDraw(1);
  const x = draw.float("x", ["B", "T", 6]);
  const gamma = draw.float("g", [6]);
  const [normed, inverseRoot = normed] = op.rmsNorm(x, gamma, 1e-5).node.outputs;
  const [, mean, inverseDeviation] = op.layerNorm(x, gamma, draw.float("b", [6]), 1e-5).node.outputs;
  const y = op.add(op.add(op.mul(x, inverseRoot!), mean!), inverseDeviation!);
  return { graph: createGraph({ y }), feeds: draw.feeds };
}

async function compare(graph: Graph, feeds: Tensors): Promise<string | undefined> {
  const expected = (await runOnce(referenceRuntime, graph, feeds)).y!;
  const actual = (await runOnce(nodeRuntimes.webgpu, graph, feeds)).y!;
  const tolerance = expected.dtype === "float64" ? tolerances.float32Operator : 0;
  if (actual.dims.join() !== expected.dims.join()) return `shape ${actual.dims} for ${expected.dims}`;
  const difference = relativeDifference(actual, expected);
  return difference <= tolerance ? undefined : `off by ${difference}`;
}

const empty: string[] = [];
const wrong: Record<string, string> = {};
let right = 0;
for (const [name, build] of cases) {
  const draw = createDraw(0);
  const graph = createGraph({ y: build(draw) });
  try {
    const difference = await compare(graph, draw.feeds);
    if (difference === undefined) right++;
    else wrong[name] = difference;
  } catch (error) {
    if (error instanceof AccreteError && error.message.includes("holds nothing")) empty.push(name);
    else wrong[name] = messageOf(error);
  }
}
const { graph, feeds } = normStatistics();
const statistics = await compare(graph, feeds);
if (statistics !== undefined) wrong["statistics of norms"] = statistics;
process.stdout.write(JSON.stringify({ right, wrong, empty }));
