import type { LabelledExample } from "../../data/files/types.ts";
import type { Source } from "../../data/source.ts";

/** `card_arrival` → `card arrival`: labels as the benchmark's files have them, where they are text to be generated. */
export function labelText(label: string): string {
  return label.replaceAll("_", " ");
}

function named(examples: readonly LabelledExample[]): LabelledExample[] {
  return examples.map((example) => ({ ...example, label: labelText(example.label) }));
}

export function nameLabels(source: Source): Source {
  return {
    ...source,
    train: named(source.train),
    test: named(source.test),
    ...(source.validation === undefined ? {} : { validation: named(source.validation) }),
  };
}
