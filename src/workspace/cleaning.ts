/** Taking away what no version needs any more. */
import { join } from "node:path";
import type { FileSystem } from "../io/atomic.ts";
import { adaptersFolder, isOurs, isTemporary, listFolder } from "./listing.ts";
import { foldersOf, manifestFile, pageNamesOf, parseManifest, readIfThere } from "./manifest.ts";
import { pagePaths, pagesFolder, unnamedPages } from "./pages.ts";
import { keptVersions, versionPath, versionsFolder } from "./reading.ts";

/** Folders and pages that a manifest names. */
interface Needs {
  readonly folders: ReadonlySet<string>;
  readonly pages: ReadonlySet<string>;
}

/** What was read last of each version: most changes ask all of them. */
const known = new Map<string, { readonly text: string; readonly needs: Needs }>();
const mostKnown = 64;

/** @returns undefined where it cannot be read, and may name anything */
async function needsOf(path: string): Promise<Needs | undefined> {
  const text = await readIfThere(path).catch(() => undefined);
  if (text === undefined) return undefined;
  const before = known.get(path);
  if (before?.text === text) return before.needs;
  const manifest = await parseManifest(text, path).catch(() => undefined);
  if (manifest === undefined) return undefined;
  const folders = new Set(manifest.tasks.flatMap(foldersOf).map(({ folder }) => folder));
  const needs = { folders, pages: new Set(pageNamesOf(text)) };
  if (known.size >= mostKnown) known.clear();
  known.set(path, { text, needs });
  return needs;
}

/** @returns undefined where one cannot be read */
async function needsOfAll(paths: readonly string[]): Promise<Needs | undefined> {
  const all = await Promise.all(paths.map(needsOf));
  const whole = all.filter((needs) => needs !== undefined);
  return whole.length < all.length ? undefined : union(whole);
}

function union(all: readonly Needs[]): { readonly folders: Set<string>; readonly pages: Set<string> } {
  return {
    folders: new Set(all.flatMap(({ folders }) => [...folders])),
    pages: new Set(all.flatMap(({ pages }) => [...pages])),
  };
}

/** What can be read of the needs of manifests that go. */
async function givenUpBy(paths: readonly string[]) {
  const all = await Promise.all(paths.map(needsOf));
  return union(all.filter((needs) => needs !== undefined));
}

export class Cleaning {
  private readonly root: string;
  private readonly fs: FileSystem;

  constructor(root: string, fs: FileSystem) {
    this.root = root;
    this.fs = fs;
  }

  private get present(): string {
    return join(this.root, manifestFile);
  }

  private async versionPaths(): Promise<readonly string[]> {
    return (await keptVersions(this.root)).map((version) => versionPath(this.root, version));
  }

  async removeTemporaries(): Promise<void> {
    for (const folder of ["", versionsFolder, adaptersFolder, pagesFolder])
      for (const name of await listFolder(join(this.root, folder)))
        if (isTemporary(name)) await this.fs.remove(join(this.root, folder, name));
  }

  /** Removes folders and pages of ours that no version names; none where a version cannot be read. */
  async removeUnnamed(): Promise<void> {
    const needs = await needsOfAll([this.present, ...(await this.versionPaths())]);
    if (needs !== undefined) await this.removeBut(needs);
  }

  /** @param known folders that are ours without saying so */
  private async removeBut(needs: Needs, known: ReadonlySet<string> = new Set()): Promise<void> {
    for (const path of await unnamedPages(this.root, needs.pages)) await this.fs.remove(path);
    for (const name of await listFolder(join(this.root, adaptersFolder))) {
      const folder = `${adaptersFolder}/${name}`;
      if (needs.folders.has(folder)) continue;
      if (known.has(folder) || (await isOurs(this.root, folder)))
        await this.fs.remove(join(this.root, folder));
    }
  }

  /** Removes all earlier versions, and what is ours that the present one does not name. */
  async removeVersions(): Promise<void> {
    const paths = await this.versionPaths();
    const { folders } = await givenUpBy(paths);
    for (const path of paths) await this.fs.remove(path);
    await this.removeTemporaries();
    const needs = await needsOf(this.present);
    if (needs !== undefined) await this.removeBut(needs, folders);
  }

  /** Removes the oldest of the earlier versions, and what they alone name. @param keep how many stay */
  async expire(keep: number): Promise<readonly number[]> {
    const kept = await keptVersions(this.root);
    const gone = kept.slice(0, Math.max(0, kept.length - keep));
    const paths = gone.map((version) => versionPath(this.root, version));
    const alone = await givenUpBy(paths);
    const stays = kept.slice(gone.length).map((version) => versionPath(this.root, version));
    // Most changes add to what is there: then the present version names all of it, and no other has to be read.
    for (const path of [this.present, ...stays.reverse()]) {
      if (alone.folders.size === 0 && alone.pages.size === 0) break;
      const needs = await needsOf(path);
      for (const folder of alone.folders)
        if (needs?.folders.has(folder) ?? true) alone.folders.delete(folder);
      for (const page of alone.pages) if (needs?.pages.has(page) ?? true) alone.pages.delete(page);
    }
    for (const path of paths) await this.fs.remove(path);
    for (const folder of alone.folders) await this.fs.remove(join(this.root, folder));
    for (const page of alone.pages) for (const path of pagePaths(this.root, page)) await this.fs.remove(path);
    return gone;
  }
}
