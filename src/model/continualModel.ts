/**
 * The one place that learns and answers: a frozen backbone with a task type and what routes among tasks. It keeps no state
 * of its own; every call is given what was learned so far.
 */

import type { Answer, PredictOptions } from "../continual/answers.ts";
import { findTask } from "../continual/answers.ts";
import type { Selection } from "../continual/newlora/selection.ts";
import type { SelectionRouting } from "../continual/newlora/selectionRouting.ts";
import type { FitWatch } from "../continual/routers/fit.ts";
import type { ReadFile, RoutedTask, TaskRouting } from "../continual/routing/taskRouting.ts";
import { noFeature } from "../continual/taskTypes/savedTask.ts";
import { TaskTrainer } from "../continual/taskTypes/taskTrainer.ts";
import type {
  AnswerOptions,
  EncodedItems,
  Item,
  NewTask,
  RoutedItem,
  TaskToLearn,
  TaskType,
} from "../continual/taskTypes/taskType.ts";
import type { EncodedTexts } from "../continual/taskTypes/textClassification.ts";
import type { FeatureRows, LearnedTask, LoadedBackbone } from "../continual/types.ts";
import { callbackToAsyncGenerator } from "../core/callbackToAsyncGenerator.ts";
import { ConfigError, StoreError } from "../core/errors.ts";
import { createRng } from "../core/random.ts";
import type { RouterFitting, RouterSummary } from "../core/record.ts";
import type { FeatureSpec } from "../nn/features.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { FitEvent } from "../train/trainer.ts";
import { checkExamples, homeOf, joinRows, requireSameClasses } from "./classes.ts";
import { comparisonOf, requireAdapters } from "./comparing.ts";
import { Evaluator, type EvaluatorOptions, type RunEvaluator } from "./evaluator.ts";
import type { ModelSettings } from "./settings/settings.ts";
import { resolveTraining } from "./settings/structure.ts";
import { type ModelState, type TaskState, withTask } from "./state.ts";

/** Share of every class that is held out of a task that brings no validation data. */
const VALIDATION_FRACTION = 0.1;

/** How a long call goes on. */
export type LearnEvent =
  | {
      readonly type: "started";
      readonly task: string;
      readonly labels: readonly string[];
      readonly trainExamples: number;
      readonly validationExamples: number;
      /** Optimisation steps at most; 0 where statistics alone are learned. */
      readonly totalSteps: number;
    }
  | FitEvent
  /** So many items have given their features. */
  | { readonly type: "features"; readonly texts: number; readonly totalTexts: number }
  | ({ readonly type: "router-fitting" } & RouterFitting);

export interface LearnTaskOptions {
  /** The task was checked when its stream was loaded. */
  readonly checked?: boolean | undefined;
  /** Trains no adapter: seconds. The classes are told apart from frozen features. */
  readonly statisticsOnly?: boolean | undefined;
  /** Taken in place of training one. */
  readonly adapter?: { readonly saved: SavedAdapter; readonly where: string } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** As transformers generates where it is not told. */
export const DEFAULT_NEW_TOKENS = 20;

export interface GenerateOptions {
  /** The task whose adapter continues the texts; default: the router's choice, without one the newest. */
  readonly task?: string | undefined;
  /** The newest task's adapter, where a router was fitted too. */
  readonly exact?: boolean | undefined;
  /** Default 20. */
  readonly maxNewTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was generated after a text. */
export interface Completion {
  /** What comes after the text, without it. */
  readonly completion: string;
  /** The task whose adapter generated it; absent for a bare model. */
  readonly task?: string;
}

/** What learning gives: the next state, and what is told of it. */
export interface Learned {
  readonly state: ModelState;
  readonly task: TaskState;
  readonly truncatedTexts: number;
  readonly stoppedEarly: boolean;
  /** Mean loss over the last epoch; absent where nothing was trained. */
  readonly loss?: number;
}

/** What answers for a state, fitted. */
export interface StateRouter {
  /** Absent where NewLoRA's network routes. */
  readonly summary: RouterSummary | undefined;
  /** The files that answer without the statistics, by name. */
  files(watch?: FitWatch): Promise<ReadonlyMap<string, Uint8Array>>;
}

export interface ModelPredictOptions extends PredictOptions {
  /** Gives the router of the state, where one is needed. */
  readonly router?: (() => Promise<StateRouter | undefined>) | undefined;
}

/** A model without what its task type is made of. Holds native memory: dispose of it. */
export interface ContinualModel extends AsyncDisposable {
  readonly settings: ModelSettings;
  readonly loaded: LoadedBackbone;
  readonly type: TaskType;
  /** Whether something routes among tasks. */
  readonly routes: boolean;
  /** Whether what routes reads every adapter's outputs on every text. */
  readonly routesByAdapters: boolean;
  /** How a text's vector is made; a formality where none is read. */
  readonly feature: FeatureSpec;
  /** Whether statistics of classes are kept, so that a class can be learned without training. */
  readonly keepsStatistics: boolean;
  /** Why learned classes cannot be taken out again, or joined with another model's; undefined where they can. */
  readonly entangled: string | undefined;
  /** @throws DataError or StoreError if the task cannot be learned */
  check(state: ModelState, task: NewTask): TaskToLearn;
  /** Optimisation steps a task of that many training examples takes at most. */
  plannedSteps(trainExamples: number): number;
  /** The task with a tenth of every class of `train` held out, where it brings no validation data. */
  withValidation(task: NewTask): NewTask;
  learn(state: ModelState, task: NewTask, options?: LearnTaskOptions): AsyncGenerator<LearnEvent, Learned>;
  /** Learns a class from a few items, without training. @param task that it joins */
  learnClass(
    state: ModelState,
    label: string,
    items: readonly Item[],
    options?: { readonly task?: string | undefined; readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<LearnEvent, Learned>;
  /** A task before it is learned: the adapter that it begins with. */
  untrained(task: Pick<TaskToLearn, "name" | "labels">): Promise<LearnedTask>;
  restore(name: string, saved: SavedAdapter, where: string): LearnedTask;
  /** The router of a state: a function of it. @returns undefined where nothing routes */
  fitRouter(state: ModelState, watch?: FitWatch): Promise<StateRouter | undefined>;
  /** The router of a state as its files say; undefined where they are missing, damaged, or of another state. */
  openRouter(state: ModelState, read: ReadFile): Promise<StateRouter | undefined>;
  /** @returns one an item, in their order */
  predict(
    state: ModelState,
    items: readonly Item[],
    options?: ModelPredictOptions,
  ): Promise<readonly Answer[]>;
  embed(items: readonly Item[], signal?: AbortSignal): Promise<FeatureRows>;
  /**
   * Continues texts as they are given, by the adapter of the router's choice, of `task`, or with `exact` of the newest task.
   * @throws ConfigError unless the model generates text
   */
  generate(
    state: ModelState,
    texts: readonly string[],
    options?: GenerateOptions & Pick<ModelPredictOptions, "router">,
  ): Promise<readonly Completion[]>;
  openEvaluator(options?: EvaluatorOptions): RunEvaluator;
}

/** What a model is put together from. */
export interface ModelParts<E extends EncodedItems, R> {
  readonly settings: ModelSettings;
  readonly loaded: LoadedBackbone;
  /** What answers. */
  readonly type: TaskType<E>;
  /** What learns, opened when something is to be learned; the same as `type`, or with sessions of its own. */
  readonly openTeacher: () => TaskType<E>;
  /** Routes by statistics of classes. */
  readonly statistics?: TaskRouting<E, R> | undefined;
  /** NewLoRA's network. */
  readonly selection?:
    | {
        readonly network: Selection;
        /** Absent where nothing asks the network. */
        readonly routing?: SelectionRouting;
        /** Of the same texts as `type` encodes them. */
        readonly asTexts: (encoded: E) => EncodedTexts;
      }
    | undefined;
  /** Labels that are expected beside those learned so far. */
  readonly expectedLabels?: readonly string[] | undefined;
  readonly entangled?: string | undefined;
}

/** How a fitted router answers. */
type Route<E> = (
  tasks: readonly RoutedTask[],
  encoded: E,
  options: AnswerOptions,
) => Promise<readonly RoutedItem[]>;

export class Model<E extends EncodedItems, R> implements ContinualModel {
  readonly settings: ModelSettings;
  readonly loaded: LoadedBackbone;
  readonly type: TaskType;
  readonly entangled: string | undefined;
  private readonly own: TaskType<E>;
  private readonly parts: ModelParts<E, R>;
  private openedTeacher: { readonly type: TaskType<E>; readonly trainer: TaskTrainer } | undefined;
  private readonly routers = new WeakMap<ModelState, Promise<StateRouter>>();
  private readonly routeOf = new WeakMap<StateRouter, { readonly route: Route<E>; readonly routing?: R }>();
  private readonly pending = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();

  constructor(parts: ModelParts<E, R>) {
    this.parts = parts;
    this.settings = parts.settings;
    this.loaded = parts.loaded;
    this.own = parts.type;
    this.type = parts.type;
    this.entangled = parts.entangled;
  }

  get routes(): boolean {
    return this.parts.statistics !== undefined || this.parts.selection?.routing !== undefined;
  }

  get routesByAdapters(): boolean {
    return this.parts.statistics === undefined && this.parts.selection?.routing !== undefined;
  }

  get feature(): FeatureSpec {
    return this.own.trained.structure.feature ?? noFeature;
  }

  get keepsStatistics(): boolean {
    return this.parts.statistics !== undefined;
  }

  private get teacher() {
    if (this.openedTeacher === undefined) {
      const type = this.parts.openTeacher();
      const trainer = new TaskTrainer(type.trained, resolveTraining(this.settings), this.settings.seed);
      this.openedTeacher = { type, trainer };
    }
    return this.openedTeacher;
  }

  private expect(type: TaskType<E>, { tasks }: ModelState, more: readonly string[] = []): void {
    const { expectedLabels = [] } = this.parts;
    type.expectLabels([...expectedLabels, ...tasks.flatMap(({ labels }) => type.ownLabels(labels)), ...more]);
  }

  check({ tasks }: ModelState, task: NewTask): TaskToLearn {
    return this.own.check(task, tasks);
  }

  plannedSteps(trainExamples: number): number {
    return this.teacher.trainer.plannedSteps(trainExamples);
  }

  withValidation(task: NewTask): NewTask {
    if (task.validation !== undefined) return task;
    const rng = createRng(this.settings.seed).fork("validation", task.name);
    return { ...task, ...this.own.splitValidation(task.train, VALIDATION_FRACTION, rng) };
  }

  async *learn(
    state: ModelState,
    given: NewTask,
    { statisticsOnly = false, checked = false, adapter, signal }: LearnTaskOptions = {},
  ): AsyncGenerator<LearnEvent, Learned> {
    const { type, trainer } = this.teacher;
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
    const rows = yield* this.collect(state, task, train, validation, learned, signal);
    const selector = await this.selectorAfter(state, task, train, trained?.pending, statisticsOnly, signal);
    const next: TaskState = {
      name: task.name,
      labels: learned?.labels ?? task.labels,
      ...there,
      ...(trained && { learned: trained.learned, saved: trained.saved }),
      ...(rows && { rows }),
      ...(selector && { selector }),
    };
    return {
      state: withTask(state, next),
      task: next,
      truncatedTexts: train.truncated,
      stoppedEarly: trained?.stoppedEarly ?? false,
      ...(trained?.loss !== undefined && { loss: trained.loss }),
    };
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
        return { learned, saved: type.save(learned), stoppedEarly, loss, pending };
      }
      if (next.value.type === "epoch") loss = next.value.meanLoss;
      yield next.value;
    }
  }

  /** @throws CheckpointError if the adapter does not fit; ConfigError if it is built otherwise than this model's */
  private adopt(
    { saved, where }: NonNullable<LearnTaskOptions["adapter"]>,
    name: string,
  ): Omit<Trained, "pending" | "loss"> & Partial<Pick<Trained, "pending" | "loss">> {
    return { learned: this.restore(name, saved, where), saved, stoppedEarly: false };
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

  untrained({ name, labels }: Pick<TaskToLearn, "name" | "labels">): Promise<LearnedTask> {
    return this.teacher.trainer.untrained(name, labels);
  }

  restore(name: string, saved: SavedAdapter, where: string): LearnedTask {
    return this.own.restore(name, saved, where);
  }

  fitRouter(state: ModelState, watch: FitWatch = {}): Promise<StateRouter | undefined> {
    if (!this.routes) return Promise.resolve(undefined);
    const known = this.routers.get(state);
    if (known !== undefined) return unlessAborted(known, watch.signal);
    const router = this.makeRouter(state, { ...watch, signal: this.closing.signal });
    this.keepRouter(state, router);
    return unlessAborted(router, watch.signal);
  }

  private keepRouter(state: ModelState, router: Promise<StateRouter>): void {
    this.routers.set(state, router);
    this.pending.add(router);
    // A fit that failed is no answer for the next one who asks.
    router.catch(() => this.routers.delete(state)).finally(() => this.pending.delete(router));
  }

  private async makeRouter(state: ModelState, watch: FitWatch): Promise<StateRouter> {
    const { statistics } = this.parts;
    if (statistics === undefined) return this.selectionRouter(state);
    return this.statisticsRouter(state, statistics, await statistics.fit(state.tasks, watch));
  }

  async openRouter(state: ModelState, read: ReadFile): Promise<StateRouter | undefined> {
    const { statistics } = this.parts;
    if (statistics === undefined) return await this.fitRouter(state);
    const known = this.routers.get(state);
    if (known !== undefined) return await known;
    const routing = await statistics.open(state.tasks, read);
    if (routing === undefined) return undefined;
    const router = this.statisticsRouter(state, statistics, routing);
    this.keepRouter(state, Promise.resolve(router));
    return router;
  }

  private statisticsRouter(state: ModelState, statistics: TaskRouting<E, R>, routing: R): StateRouter {
    const router: StateRouter = {
      summary: statistics.summarize(routing),
      files: (watch) => statistics.encode(routing, state.tasks, watch),
    };
    const route: Route<E> = (tasks, encoded, options) => statistics.route(routing, tasks, encoded, options);
    this.routeOf.set(router, { route, routing });
    return router;
  }

  private selectionRouter(state: ModelState): StateRouter {
    const { selection } = this.parts;
    const network = selectorOf(state);
    if (selection?.routing === undefined || network === undefined)
      throw new StoreError("the selection network of the newest task is missing");
    const { routing, asTexts } = selection;
    const router: StateRouter = { summary: undefined, files: () => Promise.resolve(new Map()) };
    const route: Route<E> = (_, encoded, options) =>
      routing.route(network, learnedTasks(state), asTexts(encoded), options);
    this.routeOf.set(router, { route });
    return router;
  }

  private routed(router: StateRouter | undefined) {
    const found = router && this.routeOf.get(router);
    if (found === undefined) throw new StoreError("this router belongs to another model, or there is none");
    return found;
  }

  async predict(
    state: ModelState,
    items: readonly Item[],
    { task, exact = false, top, signal, router = () => this.fitRouter(state) }: ModelPredictOptions = {},
  ): Promise<readonly Answer[]> {
    const { tasks } = state;
    if (tasks.length === 0)
      throw new StoreError("no task has been learned yet", { hint: "Learn one first." });
    this.expect(this.own, state);
    const asked = task === undefined ? undefined : findTask(tasks, task);
    const encoded = this.own.encode(items);
    const learned = learnedTasks(state);
    if (asked?.learned !== undefined) {
      const only = learned.indexOf(asked.learned);
      return await this.own.answer(learned, encoded, { only, top, signal });
    }
    if (asked === undefined && this.answersExactly(tasks, exact))
      return await this.own.answer(learned, encoded, { top, signal });
    const only = asked === undefined ? undefined : tasks.indexOf(asked);
    const { route } = this.routed(await router());
    return (await route(tasks, encoded, { only, top, signal })).map(({ answer }) => answer);
  }

  /** @throws StoreError where nothing compares the classes, or exact answers are asked of tasks without adapters */
  private answersExactly(tasks: readonly TaskState[], exact: boolean): boolean {
    if (exact) requireAdapters(tasks);
    if (exact || !this.routes) return true;
    if (!this.keepsStatistics) return false;
    const comparison = comparisonOf(tasks);
    if (typeof comparison === "string") return comparison === "adapters";
    throw new StoreError(comparison.message, { hint: comparison.hint });
  }

  embed(items: readonly Item[], signal?: AbortSignal): Promise<FeatureRows> {
    return this.own.embed(items, signal);
  }

  async generate(
    state: ModelState,
    texts: readonly string[],
    {
      task,
      exact = false,
      maxNewTokens = DEFAULT_NEW_TOKENS,
      signal,
      router = () => this.fitRouter(state),
    }: GenerateOptions & Pick<ModelPredictOptions, "router"> = {},
  ): Promise<readonly Completion[]> {
    const { own } = this;
    if (own.continueTexts === undefined)
      throw new ConfigError("this model answers with a head, and generates no text", {
        hint: "Learn with head: none on a decoder, or give a decoder's folder.",
      });
    this.expect(own, state);
    const learned = learnedTasks(state);
    const one = task === undefined ? undefined : findTask(learned, task);
    const newest = one ?? learned.at(-1);
    if (newest === undefined)
      throw new StoreError("no task has an adapter that could generate", {
        hint: "Learn one with its adapter.",
      });
    const chosen =
      one !== undefined || exact || !this.routes
        ? texts.map(() => newest)
        : await this.chooseTasks(state, texts, newest, await router(), signal);
    const completions: Completion[] = texts.map(() => ({ completion: "" }));
    for (const adapter of new Set(chosen)) {
      const places = [...texts.keys()].filter((i) => chosen[i] === adapter);
      const given = places.map((i) => texts[i]!);
      const continued = await own.continueTexts(adapter, given, { maxNewTokens, signal });
      places.forEach((i, row) => {
        completions[i] = { completion: continued[row] ?? "", task: adapter.name };
      });
    }
    return completions;
  }

  private async chooseTasks(
    { tasks }: ModelState,
    texts: readonly string[],
    otherwise: LearnedTask,
    router: StateRouter | undefined,
    signal?: AbortSignal,
  ): Promise<readonly LearnedTask[]> {
    const { routing } = this.routed(router);
    if (routing === undefined) return texts.map(() => otherwise);
    const chosen = await this.parts.statistics?.chooseTasks?.(routing, tasks, texts, signal);
    return texts.map((_, i) => tasks[chosen?.[i] ?? -1]?.learned ?? otherwise);
  }

  openEvaluator(options: EvaluatorOptions = {}): RunEvaluator {
    const { statistics } = this.parts;
    const routerOf = (router: StateRouter | undefined) => this.routed(router);
    return new Evaluator<E, R>(
      { type: this.own, statistics, routerOf, untrained: (task) => this.untrained(task) },
      options,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closing.abort();
    await Promise.allSettled(this.pending);
    const { selection, statistics } = this.parts;
    await selection?.network[Symbol.asyncDispose]();
    await statistics?.[Symbol.asyncDispose]();
    const teacher = this.openedTeacher;
    this.openedTeacher = undefined;
    await teacher?.trainer[Symbol.asyncDispose]();
    if (teacher !== undefined && teacher.type !== this.own) await teacher.type[Symbol.asyncDispose]();
    await this.own[Symbol.asyncDispose]();
  }
}

function asChecked({ name, labels = [], train, validation = [] }: NewTask): TaskToLearn {
  return { name, labels, train, validation };
}

/** What several may wait for goes on when one of them waits no longer. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

interface Trained {
  readonly learned: LearnedTask;
  readonly saved: SavedAdapter;
  readonly stoppedEarly: boolean;
  readonly loss: number | undefined;
  readonly pending: ReturnType<Selection["begin"]> | undefined;
}

/** Tasks with an adapter, in the order of learning. */
export function learnedTasks({ tasks }: ModelState): readonly LearnedTask[] {
  return tasks.flatMap(({ learned }) => learned ?? []);
}

function selectorOf({ tasks }: ModelState): TaskState["selector"] {
  return tasks.findLast(({ selector }) => selector !== undefined)?.selector;
}
