/** How a learner in memory learns and answers, by level and head, in one table. */
import { AdaptedBackbone, type LearnedTask } from "../continual/adaptedBackbone.ts";
import { seenLabels } from "../continual/generativeEvaluation.ts";
import { GenerativeLearner } from "../continual/generativeLearner.ts";
import { ContinualLearner, type TaskToLearn } from "../continual/learner.ts";
import type { LearnResult } from "../continual/taskTrainer.ts";
import { TrunkCache } from "../continual/trunkCache.ts";
import { WordLearner, type WordTaskToLearn } from "../continual/wordLearner.ts";
import { CheckpointError, ConfigError, DataError, StoreError } from "../core/errors.ts";
import type { RunLevel } from "../core/record.ts";
import { type TaggedSentence, toIob2, typeOf } from "../data/conll.ts";
import { DEFAULT_PROMPT, promptTemplate } from "../data/prompts.ts";
import type { Example, LabelledExample } from "../data/types.ts";
import { maskTypes } from "../data/wordStream.ts";
import type { CausalStructure } from "../generate/graphs.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { SavedAdapter } from "../peft/types.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { adapterHost } from "../train/graphs.ts";
import type { FitEvent } from "../train/trainer.ts";
import { answer } from "./answer.ts";
import type { LoadedBackbone } from "./backbone.ts";
import { classify } from "./classify.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import { findEntities } from "./findEntities.ts";
import { openGenerative } from "./generativeExperiment.ts";
import { fromSavedAdapter, fromSavedAnswers, promptOf, toSavedAdapter } from "./savedTask.ts";
import { resolveCausalStructure, resolveStructure, resolveTraining } from "./structure.ts";
import type { EntityOptions, Prediction, PredictOptions, TaggedText } from "./types.ts";

/** Texts with a label each. */
export interface NewTask {
  readonly name: string;
  readonly train: readonly LabelledExample[];
  /** For early stopping. */
  readonly validation?: readonly LabelledExample[];
  /** In slot order; default: by first appearance in `train`. */
  readonly labels?: readonly string[];
}

/** Sentences in words with a tag each, for `level: word`. */
export interface NewWordTask {
  readonly name: string;
  readonly train: readonly TaggedSentence[];
  /** For early stopping. */
  readonly validation?: readonly TaggedSentence[];
  /** The entity types to learn; tags of others count as `O`. Default: every type in `train`, by first appearance. */
  readonly types?: readonly string[];
}

/** What a learner in memory is made from. */
export type LearnerSettings = Pick<
  ResolvedConfig,
  "method" | "head" | "feature" | "level" | "prompt" | "threads" | "seed"
> &
  Parameters<typeof resolveTraining>[0];

/** Tasks of one kind: how they are learned, written, taken in again and asked. Holds native memory. */
export interface Lessons extends AsyncDisposable {
  readonly level: RunLevel;
  /** @throws DataError if the task cannot be learned, or is of the other level */
  learn(
    task: NewTask | NewWordTask,
    known: readonly LearnedTask[],
    signal?: AbortSignal,
  ): AsyncGenerator<FitEvent, LearnResult>;
  /**
   * Takes in the next task, learned here or before.
   * @throws StoreError if it cannot be the next one
   */
  add(task: LearnedTask, known: readonly LearnedTask[]): void;
  save(task: LearnedTask): SavedAdapter;
  /**
   * The inverse of `save`.
   * @throws CheckpointError if the adapter does not fit the backbone
   * @throws ConfigError if it is built otherwise than this learner's
   */
  restore(name: string, saved: SavedAdapter, where: string): LearnedTask;
  predict(
    tasks: readonly LearnedTask[],
    examples: readonly Example[],
    options: PredictOptions,
  ): Promise<Prediction[]>;
  findEntities(
    tasks: readonly LearnedTask[],
    examples: readonly Example[],
    options: EntityOptions,
  ): Promise<TaggedText[]>;
}

/** @throws DataError if a task of that name was learned */
export function checkName(name: string, known: readonly LearnedTask[]): void {
  if (known.some((task) => task.name === name))
    throw new DataError(`task "${name}": was learned already`, { hint: "give the new task another name" });
}

/** @throws DataError if there is nothing to tell apart */
export function checkLabels(name: string, labels: readonly string[]): void {
  if (new Set(labels).size < 2)
    throw new DataError(`task "${name}": has ${labels.length} class, so there is nothing to tell apart`, {
      hint: "give a task at least two labels",
    });
}

function checkNew({ name, train }: NewTask | NewWordTask, known: readonly LearnedTask[]): void {
  checkName(name, known);
  if (train.length === 0) throw new DataError(`task "${name}": has no training examples`);
}

function isWordTask(task: NewTask | NewWordTask): task is NewWordTask {
  const [first] = task.train;
  return first !== undefined && "tags" in first;
}

function sentenceTask(task: NewTask | NewWordTask, known: readonly LearnedTask[]): TaskToLearn {
  checkNew(task, known);
  if (isWordTask(task))
    throw new DataError(`task "${task.name}": has tagged words, but this learner gives texts a label`, {
      hint: "Give examples of { text, label }, or create the learner with level: word.",
    });
  const { name, train, validation = [] } = task;
  const labels = task.labels ?? [...new Set(train.map(({ label }) => label))];
  checkLabels(name, labels);
  return { name, labels, train, validation };
}

/** @throws DataError naming the sentence (counted from 1) whose tags are none, or not as many as its words */
function checkedSentences(sentences: readonly TaggedSentence[], where: string): TaggedSentence[] {
  return sentences.map(({ words, tags }, i) => {
    const place = `${where}, sentence ${i + 1}`;
    if (words.length !== tags.length)
      throw new DataError(`${place}: has ${words.length} words, but ${tags.length} tags`);
    return { words, tags: toIob2(tags, (word) => `${place}, word ${word + 1}`).tags };
  });
}

function wordTask(task: NewTask | NewWordTask, known: readonly LearnedTask[]): WordTaskToLearn {
  checkNew(task, known);
  const { name } = task;
  if (!isWordTask(task))
    throw new DataError(`task "${name}": has labelled texts, but this learner tags words`, {
      hint: "Give sentences of { words, tags }, or create the learner with level: sentence.",
    });
  const train = checkedSentences(task.train, `task "${name}", train`);
  const validation = checkedSentences(task.validation ?? [], `task "${name}", validation`);
  const found = train.flatMap(({ tags }) => tags.flatMap((tag) => typeOf(tag) ?? []));
  const types = [...new Set(task.types ?? found)];
  if (types.length === 0) throw new DataError(`task "${name}": has no entities to learn`);
  const labels = types.flatMap((type) => [`B-${type}`, `I-${type}`]);
  const taken = known.flatMap((other) => other.labels).filter((label) => labels.includes(label));
  if (taken.length > 0)
    throw new DataError(`task "${name}": these types were learned already: ${typesOf(taken).join(", ")}`, {
      hint: "Name the new ones alone with `types`.",
    });
  return { name, types, labels, train: maskTypes(train, types), validation: maskTypes(validation, types) };
}

function typesOf(labels: readonly string[]): string[] {
  return [...new Set(labels.flatMap((label) => typeOf(label) ?? []))];
}

/** @throws ConfigError if an adapter that was saved is built otherwise than this learner's */
function checkAlike(own: object, given: object, where: string): void {
  if (JSON.stringify(own) === JSON.stringify(given)) return;
  throw new ConfigError(
    `${where}: is built otherwise: ${JSON.stringify(given)}; this learner has ${JSON.stringify(own)}`,
    { hint: "create the learner with the adapter's method, head, feature and prompt" },
  );
}

function describeHeaded({ structure, prompt }: Pick<AdaptedBackbone, "structure" | "prompt">): object {
  return {
    ...adapterMethod(structure.adapter).describe(adapterHost(structure)),
    ...structure.feature,
    head: structure.head.kind,
    level: structure.level ?? "sentence",
    ...(prompt !== undefined && { prompt }),
  };
}

interface HeadedParts {
  readonly model: AdaptedBackbone;
  readonly files: Pick<Lessons, "save" | "restore">;
}

/** What tasks with heads have in common: the model, and the way to files and back. */
function headedParts(settings: LearnerSettings, loaded: LoadedBackbone): HeadedParts {
  const { level, prompt, threads, training } = settings;
  const model = new AdaptedBackbone({
    structure: resolveStructure(settings, loaded, level),
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: training.maxLength,
    trunkCache: new TrunkCache({ backboneHash: loaded.folder.hash }),
    ...(prompt !== undefined && { template: promptTemplate(prompt) }),
    ...(threads !== undefined && { threads }),
  });
  return {
    model,
    files: {
      save: (task) => toSavedAdapter(task, model.structure, loaded, promptOf(model)),
      restore: (name, saved, where) => {
        const restored = fromSavedAdapter(name, saved, loaded, where);
        checkAlike(describeHeaded(model), describeHeaded(restored), where);
        return restored.task;
      },
    },
  };
}

async function disposeAll(held: readonly AsyncDisposable[]): Promise<void> {
  for (const one of held) await one[Symbol.asyncDispose]();
}

function refuse(what: "predict" | "findEntities"): Promise<never> {
  const [does, use] =
    what === "predict" ? ["tags words", "findEntities"] : ["gives texts a label", "predict"];
  return Promise.reject(new StoreError(`${what}: this learner ${does}`, { hint: `Use ${use}.` }));
}

/** A head over a text's vector. */
function sentenceLessons(settings: LearnerSettings, loaded: LoadedBackbone): Lessons {
  const { model, files } = headedParts(settings, loaded);
  const learner = new ContinualLearner(model, resolveTraining(settings), settings.seed);
  return {
    level: "sentence",
    learn: (task, known, signal) => learner.learn(sentenceTask(task, known), signal),
    add: ({ name, labels }) => checkLabels(name, labels),
    ...files,
    predict: (tasks, examples, options) => classify(model, tasks, examples, options),
    findEntities: () => refuse("findEntities"),
    [Symbol.asyncDispose]: () => disposeAll([learner, model]),
  };
}

/** A head over every word. */
function wordLessons(settings: LearnerSettings, loaded: LoadedBackbone): Lessons {
  const { model, files } = headedParts(settings, loaded);
  const learner = new WordLearner(model, resolveTraining(settings), settings.seed);
  return {
    level: "word",
    learn: (task, known, signal) => learner.learn(wordTask(task, known), signal),
    add: (task) => learner.add(task),
    ...files,
    predict: () => refuse("predict"),
    findEntities: (tasks, examples, options) => findEntities(model, tasks, examples, options),
    [Symbol.asyncDispose]: () => disposeAll([learner, model]),
  };
}

function describeAnswers(structure: CausalStructure, prompt: string): object {
  return { ...adapterMethod(structure.adapter).describe(structure.backbone), head: "none", prompt };
}

/** No head: the model says the label's words. */
async function answerLessons(settings: LearnerSettings, loaded: LoadedBackbone): Promise<Lessons> {
  const { prompt = DEFAULT_PROMPT } = settings;
  const structure = resolveCausalStructure(settings, loaded, "sentence");
  const model = await openGenerative(settings, loaded, structure, prompt, []);
  const learner = new GenerativeLearner(model, resolveTraining(settings), settings.seed);
  return {
    level: "sentence",
    learn: (task, known, signal) => {
      const toLearn = sentenceTask(task, known);
      model.expectLabels(seenLabels([...known, toLearn]));
      return learner.learn(toLearn, signal);
    },
    add: ({ name, labels }, known) => {
      checkLabels(name, labels);
      model.expectLabels(seenLabels([...known, { labels }]));
    },
    save: (task) => toSavedAdapter(task, structure, loaded, { causal: true, prompt }),
    restore: (name, saved, where) => {
      const restored = fromSavedAnswers(name, saved, loaded, where);
      if (restored.task.labels.length === 0)
        throw new CheckpointError(`${where}: nothing beside the adapter says which labels it answers with`);
      const theirs = describeAnswers(restored.structure, restored.prompt ?? DEFAULT_PROMPT);
      checkAlike(describeAnswers(structure, prompt), theirs, where);
      return restored.task;
    },
    predict: (tasks, examples, options) => answer(model, tasks, examples, options),
    findEntities: () => refuse("findEntities"),
    [Symbol.asyncDispose]: () => disposeAll([learner, model]),
  };
}

/** @throws ConfigError, CheckpointError for a backbone that cannot be used that way */
export async function openLessons(settings: LearnerSettings, loaded: LoadedBackbone): Promise<Lessons> {
  if (settings.head.kind === "none") return await answerLessons(settings, loaded);
  const kinds = { sentence: sentenceLessons, word: wordLessons };
  return kinds[settings.level](settings, loaded);
}
