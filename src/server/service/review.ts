/** What is done with kept texts: which are like one that is asked, which unknown ones are alike, what was taught. */
import type { Prediction } from "../../continual/answers.ts";
import type { KeptText, KeptTexts } from "./kept.ts";
import { isUnknown } from "./metrics.ts";
import { groupsOf, meanSimilarity, type Near, nearestOf, strangers, VectorMemory } from "./similar.ts";

/** Kept texts that are compared with each other. */
const MOST_GROUPED = 300;
/** Kept texts among which the nearest are looked for. */
const MOST_SEARCHED = 2000;

interface Taught {
  readonly text: string;
  readonly label: string;
}

type EmbedIn = (
  store: string,
  texts: readonly string[],
  signal: AbortSignal,
) => Promise<readonly Float32Array[]>;

/** Of texts that were kept more than once the newest. */
function onceEach(kept: readonly KeptText[]): readonly KeptText[] {
  const seen = new Map<string, KeptText>();
  for (const each of kept) if (!seen.has(each.text)) seen.set(each.text, each);
  return [...seen.values()];
}

export class Review {
  private readonly kept: KeptTexts;
  private readonly embed: EmbedIn;
  private readonly vectors = new VectorMemory();

  constructor(kept: KeptTexts, embed: EmbedIn) {
    this.kept = kept;
    this.embed = embed;
  }

  private async withVectors<T extends { readonly text: string }>(
    store: string,
    items: readonly T[],
    signal: AbortSignal,
  ): Promise<readonly (T & { readonly vector: Float32Array })[]> {
    const texts = items.map(({ text }) => text);
    const vectors = await this.vectors.of(store, texts, (asked) => this.embed(store, asked, signal));
    return items.map((item, i) => ({ ...item, vector: vectors[i] ?? new Float32Array() }));
  }

  keepUnknown(store: string, answers: readonly Prediction[]): void {
    const texts = answers.filter(isUnknown).map(({ text, label, top, unknown, version }) => ({
      reason: "unknown" as const,
      text,
      label: label ?? top[0]?.label ?? null,
      ...(top[0] && { score: top[0].score }),
      ...(unknown !== undefined && { unknown }),
      ...(version !== undefined && { version }),
    }));
    // An answer does not wait for what is kept of it.
    void this.kept.keep(store, texts).catch(() => {});
  }

  /** Keeps what was taught; what was unknown is so no longer. */
  async keepTaught(store: string, reason: "correction" | "taught", taught: readonly Taught[]): Promise<void> {
    const texts = new Set(taught.map(({ text }) => text));
    // Both are put into the queue at once, so that whoever looks next sees both done.
    await Promise.all([
      this.kept.remove(store, (kept) => texts.has(kept.text)),
      this.kept.keep(
        store,
        taught.map(({ text, label }) => ({ reason, text, label })),
      ),
    ]);
  }

  /** Deletes what was taught of a class. */
  async forget(store: string, label: string): Promise<void> {
    await this.kept.remove(store, (kept) => kept.reason !== "unknown" && kept.label === label);
  }

  /** The learned texts that are most like one. @param classes that are known now */
  async nearest(
    store: string,
    classes: readonly string[],
    { text, most }: { readonly text: string; readonly most: number },
    signal: AbortSignal,
  ): Promise<readonly Near[]> {
    const learned = (await this.kept.list(store, MOST_SEARCHED)).flatMap(({ reason, text, label }) =>
      reason !== "unknown" && label !== null && classes.includes(label) ? { text, label } : [],
    );
    if (learned.length === 0) return [];
    const [asked] = await this.withVectors(store, [{ text }], signal);
    const known = await this.withVectors(store, learned, signal);
    return asked === undefined ? [] : nearestOf(asked.vector, known, most);
  }

  /** Kept texts that were unknown, those that are alike together, the largest group first. */
  async groups(store: string, signal: AbortSignal): Promise<readonly (readonly KeptText[])[]> {
    const kept = onceEach(await this.kept.list(store, MOST_GROUPED, "unknown"));
    const placed = await this.withVectors(store, kept, signal);
    const strange = await this.withVectors(
      store,
      strangers.map((text) => ({ text })),
      signal,
    );
    return groupsOf(
      placed.map(({ vector, ...item }) => ({ item, vector })),
      meanSimilarity(strange.map(({ vector }) => vector)),
    );
  }
}
