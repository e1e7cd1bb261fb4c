/**
 * Pages of a long manifest. The tasks of a store that has many are divided into files under their hash, which versions
 * share: a change writes the page that it touches and the short text that names all pages, not every task anew.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { StoreError } from "../core/errors.ts";
import { type FileSystem, nodeFileSystem, writeFilesAtomic } from "../io/atomic.ts";
import { sha256 } from "../io/hash.ts";
import { listFolder } from "./listing.ts";

export const pagesFolder = "tasks";
const pageFile = /^([0-9a-f]{64})(\.copy)?\.json$/;

/** A manifest of so many tasks holds all of them itself. */
const mostInline = 64;
/** Tasks of a page, on average and at most. */
const usual = 32;
const most = 128;

/** FNV-1a. */
function spread(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return (hash ^ (hash >>> 15)) >>> 0;
}

/**
 * Divides tasks into pages, and those that the manifest holds itself. A page ends where a task's own name says so: one task
 * more or less changes the page that it is in, and no other.
 */
export function divide<T extends { readonly slug: string }>(
  tasks: readonly T[],
): { readonly pages: readonly (readonly T[])[]; readonly rest: readonly T[] } {
  if (tasks.length <= mostInline) return { pages: [], rest: tasks };
  const pages: T[][] = [];
  let rest: T[] = [];
  for (const task of tasks) {
    rest.push(task);
    if (spread(task.slug) % usual !== 0 && rest.length < most) continue;
    pages.push(rest);
    rest = [];
  }
  return { pages, rest };
}

/** Every page is kept twice, since all versions hang on it. */
export function pagePaths(root: string, hash: string): readonly string[] {
  return [`${hash}.json`, `${hash}.copy.json`].map((name) => join(root, pagesFolder, name));
}

async function wholeText(path: string, hash: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text !== undefined && sha256(text) === hash ? text : undefined;
}

/** The text of a page, of whichever copy is whole. @throws StoreError STORE_DAMAGED where none is */
export async function readPage(root: string, hash: string, hint: string): Promise<string> {
  const [first = "", second = ""] = pagePaths(root, hash);
  const text = (await wholeText(first, hash)) ?? (await wholeText(second, hash));
  if (text !== undefined) return text;
  throw new StoreError(`${first}: is missing or damaged, and so is its copy`, {
    code: "STORE_DAMAGED",
    hint,
  });
}

/** Copies of a page that are missing or damaged. */
export async function damagedCopies(root: string, hash: string): Promise<readonly string[]> {
  const damaged: string[] = [];
  for (const path of pagePaths(root, hash))
    if ((await wholeText(path, hash)) === undefined) damaged.push(path);
  return damaged;
}

/** @param pages hash → text */
export async function writePages(
  root: string,
  pages: ReadonlyMap<string, string>,
  fs: FileSystem = nodeFileSystem,
): Promise<void> {
  if (pages.size === 0) return;
  await fs.makeFolder(join(root, pagesFolder));
  const copies = [...pages].flatMap(([hash, text]) =>
    pagePaths(root, hash).map((path) => [path, text] as const),
  );
  await writeFilesAtomic(new Map(copies), { fs });
}

/** Files of pages that nobody names. One that is not what its name says is not ours. */
export async function unnamedPages(root: string, named: ReadonlySet<string>): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await listFolder(join(root, pagesFolder))) {
    const hash = pageFile.exec(name)?.[1];
    if (hash === undefined || named.has(hash)) continue;
    const path = join(root, pagesFolder, name);
    if ((await wholeText(path, hash)) !== undefined) found.push(path);
  }
  return found;
}
