// Dimensions: h held-out rows, C classes.
/** What the fit of one member works on, and what it gives. */
import type { Algebra, Compile, Matrix } from "../../linalg/algebra.ts";
import type { FeatureMap, FeatureMapper } from "../statistics/featureMaps.ts";
import type { ClassStatistics } from "../statistics/statistics.ts";
import type { Totals } from "../statistics/totals.ts";
import type { DensityMemory } from "./densityMemory.ts";
import type { Split, TargetedRows } from "./heldOut.ts";
import type { Member } from "./routerModel.ts";
import type { UnknownScores } from "./scores/unknown.ts";
import type { TotalsAsked } from "./totalsKeeper.ts";

export interface FitContext {
  readonly algebra: Algebra;
  readonly compile: Compile;
  readonly statistics: ClassStatistics;
  readonly split: Split;
  /** Of what is trained. */
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
  /** Random weights are drawn once. */
  expander(expansion: FeatureMap): FeatureMapper;
  /**
   * Totals of rows, the caller's own.
   * @param size of the leading numbers of the expansion that are summed
   * @param second whether the second moment is needed
   * @param of default: the rows that are not held out, of all classes
   */
  totals(
    expander: FeatureMapper,
    size: number,
    second: boolean,
    of?: Partial<Pick<TotalsAsked, "part" | "labels">>,
  ): Promise<Totals>;
  /** What was projected for densities so far. */
  readonly densities: DensityMemory;
}

/** What the held-out rows chose for a member. */
export interface ChosenMember<M extends Member = Member> {
  readonly settings: Readonly<Record<string, number>>;
  /** 1/temperature */
  readonly beta: number;
  readonly weight: number;
  /** Of the held-out rows, by the fit without them: (h, C). */
  readonly logits: Matrix;
  /** The rows that `logits` are of, where they are others than those of the context's split. */
  readonly calibrating?: TargetedRows;
  /** What the member says of texts of no class, where it knows more than its logits do. */
  readonly unknown?: UnknownScores;
  /** Fits to all rows. */
  finish(): Promise<M>;
}
