/** Learning and answering with states that lie somewhere: in memory, or in a folder. */
import { join } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { type Answer, findTask, isTagged, type Prediction, type TaggedText } from "../continual/answers.ts";
import { retainedOf } from "../continual/statistics/statistics.ts";
import { type AdapterLabels, readAdapterFor } from "../continual/taskTypes/foreignAdapter.ts";
import type {
  Item,
  LabelledFigures,
  NewTask,
  PredictionLine,
  TaskTypeName,
} from "../continual/taskTypes/taskType.ts";
import type { FeatureRows, RouterStage } from "../continual/types.ts";
import { ConfigError, DataError, StoreError } from "../core/errors.ts";
import type { RunLevel } from "../core/record.ts";
import { DEFAULT_PROMPT, promptTemplate } from "../data/encoding/prompts.ts";
import type { TaggedSentence } from "../data/files/tags.ts";
import type { Example, LabelledExample } from "../data/files/types.ts";
import { refuseForeign, writeFolderAtomic } from "../io/atomic.ts";
import { encodePeftFolder, isSavedAdapter } from "../peft/checkpoint.ts";
import type {
  AnswerOptions,
  Change,
  ChangeOptions,
  Corrected,
  EntityOptions,
  Forgotten,
  LearnClassOptions,
  LearnedSummary,
  LearnOptions,
} from "./changes.ts";
import { describeCorrections, learnCorrections } from "./classes.ts";
import { comparisonOf } from "./comparing.ts";
import type {
  Completion,
  ContinualModel,
  GenerateOptions,
  LearnEvent,
  Learned,
  StateRouter,
} from "./continualModel.ts";
import { type ForgetTarget, forget } from "./forgetting.ts";
import { takeIn } from "./merging.ts";
import { classesOf, type ModelState } from "./state.ts";
import { encodeTask, hashFiles, slugFor, taskId } from "./taskFiles.ts";

/** How answers compare with the labels that texts have. */
export type Evaluated = LabelledFigures & { readonly predictions: readonly PredictionLine[] };

/** A text, or what is known of it besides. */
export type Text = string | Example;

/** One change on its way. */
export interface Changed<T> {
  readonly state: ModelState;
  /** In words, for the history; no name of what is forgotten. */
  readonly change: string;
  readonly result: T;
}

export function toItem(text: Text): Example {
  return typeof text === "string" ? { text } : text;
}

/** What learned tasks and classes can be asked and taught. Holds native memory: dispose of it. */
export abstract class Teachable implements AsyncDisposable {
  protected model: ContinualModel;

  constructor(model: ContinualModel) {
    this.model = model;
  }

  /** The state that is seen now. */
  protected abstract readonly state: ModelState;
  /** The number of the state; 0 before the first change. */
  abstract readonly version: number;
  /** Makes one change: from the newest state to the next, which is seen from here on. Nothing changes where it fails. */
  protected abstract change<T extends object>(
    work: (state: ModelState, note: (message: string) => void) => Promise<Changed<T>>,
    options: ChangeOptions,
  ): Promise<T & Change>;
  /** The router of the state that is seen. */
  protected abstract router(state: ModelState, options: AnswerOptions): Promise<StateRouter | undefined>;
  /** @throws StoreError once it was disposed of */
  protected abstract checkOpen(): void;

  /** `text-classification`, `token-classification` or `text-generation`. */
  get taskType(): TaskTypeName {
    return this.model.type.name;
  }

  /** What gets a label: texts (`predict`), or words (`findEntities`). */
  get level(): RunLevel {
    return this.model.settings.level;
  }

  /** What a text is put into before it is answered in words; undefined where it gets a label or tags. */
  get prompt(): string | undefined {
    if (this.taskType !== "text-generation") return undefined;
    return promptTemplate(this.model.settings.prompt ?? DEFAULT_PROMPT).wording;
  }

  get tasks(): readonly { readonly name: string; readonly labels: readonly string[] }[] {
    return this.state.tasks.map(({ name, labels }) => ({ name, labels }));
  }

  /** Every class, sorted by code unit; of words every entity type. */
  get classes(): readonly string[] {
    return classesOf(this.state, this.model.type);
  }

  /**
   * Learns a task: an adapter with its head, and what a router keeps of its classes; what was learned before does not
   * change. Nothing is kept where it fails or is aborted.
   * @throws DataError if the task cannot be learned from
   * @throws StoreError if its name is taken, or another process is changing the store
   * @throws EngineError if the loss leaves the finite numbers
   */
  async learn(task: NewTask, options: LearnOptions = {}): Promise<LearnedSummary> {
    this.checkOpen();
    checkArguments("learn", { task, options });
    const { statisticsOnly = false } = options;
    const what = statisticsOnly ? "statistics of task" : "task";
    return await this.learnWith(
      (state) => {
        const given = statisticsOnly ? task : this.model.withValidation(task);
        return this.model.learn(state, given, { statisticsOnly, measureGain: true, signal: options.signal });
      },
      `learned ${what} ${task.name}`,
      options,
    );
  }

  /**
   * Learns a class from a few examples, without training: it is told from the others by frozen features.
   * @throws DataError without an example; StoreError where the class does not go into the task
   */
  async learnClass(
    label: string,
    examples: readonly Text[],
    options: LearnClassOptions = {},
  ): Promise<LearnedSummary> {
    this.checkOpen();
    checkArguments("learnClass", { label, examples, options });
    const { length } = examples;
    const { task, signal } = options;
    return await this.learnWith(
      (state) => this.model.learnClass(state, label, examples.map(toItem), { task, signal }),
      `learned class ${label} from ${length} ${length === 1 ? "example" : "examples"}`,
      options,
    );
  }

  /**
   * Learns from texts of none of the classes what is unknown: `unknown` of an answer then says how much likelier it is one like these.
   * @throws DataError without a text; StoreError where no class is known yet, or words are tagged
   */
  async learnOutside(texts: readonly Text[], options: ChangeOptions = {}): Promise<LearnedSummary> {
    this.checkOpen();
    checkArguments("learnOutside", { texts, options });
    const { signal } = options;
    return await this.learnWith(
      (state) => this.model.learnOutside(state, texts.map(toItem), { signal }),
      `learned ${texts.length} texts of no class`,
      options,
    );
  }

  /**
   * Learns texts with their right labels, without training, as one change: each as {@link learnClass} would.
   * @throws DataError without a text; StoreError where a class does not go into its task
   */
  async correct(corrections: readonly LabelledExample[], options: ChangeOptions = {}): Promise<Corrected> {
    this.checkOpen();
    checkArguments("correct", { corrections, options });
    if (corrections.length === 0) throw new DataError("correct: no text to learn from");
    const { signal, onEvent } = options;
    return await this.change(async (before) => {
      const known = classesOf(before, this.model.type);
      const learning = learnCorrections(this.model, before, corrections, signal);
      let next = await learning.next();
      for (; !next.done; next = await learning.next()) onEvent?.(next.value);
      const { state, classes } = next.value;
      return { state, change: describeCorrections(known, corrections), result: { classes } };
    }, options);
  }

  /**
   * Takes in an adapter that was saved before, here or by peft.
   * @throws CheckpointError if it was trained on another backbone, or is built otherwise than this model's
   * @throws StoreError if a task of that name was learned, or its classes cannot be told apart without their data
   */
  async loadAdapter(
    name: string,
    folder: string,
    options: ChangeOptions & AdapterLabels = {},
  ): Promise<LearnedSummary> {
    this.checkOpen();
    checkArguments("learner.loadAdapter", { name, folder, options });
    const given = { level: this.level, labels: options.labels };
    const saved = await readAdapterFor(this.model.loaded, folder, given);
    return await this.learnWith(
      (state) => takeIn(this.model, state, { name, saved, folder }),
      `took in the adapter of task ${name}`,
      options,
    );
  }

  private async learnWith(
    learn: (state: ModelState) => AsyncGenerator<LearnEvent, Learned>,
    change: string,
    options: ChangeOptions,
  ): Promise<LearnedSummary> {
    const start = performance.now();
    const { onEvent } = options;
    const learned = await this.change(async (before) => {
      const learning = learn(before);
      let next = await learning.next();
      for (; !next.done; next = await learning.next()) onEvent?.(next.value);
      const { state, task, truncatedTexts, loss, gain } = next.value;
      const result = {
        task: task.name,
        labels: task.labels,
        classes: this.model.type.classNames(task.labels),
        seconds: (performance.now() - start) / 1000,
        adapter: taskId(hashFiles(encodeTask(task)), task.saved === undefined),
        truncatedTexts,
        ...(loss !== undefined && { loss }),
        ...(gain && { gain }),
        statisticsBytes: retainedOf(task.rows?.contributions ?? []).bytes,
      };
      return { state, change, result };
    }, options);
    const comparison = this.model.keepsStatistics ? comparisonOf(this.state.tasks) : "adapters";
    if (typeof comparison !== "string")
      onEvent?.({ type: "note", message: `no answer now: ${comparison.message}. ${comparison.hint}` });
    return learned;
  }

  /**
   * Forgets a class, an entity type, or a task with its adapter. Statistics, and every prediction made from them alone, are
   * afterwards those of a model that never saw it, bit for bit.
   * @throws StoreError naming the nearest where there is no such class or task, and where nothing can be forgotten
   */
  async forget(target: ForgetTarget, options: ChangeOptions = {}): Promise<Forgotten> {
    this.checkOpen();
    checkArguments("forget", { target, options });
    return await this.change((before) => {
      const { state, ...result } = forget(this.model, before, target);
      const change = "class" in target ? "forgot a class" : "forgot a task";
      return Promise.resolve({ state, change, result });
    }, options);
  }

  /**
   * Labels texts among everything learned, or with `task` among that task's own labels.
   * @throws StoreError where words are tagged, or nothing was learned yet; ConfigError if there is no such task
   */
  async predict(texts: readonly Text[], options: AnswerOptions = {}): Promise<Prediction[]> {
    this.checkOpen();
    checkArguments("predict", { texts, options });
    this.requireWords(false, "predict", "findEntities");
    const answers = await this.answers(texts.map(toItem), options);
    return answers.flatMap((answer) => (isTagged(answer) ? [] : answer));
  }

  /**
   * Finds entities of every type learned, or with `task` of that task's own. Texts are cut into words by the rules of
   * Unicode, punctuation apart; `words` of an example are taken as they are.
   * @throws StoreError where texts get labels, or nothing was learned yet
   */
  async findEntities(texts: readonly Text[], options: EntityOptions = {}): Promise<TaggedText[]> {
    this.checkOpen();
    checkArguments("findEntities", { texts, options });
    this.requireWords(true, "findEntities", "predict");
    const { minScore = 0, ...asked } = options;
    if (options.coverage !== undefined)
      throw new ConfigError("coverage: words get tags, for which there are no sets");
    const answers = await this.answers(texts.map(toItem), asked);
    return answers.filter(isTagged).map(({ tags: _, ...tagged }) => ({
      ...tagged,
      entities: tagged.entities.filter(({ score }) => score >= minScore),
    }));
  }

  private requireWords(words: boolean, method: string, instead: string): void {
    if ((this.level === "word") === words) return;
    throw new StoreError(`${method}: this model ${words ? "gives texts a label" : "tags words"}`, {
      hint: `Use ${instead}.`,
    });
  }

  /** What the model answers, before it is put into words for a caller. */
  protected async answers(items: readonly Item[], options: AnswerOptions): Promise<readonly Answer[]> {
    const { state, version } = this;
    const { task, exact, top, coverage, signal } = options;
    let stage: RouterStage | undefined;
    const router = async () => {
      const found = await this.router(state, options);
      stage = found?.stage;
      return found;
    };
    const answers = await this.model.predict(state, items, { task, exact, top, coverage, signal, router });
    return answers.map((answer) => ({ ...answer, version, ...(stage && { router: stage }) }));
  }

  /** Fits the router that a change is committed with. @returns undefined where nothing routes among the tasks */
  protected async fitImmediate(
    state: ModelState,
    { signal, onEvent }: ChangeOptions,
  ): Promise<StateRouter | undefined> {
    return await this.model.fitRouter(state, "immediate", {
      signal,
      onProgress: (progress) => onEvent?.({ type: "router-fitting", ...progress }),
    });
  }

  /**
   * Continues texts as they are given, by the adapter that the router chooses, the one of `task`, or the newest.
   * @throws ConfigError unless the model answers in words (`head: none`)
   */
  async generate(prompts: readonly string[], options: GenerateOptions = {}): Promise<Completion[]> {
    this.checkOpen();
    checkArguments("generate", { prompts, options });
    const { state } = this;
    const router = () => this.router(state, options);
    return [...(await this.model.generate(state, prompts, { ...options, router }))];
  }

  /**
   * Sentence vectors of the frozen backbone, pooled as the model's settings say.
   * @returns one a text, all of the width that `feature.pooling` gives
   */
  async embed(
    texts: readonly Text[],
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Float32Array[]> {
    this.checkOpen();
    checkArguments("embed", { texts, options });
    const rows: FeatureRows = await this.model.embed(texts.map(toItem), options.signal);
    const { width, values } = rows;
    return texts.map((_, i) => values.slice(i * width, (i + 1) * width));
  }

  /** Tokens of each text as the backbone's tokenizer reads it, special ones included, before any is cut off. */
  countTokens(texts: readonly string[]): readonly number[] {
    const { tokenizer } = this.model.loaded;
    return texts.map((text) => tokenizer.frame(tokenizer.spans(text).ids).ids.length);
  }

  /**
   * How well labelled data is answered, as `predict` or `findEntities` answers it with the same options.
   * @param items `{ text, label }` each, where words are tagged `{ words, tags }`
   * @returns figures over all items, and what was expected and answered of each
   */
  async evaluate(
    items: readonly (LabelledExample | TaggedSentence)[],
    options: AnswerOptions = {},
  ): Promise<Evaluated> {
    this.checkOpen();
    checkArguments("evaluate", { items, options });
    const { type } = this.model;
    const answers = await this.answers(items, { ...options, top: 1 });
    const predictions = answers.map((answer, i) => type.describePrediction(items[i]!, answer));
    return { ...type.measure(items, answers), predictions };
  }

  /**
   * Writes a task's adapter, and its head where it has one, as a peft folder, whole or not at all.
   * @param folder may hold an adapter that was saved before, which is replaced
   * @throws StoreError NAME_TAKEN where it holds anything else
   */
  async saveAdapter(task: string, folder: string): Promise<void> {
    this.checkOpen();
    checkArguments("saveAdapter", { task, folder });
    const { saved } = findTask(this.state.tasks, task);
    if (saved === undefined)
      throw new StoreError(`task "${task}" has statistics alone, and no adapter to save`);
    await writeFolderAtomic(folder, encodePeftFolder(saved), { replaces: isSavedAdapter });
  }

  /**
   * Writes every task's adapter to `<folder>/<slug>/`, as {@link saveAdapter}.
   * @returns the folders, in the order of learning
   */
  async save(folder: string): Promise<readonly string[]> {
    this.checkOpen();
    checkArguments("save", { folder });
    const places = new Map<string, string>();
    for (const { name, saved } of this.state.tasks)
      if (saved !== undefined) places.set(name, slugFor(name, new Set(places.values())));
    const at = (slug: string) => join(folder, slug);
    for (const slug of places.values()) await refuseForeign(at(slug), isSavedAdapter);
    for (const [name, slug] of places) await this.saveAdapter(name, at(slug));
    return [...places.values()].map(at);
  }

  /** Frees the native memory of its sessions. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
  }
}
