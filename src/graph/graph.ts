import { GraphError } from "../core/errors.ts";
import { inferRules } from "./infer.ts";
import { dimFactors, formatShape, sameShape } from "./shape.ts";
import { type Graph, isKind, type Node, type OpKind, type TypeAndShape, type Value } from "./types.ts";

/** Nodes that the values need, each after its operands. Iterative: a deep model must not exhaust the stack. */
export function topologicalOrder(values: Iterable<Value>): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  for (const root of values) {
    const stack: Node[] = [root.node];
    while (stack.length > 0) {
      const node = stack[stack.length - 1]!;
      if (state.get(node) === undefined) {
        state.set(node, "open");
        for (let i = node.inputs.length - 1; i >= 0; i--) {
          const operand = node.inputs[i]!.node;
          if (state.get(operand) === undefined) stack.push(operand);
        }
      } else {
        stack.pop();
        if (state.get(node) === "open") order.push(node);
        state.set(node, "done");
      }
    }
  }
  return order;
}

/** Closes a graph over its named outputs: what they do not need is not part of it. */
export function createGraph(outputs: Readonly<Record<string, Value>>): Graph {
  const named = new Map(Object.entries(outputs));
  const nodes = topologicalOrder(named.values());
  const inputs: Node<"input">[] = [];
  for (const node of nodes) if (isKind(node, "input")) inputs.push(node);
  const graph: Graph = { inputs, nodes, outputs: named };
  verifyGraph(graph);
  return graph;
}

function inferAgain<K extends OpKind>(node: Node<K>): readonly TypeAndShape[] {
  return inferRules[node.kind](node.attributes, node.inputs);
}

/**
 * Checks that every operand is computed before its use, every type and shape follows from its operands,
 * input names are unique, and every symbolic dimension can be read off some input.
 * @throws GraphError naming the first node that breaks a rule.
 */
export function verifyGraph(graph: Graph): void {
  const computed = new Set<Node>();
  const names = new Set<string>();
  const symbols = new Set<string>();
  for (const node of graph.inputs) {
    const { name, shape } = node.attributes;
    if (names.has(name)) throw new GraphError(`two inputs are called "${name}"`);
    names.add(name);
    for (const dim of shape) if (typeof dim === "string") symbols.add(dim);
  }
  for (const node of graph.nodes) {
    for (const operand of node.inputs)
      if (!computed.has(operand.node))
        throw new GraphError(`${node.kind}: an operand is used before it is computed`);
    const inferred = inferAgain(node);
    node.outputs.forEach((value, i) => {
      const expected = inferred[i];
      if (expected === undefined || expected.dtype !== value.dtype || !sameShape(expected.shape, value.shape))
        throw new GraphError(
          `${node.kind}: output ${i} says ${value.dtype} ${formatShape(value.shape)}, inference disagrees`,
        );
      for (const dim of value.shape)
        if (typeof dim === "string")
          for (const { symbol } of dimFactors(dim))
            if (symbol !== undefined && !symbols.has(symbol))
              throw new GraphError(
                `${node.kind}: no input has the dimension ${symbol} of ${formatShape(value.shape)}`,
              );
    });
    computed.add(node);
  }
}
