// Dimensions: B batch, T tokens of the longest prompt with the trie behind it, N nodes of the trie, E its edges.
import { setImmediate as nextTick } from "node:timers/promises";
import { GraphError } from "../core/errors.ts";
import { asFloat32, type HostTensor, int64 } from "../core/tensor.ts";
import { collate, planEvaluationBatches } from "../data/encoding/batching.ts";
import { tokenFeeds } from "../nn/features.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { CompileOptions, Executable, Runtime, Tensors } from "../runtime/types.ts";
import { buildTreeGraph, type CausalStructure, EDGE_INDEX, LOGIT_ROWS, TREE } from "./graphs.ts";
import { checkPrompts } from "./greedy.ts";
import { type AnswerTrie, trieVisibility } from "./trie.ts";

/** Tokens of one pass: more does not fit the processor's caches, and the logits of a large vocabulary take memory. */
const TOKENS_A_PASS = 512;

/** A decoder whose tree graph is compiled. Holds native memory: dispose of it. */
export interface ScoringModel extends AsyncDisposable {
  readonly structure: CausalStructure;
  readonly tree: Executable;
}

/**
 * Compiles a decoder for scoring answers; the adapter's values are fed with each call.
 * @throws CheckpointError if the model has no language-modelling head
 */
export async function openScoringModel(
  structure: CausalStructure,
  runtime: Runtime,
  options: Pick<CompileOptions, "threads" | "spin"> = {},
): Promise<ScoringModel> {
  const tree = await runtime.compile(buildTreeGraph(structure), options);
  return { structure, tree, [Symbol.asyncDispose]: () => tree[Symbol.asyncDispose]() };
}

export interface ScoringOptions {
  /** The adapter's parameters by input name. */
  readonly parameters?: Tensors;
  readonly signal?: AbortSignal;
}

/** Rows of the batch's hidden states that have edges: each prompt's last token, and every node. */
function edgeRows(batch: number, tokens: number, nodes: number): BigInt64Array {
  const first = tokens - nodes - 1;
  const rows = new BigInt64Array(batch * (nodes + 1));
  for (let b = 0; b < batch; b++)
    for (let place = 0; place <= nodes; place++)
      rows[b * (nodes + 1) + place] = BigInt(b * tokens + first + place);
  return rows;
}

/** A node stands as far behind its prompt as its depth says, whatever stands beside it. */
function placeNodes(
  positions: HostTensor | undefined,
  trie: AnswerTrie,
  lengths: readonly number[],
): HostTensor<"int64"> {
  const data = positions?.data;
  if (!(data instanceof BigInt64Array)) throw new GraphError("position_ids are not int64");
  const tokens = data.length / lengths.length;
  const placed = data.slice();
  const first = tokens - trie.nodes.length;
  lengths.forEach((length, b) => {
    trie.nodes.forEach(({ depth }, i) => {
      placed[b * tokens + first + i] = BigInt(length + depth - 1);
    });
  });
  return int64(placed, [lengths.length, tokens]);
}

/** What is fed for prompts that share a batch, the trie behind each of them. */
function batchFeeds(
  { structure }: ScoringModel,
  prompts: readonly (readonly number[])[],
  trie: AnswerTrie,
): Tensors {
  const { config } = structure.backbone;
  const { nodes, edges } = trie;
  const method = adapterMethod(structure.adapter);
  const encodings = prompts.map((prompt) => {
    const ids = [...prompt, ...nodes.map(({ token }) => token)];
    return { ids, typeIds: ids.map(() => 0), truncated: false };
  });
  const { batch, feeds } = method.adapt(collate(encodings, config.padId, "left"), config.padId);
  const [size = 0, tokens = 0] = batch.inputIds.dims;
  const inputs = tokenFeeds(config, batch);
  const lengths = prompts.map(({ length }) => method.virtualTokens + length);
  const index = BigInt64Array.from({ length: size * edges.length }, (_, e) => {
    const { from, token } = edges[e % edges.length]!;
    const row = Math.floor(e / edges.length) * (nodes.length + 1) + from;
    return BigInt(row * config.vocabularySize + token);
  });
  return {
    ...inputs,
    position_ids: placeNodes(inputs.position_ids, trie, lengths),
    ...feeds,
    [TREE]: int64(trieVisibility(trie, tokens - nodes.length), [tokens, tokens]),
    [LOGIT_ROWS]: int64(edgeRows(size, tokens, nodes.length), [size * (nodes.length + 1)]),
    [EDGE_INDEX]: int64(index, [index.length]),
  };
}

/**
 * How likely each answer is behind each prompt: Σ log p(token | prompt, tokens before) over the answer's tokens, its
 * end token among them. Every beginning that answers share is computed once a prompt, in a single pass of prompt and
 * answers together; what is no answer cannot come out.
 *
 * @param prompts token ids, special tokens included, of one text each
 * @returns one row of natural logarithms a prompt, in the trie's order of answers
 * @throws DataError naming the prompt (counted from 1) that is empty, too long, or of another vocabulary
 */
export async function scoreAnswers(
  model: ScoringModel,
  prompts: readonly (readonly number[])[],
  trie: AnswerTrie,
  options: ScoringOptions = {},
): Promise<Float64Array[]> {
  const longestAnswer = Math.max(...trie.paths.map(({ length }) => length));
  checkPrompts(model.structure, prompts, longestAnswer);
  const scores: Float64Array[] = [];
  const lengths = prompts.map(({ length }) => length);
  const tokens = Math.max(0, ...lengths) + trie.nodes.length;
  const batchSize = Math.max(1, Math.floor(TOKENS_A_PASS / Math.max(1, tokens)));
  for (const indices of planEvaluationBatches(lengths, batchSize)) {
    options.signal?.throwIfAborted();
    const feeds = batchFeeds(
      model,
      indices.map((index) => prompts[index]!),
      trie,
    );
    const output = await model.tree.run({ ...feeds, ...options.parameters });
    const edges = asFloat32(output.edge_scores, "edge_scores").data;
    indices.forEach((index, b) => {
      const own = edges.subarray(b * trie.edges.length, (b + 1) * trie.edges.length);
      scores[index] = Float64Array.from(trie.paths, (path) =>
        path.reduce((sum, edge) => sum + own[edge]!, 0),
      );
    });
    await nextTick();
  }
  return scores;
}
