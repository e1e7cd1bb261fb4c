import type { AdaptedBackbone, LearnedTask } from "../continual/adaptedBackbone.ts";
import { type Entity, findEntities as findSpans } from "../continual/entityMetrics.ts";
import {
  type Columns,
  chooseTags,
  classIncremental,
  type SentenceLogits,
  taskIncremental,
  type WordChoice,
} from "../continual/wordPrediction.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import { OUTSIDE } from "../data/conll.ts";
import type { Example } from "../data/types.ts";
import type { WordEncoding } from "../data/wordEncoding.ts";
import { findTask } from "./classify.ts";
import type { EntityOptions, FoundEntity, TaggedText } from "./types.ts";

/** A text in words, each with its place. */
interface SplitText {
  readonly text: string;
  readonly words: readonly string[];
  /** Where each word begins, in UTF-16 code units of `text`. */
  readonly starts: readonly number[];
}

/** At white space; words that were split already stand in a text with one space between them. */
function splitText({ text, words }: Example): SplitText {
  if (words === undefined) {
    const found = [...text.matchAll(/\S+/gu)];
    return { text, words: found.map(([word]) => word), starts: found.map(({ index }) => index) };
  }
  let next = 0;
  const starts = words.map((word) => {
    const start = next;
    next += word.length + 1;
    return start;
  });
  return { text: words.join(" "), words, starts };
}

function describeEntity(
  { type, start, end }: Entity,
  { text, words, starts }: SplitText,
  choices: readonly WordChoice[],
): FoundEntity {
  const from = starts[start] ?? 0;
  const to = (starts[end - 1] ?? 0) + (words[end - 1] ?? "").length;
  const probabilities = choices.slice(start, end).map(({ probability }) => probability);
  const score = probabilities.reduce((sum, value) => sum + value, 0) / probabilities.length;
  return { type, score, word: text.slice(from, to), start: from, end: to };
}

interface Heads {
  /** Whose adapters run. */
  readonly running: readonly LearnedTask[];
  readonly slots: readonly string[];
  readonly columns: (logits: readonly SentenceLogits[]) => readonly Columns[];
}

function headsInPlay(tasks: readonly LearnedTask[], name: string | undefined): Heads {
  const [first] = tasks;
  if (first === undefined) throw new StoreError("no task has been learned yet", { hint: "learn one first" });
  if (first.labels[0] !== OUTSIDE)
    throw new CheckpointError(
      `task "${first.name}": its head has no ${OUTSIDE} to tell words outside entities by`,
      {
        hint: "Only a stream's first task has it: open the run that this adapter belongs to.",
      },
    );
  if (name === undefined)
    return { running: tasks, slots: tasks.flatMap(({ labels }) => labels), columns: classIncremental };
  const task = findTask(tasks, name);
  return task === first
    ? { running: [first], slots: first.labels, columns: (logits) => taskIncremental(logits, 0) }
    : {
        running: [first, task],
        slots: [OUTSIDE, ...task.labels],
        columns: (logits) => taskIncremental(logits, 1),
      };
}

/** Says what tags words have, and what each sentence cost. */
export type TagWords = (
  encodings: readonly WordEncoding[],
  signal?: AbortSignal,
) => Promise<readonly { readonly choices: readonly WordChoice[]; readonly passes: number }[]>;

/**
 * Finds entities of every type learned, a router saying which adapters to ask.
 * @param tag of sentences in words
 */
export async function findEntitiesRouted(
  model: AdaptedBackbone,
  tag: TagWords,
  examples: readonly Example[],
  { signal }: Pick<EntityOptions, "signal">,
): Promise<TaggedText[]> {
  const texts = examples.map(splitText);
  const { encodings } = model.encodeWords(texts);
  const answers = await tag(encodings, signal);
  return texts.map((split, i) => {
    const { choices, passes } = answers[i]!;
    const spans = findSpans(choices.map((choice) => choice.tag));
    return {
      text: split.text,
      entities: spans.map((span) => describeEntity(span, split, choices)),
      passes,
    };
  });
}

/**
 * Finds entities: with `task`, those of its types by its own adapter (task-incremental); without, those of every type
 * learned, all heads side by side (class-incremental). `O` is the first task's in either case.
 * @throws ConfigError if there is no such task
 */
export async function findEntities(
  model: AdaptedBackbone,
  tasks: readonly LearnedTask[],
  examples: readonly Example[],
  options: EntityOptions = {},
): Promise<TaggedText[]> {
  const { running, slots, columns } = headsInPlay(tasks, options.task);
  const texts = examples.map(splitText);
  const { encodings } = model.encodeWords(texts);
  const logits = await model.tokenLogitsOfTasks(running, encodings, options.signal);
  const chosen = chooseTags(encodings, columns(logits), slots);
  return texts.map((split, i) => {
    const choices = chosen[i] ?? [];
    const spans = findSpans(choices.map(({ tag }) => tag));
    return {
      text: split.text,
      entities: spans.map((span) => describeEntity(span, split, choices)),
      passes: model.passesOf(running.length),
    };
  });
}
