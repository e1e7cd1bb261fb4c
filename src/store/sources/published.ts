/**
 * A store in a bucket: one name, whose value lists by hash the files that name all others. Setting it is what publishes a
 * version. What manifests and pages name lies there under its hash, shared by versions and stores.
 */
import { z } from "zod";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { StoreError } from "../../core/errors.ts";
import { sha256Json } from "../../io/hash.ts";
import { configFile } from "../../model/settings/settings.ts";
import { manifestFile } from "../../workspace/manifest.ts";
import { adopted, versionsFolder } from "../../workspace/reading.ts";
import { routerFolder } from "../../workspace/routers.ts";
import { isStoreName, NoSuchStoreError } from "./names.ts";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
/** What a copy of a store is written from: nothing else, and nothing out of its folder. */
const rootPath = new RegExp(
  `^(${manifestFile}|${configFile}|${versionsFolder}/\\d{6,}\\.json|${routerFolder}/\\d{6,}/[a-z]+/\\w[\\w.-]*)$`,
);

const publishedSchema = z
  .strictObject({
    format: z.literal(1),
    version: z.int().min(1),
    /** Tells the version from one of the same number that somebody else made. */
    identity: hash,
    change: z.string(),
    /** When the change was made, ISO 8601 in UTC; empty of what was an experiment. */
    time: z.string(),
    /** Of this publication alone: two never have the same text. */
    publication: z.string(),
    /** Path in the store's folder → SHA-256: the manifests of all kept versions, the settings, the present version's routers. */
    files: z
      .record(z.string().regex(rootPath), hash)
      .refine((files) => manifestFile in files && configFile in files)
      .readonly(),
  })
  .readonly();

export type Published = z.infer<typeof publishedSchema>;

const storesPrefix = "stores/";

export function storeName(name: string): string {
  return storesPrefix + name;
}

export async function listStores(artefacts: ArtefactStore): Promise<readonly string[]> {
  const names = await artefacts.names(storesPrefix);
  return names.map((name) => name.slice(storesPrefix.length)).filter(isStoreName);
}

/** @throws NoSuchStoreError where it is no name of a store, before anything is asked */
export function checkStoreName(name: string): string {
  if (isStoreName(name)) return name;
  throw new NoSuchStoreError(name, []);
}

/**
 * @param where as messages name the store
 * @throws StoreError STORE_NEWER where a later Accrete published it, STORE_DAMAGED where it cannot be understood
 */
export function parsePublished(text: string, where: string): Published {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new StoreError(`${where}: what is published is not valid JSON`, { code: "STORE_DAMAGED", cause });
  }
  const format = z.looseObject({ format: z.int() }).safeParse(json).data?.format ?? 1;
  if (format > 1)
    throw new StoreError(
      `${where}: was published by a later version of Accrete: format ${format}, this one reads 1`,
      { code: "STORE_NEWER", hint: "Update Accrete: npm install accrete-lm@latest." },
    );
  const parsed = publishedSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new StoreError(
    `${where}: what is published is no store: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`,
    { code: "STORE_DAMAGED", hint: "Publish it anew from a whole copy, under another name: accrete push." },
  );
}

const headerSchema = z.looseObject({
  configHash: hash,
  dataHash: hash.optional(),
  seed: z.int(),
  store: z.looseObject({ version: z.int(), change: z.string(), time: z.string() }).optional(),
});

/** What a version is told by, wherever its files lie: what a purge leaves out of it is not part of that. */
export function identityOf(manifest: unknown): string {
  const { configHash, dataHash, seed, store } = headerSchema.parse(manifest);
  const { version, change, time } = store ?? adopted;
  return sha256Json({ configHash, dataHash: dataHash ?? "", seed, version, change, time });
}
