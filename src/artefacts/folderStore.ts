/** A shared folder as artefact store. */
import { createReadStream } from "node:fs";
import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { errorCode, StoreError } from "../core/errors.ts";
import { writeFileAtomic, writeNewFile } from "../io/atomic.ts";
import { sha256 } from "../io/hash.ts";
import { acquireLock } from "../io/lock.ts";
import type { ArtefactStore, FileToSend, NamedValue, StoredObject } from "./store.ts";

export function objectKey(hash: string): string {
  return `objects/${hash.slice(0, 2)}/${hash}`;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

/** Content that comes to be read only when it is whole. @throws StoreError (exit 1) */
async function placeWhole(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(
    dirname(path),
    `.tmp-${hostname()}-${process.pid}-${Math.random().toString(36).slice(2)}`,
  );
  try {
    await mkdir(dirname(path), { recursive: true });
    await write(temporary);
    const handle = await open(temporary, "r+");
    await handle.sync().finally(() => handle.close());
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    const full = ["ENOSPC", "EDQUOT"].includes(errorCode(cause) ?? "");
    throw new StoreError(`${path}: cannot be written${full ? ": the disk is full" : ""}`, {
      cause,
      exitCode: 1,
    });
  }
}

const lockWaitMs = 10_000;
const nameEnd = ".txt";

function named(value: string): NamedValue {
  return { value, mark: sha256(value) };
}

class FolderStore implements ArtefactStore {
  readonly place: string;
  readonly #names: string;

  constructor(folder: string) {
    this.place = resolve(folder);
    this.#names = join(this.place, "names");
  }

  /** @throws StoreError where it cannot be made */
  async make(): Promise<void> {
    await mkdir(this.#names, { recursive: true }).catch((cause: unknown) => {
      throw new StoreError(`${this.place}: the folder for artefacts cannot be made`, {
        cause,
        hint: "Give a folder that you may write to and that every machine sees.",
      });
    });
  }

  #object(hash: string): string {
    return join(this.place, objectKey(hash));
  }

  #name(name: string): string {
    return join(this.#names, `${name.replaceAll("/", "+")}${nameEnd}`);
  }

  has(hash: string): Promise<boolean> {
    return exists(this.#object(hash));
  }

  async put(hash: string, content: Uint8Array): Promise<void> {
    if (!(await this.has(hash))) await this.write(objectKey(hash), content);
  }

  async putFile(hash: string, path: string, sizeBytes: number): Promise<void> {
    if (!(await this.has(hash))) await this.write(objectKey(hash), { path, sizeBytes });
  }

  async fetch(hash: string, path: string): Promise<void> {
    if (await this.read(objectKey(hash), path)) return;
    throw new StoreError(`${this.#object(hash)}: cannot be copied to ${path}: it is not there`, {
      exitCode: 1,
    });
  }

  async write(key: string, content: Uint8Array | FileToSend): Promise<void> {
    await placeWhole(join(this.place, key), async (temporary) => {
      const target = await open(temporary, "wx");
      if (content instanceof Uint8Array) await target.writeFile(content).finally(() => target.close());
      else await pipeline(createReadStream(content.path), target.createWriteStream());
    });
  }

  async read(key: string, path: string): Promise<boolean> {
    const object = join(this.place, key);
    try {
      await copyFile(object, path);
      return true;
    } catch (cause) {
      if (errorCode(cause) === "ENOENT" && !(await exists(object))) return false;
      throw new StoreError(`${object}: cannot be copied to ${path}`, { cause, exitCode: 1 });
    }
  }

  async list(folder: string): Promise<readonly StoredObject[]> {
    const path = join(this.place, folder);
    const names = await readdir(path).catch((cause: unknown) => {
      if (errorCode(cause) === "ENOENT") return [];
      throw new StoreError(`${path}: cannot be read`, { cause, exitCode: 1 });
    });
    const found: StoredObject[] = [];
    for (const name of names) {
      // Another process takes away what it wrote beside its place.
      const file = await stat(join(path, name)).catch(() => undefined);
      if (file?.isFile()) found.push({ key: `${folder}/${name}`, sizeBytes: file.size });
    }
    return found;
  }

  async remove(key: string): Promise<void> {
    const path = join(this.place, key);
    await rm(path, { force: true }).catch((cause: unknown) => {
      throw new StoreError(`${path}: cannot be deleted`, {
        cause,
        exitCode: 1,
        hint: "Whoever changes stores there needs the right to delete files.",
      });
    });
  }

  async readName(name: string, before?: NamedValue): Promise<NamedValue | undefined> {
    const path = this.#name(name);
    const value = await readFile(path, "utf8").catch((cause: unknown) => {
      if (errorCode(cause) === "ENOENT") return undefined;
      throw new StoreError(`${path}: cannot be read`, { cause, exitCode: 1 });
    });
    if (value === undefined) return undefined;
    return value === before?.value ? before : named(value);
  }

  async setName(
    name: string,
    value: string,
    before: NamedValue | undefined,
  ): Promise<NamedValue | undefined> {
    if (before === undefined) return (await writeNewFile(this.#name(name), value)) ? named(value) : undefined;
    // Comparing and replacing are two steps, so that one writer alone may be between them.
    await using _lock = await acquireLock(this.#names, { waitMs: lockWaitMs, elsewhere: false });
    if ((await this.readName(name))?.mark !== before.mark) return undefined;
    await writeFileAtomic(this.#name(name), value);
    return named(value);
  }

  async names(prefix: string): Promise<readonly string[]> {
    const files = await readdir(this.#names).catch((cause: unknown) => {
      throw new StoreError(`${this.#names}: cannot be read`, { cause, exitCode: 1 });
    });
    return files
      .filter((file) => file.endsWith(nameEnd))
      .map((file) => file.slice(0, -nameEnd.length).replaceAll("+", "/"))
      .filter((name) => name.startsWith(prefix))
      .sort();
  }
}

/** @param folder that every machine sees, under whatever path */
export async function folderStore(folder: string): Promise<ArtefactStore> {
  const store = new FolderStore(folder);
  await store.make();
  return store;
}

/** Gives a file a second place, without copying its bytes where the file system can. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch((error: unknown) => {
    if (!["EXDEV", "EPERM", "ENOTSUP", "EMLINK"].includes(errorCode(error) ?? "")) throw error;
    return copyFile(from, to);
  });
}
