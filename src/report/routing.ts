/** What reports say of routers and of texts out of scope. */
import type { OutOfScopeMetrics, RouterSummary } from "../core/record.ts";
import { formatBytes, formatPercent, missing } from "./format.ts";

/** `2`, `1.04`. */
export function formatPasses(passes: number | undefined): string {
  if (passes === undefined) return missing;
  return Number.isInteger(passes) ? String(passes) : passes.toFixed(2);
}

function describeGate({ below, plausible }: NonNullable<RouterSummary["secondPass"]>): string {
  if (plausible !== undefined)
    return plausible === 0
      ? "about every sentence"
      : `about sentences in which a word is of its types with a probability of ${plausible} or more`;
  return below === null ? "for every text" : `where the likeliest class is below ${below}`;
}

function describeSecondPass(secondPass: RouterSummary["secondPass"]): string {
  if (secondPass === undefined)
    return "no second pass: it gained nothing on held-out texts, or was not asked for";
  const { weight, topTasks, headsAlone } = secondPass;
  const tasks = topTasks === 1 ? "the likeliest task" : `the ${topTasks} likeliest tasks`;
  const evidence = headsAlone ? "which then answers alone" : `its evidence weighed by ${weight}`;
  return `a second pass asks ${tasks} ${describeGate(secondPass)}, ${evidence}`;
}

/** One sentence, without a period. */
export function describeRouter(router: RouterSummary): string {
  const { kind, heldOutAccuracy, retainedBytes, bytesPerClass, secondPass } = router;
  const heldOut =
    heldOutAccuracy === null
      ? ""
      : `, right for ${formatPercent(heldOutAccuracy)} % of held-out training rows`;
  const kept = `${formatBytes(bytesPerClass)} kept a class, ${formatBytes(retainedBytes)} in all`;
  return `${kind}${heldOut}; ${kept}; ${describeSecondPass(secondPass)}`;
}

/** Figures of rejection by name, in the order in which they are shown. */
export function rejectionFigures(figures: OutOfScopeMetrics): readonly (readonly [string, string])[] {
  const percent = (value: number) => `${formatPercent(value)} %`;
  return [
    ["AUROC", figures.auroc.toFixed(4)],
    ["FPR at 95 % found", percent(figures.falsePositiveRateAt95)],
    ["false rejects allowed on held-out rows", percent(figures.rejectRate)],
    ["in scope: accepted and right", percent(figures.inScopeAccuracy)],
    ["in scope: rejected", percent(figures.inScopeRejected)],
    ["out of scope: rejected", percent(figures.outOfScopeRejected)],
  ];
}
