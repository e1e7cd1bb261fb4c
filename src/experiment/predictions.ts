/** `predictions.jsonl`: every answer of every evaluation, a line each. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorCode, StoreError } from "../core/errors.ts";
import type { RecordedPrediction } from "../model/evaluator.ts";

export const predictionsFile = "predictions.jsonl";

export function encodePredictions(lines: readonly RecordedPrediction[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

const place = {
  protocol: z.enum(["cil", "til", "routed"]),
  learned: z.int().min(1),
  task: z.string(),
  index: z.int().min(0),
};
const entity = z.object({ type: z.string(), word: z.string(), start: z.int(), end: z.int() });
const lineSchema: z.ZodType<RecordedPrediction> = z.union([
  z.object({ ...place, gold: z.string(), label: z.string().nullable(), score: z.number() }),
  z.object({
    ...place,
    goldEntities: z.array(entity),
    entities: z.array(entity.extend({ score: z.number() })),
  }),
]);

function decodeLine(line: string, number: number): RecordedPrediction {
  try {
    return lineSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new StoreError(`${predictionsFile}, line ${number}: is no prediction`, { cause });
  }
}

/** The whole lines of a text; what follows the last line end is a line that a killed writer left torn. */
export function decodePredictions(text: string): RecordedPrediction[] {
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole.split("\n").flatMap((line, i) => (line === "" ? [] : [decodeLine(line, i + 1)]));
}

/** @returns none where the run has no such file. @throws StoreError if it cannot be read */
export async function readPredictions(run: string): Promise<RecordedPrediction[]> {
  const path = join(run, predictionsFile);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    if (errorCode(cause) === "ENOENT") return "";
    throw new StoreError(`${path}: cannot be read`, { cause, hint: "Run anew, or restore the file." });
  });
  return decodePredictions(text);
}
