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
import type { ArtefactStore, NamedValue } from "./store.ts";

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
    if (await this.has(hash)) return;
    await placeWhole(this.#object(hash), async (temporary) => {
      const target = await open(temporary, "wx");
      await target.writeFile(content).finally(() => target.close());
    });
  }

  async putFile(hash: string, path: string): Promise<void> {
    if (await this.has(hash)) return;
    await placeWhole(this.#object(hash), async (temporary) => {
      const target = await open(temporary, "wx");
      await pipeline(createReadStream(path), target.createWriteStream());
    });
  }

  async fetch(hash: string, path: string): Promise<void> {
    await copyFile(this.#object(hash), path).catch((cause: unknown) => {
      const missing = errorCode(cause) === "ENOENT" ? ": it is not there" : "";
      throw new StoreError(`${this.#object(hash)}: cannot be copied to ${path}${missing}`, {
        cause,
        exitCode: 1,
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
