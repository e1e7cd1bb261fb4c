/** Folders in an artefact store: a list of paths and hashes, itself under its hash. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { errorCode, StoreError } from "../core/errors.ts";
import { canonicalJson, sha256, sha256File } from "../io/hash.ts";
import { lockFile } from "../io/lock.ts";
import { linkOrCopy } from "./folderStore.ts";
import type { ArtefactStore, ContentStore } from "./store.ts";

const treeSchema = z.object({
  /** Path inside the folder, `/` between its parts → SHA-256. */
  files: z.record(
    z.string().refine((path) => path.split("/").every((part) => !["", ".", ".."].includes(part))),
    z.string().regex(/^[0-9a-f]{64}$/),
  ),
});

/** Larger files are hashed and sent as they are read. */
const smallBytes = 2 ** 25;

/** Files of a folder, `first` before all others; locks and temporary files are nobody's. */
async function pathsOf(folder: string, first: readonly string[]): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => !entry.isDirectory() && entry.name !== lockFile)
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll("\\", "/"),
    )
    .filter((path) => !path.split("/").some((part) => part.startsWith(".tmp-")));
  const rank = (path: string) => (first.includes(path) ? 0 : 1);
  return paths.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** @returns the hash of what was sent */
export async function publishFile(store: ContentStore, path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > smallBytes) {
    const hash = await sha256File(path);
    await store.putFile(hash, path, size);
    return hash;
  }
  // Read once: a record that is written to meanwhile has the hash of what is sent.
  const content = await readFile(path);
  const hash = sha256(content);
  await store.put(hash, content);
  return hash;
}

async function publish(store: ArtefactStore, files: Readonly<Record<string, string>>): Promise<string> {
  const text = canonicalJson({ files });
  const hash = sha256(text);
  await store.put(hash, new TextEncoder().encode(text));
  return hash;
}

/**
 * @param first read before all others: what names files that are there by then
 * @returns the tree's hash
 */
export async function publishFolder(
  store: ArtefactStore,
  folder: string,
  first: readonly string[] = [],
): Promise<string> {
  const files: Record<string, string> = {};
  for (const path of await pathsOf(folder, first)) {
    try {
      files[path] = await publishFile(store, join(folder, path));
    } catch (error) {
      // Taken away meanwhile: nothing named it.
      if (errorCode(error) !== "ENOENT") throw error;
    }
  }
  return await publish(store, files);
}

/** A single file as a folder that holds it. @param name what it is called there */
export async function publishAlone(store: ArtefactStore, path: string, name: string): Promise<string> {
  return await publish(store, { [name]: await publishFile(store, path) });
}

/** Reads content into a new file and checks it. @throws StoreError (exit 1) where it is not what its hash says */
export async function fetchVerified(store: ContentStore, hash: string, path: string): Promise<void> {
  await store.fetch(hash, path);
  const found = await sha256File(path);
  if (found === hash) return;
  await rm(path, { force: true });
  throw new StoreError(`${store.place}: ${hash} is damaged: it hashes to ${found}`, {
    exitCode: 1,
    hint: "Delete that object; whoever made it writes it again.",
  });
}

/** Trees of an artefact store on this machine's disk, each fetched once. */
export class ArtefactCache {
  readonly #store: ArtefactStore;
  readonly #folder: string;
  readonly #going = new Map<string, Promise<string>>();

  constructor(store: ArtefactStore, folder: string) {
    this.#store = store;
    this.#folder = folder;
  }

  /** The folder of a tree, which nobody may write to. */
  async folder(hash: string): Promise<string> {
    const path = join(this.#folder, "trees", hash);
    const going = this.#going.get(path) ?? this.#fetchTree(hash, path);
    this.#going.set(path, going);
    try {
      return await going;
    } finally {
      this.#going.delete(path);
    }
  }

  /** A copy of a tree that may be written to, in place of what stands there. */
  async copy(hash: string, to: string): Promise<void> {
    await rm(to, { recursive: true, force: true });
    await this.#build(hash, to, false);
  }

  async #fetchTree(hash: string, path: string): Promise<string> {
    if (await isThere(path)) return path;
    await this.#build(hash, path, true);
    return path;
  }

  async #object(hash: string): Promise<string> {
    const path = join(this.#folder, "objects", hash);
    if (await isThere(path)) return path;
    await mkdir(dirname(path), { recursive: true });
    const own = await mkdtemp(join(dirname(path), ".tmp-"));
    try {
      await fetchVerified(this.#store, hash, join(own, "object"));
      await rename(join(own, "object"), path);
    } finally {
      await rm(own, { recursive: true, force: true });
    }
    return path;
  }

  /** @param keep whether its files are kept for other trees */
  async #build(hash: string, path: string, keep: boolean): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    const own = await mkdtemp(join(dirname(path), ".tmp-"));
    try {
      const list = join(own, ".list");
      await fetchVerified(this.#store, hash, list);
      const { files } = treeSchema.parse(JSON.parse(await readFile(list, "utf8")));
      const root = join(own, "tree");
      await mkdir(root);
      for (const [name, content] of Object.entries(files)) {
        const target = join(root, name);
        await mkdir(dirname(target), { recursive: true });
        if (keep) await linkOrCopy(await this.#object(content), target);
        else await fetchVerified(this.#store, content, target);
      }
      await rename(root, path).catch((error: unknown) => {
        // Another worker on this disk was faster.
        if (!keep || !["ENOTEMPTY", "EEXIST"].includes(errorCode(error) ?? "")) throw error;
      });
    } catch (cause) {
      if (!["ENOSPC", "EDQUOT"].includes(errorCode(cause) ?? "")) throw cause;
      throw new StoreError(`${path}: cannot be written: the disk is full`, { cause, exitCode: 1 });
    } finally {
      await rm(own, { recursive: true, force: true });
    }
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
