/**
 * Stores in the browser's own file system (OPFS). Each is a folder of numbered folders and a file that names the one that counts: a
 * page that closes while it saves leaves the store as it was.
 */
import { z } from "zod";
import { AccreteError, DataError, StoreError } from "../core/errors.ts";
import type { FileSource } from "./files.ts";

interface WritableFile {
  write(content: Uint8Array | string): Promise<void>;
  close(): Promise<void>;
}

interface FileHandle {
  getFile(): Promise<{ arrayBuffer(): Promise<ArrayBuffer> }>;
  createWritable(): Promise<WritableFile>;
}

/** What a browser's `FileSystemDirectoryHandle` has, as far as it is used here. */
interface Folder {
  getDirectoryHandle(name: string, options?: { readonly create?: boolean }): Promise<Folder>;
  getFileHandle(name: string, options?: { readonly create?: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options?: { readonly recursive?: boolean }): Promise<void>;
  keys(): AsyncIterable<string>;
}

const getDirectorySchema = z.custom<() => Promise<Folder>>((value) => typeof value === "function");

const home = "accrete";
const pointer = "current";

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && cause.name === "NotFoundError";
}

async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  return await found.catch((cause: unknown) => {
    if (isMissing(cause)) return undefined;
    throw cause;
  });
}

/** @throws StoreError where the browser has no such file system */
async function openHome(): Promise<Folder> {
  const navigator: unknown = Reflect.get(globalThis, "navigator");
  const storage: unknown = Reflect.get(Object(navigator), "storage");
  const parsed = getDirectorySchema.safeParse(Reflect.get(Object(storage), "getDirectory"));
  if (!parsed.success)
    throw new StoreError("this browser has no file system of its own to save to", {
      hint: "Pages over https or from localhost have one, in browsers since 2023.",
    });
  // The method wants its own object.
  const root: Folder = await Reflect.apply(parsed.data, storage, []);
  return await root.getDirectoryHandle(home, { create: true });
}

function checkName(name: string): void {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(name))
    throw new DataError(`a saved store cannot be called ${JSON.stringify(name)}`, {
      hint: "Letters, digits, dots, hyphens and underscores, a letter or digit first.",
    });
}

async function writeFile(folder: Folder, path: string, content: Uint8Array | string): Promise<void> {
  const names = path.split("/");
  const last = names.pop() ?? path;
  let inner = folder;
  for (const name of names) inner = await inner.getDirectoryHandle(name, { create: true });
  const writable = await (await inner.getFileHandle(last, { create: true })).createWritable();
  await writable.write(content);
  await writable.close();
}

async function readFile(folder: Folder, path: string): Promise<Uint8Array | undefined> {
  const names = path.split("/");
  const last = names.pop() ?? path;
  let inner: Folder | undefined = folder;
  for (const name of names) inner = inner && (await unlessMissing(inner.getDirectoryHandle(name)));
  const handle = inner && (await unlessMissing(inner.getFileHandle(last)));
  return handle && new Uint8Array(await (await handle.getFile()).arrayBuffer());
}

/** The folder that counts, by its number; undefined where none was written whole. */
async function currentOf(store: Folder): Promise<string | undefined> {
  const bytes = await readFile(store, pointer);
  return bytes && new TextDecoder().decode(bytes);
}

/**
 * Saves a store, in place of one of that name.
 * @param files path inside the folder → content
 * @throws DataError for a name that is none, StoreError where there is no file system, or it is full
 */
export async function saveFiles(
  name: string,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  checkName(name);
  const store = await (await openHome()).getDirectoryHandle(name, { create: true });
  const before = await currentOf(store);
  const next = String(Number(before ?? 0) + 1);
  try {
    // What a page that was closed had begun.
    for await (const entry of store.keys())
      if (entry !== pointer && entry !== before) await store.removeEntry(entry, { recursive: true });
    const folder = await store.getDirectoryHandle(next, { create: true });
    for (const [path, content] of files) await writeFile(folder, path, content);
    await writeFile(store, pointer, next);
  } catch (cause) {
    if (cause instanceof AccreteError) throw cause;
    throw new StoreError(`${name}: cannot be saved; what was saved before is unchanged`, {
      cause,
      hint: "The browser may be out of room for this page: delete another saved store.",
    });
  }
  if (before !== undefined) await unlessMissing(store.removeEntry(before, { recursive: true }));
}

/** @throws StoreError where nothing of that name was saved */
export async function savedSource(name: string): Promise<FileSource> {
  checkName(name);
  const store = await unlessMissing((await openHome()).getDirectoryHandle(name));
  const current = store && (await currentOf(store));
  if (store === undefined || current === undefined)
    throw new StoreError(`no store was saved as "${name}"`, {
      hint: `Saved: ${(await savedStores()).join(", ") || "none"}.`,
    });
  const folder = await store.getDirectoryHandle(current);
  return { where: `saved store ${name}`, read: (path) => readFile(folder, path) };
}

/** The names of stores that were saved. */
export async function savedStores(): Promise<readonly string[]> {
  const found: string[] = [];
  const folder = await openHome();
  for await (const name of folder.keys()) {
    const store = await unlessMissing(folder.getDirectoryHandle(name));
    if (store !== undefined && (await currentOf(store)) !== undefined) found.push(name);
  }
  return found.sort();
}

/** Deletes a store that was saved; one that is not there is no error. */
export async function deleteSaved(name: string): Promise<void> {
  checkName(name);
  await unlessMissing((await openHome()).removeEntry(name, { recursive: true }));
}
