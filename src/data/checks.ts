/** Checks that texts and tagged sentences share: lists of their names (labels, entity types), and what train and test share. */
import { DataError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { TaggedSentence } from "./files/tags.ts";
import type { Example, LabelledExample, PublishedSplits } from "./files/types.ts";

export function quoted(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).map((name) => JSON.stringify(name));
  return shown.join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");
}

/** `1 row`, `1,004 rows`. */
export function countOf(n: number, what: string): string {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}

export function hintNearest(name: string, known: Iterable<string>): { hint: string } {
  const found = nearest(name, known);
  return {
    hint:
      found === undefined ? "Check its spelling against the data." : `Did you mean ${JSON.stringify(found)}?`,
  };
}

export function firstRepeated(names: readonly string[]): string | undefined {
  return names.find((name, i) => names.indexOf(name) !== i);
}

/** What is learned from: how messages call it and its names, and what makes two items the same. */
export interface Kind<T> {
  /** One item in a file, and several. */
  readonly item: string;
  readonly items: string;
  readonly keyOf: (item: T) => string;
  readonly show: (item: T) => string;
  readonly name: string;
  /** What has such a name in a file. */
  readonly occurrence: string;
  /** The stream's setting that lists them. */
  readonly orderKey: string;
  /** Said of a name in that list which the data have not. */
  readonly absent: string;
  /** Follows the hint at a name that train has not. */
  readonly remedy: string;
}

/** What two texts have in common when they count as the same: NFC, trimmed, lower case. */
export function textKey({ text, textPair }: Example): string {
  const key = (part: string) => part.normalize("NFC").trim().toLowerCase();
  return textPair === undefined ? key(text) : `${key(text)}\u0000${key(textPair)}`;
}

export const texts: Kind<LabelledExample> = {
  item: "row",
  items: "texts",
  keyOf: textKey,
  show: ({ text, label }) => `${JSON.stringify(text)} (${label})`,
  name: "label",
  occurrence: "row",
  orderKey: "classOrder",
  absent: "which has no data",
  remedy: " Else add train rows with it, or remove its rows.",
};

export const taggedSentences: Kind<TaggedSentence> = {
  item: "sentence",
  items: "sentences",
  keyOf: ({ words }) => textKey({ text: words.join(" ") }),
  show: ({ words }) => JSON.stringify(words.join(" ")),
  name: "entity type",
  occurrence: "B- tag",
  orderKey: "typeOrder",
  absent: "of which train has no entity",
  remedy: "",
};

/** @throws DataError if a listed order repeats a name, leaves one out, or has one without data */
export function checkOrder(
  { name, orderKey, absent }: Pick<Kind<never>, "name" | "orderKey" | "absent">,
  listed: readonly string[],
  known: readonly string[],
): readonly string[] {
  const repeated = firstRepeated(listed);
  if (repeated !== undefined) throw new DataError(`${orderKey} lists ${JSON.stringify(repeated)} twice`);
  const unknown = listed.find((each) => !known.includes(each));
  if (unknown !== undefined)
    throw new DataError(
      `${orderKey} lists ${JSON.stringify(unknown)}, ${absent}`,
      hintNearest(unknown, known),
    );
  const missing = known.filter((each) => !listed.includes(each));
  if (missing.length > 0)
    throw new DataError(`${orderKey} leaves out ${quoted(missing)}`, {
      hint: `List every ${name} of the data.`,
    });
  return listed;
}

/**
 * @param counts occurrences of each name in a split
 * @throws DataError if the split has a name that train has not
 */
export function checkSeen(
  { name, occurrence, remedy }: Pick<Kind<never>, "name" | "occurrence" | "remedy">,
  split: string,
  counts: ReadonlyMap<string, number>,
  known: readonly string[],
): void {
  const unseen = [...counts.keys()].filter((each) => !known.includes(each));
  const [first] = unseen;
  if (first === undefined) return;
  const single = unseen.length === 1;
  const what = single ? `${name === "entity type" ? "an" : "a"} ${name}` : `${name}s`;
  const where = `${countOf(counts.get(first) ?? 0, occurrence)}${single ? "" : " of the first"}`;
  throw new DataError(`${split} has ${what} that train has not: ${quoted(unseen)} (${where})`, {
    hint: hintNearest(first, known).hint + remedy,
  });
}

/** What becomes of items of train that test has too. */
export type Overlap = "drop" | "refuse" | "allow";

/** Train without the items that test has too, or with them, as the policy says; `notes` says how many. */
export function withoutOverlap<T>(
  { train, test }: PublishedSplits<T>,
  policy: Overlap,
  { item: one, items, keyOf, show }: Kind<T>,
  notes: string[],
): readonly T[] {
  const keys = new Set(test.map(keyOf));
  const shared = new Set(train.filter((item) => keys.has(keyOf(item))));
  const [first] = shared;
  if (first === undefined) return train;
  const example = show(first);
  if (policy === "refuse")
    throw new DataError(`train shares ${items} with test: ${countOf(shared.size, one)}, e.g. ${example}`, {
      hint: "Remove them from train, or set stream.allowOverlap: true.",
    });
  if (policy === "drop") {
    notes.push(`Dropped ${countOf(shared.size, `train ${one}`)} whose text is in test, e.g. ${example}.`);
    return train.filter((item) => !shared.has(item));
  }
  notes.push(`Train keeps ${countOf(shared.size, one)} whose text is in test, as allowOverlap says.`);
  return train;
}

/** Says of how many texts train has two labels: no classifier can be right about both. */
export function noteContradictions(train: readonly LabelledExample[], notes: string[]): void {
  const labels = new Map<string, Set<string>>();
  for (const example of train) {
    const key = textKey(example);
    labels.set(key, (labels.get(key) ?? new Set()).add(example.label));
  }
  const torn = train.filter((example) => (labels.get(textKey(example))?.size ?? 0) > 1);
  const [first] = torn;
  if (first === undefined) return;
  const several = [...(labels.get(textKey(first)) ?? [])];
  const count = new Set(torn.map(textKey)).size;
  notes.push(
    `Train has ${countOf(count, "text")} under several labels, e.g. ${JSON.stringify(first.text)} as ${quoted(several)}.`,
  );
}
