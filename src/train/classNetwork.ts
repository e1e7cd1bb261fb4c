// Dimensions: B batch, F features, H hidden units, C classes.
/** A classifier with one hidden layer and a cosine head, and the step that trains it. */
import { gradients } from "../autodiff/gradients.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph, Value } from "../graph/types.ts";
import { type DropoutMask, maskedDropout } from "./dropout.ts";
import { GRADIENT_PREFIX } from "./graphs.ts";

export interface ClassNetworkOptions {
  readonly width: number;
  readonly hidden: number;
  /** Of the cosines, before the softmax. */
  readonly scale: number;
  readonly inputDropout: number;
  readonly hiddenDropout: number;
}

/** Keeps a row of zeros from being divided by zero. */
const TINY = 1e-12;

function unitRows(x: Value): Value {
  return op.div(x, op.sqrt(op.add(op.reduceSum(op.mul(x, x), [1], true), TINY)));
}

/**
 * The loss of relu(x·W₁ᵀ + b₁), its cosines with W₂'s rows as logits, against targets that are distributions. Inputs
 * `feature` (B, F), `targets` (B, C), `hidden.weight` (H, F), `hidden.bias` (H), `head.weight` (C, H) and the masks';
 * outputs `loss`, the mean over the batch, and `gradient/<input>` of the three.
 */
export function buildClassNetworkTraining({
  width,
  hidden,
  scale,
  inputDropout,
  hiddenDropout,
}: ClassNetworkOptions): { readonly graph: Graph; readonly masks: readonly DropoutMask[] } {
  const { dropout, masks } = maskedDropout();
  const feature = op.input("feature", "float32", ["B", width]);
  const targets = op.input("targets", "float32", ["B", "C"]);
  const weight = op.input("hidden.weight", "float32", [hidden, width]);
  const bias = op.input("hidden.bias", "float32", [hidden]);
  const head = op.input("head.weight", "float32", ["C", hidden]);
  const inputs = dropout("input", feature, inputDropout);
  const active = op.relu(op.gemm(inputs, weight, { transposeB: true, c: bias })); // (B, H)
  const units = unitRows(dropout("hidden", active, hiddenDropout));
  const cosines = op.gemm(units, unitRows(head), { transposeB: true }); // (B, C)
  const logs = op.logSoftmax(op.mul(cosines, scale));
  const total = op.reduceSum(op.mul(targets, logs), [0, 1]);
  // The targets of a row sum to 1, so their sum is the number of rows.
  const loss = op.neg(op.div(total, op.reduceSum(targets, [0, 1])));
  const trained = { "hidden.weight": weight, "hidden.bias": bias, "head.weight": head };
  const outputs: Record<string, Value> = { loss };
  const found = gradients(loss, Object.values(trained));
  Object.keys(trained).forEach((name, i) => {
    outputs[GRADIENT_PREFIX + name] = found[i]!;
  });
  return { graph: createGraph(outputs), masks };
}
