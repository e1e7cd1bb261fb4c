// Dimensions: n texts, F routing features, C classes.
/** What routes, as it goes on learning from task to task: statistics of the classes, a router fitted to them, a gate. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import type { LabelledExample } from "../../data/types.ts";
import { sha256, sha256Json } from "../../io/hash.ts";
import type { AdaptedBackbone, LearnedTask } from "../adaptedBackbone.ts";
import type { TaskToLearn } from "../learner.ts";
import { decodeContributions, encodeContributions } from "./contributionFile.ts";
import { type FittedRouter, RouterFitter } from "./fit.ts";
import { quantize } from "./fixedRows.ts";
import type { Fusion } from "./fusion.ts";
import {
  addFusionCounts,
  chooseFusion,
  type FusionCounts,
  fusionCountsSchema,
  type SecondPass,
} from "./fusionFit.ts";
import type { OutOfScopeDetector } from "./outOfScope.ts";
import type { Routing } from "./routedPrediction.ts";
import { countSecondPass, type HeldOutTask, withRoles } from "./secondPassCounts.ts";
import { ClassStatistics, type Contribution, checkSameConstants, compareCodeUnits } from "./statistics.ts";
import type { FeatureConstants, RouterKind, RoutingFeatureSpec } from "./types.ts";

/** The files beside a task's adapter: its classes' rows, and what a second pass did to its held-out texts. */
export const statisticsFile = "statistics.safetensors";
export const fusionFile = "fusion.json";

export interface RoutingSettings {
  readonly kind: RouterKind | "auto";
  readonly features: RoutingFeatureSpec;
  /** Whether features are read through the first task's adapter; default: the frozen backbone's alone. */
  readonly firstSession?: boolean;
  /** Tasks that a second pass asks. */
  readonly topTasks: number;
  readonly secondPass: SecondPass;
}

/**
 * The rows that a task gives its classes. A class's texts go through the backbone by themselves, so its rows are the same
 * to the last bit whatever else is learned with it.
 * @param labels each gets a contribution, empty where no example has it
 * @param what names the texts in messages
 * @param how session: the task through whose adapter features are read
 */
export async function contributionsOf(
  model: AdaptedBackbone,
  features: RoutingFeatureSpec,
  examples: readonly LabelledExample[],
  labels: readonly string[],
  what: string,
  { signal, session }: Pick<Routing, "session"> & { readonly signal?: AbortSignal | undefined } = {},
): Promise<readonly Contribution[]> {
  const contributions: Contribution[] = [];
  for (const label of labels) {
    const own = examples.filter((example) => example.label === label);
    const { encodings } = model.encode(own, what);
    contributions.push({
      label,
      rows: quantize(await model.routingFeatures(encodings, features, signal, session)),
    });
  }
  return contributions;
}

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

const fusionFileSchema = z.strictObject({ version: z.literal(1), ...fusionCountsSchema.unwrap().shape });

/** What a task leaves behind for those that route. */
interface TaskPart {
  readonly counts: FusionCounts;
  /** SHA-256 of its statistics' file. */
  readonly hash: string;
}

function encodePart(statistics: Uint8Array, counts: FusionCounts): ReadonlyMap<string, Uint8Array> {
  return new Map([
    [statisticsFile, statistics],
    [fusionFile, encodeCounts(counts)],
  ]);
}

/** The bytes of {@link fusionFile}. */
export function encodeCounts(counts: FusionCounts): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ version: 1, ...counts }, null, 1)}\n`);
}

/** @throws StoreError naming `where` */
export function decodeCounts(bytes: Uint8Array, where: string): FusionCounts {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new StoreError(`${where}: not valid JSON`, { cause });
  }
  const parsed = fusionFileSchema.safeParse(json);
  if (!parsed.success)
    throw new StoreError(`${where}: not the counts of a second pass: ${z.prettifyError(parsed.error)}`);
  const { version: _, ...counts } = parsed.data;
  return counts;
}

/** What routes by now, and what it rests on. */
export interface CurrentRouting extends Routing {
  readonly router: FittedRouter;
  readonly counts: FusionCounts;
  readonly statistics: ClassStatistics;
}

/**
 * Learns to route: a task's texts become rows of its classes, and a router is fitted to all rows so far. Its settings, and
 * whether a second pass gains anything, are chosen on the rows of validation texts by fits without them; the fit that
 * answers takes them in. The adapters that mislead on those texts are those of earlier tasks. Without validation texts
 * some of the train rows choose, and nothing speaks for a second pass.
 * Holds native memory: dispose of it.
 */
export class RoutedLearner implements AsyncDisposable {
  private readonly model: AdaptedBackbone;
  readonly settings: RoutingSettings;
  private constants: FeatureConstants;
  private readonly seed: number;
  private readonly fitter: RouterFitter;
  private readonly learned: LearnedTask[] = [];
  private readonly parts: TaskPart[] = [];
  private statistics: ClassStatistics;
  /** Through whose adapter features are read, once there is one and they are to be. */
  private session: LearnedTask | undefined;
  private fitted: FittedRouter | undefined;
  private newest: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(model: AdaptedBackbone, settings: RoutingSettings, constants: FeatureConstants, seed: number) {
    this.model = model;
    this.settings = settings;
    this.constants = constants;
    this.seed = seed;
    this.fitter = new RouterFitter((graph) => model.compile(graph));
    this.statistics = ClassStatistics.empty(constants);
  }

  /** Learns to route among one task more. */
  async learn(task: TaskToLearn, learned: LearnedTask, signal?: AbortSignal): Promise<void> {
    const { features, firstSession = false } = this.settings;
    if (firstSession) this.readThrough(learned);
    const what = `train of ${task.name}`;
    const { session } = this;
    const how = { signal, ...(session && { session }) };
    const train = await contributionsOf(this.model, features, task.train, task.labels, what, how);
    const held = `validation of ${task.name}`;
    const judging = await contributionsOf(this.model, features, task.validation, task.labels, held, how);
    const contributions = withRoles(train, judging);
    this.statistics = this.statistics.with(contributions);
    this.fitted = undefined;
    const heldOut = { examples: task.validation, judging };
    const counts = await this.count(heldOut, [...this.learned, learned], signal);
    const bytes = encodeContributions({ constants: this.constants, contributions });
    this.newest = encodePart(bytes, counts);
    this.parts.push({ counts, hash: sha256(bytes) });
  }

  /** Takes the newest task's adapter in, learned now or by an earlier run. */
  add(learned: LearnedTask): void {
    if (this.settings.firstSession === true) this.readThrough(learned);
    this.learned.push(learned);
  }

  /**
   * Makes the first task that is learned the one through whose adapter all features are read from then on.
   * @throws StoreError if the statistics there are were read through another
   */
  private readThrough(learned: LearnedTask): void {
    if (this.session !== undefined) return;
    const constants = { ...this.constants, firstSession: hashAdapter(learned) };
    if (this.parts.length === 0) this.statistics = ClassStatistics.empty(constants);
    else checkSameConstants(constants, this.statistics.constants);
    this.session = learned;
    this.constants = constants;
  }

  private async count(
    heldOut: HeldOutTask,
    among: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<FusionCounts> {
    const { topTasks, secondPass } = this.settings;
    if (secondPass === "off" || heldOut.examples.length === 0) return addFusionCounts([]);
    const tasks = among.map((learned) => ({ ...learned, learned }));
    return countSecondPass(this.model, tasks, await this.router(signal), heldOut, topTasks, signal);
  }

  /** Fitted to all rows so far; the same rows and settings give the same router. */
  private async router(signal?: AbortSignal): Promise<FittedRouter> {
    const { kind } = this.settings;
    this.fitted ??= await this.fitter.fit(this.statistics, {
      kind,
      seed: this.seed,
      ...(signal && { signal }),
    });
    return this.fitted;
  }

  private fusion(counts: FusionCounts): Fusion {
    return chooseFusion(counts, this.settings.topTasks, this.settings.secondPass);
  }

  /** What routes among everything learned so far. */
  async current(signal?: AbortSignal): Promise<CurrentRouting> {
    const counts = addFusionCounts(this.parts.map((part) => part.counts));
    return {
      router: await this.router(signal),
      features: this.settings.features,
      ...(this.session && { session: this.session }),
      fusion: this.fusion(counts),
      counts,
      statistics: this.statistics,
    };
  }

  /**
   * What tells texts of no class learned so far.
   * @param falseRejectRate the share of held-out rows of known classes that may be rejected
   */
  detector(falseRejectRate: number, signal?: AbortSignal): Promise<OutOfScopeDetector> {
    return this.fitter.detect(this.statistics, { falseRejectRate, ...(signal && { signal }) });
  }

  /** The files that go with the newest task's adapter, by name. */
  files(): ReadonlyMap<string, Uint8Array> {
    return this.newest;
  }

  /** The fitted router's bytes, enough to answer without the statistics. */
  async encodeRouter(signal?: AbortSignal): Promise<Uint8Array> {
    return this.fitter.encode(await this.router(signal));
  }

  /**
   * Takes up what {@link encodeRouter} gave, in place of fitting anew.
   * @throws StoreError if the file is of another version or damaged
   */
  adoptRouter(bytes: Uint8Array, where: string): void {
    this.fitted = this.fitter.decode(bytes, where);
  }

  /** SHA-256 of the tasks' statistics that the router is fitted to, in the order of learning. */
  get statisticsHashes(): readonly string[] {
    return this.parts.map(({ hash }) => hash);
  }

  /**
   * Takes up what an earlier run learned of the next task; its adapter is {@link add}'s.
   * @param read gives the bytes of a file beside its adapter
   * @throws StoreError if a file is damaged, or was made of other features
   */
  async recall(
    read: (name: string) => Promise<{ readonly bytes: Uint8Array; readonly where: string }>,
  ): Promise<void> {
    const rows = await read(statisticsFile);
    const { constants, contributions } = decodeContributions(rows.bytes, rows.where);
    const counted = await read(fusionFile);
    const counts = decodeCounts(counted.bytes, counted.where);
    const joined = ClassStatistics.empty(constants).with(contributions);
    if (this.settings.firstSession === true && this.parts.length === 0) {
      // Which adapter it is, the file says before the adapter itself is there; it must be the one that is added then.
      const { firstSession: _, ...plain } = constants;
      checkSameConstants(this.constants, plain);
      this.statistics = joined;
    } else this.statistics = this.statistics.merge(joined);
    this.fitted = undefined;
    this.parts.push({ counts, hash: sha256(rows.bytes) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fitter[Symbol.asyncDispose]();
  }
}
