import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DataError } from "../../../src/core/errors.ts";
import { readExamples, readTexts } from "../../../src/data/files/readers.ts";
import type { Example } from "../../../src/data/files/types.ts";
import { failureOf } from "../../support/errors.ts";
import { folderWith } from "../../support/folders.ts";
import { goldensFolder } from "../../support/goldens.ts";

async function all<T extends Example>(items: AsyncIterable<T>): Promise<T[]> {
  const result: T[] = [];
  for await (const item of items) result.push(item);
  return result;
}

function read(name: string, content: string | Uint8Array) {
  return all(readExamples(join(folderWith({ [name]: content }), name)));
}

const failure = (promise: Promise<unknown>) => failureOf(promise, DataError);

describe("JSONL", () => {
  it("reads texts, labels and second texts, whatever the line ends and marks", async () => {
    const content = [
      '\ufeff{"text": "a", "label": "x"}\r',
      "",
      '{"label": 3, "text": "b", "textPair": "c", "more": null}\r',
      "   ",
      '{"text": "", "label": "y"}',
    ].join("\n");
    expect(await read("d.jsonl", content)).toEqual([
      { text: "a", label: "x" },
      { text: "b", textPair: "c", label: "3" },
      { text: "", label: "y" },
    ]);
  });

  it("reads lines longer than a chunk of the file, and characters that lie across two", async () => {
    const rows = Array.from({ length: 40 }, (_, i) => ({ text: "é🎉".repeat(3000 + i), label: `l${i}` }));
    expect(await read("d.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"))).toEqual(rows);
  });

  const good = '{"text": "a", "label": "x"}\n';
  it.each([
    ["broken JSON", '{"text": "a"', /line 3: not valid JSON/],
    ["a list", '["a", "x"]', /line 3: not a JSON object/],
    ["no label", '{"text": "a"}', /line 3: label must be a name, got nothing/],
    ["an empty label", '{"text": "a", "label": " "}', /line 3: label must be a name, got " "/],
    ["a null label", '{"text": "a", "label": null}', /line 3: label must be a name, got null/],
    ["a text that is no string", '{"text": 5, "label": "x"}', /line 3: text must be a string, got 5/],
    ["no text", '{"label": "x"}', /line 3: text must be a string, got nothing/],
    ["a pair that is no string", '{"text": "a", "textPair": 1, "label": "x"}', /line 3: textPair/],
  ])("refuses %s by file and line", async (_, line, message) => {
    const error = await failure(read("d.jsonl", `${good}\n${line}\n${good}`));
    expect(error.message).toMatch(message);
    expect(error.message).toContain("d.jsonl");
    expect(error.hint).toBeDefined();
  });

  it("refuses a file that is not UTF-8 by line, and says how to convert it", async () => {
    const latin1 = Buffer.from(`${good}{"text": "caf\u00e9", "label": "x"}\n`, "latin1");
    const error = await failure(read("d.jsonl", latin1));
    expect(error.message).toMatch(/d\.jsonl, line 2: the file is not UTF-8/);
    expect(error.hint).toContain("iconv");
    const utf16 = Buffer.from(`\ufeff${good}`, "utf16le");
    expect((await failure(read("d.jsonl", utf16))).message).toContain("line 1");
  });
});

describe("CSV", () => {
  it("reads quoted fields, either name of the label column, and extra columns in any order", async () => {
    const content = '\ufeffcategory,text,n\r\nx,"a, ""b""\r\nc",1\r\n\r\ny,plain,2\r\n';
    expect(await read("d.csv", content)).toEqual([
      { text: 'a, "b"\r\nc', label: "x" },
      { text: "plain", label: "y" },
    ]);
    expect(await read("d.csv", "text,label,textPair\na,x,b")).toEqual([
      { text: "a", label: "x", textPair: "b" },
    ]);
  });

  it.each([
    ["a field too few", "text,label\na,x\nb\nc,y\n", /row 2 \(line 3\): 1 fields, the header has 2/],
    ["a field too many", "text,label\na,x\nb,y,z\n", /row 2 \(line 3\): 3 fields/],
    ["a quote left open", 'text,label\na,x\n"b,y\nc,z\n', /row 2: Quote Not Closed/],
    ["a quote inside a field", 'text,label\na,x\nb "q" b,y\n', /row 2: Invalid Opening Quote/],
    ["text after a quoted field", 'text,label\na,x\n"b" b,y\n', /row 2: Invalid Closing Quote/],
    ["an empty label", "text,label\na,x\nb,\n", /row 2 \(line 3\): label must be a name/],
    ["no label column", "text,intent\na,x\n", /no column label; it has text, intent/],
    ["two label columns", "text,label,label\na,x,y\n", /the header names the column label twice/],
    ["an empty file", "", /is empty/],
  ])("refuses %s by file and row", async (_, content, message) => {
    const error = await failure(read("d.csv", content));
    expect(error.message).toMatch(message);
    expect(error.message).toContain("d.csv");
    expect(error.hint).toBeDefined();
  });

  it("counts rows, not lines, after a field with line breaks", async () => {
    const error = await failure(read("d.csv", 'text,label\n"a\n\nb",x\nc\n'));
    expect(error.message).toContain("row 2 (line 5)");
  });

  it("refuses a file that is not UTF-8 by line", async () => {
    const error = await failure(read("d.csv", Buffer.from("text,label\na,x\ncaf\u00e9,y\n", "latin1")));
    expect(error.message).toMatch(/line 3: the file is not UTF-8/);
  });
});

describe("labels", () => {
  it("that differ by blanks or normal form are the same, and the file says so", async () => {
    const content = ["caf\u00e9", "cafe\u0301 ", " caf\u00e9", "book  flight", "book\u00a0flight"];
    const lines = content.map((label) => JSON.stringify({ text: "a", label })).join("\n");
    const notes: string[] = [];
    const path = join(folderWith({ "d.jsonl": lines }), "d.jsonl");
    const labels = (await all(readExamples(path, undefined, notes))).map(({ label }) => label);
    expect(new Set(labels)).toEqual(new Set(["caf\u00e9", "book flight"]));
    expect(notes).toEqual([expect.stringContaining("the labels of 4 rows were trimmed")]);
  });

  it("that are whole numbers above 2^53 stay apart", async () => {
    const lines = ["9007199254740993", "9007199254740992", "-9007199254740993", "7"].map(
      (label) => `{"text": "\\"label\\": 1", "label": ${label}}`,
    );
    const labels = (await read("d.jsonl", lines.join("\n"))).map(({ label }) => label);
    expect(labels).toEqual(["9007199254740993", "9007199254740992", "-9007199254740993", "7"]);
  });

  it("that are numbers have the names of dataset_info.json", async () => {
    const features = { label: { names: ["travel", "food"], _type: "ClassLabel" } };
    const rows = '{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n';
    const folder = folderWith({ "d.jsonl": rows, "dataset_info.json": JSON.stringify({ features }) });
    const notes: string[] = [];
    const examples = await all(readExamples(join(folder, "d.jsonl"), undefined, notes));
    expect(examples.map(({ label }) => label)).toEqual(["food", "travel"]);
    expect(notes).toEqual([expect.stringMatching(/the labels are numbers, named by .*dataset_info\.json/)]);
    const beyond = folderWith({
      "d.jsonl": '{"text": "a", "label": 2}',
      "dataset_info.json": JSON.stringify({ features }),
    });
    expect((await failure(all(readExamples(join(beyond, "d.jsonl"))))).message).toMatch(
      /line 1: label 2 has no name: .*dataset_info\.json has 2/,
    );
  });
});

describe("Parquet", () => {
  const parquet = (name: string) => all(readExamples(join(goldensFolder, "parquet", name)));

  it("is read with the names of its classes, and second sentences", async () => {
    expect(await parquet("labels.parquet")).toEqual([
      { text: "a flight", textPair: "to Oslo", label: "travel" },
      { text: "buy bread", textPair: "today", label: "food" },
    ]);
  });

  it("keeps whole numbers above 2^53 apart", async () => {
    expect((await parquet("large.parquet")).map(({ label }) => label)).toEqual([
      "9007199254740993",
      "9007199254740992",
    ]);
  });

  it("that is none, or not there, is refused", async () => {
    expect((await failure(read("d.parquet", "text,label\n"))).message).toMatch(
      /d\.parquet: is no Parquet file/,
    );
    expect((await failure(all(readExamples("/nowhere/d.parquet")))).message).toContain("does not exist");
  });
});

describe("any file", () => {
  it("may be packed with gzip", async () => {
    const rows = [{ text: "a", label: "x" }];
    expect(await read("d.csv.gz", gzipSync("text,label\na,x\n"))).toEqual(rows);
    expect(await read("d.jsonl.gz", gzipSync('{"text": "a", "label": "x"}\n'))).toEqual(rows);
    const error = await failure(read("d.csv.gz", "text,label\n"));
    expect(error.message).toMatch(/d\.csv\.gz cannot be read: incorrect header check/);
  });

  it("may call the two texts by other names", async () => {
    const rows = [{ text: "a", textPair: "b", label: "x" }];
    expect(await read("d.csv", "sentence1,sentence2,label\na,b,x\n")).toEqual(rows);
    expect(await read("d.jsonl", '{"text": "a", "text_pair": "b", "label": "x"}')).toEqual(rows);
  });

  it("that is missing, a folder, or of a foreign kind is refused", async () => {
    const folder = folderWith({ "d.txt": "a" });
    expect((await failure(all(readExamples(join(folder, "no.jsonl"))))).message).toContain("does not exist");
    expect((await failure(all(readExamples(folder, "jsonl")))).message).toContain("is a folder");
    expect((await failure(all(readExamples(join(folder, "d.txt"))))).message).toContain("what kind of file");
  });

  it("may be read without labels", async () => {
    const folder = folderWith({ "d.jsonl": '{"text": "a"}\n{"text": "b", "label": "x"}\n' });
    expect(await all(readTexts(join(folder, "d.jsonl")))).toEqual([{ text: "a" }, { text: "b" }]);
  });

  it("takes the format that is named over its name", async () => {
    const folder = folderWith({ "d.txt": "text,label\na,x\n" });
    expect(await all(readExamples(join(folder, "d.txt"), "csv"))).toEqual([{ text: "a", label: "x" }]);
  });
});
