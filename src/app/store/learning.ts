/** What a store learns: a task with an adapter, a task's statistics alone, or one more class. */
import { withRoles } from "../../continual/routing/classRows.ts";
import type { ClassStatistics, Contribution } from "../../continual/routing/statistics.ts";
import { DataError, StoreError } from "../../core/errors.ts";
import { createRng } from "../../core/random.ts";
import { splitValidation } from "../../data/split.ts";
import type { Example, LabelledExample } from "../../data/types.ts";
import { encodePeftFolder } from "../../peft/checkpoint.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import type { ManifestTask } from "../manifest.ts";
import type { Snapshot } from "./snapshot.ts";
import type { StoreFolder } from "./storeFolder.ts";
import type { StoreModel } from "./storeModel.ts";
import { addRows, rowsFiles } from "./taskRows.ts";
import { readFiles, type StoreTask } from "./tasks.ts";
import type { ChangeOptions, LearnClassOptions, LearnOptions, StoreText, TaskForStore } from "./types.ts";

const VALIDATION_FRACTION = 0.1;

/** What a change is made from. */
export interface Workplace {
  readonly folder: StoreFolder;
  readonly before: Snapshot;
  readonly model: StoreModel;
}

/** A task as a change leaves it, its files written and not yet named by a version. */
export interface WrittenTask {
  readonly task: StoreTask;
  /** Everything learned by then. */
  readonly statistics: ClassStatistics;
  readonly truncatedTexts: number;
  readonly loss?: number;
}

/** @throws DataError if there is nothing to learn from */
function checkTask(task: TaskForStore, { statisticsOnly = false }: LearnOptions): readonly string[] {
  const where = `task "${task.name}"`;
  if (task.name.trim() === "") throw new DataError("a task needs a name");
  if (task.train.length === 0) throw new DataError(`${where}: has no training examples`);
  const given = [...new Set(task.train.map(({ label }) => label))];
  const labels = task.labels ?? given;
  const stray = given.find((label) => !labels.includes(label));
  if (stray !== undefined)
    throw new DataError(`${where}: label "${stray}" is none of the task's: ${labels.join(", ")}`);
  const empty = labels.find((label) => !given.includes(label));
  if (empty !== undefined) throw new DataError(`${where}: has no training example of "${empty}"`);
  const unseen = task.validation?.find(({ label }) => !labels.includes(label));
  if (unseen !== undefined)
    throw new DataError(`${where}: validation has the label "${unseen.label}", which train has not`);
  if (labels.length < 2 && !statisticsOnly)
    throw new DataError(
      `${where}: has a single class, "${labels[0]}": there is nothing to tell it apart from`,
      {
        hint: "Give it two or more, or teach a single class with --class, or learn --statistics-only.",
      },
    );
  return labels;
}

/** @returns the task that its statistics are to be added to. @throws StoreError where the name is taken */
function checkName(
  { before, folder }: Workplace,
  { name }: TaskForStore,
  labels: readonly string[],
  { statisticsOnly = false }: LearnOptions,
): StoreTask | undefined {
  const there = before.tasks.find(({ entry }) => entry.name === name);
  if (there === undefined) return undefined;
  if (!statisticsOnly || there.statistics !== undefined)
    throw new StoreError(`${folder.path}: a task called "${name}" was learned already`, {
      hint: "Give the new task another name, or forget the old one first: accrete forget --task.",
    });
  const missing = there.entry.labels.find((label) => !labels.includes(label));
  const surplus = labels.find((label) => !there.entry.labels.includes(label));
  if (missing === undefined && surplus === undefined) return there;
  throw new DataError(
    missing === undefined
      ? `task "${name}": "${surplus}" is none of its classes: ${there.entry.labels.join(", ")}`
      : `task "${name}": no example of its class "${missing}"`,
    { hint: "The statistics of a task that was learned need examples of all its classes, and of no other." },
  );
}

/** As an experiment does: where no validation data is given, a tenth of every class is held out. */
function withValidation(task: TaskForStore, seed: number): TaskForStore {
  if (task.validation !== undefined) return task;
  const rng = createRng(seed).fork("validation", task.name);
  return { ...task, ...splitValidation(task.train, VALIDATION_FRACTION, rng) };
}

interface Trained {
  readonly saved: SavedAdapter;
  readonly truncatedTexts: number;
  readonly loss: number;
}

async function train(
  model: StoreModel,
  task: TaskForStore,
  labels: readonly string[],
  { onEvent, signal }: ChangeOptions,
): Promise<Trained> {
  const { name, train: examples, validation = [] } = task;
  const training = model.learn({ name, labels, train: examples, validation }, signal);
  let loss = 0;
  for (;;) {
    const next = await training.next();
    if (next.done) {
      const { learned, truncatedTexts } = next.value;
      return { saved: model.toSaved(learned), truncatedTexts, loss };
    }
    onEvent?.(next.value);
    if (next.value.type === "epoch") loss = next.value.meanLoss;
  }
}

/** Writes a task that differs from what stood there in what it leaves of its classes. */
async function rewrite(
  { folder, before }: Workplace,
  task: StoreTask,
  contributions: readonly Contribution[],
  entry: Partial<Pick<ManifestTask, "labels">> = {},
): Promise<StoreTask> {
  const statistics = addRows(task.statistics, contributions, before.statistics.constants);
  const { adapter: _, ...named } = { ...task.entry, ...entry };
  const files = new Map([...(await readFiles(folder.path, task.entry)), ...rowsFiles(statistics)]);
  const written = await folder.writeTask(named, files);
  return { ...task, statistics, entry: written, where: folder.placeOf(written) };
}

/**
 * Learns a task: trains an adapter and a head, and takes down its feature rows.
 * @throws DataError if the task cannot be learned from; StoreError if its name is taken
 */
export async function learnTask(
  place: Workplace,
  given: TaskForStore,
  options: LearnOptions,
): Promise<WrittenTask> {
  const { folder, before, model } = place;
  const labels = checkTask(given, options);
  const { statisticsOnly = false, onEvent } = options;
  const task = statisticsOnly ? given : withValidation(given, model.settings.seed);
  const there = checkName(place, task, labels, options);
  const { constants } = before.statistics;
  onEvent?.({
    type: "started",
    task: task.name,
    labels,
    trainExamples: task.train.length,
    validationExamples: task.validation?.length ?? 0,
    totalSteps: statisticsOnly ? 0 : model.plannedSteps(task.train.length),
  });
  const trained = statisticsOnly ? undefined : await train(model, task, labels, options);
  const { validation = [] } = task;
  const rowsOf = (examples: readonly LabelledExample[]) =>
    model.contributions(examples, labels, constants, options);
  const { contributions: fitted, truncatedTexts } = await rowsOf(task.train);
  const { contributions: judging } = await rowsOf(validation);
  const contributions = withRoles(fitted, judging);
  const statistics = before.statistics.with(contributions);
  const result = { statistics, truncatedTexts, ...(trained && { loss: trained.loss }) };
  if (there !== undefined) return { ...result, task: await rewrite(place, there, contributions) };
  const rows = addRows(undefined, contributions, constants);
  const written = await folder.writeTask(
    { name: task.name, labels, ...(statisticsOnly && { statisticsOnly }) },
    new Map([...(trained === undefined ? [] : encodePeftFolder(trained.saved)), ...rowsFiles(rows)]),
  );
  const kept = { statistics: rows, ...(trained && { saved: trained.saved }) };
  return { ...result, task: { entry: written, where: folder.placeOf(written), ...kept } };
}

/** The task that a class joins; undefined where one is to be made, of which name is said. */
function homeOf(
  { before, folder }: Workplace,
  label: string,
  asked: string | undefined,
): { readonly name: string; readonly task: StoreTask | undefined } {
  const holds = ({ entry }: StoreTask) => entry.labels.includes(label);
  const named = (name: string) => before.tasks.find(({ entry }) => entry.name === name);
  const task = asked === undefined ? (before.tasks.findLast(holds) ?? named(label)) : named(asked);
  const name = task?.entry.name ?? asked ?? label;
  if (task === undefined || holds(task) || task.entry.statisticsOnly !== undefined) return { name, task };
  throw new StoreError(
    `${folder.path}: task "${name}" has an adapter that was not trained on the class "${label}"`,
    { hint: "Put the class into a task of its own: --task with another name." },
  );
}

/** @throws DataError without an example, and where one says nothing */
function checkExamples(label: string, examples: readonly StoreText[]): void {
  if (label.trim() === "") throw new DataError("a class needs a name");
  const hint = 'Give a few texts: accrete learn <store> --class name "first" "second".';
  if (examples.length === 0) throw new DataError(`class "${label}": no example to learn it from`, { hint });
  const empty = examples
    .map(toExample)
    .findIndex(({ text, textPair = "" }) => `${text}${textPair}`.trim() === "");
  if (empty >= 0)
    throw new DataError(`class "${label}": example ${empty + 1} of ${examples.length} is empty`, { hint });
}

/**
 * Learns a class from a few examples: their feature rows, no training.
 * @throws DataError without a text, StoreError where the class does not go into the task
 */
export async function learnClass(
  place: Workplace,
  label: string,
  examples: readonly StoreText[],
  options: LearnClassOptions,
): Promise<WrittenTask> {
  const { folder, before, model } = place;
  checkExamples(label, examples);
  const { constants } = before.statistics;
  const { name, task } = homeOf(place, label, options.task);
  if (task !== undefined && task.statistics === undefined)
    throw new StoreError(`${folder.path}: task "${name}" has no statistics to add to`, {
      hint: "Learn them first: accrete learn <store> --task <its name> <its data> --statistics-only.",
    });
  const rows: LabelledExample[] = examples.map((given) => ({ ...toExample(given), label }));
  const { contributions, truncatedTexts } = await model.contributions(rows, [label], constants, options);
  const statistics = before.statistics.with(contributions);
  const result = { statistics, truncatedTexts };
  if (task !== undefined) {
    const labels = task.entry.labels.includes(label) ? task.entry.labels : [...task.entry.labels, label];
    return { ...result, task: await rewrite(place, task, contributions, { labels }) };
  }
  const left = addRows(undefined, contributions, constants);
  const entry = { name, labels: [label], statisticsOnly: true as const };
  const written = await folder.writeTask(entry, rowsFiles(left));
  return { ...result, task: { statistics: left, entry: written, where: folder.placeOf(written) } };
}

export function toExample(text: StoreText): Example {
  return typeof text === "string" ? { text } : text;
}
