import type { Rng } from "../core/random.ts";
import { type TaggedSentence, typeOf } from "./files/tags.ts";

/** How the sentences of train are dealt out to tasks. */
export const samplings = ["greedy", "all", "every"] as const;
export type Sampling = (typeof samplings)[number];

function typesIn({ tags }: TaggedSentence): Set<string> {
  return new Set(tags.map(typeOf).filter((type) => type !== undefined));
}

/** Every sentence with an entity of a task's types, in order; a sentence may serve several tasks. */
export function sampleAll(
  sentences: readonly TaggedSentence[],
  division: readonly (readonly string[])[],
): readonly (readonly TaggedSentence[])[] {
  return division.map((types) =>
    sentences.filter((sentence) => {
      const found = typesIn(sentence);
      return types.some((type) => found.has(type));
    }),
  );
}

/**
 * Greedy sampling: each sentence goes to one task, and a task takes a share of the sentences that goes by its number
 * of types (rounded down; the few left over are used by none). Sentences are taken in order; each goes to the task
 * of the rarest type it holds whose share is not full, and where there is none, to a task with room, by chance.
 *
 * Zheng et al. 2022, "Distilling Causal Effect from Miscellaneous Other-Class for Continual Named Entity
 * Recognition"; the details as in zzz47zzz/codebase-for-incremental-learning-with-llm.
 * @param counts entities of each type; ties in rarity go by name
 */
export function sampleGreedily(
  sentences: readonly TaggedSentence[],
  division: readonly (readonly string[])[],
  counts: ReadonlyMap<string, number>,
  rng: Rng,
): readonly (readonly TaggedSentence[])[] {
  const total = division.reduce((sum, types) => sum + types.length, 0);
  const room = division.map((types) => Math.floor((sentences.length * types.length) / total));
  const taskOf = new Map(division.flatMap((types, task) => types.map((type) => [type, task] as const)));
  const rarestFirst = [...taskOf.keys()].sort().sort((a, b) => (counts.get(a) ?? 0) - (counts.get(b) ?? 0));
  const result: TaggedSentence[][] = division.map(() => []);
  for (const sentence of sentences) {
    const found = typesIn(sentence);
    const type = rarestFirst.find((candidate) => found.has(candidate) && room[taskOf.get(candidate)!]! > 0);
    const open = [...room.keys()].filter((task) => room[task]! > 0);
    const task = type === undefined ? open[rng.integer(open.length)] : taskOf.get(type);
    if (task === undefined) break; // Every share is full.
    result[task]!.push(sentence);
    room[task] = room[task]! - 1;
  }
  return result;
}
