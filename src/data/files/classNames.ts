/** Names of classes that a data set writes as numbers: `ClassLabel` of Hugging Face's datasets. */
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parse as parseYaml } from "yaml";
import { readJson, readLines } from "./lines.ts";
import { parquetNote } from "./parquet.ts";
import { extensionOf, isRecord } from "./rows.ts";

/** By column the names of its numbers. */
export interface ClassNames {
  readonly byColumn: ReadonlyMap<string, readonly string[]>;
  /** The file that has them. */
  readonly from: string;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

/** The names of a feature: of a class, or of a list of classes. Names of a card are an object by number. */
function namesOf(feature: unknown): readonly string[] | undefined {
  if (Array.isArray(feature)) return namesOf(feature[0]);
  if (!isRecord(feature)) return undefined;
  const { names } = feature;
  if (isTexts(names)) return names;
  if (isRecord(names)) {
    const numbered = Object.entries(names).sort(([a], [b]) => Number(a) - Number(b));
    return numbered.map(([, name]) => String(name));
  }
  const inner = feature.feature ?? feature.sequence ?? feature.list ?? feature.dtype ?? feature.class_label;
  return namesOf(inner);
}

/** Features by name, or a card's list of features with a name each. */
function columnsOf(features: unknown): Map<string, readonly string[]> {
  const entries: readonly (readonly [unknown, unknown])[] = Array.isArray(features)
    ? features.map((feature: unknown) => [isRecord(feature) ? feature.name : undefined, feature] as const)
    : isRecord(features)
      ? Object.entries(features)
      : [];
  const found = new Map<string, readonly string[]>();
  for (const [column, feature] of entries) {
    const names = namesOf(feature);
    if (typeof column === "string" && names !== undefined) found.set(column, names);
  }
  return found;
}

/** A description of one data set, or of several by their names; a column that two name otherwise has no names. */
function fromInfo(info: unknown): Map<string, readonly string[]> {
  if (isRecord(info) && info.features !== undefined) return columnsOf(info.features);
  const all = Array.isArray(info) ? info : isRecord(info) ? Object.values(info) : [];
  const found = new Map<string, readonly string[]>();
  const torn = new Set<string>();
  for (const each of all) {
    if (!isRecord(each) || each.features === undefined) continue;
    for (const [column, names] of columnsOf(each.features)) {
      const before = found.get(column);
      if (before !== undefined && before.join("\n") !== names.join("\n")) torn.add(column);
      found.set(column, names);
    }
  }
  for (const column of torn) found.delete(column);
  return found;
}

/** The YAML between the `---` at a card's beginning. */
async function readCard(path: string): Promise<unknown> {
  const lines: string[] = [];
  for await (const { number, text } of readLines(path)) {
    const line = text.trimEnd();
    if (number === 1 && line !== "---") return undefined;
    if (number > 1 && line === "---") break;
    if (number > 1) lines.push(line);
  }
  const card: unknown = parseYaml(lines.join("\n"));
  return isRecord(card) ? card.dataset_info : undefined;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

const beside = [
  ["dataset_info.json", readJson],
  ["dataset_infos.json", readJson],
  ["README.md", readCard],
] as const;

/**
 * The names of a file's numbers: in a Parquet file itself, else in the data set's description beside it
 * (`dataset_info.json`, `dataset_infos.json`, or the card `README.md`).
 * @returns undefined where nothing names them
 */
export async function readClassNames(path: string): Promise<ClassNames | undefined> {
  if (extensionOf(path) === ".parquet") {
    const note = await parquetNote(path, "huggingface");
    const described: unknown = note === undefined ? undefined : JSON.parse(note);
    const byColumn = fromInfo(isRecord(described) ? described.info : undefined);
    if (byColumn.size > 0) return { byColumn, from: basename(path) };
  }
  for (const [name, read] of beside) {
    const description = join(dirname(path), name);
    if (!(await isFile(description))) continue;
    const byColumn = fromInfo(await read(description));
    if (byColumn.size > 0) return { byColumn, from: description };
  }
  return undefined;
}
