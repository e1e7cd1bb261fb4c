/**
 * A store's own objects in a place: `contents/<store>/<hash>.<writer>`. No two stores share one, so that whoever may change a
 * store may delete what nothing names any more without asking what other stores need. No two writings share a key: a key that
 * was once to be deleted is never written again, however late the deletion comes. Content is found by listing the store's keys.
 */
import { randomBytes } from "node:crypto";
import type { ArtefactStore, ContentStore, StoredObject } from "../../artefacts/store.ts";
import { StoreError } from "../../core/errors.ts";

const keyName = /^([0-9a-f]{64})\.([0-9a-f]{16})$/;
/** What an interrupted write leaves on a shared folder. */
const temporary = /^\.tmp-/;

interface Found extends StoredObject {
  /** Absent of what an interrupted write left. */
  readonly hash?: string;
  readonly isOwn: boolean;
}

/** For one reading or one change: what it lists is not asked for twice, and what it writes is told from what others wrote. */
export class StoreObjects implements ContentStore {
  readonly place: string;
  readonly #artefacts: ArtefactStore;
  readonly #folder: string;
  readonly #writer = randomBytes(8).toString("hex");
  #listing: Promise<ReadonlyMap<string, readonly string[]>> | undefined;

  constructor(artefacts: ArtefactStore, store: string) {
    this.place = `${artefacts.place}/${store}`;
    this.#artefacts = artefacts;
    this.#folder = `contents/${store}`;
  }

  #key(hash: string): string {
    return `${this.#folder}/${hash}.${this.#writer}`;
  }

  async put(hash: string, content: Uint8Array): Promise<void> {
    await this.#artefacts.write(this.#key(hash), content);
  }

  async putFile(hash: string, path: string, sizeBytes: number): Promise<void> {
    await this.#artefacts.write(this.#key(hash), { path, sizeBytes });
  }

  async #find(): Promise<Found[]> {
    const all = await this.#artefacts.list(this.#folder);
    return all.flatMap((object): Found[] => {
      const name = object.key.slice(this.#folder.length + 1);
      const [, hash, writer] = keyName.exec(name) ?? [];
      if (hash !== undefined) return [{ ...object, hash, isOwn: writer === this.#writer }];
      // A file that somebody else put there is not ours.
      return temporary.test(name) ? [{ ...object, isOwn: false }] : [];
    });
  }

  /** Hash → its keys. */
  #list(anew = false): Promise<ReadonlyMap<string, readonly string[]>> {
    if (this.#listing === undefined || anew)
      this.#listing = this.#find().then((found) => {
        const keys = new Map<string, string[]>();
        for (const { hash, key } of found)
          if (hash !== undefined) keys.set(hash, [...(keys.get(hash) ?? []), key]);
        return keys;
      });
    return this.#listing;
  }

  /** Hashes of all that was there when it was first asked. */
  async hashes(): Promise<ReadonlySet<string>> {
    return new Set((await this.#list()).keys());
  }
  /** Hashes of what is there more than once. */
  async repeated(): Promise<readonly string[]> {
    return [...(await this.#list())].flatMap(([hash, keys]) => (keys.length > 1 ? [hash] : []));
  }

  async fetch(hash: string, path: string): Promise<void> {
    const first = this.#list();
    if (await this.#read(hash, path, await first)) return;
    // Of many that do not find theirs one lists anew.
    if (await this.#read(hash, path, await this.#list(this.#listing === first))) return;
    throw new StoreError(`${this.place}: ${hash} is not there`, {
      exitCode: 1,
      hint: "If nobody is changing the store, publish a whole copy again: accrete push writes what is missing.",
    });
  }

  async #read(hash: string, path: string, listing: ReadonlyMap<string, readonly string[]>): Promise<boolean> {
    for (const key of listing.get(hash) ?? []) if (await this.#artefacts.read(key, path)) return true;
    return false;
  }

  /**
   * What nothing needs of all that lies there now.
   * @param named hashes that are published
   */
  async unneeded(named: ReadonlySet<string>): Promise<readonly StoredObject[]> {
    const found = await this.#find();
    const own = new Set(found.flatMap(({ hash, isOwn }) => (isOwn && hash !== undefined ? [hash] : [])));
    // What was written here is what the published version goes by, not what a writer left that died before it published.
    return found.filter(
      ({ hash, isOwn }) => !(hash !== undefined && named.has(hash) && (isOwn || !own.has(hash))),
    );
  }

  async remove(key: string): Promise<void> {
    await this.#artefacts.remove(key);
  }
}
