/** Statistics that grow from task to task, and the router that follows them: of texts and of words alike. */
import { sha256, sha256Json } from "../../io/hash.ts";
import type { LearnedTask } from "../adaptedBackbone.ts";
import { decodeContributions, encodeContributions } from "./contributionFile.ts";
import { type Compile, type FitOptions, type FittedRouter, type FitWatch, RouterFitter } from "./fit.ts";
import type { OutOfScopeDetector } from "./outOfScope.ts";
import { ClassStatistics, type Contribution, checkSameConstants, compareCodeUnits } from "./statistics.ts";
import type { FeatureAdapter, FeatureConstants } from "./types.ts";

/** SHA-256 over an adapter's tensors, by name. */
export function hashAdapter({ adapter }: Pick<LearnedTask, "adapter">): string {
  const tensors = [...adapter].sort(([a], [b]) => compareCodeUnits(a, b));
  return sha256Json(
    tensors.map(([name, { data, dims }]) => [
      name,
      dims,
      sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    ]),
  );
}

/** The bytes of a file beside an adapter, and its name in messages. */
export interface FileBytes {
  readonly bytes: Uint8Array;
  readonly where: string;
}

export interface StatisticsRouterOptions extends Pick<FitOptions, "kind" | "seed" | "shares"> {
  /** Whether features are read through the first task's adapter; default: `none`, the frozen backbone's alone. */
  readonly featureAdapter?: FeatureAdapter;
  /** What is kept of the statistics; default: everything. */
  readonly draw?: (statistics: ClassStatistics) => ClassStatistics;
}

/** Holds native memory: dispose of it. */
export class StatisticsRouter implements AsyncDisposable {
  private readonly options: StatisticsRouterOptions;
  private readonly fitter: RouterFitter;
  private readonly fileHashes: string[] = [];
  private constants: FeatureConstants;
  private held: ClassStatistics;
  private first: LearnedTask | undefined;
  private fitted: FittedRouter | undefined;
  private rejecting: OutOfScopeDetector | undefined;

  constructor(compile: Compile, constants: FeatureConstants, options: StatisticsRouterOptions) {
    this.options = options;
    this.fitter = new RouterFitter(compile);
    this.constants = constants;
    this.held = ClassStatistics.empty(constants);
  }

  get statistics(): ClassStatistics {
    return this.held;
  }

  /** Through whose adapter features are read, once there is one and they are to be. */
  get featureAdapter(): LearnedTask | undefined {
    return this.first;
  }

  /** SHA-256 of the tasks' statistics, in the order of learning. */
  get hashes(): readonly string[] {
    return this.fileHashes;
  }

  /**
   * Makes the first task that is learned the one through whose adapter all features are read from then on, where they are
   * to be.
   * @throws StoreError if the statistics there are were read through another
   */
  readThrough(learned: LearnedTask): void {
    if (this.options.featureAdapter !== "first" || this.first !== undefined) return;
    const constants = { ...this.constants, featureAdapter: hashAdapter(learned) };
    if (this.fileHashes.length === 0) this.held = ClassStatistics.empty(constants);
    else checkSameConstants(constants, this.held.constants);
    this.first = learned;
    this.constants = constants;
  }

  /** Adds a task's rows. @returns the bytes of its statistics' file */
  learn(contributions: readonly Contribution[]): Uint8Array {
    this.hold(this.held.with(contributions));
    const bytes = encodeContributions({ constants: this.constants, contributions });
    this.fileHashes.push(sha256(bytes));
    return bytes;
  }

  /**
   * Adds the rows of a task that an earlier run learned.
   * @throws StoreError if the file is damaged, or was made of other features
   */
  recall({ bytes, where }: FileBytes): void {
    const { constants, contributions } = decodeContributions(bytes, where);
    const joined = ClassStatistics.empty(constants).with(contributions);
    if (this.options.featureAdapter === "first" && this.fileHashes.length === 0) {
      // Which adapter it is, the file says before the adapter itself is there; it must be the one that is added then.
      const { featureAdapter: _, ...plain } = constants;
      checkSameConstants(this.constants, plain);
      this.hold(joined);
    } else this.hold(this.held.merge(joined));
    this.fileHashes.push(sha256(bytes));
  }

  private hold(statistics: ClassStatistics): void {
    this.held = this.options.draw?.(statistics) ?? statistics;
    this.fitted = undefined;
    this.rejecting = undefined;
  }

  /** Fitted to all rows so far; the same rows and settings give the same router. */
  async router(watch: FitWatch = {}): Promise<FittedRouter> {
    const { kind, seed, shares = "even" } = this.options;
    this.fitted ??= await this.fitter.fit(this.held, { kind, seed, shares, ...watch });
    return this.fitted;
  }

  /** The fitted router's bytes, enough to answer without the statistics. */
  async encode(signal?: AbortSignal): Promise<Uint8Array> {
    return this.fitter.encode(await this.router({ signal }));
  }

  /**
   * What tells texts of no class learned so far.
   * @param falseRejectRate the share of held-out rows of known classes that may be rejected
   */
  async detector(falseRejectRate: number, signal?: AbortSignal): Promise<OutOfScopeDetector> {
    if (this.rejecting?.falseRejectRate !== falseRejectRate)
      this.rejecting = await this.fitter.detect(this.held, { falseRejectRate, ...(signal && { signal }) });
    return this.rejecting;
  }

  /** The bytes of {@link detector}. */
  async encodeDetector(falseRejectRate: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.fitter.encodeDetector(await this.detector(falseRejectRate, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fitter[Symbol.asyncDispose]();
  }
}
