// Dimensions: n rows, M numbers of an expansion, C classes.
/** Fitting one closed-form member: first without the held-out rows, to choose; then once with all. */
import { factorize } from "../../linalg/cholesky.ts";
import type { FeatureMapper } from "../statistics/featureMaps.ts";
import { accumulate, type Totals } from "../statistics/totals.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { type ClosedForm, type ClosedMember, expansionOf, grids, SEARCH_SIZE } from "./members.ts";
import {
  centredGram,
  classMeans,
  linearDiscriminant,
  nearestMean,
  type Readout,
  ridge,
  shrink,
  withinCovariance,
} from "./readouts/closedForm.ts";
import { readOut32 } from "./routerModel.ts";
import { fitInverseTemperature, logLoss, naturalScale, thinOut } from "./scores/calibration.ts";

/** Makes a readout at one setting after another from the same totals. */
type Solve = (setting: number) => Promise<Readout>;

const solvers: {
  readonly [F in ClosedForm]: (context: FitContext, totals: Totals) => Promise<Solve>;
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

const settingNames: { readonly [F in ClosedForm]: string } = {
  "nearest-mean": "setting",
  lda: "shrinkage",
  ridge: "lambda",
};

function needsSecond(form: ClosedForm): boolean {
  return form !== "nearest-mean";
}

/** A setting, and what it does to the held-out rows. */
interface Weighed {
  readonly setting: number;
  readonly readout: Readout;
  readonly beta: number;
  readonly loss: number;
}

/**
 * From the middle of a grid to the weaker settings as long as the loss falls; where it did not, to the stronger ones as long
 * as it does not rise. The loss has one valley along the grid.
 * @param grid from strong to weak
 */
export async function searchGrid<W extends Pick<Weighed, "loss">>(
  grid: readonly number[],
  weigh: (setting: number) => Promise<W>,
): Promise<W> {
  const middle = grid.length >> 1;
  const begin = await weigh(grid[middle]!);
  let best = begin;
  for (const setting of grid.slice(middle + 1)) {
    const weaker = await weigh(setting);
    if (weaker.loss >= best.loss) break;
    best = weaker;
  }
  if (best !== begin) return best;
  for (const setting of grid.slice(0, middle).reverse()) {
    const stronger = await weigh(setting);
    if (stronger.loss > best.loss) break;
    best = stronger;
  }
  return best;
}

/** Fits without the held-out rows at the settings of a grid, and takes the one of the least log-loss on them. */
export async function chooseClosed(context: FitContext, member: ClosedMember): Promise<ChosenMember> {
  const { algebra, statistics, split, signal } = context;
  const expansion = expansionOf(member, statistics.constants);
  const expander = context.expander(expansion);
  const size = Math.min(expander.size, SEARCH_SIZE);
  const totals = await context.totals(expander, size, needsSecond(member.form));
  await accumulate(algebra, expander, totals, split.promotedHeldOutRows, 1, signal);
  const judges = await expander.expand(algebra, split.judges, size);
  const solve = await solvers[member.form](context, totals);
  const few = thinOut(judges, split.targets);
  let ratio: number | undefined;
  const weigh = async (setting: number): Promise<Weighed> => {
    const readout = await solve(setting);
    const logits = await readOut32(algebra, few.matrix, readout);
    // The temperature in units of the logits' own scale hardly changes from one setting to the next.
    const beta = fitInverseTemperature(logits, few.targets, ratio);
    ratio = beta / naturalScale(logits);
    return { setting, readout, beta, loss: logLoss(logits, beta, few.targets) };
  };
  // On rows that were fitted to, the weakest setting always has the least loss.
  const grid = split.heldOutRows > 0 ? grids[member.form] : grids[member.form].slice(0, 1);
  const { setting, readout, beta } = await searchGrid(grid, weigh);
  const logits = await readOut32(algebra, judges, readout);
  return {
    settings: { [settingNames[member.form]]: setting, temperature: 1 / beta },
    logits,
    beta,
    weight: member.weight,
    finish: async () => ({
      type: "affine",
      expansion,
      readout: await finishClosed(context, member.form, expander, setting),
      beta,
      weight: member.weight,
    }),
  };
}

/** Fits to all rows at the setting chosen. */
async function finishClosed(
  context: FitContext,
  form: ClosedForm,
  expander: FeatureMapper,
  setting: number,
): Promise<Readout> {
  const totals = await context.totals(expander, expander.size, needsSecond(form), { part: "all" });
  const solve = await solvers[form](context, totals);
  return solve(setting);
}
