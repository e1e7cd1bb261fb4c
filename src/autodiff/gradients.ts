import { GraphError } from "../core/errors.ts";
import { topologicalOrder } from "../graph/graph.ts";
import { add, expand, scalar } from "../graph/ops.ts";
import { formatShape } from "../graph/shape.ts";
import type { Node, OpKind, Value } from "../graph/types.ts";
import { type VjpContext, vjpRules } from "./rules.ts";

/** Nodes that depend on any of the values: only through them does a gradient have to travel. */
function dependents(order: readonly Node[], wrt: readonly Value[]): ReadonlySet<Node> {
  const dependent = new Set<Node>(wrt.map((value) => value.node));
  for (const node of order) if (node.inputs.some((value) => dependent.has(value.node))) dependent.add(node);
  return dependent;
}

function applyRule<K extends OpKind>(node: Node<K>, context: VjpContext): readonly (Value | undefined)[] {
  return vjpRules[node.kind](node, context);
}

/**
 * Reverse-mode gradients of a scalar loss, as more graph (Baydin et al. 2018, §3.2). Nothing is differentiated
 * that no wanted value feeds: with adapters in the top layers the backward pass ends there.
 *
 * @param loss a float scalar.
 * @param wrt the values to differentiate by.
 * @returns one value per `wrt`, of its shape; zeros where the loss does not depend on it.
 * @throws GraphError if the loss is not a scalar.
 */
export function gradients(loss: Value, wrt: readonly Value[]): Value[] {
  if (loss.shape.length !== 0)
    throw new GraphError(`gradients: the loss must be a scalar, got shape ${formatShape(loss.shape)}`);
  const order = topologicalOrder([loss]);
  const dependent = dependents(order, wrt);
  const flowing = new Map<Value, Value>([[loss, scalar(1, loss)]]);

  for (const node of [...order].reverse()) {
    if (!dependent.has(node) || !node.outputs.some((value) => flowing.has(value))) continue;
    // Rules know the first output only; to leave the others out would be silently wrong.
    const other = node.outputs.findIndex((value, index) => index > 0 && flowing.has(value));
    if (other > 0)
      throw new GraphError(`gradient of ${node.kind}: output ${other} is not differentiated`, {
        hint: "statistics of a normalisation have no gradient; use the first output, or stopGradient",
      });
    const context: VjpContext = {
      gradient: () => {
        const value = node.outputs[0];
        const gradient = value === undefined ? undefined : flowing.get(value);
        if (gradient === undefined) throw new GraphError(`gradient of ${node.kind}: nothing depends on it`);
        return gradient;
      },
      wants: (index) => {
        const operand = node.inputs[index];
        return operand !== undefined && dependent.has(operand.node);
      },
    };
    applyRule(node, context).forEach((gradient, index) => {
      const operand = node.inputs[index];
      if (gradient === undefined || operand === undefined || !dependent.has(operand.node)) return;
      const before = flowing.get(operand);
      flowing.set(operand, before === undefined ? gradient : add(before, gradient));
    });
  }
  return wrt.map((value) => flowing.get(value) ?? expand(scalar(0, value), value.shape));
}
