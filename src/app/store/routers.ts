/** Routers and detectors of a store's versions: fitted when somebody asks, once, and kept in a cache beside the versions. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type FitOptions,
  type FittedRouter,
  type FitWatch,
  RouterFitter,
} from "../../continual/routing/fit.ts";
import type { OutOfScopeDetector } from "../../continual/routing/outOfScope.ts";
import type { ClassStatistics } from "../../continual/routing/statistics.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { sha256Json } from "../../io/hash.ts";
import { detectorFile, routerFile, routingFile } from "../routing.ts";
import { readStore } from "./storeFolder.ts";

/** Nothing in it is needed: whoever finds it empty fits anew. */
export const cacheFolder = "cache";

/** From so many classes on, half of them with so many rows, held-out rows are enough to choose the kind of router by. */
const ENOUGH_CLASSES = 20;
const ENOUGH_ROWS = 20;

/** A version, and the folder of its store. */
export interface VersionAt {
  readonly store: string;
  readonly number: number;
}

type Kind = FitOptions["kind"];

/**
 * LDA, and where there are rows enough to choose by, whatever does best on those held out. Classes are counted and not
 * rows, so that neither a class of few examples nor one of thousands turns the scale.
 */
export function defaultKind(statistics: ClassStatistics): Kind {
  const { labels } = statistics;
  const large = labels.filter((label) => statistics.count(label) >= ENOUGH_ROWS);
  return labels.length >= ENOUGH_CLASSES && 2 * large.length >= labels.length ? "auto" : "lda";
}

/** How something that lies in the cache is read, and made where it does not. */
interface Cached<T> {
  decode(bytes: Uint8Array, where: string): T;
  make(): Promise<T>;
  encode(fitted: T): Uint8Array;
}

type Fits<T> = WeakMap<ClassStatistics, Promise<T>>;

/** What several may wait for goes on when one of them waits no longer. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Holds native memory: dispose of it. */
export class StoreRouters implements AsyncDisposable {
  private readonly fitter: RouterFitter;
  private readonly kind: Kind | undefined;
  private readonly seed: number;
  /** A router is a function of the statistics. */
  private readonly routers: Fits<FittedRouter> = new WeakMap();
  private readonly detectors: Fits<OutOfScopeDetector> = new WeakMap();
  private readonly pending = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();

  /** @param kind default: by how much there is to choose from */
  constructor(compile: ConstructorParameters<typeof RouterFitter>[0], kind: Kind | undefined, seed: number) {
    this.fitter = new RouterFitter(compile);
    this.kind = kind;
    this.seed = seed;
  }

  /**
   * What tells texts of no known class.
   * @param rate share of held-out texts of known classes that may be called unknown
   * @param version whose statistics these are: the detector is kept in the store's cache
   */
  detector(
    statistics: ClassStatistics,
    rate: number,
    version: VersionAt,
    signal?: AbortSignal,
  ): Promise<OutOfScopeDetector> {
    const { fitter, closing } = this;
    const find = () =>
      this.findCached(this.placeOf(statistics, version, "detector", { rate }), version, {
        decode: (bytes, where) => fitter.decodeDetector(bytes, where),
        make: () => fitter.detect(statistics, { falseRejectRate: rate, signal: closing.signal }),
        encode: (detector) => fitter.encodeDetector(detector),
      });
    return unlessAborted(this.once(this.detectors, statistics, find), signal);
  }

  /**
   * @param version whose statistics these are: its router is kept in the store's cache
   * @param watch of a fit that others ask for, too, the first one hears what it is at
   */
  of(
    statistics: ClassStatistics,
    version: VersionAt,
    { signal, onProgress }: FitWatch = {},
  ): Promise<FittedRouter> {
    const router = this.once(this.routers, statistics, () => this.find(statistics, version, onProgress));
    return unlessAborted(router, signal);
  }

  private once<T>(fits: Fits<T>, statistics: ClassStatistics, make: () => Promise<T>): Promise<T> {
    const known = fits.get(statistics);
    if (known !== undefined) return known;
    const fresh = make();
    fits.set(statistics, fresh);
    this.pending.add(fresh);
    // A fit that failed is no answer for the next one who asks.
    fresh.catch(() => fits.delete(statistics)).finally(() => this.pending.delete(fresh));
    return fresh;
  }

  /** What a router is fitted by beside its statistics. */
  private fitOf(statistics: ClassStatistics): Pick<FitOptions, "kind" | "seed" | "shares"> {
    return { kind: this.kind ?? defaultKind(statistics), seed: this.seed, shares: "even" };
  }

  /** @param by what it is fitted by beside the statistics */
  private placeOf(
    statistics: ClassStatistics,
    { store }: VersionAt,
    what: "router" | "detector",
    by: Readonly<Record<string, unknown>>,
  ): string {
    const rows = statistics.contributions.map(({ id }) => id);
    const key = sha256Json({ ...by, rows, constants: { ...statistics.constants } });
    return join(store, cacheFolder, `${what}-${key}.safetensors`);
  }

  private async find(
    statistics: ClassStatistics,
    version: VersionAt,
    onProgress: FitWatch["onProgress"],
  ): Promise<FittedRouter> {
    const how = { ...this.fitOf(statistics), signal: this.closing.signal, onProgress };
    const place = this.placeOf(statistics, version, "router", this.fitOf(statistics));
    return await this.findCached(place, version, {
      decode: (bytes, where) => this.fitter.decode(bytes, where),
      make: () => this.fitter.fit(statistics, how),
      encode: (router) => this.fitter.encode(router),
    });
  }

  private async findCached<T>(
    path: string,
    version: VersionAt,
    { decode, make, encode }: Cached<T>,
  ): Promise<T> {
    try {
      return decode(await readFile(path), path);
    } catch {
      const fitted = await make();
      await this.keep(path, () => encode(fitted), version);
      return fitted;
    }
  }

  /** Who may read a store need not be allowed to write there. */
  private async keep(path: string, encode: () => Uint8Array, { store, number }: VersionAt): Promise<void> {
    try {
      // What was learned may have been forgotten while this was fitted to it.
      if ((await readStore(store)).store.version !== number) return;
      await mkdir(join(path, ".."), { recursive: true });
      await writeFileAtomic(path, encode());
    } catch {
      // The next one who asks fits it again.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closing.abort();
    await Promise.allSettled(this.pending);
    await this.fitter[Symbol.asyncDispose]();
  }
}

/** Takes away what was fitted to a version that is past. */
export async function clearCache(store: string): Promise<void> {
  await rm(join(store, cacheFolder), { recursive: true, force: true });
}

/** Names of what an experiment fitted to all its classes, which a store does not need. */
export function fittedIn(store: string): string[] {
  return [routerFile, detectorFile, routingFile].filter((name) => existsSync(join(store, name)));
}
