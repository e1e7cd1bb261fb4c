/** How well a store tells its classes apart, and what a change would do to that, from the rows that it keeps. */
import { type CheckedRow, type CrossCheck, groupBy } from "../continual/routing/crossCheck.ts";
import { StoreError } from "../core/errors.ts";
import type { LabelledExample } from "../data/files/types.ts";
import { learnCorrections } from "../model/classes.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { type ModelState, tasksWithClasses } from "../model/state.ts";
import { readState, readVersion } from "../workspace/reading.ts";

/** Texts that were answered by a fit without them, and those of them that were right. */
export interface Tally {
  readonly judged: number;
  readonly right: number;
}

/** Answers of like confidence. */
export interface ConfidenceBin extends Tally {
  /** Scores from … to …, fractions. */
  readonly from: number;
  readonly to: number;
  readonly meanScore: number;
}

export interface Quality extends Tally {
  readonly classes: readonly (Tally & { readonly label: string })[];
  readonly tasks: readonly (Tally & { readonly task: string })[];
  /** Texts of one class that another was named for, the most frequent first. */
  readonly confused: readonly { readonly label: string; readonly answer: string; readonly texts: number }[];
  /** Ten bins of equal width; empty ones are left out. */
  readonly calibration: readonly ConfidenceBin[];
  /** Classes of one text, which cannot be judged. */
  readonly tooFew: readonly string[];
}

/** The same texts under two states. */
export interface Compared {
  /** Texts that both know. */
  readonly judged: number;
  readonly rightBefore: number;
  readonly rightAfter: number;
}

/** What a change would do to held-out texts. */
export interface Preview {
  /** Absent where nothing can be judged yet. */
  readonly before?: Quality;
  readonly after?: Quality;
  readonly compared?: Compared;
}

/** How a change is previewed. */
export interface PreviewOptions {
  readonly signal?: AbortSignal | undefined;
  /** What the state before is judged by, where that is known already. */
  readonly before?: Promise<CheckedState | undefined> | undefined;
}

/** What a state is judged by. */
export interface CheckedState {
  readonly check: CrossCheck;
  readonly tasks: ModelState["tasks"];
}

const BINS = 10;
const MOST_CONFUSED = 30;

const tallyOf = (rows: readonly CheckedRow[]): Tally => ({
  judged: rows.length,
  right: rows.filter(({ label, answer }) => label === answer).length,
});

function confusedOf(rows: readonly CheckedRow[]): Quality["confused"] {
  const wrong = rows.filter(({ label, answer }) => label !== answer);
  const pairs = groupBy(wrong, ({ label, answer }) => JSON.stringify([label, answer]));
  return [...pairs.values()]
    .map((own) => ({ label: own[0]!.label, answer: own[0]!.answer, texts: own.length }))
    .sort((a, b) => b.texts - a.texts || (a.label < b.label ? -1 : 1))
    .slice(0, MOST_CONFUSED);
}

function calibrationOf(rows: readonly CheckedRow[]): readonly ConfidenceBin[] {
  const bins = groupBy(rows, ({ score }) => Math.min(BINS - 1, Math.floor(score * BINS)));
  return [...bins]
    .sort(([a], [b]) => a - b)
    .map(([bin, own]) => ({
      from: bin / BINS,
      to: (bin + 1) / BINS,
      meanScore: own.reduce((sum, { score }) => sum + score, 0) / own.length,
      ...tallyOf(own),
    }));
}

/** What a check of a store found, as figures. */
export function qualityOf({ check: { rows, tooFew }, tasks }: CheckedState): Quality {
  const byClass = groupBy(rows, ({ label }) => label);
  return {
    ...tallyOf(rows),
    classes: [...byClass].map(([label, own]) => ({ label, ...tallyOf(own) })),
    tasks: tasksWithClasses(tasks)
      .map(({ name, labels }) => ({
        task: name,
        ...tallyOf(labels.flatMap((label) => byClass.get(label) ?? [])),
      }))
      .filter(({ judged }) => judged > 0),
    confused: confusedOf(rows),
    calibration: calibrationOf(rows),
    tooFew,
  };
}

/** The texts that both states hold, each answered by a fit without it. */
export function compareChecks(before: CrossCheck, after: CrossCheck): Compared {
  const idOf = ({ label, hash }: CheckedRow) => `${hash} ${label}`;
  const then = new Map(before.rows.map((row) => [idOf(row), row]));
  const pairs = after.rows.flatMap((now) => {
    const was = then.get(idOf(now));
    return was === undefined ? [] : { was, now };
  });
  return {
    judged: pairs.length,
    rightBefore: pairs.filter(({ was }) => was.answer === was.label).length,
    rightAfter: pairs.filter(({ now }) => now.answer === now.label).length,
  };
}

async function checked(
  model: ContinualModel,
  state: ModelState,
  signal?: AbortSignal,
): Promise<CheckedState | undefined> {
  if (tasksWithClasses(state.tasks).length === 0) return undefined;
  const check = await model.crossCheck(state, signal);
  return check && { check, tasks: state.tasks };
}

/**
 * What a version's rows are answered with.
 * @returns undefined where nothing can be judged: words are tagged, adapters alone answer, or there are too few texts
 * @throws StoreError where the version is not kept
 */
export async function checkVersion(
  model: ContinualModel,
  folder: string,
  present: { readonly version: number; readonly state: ModelState },
  version: number,
  signal?: AbortSignal,
): Promise<CheckedState | undefined> {
  const state =
    version === present.version
      ? present.state
      : await readState(folder, await readVersion(folder, version), model);
  return await checked(model, state, signal);
}

/** What corrections would do, without making the change. @throws StoreError, DataError as the change would */
export async function previewCorrections(
  model: ContinualModel,
  state: ModelState,
  corrections: readonly LabelledExample[],
  { signal, before: known }: PreviewOptions = {},
): Promise<Preview> {
  if (corrections.length === 0) throw new StoreError("no text to learn from");
  const learning = learnCorrections(model, state, corrections, signal);
  let next = await learning.next();
  while (!next.done) next = await learning.next();
  const before = await (known ?? checked(model, state, signal));
  const after = await checked(model, next.value.state, signal);
  return {
    ...(before && { before: qualityOf(before) }),
    ...(after && { after: qualityOf(after) }),
    ...(before && after && { compared: compareChecks(before.check, after.check) }),
  };
}
