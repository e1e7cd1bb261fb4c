import { readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import type { z } from "zod";
import { DataError } from "../../core/errors.ts";
import { readJson, unreadable } from "../../data/files/lines.ts";
import type { Splits } from "../../data/files/types.ts";

export interface RawFolder {
  readonly dataset: string;
  readonly path: string;
  /** The files expected, in words, for messages. */
  readonly expected: readonly string[];
}

/** @throws DataError naming what is missing and all that is expected */
export function missing(raw: RawFolder, what: string): never {
  throw new DataError(`${raw.dataset}: ${raw.path} has no ${what}`, {
    hint: `Expected there: ${raw.expected.join("; ")}. docs/prepare.md says where they come from.`,
  });
}

export async function openRawFolder(raw: RawFolder): Promise<RawFolder> {
  const found = await stat(raw.path).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new DataError(`${raw.dataset}: ${raw.path} is no folder`, {
      hint: `--from names the folder that holds ${raw.expected.join("; ")}.`,
    });
  return raw;
}

/** Under any of these names: publishers and mirrors call the same file differently. */
export async function findFile(raw: RawFolder, ...names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    const path = join(raw.path, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true) return path;
  }
  return undefined;
}

export async function requireFile(raw: RawFolder, ...names: readonly string[]): Promise<string> {
  return (await findFile(raw, ...names)) ?? missing(raw, names.join(" or "));
}

/**
 * The files below the folder, sorted by path, so that the order depends on no file system.
 * @param ending of their names
 * @param isWanted by the names of the folders that a file is in, the outermost first
 */
export async function filesBelow(
  raw: RawFolder,
  ending: string,
  isWanted: (folders: readonly string[]) => boolean,
): Promise<string[]> {
  const entries = await readdir(raw.path, { recursive: true }).catch((cause: unknown) => {
    throw unreadable(raw.path, cause);
  });
  const wanted = entries.filter((path) => path.endsWith(ending) && isWanted(path.split(sep).slice(0, -1)));
  return wanted.map((path) => join(raw.path, path)).sort();
}

export async function readSplits<T>(
  read: (split: keyof Splits<T>) => Promise<readonly T[]>,
): Promise<Splits<T>> {
  return { train: await read("train"), validation: await read("validation"), test: await read("test") };
}

/** What went wrong in a file that is there, but is not as published. */
export function misshapen(raw: RawFolder, path: string, why: string, cause?: unknown): DataError {
  return new DataError(`${raw.dataset}: ${path}: ${why}`, {
    hint: "The file is not as its publisher made it; docs/prepare.md describes the format.",
    cause,
  });
}

/** @throws DataError naming the file and what in it is not of the publisher's form */
export async function parseJsonFile<T>(raw: RawFolder, path: string, schema: z.ZodType<T>): Promise<T> {
  const result = schema.safeParse(await readJson(path));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue === undefined ? "" : `${issue.path.map(String).join(".")}: ${issue.message}`;
  throw misshapen(raw, path, where, result.error);
}
