/** Tagged sentences in rows: words with tags, or a text with entities by their places in it. */
import { DataError } from "../../core/errors.ts";
import { type ClassNames, readClassNames } from "./classNames.ts";
import type { TaggedFile } from "./conll.ts";
import { isRecord, type Row, type RowFormat, readRows } from "./rows.ts";
import { spansToTags } from "./spans.ts";
import { type TaggedSentence, TagReader } from "./tags.ts";

const hint =
  'A line holds {"tokens": ["…"], "ner_tags": ["…"]} (or words and tags), or {"text": "…", "entities": [{"start": 0, "end": 4, "label": "…"}]}.';

const wordKeys = ["tokens", "words"] as const;
const tagKeys = ["ner_tags", "tags"] as const;

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

/** Tags by name: as they stand, or numbers by the names that the data set's description has. */
function namedTags(
  given: readonly unknown[],
  column: string,
  place: string,
  names: ClassNames | undefined,
): string[] {
  return given.map((tag, i) => {
    if (typeof tag === "string") return tag;
    const where = `${place}, word ${i + 1}`;
    if (typeof tag !== "number")
      throw new DataError(`${where}: a tag must be a name, got ${JSON.stringify(tag)}`, { hint });
    const known = names?.byColumn.get(column);
    if (known === undefined)
      throw new DataError(`${where}: the tag is the number ${tag}, and nothing says its name`, {
        hint: `Write the names, or put dataset_info.json beside the file: {"features": {"${column}": {"feature": {"names": ["O", "B-…"], "_type": "ClassLabel"}, "_type": "Sequence"}}}.`,
      });
    const name = known[tag];
    if (name === undefined)
      throw new DataError(`${where}: the tag ${tag} has no name: ${names?.from} has ${known.length}`, {
        hint,
      });
    return name;
  });
}

function refuseRow({ place, fields }: Row): never {
  const { text, label } = fields;
  if (typeof text === "string" && typeof label === "string")
    throw new DataError(`${place}: words are tagged here, and that is a labelled text`, { hint });
  throw new DataError(
    `${place}: has neither tokens with ner_tags (or tags), nor text with entities; it has ${Object.keys(fields).join(", ") || "nothing"}`,
    { hint },
  );
}

/**
 * Reads tagged sentences from JSONL or Parquet: `tokens` (or `words`) with `ner_tags` (or `tags`), names or numbers; or
 * `text` with `entities`, each `{ start, end, label }` with places in the text, which is cut into words as
 * `predict` does.
 * @throws DataError naming the row, and the word or the entity, of what cannot be used
 */
export async function readTaggedRows(path: string, format?: RowFormat): Promise<TaggedFile> {
  const reader = new TagReader(path);
  const sentences: TaggedSentence[] = [];
  let names: ClassNames | undefined;
  let asked = false;
  let trimmed = 0;
  for await (const row of readRows(path, format, [])) {
    const { place, fields } = row;
    const wordKey = wordKeys.find((key) => fields[key] !== undefined);
    const tagKey = tagKeys.find((key) => fields[key] !== undefined);
    if (wordKey !== undefined && tagKey !== undefined) {
      const [words, given] = [fields[wordKey], fields[tagKey]];
      if (!isTexts(words)) throw new DataError(`${place}: ${wordKey} must be a list of words`, { hint });
      if (!Array.isArray(given)) throw new DataError(`${place}: ${tagKey} must be a list of tags`, { hint });
      if (words.length !== given.length)
        throw new DataError(`${place}: ${words.length} words, but ${given.length} tags`, { hint });
      if (!asked && given.some((tag) => typeof tag === "number")) {
        names = await readClassNames(path);
        asked = true;
      }
      const tags = namedTags(given, tagKey, place, names);
      const where = place.slice(path.length + 2);
      if (words.length > 0)
        sentences.push({ words, tags: reader.read(tags, (i) => `${where}, word ${i + 1}`) });
    } else if (typeof fields.text === "string" && Array.isArray(fields.entities)) {
      const tagged = spansToTags(fields.text, fields.entities.filter(isRecord), place);
      if (fields.entities.some((entity) => !isRecord(entity)))
        throw new DataError(`${place}: an entity must be an object { start, end, label }`, { hint });
      trimmed += tagged.trimmed;
      if (tagged.words.length > 0) sentences.push({ words: tagged.words, tags: tagged.tags });
    } else refuseRow(row);
  }
  return {
    sentences,
    notes: [
      ...reader.notes,
      ...(names === undefined ? [] : [`${path}: the tags are numbers, named by ${names.from}.`]),
      ...(trimmed === 0
        ? []
        : [
            `${path}: blanks at the edges of ${trimmed} ${trimmed === 1 ? "entity" : "entities"} were left out.`,
          ]),
    ],
  };
}
