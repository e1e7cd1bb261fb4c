// Dimensions: n rows, M numbers of an expansion, C classes.
/** Fitting one closed-form member: first without the held-out rows, to choose; then once with all. */
import type { Algebra, Matrix } from "../../linalg/algebra.ts";
import { factorize } from "../../linalg/cholesky.ts";
import { fitInverseTemperature, logLoss, logSoftmax } from "./calibration.ts";
import {
  centredGram,
  classMeans,
  linearDiscriminant,
  nearestMean,
  type Readout,
  ridge,
  shrink,
  withinCovariance,
} from "./closedForm.ts";
import type { Expander } from "./expansions.ts";
import type { Split } from "./heldOut.ts";
import { type ClosedForm, type ClosedMember, grids, SEARCH_SIZE } from "./members.ts";
import { readOut } from "./routerModel.ts";
import type { ClassStatistics } from "./statistics.ts";
import { accumulate, type Totals } from "./totals.ts";
import type { TotalsKeeper } from "./totalsKeeper.ts";

/** What a fit works on. */
export interface FitGround {
  readonly algebra: Algebra;
  readonly keeper: TotalsKeeper;
  readonly statistics: ClassStatistics;
  readonly split: Split;
  readonly signal: AbortSignal | undefined;
}

/** What the held-out rows chose for a member. */
export interface ChosenMember {
  readonly member: ClosedMember;
  /** Shrinkage or λ. */
  readonly setting: number;
  /** 1/temperature */
  readonly beta: number;
  /** Of the held-out rows, by the fit without them: (h, C). */
  readonly logits: Matrix;
}

/** Makes a readout at one setting after another from the same totals. */
type Solve = (setting: number) => Promise<Readout>;

const solvers: {
  readonly [F in ClosedForm]: (ground: FitGround, totals: Totals) => Promise<Solve>;
} = {
  "nearest-mean": async ({ statistics }, totals) => {
    const readout = nearestMean(totals, statistics.labels);
    return async () => readout;
  },
  lda: async ({ algebra, statistics, signal }, totals) => {
    const { size } = totals;
    const covariance = await withinCovariance(algebra, totals, statistics.labels);
    const means = classMeans(totals, statistics.labels);
    return async (shrinkage) => {
      const options = { what: "router lda", signal };
      const factor = await factorize(algebra, shrink(covariance, size, shrinkage), size, options);
      return linearDiscriminant(algebra, factor, means);
    };
  },
  ridge: async ({ algebra, statistics, signal }, totals) => {
    const { size, second } = totals;
    if (second !== undefined) centredGram(totals, statistics.labels, second);
    return (lambda) => {
      // The last fit of a large router has one setting, and no room for two Gram matrices.
      const gram = size > SEARCH_SIZE ? second! : second!.slice();
      return ridge(algebra, totals, gram, statistics.labels, lambda, { what: "router ranpac", signal });
    };
  },
};

function needsSecond(form: ClosedForm): boolean {
  return form !== "nearest-mean";
}

/** Fits a member without the held-out rows, at settings from strong to weak, until the log-loss on them rises. */
export async function chooseMember(
  ground: FitGround,
  member: ClosedMember,
  expander: Expander,
): Promise<ChosenMember> {
  const { algebra, keeper, statistics, split, signal } = ground;
  const size = Math.min(expander.size, SEARCH_SIZE);
  const totals = await keeper.totals(expander, statistics, size, needsSecond(member.form), signal);
  await accumulate(algebra, expander, totals, split.conscripted, 1, signal);
  const judges = await expander.expand(algebra, split.judges, size);
  const expanded = { ...judges, values: Float64Array.from(judges.values) };
  const solve = await solvers[member.form](ground, totals);
  let best: (ChosenMember & { readonly loss: number }) | undefined;
  for (const setting of grids[member.form]) {
    const logits = await readOut(algebra, expanded, await solve(setting));
    const beta = fitInverseTemperature(logits, split.targets);
    const loss = logLoss(logSoftmax(logits, beta), split.targets);
    if (best !== undefined && loss >= best.loss) break;
    best = { member, setting, beta, logits, loss };
  }
  return best!;
}

/** Fits a member to all rows at the setting chosen. */
export async function finishMember(
  ground: FitGround,
  { member, setting }: ChosenMember,
  expander: Expander,
): Promise<Readout> {
  const { algebra, keeper, statistics, split, signal } = ground;
  const totals = await keeper.totals(expander, statistics, expander.size, needsSecond(member.form), signal);
  await accumulate(algebra, expander, totals, [...split.conscripted, ...split.heldOut], 1, signal);
  const solve = await solvers[member.form](ground, totals);
  return solve(setting);
}
