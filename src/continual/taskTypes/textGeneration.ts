/** A label in words a text: no head, the model's own language-modelling head answers. */

import type { AnswerRow, RoutedRow, UnseenRow } from "../../core/record.ts";
import { softmax } from "../../core/softmax.ts";
import { DEFAULT_PROMPT, labelText, normaliseAnswer, openTextIds } from "../../data/encoding/prompts.ts";
import type { Tokenizer } from "../../data/encoding/tokenizer.ts";
import type { Continuation } from "../../generate/greedy.ts";
import { answeredEncoding, answerTargets } from "../../generate/targets.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import { type Answer, checkTop, DEFAULT_TOP, type Prediction, rankLabels } from "../answers.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import { bestLabel, type GenerativeBackbone } from "../passes/generativeBackbone.ts";
import { KeptContinuations } from "../passes/keptContinuations.ts";
import type { FeatureRows, LearnedTask, LoadedBackbone } from "../types.ts";
import { describeAnswering, fromSavedAnswers, toSavedAdapter } from "./savedTask.ts";
import { labelledItems } from "./taskChecks.ts";
import type { TaskData } from "./taskTrainer.ts";
import type {
  AnsweredTests,
  AnswerOptions,
  ContinuedText,
  ContinueOptions,
  EncodedItems,
  EncodeOptions,
  EvaluationFigures,
  Item,
  TaskToLearn,
  TaskType,
} from "./taskType.ts";
import { asExamples, tasksInPlay } from "./textClassification.ts";
import { TextLabelling } from "./textLabelling.ts";
import { answerRow, countRight, goldOf, routedRow, shares } from "./textScores.ts";

export interface EncodedPrompts extends EncodedItems {
  readonly prompts: readonly (readonly number[])[];
  /** What tasks' adapters generate, where a test set is asked again. */
  readonly kept?: { readonly continuations: KeptContinuations; frozen?: FeatureRows };
}

/** A label, and where a test set is evaluated what the model generated of its own accord. */
export interface GeneratedAnswer extends Prediction {
  readonly generated?: string;
}

/** Labels of several tasks, each once, in the order in which they were first seen. */
export function seenLabels(tasks: readonly { readonly labels: readonly string[] }[]): readonly string[] {
  return [...new Set(tasks.flatMap(({ labels }) => labels))];
}

/** Whether a generated text is the label's words, stripped and in lower case. */
export function isExactMatch(generated: string, label: string): boolean {
  return normaliseAnswer(generated) === normaliseAnswer(labelText(label));
}

function generatedOf(answer: Answer | undefined): string {
  return answer !== undefined && "generated" in answer && typeof answer.generated === "string"
    ? answer.generated
    : "";
}

function countExactMatches(items: readonly Item[], answers: readonly Answer[]): number {
  return items.filter((item, i) => isExactMatch(generatedOf(answers[i]), goldOf(item) ?? "")).length;
}

/** An answer with what the model said of its own accord, by whose probability it is scored. */
export function spokenAnswer(
  tokenizer: Tokenizer,
  { text, label, task }: { readonly text: string; readonly label: string; readonly task: string },
  { ids, likelihood }: Continuation,
  passes: number,
): GeneratedAnswer {
  const score = Math.exp(likelihood?.logProbability ?? Number.NEGATIVE_INFINITY);
  return { text, label, score, task, top: [{ label, score }], passes, generated: tokenizer.decode(ids) };
}

/** What follows a text in the whole: tokens by themselves would lose the space before their first word. */
export function completionOf(
  tokenizer: Tokenizer,
  text: readonly number[],
  added: readonly number[],
): string {
  const [before, whole] = [tokenizer.decode(text), tokenizer.decode([...text, ...added])];
  return whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(added);
}

export class TextGeneration extends TextLabelling implements TaskType<EncodedPrompts> {
  readonly name = "text-generation";
  readonly trained: GenerativeBackbone;
  /** The same decoder, as sentence vectors are read from it. */
  readonly reader: AdaptedBackbone;
  private readonly loaded: LoadedBackbone;
  private readonly prompt: string;
  private expected = "";

  constructor(model: GenerativeBackbone, reader: AdaptedBackbone, loaded: LoadedBackbone, prompt: string) {
    super();
    this.trained = model;
    this.reader = reader;
    this.loaded = loaded;
    this.prompt = prompt;
  }

  expectLabels(labels: readonly string[]): void {
    const all = [...new Set(labels)];
    const key = JSON.stringify(all);
    if (key === this.expected) return;
    this.trained.expectLabels(all);
    this.expected = key;
  }

  encode(items: readonly Item[], { what, keep = false }: EncodeOptions = {}): EncodedPrompts {
    const { prompts, encodings, truncated } = this.trained.encode(asExamples(items), what);
    return {
      items,
      encodings,
      prompts,
      truncated,
      ...(keep && { kept: { continuations: new KeptContinuations() } }),
    };
  }

  /** The causal language-modelling loss on the answers' tokens alone. */
  trainingData(
    task: TaskToLearn,
    { prompts }: EncodedPrompts,
    validation: EncodedPrompts,
    _known: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<TaskData> {
    const { name, labels } = task;
    const train = labelledItems(task.train, `train of ${name}`);
    const asked = validation.prompts;
    const examples = prompts.map((prompt, i) => ({
      prompt,
      answer: this.trained.answer(train[i]?.label ?? ""),
    }));
    const accuracy = async (learned: LearnedTask): Promise<number> => {
      const scores = await this.trained.scores(learned, asked, labels, signal);
      const right = scores.filter((row, i) => bestLabel(row, labels) === goldOf(task.validation[i]!));
      return right.length / asked.length;
    };
    return Promise.resolve({
      name,
      labels,
      encodings: examples.map(answeredEncoding),
      targets: answerTargets(examples, this.trained.virtualTokens),
      describe: (index: number) => train[index]?.text ?? "",
      ...(asked.length > 0 && { validate: accuracy }),
    });
  }

  /**
   * By label scoring, one forward pass a text. With `only`, that task's adapter among its own labels; without, the newest
   * adapter among all labels: no answer compares several adapters. A score is the label's share of the probability that
   * the labels in play have together. Of a kept test set the label that the model generates is taken where it has more
   * than half of all probability, which is the same label.
   */
  async answer(
    known: readonly LearnedTask[],
    encoded: EncodedPrompts,
    { only, top = DEFAULT_TOP, signal }: AnswerOptions = {},
  ): Promise<readonly Answer[]> {
    checkTop(top);
    const inPlay = tasksInPlay(known, only);
    const adapter = inPlay.at(-1)!;
    const labels = seenLabels(inPlay);
    const owner = (label: string) => (inPlay.findLast((task) => task.labels.includes(label)) ?? adapter).name;
    const texts = asExamples(encoded.items);
    if (encoded.kept === undefined) {
      const scores = await this.trained.scores(adapter, encoded.prompts, labels, signal);
      return texts.map(({ text }, i) => {
        const ranked = rankLabels(labels, softmax(scores[i] ?? []), top);
        const [best = { label: "", score: 0 }] = ranked;
        return { text, ...best, task: owner(best.label), top: ranked, passes: 1 };
      });
    }
    const continued = await this.generated(adapter, encoded, signal);
    const best = await this.trained.likeliest(adapter, encoded.prompts, continued, labels, signal);
    return texts.map(({ text }, i) => {
      const label = best[i] ?? "";
      return spokenAnswer(this.trained.tokenizer, { text, label, task: owner(label) }, continued[i]!, 1);
    });
  }

  private async generated(
    task: LearnedTask,
    { prompts, kept }: EncodedPrompts,
    signal?: AbortSignal,
  ): Promise<readonly Continuation[]> {
    if (kept === undefined) return await this.trained.speak(task, prompts, signal);
    const asked = prompts.map(() => task);
    const said = await kept.continuations.speak(this.trained, prompts, asked, signal);
    return said.flatMap((each) => each ?? []);
  }

  score(answered: AnsweredTests): EvaluationFigures {
    const { tasks, routed } = answered;
    const labelScored = answerRow(answered, countRight);
    const exactMatch: AnswerRow = answerRow(answered, countExactMatches);
    return {
      type: "evaluated",
      ...labelScored,
      exactMatch,
      counted: tasks.map(({ test }) => test.length),
      passesPerExample: 1,
      ...(routed && { routed: this.routedRow(answered, routed) }),
    };
  }

  /** Routed prediction by label scoring, and what the chosen adapters said freely beside it. */
  private routedRow(answered: AnsweredTests, routed: NonNullable<AnsweredTests["routed"]>): RoutedRow {
    const answers = routed.map((items) => items.map(({ answer }) => answer));
    const correct = answered.tasks.map(({ test }, j) => countExactMatches(test, answers[j] ?? []));
    const counted = answered.tasks.map(({ test }) => test.length);
    return { ...routedRow(answered, routed), exactMatch: { accuracy: shares(correct, counted), correct } };
  }

  /**
   * How well a test set is answered before its task is learned, by label scoring: with the newest adapter, and with the
   * one that the task begins with.
   */
  async measureUnseen(
    known: readonly LearnedTask[],
    next: Pick<TaskToLearn, "labels"> & { readonly test: readonly Item[] },
    untrained: LearnedTask,
    signal?: AbortSignal,
  ): Promise<UnseenRow> {
    const { prompts } = this.encode(next.test, { what: "test of the next task" });
    const labels = seenLabels([...known, next]);
    const countBest = (scores: readonly Float64Array[], some: readonly string[]) => {
      const columns = some.map((label) => labels.indexOf(label));
      return next.test.filter((item, i) => {
        const row = Float64Array.from(columns, (column) => scores[i]?.[column] ?? Number.NaN);
        return bestLabel(row, some) === goldOf(item);
      }).length;
    };
    const counts = async (adapter: LearnedTask) => {
      const scores = await this.trained.scores(adapter, prompts, labels, signal);
      return { til: countBest(scores, next.labels), cil: countBest(scores, labels) };
    };
    const [after, before] = [await counts(known.at(-1) ?? untrained), await counts(untrained)];
    return {
      counted: next.test.length,
      til: { newest: after.til, untrained: before.til },
      cil: { newest: after.cil, untrained: before.cil },
    };
  }

  async continueTexts(
    tasks: readonly LearnedTask[],
    texts: readonly string[],
    { maxNewTokens, signal, onText }: ContinueOptions,
  ): Promise<readonly ContinuedText[]> {
    const { tokenizer } = this.trained;
    const ids = texts.map((text) => openTextIds(tokenizer, text));
    const textOf = (i: number, added: readonly number[]) => completionOf(tokenizer, ids[i]!, added);
    const onIds = onText && ((i: number, added: readonly number[]) => onText(i, textOf(i, added)));
    const continued = await this.trained.speakEach(tasks, ids, signal, maxNewTokens, onIds);
    return continued.map((added, i) => ({ completion: textOf(i, added.ids), tokens: added.ids.length }));
  }

  embed(items: readonly Item[], signal?: AbortSignal): Promise<FeatureRows> {
    return this.reader.frozenFeatures(this.reader.encode(asExamples(items)).encodings, signal);
  }

  save(learned: LearnedTask): SavedAdapter {
    return toSavedAdapter(learned, this.trained.structure, this.loaded, {
      causal: true,
      prompt: this.prompt,
    });
  }

  restore(name: string, saved: SavedAdapter, where: string): LearnedTask {
    return fromSavedAnswers(name, saved, this.loaded, where).task;
  }

  describe(): Readonly<Record<string, unknown>> {
    return describeAnswering(this.trained.structure, this.prompt);
  }

  describeSaved(saved: SavedAdapter): Readonly<Record<string, unknown>> {
    const { structure, prompt } = fromSavedAnswers("", saved, this.loaded, "the adapter");
    return describeAnswering(structure, prompt ?? DEFAULT_PROMPT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reader[Symbol.asyncDispose]();
    await this.trained[Symbol.asyncDispose]();
  }
}
