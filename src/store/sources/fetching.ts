/** Brings a folder to what is published of a store: new files first, the manifest in one step, and then what went out of use goes. */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ContentStore } from "../../artefacts/store.ts";
import { fetchVerified } from "../../artefacts/tree.ts";
import { errorCode, StoreError } from "../../core/errors.ts";
import { nodeFileSystem } from "../../io/atomic.ts";
import { sha256, sha256File } from "../../io/hash.ts";
import { Cleaning } from "../../workspace/cleaning.ts";
import { listFolder, markOf } from "../../workspace/listing.ts";
import { foldersOf, manifestFile, pageNamesOf, parseManifest } from "../../workspace/manifest.ts";
import { damagedCopies, writePages } from "../../workspace/pages.ts";
import type { TaskFolder } from "../../workspace/placing.ts";
import { keptVersions, versionPath } from "../../workspace/reading.ts";
import { routerEntry, routerFolder, routersOf } from "../../workspace/routers.ts";
import { isManifest, manifestPaths } from "./contents.ts";
import { inParallel } from "./inParallel.ts";
import type { Published } from "./published.ts";

/** A name that the workspace knows as one of an interrupted write. */
function temporaryIn(folder: string, what: string): string {
  return join(folder, `.tmp-${what}-${process.pid}-${randomBytes(4).toString("hex")}`);
}

async function flushed(path: string): Promise<void> {
  const handle = await open(path, "r+");
  await handle.sync().finally(() => handle.close());
}

/** Content under its hash, in a new file, flushed to the disk. */
async function fetchFile(objects: ContentStore, hash: string, path: string): Promise<void> {
  try {
    await fetchVerified(objects, hash, path);
    await flushed(path);
  } catch (error) {
    await rm(path, { force: true }).catch(() => {});
    throw error;
  }
}

/** @param folder takes it for a moment */
export async function fetchText(objects: ContentStore, hash: string, folder: string): Promise<string> {
  const path = temporaryIn(folder, "text");
  await fetchFile(objects, hash, path);
  const text = await readFile(path, "utf8");
  await rm(path, { force: true });
  return text;
}

/** The text of a file; undefined where there is none. */
async function textOf(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  });
}

class Fetching {
  readonly #objects: ContentStore;
  readonly #folder: string;
  readonly #published: Published;
  /** Hash → text, of manifests that the folder has. */
  readonly #texts = new Map<string, string>();
  /** Folders that take the place of others of the same name, with the manifest that names them. */
  readonly #swaps: (readonly [from: string, to: string])[] = [];
  /** Task folders that are there → their files, as JSON: manifests of the folder name them, or they were fetched before. */
  readonly #standing: Map<string, string>;

  constructor(objects: ContentStore, folder: string, published: Published, fetched: Map<string, string>) {
    this.#objects = objects;
    this.#folder = folder;
    this.#published = published;
    this.#standing = fetched;
  }

  async bring(): Promise<void> {
    const { files, version } = this.#published;
    const manifests = await this.#readManifests();
    await this.#takeTasks(manifests);
    // Routers and settings before the manifest that they belong to, earlier manifests before the present one.
    const others = Object.keys(files).filter((path) => !manifests.includes(path));
    await inParallel(others, (path) => this.#takeFile(path));
    for (const path of manifests.filter((each) => each !== manifestFile)) await this.#writeManifest(path);
    for (const [from, to] of this.#swaps) await this.#swap(from, to);
    await this.#writeManifest(manifestFile);
    // What cannot be removed now is removed the next time.
    await this.#removeOthers(version).catch(() => {});
  }

  /** Manifests and their pages alone. */
  async bringManifests(): Promise<void> {
    for (const path of await this.#readManifests()) await this.#writeManifest(path);
  }

  /** @returns paths of the published manifests, whose texts are known and whose pages are there from then on */
  async #readManifests(): Promise<readonly string[]> {
    await mkdir(this.#folder, { recursive: true });
    await this.#readStanding();
    const { files } = this.#published;
    const manifests = Object.keys(files).filter(isManifest);
    await inParallel(manifests, async (path) => {
      const hash = files[path] ?? "";
      if (!this.#texts.has(hash)) this.#texts.set(hash, await this.#fetchText(hash));
    });
    await this.#takePages(manifests);
    return manifests;
  }

  async #readStanding(): Promise<void> {
    for (const path of await manifestPaths(this.#folder)) {
      const text = await textOf(join(this.#folder, path));
      if (text === undefined) continue;
      this.#texts.set(sha256(text), text);
      // A damaged one says nothing of what is there.
      const manifest = await parseManifest(text, join(this.#folder, manifestFile)).catch(() => undefined);
      for (const { folder, files } of manifest?.tasks.flatMap(foldersOf) ?? [])
        this.#standing.set(folder, JSON.stringify(files));
    }
  }

  #fetchText(hash: string): Promise<string> {
    return fetchText(this.#objects, hash, this.#folder);
  }

  #text(path: string): string {
    return this.#texts.get(this.#published.files[path] ?? "") ?? "";
  }

  async #takePages(manifests: readonly string[]): Promise<void> {
    const pages = new Set(manifests.flatMap((path) => pageNamesOf(this.#text(path))));
    await inParallel(pages, async (page) => {
      if ((await damagedCopies(this.#folder, page)).length > 0)
        await writePages(this.#folder, new Map([[page, await this.#fetchText(page)]]));
    });
  }

  async #takeTasks(manifests: readonly string[]): Promise<void> {
    const wanted = new Map<string, TaskFolder>();
    for (const path of manifests) {
      const { tasks } = await parseManifest(this.#text(path), join(this.#folder, manifestFile));
      for (const each of tasks.flatMap(foldersOf)) wanted.set(each.folder, each);
    }
    await inParallel(wanted.values(), async (each) => {
      if (!(await this.#stands(each))) await this.#takeFolder(each);
    });
  }

  async #stands({ folder, files }: TaskFolder): Promise<boolean> {
    if (this.#standing.get(folder) !== JSON.stringify(files)) return false;
    const there = new Set(await listFolder(join(this.#folder, folder)));
    return Object.keys(files).every((name) => there.has(name));
  }

  async #takeFolder({ folder, files }: TaskFolder): Promise<void> {
    const path = join(this.#folder, folder);
    const beside = temporaryIn(dirname(path), basename(path));
    await mkdir(beside, { recursive: true });
    try {
      for (const [name, hash] of Object.entries(files))
        await fetchFile(this.#objects, hash, join(beside, name));
      const [mark, content] = markOf(folder);
      await writeFile(join(beside, mark), content);
      const isPlaced = await rename(beside, path).then(
        () => true,
        (error: unknown) => {
          if (!["ENOTEMPTY", "EEXIST", "EPERM"].includes(errorCode(error) ?? "")) throw error;
          return false;
        },
      );
      if (isPlaced) this.#standing.set(folder, JSON.stringify(files));
      // Of another version, which may still be read.
      else this.#swaps.push([beside, path]);
    } catch (error) {
      await rm(beside, { recursive: true, force: true });
      throw error;
    }
  }

  async #swap(from: string, to: string): Promise<void> {
    const old = temporaryIn(dirname(to), `old-${basename(to)}`);
    await rename(to, old);
    await rename(from, to);
  }

  async #takeFile(path: string): Promise<void> {
    const target = join(this.#folder, path);
    const hash = this.#published.files[path] ?? "";
    if ((await sha256File(target).catch(() => undefined)) === hash) return;
    const beside = temporaryIn(this.#folder, "file");
    await fetchFile(this.#objects, hash, beside);
    await mkdir(dirname(target), { recursive: true });
    await rename(beside, target);
  }

  async #writeManifest(path: string): Promise<void> {
    const target = join(this.#folder, path);
    const text = this.#text(path);
    if ((await textOf(target)) === text) return;
    await mkdir(dirname(target), { recursive: true });
    const beside = temporaryIn(dirname(target), basename(target));
    await writeFile(beside, text, { flag: "wx" });
    await flushed(beside);
    await rename(beside, target);
    await nodeFileSystem.flushFolder(dirname(target)).catch(() => {});
  }

  async #removeOthers(version: number): Promise<void> {
    for (const each of await keptVersions(this.#folder)) {
      const path = versionPath("", each);
      if (!(path in this.#published.files)) await rm(join(this.#folder, path), { force: true });
    }
    for (const name of await listFolder(join(this.#folder, routerFolder)))
      if (routerEntry.test(name) && name !== routersOf(version))
        await rm(join(this.#folder, routerFolder, name), { recursive: true, force: true });
    const cleaning = new Cleaning(this.#folder, nodeFileSystem);
    await cleaning.removeTemporaries();
    await cleaning.removeUnnamed();
  }
}

/**
 * Brings a folder to a published version, every file that it takes checked against its hash. Whoever reads the folder
 * meanwhile finds the version before or this one. What the folder has of other versions goes.
 * @param fetched takes the task folders that were fetched, so that the next try goes on from there
 * @throws StoreError where something cannot be fetched or is damaged: the folder is at the version before then
 */
export async function bringTo(
  objects: ContentStore,
  folder: string,
  published: Published,
  fetched: Map<string, string> = new Map(),
): Promise<void> {
  try {
    await new Fetching(objects, folder, published, fetched).bring();
  } catch (cause) {
    if (!["ENOSPC", "EDQUOT"].includes(errorCode(cause) ?? "")) throw cause;
    throw new StoreError(`${folder}: cannot be written: the disk is full`, {
      cause,
      exitCode: 1,
      hint: "Free some space, then try again.",
    });
  }
}

/** Writes into a folder what says which files a store's versions have, and none of those. */
export async function fetchManifests(
  objects: ContentStore,
  folder: string,
  published: Published,
): Promise<void> {
  await new Fetching(objects, folder, published, new Map()).bringManifests();
}

/** Versions that are published while one reader fetches one of them: it keeps what it has, so that each try has less to fetch. */
const mostVersions = 20;

/**
 * As {@link bringTo}. Where another version is published meanwhile, whose writer deleted what it does not name, that one is
 * fetched in place of the first.
 * @param read what is published now
 * @returns what the folder was brought to
 */
export async function bringToNewest<P extends { readonly published: Published }>(
  open: () => ContentStore,
  folder: string,
  first: P,
  read: () => Promise<P>,
): Promise<P> {
  const fetched = new Map<string, string>();
  let now = first;
  for (let version = 1; ; version++) {
    try {
      await bringTo(open(), folder, now.published, fetched);
      return now;
    } catch (error) {
      const next = await read().catch(() => now);
      if (version === mostVersions || next.published.publication === now.published.publication) throw error;
      now = next;
    }
  }
}

/** Whether a folder has a manifest, which is written last. */
export async function isWhole(folder: string): Promise<boolean> {
  return await stat(join(folder, manifestFile)).then(
    () => true,
    () => false,
  );
}
