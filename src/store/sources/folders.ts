/** Stores in folders of this machine, or of a volume that several machines share: named one by one, or all those below a root. */
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { errorCode, StoreError } from "../../core/errors.ts";
import { manifestFile } from "../../workspace/manifest.ts";
import { isStoreName, NoSuchStoreError, namesAround } from "./names.ts";
import type { StoreSource } from "./source.ts";

/** For so long a root is not listed anew. */
const LISTED_MS = 1000;
/** New folders that are looked into at once. */
const AT_ONCE = 64;

/** A store's folder is where its processes write: its own lock keeps writers apart, and there is nothing to fetch. */
abstract class Folders implements StoreSource {
  abstract readonly place: string;
  abstract names(): Promise<readonly string[]>;
  abstract folder(name: string): Promise<string>;

  async pull(): Promise<void> {}

  async change<T>(name: string, make: (folder: string) => Promise<T>): Promise<T> {
    return await make(await this.folder(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Folders that were named one by one. */
export class NamedFolders extends Folders {
  readonly place = "the folders that are served";
  private readonly folders: ReadonlyMap<string, string>;

  /** @param stores name → folder */
  constructor(stores: Readonly<Record<string, string>>) {
    super();
    this.folders = new Map(Object.entries(stores).map(([name, path]) => [name, resolve(path)]));
  }

  async names(): Promise<readonly string[]> {
    return [...this.folders.keys()].sort();
  }

  async folder(name: string): Promise<string> {
    const folder = this.folders.get(name);
    if (folder === undefined) throw new NoSuchStoreError(name, await this.names());
    return folder;
  }
}

async function isStore(folder: string): Promise<boolean> {
  try {
    return (await stat(join(folder, manifestFile))).isFile();
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return false;
    throw error;
  }
}

/** The folders with a manifest right below a root, found when they are asked for. */
export class RootFolder extends Folders {
  readonly place: string;
  private readonly root: string;
  /** Names that were stores when they were looked into. */
  private known = new Set<string>();
  private listing: { readonly names: Promise<readonly string[]>; readonly at: number } | undefined;

  private constructor(root: string) {
    super();
    this.root = root;
    this.place = root;
  }

  /** @throws StoreError where there is no such folder, or it cannot be read */
  static async open(folder: string): Promise<RootFolder> {
    const root = resolve(folder);
    await readdir(root).catch((cause: unknown) => {
      const why: Readonly<Record<string, string>> = {
        ENOENT: "there is no such folder",
        ENOTDIR: "is no folder",
      };
      const code = errorCode(cause) ?? "";
      throw new StoreError(`${folder}: ${why[code] ?? `cannot be read (${code})`}`, {
        cause,
        hint: "Name the folder whose sub-folders are the stores; one store alone is served by: accrete serve <store>.",
      });
    });
    return new RootFolder(root);
  }

  names(): Promise<readonly string[]> {
    const now = performance.now();
    if (this.listing === undefined || now - this.listing.at > LISTED_MS) {
      const names = this.list();
      this.listing = { names, at: now };
      names.catch(() => {
        this.listing = undefined;
      });
    }
    return this.listing.names;
  }

  /** Only folders that are new are looked into. */
  private async list(): Promise<readonly string[]> {
    const entries = await readdir(this.root, { withFileTypes: true });
    const present = entries.flatMap((entry) =>
      (entry.isDirectory() || entry.isSymbolicLink()) && isStoreName(entry.name) ? [entry.name] : [],
    );
    const known = new Set(present.filter((name) => this.known.has(name)));
    const others = present.filter((name) => !known.has(name));
    for (let start = 0; start < others.length; start += AT_ONCE) {
      const part = others.slice(start, start + AT_ONCE);
      const found = await Promise.all(part.map((name) => isStore(join(this.root, name))));
      for (const [i, name] of part.entries()) if (found[i] === true) known.add(name);
    }
    this.known = known;
    return [...known].sort();
  }

  async folder(name: string): Promise<string> {
    const folder = join(this.root, name);
    if (isStoreName(name) && (await isStore(folder))) return folder;
    this.known.delete(name);
    const others = (await this.names()).filter((each) => each !== name);
    throw new NoSuchStoreError(name, namesAround(name, others));
  }
}
