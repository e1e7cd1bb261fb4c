/** Where machines share files: content under its hash, which never changes, and a few names that say which content is meant. */

/** Content by SHA-256, hex. Whoever reads checks the hash. */
export interface ContentStore {
  /** As messages name it. */
  readonly place: string;
  put(hash: string, content: Uint8Array): Promise<void>;
  /** As {@link put}, of a file of any size. */
  putFile(hash: string, path: string, size: number): Promise<void>;
  /** Writes the content into a new file. @throws StoreError where there is none */
  fetch(hash: string, path: string): Promise<void>;
}

/** A file that is sent as it is read. */
export interface FileToSend {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
}

/**
 * Content that all share, which is not written again where it is there already and never deleted; objects under keys of
 * their owner's choice, which can be; and names, each of which is only ever set where it still says what it said.
 */
export interface ArtefactStore extends ContentStore {
  has(hash: string): Promise<boolean>;
  /** @param key parts with "/" between them, which lead nowhere else */
  write(key: string, content: Uint8Array | FileToSend): Promise<void>;
  /** Writes an object into a new file. @returns false where there is none */
  read(key: string, path: string): Promise<boolean>;
  /** Objects whose key is the folder's, "/" and one more part; what an interrupted write left there too. */
  list(folder: string): Promise<readonly StoredObject[]>;
  /** One that is not there is no mistake. @throws StoreError where it may not be deleted */
  remove(key: string): Promise<void>;
  /**
   * What a name says; undefined where it says nothing yet.
   * @param before what was read last: it is returned itself where it still stands, and no content travels
   */
  readName(name: string, before?: NamedValue): Promise<NamedValue | undefined>;
  /**
   * Sets a name where it still says what was read.
   * @param before undefined: it says nothing yet
   * @returns what it says now; undefined where somebody was faster
   */
  setName(name: string, value: string, before: NamedValue | undefined): Promise<NamedValue | undefined>;
  /** All names that begin so, sorted by code unit. */
  names(prefix: string): Promise<readonly string[]>;
}

export interface NamedValue {
  readonly value: string;
  /** What tells this value from one that came later. */
  readonly mark: string;
}
