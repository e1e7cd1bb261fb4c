/** How often each class was named since its store was opened, and when last. */
import type { Prediction, TaggedText } from "../../continual/answers.ts";

export interface Use {
  readonly answers: number;
  /** ISO 8601 in UTC. */
  readonly last: string;
}

export class Usage {
  private readonly stores = new Map<string, Map<string, Use>>();

  count(store: string, answers: readonly (Prediction | TaggedText)[]): void {
    const own = this.stores.get(store) ?? new Map<string, Use>();
    this.stores.set(store, own);
    const last = new Date().toISOString();
    for (const answer of answers)
      for (const label of namesIn(answer))
        own.set(label, { answers: (own.get(label)?.answers ?? 0) + 1, last });
  }

  /** @returns undefined where it was not named */
  of(store: string, label: string): Use | undefined {
    return this.stores.get(store)?.get(label);
  }

  forget(store: string): void {
    this.stores.delete(store);
  }

  /** No name of what was forgotten is kept. */
  keepOnly(store: string, labels: readonly string[]): void {
    const own = this.stores.get(store);
    const known = new Set(labels);
    for (const label of own?.keys() ?? []) if (!known.has(label)) own?.delete(label);
  }
}

function namesIn(answer: Prediction | TaggedText): readonly string[] {
  if ("entities" in answer) return answer.entities.map(({ type }) => type);
  return answer.label === null ? [] : [answer.label];
}
