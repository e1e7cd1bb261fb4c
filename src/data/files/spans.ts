/** Entities by their places in a text, to tags of its words and back. */
import { DataError } from "../../core/errors.ts";
import { OUTSIDE } from "./tags.ts";
import { cutWords } from "./words.ts";

const hint = "An entity is { start, end, label }: from its first character up to, not including, end.";

interface Span {
  readonly start: number;
  readonly end: number;
  readonly type: string;
  /** For messages: its number, from 1, and what it covers. */
  readonly called: string;
}

/** By code point (and at the end) its place in UTF-16 code units. */
function placesOfCodePoints(text: string): readonly number[] {
  const places: number[] = [];
  let at = 0;
  for (const character of text) {
    places.push(at);
    at += character.length;
  }
  places.push(at);
  return places;
}

interface Counting {
  /** Places of characters in UTF-16 code units; undefined where they are counted so. */
  readonly places: readonly number[] | undefined;
  readonly unit: string;
  readonly length: number;
}

/** `label` stands in files of other tools, which count characters (code points); `type` in what `predict --json` prints, which counts as JavaScript does. */
function countingOf(text: string, entity: Readonly<Record<string, unknown>>): Counting {
  if (entity.label === undefined)
    return { places: undefined, unit: "UTF-16 code units", length: text.length };
  const places = placesOfCodePoints(text);
  return { places, unit: "characters", length: places.length - 1 };
}

function readSpan(
  text: string,
  entity: Readonly<Record<string, unknown>>,
  place: string,
  number: number,
): Span {
  const { start, end, label, type = label, word } = entity;
  const where = `${place}, entity ${number}`;
  if (typeof type !== "string" || type.trim() === "")
    throw new DataError(`${where}: label must be a name, got ${JSON.stringify(type) ?? "nothing"}`, { hint });
  const { places, unit, length } = countingOf(text, entity);
  if (
    typeof start !== "number" ||
    typeof end !== "number" ||
    !Number.isInteger(start) ||
    !Number.isInteger(end)
  )
    throw new DataError(`${where}: start and end must be whole numbers`, { hint });
  if (start < 0 || end > length || start >= end)
    throw new DataError(`${where}: ${start}–${end} is no place in a text of ${length} ${unit}`, { hint });
  const [from, to] = [places?.[start] ?? start, places?.[end] ?? end];
  const covered = text.slice(from, to);
  if (typeof word === "string" && word !== covered)
    throw new DataError(
      `${where}: ${start}–${end} covers ${JSON.stringify(covered)}, not ${JSON.stringify(word)}`,
      {
        hint: `Places are counted in ${unit}.`,
      },
    );
  return { start: from, end: to, type, called: `${where}: ${JSON.stringify(covered)} (${start}–${end})` };
}

/** Without blanks at its edges. */
function trim(text: string, span: Span): Span {
  const covered = text.slice(span.start, span.end);
  const start = span.start + covered.length - covered.trimStart().length;
  return { ...span, start, end: start + covered.trim().length };
}

export interface TaggedWords {
  readonly words: readonly string[];
  readonly tags: readonly string[];
  /** Entities that had blanks at their edges. */
  readonly trimmed: number;
}

/**
 * Cuts a text into words, and gives each its tag.
 * @param entities `{ start, end, label }` in characters (code points), as other tools count; or `{ start, end, type }` in
 *   UTF-16 code units, as `predict --json` does. A `word` is compared with what lies there.
 * @throws DataError naming the entity: no place in the text, overlapping, or beginning or ending inside a word
 */
export function spansToTags(
  text: string,
  entities: readonly Readonly<Record<string, unknown>>[],
  place: string,
): TaggedWords {
  const { words, starts } = cutWords(text);
  const given = entities.map((entity, i) => readSpan(text, entity, place, i + 1));
  const tight = given.map((span) => trim(text, span));
  const trimmed = tight.filter(
    ({ start, end }, i) => start !== given[i]?.start || end !== given[i]?.end,
  ).length;
  const spans = tight.toSorted((a, b) => a.start - b.start || a.end - b.end);
  const ends = words.map((word, i) => (starts[i] ?? 0) + word.length);
  const tags = words.map(() => OUTSIDE);
  let before: Span | undefined;
  for (const span of spans) {
    const { called, type } = span;
    if (span.start === span.end) throw new DataError(`${called} holds nothing but blanks`, { hint });
    if (before !== undefined && span.start < before.end)
      throw new DataError(`${called} overlaps another entity, which ends at ${before.end}`, {
        hint: "A word has one tag: keep one of the two.",
      });
    const [first, last] = [starts.indexOf(span.start), ends.indexOf(span.end)];
    if (first < 0 || last < 0) {
      const cut = words.find((word, i) => {
        const from = starts[i] ?? 0;
        const edge = first < 0 ? span.start : span.end;
        return from < edge && edge < from + word.length;
      });
      throw new DataError(
        `${called} ${first < 0 ? "begins" : "ends"} inside the word ${JSON.stringify(cut)}`,
        {
          hint: "Entities are made of whole words: correct the place, or give tokens and tags in place of text.",
        },
      );
    }
    for (let i = first; i <= last; i++) tags[i] = `${i === first ? "B" : "I"}-${type}`;
    before = span;
  }
  return { words, tags, trimmed };
}

/** Entities as other tools read them: places in characters (code points). */
export function toCharacterSpans(
  text: string,
  entities: readonly { readonly type: string; readonly start: number; readonly end: number }[],
): readonly { readonly start: number; readonly end: number; readonly label: string }[] {
  const places = placesOfCodePoints(text);
  return entities.map(({ type, start, end }) => ({
    start: places.indexOf(start),
    end: places.indexOf(end),
    label: type,
  }));
}
