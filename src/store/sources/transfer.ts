/** A store of this machine into a bucket, and one of a bucket into a folder. */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { openArtefacts } from "../../artefacts/open.ts";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { fetchVerified, publishFile } from "../../artefacts/tree.ts";
import { ConfigError, errorCode, StoreError } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import { acquireLock } from "../../io/lock.ts";
import { listBegun } from "../../workspace/listing.ts";
import { manifestFile } from "../../workspace/manifest.ts";
import { readStore, versionPath } from "../../workspace/reading.ts";
import { Workspace } from "../../workspace/workspace.ts";
import { requireFinished } from "../adopted.ts";
import { lockingOf, type WaitOptions } from "../upkeep.ts";
import { type CollectedObjects, collect } from "./collecting.ts";
import { allNamedIn, manifestPaths, namedIn, upload } from "./contents.ts";
import { bringToNewest, fetchManifests, fetchText } from "./fetching.ts";
import { defaultTermMs, type Lease, Leases } from "./lease.ts";
import { isStoreName, namesAround } from "./names.ts";
import { StoreObjects } from "./objects.ts";
import { originOf, rememberOrigin } from "./origin.ts";
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

/** What a push did, and what it deleted of what earlier versions alone named. */
export interface Pushed extends Transferred, CollectedObjects {}

/** What a clean-up deleted of what nothing names in a bucket. */
export interface CleanedUp extends CollectedObjects {
  /** The version that is published. */
  readonly version: number;
}

function describe({ version, change, time }: Published): string {
  return `version ${version} ("${change}"${time && `, ${time}`})`;
}

/** @param url of the store, as its place and name make it */
async function requireAncestor(folder: string, url: string, published: Published): Promise<void> {
  if ((await originOf(folder, url)) === published.identity) return;
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

/** @param onEvent hears whom this waits for */
async function asOnlyWriter<T>(
  artefacts: ArtefactStore,
  name: string,
  { waitSeconds = defaultWaitSeconds, onEvent }: WaitOptions,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  const leases = new Leases(artefacts, { termMs: defaultTermMs, cache: randomUUID(), certain: false });
  const lease = await leases.take(name, waitSeconds, (message) => onEvent?.({ type: "note", message }));
  try {
    return await work(lease);
  } finally {
    await lease.release();
  }
}

async function withScratch<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Hashes of all that is published, as the published manifests say. */
async function allNamedThere(objects: StoreObjects, published: Published): Promise<ReadonlySet<string>> {
  return await withScratch(async (scratch) => {
    await fetchManifests(objects, scratch, published);
    return await allNamedIn(scratch, published);
  });
}

/** Of what is published, what is there: the rest is written, again where need be. */
async function standingOf(objects: StoreObjects, folder: string, published: Published) {
  const there = await objects.hashes();
  // A purge took the earlier manifests from the folder; where one is missing there too, what the others name is known.
  const named = await allNamedIn(folder, published)
    .catch(() => allNamedThere(objects, published))
    .catch(() => namedIn(folder, published));
  return { published, named: new Set([...named].filter((hash) => there.has(hash))) };
}

/**
 * Publishes a store with the versions that it keeps, or those that came since it was last published. What is missing there of
 * those is written again. What no published version names any more is deleted there.
 * @param url `s3://bucket/prefix/name`, or a path of a shared folder with the name behind it
 * @throws StoreError where what is published there is none of the store's own versions, or somebody is changing either
 */
export async function pushStore(folder: string, url: string, options: WaitOptions = {}): Promise<Pushed> {
  const { place, name } = splitUrl(url);
  const path = resolve(folder);
  await requireFinished(path);
  const { store } = await readStore(path);
  const artefacts = await openArtefacts(place);
  const { waitSeconds = defaultWaitSeconds, onEvent, signal } = options;
  await using _workspace = await Workspace.open(path, lockingOf({ waitSeconds, onEvent, signal }));
  const objects = new StoreObjects(artefacts, name);
  return await asOnlyWriter(artefacts, name, options, async (lease) => {
    const there = await readPublished(artefacts, name);
    if (there !== undefined) await requireAncestor(path, objects.place, there.published);
    const next = await upload(objects, path, there && (await standingOf(objects, path, there.published)));
    if (next !== undefined) await publish(artefacts, name, next, there?.named, lease);
    await rememberOrigin(path, objects.place, (next ?? there?.published)?.identity ?? "");
    const collected =
      next === undefined
        ? { deletedObjects: 0, freedBytes: 0 }
        : await collect(objects, () => allNamedIn(path, next), lease);
    return { version: store.version, unchanged: next === undefined, ...collected };
  });
}

/**
 * Deletes objects of a published store that nothing names: what deletions that failed, and writers that died, left.
 * @param url `s3://bucket/prefix/name`, or a path of a shared folder with the name behind it
 * @throws StoreError where no such store is published, or somebody is changing it
 */
export async function cleanPublished(url: string, options: WaitOptions = {}): Promise<CleanedUp> {
  const { artefacts, name } = await openPublished(url);
  const objects = new StoreObjects(artefacts, name);
  return await asOnlyWriter(artefacts, name, options, async (lease) => {
    const { named, published } = await requirePublished(artefacts, name);
    const needed = await allNamedThere(objects, published);
    const repeated = (await objects.repeated()).filter((hash) => needed.has(hash));
    await withScratch((scratch) => writeAgain(objects, repeated, scratch));
    // Whoever lost the lease, and began with what is published now, publishes nothing after this.
    await publish(artefacts, name, { ...published, publication: randomUUID() }, named, lease);
    return { version: published.version, ...(await collect(objects, async () => needed, lease)) };
  });
}

/** What is there more than once is taken from there and written once more: of that one alone it is known that nobody deletes it. */
async function writeAgain(objects: StoreObjects, hashes: readonly string[], scratch: string): Promise<void> {
  for (const hash of hashes) {
    const path = join(scratch, hash);
    await fetchVerified(objects, hash, path);
    await publishFile(objects, path);
    await rm(path);
  }
}

/** Whether a folder holds an earlier version of what is published, or the same. */
async function isCopy(objects: StoreObjects, folder: string, published: Published): Promise<boolean> {
  const text = await readFile(join(folder, manifestFile), "utf8").catch(() => undefined);
  if (text === undefined) return false;
  const { store } = await readStore(folder);
  const identity = identityOf(JSON.parse(text));
  if (store.version === published.version) return identity === published.identity;
  // Nothing was taught it since it was fetched from there, though that version is no longer kept.
  if (store.version < published.version && (await originOf(folder, objects.place)) === identity) return true;
  const hash = published.files[versionPath("", store.version)];
  if (hash === undefined) return false;
  return identity === identityOf(JSON.parse(await fetchText(objects, hash, folder)));
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
  const near = nearest(name, namesAround(name, names));
  const meant = near === undefined ? "" : `; did you mean "${near}"?`;
  return new StoreError(`${artefacts.place}: no store is called "${name}"${meant}`, {
    code: "NO_SUCH_STORE",
    hint:
      names.length === 0
        ? "None was published there: accrete push <store> <url>."
        : `There are: ${names.slice(0, mostListed).join(", ")}${more}.`,
  });
}

async function requirePublished(artefacts: ArtefactStore, name: string) {
  const there = await readPublished(artefacts, name);
  if (there === undefined) throw await noSuchStore(artefacts, name);
  return there;
}

/** @throws StoreError where no store is published there */
async function openPublished(url: string) {
  const { place, name } = splitUrl(url);
  await requireFolder(place);
  const artefacts = await openArtefacts(place);
  return { artefacts, name, there: await requirePublished(artefacts, name) };
}

/**
 * Copies a published store into a folder, or brings such a copy to the version that is published.
 * @param folder absent, empty, or a copy of that store that nothing was taught since
 * @throws StoreError where it holds anything else
 */
export async function pullStore(url: string, folder: string): Promise<Transferred> {
  const { artefacts, name, there } = await openPublished(url);
  const { published } = there;
  const bring = async (to: string) => {
    const brought = await bringToNewest(
      () => new StoreObjects(artefacts, name),
      to,
      there,
      () => requirePublished(artefacts, name),
    );
    await rememberOrigin(to, `${artefacts.place}/${name}`, brought.published.identity);
    return brought.published.version;
  };
  const target = resolve(folder);
  if ((await listBegun(target)).length === 0)
    return { version: await makeCopy(target, bring), unchanged: false };
  await using _lock = await acquireLock(target);
  if (!(await isCopy(new StoreObjects(artefacts, name), target, published)))
    throw new StoreError(
      `${folder}: holds something else than an earlier version of ${url}, which is at ${describe(published)}`,
      { code: "NAME_TAKEN", hint: "Choose another folder." },
    );
  const { store } = await readStore(target);
  const version = await bring(target);
  return { version, unchanged: store.version === version };
}

/** Beside its place, so that it is there when it is whole. */
async function makeCopy<T>(target: string, bring: (to: string) => Promise<T>): Promise<T> {
  await mkdir(dirname(target), { recursive: true });
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  const beside = join(dirname(target), `.tmp-${basename(target)}-${unique}`);
  try {
    const brought = await bring(beside);
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
    return brought;
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}
