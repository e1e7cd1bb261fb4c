/** What reports say of routers and of texts out of scope. */
import type { CalibrationMetrics, OutOfScopeMetrics, RouterSummary, RunHeader } from "../core/record.ts";
import { formatBytes, formatPercent, missing } from "./record/format.ts";

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

/** Who answers where there is no second pass; the settings say whether words' validation sentences chose so. */
function describeFirstPass(settings: RunHeader["config"]): string {
  // Without a head there is no evidence to weigh, and none of the labels can be said without an adapter.
  if ((settings["head.kind"] ?? settings.head) === "none")
    return "the adapter of the likeliest label's task answers";
  return settings["router.secondPass"] === "off"
    ? "it answers alone, as router.secondPass: off says"
    : "it answers alone, since validation texts showed no gain from a second pass through adapters";
}

function describeSecondPass(secondPass: RouterSummary["secondPass"], settings: RunHeader["config"]): string {
  if (secondPass === undefined) return describeFirstPass(settings);
  const { weight, topTasks, headsAlone } = secondPass;
  const tasks = topTasks === 1 ? "the likeliest task" : `the ${topTasks} likeliest tasks`;
  const evidence = headsAlone ? "which then answers alone" : `its evidence weighed by ${weight}`;
  return `a second pass asks the adapter of ${tasks} ${describeGate(secondPass)}, ${evidence}`;
}

/** One sentence, without a period. */
export function describeRouter(router: RouterSummary, header: RunHeader): string {
  const { kind, heldOutAccuracy, retainedBytes, bytesPerClass, secondPass } = router;
  const heldOut =
    heldOutAccuracy === null
      ? ""
      : `, right for ${formatPercent(heldOutAccuracy)} % of the rows that were held out to choose it`;
  const kept = `its statistics take ${formatBytes(bytesPerClass)} a class, ${formatBytes(retainedBytes)} in all`;
  return `${kind}${heldOut}; ${describeSecondPass(secondPass, header.config)}; ${kept}`;
}

/** Figures of calibration by name, in the order in which they are shown. */
export function calibrationFigures(figures: CalibrationMetrics): readonly (readonly [string, string])[] {
  return [
    ["expected calibration error", figures.expectedCalibrationError.toFixed(4)],
    ["of perfect scores at most, by chance", figures.byChance.toFixed(4)],
  ];
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
