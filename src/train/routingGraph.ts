// Dimensions: B batch, T tokens, D width, K layers asked for.
/** What routers read: the states of several layers in one forward pass. */
import { ConfigError } from "../core/errors.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph, Value } from "../graph/types.ts";
import { declarePoolingWeights, normalize, pooledRows } from "../nn/features.ts";
import { noDropout } from "../nn/layers/layers.ts";
import { buildModel, type ModelStructure } from "./graphs.ts";

/** @throws ConfigError unless they name layers of the backbone, each once */
function checkLayers(layers: readonly number[], depth: number): void {
  const wrong = layers.find((layer) => !Number.isInteger(layer) || layer < 0 || layer > depth);
  if (wrong !== undefined)
    throw new ConfigError(`routing features: the backbone has no layer ${wrong}`, {
      hint: `name layers from 0, the embeddings, to ${depth}, the last`,
    });
  if (layers.length === 0 || new Set(layers).size < layers.length)
    throw new ConfigError(`routing features: layers [${layers.join(", ")}] must be at least one, each once`);
}

/** Layers of the upper half that make the routing feature at most. */
const MOST_LAYERS = 4;

/**
 * The embeddings, which know words as such, and hidden states of the upper half of the backbone, the last one among
 * them: at most four of these, evenly spread.
 * @param layers of the backbone
 */
export function defaultRoutingLayers(layers: number): readonly number[] {
  const first = Math.ceil(layers / 2);
  const count = Math.min(MOST_LAYERS, layers - first + 1);
  const step = count < 2 ? 0 : (layers - first) / (count - 1);
  const upper = Array.from({ length: count }, (_, i) => Math.round(layers - (count - 1 - i) * step));
  return [0, ...upper];
}

/**
 * The rows of some layers, each of length 1, side by side.
 * @param rowsOf (B·T, D) → (rows, D)
 * @throws ConfigError if a layer is not there or named twice
 */
export function routingFeatures(
  hidden: readonly Value[],
  layers: readonly number[],
  rowsOf: (state: Value) => Value,
): Value {
  checkLayers(layers, hidden.length - 1);
  const parts = hidden.map((state, layer) => ({ state, at: layers.indexOf(layer) }));
  const asked = parts.filter(({ at }) => at >= 0).toSorted((a, b) => a.at - b.at);
  return op.concat(
    asked.map(({ state }) => normalize(rowsOf(state))),
    1,
  );
}

/**
 * The pooled hidden states of some layers, each divided by its Euclidean norm, side by side. Nothing above the highest
 * of them is computed. Layers are counted as Hugging Face's hidden states: 0 is what the embeddings give, and a
 * decoder's last one is taken after its final normalisation.
 *
 * @param structure without `adapter`: the frozen backbone alone; with one, its parameters are inputs
 * @param per `sentence`: one row a text, pooled by the weights that are fed; `word`: one row a token, padding included
 * @param trunkLayers what so many of the lowest layers gave is an output too, from which a second pass can go on; it is
 *   computed even where no layer that high is asked for
 * @returns a graph with the output `features`, (B, K·D) or (B·T, K·D), and with a trunk `state`, (B·T, D)
 * @throws ConfigError if a layer is not there or named twice
 */
export function buildRoutingGraph(
  structure: Pick<ModelStructure, "backbone" | "adapter" | "feature">,
  layers: readonly number[],
  per: "sentence" | "word" = "sentence",
  trunkLayers = 0,
): Graph {
  const { hidden } = buildModel(structure, noDropout, noDropout);
  const { width } = structure.backbone;
  const weights = declarePoolingWeights();
  const rowsOf: { readonly [P in typeof per]: (state: Value) => Value } = {
    sentence: (state) => pooledRows(state, weights, width),
    word: (state) => state,
  };
  const features = routingFeatures(hidden, layers, rowsOf[per]);
  const trunk = trunkLayers === 0 ? undefined : hidden[trunkLayers];
  return createGraph({ features, ...(trunk && { state: trunk }) });
}
