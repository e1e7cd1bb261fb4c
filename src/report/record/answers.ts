/** What a finished run's last answers say beyond averages: which labels are mixed up, and whether scores are probabilities. */
import { z } from "zod";

/** A label that was taken for another; null where a text was taken to be of no known class. */
export interface Confusion {
  readonly gold: string;
  readonly label: string | null;
  readonly count: number;
}

export interface ClassAccuracy {
  readonly label: string;
  readonly items: number;
  readonly accuracy: number;
}

/** Answers whose scores lie in (from, to]. */
export interface ReliabilityBin {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** Their mean. */
  readonly score: number;
  /** The share of them that is right. */
  readonly accuracy: number;
}

export interface AnswerSummary {
  readonly protocol: "routed" | "cil";
  readonly items: number;
  readonly wrong: number;
  /** The most frequent first. */
  readonly confusions: readonly Confusion[];
  /** The worst first. */
  readonly perClass: readonly ClassAccuracy[];
  /** Without those that are empty; of routed answers alone, whose scores are to be probabilities. */
  readonly reliability: readonly ReliabilityBin[];
}

const BINS = 10;

const lineSchema = z.object({
  protocol: z.enum(["cil", "til", "routed"]),
  learned: z.int(),
  gold: z.string(),
  label: z.string().nullable(),
  score: z.number(),
});
type Line = z.infer<typeof lineSchema>;

function parseLine(line: string): Line | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** The answers of the last evaluation; none where entities were looked for. */
function lastLines(text: string): Line[] {
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  const learned = lines.findLast((line) => line !== "" && parseLine(line) !== undefined);
  const last = learned === undefined ? undefined : parseLine(learned)?.learned;
  // A long stream has a hundred thousand lines, most of them of evaluations before: these need not be parsed.
  const mark = `"learned":${last},`;
  return lines.filter((line) => line.includes(mark)).flatMap((line) => parseLine(line) ?? []);
}

function countsOf<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

function reliabilityOf(lines: readonly Line[]): ReliabilityBin[] {
  const named = lines.filter(({ label }) => label !== null);
  return Array.from({ length: BINS }, (_, bin) => {
    const own = named.filter(
      ({ score }) => Math.min(BINS - 1, Math.max(0, Math.ceil(score * BINS) - 1)) === bin,
    );
    const right = own.filter(({ gold, label }) => gold === label).length;
    return {
      from: bin / BINS,
      to: (bin + 1) / BINS,
      count: own.length,
      score: own.reduce((sum, { score }) => sum + score, 0) / own.length,
      accuracy: right / own.length,
    };
  }).filter(({ count }) => count > 0);
}

/**
 * @param predictions what `predictions.jsonl` holds
 * @returns undefined where no label was given to a text
 */
export function summarizeAnswers(predictions: string): AnswerSummary | undefined {
  const lines = lastLines(predictions);
  const routed = lines.filter(({ protocol }) => protocol === "routed");
  const own = routed.length > 0 ? routed : lines.filter(({ protocol }) => protocol === "cil");
  if (own.length === 0) return undefined;
  const wrong = own.filter(({ gold, label }) => gold !== label);
  const pairs = countsOf(wrong, ({ gold, label }) => JSON.stringify([gold, label]));
  const classes = countsOf(own, ({ gold }) => gold);
  return {
    protocol: routed.length > 0 ? "routed" : "cil",
    items: own.length,
    wrong: wrong.length,
    confusions: [...pairs.values()]
      .map((same) => ({ gold: same[0]!.gold, label: same[0]!.label, count: same.length }))
      .sort((a, b) => b.count - a.count),
    perClass: [...classes]
      .map(([label, items]) => {
        const right = items.filter((line) => line.label === label).length;
        return { label, items: items.length, accuracy: right / items.length };
      })
      .sort((a, b) => a.accuracy - b.accuracy),
    reliability: routed.length > 0 ? reliabilityOf(routed) : [],
  };
}
