import { EngineError } from "../core/errors.ts";
import { bytesPerElement, sizeOf } from "../core/tensor.ts";
import { evaluateDim, formatShape } from "../graph/shape.ts";
import {
  type Graph,
  isKind,
  type Node,
  type OpKind,
  type Value,
  type WeightSource,
  weightSources,
} from "../graph/types.ts";
import { readTensor } from "../io/safetensors.ts";
import { checkFeeds } from "./feeds.ts";
import { type InterpretContext, interpretRules } from "./referenceKernels.ts";
import { type Dense, fromHost, isFloat, toHost } from "./referenceTensor.ts";
import type { Executable, Runtime, Tensors } from "./types.ts";

async function loadWeight(name: string, source: WeightSource): Promise<Dense> {
  const needed = sizeOf(source.dims) * bytesPerElement[source.dtype];
  if (source.length !== needed)
    throw new EngineError(
      `weight ${name}: ${source.dtype} ${formatShape(source.dims)} takes ${needed} bytes, its range has ${source.length}`,
    );
  return fromHost(await readTensor(source));
}

function nameOf(node: Node): string {
  if (isKind(node, "quantizedGemm")) return node.attributes.weight.name;
  return isKind(node, "weight") ? node.attributes.name : node.kind;
}

async function loadWeights(graph: Graph): Promise<ReadonlyMap<WeightSource, Dense>> {
  const weights = new Map<WeightSource, Dense>();
  for (const node of graph.nodes) {
    for (const source of weightSources(node)) weights.set(source, await loadWeight(nameOf(node), source));
  }
  return weights;
}

function interpret<K extends OpKind>(
  node: Node<K>,
  inputs: readonly Dense[],
  context: InterpretContext,
): readonly Dense[] {
  return interpretRules[node.kind](node.attributes, inputs, context);
}

/** Holds every result against what the graph says of it: the oracle also checks shape inference. */
function checkResult(value: Value, result: Dense | undefined, dims: readonly number[]): Dense {
  const { kind } = value.node;
  if (result === undefined) throw new EngineError(`${kind}: output ${value.index} was not computed`);
  if (result.dtype !== value.dtype || result.dims.join() !== dims.join())
    throw new EngineError(
      `${kind}: computed ${result.dtype} ${formatShape(result.dims)}, the graph says ${value.dtype} ${formatShape(value.shape)} = ${formatShape(dims)}`,
    );
  return result;
}

function runGraph(graph: Graph, weights: ReadonlyMap<WeightSource, Dense>, feeds: Tensors): Tensors {
  const bindings = checkFeeds(
    graph,
    feeds,
    (given, wanted) => given === wanted || (isFloat(given) && isFloat(wanted)),
  );
  const computed = new Map<Value, Dense>();
  const read = <Key>(from: ReadonlyMap<Key, Dense>, key: Key): Dense => {
    const found = from.get(key);
    if (found === undefined) throw new EngineError("the graph uses a value before it is computed");
    return found;
  };
  const context: InterpretContext = {
    feed: ({ name, dtype }) => {
      const fed = feeds[name];
      if (fed === undefined) throw new EngineError(`input "${name}" is not fed`);
      return { ...fromHost(fed), dtype };
    },
    weight: (source) => read(weights, source),
    dim: (dim) => evaluateDim(dim, bindings),
    dims: (shape) => shape.map((dim) => evaluateDim(dim, bindings)),
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((value) => read(computed, value));
    const results = interpret(node, inputs, context);
    for (const value of node.outputs)
      computed.set(value, checkResult(value, results[value.index], context.dims(value.shape)));
  }
  return Object.fromEntries(
    Array.from(graph.outputs, ([name, value]) => [name, toHost(read(computed, value))]),
  );
}

/**
 * An interpreter for checking the others by: slow, obvious, and every float computed in float64, whatever
 * the graph calls it. Float inputs take float32 or float64; float outputs are float64. Integers must stay
 * within ±2⁵³.
 */
export const referenceRuntime: Runtime = {
  name: "reference",
  async compile(graph) {
    const weights = await loadWeights(graph);
    const executable: Executable = {
      run: async (feeds) => runGraph(graph, weights, feeds),
      // Plain memory: nothing to give back.
      [Symbol.asyncDispose]: async () => {},
    };
    return executable;
  },
};
