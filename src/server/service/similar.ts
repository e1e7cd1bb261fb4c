/** Which kept texts are alike, by the frozen backbone's vectors of them. */
/** Gives the vectors of texts, one each. */
export type Embed = (texts: readonly string[]) => Promise<readonly Float32Array[]>;

/** Vectors that are remembered; of more those that were asked for least lately are made anew. */
const MOST_VECTORS = 4096;
/** Texts of one call to the backbone. */
const AT_ONCE = 64;
/** Texts are alike from this share of the way between what strange texts have in common and the same text on. */
const ALIKE = 0.25;

/** Texts that have nothing to do with each other: how alike a backbone takes them to be is where likeness begins. */
export const strangers = [
  "The goalkeeper saved a penalty in the last minute.",
  "Please add two eggs to the dough.",
  "My password does not work any more.",
  "Which planet has the most moons?",
  "The invoice was paid twice in March.",
  "A violin has four strings.",
] as const;

function toUnit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

/** Vectors of texts, of length 1, each made once. */
export class VectorMemory {
  private readonly vectors = new Map<string, Float32Array>();

  async of(store: string, texts: readonly string[], embed: Embed): Promise<readonly Float32Array[]> {
    const keyOf = (text: string) => `${store} ${text}`;
    const missing = [...new Set(texts)].filter((text) => !this.vectors.has(keyOf(text)));
    for (let start = 0; start < missing.length; start += AT_ONCE) {
      const part = missing.slice(start, start + AT_ONCE);
      for (const [i, vector] of (await embed(part)).entries())
        this.vectors.set(keyOf(part[i] ?? ""), toUnit(vector));
    }
    const found = texts.map((text) => this.vectors.get(keyOf(text)) ?? new Float32Array());
    for (const key of this.vectors.keys()) {
      if (this.vectors.size <= MOST_VECTORS) break;
      this.vectors.delete(key);
    }
    return found;
  }
}

export interface Near {
  readonly text: string;
  readonly label: string;
  /** The cosine of both vectors. */
  readonly similarity: number;
}

/** The learned texts that are most like one, the nearest first, each once. */
export function nearestOf(
  asked: Float32Array,
  learned: readonly { readonly text: string; readonly label: string; readonly vector: Float32Array }[],
  most: number,
): readonly Near[] {
  const once = new Map(learned.map((each) => [`${each.label} ${each.text}`, each]));
  return [...once.values()]
    .map(({ text, label, vector }) => ({ text, label, similarity: dot(asked, vector) }))
    .sort((a, b) => b.similarity - a.similarity)
    .slice(0, most);
}

/** Mean similarity of two different texts. */
export function meanSimilarity(vectors: readonly Float32Array[]): number {
  const pairs = vectors.flatMap((a, i) => vectors.slice(0, i).map((b) => dot(a, b)));
  return pairs.reduce((sum, each) => sum + each, 0) / Math.max(1, pairs.length);
}

/**
 * Groups texts that are alike: the two groups whose texts are most alike on average are joined, as long as they are alike enough.
 * @param strange how alike texts are that have nothing to do with each other
 * @returns the largest first; texts like no other are groups of one
 */
export function groupsOf<T>(
  items: readonly { readonly item: T; readonly vector: Float32Array }[],
  strange: number,
): readonly (readonly T[])[] {
  const similar = items.map(({ vector }) => items.map((other) => dot(vector, other.vector)));
  const enough = strange + ALIKE * (1 - strange);
  const groups = items.map((_, i) => [i]);
  const linkOf = (a: readonly number[], b: readonly number[]) => {
    let sum = 0;
    for (const i of a) for (const j of b) sum += similar[i]?.[j] ?? 0;
    return sum / (a.length * b.length);
  };
  for (;;) {
    let best = { link: enough, a: -1, b: -1 };
    for (let a = 0; a < groups.length; a++)
      for (let b = 0; b < a; b++) {
        const link = linkOf(groups[a] ?? [], groups[b] ?? []);
        if (link >= best.link) best = { link, a, b };
      }
    if (best.a < 0) break;
    const [joined = []] = groups.splice(best.a, 1);
    groups[best.b]?.push(...joined);
  }
  return groups.map((own) => own.flatMap((i) => items[i]?.item ?? [])).sort((a, b) => b.length - a.length);
}
