import { describe, expect, it } from "vitest";
import { GraphError } from "../../src/core/errors.ts";
import { createGraph, topologicalOrder, verifyGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import { printDot, printGraph } from "../../src/graph/print.ts";
import type { Graph, Node, Value } from "../../src/graph/types.ts";

function smallGraph(): Graph {
  const x = op.input("x", "float32", ["B", "T", 4]);
  const w = op.weight("w", { file: "m.safetensors", dtype: "float32", dims: [3, 4], offset: 8, length: 48 });
  const y = op.gemm(op.reshape(x, ["B*T", 4]), w, { transposeB: true });
  const normalised = op.layerNorm(y, op.input("g", "float32", [3]), op.input("b", "float32", [3]), 1e-5);
  const [, mean = y] = normalised.node.outputs;
  return createGraph({ y: op.mul(normalised, 2), mean });
}

describe("createGraph", () => {
  it("keeps what the outputs need, operands first, each once", () => {
    const x = op.input("x", "float32", ["B", 3]);
    const unused = op.exp(op.input("unused", "float32", ["B", 3]));
    const shared = op.tanh(x);
    op.add(shared, op.exp(unused));
    const graph = createGraph({ y: op.add(shared, op.mul(shared, shared)) });
    expect(graph.nodes.map(({ kind }) => kind)).toEqual(["input", "tanh", "mul", "add"]);
    expect(graph.inputs.map(({ attributes }) => attributes.name)).toEqual(["x"]);
    expect([...graph.outputs.keys()]).toEqual(["y"]);
  });

  it("takes a chain deeper than the call stack", () => {
    let y: Value = op.input("x", "float32", []);
    for (let i = 0; i < 50_000; i++) y = op.neg(y);
    expect(topologicalOrder([y])).toHaveLength(50_001);
  });

  it("does not grow with the number of paths", () => {
    let y: Value = op.input("x", "float32", []);
    for (let i = 0; i < 60; i++) y = op.add(y, y);
    expect(createGraph({ y }).nodes).toHaveLength(61);
  });
});

describe("verifyGraph", () => {
  it("accepts what createGraph makes", () => {
    expect(() => verifyGraph(smallGraph())).not.toThrow();
  });

  it("refuses two inputs of one name", () => {
    const [a, b] = [op.input("x", "float32", []), op.input("x", "float32", [])];
    expect(() => createGraph({ y: op.add(a, b) })).toThrow('two inputs are called "x"');
  });

  it("refuses a value used before it is computed", () => {
    const graph = smallGraph();
    expect(() => verifyGraph({ ...graph, nodes: [...graph.nodes].reverse() })).toThrow(
      "an operand is used before it is computed",
    );
  });

  it("refuses a dimension that no input has", () => {
    const x = op.input("x", "float32", [1]);
    expect(() => createGraph({ y: op.expand(x, ["T"]) })).toThrow("no input has the dimension T of (T)");
  });

  it("refuses a type or a shape that does not follow from the operands", () => {
    const x = op.input("x", "float32", ["B", 3]);
    for (const wrong of [{ dtype: "float64" as const }, { shape: ["B", 4] }]) {
      const outputs: Value[] = [];
      const node: Node<"exp"> = { kind: "exp", attributes: {}, inputs: [x], outputs };
      outputs.push({ node, index: 0, dtype: "float32", shape: ["B", 3], ...wrong });
      const build = () => createGraph(Object.fromEntries(outputs.map((value) => ["y", value])));
      expect(build).toThrow(GraphError);
      expect(build).toThrow("exp: output 0 says");
    }
  });
});

describe("printing", () => {
  it("as text, a node a line", () => {
    expect(printGraph(smallGraph())).toMatchInlineSnapshot(`
      "%0 = input() {name=x, dtype=float32, shape=["B","T",4]} : float32 (B, T, 4)
      %1 = reshape(%0) {shape=["B*T",4]} : float32 (B*T, 4)
      %2 = weight() {name=w, source=…} : float32 (3, 4)
      %3 = gemm(%1, %2) {transposeA=false, transposeB=true, alpha=1} : float32 (B*T, 3)
      %4 = input() {name=g, dtype=float32, shape=[3]} : float32 (3)
      %5 = input() {name=b, dtype=float32, shape=[3]} : float32 (3)
      %6 = layerNorm(%3, %4, %5) {epsilon=0.00001} : float32 (B*T, 3), float32 (B*T, 1), float32 (B*T, 1)
      %7 = constant() {tensor=…} : float32 ()
      %8 = mul(%6, %7) : float32 (B*T, 3)
      y <- %8
      mean <- %6.1
      "
    `);
  });
  it("for Graphviz", () => {
    const x = op.input("x", "float32", ["B"]);
    expect(printDot(createGraph({ y: op.neg(x) }))).toMatchInlineSnapshot(`
      "digraph accrete {
        rankdir=TB; node [shape=ellipse, fontname=monospace];
        n0 [label="input x\\n(B)", shape=box];
        n1 [label="neg\\n(B)"];
        n0 -> n1;
      }
      "
    `);
  });
});
