/** Where machines share files: content under its hash, which never changes, and a few names that say which content is meant. */

/** Content by SHA-256, hex. Whoever reads checks the hash; a name is only ever set where it still says what it said. */
export interface ArtefactStore {
  /** As messages name it. */
  readonly place: string;
  has(hash: string): Promise<boolean>;
  /** Content that is there already is not written again. */
  put(hash: string, content: Uint8Array): Promise<void>;
  /** As {@link put}, of a file of any size. */
  putFile(hash: string, path: string, size: number): Promise<void>;
  /** Writes the content into a new file. @throws StoreError where there is none */
  fetch(hash: string, path: string): Promise<void>;
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
