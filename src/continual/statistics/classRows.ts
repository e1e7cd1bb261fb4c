// Dimensions: n texts, F routing features.
/** The rows that texts give their classes. */
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { RoutingFeatureSpec } from "../types.ts";
import { quantize } from "./fixedRows.ts";
import type { Contribution } from "./statistics.ts";

export interface RowOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hears how many texts have given their rows. */
  readonly onTexts?: ((texts: number) => void) | undefined;
}

/**
 * The rows of texts, a contribution a class. A class's texts go through the backbone by themselves, so its rows are the same
 * to the last bit whatever else is learned with it.
 * @param own the label of each text
 * @param labels each gets a contribution, empty where no text has it
 */
export async function contributionsOf(
  model: AdaptedBackbone,
  features: RoutingFeatureSpec,
  encodings: readonly Encoding[],
  own: readonly string[],
  labels: readonly string[],
  { signal, onTexts }: RowOptions = {},
): Promise<readonly Contribution[]> {
  const contributions: Contribution[] = [];
  let texts = 0;
  for (const label of labels) {
    const ownTexts = encodings.filter((_, i) => own[i] === label);
    const rows = quantize(await model.routingFeatures(ownTexts, features, signal));
    contributions.push({ label, rows });
    texts += ownTexts.length;
    onTexts?.(texts);
  }
  return contributions;
}
