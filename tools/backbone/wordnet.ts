import { readFileSync } from "node:fs";
import path from "node:path";

/** Lexicographer files of animals and plants: thousands of species that no everyday sentence names. */
const speciesFiles = new Set([5, 20]);

const partsOfSpeech = ["noun", "verb", "adj", "adv"] as const;

export interface Synset {
  /** Lemmas as words, the most usual first. */
  readonly lemmas: readonly string[];
  readonly definition: string;
  readonly examples: readonly string[];
  /** How often one of its senses was met in the tagged texts of WordNet's makers. */
  readonly frequency: number;
  /** A species, or a proper name's single bearer. */
  readonly remote: boolean;
}

const digitOf: Readonly<Record<string, string>> = { n: "1", v: "2", a: "3", r: "4", s: "3" };

/** Tag counts by part of speech and offset, summed over the lemmas, from `index.sense`. */
function readFrequencies(folder: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of readFileSync(path.join(folder, "index.sense"), "utf8").split("\n")) {
    const [key, offset, , count] = line.split(" ");
    if (key === undefined || offset === undefined || count === undefined) continue;
    // The digit after "%" is the part of speech; satellites (5) lie with the adjectives.
    const kind = key[key.indexOf("%") + 1]?.replace("5", "3");
    const id = `${kind} ${offset}`;
    counts.set(id, (counts.get(id) ?? 0) + Number(count));
  }
  return counts;
}

/** One line of a `data.*` file: offset, file, kind, words in hexadecimal count, pointers, "|", gloss. */
export function parseSynset(line: string, frequencies: ReadonlyMap<string, number>): Synset | undefined {
  const bar = line.indexOf(" | ");
  if (bar < 0 || line.startsWith(" ")) return undefined;
  const [offset, file, kind, size, ...rest] = line.slice(0, bar).split(" ");
  if (offset === undefined || kind === undefined || size === undefined) return undefined;
  const lemmas = Array.from({ length: Number.parseInt(size, 16) }, (_, i) =>
    (rest[2 * i] ?? "").replaceAll("_", " ").replace(/\((?:a|p|ip)\)$/, ""),
  );
  const gloss = line.slice(bar + 3).trim();
  const examples = [...gloss.matchAll(/"([^"]+)"/g)].map((match) => match[1]!.trim());
  const definition = gloss
    .replace(/"[^"]*"?/g, "")
    .replace(/[;:,\s-]+$/g, "")
    .replace(/(?:;\s*)+/g, "; ")
    .trim();
  return {
    lemmas,
    definition,
    examples,
    frequency: frequencies.get(`${digitOf[kind] ?? ""} ${offset}`) ?? 0,
    remote: (kind === "n" && speciesFiles.has(Number(file))) || rest.includes("@i"),
  };
}

/** All synsets of a WordNet `dict` folder, in its order. */
export function readWordNet(folder: string): readonly Synset[] {
  const frequencies = readFrequencies(folder);
  return partsOfSpeech.flatMap((part) =>
    readFileSync(path.join(folder, `data.${part}`), "utf8")
      .split("\n")
      .flatMap((line) => parseSynset(line, frequencies) ?? []),
  );
}
