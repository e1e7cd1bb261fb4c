/** What a task of words leaves beside its rows: how many words each tag had, and what was counted on held-out sentences. */
import { z } from "zod";
import { parseJson } from "../statistics/contributionFile.ts";
import { tagPairsSchema } from "./wordDecoding.ts";
import { addWordCounts, wordCountsSchema } from "./wordFusionFit.ts";

export const tagCountsFile = "words.json";

const kept = { totals: z.record(z.string(), z.int().nonnegative()), pairs: tagPairsSchema };
const currentSchema = z.strictObject({ version: z.literal(3), ...kept, counts: wordCountsSchema });
/** Before it was counted how many tasks to ask: what was counted then is of no use now. */
const earlierSchema = z
  .strictObject({ version: z.literal(2), ...kept, counts: z.unknown() })
  .transform((file) => ({ ...file, version: 3 as const, counts: addWordCounts([]) }));
const fileSchema = z.union([currentSchema, earlierSchema]);

/** Numbers alone: nothing of a sentence is kept. */
export type TagCounts = Omit<z.infer<typeof fileSchema>, "version">;

export function encodeTagCounts({ totals, pairs, counts }: TagCounts): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ version: 3, totals, pairs, counts })}\n`);
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
