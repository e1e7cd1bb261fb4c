// Dimensions: B batch, T tokens, P past tokens, L layers, K key-value heads, d head width, D width, V vocabulary, M rows whose next token is asked for.
import { gradients } from "../autodiff/gradients.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import { multiplyDims } from "../graph/shape.ts";
import type { Graph, Value } from "../graph/types.ts";
import type { DecoderBackbone } from "../nn/backbone.ts";
import { type Dropout, type LayerContext, noDropout } from "../nn/layers/layers.ts";
import { overrideParameters } from "../nn/layers/parameters.ts";
import type { AdapterGraph } from "../peft/adapterMethod.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { AdapterSpec } from "../peft/types.ts";
import { maskedDropout } from "../train/dropout.ts";
import { crossEntropy, GRADIENT_PREFIX, type TrainingGraph } from "../train/graphs.ts";
import { TASK_OF } from "../train/mixedGraph.ts";

/** A decoder, bare or with an adapter. Equal structures share a compiled graph. */
export interface CausalStructure {
  readonly backbone: DecoderBackbone;
  /** Absent: the frozen backbone alone. */
  readonly adapter?: AdapterSpec;
}

/** The input that names the rows of the (B·T, D) hidden states whose next token is asked for: int64 (M). */
export const LOGIT_ROWS = "logit_rows";

/** The output that holds the keys and values of the new tokens. */
export const NEW_KEY_VALUES = "new_key_values";

function adaptedContext(
  structure: CausalStructure,
  onAdapter: Dropout,
  onBackbone: Dropout,
): { readonly built: AdapterGraph; readonly context: LayerContext } {
  const built = adapterMethod(structure.adapter).build(structure.backbone, onAdapter);
  return { built, context: contextOf(structure, built, onBackbone) };
}

function contextOf(
  { backbone }: CausalStructure,
  built: AdapterGraph,
  dropout: Dropout = noDropout,
): LayerContext {
  return {
    parameters: overrideParameters(backbone.parameters, built.overrides),
    transform: built.transform,
    dropout,
    ...(built.embed && { embed: built.embed }),
  };
}

/** Logits (M, V) at the rows that `logit_rows` names: only these pass through the vocabulary's product. */
function logitsAtRows({ backbone }: CausalStructure, context: LayerContext, last: Value): Value {
  const rows = op.gather(last, op.input(LOGIT_ROWS, "int64", ["M"])); // (M, D)
  return backbone.lmLogits(context, rows);
}

/**
 * Causal language modelling on answers: the loss −Σ_m weight_m · log softmax(logits_m)[id_m], and its gradients.
 * With weights 1/M it is transformers' loss with −100 at every token that is not an answer.
 *
 * Inputs beside the model's: `logit_rows` int64 (M), the rows *before* each answer token; `answer_ids` int64 (M);
 * `answer_weights` (M). Outputs: `loss`, and `gradient/<input>` for every adapter parameter.
 * @throws CheckpointError if the model has no language-modelling head
 */
export function buildCausalTrainingGraph(
  structure: CausalStructure,
  backboneDropout: boolean,
): TrainingGraph {
  const { dropout, masks } = maskedDropout();
  const { built, context } = adaptedContext(structure, dropout, backboneDropout ? dropout : noDropout);
  const { backbone } = structure;
  const { last } = backbone.build(context, backbone.declareInputs());
  const logits = logitsAtRows(structure, context, last); // (M, V)
  const ids = op.input("answer_ids", "int64", ["M"]);
  const loss = crossEntropy(logits, ids, op.input("answer_weights", "float32", ["M"]));

  const trained = [...built.inputs];
  const grads = gradients(
    loss,
    trained.map(([, value]) => value),
  );
  const outputs: Record<string, Value> = { loss };
  trained.forEach(([name], i) => {
    outputs[GRADIENT_PREFIX + name] = grads[i]!;
  });
  return { graph: createGraph(outputs), adapterShapes: built.shapes, masks };
}

/** Whole texts, forward only. Outputs: `logits` (M, V), and where asked `hidden.0` … `hidden.L`, each (B·T, D). */
export function buildCausalGraph(structure: CausalStructure, withHidden = false): Graph {
  const { context } = adaptedContext(structure, noDropout, noDropout);
  const { backbone } = structure;
  const { hidden, last } = backbone.build(context, backbone.declareInputs());
  const layers = withHidden ? Object.fromEntries(hidden.map((value, i) => [`hidden.${i}`, value])) : {};
  return createGraph({ logits: logitsAtRows(structure, context, last), ...layers });
}

/**
 * New tokens behind what was read before: whole prompts, padded behind, or T more tokens of every text. For inference.
 *
 * Inputs beside the model's: `logit_rows` (M), `lengths` int64 (B), which counts the tokens of each text with the new
 * ones, and for every layer `past_key_values.<i>.key` and `.value` (B, K, P, d); P is at least 1. Where the longest text
 * has T tokens, all begin. Outputs: `logits` (M, V), and `new_key_values` (B, T, L·2·K·d), of each layer in turn the
 * keys and the values of the new tokens, to be put behind the past by the caller. Unlike the `present` of an export for
 * other programs they do not repeat the past, which would be copied at every token.
 */
export function buildContinuationGraph(structure: CausalStructure): Graph {
  return continuationGraph(structure, adaptedContext(structure, noDropout, noDropout).context);
}

/**
 * The same for texts of several tasks in one batch: `task_of` int64 (B) says which of the S adapters, stacked as
 * `stackParameters` does, a text goes through.
 */
export function buildMixedContinuationGraph(structure: CausalStructure): Graph {
  const taskOf = op.input(TASK_OF, "int64", ["B"]);
  const built = adapterMethod(structure.adapter).buildStacked(structure.backbone, taskOf);
  return continuationGraph(structure, contextOf(structure, built));
}

function continuationGraph(structure: CausalStructure, context: LayerContext): Graph {
  const { backbone } = structure;
  const { last, keyValues } = backbone.build(context, backbone.declareInputs(), backbone.declarePast());
  const added = keyValues.flatMap(({ key, value }) => [key, value]);
  return createGraph({
    logits: logitsAtRows(structure, context, last),
    [NEW_KEY_VALUES]: op.concat(added, -1),
  });
}

/** Inputs of `buildTreeGraph` beside the model's. */
export const TREE = "tree";
export const EDGE_INDEX = "edge_index";

/**
 * Texts that end in a tree of tokens, whose every branch reads as if it stood alone behind its text.
 *
 * Inputs beside the model's: `tree` int64 (T, T), 1 where the row's token may see the column's; `logit_rows` int64 (M);
 * `edge_index` int64 (E), which of the (M, V) log-probabilities are asked for, row-major. Output: `edge_scores` (E).
 * @throws CheckpointError if the model has no language-modelling head
 */
export function buildTreeGraph(structure: CausalStructure): Graph {
  const { context } = adaptedContext(structure, noDropout, noDropout);
  const { backbone } = structure;
  const tree = op.input(TREE, "int64", ["T", "T"]);
  const { last } = backbone.build(context, { ...backbone.declareInputs(), tree });
  const logs = op.logSoftmax(logitsAtRows(structure, context, last)); // (M, V)
  const flat = op.reshape(logs, [multiplyDims(logs.shape)]);
  return createGraph({ edge_scores: op.gather(flat, op.input(EDGE_INDEX, "int64", ["E"])) });
}
