// Dimensions: n held-out texts, C classes.
/** How a second pass is gated and weighed: counted on held-out texts of each task while it is the current one. */
import { z } from "zod";
import type { LabelledExample } from "../../data/types.ts";
import {
  type ClassLayout,
  type Fusion,
  firstPassOnly,
  fuse,
  type HeadEvidence,
  largest,
  probabilitiesOf,
} from "./fusion.ts";
import type { Posterior } from "./types.ts";

/** Probabilities of the likeliest class from which on no second pass is made. */
const CONFIDENCES = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1] as const;
/** w. */
const WEIGHTS = [0.125, 0.25, 0.5, 1, 2] as const;

/** A gate and a weight, and what they did to the held-out texts that got a second pass. */
const optionSchema = z
  .strictObject({
    confident: z.number(),
    weight: z.number(),
    /** Texts that got a second pass. */
    asked: z.int().nonnegative(),
    /** Wrong after the first pass, right after the second. */
    mended: z.int().nonnegative(),
    /** Right after the first pass, wrong after the second. */
    broken: z.int().nonnegative(),
  })
  .readonly();

export const fusionCountsSchema = z
  .strictObject({
    /** Held-out texts that were counted. */
    texts: z.int().nonnegative(),
    options: z.array(optionSchema).readonly(),
  })
  .readonly();

/** Counts over held-out texts: numbers alone, so nothing of a text is kept. */
export type FusionCounts = z.infer<typeof fusionCountsSchema>;

/**
 * Counts what every gate and weight do to held-out texts.
 * @param posterior of the texts (n, C), by a router that was not fitted to them
 * @param evidence by text, of those whose likeliest class is below the last confidence
 */
export function countFusion(
  texts: readonly Pick<LabelledExample, "label">[],
  labels: readonly string[],
  posterior: Posterior,
  evidence: ReadonlyMap<number, readonly HeadEvidence[]>,
  layout: ClassLayout,
): FusionCounts {
  const counts = CONFIDENCES.flatMap((confident) =>
    WEIGHTS.map((weight) => ({ confident, weight, asked: 0, mended: 0, broken: 0 })),
  );
  texts.forEach(({ label }, row) => {
    const heard = evidence.get(row);
    if (heard === undefined) return;
    const first = probabilitiesOf(posterior, row);
    const before = largest(first);
    const logs = posterior.values.subarray(row * posterior.classes, (row + 1) * posterior.classes);
    for (const weight of WEIGHTS) {
      const after = largest(fuse(logs, heard, layout, weight).probabilities);
      for (const option of counts) {
        if (option.weight !== weight || first[before]! >= option.confident) continue;
        option.asked += 1;
        if (labels[before] !== label && labels[after] === label) option.mended += 1;
        if (labels[before] === label && labels[after] !== label) option.broken += 1;
      }
    }
  });
  return { texts: texts.length, options: counts };
}

/** Sums; options that are not in the table are left out. */
export function addFusionCounts(all: readonly FusionCounts[]): FusionCounts {
  const options = CONFIDENCES.flatMap((confident) =>
    WEIGHTS.map((weight) => {
      const own = all.flatMap(({ options: theirs }) =>
        theirs.filter((each) => each.confident === confident && each.weight === weight),
      );
      const sum = (key: "asked" | "mended" | "broken") => own.reduce((total, each) => total + each[key], 0);
      return { confident, weight, asked: sum("asked"), mended: sum("mended"), broken: sum("broken") };
    }),
  );
  return { texts: all.reduce((total, { texts }) => total + texts, 0), options };
}

/** `auto`: where it gains on held-out texts; `always`: for every text; `off`: never. */
export type SecondPass = "auto" | "always" | "off";

/**
 * The gate and the weight that mend the most held-out texts more than they break, of equals those that ask the fewest.
 * A gain counts only where it is larger than its own standard error, √(mended + broken): what chance gives is no reason
 * to pay for a pass.
 * @param topTasks k
 */
export function chooseFusion(counts: FusionCounts, topTasks: number, secondPass: SecondPass): Fusion {
  if (secondPass === "off") return firstPassOnly;
  const gain = (option: FusionCounts["options"][number]) => option.mended - option.broken;
  const options = counts.options.filter(({ confident }) => secondPass === "auto" || confident === 1);
  const [best] = options.toSorted((a, b) => gain(b) - gain(a) || a.asked - b.asked || a.weight - b.weight);
  if (secondPass === "always")
    return { confident: Number.POSITIVE_INFINITY, weight: best?.weight ?? 1, topTasks };
  if (best === undefined || gain(best) <= Math.sqrt(best.mended + best.broken)) return firstPassOnly;
  return { confident: best.confident, weight: best.weight, topTasks };
}

/** The widest gate, under which evidence is gathered that {@link countFusion} needs. */
export function gatheringFusion(topTasks: number): Fusion {
  return { confident: 1, weight: 0, topTasks };
}
