// Dimensions: n texts, F routing features, C classes.
/** What a second pass does to texts that neither the router nor the adapter of their task was fitted to. */
import type { LabelledExample } from "../../data/types.ts";
import type { AdaptedBackbone } from "../adaptedBackbone.ts";
import type { FittedRouter, JudgedRows } from "./fit.ts";
import { layOut } from "./fusion.ts";
import { addFusionCounts, countFusion, type FusionCounts, gatheringFusion } from "./fusionFit.ts";
import { findRows } from "./heldOut.ts";
import { askingHeads, gatherEvidence, type RoutedTask } from "./routedPrediction.ts";
import type { Contribution, RowRole } from "./statistics.ts";
import { joinRows } from "./totals.ts";
import type { Posterior } from "./types.ts";

/** Held-out texts of a class are enough to choose by in place of some of its train rows from this share of those on. */
const ENOUGH_HELD_OUT = 0.05;

/**
 * A task's rows with their roles: held-out texts judge, and where a class has enough of them all of its train rows are
 * fitted to. The last fit takes both in.
 * @param judging of the texts held out
 */
export function withRoles(
  train: readonly Contribution[],
  judging: readonly Contribution[],
): readonly Contribution[] {
  const held = new Map(judging.map(({ label, rows }) => [label, rows.rows]));
  const roleOf = ({ label, rows }: Contribution): { readonly role?: RowRole } =>
    (held.get(label) ?? 0) > 0 && (held.get(label) ?? 0) >= ENOUGH_HELD_OUT * rows.rows
      ? { role: "fit" }
      : {};
  return [
    ...train.map((own) => ({ ...own, ...roleOf(own) })),
    ...judging.filter(({ rows }) => rows.rows > 0).map((own) => ({ ...own, role: "judge" as const })),
  ];
}

/** What the judged rows were given, in the order wanted: (n, C); and which of those wanted are among them. */
function judgedPosterior(
  judged: JudgedRows,
  wanted: readonly Contribution[],
): { readonly found: readonly number[]; readonly posterior: Posterior } {
  const { rows } = judged;
  const { classes, values } = judged.posterior();
  const joined = joinRows(
    wanted.map((own) => own.rows),
    rows.width,
  );
  const places = findRows(rows, joined);
  const found = [...places.keys()].filter((row) => places[row]! >= 0);
  const own = new Float64Array(found.length * classes);
  found.forEach((row, i) => {
    own.set(values.subarray(places[row]! * classes, (places[row]! + 1) * classes), i * classes);
  });
  return { found, posterior: { rows: found.length, classes, values: own } };
}

export interface HeldOutTask {
  /** The texts held out, those of a class in the order of its rows. */
  readonly examples: readonly LabelledExample[];
  /** Their rows. */
  readonly judging: readonly Contribution[];
}

/**
 * Counts what gates and weights do to a task's held-out texts. The router's word on them is that of its fit without them.
 * @param tasks everything learned by then, the texts' own task among it
 */
export async function countSecondPass(
  model: AdaptedBackbone,
  tasks: readonly RoutedTask[],
  router: FittedRouter,
  { examples, judging }: HeldOutTask,
  topTasks: number,
  signal?: AbortSignal,
): Promise<FusionCounts> {
  if (router.judged === undefined) return addFusionCounts([]);
  const { found, posterior } = judgedPosterior(router.judged, judging);
  const sorted = judging.flatMap(({ label }) => examples.filter((example) => example.label === label));
  const texts = found.map((row) => sorted[row]!);
  const { encodings } = model.encode(texts, "validation");
  const layout = layOut(router.labels, tasks);
  const ask = askingHeads(model, tasks, encodings, signal);
  const evidence = await gatherEvidence(posterior, layout, gatheringFusion(topTasks), tasks, ask);
  return countFusion(texts, router.labels, posterior, evidence, layout);
}
