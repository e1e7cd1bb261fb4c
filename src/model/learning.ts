import type { Selection } from "../continual/newlora/selection.ts";
import { distinctContributions, OUTSIDE_LABEL } from "../continual/statistics/statistics.ts";
import { type TaskData, TaskTrainer } from "../continual/taskTypes/taskTrainer.ts";
import type { EncodedItems, Item, NewTask, TaskToLearn, TaskType } from "../continual/taskTypes/taskType.ts";
import type { LearnedTask } from "../continual/types.ts";
import { callbackToAsyncGenerator } from "../core/callbackToAsyncGenerator.ts";
import { StoreError } from "../core/errors.ts";
import { createRng } from "../core/random.ts";
import type { SavedAdapter } from "../peft/types.ts";
import {
  checkExamples,
  checkTexts,
  homeOf,
  joinRows,
  requireOwnName,
  requireSameClasses,
} from "./classes.ts";
import type { AdapterGain, LearnEvent, Learned, LearnTaskOptions } from "./continualModel.ts";
import { learnedTasks, type ModelParts, selectorOf } from "./modelParts.ts";
import { resolveTraining } from "./settings/structure.ts";
import { type ModelState, OUTSIDE_TASK, type TaskState, tasksWithClasses, withTask } from "./state.ts";

/** Share of every class that is held out of a task that brings no validation data. */
const VALIDATION_FRACTION = 0.1;

export class Learning<E extends EncodedItems, R> implements AsyncDisposable {
  private readonly parts: ModelParts<E, R>;
  private openedTeacher: { readonly type: TaskType<E>; readonly trainer: TaskTrainer } | undefined;

  constructor(parts: ModelParts<E, R>) {
    this.parts = parts;
  }

  private get teacher() {
    if (this.openedTeacher === undefined) {
      const type = this.parts.openTeacher();
      const trainer = new TaskTrainer(
        type.trained,
        resolveTraining(this.parts.settings),
        this.parts.settings.seed,
      );
      this.openedTeacher = { type, trainer };
    }
    return this.openedTeacher;
  }

  /** Tells a task type which labels may be answers. */
  expect(type: TaskType<E>, { tasks }: ModelState, more: readonly string[] = []): void {
    const { expectedLabels = [] } = this.parts;
    type.expectLabels([...expectedLabels, ...tasks.flatMap(({ labels }) => type.ownLabels(labels)), ...more]);
  }

  plannedSteps(trainExamples: number): number {
    return this.teacher.trainer.plannedSteps(trainExamples);
  }

  withValidation(task: NewTask): NewTask {
    if (task.validation !== undefined) return task;
    const rng = createRng(this.parts.settings.seed).fork("validation", task.name);
    return { ...task, ...this.parts.type.splitValidation(task.train, VALIDATION_FRACTION, rng) };
  }

  async *learn(
    state: ModelState,
    given: NewTask,
    {
      statisticsOnly = false,
      checked = false,
      adapter,
      measureGain = false,
      validate = false,
      signal,
    }: LearnTaskOptions = {},
  ): AsyncGenerator<LearnEvent, Learned> {
    const { type, trainer } = this.teacher;
    const { settings } = this.parts;
    requireOwnName(given.name);
    const there = this.withoutStatistics(state, given.name, statisticsOnly);
    const others = there === undefined ? state.tasks : state.tasks.filter((task) => task !== there);
    const task = checked ? asChecked(given) : type.check(given, others, statisticsOnly ? 1 : undefined);
    if (there !== undefined) requireSameClasses(task, type.ownLabels(there.labels));
    this.expect(type, state, task.labels);
    yield {
      type: "started",
      task: task.name,
      labels: task.labels,
      trainExamples: task.train.length,
      validationExamples: task.validation.length,
      totalSteps: statisticsOnly || adapter !== undefined ? 0 : trainer.plannedSteps(task.train.length),
    };
    const train = type.encode(task.train, { what: `train of ${task.name}` });
    const validation = type.encode(task.validation, { what: `validation of ${task.name}` });
    const trained = statisticsOnly
      ? undefined
      : adapter === undefined
        ? yield* this.train(state, task, train, validation, signal)
        : this.adopt(adapter, task.name);
    const learned = trained?.learned ?? there?.learned;
    const rows = adapter?.rows ?? (yield* this.collect(state, task, train, validation, learned, signal));
    const gain = measureGain && rows ? await this.gainOf(trained, rows, validation, signal) : undefined;
    const validationAccuracy =
      validate && trained?.learned ? await trained.validate?.(trained.learned) : undefined;
    const selector = await this.selectorAfter(state, task, train, trained?.pending, statisticsOnly, signal);
    const next: TaskState = {
      name: task.name,
      labels: learned?.labels ?? task.labels,
      ...there,
      ...(trained && { learned: trained.learned, saved: trained.saved }),
      ...(trained && adapter === undefined && settings.device === "webgpu" && { trainedOn: settings.device }),
      ...(rows && { rows }),
      ...(selector && { selector }),
    };
    return {
      state: withTask(state, next),
      task: next,
      truncatedTexts: train.truncated,
      stoppedEarly: trained?.stoppedEarly ?? false,
      ...(trained?.loss !== undefined && { loss: trained.loss }),
      ...(validationAccuracy !== undefined && { validationAccuracy }),
      ...(gain && { gain }),
    };
  }

  private async gainOf(
    trained: (Pick<Trained, "learned"> & Partial<Pick<Trained, "validate">>) | undefined,
    rows: NonNullable<TaskState["rows"]>,
    validation: E,
    signal: AbortSignal | undefined,
  ): Promise<AdapterGain | undefined> {
    if (trained?.validate === undefined) return undefined;
    const frozen = await this.parts.statistics?.frozenAccuracy?.(rows, signal);
    if (frozen === undefined) return undefined;
    return { heldOut: validation.items.length, adapter: await trained.validate(trained.learned), frozen };
  }

  /** A task that an experiment without a router learned, to which statistics are to be added. */
  private withoutStatistics(
    { tasks }: ModelState,
    name: string,
    statisticsOnly: boolean,
  ): TaskState | undefined {
    const there = tasks.find((task) => task.name === name);
    return statisticsOnly && there?.rows === undefined ? there : undefined;
  }

  private async *train(
    state: ModelState,
    task: TaskToLearn,
    train: E,
    validation: E,
    signal?: AbortSignal,
  ): AsyncGenerator<LearnEvent, Trained> {
    const { type, trainer } = this.teacher;
    const { selection } = this.parts;
    const known = learnedTasks(state);
    const data = await type.trainingData(task, train, validation, known, signal);
    const pending = selection?.network.begin(selectorOf(state) ?? selection.network.initial(), known.length);
    const joint = selection && pending ? selection.network.withJoint(data, pending) : data;
    let loss: number | undefined;
    const fit = trainer.fit(joint, signal);
    for (;;) {
      const next = await fit.next();
      if (next.done) {
        const { learned, stoppedEarly } = next.value;
        const { validate } = data;
        return { learned, saved: type.save(learned), stoppedEarly, loss, pending, validate };
      }
      if (next.value.type === "epoch") loss = next.value.meanLoss;
      yield next.value;
    }
  }

  /** @throws CheckpointError if the adapter does not fit; ConfigError if it is built otherwise than this model's */
  private adopt(
    { saved, where }: NonNullable<LearnTaskOptions["adapter"]>,
    name: string,
  ): Omit<Trained, "pending" | "loss" | "validate"> & Partial<Trained> {
    return { learned: this.parts.type.restore(name, saved, where), saved, stoppedEarly: false };
  }

  private async *collect(
    state: ModelState,
    task: TaskToLearn,
    train: E,
    validation: E,
    learned: LearnedTask | undefined,
    signal?: AbortSignal,
  ): AsyncGenerator<LearnEvent, TaskState["rows"]> {
    const { statistics } = this.parts;
    if (statistics === undefined) return undefined;
    const totalTexts = task.train.length;
    return yield* callbackToAsyncGenerator<LearnEvent, TaskState["rows"]>((emit) =>
      statistics.collect(task, train, validation, learned, state.tasks, {
        signal,
        onItems: (texts) => emit({ type: "features", texts, totalTexts }),
        onProgress: (progress) => emit({ type: "router-fitting", ...progress }),
      }),
    );
  }

  private async selectorAfter(
    state: ModelState,
    task: TaskToLearn,
    train: E,
    pending: ReturnType<Selection["begin"]> | undefined,
    statisticsOnly: boolean,
    signal?: AbortSignal,
  ): Promise<TaskState["selector"]> {
    const { selection } = this.parts;
    if (selection === undefined || statisticsOnly) return undefined;
    const { network, asTexts } = selection;
    const index = learnedTasks(state).length;
    const begun = pending ?? network.begin(selectorOf(state) ?? network.initial(), index);
    return await network.finish(begun, task, asTexts(train), signal);
  }

  async *learnClass(
    state: ModelState,
    label: string,
    items: readonly Item[],
    {
      task: asked,
      signal,
    }: { readonly task?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<LearnEvent, Learned> {
    const { type } = this.teacher;
    const { statistics } = this.parts;
    if (statistics === undefined || type.name === "token-classification")
      throw new StoreError(
        `a class cannot be learned from examples alone: ${type.name === "token-classification" ? "entities are learned as a task" : "no router on statistics tells classes apart"}`,
        {
          hint: "Learn a task with an adapter.",
        },
      );
    checkExamples(label, items);
    const { name, task: home } = homeOf(state, label, asked);
    this.expect(type, state, [label]);
    const train = items.map((item) => ({ ...item, label }));
    const task: TaskToLearn = { name, labels: [label], train, validation: [] };
    const encoded = type.encode(train, { what: `class ${label}` });
    const none = type.encode([]);
    const others = { tasks: state.tasks.filter((each) => each !== home) };
    const added = yield* this.collect(others, task, encoded, none, home?.learned, signal);
    const rows = home?.rows && added ? joinRows(home.rows, added) : added;
    const labels =
      home === undefined ? [label] : home.labels.includes(label) ? home.labels : [...home.labels, label];
    const next: TaskState = { ...home, name, labels, ...(rows && { rows }) };
    return {
      state: withTask(state, next),
      task: next,
      truncatedTexts: encoded.truncated,
      stoppedEarly: false,
    };
  }

  async *learnOutside(
    state: ModelState,
    items: readonly Item[],
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<LearnEvent, Learned> {
    const { type } = this.teacher;
    if (this.parts.statistics === undefined || type.name === "token-classification")
      throw new StoreError(
        `texts of no class say nothing here: ${type.name === "token-classification" ? "words of no entity are O already" : "no router on statistics tells what is unknown"}`,
        { hint: "They belong to a store of labelled texts that routes." },
      );
    if (tasksWithClasses(state.tasks).length === 0)
      throw new StoreError("texts of no class say nothing before a class is known", {
        hint: "Learn a class first.",
      });
    checkTexts("texts of no class", items);
    const home = state.tasks.find(({ name }) => name === OUTSIDE_TASK);
    const train = items.map((item) => ({ ...item, label: OUTSIDE_LABEL }));
    const task: TaskToLearn = { name: OUTSIDE_TASK, labels: [OUTSIDE_LABEL], train, validation: [] };
    const encoded = type.encode(train, { what: "text of no class" });
    const others = { tasks: tasksWithClasses(state.tasks) };
    const added = yield* this.collect(others, task, encoded, type.encode([]), undefined, signal);
    const strange = added && {
      ...added,
      contributions: distinctContributions(
        added.contributions.map(({ label, rows }) => ({ label, rows, role: "outside" as const })),
      ),
    };
    const rows = home?.rows && strange ? joinRows(home.rows, strange) : strange;
    const next: TaskState = { name: OUTSIDE_TASK, labels: [], ...(rows && { rows }) };
    return {
      state: withTask(state, next),
      task: next,
      truncatedTexts: encoded.truncated,
      stoppedEarly: false,
    };
  }

  untrained({ name, labels }: Pick<TaskToLearn, "name" | "labels">): Promise<LearnedTask> {
    return this.teacher.trainer.untrained(name, labels);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const teacher = this.openedTeacher;
    this.openedTeacher = undefined;
    await teacher?.trainer[Symbol.asyncDispose]();
    if (teacher !== undefined && teacher.type !== this.parts.type) await teacher.type[Symbol.asyncDispose]();
  }
}

function asChecked({ name, labels = [], train, validation = [] }: NewTask): TaskToLearn {
  return { name, labels, train, validation };
}

interface Trained {
  readonly learned: LearnedTask;
  readonly saved: SavedAdapter;
  readonly stoppedEarly: boolean;
  readonly loss: number | undefined;
  readonly pending: ReturnType<Selection["begin"]> | undefined;
  /** How well the held-out items are known, in [0, 1]; absent without any. */
  readonly validate: TaskData["validate"];
}
