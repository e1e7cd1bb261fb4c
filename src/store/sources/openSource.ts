/** Where stores are kept, as data that goes from thread to thread, and the source that it names. */
import { join, resolve } from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { NamedFolders, RootFolder } from "./folders.ts";
import { copiesFolder } from "./names.ts";
import type { StoreSource } from "./source.ts";

/** Where the stores of a server are kept. */
export type StoresAt =
  | { readonly kind: "folders" /** Name → folder. */; readonly stores: Readonly<Record<string, string>> }
  | { readonly kind: "root"; readonly folder: string }
  | {
      readonly kind: "bucket";
      readonly url: string /** A folder of this machine. */;
      readonly cache: string;
    };

/** Who opens a source: a writer changes its copies before others may see the change, so each has copies of its own. */
export type SourceUse = "reading" | "writing";

const bucketUrl = /^s3:\/\//;

/**
 * @param place a folder, or `s3://bucket/prefix`
 * @param cache where copies of a bucket's stores lie
 */
export function storesAt(place: string, cache?: string): StoresAt {
  if (!bucketUrl.test(place)) return { kind: "root", folder: place };
  if (cache !== undefined) return { kind: "bucket", url: place, cache };
  throw new ConfigError(
    `${place}: stores of a bucket are copied to this machine, and no folder is named for that`,
    {
      hint: "accrete serve --stores s3://… --cache <folder>",
    },
  );
}

/** @throws StoreError where nothing can be read there */
export async function openSource(at: StoresAt, use: SourceUse): Promise<StoreSource> {
  if (at.kind === "folders") return new NamedFolders(at.stores);
  if (at.kind === "root") return await RootFolder.open(at.folder);
  // Only a bucket needs a client of S3.
  const { openBucketSource } = await import("./bucket.ts");
  return await openBucketSource(at.url, join(at.cache, use));
}

/** Beside the folder of a store lies what a server keeps of its texts. @returns undefined where stores have no folder of their own */
export function ownFolderOf(at: StoresAt, name: string): string | undefined {
  if (at.kind === "folders") return resolve(at.stores[name] ?? name);
  return at.kind === "root" ? join(resolve(at.folder), name) : undefined;
}

/** Paths that messages may hold, and what is said in their place: a store's own name remains. */
export function pathsOf(at: StoresAt): readonly (readonly [path: string, said: string])[] {
  if (at.kind === "folders")
    return Object.entries(at.stores).flatMap(([name, path]) => [
      [resolve(path), name] as const,
      [path, name] as const,
    ]);
  return [[`${at.kind === "root" ? resolve(at.folder) : at.url}/`.replace(/\/+$/, "/"), ""]];
}

/** What stands before a store's name in paths of its copy. @returns undefined where stores are not copied */
export function copiesIn(at: StoresAt): RegExp | undefined {
  if (at.kind !== "bucket") return undefined;
  const cache = resolve(at.cache).replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`${cache}[/\\\\](?:reading|writing)[/\\\\]${copiesFolder.source}[/\\\\]`, "g");
}
