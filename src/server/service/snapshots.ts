/** How open stores are, as the thread that answers has told it; of a large place only those that it has open. */
import type { Snapshot } from "../engine/protocol.ts";

/** Of one that was looked at so many times `pollMs` ago, an answer waits for the next look. */
const STALE_LOOKS = 10;

interface Known {
  readonly snapshot: Snapshot;
  readonly lookedAt: number;
}

export interface SnapshotsOptions {
  /** Opens a store, or looks at it anew. */
  readonly look: (store: string) => Promise<Snapshot>;
  /** Milliseconds for which a look holds; undefined where the thread looks by itself. */
  readonly pollMs: number | undefined;
}

/**
 * What a thread tells comes in its order, what it answers does not: only what it tells adds a store and takes one away, so
 * that none stays here that is closed there.
 */
export class Snapshots {
  private readonly options: SnapshotsOptions;
  private readonly known = new Map<string, Known>();
  private readonly looks = new Map<string, Promise<Snapshot>>();

  constructor(options: SnapshotsOptions) {
    this.options = options;
  }

  get all(): readonly Snapshot[] {
    return [...this.known.values()].map(({ snapshot }) => snapshot);
  }

  get(store: string): Snapshot | undefined {
    return this.known.get(store)?.snapshot;
  }

  /** What the thread tells; a call may have been answered with what it tells later. */
  add(snapshot: Snapshot): void {
    const { store, opening, status } = snapshot;
    const now = this.get(store);
    if (now?.opening === opening && now.status.version > status.version) return;
    this.known.set(store, { snapshot, lookedAt: performance.now() });
  }

  /** The answer to a call. */
  replace(snapshot: Snapshot): void {
    if (this.get(snapshot.store)?.opening === snapshot.opening) this.add(snapshot);
  }

  /** The thread has closed a store. */
  remove(store: string): void {
    this.known.delete(store);
  }

  /**
   * How a store is, at most ten looks ago; opens it where it is not open.
   * @throws what the store cannot be opened for
   */
  async open(store: string): Promise<Snapshot> {
    const { pollMs } = this.options;
    const known = this.known.get(store);
    if (known === undefined) return await this.look(store);
    if (pollMs === undefined) return known.snapshot;
    const age = performance.now() - known.lookedAt;
    if (age > STALE_LOOKS * pollMs) return await this.look(store);
    if (age > pollMs) this.look(store).catch(() => {});
    return known.snapshot;
  }

  /** Several who ask at once wait for one look. */
  private look(store: string): Promise<Snapshot> {
    const looking = this.looks.get(store) ?? this.lookNow(store);
    this.looks.set(store, looking);
    return looking;
  }

  private async lookNow(store: string): Promise<Snapshot> {
    try {
      const snapshot = await this.options.look(store);
      this.replace(snapshot);
      return snapshot;
    } finally {
      this.looks.delete(store);
    }
  }
}
