// Dimensions: n sentences, T tokens of a sentence, C slots of a head.
/** A tag a word, from a head over every token: entities, task by task of their types. */
import { CheckpointError, ConfigError, DataError } from "../../core/errors.ts";
import { type Rng, shuffled } from "../../core/random.ts";
import type { WordEncoding } from "../../data/encoding/wordEncoding.ts";
import { OUTSIDE, type TaggedSentence, toIob2, typeOf } from "../../data/files/tags.ts";
import { maskTypes } from "../../data/wordStream.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import type { Answer, TaggedAnswer } from "../answers.ts";
import { isTagged } from "../answers.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { FeatureRows, LearnedTask, LoadedBackbone } from "../types.ts";
import { countEntities, type EntityCounts, poolCounts, scoreCounts, scoreEntities } from "./entityMetrics.ts";
import { describeHeaded, fromSavedAdapter, promptOf, toSavedAdapter } from "./savedTask.ts";
import { describeEntities, type SplitText, splitText } from "./splitText.ts";
import { checkNewTask, isTaggedSentence } from "./taskChecks.ts";
import type { TaskData } from "./taskTrainer.ts";
import type {
  AnsweredTests,
  AnswerOptions,
  EncodedItems,
  EncodeOptions,
  EvaluationFigures,
  Item,
  LabelledFigures,
  NewTask,
  PredictionLine,
  TaskToLearn,
  TaskType,
  TestedTask,
} from "./taskType.ts";
import { tasksInPlay } from "./textClassification.ts";
import { mean, meanPasses } from "./textScores.ts";
import {
  chooseTags,
  OutsideLogits,
  type OutsideRule,
  type SentenceLogits,
  tagsInPlay,
  type WordChoice,
} from "./wordPrediction.ts";
import { tokenTargets, wordSlots, wordTargets } from "./wordTargets.ts";

export interface EncodedSentences extends EncodedItems {
  readonly encodings: readonly WordEncoding[];
  readonly split: readonly SplitText[];
  readonly cutWords: number;
  /** By task whose adapter made them, where a test set is asked again. */
  readonly kept?: Map<LearnedTask, SentenceLogits>;
}

export interface WordTaskToLearn extends TaskToLearn {
  readonly types: readonly string[];
  readonly train: readonly TaggedSentence[];
  readonly validation: readonly TaggedSentence[];
}

/** @throws DataError naming the sentence (counted from 1) whose tags are none, or not as many as its words */
function checkSentences(sentences: readonly Item[], where: string): TaggedSentence[] {
  return sentences.map((item, i) => {
    const place = `${where}, sentence ${i + 1}`;
    if (!isTaggedSentence(item))
      throw new DataError(`${place}: has no tags, and this model tags words`, {
        hint: "Give sentences of { words, tags }, or learn with level: sentence.",
      });
    const { words, tags } = item;
    if (words.length !== tags.length)
      throw new DataError(`${place}: has ${words.length} words, but ${tags.length} tags`);
    return { words, tags: toIob2(tags, (word) => `${place}, word ${word + 1}`).tags };
  });
}

export function typesOf(labels: readonly string[]): readonly string[] {
  return [...new Set(labels.flatMap((label) => typeOf(label) ?? []))];
}

function tagged(items: readonly Item[]): readonly TaggedSentence[] {
  return items.filter(isTaggedSentence);
}

export class TokenClassification implements TaskType<EncodedSentences> {
  readonly name = "token-classification";
  readonly sharesTest = true;
  readonly trained: AdaptedBackbone;
  /** Whose `O` it is: every head's own, or the first task's for all. */
  readonly outside: OutsideRule;
  private readonly loaded: LoadedBackbone;
  /** By the first task, whose `O` later heads compete with. */
  private readonly outsideLogits = new WeakMap<LearnedTask, OutsideLogits>();

  constructor(model: AdaptedBackbone, loaded: LoadedBackbone, outside: OutsideRule) {
    this.trained = model;
    this.loaded = loaded;
    this.outside = outside;
  }

  check(task: NewTask, known: readonly Pick<LearnedTask, "name" | "labels">[]): WordTaskToLearn {
    checkNewTask(task, known);
    const { name } = task;
    const train = checkSentences(task.train, `task "${name}", train`);
    const validation = checkSentences(task.validation ?? [], `task "${name}", validation`);
    const found = train.flatMap(({ tags }) => tags.flatMap((tag) => typeOf(tag) ?? []));
    const types = [...new Set(task.types ?? (task.labels && typesOf(task.labels)) ?? found)];
    if (types.length === 0) throw new DataError(`task "${name}": has no entities to learn`);
    const empty = types.find((type) => !found.includes(type));
    if (empty !== undefined) throw new DataError(`task "${name}": has no training entity of "${empty}"`);
    const labels = types.flatMap((type) => [`B-${type}`, `I-${type}`]);
    const taken = known.flatMap((other) => other.labels).filter((label) => labels.includes(label));
    if (this.outside === "first" && taken.length > 0)
      throw new DataError(`task "${name}": these types were learned already: ${typesOf(taken).join(", ")}`, {
        hint: "Name the new ones alone with `types`, or learn with outside: own.",
      });
    return { name, types, labels, train: maskTypes(train, types), validation: maskTypes(validation, types) };
  }

  splitValidation(train: NewTask["train"], fraction: number, rng: Rng) {
    const order = shuffled([...train.keys()], rng);
    const typesIn = train.map((item) => (isTaggedSentence(item) ? typesOf(item.tags) : []));
    const left = new Map<string, number>();
    for (const type of typesIn.flat()) left.set(type, (left.get(type) ?? 0) + 1);
    const held = new Set<number>();
    for (const i of order.slice(0, Math.floor(fraction * train.length))) {
      const types = typesIn[i] ?? [];
      // The last sentence with a type is there to learn from.
      if (types.some((type) => left.get(type) === 1)) continue;
      for (const type of types) left.set(type, (left.get(type) ?? 0) - 1);
      held.add(i);
    }
    return {
      train: train.filter((_, i) => !held.has(i)),
      validation: train.filter((_, i) => held.has(i)),
    };
  }

  headLabels({ labels }: Pick<TaskToLearn, "labels">, known: readonly unknown[]): readonly string[] {
    return this.outside === "own" || known.length === 0 ? [OUTSIDE, ...labels] : labels;
  }

  ownLabels(labels: readonly string[]): readonly string[] {
    return labels.filter((label) => label !== OUTSIDE);
  }

  labelsOfClass(name: string): readonly string[] {
    return [`B-${name}`, `I-${name}`];
  }

  classNames(labels: readonly string[]): readonly string[] {
    return typesOf(labels);
  }

  expectLabels(): void {}

  encode(items: readonly Item[], { what, keep = false }: EncodeOptions = {}): EncodedSentences {
    const split = items.map(splitText);
    const encoded = this.trained.encodeWords(split, what);
    return { items, split, ...encoded, ...(keep && { kept: new Map() }) };
  }

  async trainingData(
    task: TaskToLearn,
    train: EncodedSentences,
    validation: EncodedSentences,
    known: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<TaskData> {
    const { name, labels } = task;
    const slots = wordSlots([{ labels }]);
    const targets = tagged(task.train).map(({ tags }, i) => tokenTargets(train.encodings[i]!, tags, slots));
    const outside = await this.outsideOf(known, train, signal);
    return {
      name,
      labels: this.headLabels(task, known),
      encodings: train.encodings,
      targets: wordTargets(targets, this.trained.virtualTokens, outside),
      describe: (index: number) => train.split[index]?.text ?? "",
      outsideLogits: outside !== undefined,
      ...(task.validation.length > 0 && {
        validate: (learned: LearnedTask) => this.validationF1(learned, task, validation, known, signal),
      }),
    };
  }

  /** Micro F1 of the task's own types on its validation sentences. */
  private async validationF1(
    learned: LearnedTask,
    task: TaskToLearn,
    validation: EncodedSentences,
    known: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<number> {
    const own = await this.trained.tokenLogits(learned, validation.encodings, signal);
    const outside = await this.outsideOf(known, validation, signal);
    const logits = outside === undefined ? [own] : [outside, own];
    const inPlay = tagsInPlay(
      outside === undefined ? [learned.labels] : [[OUTSIDE], learned.labels],
      this.outside,
    );
    const gold = tagged(task.validation).map(({ tags }) => tags);
    const chosen = chooseTags(validation.encodings, logits, inPlay);
    return scoreEntities(gold, tagsOf(chosen)).micro.f1;
  }

  /** The first task's `O` on the sentences, where later heads compete with it. */
  private outsideOf(
    [first]: readonly LearnedTask[],
    { split, encodings }: EncodedSentences,
    signal?: AbortSignal,
  ): Promise<SentenceLogits | undefined> {
    if (this.outside === "own" || first === undefined) return Promise.resolve(undefined);
    const logits = this.outsideLogits.get(first) ?? new OutsideLogits(this.trained, first);
    this.outsideLogits.set(first, logits);
    return logits.of(split, encodings, signal);
  }

  /** Logits of each sentence's tokens by each of the tasks. */
  async logits(
    tasks: readonly LearnedTask[],
    { encodings, kept }: EncodedSentences,
    signal?: AbortSignal,
  ): Promise<readonly SentenceLogits[]> {
    if (kept === undefined) return await this.trained.tokenLogitsOfTasks(tasks, encodings, signal);
    const missing = tasks.filter((task) => !kept.has(task));
    const logits = await this.trained.tokenLogitsOfTasks(missing, encodings, signal);
    for (const [i, task] of missing.entries()) kept.set(task, logits[i]!);
    return tasks.map((task) => kept.get(task)!);
  }

  /**
   * With `only`, the task's own types by its own adapter; without, all heads together. Tags of different tasks are
   * compared by log p(tag) − log p(O) of their own heads (`outside: own`), or the first task's `O` stands once beside all
   * other labels (`outside: first`), whose adapter then runs for every answer.
   */
  async answer(
    known: readonly LearnedTask[],
    encoded: EncodedSentences,
    { only, signal }: AnswerOptions = {},
  ): Promise<readonly Answer[]> {
    const running = this.running(known, only);
    const logits = await this.logits(running, encoded, signal);
    const alone = only !== undefined && running.length > 1;
    // Beside a task that answers alone, the first one lends its O and nothing else.
    const used = alone ? [logits[0]!.map(firstColumn), logits[1]!] : logits;
    const labels = running.map((task, i) => (alone && i === 0 ? [OUTSIDE] : task.labels));
    const choices = chooseTags(encoded.encodings, used, tagsInPlay(labels, this.outside));
    return this.describeAnswers(encoded, choices, this.trained.passesOf(running.length));
  }

  private running(known: readonly LearnedTask[], only: number | undefined): readonly LearnedTask[] {
    const inPlay = tasksInPlay(known, only);
    const [first = inPlay[0]!] = known;
    const bare = (this.outside === "own" ? inPlay : [first]).find(({ labels }) => labels[0] !== OUTSIDE);
    if (bare !== undefined)
      throw new CheckpointError(
        `task "${bare.name}": its head has no ${OUTSIDE} to tell words outside entities by`,
        {
          hint: "With outside: first only a stream's first task has it: open the run that this adapter belongs to.",
        },
      );
    if (this.outside === "own") return inPlay;
    return only === undefined || only === 0 ? inPlay : [first, ...inPlay];
  }

  describeAnswers(
    { split, encodings }: Pick<EncodedSentences, "split" | "encodings">,
    choices: readonly (readonly WordChoice[])[],
    passes: number | readonly number[],
  ): readonly TaggedAnswer[] {
    return split.map((each, i) => {
      const own = choices[i] ?? [];
      const { cutWords: unreadWords = 0 } = encodings[i] ?? {};
      return {
        text: each.text,
        entities: describeEntities(each, own),
        ...(unreadWords > 0 && { unreadWords }),
        passes: typeof passes === "number" ? passes : (passes[i] ?? 0),
        tags: own.map(({ tag }) => tag),
      };
    });
  }

  score({ tasks, til, cil, routed }: AnsweredTests): EvaluationFigures {
    // Types of tasks that are not learned yet are O in the latest task's test.
    const gold = goldTags(tasks.at(-1)?.test ?? []);
    const counts = (answers: readonly Answer[] | undefined) => countAnswers(gold, answers);
    const own = tasks.map(({ test, types = [] }, j) =>
      countAnswers(goldTags(maskTypes(tagged(test), types)), til[j]),
    );
    const passes = (answers: readonly Answer[] | undefined) => answers?.[0]?.passes ?? 0;
    const asked = routed?.[0];
    const first = asked?.flatMap((item) => item.first ?? []) ?? [];
    return {
      type: "words-evaluated",
      til: scoresOf(tasks, poolCounts(own), mean(til.map(passes))),
      cil: scoresOf(tasks, counts(cil[0]), passes(cil[0])),
      ...(asked && {
        routed: {
          ...scoresOf(
            tasks,
            counts(asked.map(({ answer }) => answer)),
            meanPasses(asked, (count) => this.trained.routedPassesOf(count)),
          ),
          firstPassMicroF1: scoreCounts(counts(first)).micro.f1,
        },
      }),
    };
  }

  measure(items: readonly Item[], answers: readonly Answer[]): LabelledFigures {
    const { micro, macro, perType } = scoreCounts(countEntities(goldTags(items), answeredTags(answers)));
    return { microF1: micro.f1, ...(macro && { macroF1: macro.f1 }), items: items.length, perType };
  }

  describePrediction(item: Item, answer: Answer, types?: readonly string[]): PredictionLine {
    const tags = isTaggedSentence(item) ? toIob2(item.tags, (word) => `word ${word + 1}`).tags : [];
    const choices = tags.map((tag) => ({ tag, probability: 1 }));
    const gold = describeEntities(splitText(item), choices).map(({ score: _, ...entity }) => entity);
    const goldEntities = gold.filter(({ type }) => types?.includes(type) ?? true);
    return { goldEntities, entities: isTagged(answer) ? answer.entities : [] };
  }

  embed(): Promise<FeatureRows> {
    throw new ConfigError("embed: this model tags words, and has no vector of a text", {
      hint: "Embed texts with a model of level: sentence.",
    });
  }

  save(learned: LearnedTask): SavedAdapter {
    return toSavedAdapter(learned, this.trained.structure, this.loaded, promptOf(this.trained));
  }

  restore(name: string, saved: SavedAdapter, where: string): LearnedTask {
    return fromSavedAdapter(name, saved, this.loaded, where, "word").task;
  }

  describe(): Readonly<Record<string, unknown>> {
    return describeHeaded(this.trained.structure, this.trained.prompt);
  }

  describeSaved(saved: SavedAdapter): Readonly<Record<string, unknown>> {
    const { structure, prompt } = fromSavedAdapter("", saved, this.loaded, "the adapter", "word");
    return describeHeaded(structure, prompt);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.trained[Symbol.asyncDispose]();
  }
}

function firstColumn({ rows, classes, values }: SentenceLogits[number]): SentenceLogits[number] {
  return {
    rows,
    classes: 1,
    values: Float32Array.from({ length: rows }, (_, token) => values[token * classes]!),
  };
}

function tagsOf(choices: readonly (readonly WordChoice[])[]): readonly (readonly string[])[] {
  return choices.map((words) => words.map(({ tag }) => tag));
}

function goldTags(items: readonly Item[]): readonly (readonly string[])[] {
  return items.map((item, i) => {
    if (isTaggedSentence(item))
      return toIob2(item.tags, (word) => `sentence ${i + 1}, word ${word + 1}`).tags;
    throw new DataError(`sentence ${i + 1}: has no tags, and this model tags words`, {
      hint: "Give sentences of { words, tags }.",
    });
  });
}

/** @param answers absent where the exact protocols' figures are known, and nothing was asked for them */
function countAnswers(
  gold: readonly (readonly string[])[],
  answers: readonly Answer[] | undefined,
): EntityCounts {
  return answers === undefined ? new Map() : countEntities(gold, answeredTags(answers));
}

function answeredTags(answers: readonly Answer[]): readonly (readonly string[])[] {
  return answers.map((answer) => (isTagged(answer) ? answer.tags : []));
}

function scoresOf(tasks: readonly TestedTask[], counts: EntityCounts, passesPerExample: number) {
  const { micro, macro, perType } = scoreCounts(counts);
  const countsOf = (types: readonly string[]) =>
    new Map([...counts].filter(([type]) => types.includes(type)));
  return {
    microF1: micro.f1,
    ...(macro !== undefined && { macroF1: macro.f1 }),
    perTask: tasks.map(({ types = [] }) => scoreCounts(countsOf(types)).micro.f1),
    perType,
    passesPerExample,
  };
}
