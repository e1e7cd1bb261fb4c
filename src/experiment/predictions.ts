/** `predictions.jsonl`: every answer of every evaluation, a line each. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { StoreError } from "../core/errors.ts";
import { errorCode } from "../io/fileErrors.ts";
import type { RecordedPrediction } from "../model/evaluator.ts";

export const predictionsFile = "predictions.jsonl";

export function encodePredictions(lines: readonly RecordedPrediction[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** The whole lines of a text; what follows the last line end is a line that a killed writer left torn. */
export function decodePredictions(text: string): RecordedPrediction[] {
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as RecordedPrediction]));
}

/** @returns none where the run has no such file. @throws StoreError if it cannot be read */
export async function readPredictions(run: string): Promise<RecordedPrediction[]> {
  const path = join(run, predictionsFile);
  try {
    return decodePredictions(await readFile(path, "utf8"));
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return [];
    throw new StoreError(`${path}: cannot be read`, { cause, hint: "Run anew, or restore the file." });
  }
}
