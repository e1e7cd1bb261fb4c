/** Making a store of others: it is built beside its place, and stands there when it is whole. */
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { StoreError } from "../../core/errors.ts";
import { sha256Json } from "../../io/hash.ts";
import { acquireLock, lockFile, refuseHeld } from "../../io/lock.ts";
import type { Manifest } from "../manifest.ts";
import { listFolder } from "../runFolder.ts";
import { isLeftover, refuseFull } from "./create.ts";
import { type StoreSettings, writeSettings } from "./settings.ts";
import { StoreFolder } from "./storeFolder.ts";

/** What a store begins with. */
export interface Beginning {
  readonly settings: StoreSettings;
  readonly manifest: Omit<Manifest, "store" | "configHash" | "tasks">;
}

/** Named by the place that it is for. */
const buildFolder = /^\.tmp-build-(.+)-\d+-[0-9a-f]{8}$/;

function buildFolderFor(path: string): string {
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  return join(dirname(path), `.tmp-build-${basename(path)}-${unique}`);
}

async function isHeld(folder: string): Promise<boolean> {
  return await refuseHeld(folder).then(
    () => false,
    () => true,
  );
}

/** Who builds holds the lock of the place; what nobody holds is a dead process's. */
async function removeDeadBuilds(parent: string): Promise<void> {
  for (const name of await listFolder(parent)) {
    const place = buildFolder.exec(name)?.[1];
    if (place === undefined) continue;
    // In this order: at the end the lock moves from the place into the folder that takes it.
    if ((await isHeld(join(parent, place))) || (await isHeld(join(parent, name)))) continue;
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

/**
 * Puts a folder where an empty one is, whose lock this process holds and goes on holding.
 * @throws StoreError where something came there meanwhile; it stays
 */
async function putInPlace(beside: string, path: string): Promise<void> {
  await refuseFull(path);
  for (const name of await listFolder(path))
    if (isLeftover(name)) await rm(join(path, name), { recursive: true, force: true });
  await rename(join(path, lockFile), join(beside, lockFile));
  try {
    await rmdir(path);
    await rename(beside, path);
  } catch (cause) {
    throw new StoreError(`${path}: something else was written there meanwhile, which stays`, {
      cause,
      hint: "Choose another folder.",
    });
  }
}

async function build<T>(
  path: string,
  { settings, manifest }: Beginning,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const beside = buildFolderFor(path);
  try {
    await mkdir(beside);
    await writeSettings(beside, settings);
    await StoreFolder.begin(beside, { ...manifest, configHash: sha256Json(settings), tasks: [] }, "begun");
    const result = await fill(beside);
    await putInPlace(beside, path);
    return result;
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Begins a store, builds it beside its place, and puts it there when it is whole. The place is locked all the while, so
 * that nobody begins anything there.
 * @param begin asked once the place is known to be free
 * @param fill teaches it
 * @throws StoreError if the place is not free
 */
export async function buildBeside<T>(
  out: string,
  begin: () => Promise<Beginning>,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const path = resolve(out);
  await refuseFull(path);
  const beginning = await begin();
  await removeDeadBuilds(dirname(path));
  const made = await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw new StoreError(`${path}: the store's folder cannot be made`, { cause });
  });
  try {
    await using _ = await acquireLock(path);
    // Another process may have come between the look and the lock.
    await refuseFull(path);
    return await build(path, beginning, fill);
  } catch (error) {
    // Where it holds somebody's files after all, it stays.
    if (made !== undefined) await rmdir(path).catch(() => {});
    throw error;
  }
}
