/** Whether the classes of a store can be compared with each other, and by what. */
import type { StoreTask } from "./tasks.ts";

/** What nothing compares, and what would. */
export interface Incomparable {
  readonly message: string;
  readonly hint: string;
}

export type Comparison = "statistics" | "adapters" | Incomparable;

/** What tells all classes apart: statistics where every task has them, else adapters where every task has one. */
export function comparisonOf(tasks: readonly StoreTask[]): Comparison {
  const bare = tasks.find(({ statistics }) => statistics === undefined)?.entry.name;
  if (bare === undefined) return "statistics";
  const alone = tasks.find(({ saved }) => saved === undefined)?.entry.name;
  if (alone === undefined) return "adapters";
  return {
    message: `task "${bare}" has an adapter and no statistics, "${alone}" statistics and no adapter: nothing compares their classes`,
    hint: `Add statistics to the first: accrete learn <store> --task "${bare}" <its data> --statistics-only.`,
  };
}
