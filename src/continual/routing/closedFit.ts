// Dimensions: n rows, M numbers of an expansion, C classes.
/** Fitting one closed-form member: first without the held-out rows, to choose; then once with all. */
import { factorize } from "../../linalg/cholesky.ts";
import { fitInverseTemperature, logLoss, naturalScale, thinOut } from "./calibration.ts";
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
import type { ChosenMember, FitGround } from "./ground.ts";
import { type ClosedForm, type ClosedMember, expansionOf, grids, SEARCH_SIZE } from "./members.ts";
import { readOut } from "./routerModel.ts";
import { accumulate, type Totals } from "./totals.ts";

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

const settingNames: { readonly [F in ClosedForm]: string } = {
  "nearest-mean": "setting",
  lda: "shrinkage",
  ridge: "lambda",
};

function needsSecond(form: ClosedForm): boolean {
  return form !== "nearest-mean";
}

/** Fits without the held-out rows, at settings from strong to weak, until the log-loss on them rises. */
export async function chooseClosed(ground: FitGround, member: ClosedMember): Promise<ChosenMember> {
  const { algebra, statistics, split, signal } = ground;
  const expansion = expansionOf(member, statistics.constants);
  const expander = ground.expander(expansion);
  const size = Math.min(expander.size, SEARCH_SIZE);
  const totals = await ground.totals(expander, size, needsSecond(member.form));
  await accumulate(algebra, expander, totals, split.conscripted, 1, signal);
  const judges = await expander.expand(algebra, split.judges, size);
  const expanded = { ...judges, values: new Float64Array(judges.values) };
  const solve = await solvers[member.form](ground, totals);
  const few = thinOut(expanded, split.targets);
  // Rows that were fitted speak for the weakest setting whatever it is.
  const grid = split.heldOutRows > 0 ? grids[member.form] : grids[member.form].slice(0, 1);
  let best: { readonly setting: number; readonly readout: Readout; readonly beta: number } | undefined;
  let least = Number.POSITIVE_INFINITY;
  let ratio: number | undefined;
  for (const setting of grid) {
    const readout = await solve(setting);
    const logits = await readOut(algebra, few.matrix, readout);
    // The temperature in units of the logits' own scale hardly changes from one setting to the next.
    const beta = fitInverseTemperature(logits, few.targets, ratio);
    ratio = beta / naturalScale(logits);
    const loss = logLoss(logits, beta, few.targets);
    if (best !== undefined && loss >= least) break;
    best = { setting, readout, beta };
    least = loss;
  }
  const { setting, readout, beta } = best!;
  const logits = await readOut(algebra, expanded, readout);
  return {
    settings: { [settingNames[member.form]]: setting, temperature: 1 / beta },
    logits,
    beta,
    weight: member.weight,
    finish: async () => ({
      type: "affine",
      expansion,
      readout: await finishClosed(ground, member.form, expander, setting),
      beta,
      weight: member.weight,
    }),
  };
}

/** Fits to all rows at the setting chosen. */
async function finishClosed(
  ground: FitGround,
  form: ClosedForm,
  expander: Expander,
  setting: number,
): Promise<Readout> {
  const totals = await ground.totals(expander, expander.size, needsSecond(form), "all");
  const solve = await solvers[form](ground, totals);
  return solve(setting);
}
