/**
 * Successive halving (Jamieson and Talwalkar 2016): configurations are compared after some tasks, and the better share
 * goes on. What is compared is accuracy on validation data; test data decide nothing.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError, StoreError } from "../core/errors.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { makeFolder, type Progress } from "./trialState.ts";

const rungSchema = z.object({
  /** Tasks that were learned by then. */
  after: z.number(),
  /** By configuration: mean over seeds and tasks; null where a trial was given up. */
  figures: z.record(z.string(), z.number().nullable()),
  goesOn: z.array(z.string()),
});
/** A comparison, with what it decided. */
export type Rung = z.infer<typeof rungSchema>;

/** The best share, at least one; of equal ones the earlier. A configuration without a figure does not go on. */
export function bestOf(figures: Readonly<Record<string, number | null>>, keep: number): string[] {
  const known = Object.entries(figures).flatMap(([name, figure]) =>
    figure === null ? [] : [{ name, figure }],
  );
  const count = Math.max(1, Math.ceil(Object.keys(figures).length * keep));
  const best = known.toSorted((a, b) => b.figure - a.figure).slice(0, count);
  const names = new Set(best.map(({ name }) => name));
  return Object.keys(figures).filter((name) => names.has(name));
}

/**
 * The mean validation accuracy over the first tasks of a configuration's trials.
 * @throws ConfigError where a task has no validation data
 */
export function validationFigure(trials: readonly Progress[], after: number): number {
  const means = trials.map(({ validation, evaluated }) => {
    const own = validation.slice(0, Math.min(after, evaluated));
    const known = own.filter((figure) => figure !== undefined);
    if (known.length < own.length || own.length === 0)
      throw new ConfigError("halving compares accuracy on validation data, and some task has none", {
        hint: "Give the base configuration stream.validation or stream.validationFraction, or leave halving out.",
      });
    return known.reduce((sum, figure) => sum + figure, 0) / known.length;
  });
  return means.reduce((sum, mean) => sum + mean, 0) / means.length;
}

function rungPath(out: string, after: number): string {
  return join(out, "rungs", `after-${after}.json`);
}

/** A comparison is made once: what it decided stands. */
export async function writeRung(out: string, rung: Rung): Promise<void> {
  await makeFolder(join(out, "rungs"));
  await writeFileAtomic(rungPath(out, rung.after), `${JSON.stringify(rung, null, 2)}\n`);
}

export async function readRung(out: string, after: number): Promise<Rung | undefined> {
  const path = rungPath(out, after);
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = rungSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new StoreError(`${path}: is no comparison of configurations`, {
    hint: "Delete it: the comparison is made again from the trials.",
  });
}
