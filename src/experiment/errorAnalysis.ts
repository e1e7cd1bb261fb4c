/** What a run answered wrong after its last evaluation, and where. */
import { isTaggedSentence } from "../continual/taskTypes/taskChecks.ts";
import type { Item } from "../continual/taskTypes/taskType.ts";
import { AccreteError, ConfigError, StoreError } from "../core/errors.ts";
import type { Protocol, RecordedPrediction } from "../model/evaluator.ts";
import type { Run } from "./readRun.ts";
import { loadTasks } from "./stream.ts";

type LabelLine = Extract<RecordedPrediction, { readonly gold: string }>;
type EntityLine = Extract<RecordedPrediction, { readonly entities: unknown }>;
type Entity = EntityLine["goldEntities"][number];

/** A label, or an entity's type, that was taken for another. */
export interface Confusion {
  readonly gold: string;
  /** Null where a text was taken to be of no known class. */
  readonly label: string | null;
  readonly count: number;
}

/** Where an item stands in the stream. */
interface Placed {
  readonly task: string;
  /** In the task's test set, from 0. */
  readonly index: number;
  /** Absent where the data is gone. */
  readonly text?: string;
}

interface Analysis {
  readonly protocol: Protocol;
  /** Tasks learned by then. */
  readonly learned: number;
  readonly items: number;
  /** Items with an error. */
  readonly wrong: number;
  /** The most frequent first. */
  readonly confusions: readonly Confusion[];
  /** Why no texts are shown; absent where they are. */
  readonly note?: string;
}

/** Of texts with a label each. */
export interface LabelErrors extends Analysis {
  readonly level: "sentence";
  /** The worst first. */
  readonly perClass: readonly { readonly label: string; readonly items: number; readonly accuracy: number }[];
  /** The surest first. */
  readonly examples: readonly (Placed & Pick<LabelLine, "gold" | "label" | "score">)[];
}

/** Entities of a type: there to find; not found; found where there is none; found as one of another type. */
export interface TypeErrors {
  readonly type: string;
  readonly gold: number;
  readonly missed: number;
  readonly spurious: number;
  readonly mistyped: number;
}

/** Of tagged words. Entities are compared by their first and last word. */
export interface EntityErrors extends Analysis {
  readonly level: "word";
  /** By most errors. */
  readonly perType: readonly TypeErrors[];
  readonly examples: readonly (Placed & {
    readonly missed: readonly Entity[];
    readonly spurious: readonly Entity[];
    readonly mistyped: readonly (Entity & { readonly as: string })[];
  })[];
}

export interface ErrorOptions {
  /** Default: `routed` where the run routes, else `cil`. */
  readonly protocol?: Protocol | undefined;
  /** Confusions and examples that are listed at most; default 10. */
  readonly top?: number | undefined;
}

function countBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

function confusionsOf(pairs: readonly Omit<Confusion, "count">[], top: number): readonly Confusion[] {
  return [...countBy(pairs, ({ gold, label }) => JSON.stringify([gold, label])).values()]
    .map((same) => ({ ...same[0]!, count: same.length }))
    .sort((a, b) => b.count - a.count)
    .slice(0, top);
}

/** The texts behind lines; none, and why, where the stream cannot be loaded any more. */
async function textsOf({ config, header }: Run) {
  const without = (why: string) => ({ note: `No texts are shown: ${why}`, textOf: () => ({}) });
  try {
    const { tasks, dataHash } = await loadTasks(config);
    if (dataHash !== header.dataHash) return without("the data has changed since the run.");
    const tests = new Map<string, readonly Item[]>(tasks.map(({ name, test }) => [name, test]));
    return {
      note: undefined,
      textOf: ({ task, index }: RecordedPrediction) => {
        const item = tests.get(task)?.[index];
        if (item === undefined) return {};
        return { text: isTaggedSentence(item) ? item.words.join(" ") : item.text };
      },
    };
  } catch (error) {
    if (!(error instanceof AccreteError)) throw error;
    return without(`the data is gone: ${error.message}`);
  }
}

/** What one sentence's entities have against it. */
function compareEntities({ goldEntities, entities }: EntityLine) {
  const at = ({ start, end }: Entity) => `${start} ${end}`;
  const [gold, found] = [goldEntities, entities].map(
    (all) => new Map(all.map((entity) => [at(entity), entity])),
  );
  const strange = entities
    .map(({ score: _, ...entity }) => entity)
    .filter((entity) => !gold!.has(at(entity)));
  return {
    missed: goldEntities.filter((entity) => !found!.has(at(entity))),
    spurious: strange,
    mistyped: goldEntities.flatMap((entity) => {
      const as = found!.get(at(entity))?.type ?? entity.type;
      return as === entity.type ? [] : [{ ...entity, as }];
    }),
  };
}

function isLabelLine(line: RecordedPrediction): line is LabelLine {
  return "gold" in line;
}

function isEntityLine(line: RecordedPrediction): line is EntityLine {
  return "goldEntities" in line;
}

function labelErrors(lines: readonly LabelLine[], top: number) {
  const wrong = lines.filter(({ gold, label }) => gold !== label);
  const perClass = [...countBy(lines, ({ gold }) => gold)].map(([label, own]) => {
    const right = own.filter((line) => line.label === label).length;
    return { label, items: own.length, accuracy: right / own.length };
  });
  return {
    wrong,
    confusions: confusionsOf(
      wrong.map(({ gold, label }) => ({ gold, label })),
      top,
    ),
    perClass: perClass.sort((a, b) => a.accuracy - b.accuracy || b.items - a.items),
    examples: wrong
      .toSorted((a, b) => b.score - a.score)
      .slice(0, top)
      .map((line) => ({ line, shown: { gold: line.gold, label: line.label, score: line.score } })),
  };
}

function entityErrors(lines: readonly EntityLine[], top: number) {
  const compared = lines.map((line) => ({ line, shown: compareEntities(line) }));
  const all = compared.map(({ shown }) => shown);
  const count = (entities: readonly Entity[], type: string) =>
    entities.filter((entity) => entity.type === type).length;
  const types = new Set(
    lines.flatMap(({ goldEntities, entities }) => [...goldEntities, ...entities].map(({ type }) => type)),
  );
  const mistyped = all.flatMap((each) => each.mistyped);
  const perType = [...types].map((type) => ({
    type,
    gold: count(
      lines.flatMap(({ goldEntities }) => goldEntities),
      type,
    ),
    missed: count(
      all.flatMap((each) => each.missed),
      type,
    ),
    spurious: count(
      all.flatMap((each) => each.spurious),
      type,
    ),
    mistyped: count(mistyped, type),
  }));
  const errors = (each: TypeErrors) => each.missed + each.spurious + each.mistyped;
  const wrong = compared.filter(({ shown }) => Object.values(shown).some(({ length }) => length > 0));
  return {
    wrong,
    confusions: confusionsOf(
      mistyped.map(({ type, as }) => ({ gold: type, label: as })),
      top,
    ),
    perType: perType.sort((a, b) => errors(b) - errors(a)),
    examples: wrong.slice(0, top),
  };
}

/**
 * What was answered wrong after the last task that was evaluated. Texts come from the run's stream, loaded again.
 * @throws StoreError where the run recorded no answers; ConfigError where none by that protocol
 */
export async function analyseErrors(
  run: Run,
  { protocol: asked, top = 10 }: ErrorOptions = {},
): Promise<LabelErrors | EntityErrors> {
  const protocols = new Set(run.predictions.map((line) => line.protocol));
  const protocol = asked ?? (protocols.has("routed") ? "routed" : "cil");
  if (protocols.size === 0)
    throw new StoreError("the run recorded no answers", { hint: "They come with a task's evaluation." });
  if (!protocols.has(protocol))
    throw new ConfigError(`the run has no answers of protocol ${protocol}`, {
      hint: `It has: ${[...protocols].join(", ")}.`,
    });
  const own = run.predictions.filter((line) => line.protocol === protocol);
  const learned = Math.max(...new Set(own.map((line) => line.learned)));
  const lines = own.filter((line) => line.learned === learned);
  const about = { protocol, learned, items: lines.length };
  const labelled = lines.filter(isLabelLine);
  const place = async <S extends object>(examples: readonly { line: RecordedPrediction; shown: S }[]) => {
    const { note, textOf } = await textsOf(run);
    const placed = examples.map(({ line, shown }) => {
      return { task: line.task, index: line.index, ...textOf(line), ...shown };
    });
    return { examples: placed, ...(note !== undefined && { note }) };
  };
  if (labelled.length > 0) {
    const { wrong, examples, ...rest } = labelErrors(labelled, top);
    return { level: "sentence", ...about, wrong: wrong.length, ...rest, ...(await place(examples)) };
  }
  const { wrong, examples, ...rest } = entityErrors(lines.filter(isEntityLine), top);
  return { level: "word", ...about, wrong: wrong.length, ...rest, ...(await place(examples)) };
}
