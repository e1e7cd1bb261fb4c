/** Stores in a bucket of S3, or of whatever speaks it, or on a shared folder: copies of them here, and one writer at a time. */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { openArtefacts } from "../../artefacts/open.ts";
import type { ArtefactStore, NamedValue } from "../../artefacts/store.ts";
import { StoreError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { sha256 } from "../../io/hash.ts";
import { acquireLock, type FolderLock } from "../../io/lock.ts";
import { inTurn } from "../../workspace/queue.ts";
import { collect } from "./collecting.ts";
import { allNamedIn, namedIn, upload } from "./contents.ts";
import { bringTo, bringToNewest, isWhole } from "./fetching.ts";
import { defaultTermMs, type Lease, Leases } from "./lease.ts";
import { isStoreName, NoSuchStoreError, namesAround } from "./names.ts";
import { StoreObjects } from "./objects.ts";
import { publish } from "./publish.ts";
import { listStores, type Published, parsePublished, storeName } from "./published.ts";
import type { StoreSource } from "./source.ts";

export interface BucketOptions {
  /** Milliseconds that the lease of a writer that died stands; default: 20,000. */
  readonly termMs?: number;
  /** In place of what the url names. */
  readonly artefacts?: ArtefactStore;
}

/** Copies whose notes are kept in memory. */
const mostRemembered = 1000;

/** For so long what stores there are is not asked anew to say which one was probably meant. */
const listedMs = 10_000;

/** What is noted of a copy, beside it. */
const noteSchema = z.object({
  value: z.string(),
  mark: z.string(),
  /** A change is being made in the copy, or was when the process died: it may be ahead of what is published. */
  changing: z.boolean(),
});

/** What a copy was last brought to. */
interface Copy {
  readonly named: NamedValue;
  readonly published: Published;
  readonly changing: boolean;
}

/** A change that is under way. */
interface Begun {
  readonly objects: StoreObjects;
  readonly before: Copy;
  /** Hashes of all that `before` names. */
  readonly named: ReadonlySet<string>;
  readonly lease: Lease;
}

class BucketSource implements StoreSource {
  readonly place: string;
  readonly #artefacts: ArtefactStore;
  readonly #root: string;
  readonly #lock: FolderLock;
  readonly #leases: Leases;
  readonly #copies = new Map<string, Copy>();
  readonly #changing = new Set<string>();
  #listing: { readonly names: Promise<readonly string[]>; readonly at: number } | undefined;

  constructor(artefacts: ArtefactStore, root: string, lock: FolderLock, leases: Leases) {
    this.place = artefacts.place;
    this.#artefacts = artefacts;
    this.#root = root;
    this.#lock = lock;
    this.#leases = leases;
  }

  names(): Promise<readonly string[]> {
    return listStores(this.#artefacts);
  }

  /** Where upper and lower case are one, names that differ in it alone have folders of their own. */
  #folder(name: string): string {
    if (!isStoreName(name)) throw new NoSuchStoreError(name, []);
    return join(this.#root, /[A-Z]/.test(name) ? `${name}+${sha256(name).slice(0, 8)}` : name);
  }

  #where(name: string): string {
    return `${this.place}/${name}`;
  }

  async folder(name: string): Promise<string> {
    const folder = this.#folder(name);
    const known = await this.#copyOf(name);
    if (this.#changing.has(name) || (known?.changing === false && (await isWhole(folder)))) return folder;
    await inTurn(`${folder}+`, () => this.#bring(name));
    return folder;
  }

  async pull(name: string): Promise<void> {
    // A change has the newest version, and nobody else publishes one meanwhile.
    if (!this.#changing.has(name)) await inTurn(`${this.#folder(name)}+`, () => this.#bring(name));
  }

  async change<T>(
    name: string,
    make: (folder: string) => Promise<T>,
    waitSeconds: number,
    onWarning: (message: string) => void = () => {},
  ): Promise<T> {
    return await inTurn(`${this.#folder(name)}++`, async () => {
      await this.folder(name);
      const lease = await this.#leases.take(name, waitSeconds);
      try {
        return await this.#changeHeld(name, make, lease, onWarning);
      } finally {
        await this.#leases.release(lease);
      }
    });
  }

  async #changeHeld<T>(
    name: string,
    make: (folder: string) => Promise<T>,
    lease: Lease,
    onWarning: (message: string) => void,
  ): Promise<T> {
    const folder = this.#folder(name);
    const before = await inTurn(`${folder}+`, async () => {
      const copy = await this.#bring(name);
      this.#changing.add(name);
      return copy;
    });
    try {
      const named = await namedIn(folder, before.published);
      await this.#note(name, { ...before, changing: true });
      const objects = new StoreObjects(this.#artefacts, name);
      const { result, next } = await this.#publishChange(name, make, { objects, before, named, lease }).catch(
        async (error: unknown) => {
          // What cannot be brought back now is before the copy is used again.
          await bringTo(objects, folder, before.published)
            .then(() => this.#note(name, before))
            .catch(() => {});
          throw error;
        },
      );
      if (next === undefined) return result;
      const { warning } = await collect(objects, () => allNamedIn(folder, next), lease);
      if (warning !== undefined) onWarning(warning);
      return result;
    } finally {
      this.#changing.delete(name);
    }
  }

  /** @returns `next`: what was published, where there was anything to publish */
  async #publishChange<T>(
    name: string,
    make: (folder: string) => Promise<T>,
    { objects, before, named, lease }: Begun,
  ): Promise<{ readonly result: T; readonly next: Published | undefined }> {
    const folder = this.#folder(name);
    const result = await make(folder);
    const next = await upload(objects, folder, { published: before.published, named });
    let now = before;
    if (next !== undefined) {
      const set = await publish(this.#artefacts, name, next, before.named, lease);
      now = { named: set, published: next, changing: false };
    }
    // It is published: what cannot be noted here is read anew.
    await this.#note(name, now).catch(() => this.#copies.delete(name));
    return { result, next };
  }

  #notePath(name: string): string {
    return `${this.#folder(name)}+.json`;
  }

  async #note(name: string, copy: Copy): Promise<void> {
    const { named, changing } = copy;
    await writeFileAtomic(this.#notePath(name), JSON.stringify({ ...named, changing }));
    this.#remember(name, copy);
  }

  #remember(name: string, copy: Copy): void {
    this.#copies.delete(name);
    this.#copies.set(name, copy);
    const [oldest] = this.#copies.keys();
    if (this.#copies.size > mostRemembered && oldest !== undefined) this.#copies.delete(oldest);
  }

  async #copyOf(name: string): Promise<Copy | undefined> {
    const known = this.#copies.get(name);
    if (known !== undefined) return known;
    try {
      const text = await readFile(this.#notePath(name), "utf8");
      const { value, mark, changing } = noteSchema.parse(JSON.parse(text));
      const copy = { ...this.#parse(name, { value, mark }), changing };
      this.#remember(name, copy);
      return copy;
    } catch {
      return undefined;
    }
  }

  /** Brings the copy to what is published. */
  async #bring(name: string): Promise<Copy> {
    const folder = this.#folder(name);
    const known = await this.#copyOf(name);
    const named = await this.#readName(name, known?.named);
    if (known !== undefined && named === known.named && !known.changing && (await isWhole(folder)))
      return known;
    // What no note tells of may be of another place, or half of something.
    if (known === undefined) await rm(folder, { recursive: true, force: true });
    const copy = await bringToNewest(
      () => new StoreObjects(this.#artefacts, name),
      folder,
      this.#parse(name, named),
      async () => this.#parse(name, await this.#readName(name)),
    );
    await this.#note(name, copy);
    return copy;
  }

  async #readName(name: string, before?: NamedValue): Promise<NamedValue> {
    const named = await this.#artefacts.readName(storeName(name), before);
    if (named === undefined) throw await this.#noSuchStore(name);
    return named;
  }

  async #noSuchStore(name: string): Promise<NoSuchStoreError> {
    const now = performance.now();
    if (this.#listing === undefined || now - this.#listing.at > listedMs)
      this.#listing = { names: this.names().catch(() => []), at: now };
    const others = (await this.#listing.names).filter((each) => each !== name);
    return new NoSuchStoreError(name, namesAround(name, others));
  }

  #parse(name: string, named: NamedValue): Copy {
    return { named, published: parsePublished(named.value, this.#where(name)), changing: false };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock[Symbol.asyncDispose]();
  }
}

async function readId(root: string): Promise<string> {
  const path = join(root, "id+.txt");
  const there = await readFile(path, "utf8").catch(() => "");
  if (there !== "") return there;
  const id = randomUUID();
  await writeFileAtomic(path, id);
  return id;
}

/** The first folder of copies that no process has; its name as {@link copiesFolder}. */
async function takeRoot(place: string, cacheFolder: string): Promise<{ root: string; lock: FolderLock }> {
  for (let n = 1; ; n++) {
    const root = join(resolve(cacheFolder), `${sha256(place).slice(0, 12)}-${n}`);
    await mkdir(root, { recursive: true }).catch((cause: unknown) => {
      throw new StoreError(`${cacheFolder}: the folder for copies of stores cannot be made`, {
        cause,
        hint: "Give a folder that you may write to.",
      });
    });
    try {
      return { root, lock: await acquireLock(root) };
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "STORE_BUSY") throw error;
    }
  }
}

/**
 * Stores that were published in a bucket.
 *
 * A change is made in the copy that `folder` gives, and is seen there before it is published. Who answers meanwhile opens a
 * source of its own: each has copies of its own, also in the same cache folder.
 * @param url `s3://bucket/prefix`, or a folder that all machines see
 * @param cacheFolder takes copies of the stores that are asked for; a later process goes on with them
 * @throws ConfigError or StoreError where there is no such bucket, or it cannot be reached
 */
export async function openBucketSource(
  url: string,
  cacheFolder: string,
  { termMs = defaultTermMs, artefacts: given }: BucketOptions = {},
): Promise<StoreSource> {
  const artefacts = given ?? (await openArtefacts(url));
  const { root, lock } = await takeRoot(artefacts.place, cacheFolder);
  const leases = new Leases(artefacts, { termMs, cache: await readId(root), certain: lock.certain });
  return new BucketSource(artefacts, root, lock, leases);
}
