/** What a task of words leaves beside its rows: how many words each tag had, and what was counted on held-out sentences. */
import { z } from "zod";
import { parseJson } from "../statistics/contributionFile.ts";
import { tagPairsSchema } from "./wordDecoding.ts";
import { addWordCounts, wordCountsSchema } from "./wordFusionFit.ts";

export const tagCountsFile = "words.json";

const fileSchema = z.strictObject({
  version: z.literal(2),
  totals: z.record(z.string(), z.int().nonnegative()),
  pairs: tagPairsSchema,
  counts: wordCountsSchema,
});

/** Numbers alone: nothing of a sentence is kept. */
export type TagCounts = Omit<z.infer<typeof fileSchema>, "version">;

export function encodeTagCounts({ totals, pairs, counts }: TagCounts): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ version: 2, totals, pairs, counts }, null, 1)}\n`);
}

/** @throws StoreError naming `where` */
export function decodeTagCounts(bytes: Uint8Array, where: string): TagCounts {
  const { version: _, ...counts } = parseJson(fileSchema, new TextDecoder().decode(bytes), where);
  return counts;
}

/** What is left without some tags. What was counted on held-out sentences among them goes with them. */
export function withoutTags({ totals, pairs }: TagCounts, gone: ReadonlySet<string>): TagCounts {
  const left = <T>(record: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(record).filter(([tag]) => !gone.has(tag)));
  return {
    totals: left(totals),
    pairs: Object.fromEntries(Object.entries(left(pairs)).map(([tag, followers]) => [tag, left(followers)])),
    counts: addWordCounts([]),
  };
}
