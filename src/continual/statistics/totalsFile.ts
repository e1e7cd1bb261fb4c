// Dimensions: M numbers of an expansion, C classes.
/** The file of totals that were counted, so that the next process goes on from them. */
import { z } from "zod";
import { float64, type HostTensor } from "../../core/tensor.ts";
import { packedLength } from "../../linalg/lower.ts";
import { sha256, sha256Json } from "../../portable/hash.ts";
import { decodeSafetensors, encodeSafetensors } from "../../portable/safetensors.ts";
import { parseJson } from "./contributionFile.ts";
import type { ClassSum, Totals } from "./totals.ts";

const VERSION = "1";

/** Totals with what they are of. */
export interface SavedTotals {
  /** Which totals: features, expansion, rows. */
  readonly key: string;
  /** Ids of the contributions that are counted in. */
  readonly counted: readonly string[];
  readonly totals: Totals;
}

const headSchema = z.object({
  /** Of the numbers. */
  hash: z.string(),
  key: z.string(),
  counted: z.array(z.string()),
  labels: z.array(z.string()),
  size: z.int().positive(),
});

/** @param saved with a packed second moment */
export function encodeTotals({ key, counted, totals }: SavedTotals): Uint8Array {
  const { size, classes, second } = totals;
  const labels = [...classes.keys()].sort();
  const sums = new Float64Array(labels.length * size);
  const counts = Float64Array.from(labels, (label, c) => {
    const { count, sum } = classes.get(label)!;
    sums.set(sum, c * size);
    return count;
  });
  const tensors = new Map<string, HostTensor>([
    ["counts", float64(counts, [labels.length])],
    ["sums", float64(sums, [labels.length, size])],
    ["second", float64(second!, [second!.length])],
  ]);
  const head = JSON.stringify({ hash: hashOf([counts, sums, second!]), key, counted, labels, size });
  return encodeSafetensors(tensors, { version: VERSION, head });
}

function hashOf(numbers: readonly Float64Array[]): string {
  return sha256Json(
    numbers.map(({ buffer, byteOffset, byteLength }) =>
      sha256(new Uint8Array(buffer, byteOffset, byteLength)),
    ),
  );
}

/**
 * @param where names the file in errors
 * @returns undefined where it is of another version, or its numbers are others than were written
 * @throws StoreError, CheckpointError where its form is damaged
 */
export function decodeTotals(bytes: Uint8Array, where: string): SavedTotals | undefined {
  const { tensors, metadata } = decodeSafetensors(bytes, where);
  if (metadata.get("version") !== VERSION) return undefined;
  const { hash, key, counted, labels, size } = parseJson(headSchema, metadata.get("head"), where);
  const [counts, sums, second] = ["counts", "sums", "second"].map((name) => tensors.get(name)?.data);
  if (
    !(counts instanceof Float64Array && sums instanceof Float64Array && second instanceof Float64Array) ||
    counts.length !== labels.length ||
    sums.length !== labels.length * size ||
    second.length !== packedLength(size) ||
    hash !== hashOf([counts, sums, second])
  )
    return undefined;
  const classes = new Map<string, ClassSum>(
    labels.map((label, c) => [label, { count: counts[c]!, sum: sums.slice(c * size, (c + 1) * size) }]),
  );
  const rows = counts.reduce((sum, count) => sum + count, 0);
  return { key, counted, totals: { size, layout: "packed", classes, rows, second: second.slice() } };
}
