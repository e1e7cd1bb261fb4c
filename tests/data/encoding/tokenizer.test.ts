import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { CheckpointError, ConfigError, DataError } from "../../../src/core/errors.ts";
import { encodeAll, longestFirst } from "../../../src/data/encoding/tokenizer.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";
import { folderOfTestFile } from "../../support/folders.ts";
import { goldenTokenizer } from "../../support/shared.ts";

const goldens = fileURLToPath(new URL("../../goldens/tokenizers", import.meta.url));

const casesSchema = z.array(
  z.object({
    text: z.string(),
    textPair: z.string().optional(),
    maxLength: z.number(),
    ids: z.array(z.number()),
    typeIds: z.array(z.number()),
  }),
);

function readCases(folder: string) {
  return casesSchema.parse(JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")));
}

const names = readdirSync(goldens, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

it("finds golden tokenizers", () => {
  expect(names).toEqual(expect.arrayContaining(["bert-cased", "bert-uncased", "roberta"]));
});

describe.each(names)("ids of %s equal transformers'", (name) => {
  const golden = goldenTokenizer(name);
  it.skipIf(golden.absent)(golden.titled("on every case"), async () => {
    const tokenizer = await loadTokenizer(golden.path);
    const cases = readCases(join(goldens, name));
    expect(cases.length).toBeGreaterThan(50);
    for (const { text, textPair, maxLength, ids, typeIds } of cases) {
      const encoding = tokenizer.encode({ text, ...(textPair === undefined ? {} : { textPair }) }, maxLength);
      expect({ text, textPair, maxLength, ids: encoding.ids, typeIds: encoding.typeIds }).toEqual({
        text,
        textPair,
        maxLength,
        ids,
        typeIds,
      });
    }
  });
});

describe("a tokenizer", () => {
  const uncased = join(goldens, "bert-uncased");

  it("names itself by its file's hash, and knows padding and size", async () => {
    const tokenizer = await loadTokenizer(uncased);
    const bytes = readFileSync(join(uncased, "tokenizer.json"));
    expect(tokenizer.hash).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect(tokenizer.padId).toBe(0);
    expect(tokenizer.paddingSide).toBe("right");
    const ids = z
      .object({ model: z.object({ vocab: z.record(z.string(), z.number()) }) })
      .parse(JSON.parse(bytes.toString("utf8")));
    expect(tokenizer.vocabularySize).toBe(Math.max(...Object.values(ids.model.vocab)) + 1);
    expect((await loadTokenizer(join(goldens, "roberta"))).padId).toBe(1);
  });

  it("reads texts of nothing as special tokens alone", async () => {
    const tokenizer = await loadTokenizer(uncased);
    for (const text of ["", "  \n", "\u0000\u0007\u200b"])
      expect(tokenizer.encode({ text }, 16)).toEqual({ ids: [2, 3], typeIds: [0, 0], truncated: false });
  });

  it("lower-cases a final sigma as any other", async () => {
    const tokenizer = await loadTokenizer(uncased);
    expect(tokenizer.encode({ text: "ΟΔΟΣ" }, 64)).toEqual(tokenizer.encode({ text: "οδοσ" }, 64));
  });

  it("counts what it cut, and says so", async () => {
    const tokenizer = await loadTokenizer(uncased);
    const examples = [
      { text: "book" },
      { text: "book ".repeat(600) },
      { text: "a", textPair: "b ".repeat(40) },
    ];
    const { encodings, truncated } = encodeAll(tokenizer, examples, 20);
    expect(truncated).toBe(2);
    expect(encodings.map((encoding) => encoding.truncated)).toEqual([false, true, true]);
    expect(encodings.map((encoding) => encoding.ids.length).slice(1)).toEqual([20, 20]);
    expect(encodings[1]?.ids.at(-1)).toBe(3);
  });

  it("decodes without special tokens", async () => {
    const tokenizer = await loadTokenizer(join(goldens, "roberta"));
    const text = "Book a table, naïve café — 中文!";
    expect(tokenizer.decode(tokenizer.encode({ text }, 128).ids)).toBe(text);
    expect(tokenizer.decode([])).toBe("");
  });

  it("refuses a maxLength without room for the special tokens", async () => {
    const tokenizer = await loadTokenizer(uncased);
    expect(() => tokenizer.encode({ text: "a" }, 1)).toThrow(ConfigError);
    expect(() => tokenizer.encode({ text: "a", textPair: "b" }, 2)).toThrow(/leaves no room/);
  });
});

describe("a tokenizer's folder", () => {
  function folderWith(files: Record<string, string>): string {
    const folder = folderOfTestFile("tokenizer");
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return folder;
  }
  const bert = () => JSON.parse(readFileSync(join(goldens, "bert-uncased", "tokenizer.json"), "utf8"));

  it("without tokenizer.json is refused with what to do", async () => {
    const error = await loadTokenizer(folderWith({})).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({
      message: expect.stringContaining("no tokenizer.json"),
      hint: expect.any(String),
    });
  });

  it("with a damaged or foreign file is refused by name", async () => {
    await expect(loadTokenizer(folderWith({ "tokenizer.json": '{"version"' }))).rejects.toThrow(
      /tokenizer\.json is not valid JSON/,
    );
    await expect(loadTokenizer(folderWith({ "tokenizer.json": "{}" }))).rejects.toThrow(CheckpointError);
    const odd = JSON.stringify({ ...bert(), post_processor: { type: "Novel" } });
    await expect(loadTokenizer(folderWith({ "tokenizer.json": odd }))).rejects.toThrow(/PostProcessor/);
    const model = JSON.stringify({ ...bert(), model: { type: "Novel" } });
    await expect(loadTokenizer(folderWith({ "tokenizer.json": model }))).rejects.toThrow(CheckpointError);
  });

  it("that adds no special tokens names the text that has none", async () => {
    const folder = folderWith({ "tokenizer.json": JSON.stringify({ ...bert(), post_processor: null }) });
    const tokenizer = await loadTokenizer(folder);
    const encode = () => encodeAll(tokenizer, [{ text: "book" }, { text: "\u0001" }], 8, "test of task-2");
    expect(encode).toThrow(DataError);
    expect(encode).toThrow(/^test of task-2, number 2: the text "\\u0001" has no tokens$/);
  });

  it("cuts on the side that its configuration names", async () => {
    const folder = folderWith({
      "tokenizer.json": JSON.stringify(bert()),
      "tokenizer_config.json": JSON.stringify({ truncation_side: "left", padding_side: "left" }),
    });
    const [right, left] = await Promise.all([
      loadTokenizer(join(goldens, "bert-uncased")),
      loadTokenizer(folder),
    ]);
    const text = "book a table for two at seven";
    const all = right.encode({ text }, 64).ids;
    expect(left.encode({ text }, 6).ids).toEqual([2, ...all.slice(-5, -1), 3]);
    expect(left.paddingSide).toBe("left");
  });
});

describe("longestFirst", () => {
  it.each([
    [3, 4, 10, [3, 4]],
    [3, 20, 10, [3, 7]],
    [20, 3, 10, [7, 3]],
    [20, 20, 9, [4, 5]],
    [21, 20, 9, [5, 4]],
    [0, 20, 9, [0, 9]],
  ])("%i and %i tokens in %i", (first, second, room, kept) => {
    expect(longestFirst(first, second, room)).toEqual(kept);
  });
});
