/** Answers laid together by their common beginnings, so that each beginning is computed once a text. */
import { DataError } from "../core/errors.ts";

/** A token that may come next: after which place, and which. */
export interface TrieEdge {
  /** 0 for the end of the prompt, n for `nodes[n - 1]`. */
  readonly from: number;
  readonly token: number;
}

/** A token that an answer goes on after. */
export interface TrieNode {
  readonly token: number;
  /** As `TrieEdge.from`; always less than the node's own place. */
  readonly parent: number;
  /** Tokens behind the prompt, from 1. */
  readonly depth: number;
}

export interface AnswerTrie {
  readonly nodes: readonly TrieNode[];
  readonly edges: readonly TrieEdge[];
  /** For each answer the edges it takes, by their index. */
  readonly paths: readonly (readonly number[])[];
}

/**
 * @param answers token ids with their end token, which makes none of them the beginning of another
 * @throws DataError if one is the beginning of another, or empty
 */
export function buildTrie(answers: readonly (readonly number[])[]): AnswerTrie {
  const nodes: TrieNode[] = [];
  const edges: TrieEdge[] = [];
  /** By `from,token`: the edge, and the place behind it if an answer goes on there. */
  const known = new Map<string, { readonly edge: number; place?: number }>();
  const paths = answers.map((answer, number) => {
    let from = 0;
    return answer.map((token, i) => {
      const key = `${from},${token}`;
      const last = i + 1 === answer.length;
      const step = known.get(key) ?? { edge: edges.push({ from, token }) - 1 };
      if (known.has(key) && (last || step.place === undefined))
        throw new DataError(
          `answer ${number + 1} and an earlier one begin alike, and one of them ends there`,
        );
      known.set(key, step);
      if (!last) step.place ??= nodes.push({ token, parent: from, depth: i + 1 });
      from = step.place ?? 0;
      return step.edge;
    });
  });
  if (paths.some((path) => path.length === 0)) throw new DataError("an answer has no tokens");
  return { nodes, edges, paths };
}

/**
 * Who sees whom in a text that ends in a trie: (T, T) row-major, 1 where the row's token may see the column's. The
 * first `prefix` tokens see what is before them; a node sees them all, its ancestors, and itself.
 */
export function trieVisibility({ nodes }: AnswerTrie, prefix: number): BigInt64Array {
  const tokens = prefix + nodes.length;
  const visible = new BigInt64Array(tokens * tokens);
  for (let row = 0; row < prefix; row++) visible.fill(1n, row * tokens, row * tokens + row + 1);
  nodes.forEach(({ parent }, i) => {
    const row = (prefix + i) * tokens;
    visible.fill(1n, row, row + prefix);
    visible[row + prefix + i] = 1n;
    for (let at = parent; at > 0; at = nodes[at - 1]!.parent) visible[row + prefix + at - 1] = 1n;
  });
  return visible;
}
