import { formatShape } from "./shape.ts";
import type { Graph, Node } from "./types.ts";

function describeAttributes(node: Node): string {
  const parts = Object.entries(node.attributes).map(([key, value]) => {
    if (key === "tensor" || key === "source") return `${key}=…`;
    return `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`;
  });
  return parts.length === 0 ? "" : ` {${parts.join(", ")}}`;
}

function numberNodes(graph: Graph): ReadonlyMap<Node, number> {
  return new Map(graph.nodes.map((node, i) => [node, i]));
}

/** The graph as text, a node a line: `%12 = gemm(%3, %11) {…} : float32 (B*T, 384)`. */
export function printGraph(graph: Graph): string {
  const numbers = numberNodes(graph);
  const name = (node: Node, index: number) => `%${numbers.get(node)}${index === 0 ? "" : `.${index}`}`;
  const lines = graph.nodes.map((node) => {
    const operands = node.inputs.map((value) => name(value.node, value.index)).join(", ");
    const types = node.outputs.map((value) => `${value.dtype} ${formatShape(value.shape)}`).join(", ");
    return `${name(node, 0)} = ${node.kind}(${operands})${describeAttributes(node)} : ${types}`;
  });
  for (const [output, value] of graph.outputs) lines.push(`${output} <- ${name(value.node, value.index)}`);
  return `${lines.join("\n")}\n`;
}

/** The graph for Graphviz; weights and inputs as boxes. */
export function printDot(graph: Graph): string {
  const numbers = numberNodes(graph);
  const lines = ["digraph accrete {", "  rankdir=TB; node [shape=ellipse, fontname=monospace];"];
  for (const node of graph.nodes) {
    const id = numbers.get(node);
    const leaf = node.inputs.length === 0;
    const title = "name" in node.attributes ? `${node.kind} ${node.attributes.name}` : node.kind;
    const shape = node.outputs[0] === undefined ? "" : formatShape(node.outputs[0].shape);
    lines.push(`  n${id} [label=${JSON.stringify(`${title}\n${shape}`)}${leaf ? ", shape=box" : ""}];`);
    for (const value of node.inputs) lines.push(`  n${numbers.get(value.node)} -> n${id};`);
  }
  return `${lines.join("\n")}\n}\n`;
}
