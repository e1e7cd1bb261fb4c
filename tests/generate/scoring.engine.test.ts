import { describe, expect, it } from "vitest";
import { DataError } from "../../src/core/errors.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, float64, int64 } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { buildCausalGraph, type CausalStructure, LOGIT_ROWS } from "../../src/generate/graphs.ts";
import { openScoringModel, scoreAnswers } from "../../src/generate/scoring.ts";
import { buildTrie, trieVisibility } from "../../src/generate/trie.ts";
import { tokenFeeds } from "../../src/nn/features.ts";
import { adapterMethod } from "../../src/peft/adapters.ts";
import type { PromptTuningSpec } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { Executable, Tensors } from "../../src/runtime/types.ts";
import { goldenBackbone } from "../support/goldens.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";
import { compileUntilEnd, untilEnd } from "../support/untilEnd.ts";

const end = 2;
/** Alike at the beginning, in the middle, and not at all; one is a single token before its end. */
const answers = [
  [10, 11, 12, end],
  [10, 11, 13, end],
  [10, 14, end],
  [20, 11, 12, end],
  [30, end],
] as const;
const prompts = [[5, 9, 11, 30], [7], [40, 41, 3, 8, 21, 6]];

/** log p(answer | prompt) by a plain forward of both together, in float64 from the logits on. */
async function byBruteForce(
  whole: Executable,
  { backbone, adapter }: CausalStructure,
  prompt: readonly number[],
  answer: readonly number[],
  parameters: Tensors,
): Promise<number> {
  const ids = [...prompt, ...answer];
  const method = adapterMethod(adapter);
  const texts = collate([{ ids, typeIds: ids.map(() => 0), truncated: false }], 0);
  const { batch, feeds } = method.adapt(texts, 0);
  const first = method.virtualTokens + prompt.length - 1;
  const rows = int64(
    answer.map((_, i) => first + i),
    [answer.length],
  );
  const output = await whole.run({
    ...tokenFeeds(backbone.config, batch),
    ...feeds,
    ...parameters,
    [LOGIT_ROWS]: rows,
  });
  const logits = Array.from(output.logits?.data ?? [], Number);
  const size = logits.length / answer.length;
  return answer.reduce((sum, token, i) => {
    const row = logits.slice(i * size, (i + 1) * size);
    return sum + (row[token] ?? 0) - Math.log(row.reduce((total, x) => total + Math.exp(x), 0));
  }, 0);
}

const prompt: PromptTuningSpec = { virtualTokens: 3, init: "random" };

describe("label scoring against a plain forward of every label", () => {
  const cases = ["gpt2", "gpt_neox", "llama", "qwen2"].flatMap((model) => [
    { model, adapter: undefined, name: "bare" },
    { model, adapter: { kind: "prompt-tuning", spec: prompt } as const, name: "behind virtual tokens" },
  ]);
  it.each(cases)("$model, $name", async ({ model: name, adapter }) => {
    const backbone = await goldenBackbone(name);
    if (backbone.kind !== "decoder") throw new Error(`${name} is no decoder`);
    const structure: CausalStructure = { backbone, ...(adapter && { adapter }) };
    const draw = createRng(5);
    const values = Float32Array.from({ length: 3 * backbone.width }, () => draw.normal());
    const parameters: Tensors = adapter ? { prompt_embeddings: float32(values, [3, backbone.width]) } : {};
    const model = untilEnd(await openScoringModel(structure, nodeRuntime));
    const whole = await compileUntilEnd(nodeRuntime, buildCausalGraph(structure));

    const scores = await scoreAnswers(model, prompts, buildTrie(answers), { parameters });
    const expected: number[] = [];
    for (const each of prompts)
      for (const answer of answers)
        expected.push(await byBruteForce(whole, structure, each, answer, parameters));
    const dims = [prompts.length, answers.length];
    const actual = scores.flatMap((row) => [...row]);
    expect(relativeDifference(float64(actual, dims), float64(expected, dims))).toBeLessThanOrEqual(
      tolerances.float32,
    );
    // Alone or together, in any order.
    for (const [i, each] of prompts.entries()) {
      const alone = await scoreAnswers(model, [each], buildTrie(answers.toReversed()), { parameters });
      const turned = [...(alone[0] ?? [])].reverse();
      expect(relativeDifference(float64(turned, [5]), float64(scores[i] ?? [], [5]))).toBeLessThanOrEqual(
        tolerances.float32,
      );
    }
  });
});

describe("the trie", () => {
  it("computes each shared beginning once", () => {
    const trie = buildTrie(answers);
    expect(trie.nodes).toEqual([
      { token: 10, parent: 0, depth: 1 },
      { token: 11, parent: 1, depth: 2 },
      { token: 12, parent: 2, depth: 3 },
      { token: 13, parent: 2, depth: 3 },
      { token: 14, parent: 1, depth: 2 },
      { token: 20, parent: 0, depth: 1 },
      { token: 11, parent: 6, depth: 2 },
      { token: 12, parent: 7, depth: 3 },
      { token: 30, parent: 0, depth: 1 },
    ]);
    const tokens = trie.paths.map((path) => path.map((edge) => trie.edges[edge]?.token));
    expect(tokens).toEqual(answers);
  });

  it("shows a node its prompt, its ancestors and itself", () => {
    const trie = buildTrie([
      [7, 8, end],
      [9, end],
    ]);
    const rows = [
      [1, 0, 0, 0, 0],
      [1, 1, 0, 0, 0],
      [1, 1, 1, 0, 0],
      [1, 1, 1, 1, 0],
      [1, 1, 0, 0, 1],
    ];
    expect([...trieVisibility(trie, 2)].map(Number)).toEqual(rows.flat());
  });

  it.each([
    [
      "the beginning of another",
      [
        [7, 8, end],
        [7, 8],
      ],
    ],
    [
      "the beginning of another, and first",
      [
        [7, 8],
        [7, 8, end],
      ],
    ],
    [
      "another's twin",
      [
        [7, end],
        [7, end],
      ],
    ],
    ["empty", [[]]],
  ])("refuses an answer that is %s", (_, refused) => {
    expect(() => buildTrie(refused)).toThrow(DataError);
  });
});
