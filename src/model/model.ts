/** The one place that learns and answers, whatever the task type. */
import type { Answer } from "../continual/answers.ts";
import { findTask } from "../continual/answers.ts";
import type { FitWatch } from "../continual/routers/fit.ts";
import type { CrossCheck } from "../continual/routing/crossCheck.ts";
import type { ReadFile } from "../continual/routing/taskRouting.ts";
import { noFeature } from "../continual/taskTypes/savedTask.ts";
import type { EncodedItems, Item, NewTask, TaskToLearn, TaskType } from "../continual/taskTypes/taskType.ts";
import type { FeatureRows, LearnedTask, LoadedBackbone, RouterStage } from "../continual/types.ts";
import { ConfigError, StoreError } from "../core/errors.ts";
import type { FeatureSpec } from "../nn/features.ts";
import type { SavedAdapter } from "../peft/types.ts";
import { comparisonOf, requireAdapters } from "./comparing.ts";
import {
  type Completion,
  type ContinualModel,
  DEFAULT_NEW_TOKENS,
  type GenerateOptions,
  type LearnEvent,
  type Learned,
  type LearnTaskOptions,
  type ModelPredictOptions,
  type StateRouter,
} from "./continualModel.ts";
import { Evaluator, type EvaluatorOptions, type RunEvaluator } from "./evaluator.ts";
import { Learning } from "./learning.ts";
import { learnedTasks, type ModelParts } from "./modelParts.ts";
import { entanglementOf, type ModelSettings } from "./settings/settings.ts";
import { type ModelState, type TaskState, tasksWithClasses } from "./state.ts";
import { StateRouters } from "./stateRouters.ts";

export class Model<E extends EncodedItems, R> implements ContinualModel {
  readonly settings: ModelSettings;
  readonly loaded: LoadedBackbone;
  readonly type: TaskType;
  readonly entangled: string | undefined;
  private readonly own: TaskType<E>;
  private readonly parts: ModelParts<E, R>;
  private readonly learning: Learning<E, R>;
  private readonly routers: StateRouters<E, R>;

  constructor(parts: ModelParts<E, R>) {
    this.parts = parts;
    this.learning = new Learning(parts);
    this.routers = new StateRouters(parts);
    this.settings = parts.settings;
    this.loaded = parts.loaded;
    this.own = parts.type;
    this.type = parts.type;
    this.entangled = entanglementOf(parts.settings);
  }

  get routes(): boolean {
    return this.routers.routes;
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

  check({ tasks }: ModelState, task: NewTask): TaskToLearn {
    return this.own.check(task, tasks);
  }

  plannedSteps(trainExamples: number): number {
    return this.learning.plannedSteps(trainExamples);
  }

  withValidation(task: NewTask): NewTask {
    return this.learning.withValidation(task);
  }

  learn(state: ModelState, task: NewTask, options?: LearnTaskOptions): AsyncGenerator<LearnEvent, Learned> {
    return this.learning.learn(state, task, options);
  }

  learnOutside(...given: Parameters<ContinualModel["learnOutside"]>): AsyncGenerator<LearnEvent, Learned> {
    return this.learning.learnOutside(...given);
  }

  learnClass(...given: Parameters<ContinualModel["learnClass"]>): AsyncGenerator<LearnEvent, Learned> {
    return this.learning.learnClass(...given);
  }

  untrained(task: Pick<TaskToLearn, "name" | "labels">): Promise<LearnedTask> {
    return this.learning.untrained(task);
  }

  routerStages(state: ModelState): readonly RouterStage[] {
    return this.routers.stages(state);
  }

  fitRouter(state: ModelState, stage: RouterStage, watch?: FitWatch): Promise<StateRouter | undefined> {
    return this.routers.fit(state, stage, watch);
  }

  openRouter(state: ModelState, stage: RouterStage, read: ReadFile): Promise<StateRouter | undefined> {
    return this.routers.open(state, stage, read);
  }

  restoreTotals(state: ModelState, read: ReadFile): Promise<void> {
    return this.routers.restoreTotals(state, read);
  }

  bestRouter(state: ModelState): StateRouter | undefined {
    return this.routers.best(state);
  }

  private async anyRouter(state: ModelState): Promise<StateRouter | undefined> {
    return this.routers.best(state) ?? (await this.routers.fit(state, "immediate"));
  }

  restore(name: string, saved: SavedAdapter, where: string): LearnedTask {
    return this.own.restore(name, saved, where);
  }

  async predict(
    state: ModelState,
    items: readonly Item[],
    {
      task,
      exact = false,
      top,
      coverage,
      signal,
      router = () => this.anyRouter(state),
    }: ModelPredictOptions = {},
  ): Promise<readonly Answer[]> {
    const { tasks } = state;
    if (tasksWithClasses(tasks).length === 0)
      throw new StoreError("no task has been learned yet", { hint: "Learn one first." });
    this.learning.expect(this.own, state);
    const asked = task === undefined ? undefined : findTask<TaskState>(tasksWithClasses(tasks), task);
    const encoded = this.own.encode(items);
    const learned = learnedTasks(state);
    if (coverage !== undefined && (asked?.learned !== undefined || this.answersExactly(tasks, exact)))
      throw new ConfigError("coverage: sets of labels come from a router's answers among all classes", {
        hint: "Leave task and exact out, or learn with a router.",
      });
    if (asked?.learned !== undefined) {
      const only = learned.indexOf(asked.learned);
      return await this.own.answer(learned, encoded, { only, top, signal });
    }
    if (asked === undefined && this.answersExactly(tasks, exact))
      return await this.own.answer(learned, encoded, { top, signal });
    const only = asked === undefined ? undefined : tasks.indexOf(asked);
    const { route } = this.routers.routed(await router());
    return (await route(tasks, encoded, { only, top, coverage, signal })).map(({ answer }) => answer);
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
      onText,
      signal,
      router = () => this.anyRouter(state),
    }: GenerateOptions & Pick<ModelPredictOptions, "router"> = {},
  ): Promise<readonly Completion[]> {
    const { own } = this;
    if (own.continueTexts === undefined)
      throw new ConfigError("this model answers with a head, and generates no text", {
        hint: "Learn with head: none on a decoder, or give a decoder's folder.",
      });
    this.learning.expect(own, state);
    const learned = learnedTasks(state);
    const one = task === undefined ? undefined : findTask(learned, task);
    const newest = one ?? learned.at(-1);
    if (newest === undefined)
      throw new StoreError("no task has an adapter that could generate", {
        hint: "Learn one with its adapter.",
      });
    const chosen =
      one !== undefined || exact || this.answersExactly(state.tasks, false)
        ? texts.map(() => newest)
        : await this.chooseTasks(state, texts, newest, await router(), signal);
    const continued = await own.continueTexts(chosen, texts, { maxNewTokens, onText, signal });
    return continued.map((each, i) => ({ ...each, task: (chosen[i] ?? newest).name }));
  }

  private async chooseTasks(
    { tasks }: ModelState,
    texts: readonly string[],
    otherwise: LearnedTask,
    router: StateRouter | undefined,
    signal?: AbortSignal,
  ): Promise<readonly LearnedTask[]> {
    const { routing } = this.routers.routed(router);
    if (routing === undefined) return texts.map(() => otherwise);
    const chosen = await this.parts.statistics?.chooseTasks?.(routing, tasks, texts, signal);
    return texts.map((_, i) => tasks[chosen?.[i] ?? -1]?.learned ?? otherwise);
  }

  async crossCheck(state: ModelState, signal?: AbortSignal): Promise<CrossCheck | undefined> {
    const { statistics } = this.parts;
    if (statistics?.crossCheck === undefined || comparisonOf(state.tasks) !== "statistics") return undefined;
    return await statistics.crossCheck(state.tasks, signal);
  }

  openEvaluator(options: EvaluatorOptions = {}): RunEvaluator {
    const { statistics } = this.parts;
    const routerOf = (router: StateRouter | undefined) => this.routers.routed(router);
    return new Evaluator<E, R>(
      {
        type: this.own,
        statistics,
        routerOf,
        untrained: (task) => this.untrained(task),
        expectLabels: (state, more) => this.learning.expect(this.own, state, more),
      },
      options,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.routers[Symbol.asyncDispose]();
    const { selection, statistics } = this.parts;
    await selection?.network[Symbol.asyncDispose]();
    await statistics?.[Symbol.asyncDispose]();
    await this.learning[Symbol.asyncDispose]();
    await this.own[Symbol.asyncDispose]();
  }
}
