import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { CheckpointError } from "../../../src/core/errors.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";
import { folderOfTestFile, folderWith } from "../../support/folders.ts";

const goldens = fileURLToPath(new URL("../../goldens/", import.meta.url));
const beside = join(goldens, "beside");

const rows = z.array(z.array(z.number()));
const casesSchema = z.object({
  family: z.string(),
  maxLength: z.number(),
  ids: rows,
  decoded: z.array(z.string()),
  pairIds: rows,
  padId: z.number().nullable(),
  endId: z.number().nullable(),
  paddingSide: z.enum(["left", "right"]),
});
const textsSchema = z.object({
  texts: z.array(z.string()),
  pairs: z.array(z.tuple([z.string(), z.string()])),
});

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
const { texts, pairs } = textsSchema.parse(readJson(join(beside, "texts.json")));
const family = (name: string) => readFileSync(join(goldens, "exact", `${name}.tokenizer.json`), "utf8");

/** The golden folder with its family's tokenizer.json in it. */
function folderOf(name: string, from: string): string {
  const folder = join(folderOfTestFile("beside"), name);
  mkdirSync(folder);
  writeFileSync(join(folder, "tokenizer.json"), family(from));
  for (const file of readdirSync(join(beside, name)))
    if (file !== "cases.json") writeFileSync(join(folder, file), readFileSync(join(beside, name, file)));
  return folder;
}

const names = readdirSync(beside).filter((name) => !name.endsWith(".json"));

describe("files beside tokenizer.json are read as AutoTokenizer reads them", () => {
  it("in many ways", () => {
    expect(names.length).toBeGreaterThan(20);
    expect(texts.length).toBeGreaterThan(25);
  });

  it.each(names)("%s", async (name) => {
    const cases = casesSchema.parse(readJson(join(beside, name, "cases.json")));
    const tokenizer = await loadTokenizer(folderOf(name, cases.family));
    const { maxLength } = cases;
    for (const [i, text] of texts.entries()) {
      // transformers gives no ids, where Accrete refuses to read nothing.
      if (cases.ids[i]?.length === 0) {
        expect(tokenizer.spans(text).ids).toEqual([]);
        continue;
      }
      const { ids } = tokenizer.encode({ text }, maxLength);
      expect({ text, ids }).toEqual({ text, ids: cases.ids[i] });
      expect({ text, decoded: tokenizer.decode(ids) }).toEqual({ text, decoded: cases.decoded[i] });
    }
    pairs.forEach(([text, textPair], i) => {
      expect(tokenizer.encode({ text, textPair }, maxLength).ids).toEqual(cases.pairIds[i]);
    });
    if (cases.padId !== null) expect(tokenizer.padId).toBe(cases.padId);
    expect(tokenizer.endId ?? null).toBe(cases.endId);
    expect(tokenizer.paddingSide).toBe(cases.paddingSide);
  });
});

describe("a tokenizer that files beside change", () => {
  const lower = readFileSync(join(goldens, "tokenizers", "bert-uncased", "tokenizer.json"), "utf8");
  const config = (settings: object) => ({
    "tokenizer.json": lower,
    "tokenizer_config.json": JSON.stringify(settings),
  });

  it("has a hash of its own, and says what was changed", async () => {
    const bert = { tokenizer_class: "BertTokenizer" };
    const [plain, same, cased] = await Promise.all([
      loadTokenizer(folderWith({ "tokenizer.json": lower })),
      loadTokenizer(folderWith(config({ ...bert, do_lower_case: true }))),
      loadTokenizer(folderWith(config({ ...bert, do_lower_case: false }))),
    ]);
    expect(plain.notes).toEqual([]);
    expect(same.hash).toBe(plain.hash);
    expect(cased.hash).not.toBe(plain.hash);
    expect(cased.notes.join()).toMatch(/BertTokenizer: its normalizer/);
  });

  it("lower-cases where sentence-transformers does, and is bounded by its longest text", async () => {
    const files = { "tokenizer.json": family("bytelevel-plain") };
    const sentence = { do_lower_case: true, max_seq_length: 9 };
    const folder = folderWith({ ...files, "sentence_bert_config.json": JSON.stringify(sentence) });
    const [plain, lowered] = await Promise.all([loadTokenizer(folderWith(files)), loadTokenizer(folder)]);
    expect(lowered.encode({ text: "BOOK a Table" }, 64)).toEqual(plain.encode({ text: "book a table" }, 64));
    expect(lowered.notes.join()).toMatch(/do_lower_case/);
    expect(lowered.maxLength).toBe(9);
    expect(lowered.hash).not.toBe(plain.hash);
  });

  it("is refused where a class works with another kind of model, or names a token that is none", async () => {
    const other = loadTokenizer(folderWith(config({ tokenizer_class: "RobertaTokenizer" })));
    await expect(other).rejects.toThrow(
      /RobertaTokenizer, whose model is BPE, and tokenizer.json has WordPiece/,
    );
    const unknown = loadTokenizer(
      folderWith(config({ tokenizer_class: "BertTokenizer", cls_token: "[NEW]" })),
    );
    await expect(unknown).rejects.toThrow(CheckpointError);
    await expect(unknown).rejects.toThrow(/cls_token is "\[NEW\]"/);
  });
});

describe("a word of a text that comes in words", () => {
  it.each(["bytelevel-gpt4", "bytelevel-digits", "bpe-bytes-split", "unigram-bytes", "bytelevel-plain"])(
    "is read with the break before it by %s",
    async (name) => {
      const tokenizer = await loadTokenizer(folderWith({ "tokenizer.json": family(name) }));
      for (const word of ["the", "weather", "Paris", "12", "café"]) {
        const running = tokenizer.encode({ text: `a ${word}` }, 64).ids;
        const own = tokenizer.encodeWord(word);
        expect(running.filter((id) => id > 4).slice(-own.length)).toEqual(own);
      }
    },
  );

  it.each(["wordpiece-bert-lower", "unigram-nmt-nfkc", "bpe-bytes", "bpe-suffix"])(
    "is read as it stands by %s",
    async (name) => {
      const tokenizer = await loadTokenizer(folderWith({ "tokenizer.json": family(name) }));
      for (const word of ["the", "weather", "12"])
        expect(tokenizer.encodeWord(word)).toEqual(tokenizer.spans(word).ids);
    },
  );
});
