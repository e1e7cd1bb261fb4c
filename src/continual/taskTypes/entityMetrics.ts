/**
 * Entity-level scores of tagged sentences, equal to seqeval 1.2.2's: an entity is right if its type, its first and
 * its last word are. Fractions, never percent; where seqeval divides by zero and says 0, so does this.
 */
import { DataError } from "../../core/errors.ts";

/**
 * How tags are read as entities.
 * `default`: as conlleval does, forgiving: an `I-x` after anything but `B-x` or `I-x` begins an entity too.
 * `strict` (seqeval's `mode="strict", scheme=IOB2`): an entity is a `B-x` and the `I-x` right after it, nothing else.
 */
export type EntityMode = "default" | "strict";

/** An entity in a sentence: words `start` up to, not including, `end`. */
export interface Entity {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** A tag's first letter and its type, as the mode's half of seqeval takes them apart; `_` where there is no type. */
interface Parsed {
  readonly prefix: string;
  readonly type: string;
}

const NO_TYPE = "_";
const OUTSIDE: Parsed = { prefix: "O", type: NO_TYPE };

/** What follows the first hyphen after the first letter, or all that follows the letter where there is none. */
function parseDefault(tag: string): Parsed {
  const rest = tag.slice(1);
  return { prefix: tag.slice(0, 1), type: rest.slice(rest.indexOf("-") + 1) || NO_TYPE };
}

/** All that follows the first letter, hyphens at both ends aside. */
function parseStrict(tag: string): Parsed {
  return { prefix: tag.slice(0, 1), type: tag.slice(1).replace(/^-+|-+$/g, "") || NO_TYPE };
}

const prefixes: Readonly<Record<EntityMode, string>> = { default: "OBIES", strict: "OBI" };

function parseTags(tags: readonly string[], mode: EntityMode): Parsed[] {
  return tags.map((tag, i) => {
    const parsed = mode === "default" ? parseDefault(tag) : parseStrict(tag);
    if (parsed.prefix !== "" && prefixes[mode].includes(parsed.prefix)) return parsed;
    throw new DataError(`word ${i + 1}: ${JSON.stringify(tag)} is not a tag of the ${mode} mode`, {
      hint: `Tags begin with one of ${[...prefixes[mode]].join(", ")}, then a hyphen and the entity's type.`,
    });
  });
}

/** Whether an entity that reaches up to `before` ends there. The rules of conlleval. */
function endsBetween(before: Parsed, after: Parsed): boolean {
  if (before.prefix === "O") return false;
  if ("ES".includes(before.prefix) || before.type !== after.type) return true;
  return "BSO".includes(after.prefix);
}

/** Whether an entity starts at `after`. The rules of conlleval. */
function startsBetween(before: Parsed, after: Parsed): boolean {
  if (after.prefix === "O") return false;
  if ("BS".includes(after.prefix) || before.type !== after.type) return true;
  return "ESO".includes(before.prefix);
}

function findDefault(tags: readonly Parsed[]): Entity[] {
  const entities: Entity[] = [];
  let before = OUTSIDE;
  let start = 0;
  for (const [i, after] of [...tags, OUTSIDE].entries()) {
    if (endsBetween(before, after)) entities.push({ type: before.type, start, end: i });
    if (startsBetween(before, after)) start = i;
    before = after;
  }
  return entities;
}

function findStrict(tags: readonly Parsed[]): Entity[] {
  const entities: Entity[] = [];
  for (const [start, { prefix, type }] of tags.entries()) {
    if (prefix !== "B") continue;
    let end = start + 1;
    while (tags[end]?.prefix === "I" && tags[end]?.type === type) end++;
    entities.push({ type, start, end });
  }
  return entities;
}

/**
 * The entities of one sentence, in order.
 *
 * Besides O, B and I the default mode knows E (end) and S (single), as seqeval does. Other letters are refused, where
 * seqeval's default mode warns and goes on.
 *
 * @throws DataError for a tag that the mode does not know
 */
export function findEntities(tags: readonly string[], mode: EntityMode = "default"): readonly Entity[] {
  const parsed = parseTags(tags, mode);
  return mode === "default" ? findDefault(parsed) : findStrict(parsed);
}

/** Entities of one type: found right, predicted at all, and there to be found. */
export interface EntityCount {
  readonly correct: number;
  readonly predicted: number;
  readonly gold: number;
}

/** Counts by type; only types that occur, in gold or in predictions. Counts of several test sets may be pooled. */
export type EntityCounts = ReadonlyMap<string, EntityCount>;

function addTo(counts: Map<string, EntityCount>, type: string, more: Partial<EntityCount>): void {
  const had = counts.get(type) ?? { correct: 0, predicted: 0, gold: 0 };
  counts.set(type, {
    correct: had.correct + (more.correct ?? 0),
    predicted: had.predicted + (more.predicted ?? 0),
    gold: had.gold + (more.gold ?? 0),
  });
}

/**
 * @param gold tags of each sentence
 * @param predicted as many sentences of the same lengths
 * @throws DataError if the lengths differ, or for a tag that the mode does not know
 */
export function countEntities(
  gold: readonly (readonly string[])[],
  predicted: readonly (readonly string[])[],
  mode: EntityMode = "default",
): EntityCounts {
  if (gold.length !== predicted.length)
    throw new DataError(`entity scores: ${gold.length} sentences, but predictions for ${predicted.length}`);
  const counts = new Map<string, EntityCount>();
  for (const [i, tags] of gold.entries()) {
    const guess = predicted[i] ?? [];
    if (tags.length !== guess.length)
      throw new DataError(
        `entity scores: sentence ${i + 1} has ${tags.length} words, but predictions for ${guess.length}`,
      );
    const key = ({ type, start, end }: Entity) => `${start} ${end} ${type}`;
    const truth = findEntities(tags, mode);
    const wanted = new Set(truth.map(key));
    for (const { type } of truth) addTo(counts, type, { gold: 1 });
    for (const entity of findEntities(guess, mode))
      addTo(counts, entity.type, { predicted: 1, correct: wanted.has(key(entity)) ? 1 : 0 });
  }
  return counts;
}

/** The sums of counts, as when all their sentences were one test set. */
export function poolCounts(parts: Iterable<EntityCounts>): EntityCounts {
  const pooled = new Map<string, EntityCount>();
  for (const part of parts) for (const [type, count] of part) addTo(pooled, type, count);
  return pooled;
}

/** Precision, recall and F1 are 0 where nothing was predicted or there was nothing to find. */
export interface EntityScore {
  /** correct / predicted. */
  readonly precision: number;
  /** correct / gold. */
  readonly recall: number;
  /** 2 · precision · recall / (precision + recall). */
  readonly f1: number;
  /** Entities there were to find. */
  readonly support: number;
}

export interface EntityScores {
  /** Scores of the counts summed over types. */
  readonly micro: EntityScore;
  /**
   * The unweighted mean over the types that occur in gold or in predictions, each score by itself: not the F1 of
   * mean precision and mean recall. Absent where no type occurs; seqeval's is NaN there.
   */
  readonly macro?: EntityScore;
  /** By type, alphabetically by code units. */
  readonly perType: Readonly<Record<string, EntityScore>>;
}

function scoreOf({ correct, predicted, gold }: EntityCount): EntityScore {
  const precision = predicted === 0 ? 0 : correct / predicted;
  const recall = gold === 0 ? 0 : correct / gold;
  const sum = precision + recall;
  return { precision, recall, f1: sum === 0 ? 0 : (2 * precision * recall) / sum, support: gold };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function macroOf(scores: readonly EntityScore[]): EntityScore | undefined {
  if (scores.length === 0) return undefined;
  const mean = (field: "precision" | "recall" | "f1") =>
    total(scores.map((score) => score[field])) / scores.length;
  return {
    precision: mean("precision"),
    recall: mean("recall"),
    f1: mean("f1"),
    support: total(scores.map(({ support }) => support)),
  };
}

/** Scores from counts, as seqeval's `precision_recall_fscore_support` with averages `micro`, `macro` and none. */
export function scoreCounts(counts: EntityCounts): EntityScores {
  const all = [...counts.values()];
  const micro = scoreOf({
    correct: total(all.map(({ correct }) => correct)),
    predicted: total(all.map(({ predicted }) => predicted)),
    gold: total(all.map(({ gold }) => gold)),
  });
  const types = [...counts.keys()].sort();
  const scores = types.map((type) => scoreOf(counts.get(type)!));
  const macro = macroOf(scores);
  return {
    micro,
    ...(macro === undefined ? {} : { macro }),
    perType: Object.fromEntries(types.map((type, i) => [type, scores[i]!])),
  };
}

/** {@link countEntities}, then {@link scoreCounts}. */
export function scoreEntities(
  gold: readonly (readonly string[])[],
  predicted: readonly (readonly string[])[],
  mode: EntityMode = "default",
): EntityScores {
  return scoreCounts(countEntities(gold, predicted, mode));
}
