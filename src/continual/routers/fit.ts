// Dimensions: n texts, F routing features, C classes.
/** Fitting routers to statistics. */
import { DataError } from "../../core/errors.ts";
import type { RouterFitting } from "../../core/record.ts";
import { Algebra, type Compile, type Matrix } from "../../linalg/algebra.ts";
import { type FeatureMap, FeatureMapper, featureMapKey } from "../statistics/featureMaps.ts";
import type { ClassStatistics } from "../statistics/statistics.ts";
import { joinRows } from "../statistics/totals.ts";
import type { FeatureConstants, FeatureRows, FixedRows, Posterior, Router, RouterKind } from "../types.ts";
import { chooseClosed } from "./closedFit.ts";
import { chooseDensity } from "./densityFit.ts";
import { DensityMemory } from "./densityMemory.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { type Split, splitStatistics } from "./heldOut.ts";
import { autoKinds, learnsClassPrior, type MemberSpec, routerMembers } from "./members.ts";
import { chooseNetwork } from "./networkFit.ts";
import { chooseRegistered, isSavable } from "./registered.ts";
import { decodeRouter, encodeRouter } from "./routerFile.ts";
import {
  type Assessment,
  type AssessOptions,
  addShare,
  answer,
  answerBlock,
  assess,
  evidenceOf,
  type Machinery,
  type Member,
  posteriorOf,
  type RouterModel,
  unknownThreshold,
} from "./routerModel.ts";
import { accuracyOf, fitInverseTemperature } from "./scores/calibration.ts";
import { noScores, scoreUnknown, type UnknownScores } from "./scores/unknown.ts";
import { chooseSoftmax } from "./softmaxFit.ts";
import { type RowPart, TotalsKeeper } from "./totalsKeeper.ts";

export type { Compile } from "../../linalg/algebra.ts";

/** Who may stop a fit, and who hears what it is at. */
export interface FitWatch {
  readonly signal?: AbortSignal | undefined;
  /** Told before each member is fitted. */
  readonly onProgress?: ((progress: RouterFitting) => void) | undefined;
}

export interface FitOptions extends FitWatch {
  /** `auto` takes the kind that does best on held-out rows. */
  readonly kind: RouterKind | "auto";
  /** Of the network's beginning and order; random projections hang on the constants' own seed. */
  readonly seed: number;
  /**
   * How frequent classes are taken to be. `uniform`, the default: all alike, since how many examples somebody had says nothing
   * of how often a class will be asked for. `empirical`: as their rows, for kinds that learn it.
   */
  readonly classPrior?: "uniform" | "empirical";
}

/** What a fit settled on, and what it rests on. */
export interface RouterChoice {
  readonly kind: RouterKind;
  /** Of each member, by its number: shrinkage or λ, and the temperature of its logits. */
  readonly settings: Readonly<Record<string, number>>;
  /** Share of held-out rows of which the arg-max was right, fitted without them; null where there are none. */
  readonly heldOutAccuracy: number | null;
  readonly heldOutRows: number;
  /** Of every kind that was tried, its held-out accuracy. */
  readonly tried: readonly { readonly kind: RouterKind; readonly heldOutAccuracy: number | null }[];
}

/** Rows that chose a router, and what it gave them before it was fitted to them, too. */
export interface JudgedRows {
  /** (h, F) */
  readonly rows: FixedRows;
  /** Calibrated log-posteriors, (h, C), computed when they are asked for. */
  posterior(): Posterior;
}

export interface FittedRouter extends Router {
  readonly choice: RouterChoice;
  /** Absent where no row was held out, and of a router that was read from a file. */
  readonly judged?: JudgedRows;
  /** Bytes of the statistics that it was fitted to. */
  readonly retainedBytes: number;
  readonly model: RouterModel;
  /**
   * The posterior, the probability that a text is of no class learned, and where a coverage is asked for sets of labels, in one
   * go. @param features (n, F)
   */
  assess(features: FeatureRows, options?: AssessOptions): Promise<Assessment>;
  /** The probability of being of no class above which texts are rejected, at most a share of those of known classes. */
  unknownThreshold(rate: number): number;
}

/** How each type of member is fitted: without the held-out rows first. */
const choosers: {
  readonly [T in MemberSpec["type"]]: (
    context: FitContext,
    member: Extract<MemberSpec, { type: T }>,
  ) => Promise<ChosenMember>;
} = {
  closed: chooseClosed,
  density: chooseDensity,
  softmax: chooseSoftmax,
  network: chooseNetwork,
  registered: chooseRegistered,
};

function chooseMember<T extends MemberSpec["type"]>(
  context: FitContext,
  member: Extract<MemberSpec, { type: T }> & { readonly type: T },
): Promise<ChosenMember> {
  return choosers[member.type](context, member);
}

/** A kind as the held-out rows found it. */
interface ChosenKind {
  readonly kind: RouterKind;
  readonly members: readonly ChosenMember[];
  /** 1/temperature of the members' sum. */
  readonly beta: number;
  /** Calibrated log-posteriors of the rows that judge, by the fit without those that were held out: (h, C). */
  readonly posterior: () => Posterior;
  readonly accuracy: number | null;
  /** The rows that judge. */
  readonly judges: FixedRows;
  /** How many of them were held out. */
  readonly heldOutRows: number;
  /** @param outside evidence on texts of no class that were given */
  readonly unknown: (outside: readonly Float64Array[]) => UnknownScores;
}

/**
 * Fits routers and lets them answer. Holds native memory: dispose of it, after which its routers no longer answer.
 */
export class RouterFitter implements AsyncDisposable {
  private readonly algebra: Algebra;
  private readonly compile: Compile;
  private readonly keeper: TotalsKeeper;
  private readonly densities = new DensityMemory();
  private readonly expanders = new Map<string, FeatureMapper>();
  /** What fitted models answer with. */
  readonly machinery: Machinery;

  constructor(compile: Compile) {
    this.compile = compile;
    this.algebra = new Algebra(compile);
    this.keeper = new TotalsKeeper(this.algebra);
    this.machinery = {
      algebra: this.algebra,
      expander: (expansion, constants) => this.expander(expansion, constants),
    };
  }

  /**
   * Fits a router to the classes seen so far: a function of the statistics and the options, to the last bit.
   * @throws DataError if there is no class
   */
  async fit(statistics: ClassStatistics, options: FitOptions): Promise<FittedRouter> {
    const { labels, constants } = statistics;
    const context = this.context(statistics, options.seed, options.signal);
    const kinds = options.kind === "auto" ? autoKinds : [options.kind];
    const tried: ChosenKind[] = [];
    for (const kind of kinds) tried.push(await this.choose(context, kind, options));
    let best = tried[0]!;
    for (const other of tried) if ((other.accuracy ?? 0) > (best.accuracy ?? 0)) best = other;
    const members: Member[] = [];
    for (const chosen of best.members) {
      const [member, count] = [members.length + 1, best.members.length];
      options.onProgress?.({ stage: "fit", kind: best.kind, member, members: count });
      members.push(await chosen.finish());
    }
    const prior = priorOf(context, best.kind, options.classPrior, "all");
    const told: Omit<RouterModel, "unknown"> = {
      kind: best.kind,
      labels,
      constants,
      members,
      beta: best.beta,
      ...(prior && { prior }),
    };
    const outside = await outsideEvidence(this.machinery, { ...told, unknown: noScores }, statistics);
    const model: RouterModel = { ...told, unknown: best.unknown(outside) };
    const choice: RouterChoice = {
      kind: best.kind,
      settings: settingsOf(best),
      heldOutAccuracy: best.accuracy,
      heldOutRows: best.heldOutRows,
      tried: tried.map(({ kind, accuracy }) => ({ kind, heldOutAccuracy: accuracy })),
    };
    const judged = best.heldOutRows > 0 && { judged: { rows: best.judges, posterior: best.posterior } };
    return { ...this.route(model, choice, statistics.retained().bytes), ...judged };
  }

  /**
   * The bytes of a fitted router, `router.safetensors`: enough to answer without the statistics.
   * @returns undefined where a member comes from an extension that saves nothing
   */
  encode(router: FittedRouter): Uint8Array | undefined {
    return router.model.members.every(isSavable) ? encodeRouter(router) : undefined;
  }

  /**
   * @param where names the file in errors
   * @throws StoreError if the file is of another version or damaged
   */
  decode(bytes: Uint8Array, where: string): FittedRouter {
    const { model, choice, retainedBytes } = decodeRouter(bytes, where);
    return this.route(model, choice, retainedBytes);
  }

  /** What was counted and the next process can go on from; undefined where there is nothing. */
  encodeTotals(): Uint8Array | undefined {
    return this.keeper.encode();
  }

  /** Whether nothing was counted so far. */
  get countedNothing(): boolean {
    return this.keeper.empty;
  }

  /** Goes on from what another process counted. @throws StoreError, CheckpointError where the file is damaged */
  restoreTotals(bytes: Uint8Array, where: string, statistics: ClassStatistics): void {
    this.keeper.restore(bytes, where, statistics);
  }

  /** Goes on from what a router that was read says of the rows that it was fitted to. */
  remember({ model }: FittedRouter, statistics: ClassStatistics): void {
    const [member] = model.members;
    // Of small data nothing is worth keeping.
    if (member?.type === "density" && member.calibration.kernel === undefined)
      this.densities.remember(member.kernel, statistics);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.algebra[Symbol.asyncDispose]();
  }

  /** What a fit to these statistics works with. @throws DataError if there is no class */
  context(statistics: ClassStatistics, seed: number, signal: AbortSignal | undefined): FitContext {
    const { labels, constants, contributions } = statistics;
    if (labels.length === 0)
      throw new DataError("a router needs at least one class, the statistics have none", {
        hint: "learn a task or a class first",
      });
    let split: Split | undefined;
    const { algebra, compile, keeper, densities } = this;
    return {
      algebra,
      compile,
      statistics,
      get split() {
        split ??= splitStatistics(contributions, labels, constants.width);
        return split;
      },
      seed,
      signal,
      expander: (expansion) => this.expander(expansion, constants),
      totals: (expander, size, second, { part = "fit", labels: of } = {}) =>
        keeper.totals(expander, statistics, { size, second, part, labels: of, signal }),
      densities,
    };
  }

  private route(model: RouterModel, choice: RouterChoice, retainedBytes: number): FittedRouter {
    return {
      kind: model.kind,
      labels: model.labels,
      choice,
      retainedBytes,
      model,
      posterior: (features, signal) => answer(this.machinery, model, features, signal),
      assess: (features, options) => assess(this.machinery, model, features, options),
      unknownThreshold: (rate) => unknownThreshold(model, rate),
    };
  }

  private expander(expansion: FeatureMap, constants: FeatureConstants): FeatureMapper {
    const key = `${JSON.stringify(constants)} ${featureMapKey(expansion)}`;
    const held = this.expanders.get(key) ?? new FeatureMapper(expansion, constants);
    this.expanders.set(key, held);
    return held;
  }

  private async choose(
    context: FitContext,
    kind: RouterKind,
    { onProgress, classPrior }: Pick<FitOptions, "onProgress" | "classPrior">,
  ): Promise<ChosenKind> {
    const { labels } = context.statistics;
    const members: ChosenMember[] = [];
    const specs = routerMembers.get(kind);
    for (const [i, member] of specs.entries()) {
      onProgress?.({ stage: "choose", kind, member: i + 1, members: specs.length });
      members.push(await chooseMember(context, member));
    }
    const prior = priorOf(context, kind, classPrior, "fit");
    const [only] = members;
    if (only !== undefined && members.length === 1) {
      const { logits, beta, calibrating } = only;
      const own = calibrating && {
        judges: calibrating.rows,
        targets: calibrating.targets,
        heldOutRows: calibrating.targets.length,
      };
      const judged = judgedBy(logits, beta, prior, [logits], own ?? context.split);
      return { kind, members, beta: 1, ...judged, ...(only.unknown && { unknown: () => only.unknown! }) };
    }
    const { judges, targets } = context.split;
    const sum = new Float64Array(judges.rows * labels.length);
    for (const { logits, beta, weight } of members) addShare(sum, logits, beta, weight);
    const logits = { rows: judges.rows, columns: labels.length, values: sum };
    const beta = fitInverseTemperature(logits, targets);
    const all = members.map((member) => member.logits);
    return { kind, members, beta, ...judgedBy(logits, beta, prior, all, context.split) };
  }
}

/** What the rows that judge are given, and how often it is right. */
function judgedBy(
  logits: Matrix,
  beta: number,
  prior: Float64Array | undefined,
  members: readonly Matrix[],
  { judges, targets, heldOutRows }: Pick<Split, "judges" | "targets" | "heldOutRows">,
): Pick<ChosenKind, "posterior" | "accuracy" | "judges" | "heldOutRows" | "unknown"> {
  const posterior = () => posteriorOf(logits, beta, prior);
  // Calibration alone changes no order.
  const ordered = prior === undefined ? logits : { ...logits, values: posterior().values };
  const accuracy = heldOutRows > 0 ? accuracyOf(ordered, targets) : null;
  const unknown: ChosenKind["unknown"] = (outside) => {
    if (heldOutRows === 0) return noScores;
    const answered = { posterior: posterior(), logits: members };
    return scoreUnknown((without) => evidenceOf(answered, without), targets, logits.columns, outside);
  };
  return { posterior, accuracy, judges, heldOutRows, unknown };
}

/** Evidence on texts of no class that were given; of kinds with a density their fit has it. */
async function outsideEvidence(
  machinery: Machinery,
  model: RouterModel,
  { outside, constants }: ClassStatistics,
): Promise<readonly Float64Array[]> {
  if (outside.length === 0 || model.members.some(({ type }) => type === "density")) return [];
  const rows = joinRows(
    outside.map((own) => own.rows),
    constants.width,
  );
  return evidenceOf(await answerBlock(machinery, model, rows));
}

/**
 * The log of the classes' classPrior of the rows fitted to, where a kind learns them and they are not to count.
 * @returns (C)
 */
function priorOf(
  { statistics, split }: FitContext,
  kind: RouterKind,
  classPrior: FitOptions["classPrior"] = "uniform",
  part: RowPart,
): Float64Array | undefined {
  if (classPrior === "empirical" || !routerMembers.get(kind).some(learnsClassPrior)) return undefined;
  const heldOut = new Map(split.heldOut.map(({ label, rows }) => [label, rows.rows]));
  const counts = statistics.labels.map(
    (label) => statistics.count(label) - (part === "all" ? 0 : (heldOut.get(label) ?? 0)),
  );
  const all = counts.reduce((sum, count) => sum + count, 0);
  return Float64Array.from(counts, (count) => Math.log(count / all));
}

function settingsOf({ members, beta }: ChosenKind): Record<string, number> {
  const settings: Record<string, number> = { temperature: 1 / beta };
  members.forEach((member, i) => {
    for (const [name, value] of Object.entries(member.settings)) settings[`${i}.${name}`] = value;
  });
  return settings;
}
