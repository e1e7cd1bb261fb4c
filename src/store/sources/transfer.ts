/** A store of this machine into a bucket, and one of a bucket into a folder. */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { openArtefacts } from "../../artefacts/open.ts";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { ConfigError, errorCode, StoreError } from "../../core/errors.ts";
import { acquireLock } from "../../io/lock.ts";
import { listBegun } from "../../workspace/listing.ts";
import { manifestFile } from "../../workspace/manifest.ts";
import { readStore, versionPath } from "../../workspace/reading.ts";
import { Workspace } from "../../workspace/workspace.ts";
import { requireFinished } from "../adopted.ts";
import { lockingOf, type WaitOptions } from "../upkeep.ts";
import { manifestPaths, upload } from "./contents.ts";
import { bringTo, fetchText } from "./fetching.ts";
import { defaultTermMs, Leases } from "./lease.ts";
import { isStoreName } from "./names.ts";
import { publish } from "./publish.ts";
import { identityOf, listStores, type Published, parsePublished, storeName } from "./published.ts";

/** @param url of a store, e.g. `s3://bucket/prefix/intents` */
function splitUrl(url: string): { readonly place: string; readonly name: string } {
  const [, place = "", name = ""] = /^(.+?)\/+([^/]+)\/*$/.exec(url) ?? [];
  if (isStoreName(name) && place !== "s3:") return { place, name };
  throw new ConfigError(
    `${url}: expected s3://bucket/prefix/name, or a shared folder in place of s3://bucket/prefix; a name is letters, digits, ".", "_" and "-"`,
  );
}

async function readPublished(artefacts: ArtefactStore, name: string) {
  const named = await artefacts.readName(storeName(name));
  if (named === undefined) return undefined;
  return { named, published: parsePublished(named.value, `${artefacts.place}/${name}`) };
}

/** Long enough to see that whoever holds a lease has died. */
const defaultWaitSeconds = (2 * defaultTermMs) / 1000;

/** What a push or a pull did. */
export interface Transferred {
  /** The version that both have now. */
  readonly version: number;
  /** Whether that was so before. */
  readonly unchanged: boolean;
}

function describe({ version, change, time }: Published): string {
  return `version ${version} ("${change}"${time && `, ${time}`})`;
}

async function requireAncestor(folder: string, url: string, published: Published): Promise<void> {
  for (const path of await manifestPaths(folder)) {
    const text = await readFile(join(folder, path), "utf8");
    if (identityOf(JSON.parse(text)) === published.identity) return;
  }
  throw new StoreError(
    `${url}: is at ${describe(published)}, which is not among the versions of ${folder}: what was learned there would be lost`,
    {
      hint: `Take it in first: accrete pull ${url} <other folder>, then accrete merge <other folder> ${folder} --out <union>. Or push under another name.`,
    },
  );
}

/**
 * Publishes a store with the versions that it keeps, or those that came since it was last published. What is missing there of
 * those is written again.
 * @param url `s3://bucket/prefix/name`, or a path of a shared folder with the name behind it
 * @throws StoreError where what is published there is none of the store's own versions, or somebody is changing either
 */
export async function pushStore(
  folder: string,
  url: string,
  options: WaitOptions = {},
): Promise<Transferred> {
  const { place, name } = splitUrl(url);
  const path = resolve(folder);
  await requireFinished(path);
  const { store } = await readStore(path);
  const artefacts = await openArtefacts(place);
  const { waitSeconds = defaultWaitSeconds, onEvent, signal } = options;
  await using _workspace = await Workspace.open(path, lockingOf({ waitSeconds, onEvent, signal }));
  const leases = new Leases(artefacts, { termMs: defaultTermMs, cache: randomUUID(), certain: false });
  const lease = await leases.take(name, waitSeconds, (message) => onEvent?.({ type: "note", message }));
  try {
    const there = await readPublished(artefacts, name);
    if (there !== undefined) await requireAncestor(path, url, there.published);
    const next = await upload(artefacts, path, there && { published: there.published });
    if (next !== undefined) await publish(artefacts, name, next, there?.named, lease);
    return { version: store.version, unchanged: next === undefined };
  } finally {
    await lease.release();
  }
}

/** Whether a folder holds an earlier version of what is published, or the same. */
async function isCopy(artefacts: ArtefactStore, folder: string, published: Published): Promise<boolean> {
  const text = await readFile(join(folder, manifestFile), "utf8").catch(() => undefined);
  if (text === undefined) return false;
  const { store } = await readStore(folder);
  const identity = identityOf(JSON.parse(text));
  if (store.version === published.version) return identity === published.identity;
  const hash = published.files[versionPath("", store.version)];
  if (hash === undefined) return false;
  return identity === identityOf(JSON.parse(await fetchText(artefacts, hash, folder)));
}

/** A shared folder that is not there is not made by reading from it. */
async function requireFolder(place: string): Promise<void> {
  if (place.startsWith("s3:")) return;
  await stat(join(place, "names")).catch((cause: unknown) => {
    throw new StoreError(`${place}: no stores were published there`, { cause });
  });
}

const mostListed = 5;

async function noSuchStore(artefacts: ArtefactStore, name: string): Promise<StoreError> {
  const names = await listStores(artefacts);
  const more = names.length > mostListed ? ", …" : "";
  return new StoreError(`${artefacts.place}: no store is called "${name}"`, {
    code: "NO_SUCH_STORE",
    hint:
      names.length === 0
        ? "None was published there: accrete push <store> <url>."
        : `There are: ${names.slice(0, mostListed).join(", ")}${more}.`,
  });
}

/**
 * Copies a published store into a folder, or brings such a copy to the version that is published.
 * @param folder absent, empty, or a copy of that store that nothing was taught since
 * @throws StoreError where it holds anything else
 */
export async function pullStore(url: string, folder: string): Promise<Transferred> {
  const { place, name } = splitUrl(url);
  await requireFolder(place);
  const artefacts = await openArtefacts(place);
  const there = await readPublished(artefacts, name);
  if (there === undefined) throw await noSuchStore(artefacts, name);
  const { published } = there;
  const target = resolve(folder);
  if ((await listBegun(target)).length === 0) {
    await makeCopy(artefacts, target, published);
    return { version: published.version, unchanged: false };
  }
  await using _lock = await acquireLock(target);
  if (!(await isCopy(artefacts, target, published)))
    throw new StoreError(
      `${folder}: holds something else than an earlier version of ${url}, which is at ${describe(published)}`,
      { code: "NAME_TAKEN", hint: "Choose another folder." },
    );
  const { store } = await readStore(target);
  await bringTo(artefacts, target, published);
  return { version: published.version, unchanged: store.version === published.version };
}

/** Beside its place, so that it is there when it is whole. */
async function makeCopy(artefacts: ArtefactStore, target: string, published: Published): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  const beside = join(dirname(target), `.tmp-${basename(target)}-${unique}`);
  try {
    await bringTo(artefacts, beside, published);
    // Of an empty folder that stands there.
    await rmdir(target).catch((cause: unknown) => {
      if (errorCode(cause) === "ENOENT") return;
      throw new StoreError(`${target}: is in use, or holds what an interrupted write left`, {
        code: "NAME_TAKEN",
        cause,
        hint: "Choose another folder.",
      });
    });
    await rename(beside, target);
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}
