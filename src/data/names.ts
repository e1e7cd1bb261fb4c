/** Lists of names, which are labels or entity types: checks of them, and how messages show them. */
import { DataError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";

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

/** How messages call names of one kind. */
export interface Kind {
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

export const labelKind: Kind = {
  name: "label",
  occurrence: "row",
  orderKey: "classOrder",
  absent: "which has no data",
  remedy: " Else add train rows with it, or remove its rows.",
};

export const typeKind: Kind = {
  name: "entity type",
  occurrence: "B- tag",
  orderKey: "typeOrder",
  absent: "of which train has no entity",
  remedy: "",
};

/** @throws DataError if a listed order repeats a name, leaves one out, or has one without data */
export function checkOrder(
  { name, orderKey, absent }: Kind,
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
  { name, occurrence, remedy }: Kind,
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
