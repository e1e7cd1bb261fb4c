/** Stores that are open, by name: opened when they are asked for, and closed where all of them take more memory than they may. */
import { Slots } from "../../store/slots.ts";
import type { Store } from "../../store/store.ts";

/** Stores that are opened at once: each reads all its files, and what is asked of open ones comes between. */
const OPENED_AT_ONCE = 2;

/** A store that is open. */
export interface Hosted {
  readonly name: string;
  /** How many were opened before, by which one opening of a store is told from the next. */
  readonly opening: number;
  readonly folder: string;
  readonly store: Store;
  readonly backbone: { readonly name: string; readonly hash: string };
  /** How the manifest looked when it was taken up. */
  seen: string;
  /** Memory that it takes. */
  bytes: number;
  /** Why the newest version could not be taken up. */
  problem?: string;
}

interface Entry {
  readonly name: string;
  readonly opening: Promise<Hosted>;
  /** Absent until it is open. */
  hosted?: Hosted;
  /** What is under way with it. */
  uses: number;
  /** Whether it is closed as soon as nothing is under way. */
  isLeaving: boolean;
}

/** What happened to the stores that are open. */
export interface Holding {
  readonly open: number;
  /** Memory that they take, besides backbones. */
  readonly bytes: number;
  /** Seconds that opening one took, where one was opened. */
  readonly openedIn?: number;
  /** One that was closed, for want of memory or because it was gone. */
  readonly closed?: { readonly store: string; readonly opening: number; readonly forRoom: boolean };
}

export interface OpenStoresOptions {
  readonly open: (name: string, opening: number) => Promise<Hosted>;
  readonly memoryBytes: number;
  readonly onHolding: (holding: Holding) => void;
}

/** A store with work under way: it will fit, or is fitting, the router that takes over. */
function consolidates({ store }: Hosted): boolean {
  const { consolidated } = store.status();
  return consolidated === "waiting" || consolidated === "fitting";
}

export class OpenStores implements AsyncDisposable {
  private readonly options: OpenStoresOptions;
  /** Those that were asked for least lately come first. */
  private readonly entries = new Map<string, Entry>();
  private readonly slots = new Slots(OPENED_AT_ONCE);
  private readonly closing = new Set<Promise<void>>();
  private begun = 0;
  private open = 0;
  private bytes = 0;

  constructor(options: OpenStoresOptions) {
    this.options = options;
  }

  /** Those that are open now. */
  get names(): readonly string[] {
    return [...this.entries.values()].flatMap(({ name, hosted }) => (hosted === undefined ? [] : [name]));
  }

  isOpen(name: string): boolean {
    return this.entries.get(name)?.hosted !== undefined;
  }

  /** Works with a store, which is opened where it is not; it is not closed meanwhile. */
  async use<T>(name: string, work: (hosted: Hosted) => Promise<T>): Promise<T> {
    const entry = this.entries.get(name) ?? this.begin(name);
    this.entries.delete(name);
    this.entries.set(name, entry);
    entry.uses++;
    try {
      return await work(await entry.opening);
    } finally {
      this.leaveOff(entry);
    }
  }

  /** Looks after a store where it is open; it does not count as asked for that. */
  async tend(name: string, work: (hosted: Hosted) => Promise<unknown>): Promise<void> {
    const entry = this.entries.get(name);
    if (entry?.hosted === undefined) return;
    entry.uses++;
    try {
      await work(entry.hosted);
    } finally {
      this.leaveOff(entry);
    }
  }

  private leaveOff(entry: Entry): void {
    entry.uses--;
    if (entry.isLeaving) this.close(entry, false);
    else this.makeRoom();
  }

  private begin(name: string): Entry {
    const start = performance.now();
    const opening = this.slots.run(() => this.options.open(name, ++this.begun));
    const entry: Entry = { name, opening, uses: 0, isLeaving: false };
    opening.then(
      (hosted) => {
        entry.hosted = hosted;
        this.open++;
        this.bytes += hosted.bytes;
        this.tell({ openedIn: (performance.now() - start) / 1000 });
      },
      () => {
        // Whoever asks next tries anew.
        if (this.entries.get(name) === entry) this.entries.delete(name);
      },
    );
    return entry;
  }

  private tell(what: Omit<Holding, "open" | "bytes"> = {}): void {
    this.options.onHolding({ open: this.open, bytes: this.bytes, ...what });
  }

  /** Takes another size of a store that is in use into account. */
  resize(hosted: Hosted, bytes: number): void {
    if (bytes === hosted.bytes) return;
    this.bytes += bytes - hosted.bytes;
    hosted.bytes = bytes;
    this.tell();
  }

  /** Closes stores that nothing is under way with, those that were asked for least lately first; the latest one stays. */
  private makeRoom(): void {
    if (this.bytes <= this.options.memoryBytes) return;
    const last = [...this.entries.keys()].at(-1);
    for (const entry of this.entries.values()) {
      if (this.bytes <= this.options.memoryBytes) return;
      const { name, hosted, uses } = entry;
      if (name !== last && uses === 0 && hosted !== undefined && !consolidates(hosted))
        this.close(entry, true);
    }
  }

  /** Closes a store once nothing is under way with it; whoever asks for it from now on has it opened anew. */
  leave({ name, opening }: Pick<Hosted, "name" | "opening">): void {
    const entry = this.entries.get(name);
    if (entry?.hosted?.opening !== opening) return;
    this.entries.delete(name);
    entry.isLeaving = true;
    if (entry.uses === 0) this.close(entry, false);
  }

  private close(entry: Entry, forRoom: boolean): void {
    const { name, hosted } = entry;
    if (hosted === undefined || entry.uses > 0) return;
    if (this.entries.get(name) === entry) this.entries.delete(name);
    this.open--;
    this.bytes -= hosted.bytes;
    const closed = hosted.store[Symbol.asyncDispose]()
      .catch(() => {})
      .finally(() => this.closing.delete(closed));
    this.closing.add(closed);
    this.tell({ closed: { store: name, opening: hosted.opening, forRoom } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.entries.values()];
    this.entries.clear();
    for (const { opening } of all) {
      const hosted = await opening.catch(() => undefined);
      await hosted?.store[Symbol.asyncDispose]();
    }
    await Promise.all(this.closing);
  }
}
