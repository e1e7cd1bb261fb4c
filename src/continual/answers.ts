/** What a model answers with, and what it can be asked. */
import { ConfigError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { RouterStage } from "./types.ts";

/** What an answer rests on. */
export interface Grounds {
  /** Of the state that answered. */
  readonly version?: number;
  /** The router that chose; absent where a task was named, or every adapter asked. */
  readonly router?: RouterStage;
}

/** A label with its probability. */
export interface ScoredLabel {
  readonly label: string;
  /** Softmax over the classes in play, in [0, 1]. */
  readonly score: number;
}

/** The label of a text. */
export interface Prediction extends Omit<ScoredLabel, "label">, Grounds {
  readonly text: string;
  /** Null where the text is taken to be of no known class; only a model with `router.rejectRate` answers so. */
  readonly label: string | null;
  /**
   * The probability that the text is of no class learned, where one text in ten is taken to be so before it is read. Absent where
   * a task was named, every adapter asked, or the kind of router has no density of classes.
   */
  readonly unknown?: number;
  /** With `coverage`: labels among which the right one is with that probability, the likeliest first. */
  readonly set?: readonly string[];
  /** Set where too few texts were held out to promise the coverage asked: `set` then holds every class. */
  readonly setCalibrated?: false;
  /** The task of the likeliest class: the one whose head gave the label. */
  readonly task: string;
  /** The best classes, best first; `top[0]` is the prediction, or the nearest class of a text of no known class. */
  readonly top: readonly ScoredLabel[];
  /** Forward passes of the backbone that this text cost. */
  readonly passes: number;
}

/** An entity in a text. */
export interface FoundEntity {
  readonly type: string;
  /** The mean over its words of the probability of their tags, in [0, 1]. */
  readonly score: number;
  /** `text.slice(start, end)`. */
  readonly word: string;
  /** Places in the text, in UTF-16 code units as JavaScript counts. */
  readonly start: number;
  readonly end: number;
}

/** The entities of a text. */
export interface TaggedText extends Grounds {
  /** As it was given; words that came without it, or do not stand in it, joined by one space. */
  readonly text: string;
  /** In the order of the text. */
  readonly entities: readonly FoundEntity[];
  /** Words at the end that are more than the model reads, and in which nothing is found; absent where it reads all. */
  readonly unreadWords?: number;
  /** Forward passes of the backbone that this text cost. */
  readonly passes: number;
}

/** What a text is, and what was found in it. */
export type Answer = Prediction | TaggedAnswer;

/** Entities with the tags behind them. */
export interface TaggedAnswer extends TaggedText {
  /** One a word, in IOB2. */
  readonly tags: readonly string[];
}

export function isTagged(answer: Answer): answer is TaggedAnswer {
  return "entities" in answer;
}

/** How a text is answered. */
export interface PredictOptions {
  /** Answer with this task's own adapter and head (task-incremental). */
  readonly task?: string | undefined;
  /** Run every adapter and compare all heads, where a router was fitted too. */
  readonly exact?: boolean | undefined;
  /** How many classes `Prediction.top` holds at most; default 5. */
  readonly top?: number | undefined;
  /** Asks for `Prediction.set`: the probability, between 0 and 1, with which the right label is in it. */
  readonly coverage?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const DEFAULT_TOP = 5;

/** @throws ConfigError if that is no number of classes to show */
export function checkTop(top: number): void {
  if (!Number.isInteger(top) || top < 1)
    throw new ConfigError(`top: expected a whole number from 1, got ${top}`);
}

/** The best labels, each once: a label of several tasks counts with its best slot. Of equals the first comes first. */
export function rankLabels(
  labels: readonly string[],
  scores: ArrayLike<number>,
  top: number,
): readonly ScoredLabel[] {
  const best: ScoredLabel[] = [];
  labels.forEach((label, i) => {
    const score = scores[i] ?? 0;
    if (best.length === top && score <= best[top - 1]!.score) return;
    const before = best.findIndex((each) => each.label === label);
    if (before >= 0) {
      if (best[before]!.score >= score) return;
      best.splice(before, 1);
    }
    const place = best.findLastIndex((each) => each.score >= score) + 1;
    best.splice(place, 0, { label, score });
    if (best.length > top) best.pop();
  });
  return best;
}

/** @throws ConfigError naming the nearest task */
export function findTask<T extends { readonly name: string }>(tasks: readonly T[], name: string): T {
  const found = tasks.find((task) => task.name === name);
  if (found !== undefined) return found;
  const names = tasks.map((task) => task.name);
  const near = nearest(name, names);
  throw new ConfigError(
    `no task is called "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
    { hint: `Tasks: ${names.join(", ") || "none yet"}.` },
  );
}
