// Dimensions: n texts, F routing features.
/** The rows that texts give their classes. */
import type { LabelledExample } from "../../data/types.ts";
import type { AdaptedBackbone } from "../adaptedBackbone.ts";
import { quantize } from "./fixedRows.ts";
import type { Contribution, RowRole } from "./statistics.ts";
import type { RoutingFeatureSpec } from "./types.ts";

export interface ClassRows {
  readonly contributions: readonly Contribution[];
  /** Texts that were cut at the maximal length. */
  readonly truncatedTexts: number;
}

export interface RowOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hears how many texts have given their rows. */
  readonly onTexts?: (texts: number) => void;
}

/**
 * The rows of texts, a contribution a class. A class's texts go through the backbone by themselves, so its rows are the same
 * to the last bit whatever else is learned with it.
 * @param labels each gets a contribution, empty where no example has it
 * @param what names the texts in messages
 */
export async function contributionsOf(
  model: AdaptedBackbone,
  features: RoutingFeatureSpec,
  examples: readonly LabelledExample[],
  labels: readonly string[],
  what: string,
  { signal, onTexts }: RowOptions = {},
): Promise<ClassRows> {
  const contributions: Contribution[] = [];
  let truncatedTexts = 0;
  let texts = 0;
  for (const label of labels) {
    const own = examples.filter((example) => example.label === label);
    const { encodings, truncated } = model.encode(own, `${what}, class ${label}`);
    const rows = quantize(await model.routingFeatures(encodings, features, signal));
    contributions.push({ label, rows });
    truncatedTexts += truncated;
    texts += own.length;
    onTexts?.(texts);
  }
  return { contributions, truncatedTexts };
}

/** Held-out texts of a class are enough to choose by in place of some of its train rows from this share of those on. */
const ENOUGH_HELD_OUT = 0.05;

/**
 * A task's rows with their roles: held-out texts judge, and where a class has enough of them all of its train rows are
 * fitted to. The last fit takes both in.
 * @param judging of the texts held out
 */
export function withRoles(
  train: readonly Contribution[],
  judging: readonly Contribution[],
): readonly Contribution[] {
  const held = new Map(judging.map(({ label, rows }) => [label, rows.rows]));
  const roleOf = ({ label, rows }: Contribution): { readonly role?: RowRole } =>
    (held.get(label) ?? 0) > 0 && (held.get(label) ?? 0) >= ENOUGH_HELD_OUT * rows.rows
      ? { role: "fit" }
      : {};
  return [
    ...train.map((own) => ({ ...own, ...roleOf(own) })),
    ...judging.filter(({ rows }) => rows.rows > 0).map((own) => ({ ...own, role: "judge" as const })),
  ];
}
