/** `manifest.json`: what a run or store folder holds, by id and hash. */
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { formatPath } from "../config/issues.ts";
import { errorCode, StoreError } from "../core/errors.ts";
import { sha256 } from "../io/hash.ts";
import { poolingKinds } from "../nn/features.ts";
import { divide, readPage } from "./pages.ts";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const slug = z.string().regex(/^[a-z0-9_][a-z0-9._-]{0,63}$/);
/** Inside the run folder, and never out of it. */
const adapterFolder = z.string().regex(/^adapters\/[a-z0-9_][a-z0-9._-]*$/);
/** File name → SHA-256 of its bytes. */
const fileHashes = z.record(z.string().regex(/^[\w.-]+$/), hash).readonly();

const taskSchema = z
  .strictObject({
    /** The true name; the slug is only its folder. */
    name: z.string(),
    slug,
    /** In slot order. */
    labels: z.array(z.string()).readonly(),
    adapter: z
      .strictObject({
        folder: adapterFolder,
        /** SHA-256 over the names and hashes of the files: the adapter's identity is its content. */
        id: hash,
        files: fileHashes,
      })
      .readonly(),
    /** Folders of statistics alone: rows that came later. */
    segments: z
      .array(z.strictObject({ folder: adapterFolder, files: fileHashes }).readonly())
      .min(1)
      .readonly()
      .optional(),
    /** The folder holds statistics and no adapter: its classes are told apart from frozen features alone. */
    statisticsOnly: z.literal(true).optional(),
    /** Where the adapter was trained, if not on the processor. */
    trainedOn: z.literal("webgpu").optional(),
    /** How many classes the adapter saw in training that the store has forgotten since; their names are gone. */
    forgotten: z.int().min(1).optional(),
  })
  .readonly();

/** Which version of a folder that goes on learning this is. */
const storeSchema = z
  .strictObject({
    version: z.int().min(1),
    /** The version that `rollback` goes back to; absent where there is none. */
    parent: z.int().min(1).optional(),
    /** What made this version of its parent, in words. */
    change: z.string(),
    /** ISO 8601 in UTC; empty of what was an experiment. */
    time: z.string(),
    /** Settings that were changed since the folder was begun: key, with dots, → value. */
    settings: z.record(z.string(), z.json()).optional(),
  })
  .readonly();

const headerShape = {
  versions: z.strictObject({ accrete: z.string(), node: z.string(), engine: z.string() }).readonly(),
  backbone: z
    .strictObject({
      /** Path or hub id as configured. */
      source: z.string(),
      revision: z.string().optional(),
      hash,
      tokenizerHash: hash,
      architecture: z.string(),
    })
    .readonly(),
  /** Absent in a store that began empty: what it learns comes bit by bit. */
  dataHash: hash.optional(),
  configHash: hash,
  /** SHA-256 of the bytes of `config.resolved.yaml`; absent in folders of before it was kept. */
  settingsFile: hash.optional(),
  seed: z.int().min(0),
  /**
   * Of a run that was put together: engine, platform and processor features of the machines that computed it. One alone:
   * its bytes are those of a run on that machine; several: its numbers may differ from those in the last bits.
   */
  computedBy: z.array(z.string()).readonly().optional(),
  feature: z.strictObject({ pooling: z.enum(poolingKinds), normalize: z.boolean() }).readonly(),
};

const manifestHeaderSchema = z.strictObject(headerShape).readonly();

const manifestSchema = z
  .strictObject({
    /** 2 where tasks stand on pages, or have segments. */
    schemaVersion: z.literal([1, 2]),
    ...headerShape,
    /** Hashes of the pages that hold the tasks before those that stand here. */
    pages: z.array(hash).min(1).readonly().optional(),
    tasks: z.array(taskSchema).readonly(),
    /** Absent: the folder of an experiment that nobody taught anything since. */
    store: storeSchema.optional(),
  })
  .readonly();

/** What is known before the first task. */
export type ManifestHeader = z.infer<typeof manifestHeaderSchema>;
/** With all of its tasks, on whatever pages they stand. */
export type Manifest = Omit<z.infer<typeof manifestSchema>, "pages" | "schemaVersion">;
/** A finished task. */
export type ManifestTask = z.infer<typeof taskSchema>;
export type StoreVersion = z.infer<typeof storeSchema>;

export const manifestFile = "manifest.json";

/** Every folder of a task's files. */
export function foldersOf({ adapter, segments = [] }: ManifestTask) {
  return [adapter, ...segments];
}

/** The folder that a manifest is of. @param path of the present one, or of an earlier one in a folder below */
function rootOf(path: string): string {
  return basename(path) === manifestFile ? dirname(path) : dirname(dirname(path));
}

/** The text of a file; undefined where there is none. @throws StoreError where it cannot be read */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(cause) ?? "")) return undefined;
    throw new StoreError(`${path}: cannot be read`, { cause });
  }
}

/** @returns undefined where there is none. @throws StoreError where it is damaged or of a later version. */
export function readManifest(folder: string): Promise<Manifest | undefined> {
  return readManifestFile(join(folder, manifestFile));
}

/** As {@link readManifest}, of a file of any name. */
export async function readManifestFile(path: string): Promise<Manifest | undefined> {
  for (let text = await readIfThere(path); ; ) {
    if (text === undefined) return undefined;
    try {
      return await parseManifest(text, path);
    } catch (error) {
      // A purge takes pages away of the manifest that stood here.
      const now = await readIfThere(path);
      if (now === text) throw error;
      text = now;
    }
  }
}

/** The pages that a manifest names; none where it cannot be read. */
export async function readPageNames(path: string): Promise<readonly string[]> {
  const text = await readIfThere(path);
  return text === undefined ? [] : pageNamesOf(text);
}

const anySchema = z.looseObject({ schemaVersion: z.int() });
const pagedSchema = z.looseObject({ pages: z.array(hash) });

/** The pages that the text of a manifest names. */
export function pageNamesOf(text: string): readonly string[] {
  try {
    return pagedSchema.safeParse(JSON.parse(text)).data?.pages ?? [];
  } catch {
    return [];
  }
}

const newest = 2;

function hintFor(root: string): string {
  return `accrete check ${root} says what is whole; accrete repair ${root} goes back to it.`;
}

function parseAs<T>(schema: z.ZodType<T>, text: string, path: string): T {
  const hint = hintFor(rootOf(path));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new StoreError(`${path}: not valid JSON`, { code: "STORE_DAMAGED", cause, hint });
  }
  const versioned = anySchema.safeParse(json).data?.schemaVersion ?? newest;
  if (versioned > newest)
    throw new StoreError(
      `${path}: was written by a later version of Accrete: schema ${versioned}, this one reads up to ${newest}`,
      { code: "STORE_NEWER", hint: "Update Accrete: npm install accrete-lm@latest." },
    );
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new StoreError(`${path}: not a manifest of this version${whereOf(parsed.error)}`, {
    code: "STORE_DAMAGED",
    hint,
  });
}

/** Pages that were read last: most of a manifest is what the one before had. */
const pagesRead = new Map<string, readonly ManifestTask[]>();
const pagesKept = 256;

/** From here on pages are read from the disk: for whoever asks whether they are whole. */
export function forgetPages(): void {
  pagesRead.clear();
}

const pageSchema = z.array(taskSchema);

async function readTasks(root: string, page: string): Promise<readonly ManifestTask[]> {
  const known = pagesRead.get(page);
  pagesRead.delete(page);
  const tasks = known ?? parseAs(pageSchema, await readPage(root, page, hintFor(root)), join(root, page));
  pagesRead.set(page, tasks);
  const [oldest] = pagesRead.keys();
  if (pagesRead.size > pagesKept && oldest !== undefined) pagesRead.delete(oldest);
  return tasks;
}

/**
 * @param path of its file: pages lie beside it
 * @throws StoreError STORE_DAMAGED where it is no manifest or a page is damaged, STORE_NEWER where a later Accrete wrote it
 */
export async function parseManifest(text: string, path: string): Promise<Manifest> {
  const { schemaVersion: _, pages = [], tasks: rest, ...held } = parseAs(manifestSchema, text, path);
  const tasks: ManifestTask[] = [];
  for (const page of pages) tasks.push(...(await readTasks(rootOf(path), page)));
  tasks.push(...rest);
  for (const task of tasks) if (!checked.has(task)) checked.set(task, JSON.stringify(task));
  return { ...held, tasks };
}

function whereOf({ issues: [issue] }: z.ZodError, at: readonly PropertyKey[] = []): string {
  if (issue === undefined) return "";
  return ` at ${formatPath([...at, ...issue.path]) || "its root"}: ${issue.message}`;
}

/** Entries that the schema has let through → their text, in its order. */
const checked = new WeakMap<ManifestTask, string>();

function joined(tasks: readonly ManifestTask[]): string {
  return tasks.map((task) => checked.get(task)).join(",\n");
}

interface EncodedPage {
  readonly tasks: readonly ManifestTask[];
  readonly file: readonly [hash: string, text: string];
}

/** By the first entry of each: most pages are what they were. */
const encodedPages = new WeakMap<ManifestTask, EncodedPage>();

function encodePage(tasks: readonly ManifestTask[]): EncodedPage["file"] {
  const [first] = tasks;
  const known = first && encodedPages.get(first);
  if (known?.tasks.length === tasks.length && tasks.every((task, i) => task === known.tasks[i]))
    return known.file;
  const text = `[\n${joined(tasks)}\n]\n`;
  const file = [sha256(text), text] as const;
  if (first !== undefined) encodedPages.set(first, { tasks, file });
  return file;
}

/** A manifest as its files have it. */
export interface EncodedManifest {
  readonly text: string;
  /** Hash → text. */
  readonly pages: ReadonlyMap<string, string>;
}

/**
 * A manifest as its files have it, once the schema that reads them has let it through.
 * @throws StoreError where nobody could read it again: nothing is written then
 */
export function encodeManifest(manifest: Manifest, path: string): EncodedManifest {
  const check = <T>(schema: z.ZodType<T>, value: unknown, at: readonly PropertyKey[] = []): T => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const where = whereOf(parsed.error, at);
    throw new StoreError(`${path}: is not written: nobody could read it again${where}`, { exitCode: 1 });
  };
  manifest.tasks.forEach((task, i) => {
    if (checked.has(task)) return;
    // In the schema's order: equal manifests give equal text, whoever made them.
    checked.set(task, JSON.stringify(check(taskSchema, task, ["tasks", i])));
  });
  const { pages, rest } = divide(manifest.tasks);
  const files = new Map(pages.map((tasks) => encodePage(tasks)));
  const later = files.size > 0 || manifest.tasks.some(({ segments }) => segments !== undefined);
  const root = check(manifestSchema, {
    ...manifest,
    schemaVersion: later ? 2 : 1,
    ...(files.size > 0 && { pages: [...files.keys()] }),
    tasks: [],
  });
  const tasks: unknown = JSON.parse(`[${joined(rest)}]`);
  return { text: `${JSON.stringify({ ...root, tasks }, null, 2)}\n`, pages: files };
}
