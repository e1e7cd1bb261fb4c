// Dimensions: n words of a sentence, C tags.
/** From each word's probabilities to the tags of a sentence: those that together are the likeliest and can stand there. */

/** How tags follow each other. */
export interface TagChain {
  /** The router's, in the order of its columns. */
  readonly labels: readonly string[];
  /** (C + 1, C): what is added to a tag's log-probability after another, in the last row at the beginning. */
  readonly values: Float64Array;
}

/** IOB2: `I-x` goes on with an entity of type x. */
export function canFollow(tag: string, before: string): boolean {
  if (!tag.startsWith("I-")) return true;
  return (before.startsWith("B-") || before.startsWith("I-")) && before.slice(2) === tag.slice(2);
}

/** The chain that says what can follow what, and nothing of what often does. */
export function constraintsOf(labels: readonly string[]): TagChain {
  const rows = [...labels, ""].map((before) =>
    labels.map((tag) => (canFollow(tag, before) ? 0 : Number.NEGATIVE_INFINITY)),
  );
  return { labels, values: Float64Array.from(rows.flat()) };
}

/**
 * The columns of the likeliest tags of a sentence, by Viterbi's algorithm; of equals the first.
 * @param words log-probabilities (C) of each
 */
export function likeliestTags(
  words: readonly ArrayLike<number>[],
  { labels, values }: TagChain,
): readonly number[] {
  const classes = labels.length;
  const [first] = words;
  if (first === undefined) return [];
  let scores = Float64Array.from(labels, (_, tag) => first[tag]! + values[classes * classes + tag]!);
  const before = words.slice(1).map((word) => {
    const next = new Float64Array(classes);
    const from = new Int32Array(classes);
    for (let tag = 0; tag < classes; tag++) {
      let best = Number.NEGATIVE_INFINITY;
      for (let past = 0; past < classes; past++) {
        const score = scores[past]! + values[past * classes + tag]!;
        if (score > best) [best, from[tag]] = [score, past];
      }
      next[tag] = best + word[tag]!;
    }
    scores = next;
    return from;
  });
  let tag = scores.indexOf(Math.max(...scores));
  const path = [tag];
  for (const from of before.toReversed()) {
    tag = from[tag]!;
    path.push(tag);
  }
  return path.reverse();
}
