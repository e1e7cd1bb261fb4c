// Dimensions: B batch, D width of the feature, H hidden width, N tasks (outputs of the selection network).
import { gradients } from "../autodiff/gradients.ts";
import { GraphError } from "../core/errors.ts";
import { float32, type HostTensor } from "../core/tensor.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph, Value } from "../graph/types.ts";

/** The graph inputs' prefix of the selection network's parameters. */
export const SELECTOR_PREFIX = "selector.";

/** Graph inputs of the preference loss: what the network should say, and how much each output counts; both (B, N). */
const PREFERENCE = "preference";
const PREFERENCE_WEIGHTS = "preference_weights";

/** The network's hidden width for features of width D: D/2, rounded down. */
export function selectorHidden(width: number): number {
  return Math.max(1, Math.floor(width / 2));
}

export interface SelectorGraph {
  /** The parameters by graph input: torch's names of a `Sequential`, (out, in) as `Linear` has them. */
  readonly inputs: ReadonlyMap<string, Value>;
  /** feature (B, D) → how much each task claims each example (B, N), in (0, 1) */
  readonly weights: (feature: Value) => Value;
}

/** NewLoRA's selection network, Linear(D, D/2) → ReLU → Linear(D/2, N) → Sigmoid, N left open. */
export function declareSelector(width: number): SelectorGraph {
  const hidden = selectorHidden(width);
  const declare = (name: string, shape: readonly (number | string)[]) =>
    op.input(SELECTOR_PREFIX + name, "float32", shape);
  const parameters = {
    "0.weight": declare("0.weight", [hidden, width]),
    "0.bias": declare("0.bias", [hidden]),
    "2.weight": declare("2.weight", ["N", hidden]),
    "2.bias": declare("2.bias", ["N"]),
  };
  return {
    inputs: new Map(Object.entries(parameters).map(([name, value]) => [SELECTOR_PREFIX + name, value])),
    weights: (feature) => {
      const first = { transposeB: true, c: parameters["0.bias"] };
      const inner = op.relu(op.gemm(feature, parameters["0.weight"], first)); // (B, H)
      const second = { transposeB: true, c: parameters["2.bias"] };
      return op.sigmoid(op.gemm(inner, parameters["2.weight"], second)); // (B, N)
    },
  };
}

/**
 * Σ_bn weight_bn · (s_bn − p_bn)²; with weights 1/(B·N) the mean squared error. Its inputs are {@link PREFERENCE} and
 * {@link PREFERENCE_WEIGHTS}.
 * @param weights what the network says, (B, N)
 */
export function preferenceLoss(weights: Value): Value {
  const difference = op.sub(weights, op.input(PREFERENCE, "float32", weights.shape)); // (B, N)
  const counted = op.mul(
    op.mul(difference, difference),
    op.input(PREFERENCE_WEIGHTS, "float32", weights.shape),
  );
  return op.reduceSum(counted, [0, 1]);
}

/**
 * What a batch feeds into the preference loss.
 * @param owners the task of each example
 * @param tasks N
 * @throws GraphError if an owner is none of the tasks
 */
export function preferenceFeeds(owners: readonly number[], tasks: number): Record<string, HostTensor> {
  const dims = [owners.length, tasks];
  const wanted = new Float32Array(owners.length * tasks);
  owners.forEach((owner, row) => {
    if (owner < 0 || owner >= tasks)
      throw new GraphError(`preference: task ${owner} of ${tasks} has no output`);
    wanted[row * tasks + owner] = 1;
  });
  return {
    [PREFERENCE]: float32(wanted, dims),
    [PREFERENCE_WEIGHTS]: float32(new Float32Array(wanted.length).fill(1 / wanted.length), dims),
  };
}

/** The network alone. Input `feature` (B, D), output `weights` (B, N). */
export function buildSelectorGraph(width: number): Graph {
  const { weights } = declareSelector(width);
  return createGraph({ weights: weights(op.input("feature", "float32", ["B", width])) });
}

/**
 * The network's own training on features that do not change. Inputs `feature` (B, D) and those of
 * {@link preferenceLoss}; outputs `loss` and `gradient/<input>` for every parameter.
 * @param gradientPrefix what the gradients' outputs begin with
 */
export function buildSelectorTrainingGraph(width: number, gradientPrefix: string): Graph {
  const { inputs, weights } = declareSelector(width);
  const loss = preferenceLoss(weights(op.input("feature", "float32", ["B", width])));
  const outputs: Record<string, Value> = { loss };
  gradients(loss, [...inputs.values()]).forEach((gradient, i) => {
    outputs[gradientPrefix + [...inputs.keys()][i]] = gradient;
  });
  return createGraph(outputs);
}
