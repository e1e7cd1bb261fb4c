/** Whether everything that lies in a folder of states is as it was written. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { messageOf, StoreError } from "../core/errors.ts";
import { sha256 } from "../io/hash.ts";
import { decodeSafetensors } from "../io/safetensors.ts";
import { configFile } from "../model/settings/settings.ts";
import { adaptersFolder, isOurs, isTemporary, listFolder } from "./listing.ts";
import {
  foldersOf,
  forgetPages,
  type Manifest,
  manifestFile,
  readIfThere,
  readManifest,
  readManifestFile,
  readPageNames,
} from "./manifest.ts";
import { damagedCopies, pagesFolder, unnamedPages } from "./pages.ts";
import type { TaskFolder } from "./placing.ts";
import { keptVersions, versionPath, versionsFolder } from "./reading.ts";

/** Something that is wrong in a folder. */
export interface Problem {
  /** Inside the folder. */
  readonly path: string;
  readonly problem: string;
  /** Versions that name it; empty of what belongs to all of them. */
  readonly versions: readonly number[];
}

/** What a check of a folder found. */
export interface FolderCheck {
  readonly folder: string;
  /** The present version, 1 of a run; absent where its manifest cannot be read. */
  readonly version?: number;
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly Problem[];
  /** What an interrupted change left, which the next clean-up removes. */
  readonly leftovers: readonly string[];
}

/** Whatever is wrong with one file of a task; undefined where it is whole. */
export async function problemOf(
  root: string,
  { folder, files }: TaskFolder,
  name: string,
): Promise<{ readonly problem: string | undefined; readonly bytes: number }> {
  const path = join(root, folder, name);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    return { problem: `cannot be read: ${messageOf(error)}`, bytes: 0 };
  }
  const found = sha256(bytes);
  const expected = files[name];
  if (found !== expected)
    return { problem: `is damaged: SHA-256 ${found}, the manifest says ${expected}`, bytes: bytes.length };
  try {
    if (name.endsWith(".safetensors")) decodeSafetensors(bytes, name);
  } catch (error) {
    return { problem: messageOf(error), bytes: bytes.length };
  }
  return { problem: undefined, bytes: bytes.length };
}

/** Lines of JSON that cannot be read; the last one may be torn. */
async function damagedLines(path: string): Promise<string[]> {
  const lines = ((await readIfThere(path)) ?? "").split("\n").slice(0, -1);
  return lines.flatMap((line, i) => {
    try {
      JSON.parse(line);
      return [];
    } catch {
      return [`line ${i + 1} is not JSON`];
    }
  });
}

/** @returns undefined where the settings are as they were written, or the manifest is of before they were hashed */
async function settingsProblem(root: string, { settingsFile }: Manifest): Promise<string | undefined> {
  const bytes = await readFile(join(root, configFile)).catch(() => undefined);
  if (bytes === undefined) return "is missing";
  if (settingsFile === undefined || sha256(bytes) === settingsFile) return undefined;
  return `was changed since it was written: SHA-256 ${sha256(bytes)}, the manifest says ${settingsFile}`;
}

/** Hashes of the pages that any version names. */
export async function pagesNamed(root: string): Promise<ReadonlySet<string>> {
  const versions = (await keptVersions(root)).map((version) => versionPath(root, version));
  const named = new Set<string>();
  for (const path of [join(root, manifestFile), ...versions])
    for (const hash of await readPageNames(path)) named.add(hash);
  return named;
}

class Checking {
  readonly problems: Problem[] = [];
  /** Every manifest that can be read, by its version. */
  readonly manifests = new Map<number, Manifest>();
  readonly pages = new Set<string>();
  present: Manifest | undefined;
  files = 0;
  bytes = 0;
  private readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  private say(path: string, problem: string, versions: readonly number[] = []): void {
    this.problems.push({ path, problem, versions });
  }

  async readManifests(): Promise<void> {
    try {
      this.present = await readManifest(this.root);
      if (this.present === undefined) this.say(manifestFile, "is missing");
      else this.manifests.set(this.present.store?.version ?? 1, this.present);
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_NEWER") throw error;
      this.say(manifestFile, messageOf(error));
    }
    for (const version of await keptVersions(this.root)) {
      const path = versionPath(this.root, version);
      try {
        const manifest = await readManifestFile(path);
        if (manifest !== undefined && !this.manifests.has(version)) this.manifests.set(version, manifest);
      } catch (error) {
        this.say(path.slice(this.root.length + 1), messageOf(error), [version]);
      }
    }
  }

  async checkTasks(): Promise<void> {
    const seen = new Map<string, { readonly folder: TaskFolder; readonly versions: number[] }>();
    for (const [version, { tasks }] of this.manifests)
      for (const folder of tasks.flatMap(foldersOf)) {
        const key = JSON.stringify(folder);
        const known = seen.get(key);
        if (known === undefined) seen.set(key, { folder, versions: [version] });
        else known.versions.push(version);
      }
    for (const { folder, versions } of seen.values())
      for (const name of Object.keys(folder.files)) {
        const { problem, bytes } = await problemOf(this.root, folder, name);
        this.files += 1;
        this.bytes += bytes;
        if (problem !== undefined) this.say(`${folder.folder}/${name}`, problem, versions);
      }
  }

  /** What the manifests hang on, whole or not. */
  async checkPages(): Promise<void> {
    for (const hash of await pagesNamed(this.root)) {
      this.pages.add(hash);
      for (const path of await damagedCopies(this.root, hash))
        this.say(path.slice(this.root.length + 1), "is missing, or damaged: it is not what its name says");
    }
  }

  async checkRest(): Promise<void> {
    const [manifest = this.present] = this.manifests.values();
    const settings = manifest && (await settingsProblem(this.root, manifest));
    if (settings !== undefined) this.say(configFile, settings);
    for (const name of ["events.jsonl", "predictions.jsonl"])
      for (const problem of await damagedLines(join(this.root, name))) this.say(name, problem);
  }

  async leftovers(): Promise<string[]> {
    const named = new Set(
      [...this.manifests.values()].flatMap(({ tasks }) => tasks.flatMap(foldersOf)).map((f) => f.folder),
    );
    const pages = await unnamedPages(this.root, this.pages);
    const found = pages.map((path) => path.slice(this.root.length + 1));
    for (const folder of ["", versionsFolder, adaptersFolder, pagesFolder])
      for (const name of await listFolder(join(this.root, folder))) {
        const path = folder === "" ? name : `${folder}/${name}`;
        if (isTemporary(name)) found.push(path);
        else if (folder === adaptersFolder && !named.has(path) && (await isOurs(this.root, path)))
          found.push(path);
      }
    return found;
  }
}

/**
 * Checks every file of a store or a run against its hash, every value for finiteness, and every manifest against its
 * schema. Changes nothing, and needs no backbone.
 * @throws StoreError where there is neither store nor run, or a later version of Accrete wrote it
 */
export async function checkFolder(folder: string): Promise<FolderCheck> {
  checkArguments("checkFolder", { folder });
  const root = resolve(folder);
  forgetPages();
  const checking = new Checking(root);
  const names = await listFolder(root);
  if (![manifestFile, configFile, versionsFolder].some((name) => names.includes(name)))
    throw new StoreError(`${folder}: no run there, and no store`, {
      hint: "Give the folder of a store, or the one that a configuration calls out.",
    });
  await checking.readManifests();
  await checking.checkPages();
  await checking.checkTasks();
  await checking.checkRest();
  const { present, files, bytes, problems } = checking;
  return {
    folder: root,
    ...(present && { version: present.store?.version ?? 1 }),
    files,
    bytes,
    problems,
    leftovers: await checking.leftovers(),
  };
}
