/**
 * One writer a store, among machines: a name that says who holds it. A lease only keeps writers from working in vain. That
 * nothing is overwritten rests on publishing itself, which is refused where somebody else has published since.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { ArtefactStore, NamedValue } from "../../artefacts/store.ts";
import { StoreError } from "../../core/errors.ts";
import { requireConditions } from "./conditions.ts";

const leaseSchema = z.object({
  /** Absent: nobody. */
  holder: z
    .object({
      host: z.string(),
      pid: z.int(),
      /** Of the folder of copies, which one process has at a time. */
      cache: z.string(),
    })
    .readonly()
    .optional(),
  /** Somebody waits for it: whoever holds it lets others come first the next time. */
  isWanted: z.literal(true).optional(),
  termMs: z.number().positive(),
  /** When it ends unless it is renewed, by the holder's clock, ISO 8601 in UTC: for messages. */
  until: z.string(),
  /** Of this text alone. */
  id: z.string(),
});

type LeaseValue = z.infer<typeof leaseSchema>;

/** A lease as it was first seen to say what it says. */
interface Seen {
  readonly value: NamedValue;
  /** By this machine's clock, which nobody sets. */
  readonly at: number;
}

export interface LeaseOptions {
  /** Milliseconds that a lease stands without being renewed. */
  readonly termMs: number;
  /** The id of this process's folder of copies. */
  readonly cache: string;
  /** Whether no other process of this host has that folder: then what stands there under its id is of one that died. */
  readonly certain: boolean;
}

/** Long beside a request, and short beside the patience of whoever waits for a writer that died. */
export const defaultTermMs = 20_000;
const pollMs = 250;
/** Others look once in this time at least. */
const yieldMs = 2 * pollMs;
/** A lease is renewed so many times in its term. */
const renewals = 4;

function parseLease(text: string): LeaseValue | undefined {
  try {
    return leaseSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Leases of the stores of a place. */
export class Leases {
  readonly #artefacts: ArtefactStore;
  readonly #options: LeaseOptions;
  readonly #seen = new Map<string, Seen>();
  #conditions: Promise<void> | undefined;
  /** Names of leases that others waited for when they were given back here. */
  readonly #yielding = new Set<string>();

  constructor(artefacts: ArtefactStore, options: LeaseOptions) {
    this.#artefacts = artefacts;
    this.#options = options;
  }

  /**
   * @param waitSeconds how long another holder is waited for
   * @param onWait told once whom this waits for
   * @throws StoreError STORE_BUSY where another one holds it for longer; where the place cannot keep writers apart
   */
  async take(store: string, waitSeconds: number, onWait?: (message: string) => void): Promise<Lease> {
    await this.#requireConditions();
    const name = `leases/${store}`;
    const until = performance.now() + 1000 * waitSeconds;
    if (this.#yielding.delete(name)) await sleep(yieldMs);
    for (let told = false; ; told = true) {
      const value = await this.#look(name);
      const lease = value === undefined ? undefined : parseLease(value.value);
      if (value === undefined || this.#isFree(name, lease)) {
        const taken = await Lease.set(this.#artefacts, name, this.#options, value);
        if (taken !== undefined) {
          this.#seen.delete(name);
          return taken;
        }
      }
      if (performance.now() >= until) throw this.#busy(store, lease);
      if (!told) onWait?.(`waiting: ${this.#held(store, lease)}`);
      if (value !== undefined && lease?.holder !== undefined) await this.#want(name, value, lease);
      // Not all at the same moment.
      await sleep(Math.min(pollMs * (0.5 + Math.random()), Math.max(1, until - performance.now())));
    }
  }

  /** Asked once; whoever comes after a failure asks again. */
  async #requireConditions(): Promise<void> {
    this.#conditions ??= requireConditions(this.#artefacts);
    await this.#conditions.catch((error: unknown) => {
      this.#conditions = undefined;
      throw error;
    });
  }

  /** Once for all who wait, since a lease that changes is one that is renewed. */
  async #want(name: string, value: NamedValue, lease: LeaseValue): Promise<void> {
    if (lease.isWanted) return;
    const wanted = JSON.stringify({ ...lease, isWanted: true, id: randomUUID() } satisfies LeaseValue);
    await this.#artefacts.setName(name, wanted, value).catch(() => {});
  }

  async release(lease: Lease): Promise<void> {
    await lease.release();
    if (lease.isWanted) this.#yielding.add(lease.name);
  }

  async #look(name: string): Promise<NamedValue | undefined> {
    const before = this.#seen.get(name)?.value;
    const value = await this.#artefacts.readName(name, before);
    if (value === undefined) this.#seen.delete(name);
    else if (value !== before) this.#seen.set(name, { value, at: performance.now() });
    return value;
  }

  /** Clocks of machines differ, so that only a lease that did not change for its whole term here is over. */
  #isFree(name: string, lease: LeaseValue | undefined): boolean {
    const { termMs, cache, certain } = this.#options;
    const holder = lease?.holder;
    if (lease !== undefined && holder === undefined) return true;
    if (certain && holder?.cache === cache && holder.host === hostname()) return true;
    const at = this.#seen.get(name)?.at ?? Number.POSITIVE_INFINITY;
    return performance.now() - at > (lease?.termMs ?? termMs);
  }

  #held(store: string, lease: LeaseValue | undefined): string {
    const { holder, until } = lease ?? {};
    const who = holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}`;
    const end = until === undefined ? "" : `, until ${until} by its clock unless it goes on`;
    return `${this.#artefacts.place}/${store} is being changed by ${who}${end}`;
  }

  #busy(store: string, lease: LeaseValue | undefined): StoreError {
    const seconds = Math.ceil((lease?.termMs ?? this.#options.termMs) / 1000);
    return new StoreError(this.#held(store, lease), {
      code: "STORE_BUSY",
      hint: `Wait for it. If it died, its lease ends ${seconds} s after it was first asked for here.`,
    });
  }
}

/** A lease that is held, and renewed until it is released. */
export class Lease {
  readonly #artefacts: ArtefactStore;
  readonly name: string;
  readonly #options: LeaseOptions;
  readonly #timer: NodeJS.Timeout;
  #value: NamedValue;
  #isLost = false;
  #isWanted = false;
  #renewing: Promise<void> = Promise.resolve();

  private constructor(artefacts: ArtefactStore, name: string, options: LeaseOptions, value: NamedValue) {
    this.#artefacts = artefacts;
    this.name = name;
    this.#options = options;
    this.#value = value;
    // One that cannot be renewed now is renewed the next time, or lost.
    this.#timer = setInterval(() => void this.#renew().catch(() => {}), options.termMs / renewals);
    this.#timer.unref();
  }

  /** @returns undefined where somebody was faster */
  static async set(
    artefacts: ArtefactStore,
    name: string,
    options: LeaseOptions,
    before: NamedValue | undefined,
  ): Promise<Lease | undefined> {
    const value = await artefacts.setName(name, held(options, false), before);
    return value && new Lease(artefacts, name, options, value);
  }

  /** Whether somebody waits for it. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  #renew(): Promise<void> {
    this.#renewing = this.#renewing
      .catch(() => {})
      .then(async () => {
        if (this.#isLost) return;
        const next = await this.#set(held(this.#options, this.#isWanted));
        if (next === undefined) this.#isLost = true;
        else this.#value = next;
      });
    return this.#renewing;
  }

  /** @returns undefined where it is not this process's any more */
  async #set(text: string): Promise<NamedValue | undefined> {
    const set = await this.#artefacts.setName(this.name, text, this.#value);
    if (set !== undefined) return set;
    // Somebody began to wait for it, or the answer to a renewal never came.
    const now = await this.#artefacts.readName(this.name);
    const lease = now && parseLease(now.value);
    if (lease?.holder?.cache !== this.#options.cache || lease.holder.pid !== process.pid) return undefined;
    this.#isWanted ||= lease.isWanted === true;
    return await this.#artefacts.setName(this.name, text, now);
  }

  /** Asks whether it is still held, and renews it. */
  async confirm(): Promise<boolean> {
    await this.#renew();
    return !this.#isLost;
  }

  /** Gives it back. One that cannot be given back ends with its term. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing.catch(() => {});
    if (this.#isLost) return;
    await this.#set(free(this.#options)).catch(() => {});
  }
}

function free({ termMs }: LeaseOptions): string {
  return JSON.stringify({ termMs, until: new Date().toISOString(), id: randomUUID() } satisfies LeaseValue);
}

function held({ termMs, cache }: LeaseOptions, isWanted: boolean): string {
  const holder = { host: hostname(), pid: process.pid, cache };
  const until = new Date(Date.now() + termMs).toISOString();
  return JSON.stringify({
    holder,
    ...(isWanted && { isWanted }),
    termMs,
    until,
    id: randomUUID(),
  } satisfies LeaseValue);
}
