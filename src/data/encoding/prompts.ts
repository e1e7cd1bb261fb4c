/** Prompts that ask a language model for a label, and the answers that it learns to give. */
import { ConfigError, DataError } from "../../core/errors.ts";
import type { Example } from "../files/types.ts";
import { type Encoding, excerpt, type Tokenizer, type Window } from "./tokenizer.ts";

export const promptNames = ["default", "qa", "relation", "relation-qa", "relation-no-pos", "none"] as const;
export type PromptName = (typeof promptNames)[number];

/** Where a configuration names none, and its head wants one. */
export const DEFAULT_PROMPT: PromptName = "default";

/**
 * The wording of the original benchmark. `{text}` is the sentence; in the relation prompts its entity markers are taken
 * out, and `{head}` and `{tail}` are what they marked.
 */
const wordings: { readonly [N in PromptName]: string } = {
  default: "Input sentence: {text}\n The label:",
  qa: "Question: {text}\n Short Answer:",
  relation: "Input sentence: {text}\n The relationship between {head} and {tail} is",
  "relation-qa":
    "Input sentence: {text}\n Question: What is the relationship between {head} and {tail}?\n Answer:",
  "relation-no-pos": "Input sentence: {text}\n The relationship:",
  none: "{text}",
};

const places = /\{(text|head|tail)\}/g;

export interface PromptTemplate {
  /** A name, or the user's own wording: what a configuration calls `prompt`. */
  readonly source: string;
  readonly wording: string;
  /** What follows the last place: the words right before the answer. */
  readonly tail: string;
  /** Whether texts bring entity markers, `[E11] head [E12] … [E21] tail [E22]`, which the prompt leaves out. */
  readonly marked: boolean;
}

function isPromptName(name: string): name is PromptName {
  return Object.hasOwn(wordings, name);
}

/** Whether a configuration's `prompt` is a known name, or a wording with one `{text}`. */
export function isPrompt(source: string): boolean {
  return isPromptName(source) || source.split("{text}").length === 2;
}

/**
 * @param source a name of `promptNames`, or a wording with `{text}` where the sentence goes, and where the sentences
 *   have entity markers `{head}` and `{tail}`
 * @throws ConfigError if it is neither
 */
export function promptTemplate(source: string): PromptTemplate {
  if (!isPrompt(source))
    throw new ConfigError(`prompt: ${JSON.stringify(source)} has no place for the text`, {
      issues: [
        {
          path: "prompt",
          expected: `${promptNames.join(", ")}, or a text with {text} once`,
          received: JSON.stringify(source),
        },
      ],
    });
  const wording = isPromptName(source) ? wordings[source] : source;
  const tail = wording.slice(wording.lastIndexOf("}") + 1);
  return { source, wording, tail, marked: source === "relation-no-pos" || /\{(head|tail)\}/.test(wording) };
}

interface Filling {
  readonly text: string;
  readonly head: string;
  readonly tail: string;
}

/** The words between two markers. @throws DataError naming the marker that is missing. */
function between(text: string, from: string, to: string): string {
  const [start, end] = [text.indexOf(from), text.indexOf(to)];
  if (start < 0 || end < start)
    throw new DataError(`the text ${excerpt(text)} has no entity between ${from} and ${to}`, {
      hint: `A relation prompt wants both entities marked: [E11] head [E12] and [E21] tail [E22].`,
    });
  return text
    .slice(start + from.length, end)
    .replace(/\[E[12][12]\]/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

function fillingOf(template: PromptTemplate, { text, textPair }: Example): Filling {
  const whole = textPair === undefined ? text : `${text} ${textPair}`;
  if (!template.marked) return { text: whole, head: "", tail: "" };
  const head = between(whole, "[E11]", "[E12]");
  const tail = between(whole, "[E21]", "[E22]");
  const bare = whole.replace(/ ?\[E[12][12]\](?= |$)/g, "").replace(/\[E[12][12]\] ?/g, "");
  return { text: bare.trim(), head, tail };
}

function fill({ wording }: PromptTemplate, filling: Filling): string {
  return wording.replace(places, (_, place: keyof Filling) => filling[place]);
}

/** The prompt's words. @throws DataError if a relation prompt's text has no entity markers. */
export function fillPrompt(template: PromptTemplate, example: Example): string {
  return fill(template, fillingOf(template, example));
}

/**
 * The tokens of a text that is to be continued: special tokens before it, none behind.
 * @throws DataError if there is not a single one
 */
export function openTextIds(tokenizer: Tokenizer, text: string): readonly number[] {
  const frame = tokenizer.frame([]);
  const behind = frame.ids.length - frame.start;
  const { ids } = tokenizer.encode({ text }, Number.MAX_SAFE_INTEGER);
  return ids.slice(0, ids.length - behind);
}

/** Special tokens included: what the answer follows. */
export type PromptEncoding = Pick<Encoding, "ids" | "truncated">;

/** An example's text in a prompt, letter by letter. */
class PromptedText {
  readonly letters: readonly string[];
  private readonly filling: Filling;
  private readonly template: PromptTemplate;
  private readonly tokenize: (text: string) => readonly number[];

  constructor(tokenize: (text: string) => readonly number[], template: PromptTemplate, example: Example) {
    this.tokenize = tokenize;
    this.template = template;
    this.filling = fillingOf(template, example);
    this.letters = [...this.filling.text];
  }

  /** Tokens of the prompt with a part of the text in it. */
  idsOf(from: number, to: number): readonly number[] {
    const text = this.letters.slice(from, to).join("");
    return this.tokenize(fill(this.template, { ...this.filling, text }));
  }

  /**
   * Where the text must end that begins at a letter.
   * @param tooLong an end that is too far
   * @throws ConfigError if the template leaves no room for a letter
   */
  fittingEnd(from: number, tooLong: number, maxTokens: number): number {
    // Fewer letters hardly ever make more tokens, and where they do the text is cut a letter or two too far.
    let [fits, beyond] = [from, tooLong];
    while (beyond - fits > 1) {
      const middle = (fits + beyond) >> 1;
      if (this.idsOf(from, middle).length <= maxTokens) fits = middle;
      else beyond = middle;
    }
    if (fits > from) return fits;
    throw new ConfigError(
      `prompt ${excerpt(this.template.source)}: takes ${this.idsOf(from, from + 1).length} tokens with no more than a letter of the text, and there is room for ${Math.max(0, maxTokens)}`,
      { hint: "Raise training.maxLength, or shorten the prompt." },
    );
  }
}

function cutToFit(text: PromptedText, maxTokens: number): PromptEncoding {
  const { length } = text.letters;
  const whole = text.idsOf(0, length);
  if (whole.length <= maxTokens) return { ids: whole, truncated: false };
  return { ids: text.idsOf(0, text.fittingEnd(0, length, maxTokens)), truncated: true };
}

/**
 * A prompt's tokens. A text that is too long is cut at its end, inside the prompt: the words around it stay whole.
 * @param maxTokens what the prompt may take, special tokens included
 * @throws ConfigError if the template leaves no room for the text
 */
export function encodePrompt(
  tokenizer: Tokenizer,
  template: PromptTemplate,
  example: Example,
  maxTokens: number,
): PromptEncoding {
  const text = new PromptedText((words) => openTextIds(tokenizer, words), template, example);
  return cutToFit(text, maxTokens);
}

/**
 * The same for a head that reads the prompt: a whole text, with special tokens behind it where the tokenizer puts some.
 * @throws ConfigError if the template leaves no room for the text
 */
export function encodePrompted(
  tokenizer: Tokenizer,
  template: PromptTemplate,
  example: Example,
  maxTokens: number,
): Encoding {
  const { ids, truncated } = cutToFit(promptedText(tokenizer, template, example), maxTokens);
  return { ids, typeIds: ids.map(() => 0), truncated };
}

function promptedText(tokenizer: Tokenizer, template: PromptTemplate, example: Example): PromptedText {
  const wholeIds = (text: string) => tokenizer.encode({ text }, Number.MAX_SAFE_INTEGER).ids;
  return new PromptedText(wholeIds, template, example);
}

/**
 * A text in as many prompts as it takes, each with the next part of it.
 * @throws ConfigError if the template leaves no room for the text
 */
export function promptedWindows(
  tokenizer: Tokenizer,
  template: PromptTemplate,
  example: Example,
  maxTokens: number,
): readonly Window[] {
  const text = promptedText(tokenizer, template, example);
  const { length } = text.letters;
  const empty = text.idsOf(0, 0).length;
  const windows: Window[] = [];
  for (let from = 0; from < length; ) {
    // Far enough for nearly all scripts, and no search over what is a whole book.
    let reach = Math.min(length, from + 4 * maxTokens);
    while (reach < length && text.idsOf(from, reach).length <= maxTokens)
      reach = Math.min(length, from + 2 * (reach - from));
    const rest = reach === length && text.idsOf(from, length).length <= maxTokens;
    const end = rest ? length : text.fittingEnd(from, reach, maxTokens);
    const ids = text.idsOf(from, end);
    const textTokens = Math.max(1, ids.length - empty);
    windows.push({ ids, typeIds: ids.map(() => 0), truncated: false, textTokens });
    from = end;
  }
  return windows;
}

/** The words of a label: `_` becomes a space. */
export function labelText(label: string): string {
  return label.replaceAll("_", " ").trim();
}

/** What two answers are compared by: stripped, in lower case. */
export function normaliseAnswer(text: string): string {
  return text.trim().toLowerCase();
}

/** What an answer adds to the prompt's tokens: the same behind every text, for it follows the template's own words. */
function continuationIds(tokenizer: Tokenizer, template: PromptTemplate, text: string): readonly number[] {
  const anchor = template.tail.trim() === "" ? "." : template.tail;
  const before = openTextIds(tokenizer, anchor);
  const joined = openTextIds(tokenizer, `${anchor} ${text}`);
  const follows = before.every((id, i) => joined[i] === id);
  return follows ? joined.slice(before.length) : tokenizer.encodeWord(text);
}

/**
 * The tokens that a model learns to answer: each label's words, a space before them, and the end token.
 * @param labels each once; order is kept
 * @throws DataError if a label's words have no tokens, or two labels have the same words
 */
export function encodeAnswers(
  tokenizer: Tokenizer,
  template: PromptTemplate,
  labels: readonly string[],
  endId: number,
): ReadonlyMap<string, readonly number[]> {
  const answers = new Map<string, readonly number[]>();
  const takenBy = new Map<string, string>();
  const claim = (what: string, label: string) => {
    const other = takenBy.get(what);
    if (other !== undefined)
      throw new DataError(
        `labels ${JSON.stringify(other)} and ${JSON.stringify(label)} have the same words: an answer could be either`,
        { hint: "Without a head a label is known by its words alone: give one of them another name." },
      );
    takenBy.set(what, label);
  };
  for (const label of labels) {
    const text = labelText(label);
    const ids = text === "" ? [] : continuationIds(tokenizer, template, text);
    if (ids.length === 0 || ids.includes(endId))
      throw new DataError(
        `label ${JSON.stringify(label)}: its words ${ids.length === 0 ? "have no tokens" : "hold the end token"}, so it cannot be an answer`,
        { hint: "Without a head a label is its words: give it a name that can be read." },
      );
    claim(`text ${normaliseAnswer(text)}`, label);
    claim(`ids ${ids.join()}`, label);
    answers.set(label, [...ids, endId]);
  }
  return answers;
}
