/** Copying a folder of states while it is in use. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { errorCode, StoreError } from "../core/errors.ts";
import { nodeFileSystem } from "../io/atomic.ts";
import { sha256 } from "../io/hash.ts";
import { configFile } from "../model/settings/settings.ts";
import { listFolder, markOf } from "./listing.ts";
import { encodeManifest, foldersOf, type Manifest, manifestFile, readManifestFile } from "./manifest.ts";
import { writePages } from "./pages.ts";
import { keptVersions, readStore, versionPath, versionsFolder } from "./reading.ts";

/** What a backup copied. */
export interface BackedUp {
  readonly folder: string;
  /** The version that the copy is at. */
  readonly version: number;
  readonly files: number;
  readonly bytes: number;
}

/** A change took a file away that was to be copied. */
class Overtaken extends StoreError {}

/** What a run says of itself at the top of its folder; whole lines are copied of what grows. */
const records = [
  "events.jsonl",
  "events.out.tfevents.accrete",
  "predictions.jsonl",
  "metrics.json",
  "cil_matrix.csv",
  "til_matrix.csv",
  "routed_matrix.csv",
  "report.html",
];

async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class Copy {
  files = 0;
  bytes = 0;
  private readonly from: string;
  private readonly to: string;
  private readonly folders = new Set<string>();
  private readonly pages = new Set<string>();

  constructor(from: string, to: string) {
    this.from = from;
    this.to = to;
  }

  private count(bytes: Uint8Array): void {
    this.files += 1;
    this.bytes += bytes.length;
  }

  private async write(path: string, content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await nodeFileSystem.writeNew(join(this.to, path), bytes);
    this.count(bytes);
  }

  /** Files that a manifest names never change, but may be taken away. */
  async manifest(manifest: Manifest, path: string): Promise<void> {
    for (const { folder, files } of manifest.tasks.flatMap(foldersOf)) {
      if (this.folders.has(folder)) continue;
      this.folders.add(folder);
      await mkdir(join(this.to, folder), { recursive: true });
      for (const [name, expected] of Object.entries(files)) {
        const file = `${folder}/${name}`;
        await copyFile(join(this.from, file), join(this.to, file), constants.COPYFILE_FICLONE).catch(
          (cause: unknown) => {
            if (errorCode(cause) === "ENOENT") throw new Overtaken(`${join(this.from, file)}: is missing`);
            throw cause;
          },
        );
        const copied = await readFile(join(this.to, file));
        if (sha256(copied) !== expected)
          throw new StoreError(`${join(this.from, file)}: is damaged; nothing was copied`, {
            exitCode: 1,
            hint: `accrete check ${this.from} says what is whole, accrete repair ${this.from} does without the rest.`,
          });
        await flush(join(this.to, file));
        this.count(copied);
      }
      const [mark, content] = markOf(folder);
      await this.write(`${folder}/${mark}`, content);
      await nodeFileSystem.flushFolder(join(this.to, folder));
    }
    const { text, pages } = encodeManifest(manifest, join(this.to, path));
    await writePages(this.to, new Map([...pages].filter(([hash]) => !this.pages.has(hash))));
    for (const hash of pages.keys()) this.pages.add(hash);
    await this.write(path, text);
  }

  async versions(present: number): Promise<void> {
    await mkdir(join(this.to, versionsFolder));
    for (const version of await keptVersions(this.from)) {
      const path = versionPath(this.from, version);
      const manifest = version < present ? await readManifestFile(path) : undefined;
      if (manifest !== undefined) await this.manifest(manifest, `${versionsFolder}/${basename(path)}`);
    }
  }

  async rest(): Promise<void> {
    await this.write(configFile, await readFile(join(this.from, configFile)));
    const names = await listFolder(this.from);
    for (const name of records.filter((each) => names.includes(each))) {
      const bytes = await readFile(join(this.from, name));
      await this.write(
        name,
        name.endsWith(".jsonl") ? bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1) : bytes,
      );
    }
  }
}

async function copyTo(from: string, to: string): Promise<BackedUp> {
  const present = await readStore(from);
  const { version } = present.store;
  const copy = new Copy(from, to);
  if (version > 1) await copy.versions(version);
  await copy.rest();
  // A run has no place in a history.
  const { store, ...held } = present;
  await copy.manifest(store.time === "" && version === 1 ? held : present, manifestFile);
  await nodeFileSystem.flushFolder(to);
  return { folder: to, version, files: copy.files, bytes: copy.bytes };
}

async function refuseFull(path: string): Promise<void> {
  const names = await readdir(path).catch(() => []);
  if (names.length === 0) return;
  throw new StoreError(`${path}: exists and is not empty`, {
    code: "NAME_TAKEN",
    hint: "Choose another folder.",
  });
}

/** So many changes in a row would have to take away what is being copied. */
const attempts = 5;

/**
 * Copies a store or a run, with the versions that are kept, while others use it: every file is checked against its hash.
 * Fitted routers are not copied, since they are made again from the rest.
 * @param to whole or not there
 * @throws StoreError where `to` is not empty, or a file is damaged
 */
export async function backupFolder(
  folder: string,
  to: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<BackedUp> {
  checkArguments("backupFolder", { folder, to, options });
  const [from, target] = [resolve(folder), resolve(to)];
  await readStore(from);
  await refuseFull(target);
  await mkdir(dirname(target), { recursive: true });
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  const beside = join(dirname(target), `.tmp-${basename(target)}-${unique}`);
  for (let attempt = 1; ; attempt++) {
    try {
      options.signal?.throwIfAborted();
      await mkdir(beside);
      const copied = await copyTo(from, beside);
      await rename(beside, target);
      await nodeFileSystem.flushFolder(dirname(target)).catch(() => {});
      return { ...copied, folder: target };
    } catch (error) {
      await rm(beside, { recursive: true, force: true });
      if (!(error instanceof Overtaken) || attempt === attempts) throw error;
    }
  }
}
