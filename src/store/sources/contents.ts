/** What of a store's folder its versions need, and bringing it to where others fetch it. */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContentStore } from "../../artefacts/store.ts";
import { publishFile } from "../../artefacts/tree.ts";
import { routerStages } from "../../continual/types.ts";
import { CheckpointError, errorCode, StoreError } from "../../core/errors.ts";
import { sha256, sha256File } from "../../io/hash.ts";
import { configFile } from "../../model/settings/settings.ts";
import { listFolder } from "../../workspace/listing.ts";
import { foldersOf, manifestFile, pageNamesOf, parseManifest } from "../../workspace/manifest.ts";
import { pagesFolder } from "../../workspace/pages.ts";
import { asStore, keptVersions, versionPath, versionsFolder } from "../../workspace/reading.ts";
import { routerFolder, routerPlace } from "../../workspace/routers.ts";
import { inParallel } from "./inParallel.ts";
import { identityOf, type Published } from "./published.ts";

/** Files of a folder by their path in it. */
interface Contents {
  /** From which all others follow; what is published of a version. */
  readonly files: Record<string, string>;
  /** SHA-256 → path, of all files. */
  readonly paths: ReadonlyMap<string, string>;
}

/** @param path in the folder of a store */
export function isManifest(path: string): boolean {
  return path === manifestFile || path.startsWith(`${versionsFolder}/`);
}

/** Paths in the folder of all manifests that it has, the present one last. */
export async function manifestPaths(folder: string): Promise<readonly string[]> {
  const versions = await keptVersions(folder);
  return [...versions.map((version) => versionPath("", version)), manifestFile];
}

/** Hash → path in the folder, of everything that manifests in it name. */
async function allNamed(folder: string, manifests: readonly string[]): Promise<Map<string, string>> {
  const named = new Map<string, string>();
  for (const path of manifests) {
    const text = await readFile(join(folder, path), "utf8").catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    });
    if (text === undefined) continue;
    for (const [hash, file] of await namedBy(text, folder)) named.set(hash, file);
  }
  return named;
}

/** As {@link allNamed}, of the text of one manifest. */
async function namedBy(text: string, folder: string): Promise<ReadonlyMap<string, string>> {
  const { tasks } = await parseManifest(text, join(folder, manifestFile));
  const pages = pageNamesOf(text).map((page) => [page, `${pagesFolder}/${page}.json`] as const);
  const files = tasks
    .flatMap(foldersOf)
    .flatMap(({ folder: own, files }) =>
      Object.entries(files).map(([name, hash]) => [hash, `${own}/${name}`] as const),
    );
  return new Map([...pages, ...files]);
}

/** Hash → text, of the manifests in a folder that are published. */
async function publishedManifests(folder: string, { files }: Published): Promise<Map<string, string>> {
  const hashes = new Set(Object.values(files));
  const texts = new Map<string, string>();
  for (const path of await manifestPaths(folder)) {
    const text = await readFile(join(folder, path), "utf8");
    const hash = sha256(text);
    if (hashes.has(hash)) texts.set(hash, text);
  }
  return texts;
}

/** Hashes of what is published of a store, as far as the manifests in a folder say: no more than that. */
export async function namedIn(folder: string, published: Published): Promise<ReadonlySet<string>> {
  const named = new Set(Object.values(published.files));
  for (const text of (await publishedManifests(folder, published)).values())
    for (const hash of (await namedBy(text, folder)).keys()) named.add(hash);
  return named;
}

/** As {@link namedIn}, and no less. @throws StoreError where a manifest that is published is not in the folder */
export async function allNamedIn(folder: string, published: Published): Promise<ReadonlySet<string>> {
  const there = await publishedManifests(folder, published);
  for (const [path, hash] of Object.entries(published.files))
    if (isManifest(path) && !there.has(hash))
      throw new StoreError(`${join(folder, path)}: is not as it is published`, { exitCode: 1 });
  return await namedIn(folder, published);
}

async function hashOfRouters(folder: string, version: number): Promise<[path: string, hash: string][]> {
  const found: [string, string][] = [];
  for (const stage of routerStages) {
    const place = routerPlace(version, stage);
    for (const name of (await listFolder(join(folder, place))).sort()) {
      // One that is being written now is published with the next change.
      const hash = name.startsWith(".")
        ? undefined
        : await sha256File(join(folder, place, name)).catch(() => undefined);
      if (hash !== undefined) found.push([`${place}/${name}`, hash]);
    }
  }
  return found;
}

async function readContents(folder: string, version: number): Promise<Contents> {
  const files: Record<string, string> = {};
  const manifests = await manifestPaths(folder);
  const paths = await allNamed(folder, manifests);
  for (const path of [...manifests, configFile])
    files[path.replaceAll("\\", "/")] = await sha256File(join(folder, path));
  for (const [path, hash] of await hashOfRouters(folder, version)) files[path] = hash;
  for (const [path, hash] of Object.entries(files)) paths.set(hash, path);
  return { files, paths };
}

/** What is there of a store already. */
export interface Standing {
  readonly published: Published;
  /** Hashes of what is published and there: nothing else is relied on. */
  readonly named: ReadonlySet<string>;
}

/**
 * Uploads what a folder's versions need and what stands there has not. Nobody sees it before the store's name is set to what is returned.
 * @returns undefined where all of it is published already
 * @throws CheckpointError where a file is not what its manifest says
 */
export async function upload(
  objects: ContentStore,
  folder: string,
  standing: Standing | undefined,
): Promise<Published | undefined> {
  const text = await readFile(join(folder, manifestFile), "utf8");
  const { store } = asStore(await parseManifest(text, join(folder, manifestFile)));
  const { files, paths } = await readContents(folder, store.version);
  const before = standing?.published.files ?? {};
  const isSame = (path: string) => files[path] === before[path];
  const unchanged = [...Object.keys(before), ...Object.keys(files)].every(isSame);
  await inParallel(paths, async ([hash, path]) => {
    if (standing?.named.has(hash)) return;
    const file = join(folder, path);
    const isRouter = path.startsWith(`${routerFolder}/`);
    const found = await publishFile(objects, file).catch((error: unknown) => {
      if (!isRouter || errorCode(error) !== "ENOENT") throw error;
      return undefined;
    });
    if (found === hash) return;
    // Fitted anew meanwhile: whoever does not find it fits it too.
    if (isRouter) delete files[path];
    else
      throw new CheckpointError(
        `${file}: is damaged: SHA-256 ${found}, expected ${hash}; nothing was published`,
        { hint: `accrete check ${folder} says what is whole.` },
      );
  });
  if (unchanged) return undefined;
  const { version, change, time } = store;
  const identity = identityOf(JSON.parse(text));
  return { format: 1, version, identity, change, time, publication: randomUUID(), files };
}
