/** `manifest.json`: what a run or store folder holds, by id and hash. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { formatPath } from "../config/issues.ts";
import { errorCode, StoreError } from "../core/errors.ts";
import { poolingKinds } from "../nn/features.ts";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const slug = z.string().regex(/^[a-z0-9_][a-z0-9._-]{0,63}$/);
/** Inside the run folder, and never out of it. */
const adapterFolder = z.string().regex(/^adapters\/[a-z0-9_][a-z0-9._-]*$/);

const taskSchema = z
  .strictObject({
    /** The true name; the slug is only its folder. */
    name: z.string(),
    slug,
    /** In slot order. */
    labels: z.array(z.string()).readonly(),
    adapter: z
      .strictObject({
        folder: adapterFolder,
        /** SHA-256 over the names and hashes of the files: the adapter's identity is its content. */
        id: hash,
        /** File name → SHA-256 of its bytes. */
        files: z.record(z.string().regex(/^[\w.-]+$/), hash).readonly(),
      })
      .readonly(),
    /** The folder holds statistics and no adapter: its classes are told apart from frozen features alone. */
    statisticsOnly: z.literal(true).optional(),
    /** How many classes the adapter saw in training that the store has forgotten since; their names are gone. */
    forgotten: z.int().min(1).optional(),
  })
  .readonly();

/** Which version of a folder that goes on learning this is. */
const storeSchema = z
  .strictObject({
    version: z.int().min(1),
    /** The version that `rollback` goes back to; absent where there is none. */
    parent: z.int().min(1).optional(),
    /** What made this version of its parent, in words. */
    change: z.string(),
    /** ISO 8601 in UTC; empty of what was an experiment. */
    time: z.string(),
    /** Settings that were changed since the folder was begun: key, with dots, → value. */
    settings: z.record(z.string(), z.json()).optional(),
  })
  .readonly();

const headerShape = {
  versions: z.strictObject({ accrete: z.string(), node: z.string(), engine: z.string() }).readonly(),
  backbone: z
    .strictObject({
      /** Path or hub id as configured. */
      source: z.string(),
      revision: z.string().optional(),
      hash,
      tokenizerHash: hash,
      architecture: z.string(),
    })
    .readonly(),
  /** Absent in a store that began empty: what it learns comes bit by bit. */
  dataHash: hash.optional(),
  configHash: hash,
  /** SHA-256 of the bytes of `config.resolved.yaml`; absent in folders of before it was kept. */
  settingsFile: hash.optional(),
  seed: z.int().min(0),
  feature: z.strictObject({ pooling: z.enum(poolingKinds), normalize: z.boolean() }).readonly(),
};

const manifestHeaderSchema = z.strictObject(headerShape).readonly();

const manifestSchema = z
  .strictObject({
    schemaVersion: z.literal(1),
    ...headerShape,
    tasks: z.array(taskSchema).readonly(),
    /** Absent: the folder of an experiment that nobody taught anything since. */
    store: storeSchema.optional(),
  })
  .readonly();

/** What is known before the first task. */
export type ManifestHeader = z.infer<typeof manifestHeaderSchema>;
export type Manifest = z.infer<typeof manifestSchema>;
/** A finished task. */
export type ManifestTask = z.infer<typeof taskSchema>;
export type StoreVersion = z.infer<typeof storeSchema>;

export const manifestFile = "manifest.json";

/** The text of a file; undefined where there is none. @throws StoreError where it cannot be read */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(cause) ?? "")) return undefined;
    throw new StoreError(`${path}: cannot be read`, { cause });
  }
}

/** @returns undefined where there is none. @throws StoreError where it is damaged or of a later version. */
export function readManifest(folder: string): Promise<Manifest | undefined> {
  return readManifestFile(join(folder, manifestFile));
}

/** As {@link readManifest}, of a file of any name. */
export async function readManifestFile(path: string): Promise<Manifest | undefined> {
  const text = await readIfThere(path);
  return text === undefined ? undefined : parseManifest(text, path);
}

const newest = 1;
const anySchema = z.looseObject({ schemaVersion: z.int() });

/**
 * @param path names the file in errors
 * @throws StoreError STORE_DAMAGED where it is no manifest, STORE_NEWER where a later Accrete wrote it
 */
export function parseManifest(text: string, path: string): Manifest {
  const hint = `accrete check ${dirname(path)} says what is whole; accrete repair ${dirname(path)} goes back to it.`;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new StoreError(`${path}: not valid JSON`, { code: "STORE_DAMAGED", cause, hint });
  }
  const versioned = anySchema.safeParse(json).data?.schemaVersion ?? newest;
  if (versioned > newest)
    throw new StoreError(
      `${path}: was written by a later version of Accrete: schema ${versioned}, this one reads up to ${newest}`,
      { code: "STORE_NEWER", hint: "Update Accrete: npm install accrete-lm@latest." },
    );
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new StoreError(`${path}: not a manifest of this version${whereOf(parsed.error)}`, {
    code: "STORE_DAMAGED",
    hint,
  });
}

function whereOf({ issues: [issue] }: z.ZodError): string {
  return issue === undefined ? "" : ` at ${formatPath(issue.path) || "its root"}: ${issue.message}`;
}

/**
 * A manifest as its file has it, once the schema that reads it has let it through.
 * @throws StoreError where nobody could read it again: nothing is written then
 */
export function encodeManifest(manifest: Manifest, path: string): string {
  const parsed = manifestSchema.safeParse(manifest);
  if (!parsed.success)
    throw new StoreError(`${path}: is not written: nobody could read it again${whereOf(parsed.error)}`, {
      exitCode: 1,
    });
  // In the schema's order: equal manifests give equal text, whoever made them.
  return `${JSON.stringify(parsed.data, null, 2)}\n`;
}
