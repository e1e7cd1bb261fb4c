/** Where the stores that a process serves are kept: folders on its disk, or a bucket that every replica reads. */

/** Stores by name, each with a folder on this machine that holds what the process has taken up of it. */
export interface StoreSource extends AsyncDisposable {
  /** As messages name it. */
  readonly place: string;
  /** Names of all stores, sorted by code unit; of a place with many, what is there now. */
  names(): Promise<readonly string[]>;
  /**
   * The folder of a store, fetched where it is not on this machine yet.
   * @throws NoSuchStoreError (exit 2) where there is no store of that name, or it is none that a store may have
   */
  folder(name: string): Promise<string>;
  /** Brings the folder to the newest version that others have published. Does nothing where others write into the folder itself. */
  pull(name: string): Promise<void>;
  /**
   * Makes a change as the only writer of a store: waits for the lease, brings the folder to the newest version, changes it, and
   * publishes the next version. That is the commit: before it nobody sees the change, after it nothing undoes it.
   * @param make changes the folder that it is given
   * @param waitSeconds how long another writer is waited for
   * @param onWarning told what could not be done once the change was published
   * @throws StoreError STORE_BUSY where another writer holds the store for longer; what `make` throws, and nothing is published then
   */
  change<T>(
    name: string,
    make: (folder: string) => Promise<T>,
    waitSeconds: number,
    onWarning?: (message: string) => void,
  ): Promise<T>;
}
