/** The de-identification notes of i2b2 2014 (Stubbs and Uzuner 2015): XML with spans of characters. */
import { readFile } from "node:fs/promises";
import { type Rng, shuffled } from "../../core/random.ts";
import { unreadable } from "../../data/files/lines.ts";
import type { TaggedSentence } from "../../data/files/tags.ts";
import type { WordSourceWithNotes } from "./catalogue.ts";
import { readConverted } from "./entities.ts";
import { filesBelow, misshapen, missing, type RawFolder } from "./rawFolder.ts";

/** The benchmark's 16 of the 23 types; the others have too few entities to be learned. */
const kept = new Set(
  (
    "AGE CITY COUNTRY DATE DOCTOR HOSPITAL IDNUM MEDICALRECORD " +
    "ORGANIZATION PATIENT PHONE PROFESSION STATE STREET USERNAME ZIP"
  ).split(" "),
);

interface Span {
  readonly start: number;
  readonly end: number;
  readonly type: string;
}

const entityNames: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text
    .replaceAll(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => entityNames[name] ?? "")
    .replaceAll(/&#(x?)([\da-f]+);/gi, (_, hex: string, digits: string) =>
      String.fromCodePoint(Number.parseInt(digits, hex === "" ? 10 : 16)),
    );
}

function parseSpans(raw: RawFolder, path: string, tags: string, text: string): Span[] {
  return [...tags.matchAll(/<[A-Z]+((?:\s+\w+="[^"]*")+)\s*\/>/g)].map(([, attributes = ""]) => {
    const pairs = [...attributes.matchAll(/(\w+)="([^"]*)"/g)];
    const values = new Map(pairs.map(([, name = "", value = ""]) => [name, unescapeXml(value)]));
    const [start, end] = [Number(values.get("start")), Number(values.get("end"))];
    const type = values.get("TYPE") ?? "";
    const tag = `the tag ${values.get("id") ?? "?"}`;
    if (!(start >= 0 && end > start && end <= text.length) || type === "")
      throw misshapen(raw, path, `${tag} has no start, end and TYPE within the text`);
    // A copy whose line ends were changed has shifted every span.
    const [declared, found] = [values.get("text"), text.slice(start, end)];
    if (declared !== undefined && declared.replaceAll(/\s+/g, " ") !== found.replaceAll(/\s+/g, " "))
      throw misshapen(
        raw,
        path,
        `${tag} is said to be ${JSON.stringify(declared)}, but there stands ${JSON.stringify(found)}`,
      );
    return { start, end, type };
  });
}

/** A line is a sentence; a word is letters and digits in a row, or a single other sign. */
function tagLines(text: string, spans: readonly Span[]): TaggedSentence[] {
  const sentences: TaggedSentence[] = [];
  let lineStart = 0;
  for (const line of text.split("\n")) {
    const words: string[] = [];
    const tags: string[] = [];
    let before: Span | undefined;
    for (const match of line.matchAll(/[\p{L}\p{N}]+|[^\p{L}\p{N}\s]/gu)) {
      const [word] = match;
      const start = lineStart + match.index;
      const span = spans.find((each) => start < each.end && start + word.length > each.start);
      words.push(word);
      tags.push(span === undefined ? "O" : `${span === before ? "I" : "B"}-${span.type}`);
      before = span;
    }
    if (words.length > 0) sentences.push({ words, tags });
    lineStart += line.length + 1;
  }
  return sentences;
}

/** @returns the note's lines, its entities of other types than the benchmark's as `O` */
export function parseNote(raw: RawFolder, path: string, xml: string): TaggedSentence[] {
  const text = /<TEXT><!\[CDATA\[([\s\S]*?)\]\]><\/TEXT>/.exec(xml)?.[1];
  const tags = /<TAGS>([\s\S]*?)<\/TAGS>/.exec(xml)?.[1];
  if (text === undefined || tags === undefined) throw misshapen(raw, path, "has no TEXT and TAGS");
  const spans = parseSpans(raw, path, tags, text).filter(({ type }) => kept.has(type));
  return tagLines(text, spans);
}

async function readNotes(raw: RawFolder, paths: readonly string[]): Promise<TaggedSentence[]> {
  const sentences: TaggedSentence[] = [];
  for (const path of paths) {
    const xml = await readFile(path, "utf8").catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    for (const sentence of parseNote(raw, path, xml)) sentences.push(sentence);
  }
  return sentences;
}

/**
 * i2b2 2014: the XML notes below folders whose name begins with `training` and `testing`; every tenth training note,
 * chosen by seed, is for validation. Or `train.txt`, `dev.txt` and `test.txt` in columns, word and tag.
 */
export async function readI2b2(raw: RawFolder, rng: Rng): Promise<WordSourceWithNotes> {
  const converted = await readConverted(raw);
  if (converted !== undefined) return converted;
  const below = (prefix: string) =>
    filesBelow(raw, ".xml", (folders) => folders.some((folder) => folder.toLowerCase().startsWith(prefix)));
  const training = await below("training");
  const testing = await below("testing");
  if (training.length === 0) missing(raw, ".xml notes below a folder training…");
  if (testing.length === 0) missing(raw, ".xml notes below a folder testing…");
  const held = new Set(shuffled(training, rng.fork("validation")).slice(0, Math.floor(training.length / 10)));
  const train = await readNotes(
    raw,
    training.filter((path) => !held.has(path)),
  );
  const validation = await readNotes(raw, [...held].sort());
  const test = await readNotes(raw, testing);
  return {
    source: { train, ...(validation.length > 0 && { validation }), test },
    notes: [
      `Types left out as too rare: all but ${[...kept].join(", ")}.`,
      `Set ${held.size} of ${training.length} training notes aside for validation.`,
    ],
  };
}
