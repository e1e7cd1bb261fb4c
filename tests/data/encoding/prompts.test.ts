import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError, DataError } from "../../../src/core/errors.ts";
import { packageRoot } from "../../../src/core/packageInfo.ts";
import {
  encodeAnswers,
  encodePrompt,
  encodePrompted,
  fillPrompt,
  labelText,
  openTextIds,
  promptTemplate,
} from "../../../src/data/encoding/prompts.ts";
import type { Tokenizer } from "../../../src/data/encoding/tokenizer.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";

/** Byte-level BPE, as GPT-2's, which puts `</s>` behind every text: nothing that an answer may follow. */
const roberta: Tokenizer = await loadTokenizer(join(packageRoot, "tests/goldens/tokenizers/roberta"));
const storiesFolder = join(packageRoot, "../shared/models/stories260k");
const absent = !existsSync(storiesFolder);

const end = roberta.endId ?? -1;

const entities = "[E11] Ada Lovelace [E12] was born in [E21] London [E22] .";

describe("the words of a prompt", () => {
  it.each([
    ["default", "play a song", "Input sentence: play a song\n The label:"],
    ["qa", "who is she", "Question: who is she\n Short Answer:"],
    ["none", "play a song", "play a song"],
    ["Say {text} again:", "a $& b", "Say a $& b again:"],
    [
      "relation",
      entities,
      "Input sentence: Ada Lovelace was born in London .\n The relationship between Ada Lovelace and London is",
    ],
    [
      "relation-qa",
      entities,
      "Input sentence: Ada Lovelace was born in London .\n Question: What is the relationship between Ada Lovelace and London?\n Answer:",
    ],
    ["relation-no-pos", entities, "Input sentence: Ada Lovelace was born in London .\n The relationship:"],
    ["{tail}: {text} {head}?", entities, "London: Ada Lovelace was born in London . Ada Lovelace?"],
  ])("%s", (source, text, expected) => {
    expect(fillPrompt(promptTemplate(source), { text })).toBe(expected);
  });

  it("joins a pair", () => {
    expect(fillPrompt(promptTemplate("none"), { text: "one", textPair: "two" })).toBe("one two");
  });

  it.each(["Say it:", "{text} and {text}", "defualt"])(
    "refuses %s, which does not hold the text once",
    (source) => {
      expect(() => promptTemplate(source)).toThrow(ConfigError);
    },
  );

  it("refuses a relation prompt where the entities are not marked", () => {
    const template = promptTemplate("relation");
    const fill = (text: string) => () => fillPrompt(template, { text });
    expect(fill("[E11] Ada was born in [E21] London [E22]")).toThrow("no entity between [E11] and [E12]");
    expect(fill("[E11] Ada [E12] was born")).toThrow(DataError);
  });
});

describe("the tokens of a prompt", () => {
  const template = promptTemplate("default");
  const example = { text: "please put the blue chairs on my shopping list before noon" };

  it("has special tokens before it and none behind", () => {
    const { ids, truncated } = encodePrompt(roberta, template, example, 100);
    const whole = roberta.encode({ text: fillPrompt(template, example) }, 100).ids;
    expect(ids).toEqual(whole.slice(0, -1));
    expect(truncated).toBe(false);
  });

  it("cuts the text, never the words behind it", () => {
    const full = encodePrompt(roberta, template, example, 100).ids;
    const tail = openTextIds(roberta, template.tail).slice(1);
    for (let room = full.length - 1; room >= full.length - 12; room--) {
      const { ids, truncated } = encodePrompt(roberta, template, example, room);
      expect(truncated).toBe(true);
      expect(ids.length).toBeLessThanOrEqual(room);
      expect(ids.length).toBeGreaterThan(room - 4);
      expect(ids.slice(-tail.length)).toEqual(tail);
      expect(
        fillPrompt(template, example).startsWith(roberta.decode(ids.slice(0, -tail.length)).trim()),
      ).toBe(true);
    }
  });

  it("has special tokens on both sides where a head reads it", () => {
    const whole = roberta.encode({ text: fillPrompt(template, example) }, 100);
    expect(encodePrompted(roberta, template, example, 100)).toEqual(whole);
    const cut = encodePrompted(roberta, template, example, whole.ids.length - 5);
    const tail = openTextIds(roberta, template.tail).slice(1);
    expect(cut.truncated).toBe(true);
    expect(cut.ids.length).toBeLessThanOrEqual(whole.ids.length - 5);
    expect(cut.ids.slice(-tail.length - 1)).toEqual([...tail, end]);
  });

  it("refuses a prompt that fills the whole length", () => {
    const least = encodePrompt(roberta, template, { text: "p" }, 100).ids.length;
    expect(encodePrompt(roberta, template, example, least).truncated).toBe(true);
    expect(() => encodePrompt(roberta, template, example, least - 1)).toThrow(ConfigError);
    expect(() => encodePrompt(roberta, template, example, least - 1)).toThrow(
      `there is room for ${least - 1}`,
    );
    expect(() => encodePrompt(roberta, template, { text: "" }, 3)).toThrow(ConfigError);
  });
});

describe("answers", () => {
  const template = promptTemplate("default");

  it("are the label's words with a space before them, and the end token", () => {
    const answers = encodeAnswers(roberta, template, ["book_flight", "translate"], end);
    expect([...answers.keys()]).toEqual(["book_flight", "translate"]);
    const prompt = fillPrompt(template, { text: "x" });
    for (const [label, ids] of answers) {
      const whole = openTextIds(roberta, `${prompt} ${labelText(label)}`);
      expect([...openTextIds(roberta, prompt), ...ids.slice(0, -1)]).toEqual(whole);
      expect(ids.at(-1)).toBe(end);
    }
  });

  it("are the same behind a prompt without words of its own", () => {
    const labels = ["book_flight", "translate"];
    expect(encodeAnswers(roberta, promptTemplate("none"), labels, end)).toEqual(
      encodeAnswers(roberta, template, labels, end),
    );
  });

  it.each([
    ["", "have no tokens"],
    ["__", "have no tokens"],
    ["a</s>b", "hold the end token"],
  ])("refuses the label %j, whose words %s", (label, reason) => {
    expect(() => encodeAnswers(roberta, template, ["fine", label], end)).toThrow(DataError);
    expect(() => encodeAnswers(roberta, template, ["fine", label], end)).toThrow(reason);
  });

  it.each([
    ["book_flight", "book flight"],
    ["Book", "book"],
    ["book", "book_"],
  ])("refuses two labels with the same words: %s, %s", (one, other) => {
    expect(() => encodeAnswers(roberta, template, ["x", one, "y", other], end)).toThrow(
      `labels "${one}" and "${other}" have the same words`,
    );
  });

  const title = absent
    ? "follow a Llama's prompt as if tokenised with it (skipped: ../shared/models/stories260k is absent)"
    : "follow a Llama's prompt as if tokenised with it";
  it.skipIf(absent)(title, async () => {
    const stories = await loadTokenizer(storiesFolder);
    expect(stories.endId).toBe(2);
    for (const source of ["default", "none"]) {
      const answers = encodeAnswers(stories, promptTemplate(source), ["happy_dog", "Sad"], 2);
      const prompt = fillPrompt(promptTemplate(source), { text: "Tim ran." });
      for (const [label, ids] of answers)
        expect([...openTextIds(stories, prompt), ...ids.slice(0, -1)]).toEqual(
          openTextIds(stories, `${prompt} ${labelText(label)}`),
        );
    }
  });
});
