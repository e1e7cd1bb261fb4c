// Dimensions: n texts, C classes, T tasks.
/** Routing where a model answers in words: the router chooses whose adapter answers. */
import { softmax } from "../../core/softmax.ts";
import { encodeAll } from "../../data/encoding/tokenizer.ts";
import type { Continuation } from "../../generate/greedy.ts";
import { type Answer, checkTop, DEFAULT_TOP, rankLabels } from "../answers.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { GenerativeBackbone } from "../passes/generativeBackbone.ts";
import type { AnswerOptions, RoutedItem } from "../taskTypes/taskType.ts";
import { asExamples } from "../taskTypes/textClassification.ts";
import { type EncodedPrompts, type GeneratedAnswer, spokenAnswer } from "../taskTypes/textGeneration.ts";
import type { LearnedTask, Posterior } from "../types.ts";
import { ClassRouting, noHeads, type TextRouter, type TextRoutingSettings, toItem } from "./classRouting.ts";
import { firstPassOnly } from "./fusion.ts";
import { type Decision, decide } from "./routedPrediction.ts";
import type { RoutedTask } from "./taskRouting.ts";

/** Texts of one task, and what the router says of its labels. */
interface Asked {
  readonly learned: LearnedTask;
  readonly labels: readonly string[];
  /** Of the texts among all that are asked. */
  readonly own: readonly number[];
  /** Log-posteriors of the labels, one list a text. */
  readonly priors: readonly Float64Array[];
}

/** A label that the router does not know is as likely as the least of those that it does. */
function logWeights(
  { values, classes }: Posterior,
  known: readonly string[],
  labels: readonly string[],
  row: number,
): Float64Array {
  const own = values.subarray(row * classes, (row + 1) * classes);
  const least = own.reduce((a, b) => Math.min(a, b), 0);
  const places = new Map(known.map((label, place) => [label, place]));
  return Float64Array.from(labels, (label) => own[places.get(label) ?? -1] ?? least);
}

/** The router's pass, and the chosen adapter's. */
const PASSES_OF_AN_ANSWER = 2;

/**
 * The router chooses the task of each text; among that task's labels the router's and the adapter's probabilities are multiplied. The two read
 * the text in different ways, frozen features and words that were trained, and each is wrong where the other seldom is. What
 * is said freely is the adapter's alone.
 */
export class GenerationRouting extends ClassRouting<EncodedPrompts> {
  private readonly model: GenerativeBackbone;

  constructor(model: GenerativeBackbone, reader: AdaptedBackbone, settings: TextRoutingSettings) {
    super(reader, settings, {
      encodings: ({ items }) => reader.encode(asExamples(items)).encodings,
      kept: ({ kept }) => kept,
    });
    this.model = model;
  }

  async route(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    encoded: EncodedPrompts,
    { top = DEFAULT_TOP, signal }: AnswerOptions = {},
  ): Promise<readonly RoutedItem[]> {
    checkTop(top);
    const posterior = await routing.router.posterior(await this.features(encoded, signal), signal);
    const chosen = await this.decide(routing, tasks, posterior);
    const speakers = chosen.map(({ task }) => (task === undefined ? undefined : tasks[task]?.learned));
    const said =
      (await encoded.kept?.continuations.speak(this.model, encoded.prompts, speakers, signal)) ?? [];
    const items: RoutedItem[] = chosen.map((decision, i) => ({
      // A task of statistics alone has no adapter that could answer: the router's own label stands.
      answer: toItem(decision, 1, tasks, encoded, i).answer,
      task: decision.task,
      first: toItem(decision, 1, tasks, encoded, i).answer,
    }));
    for (const [index, { learned, labels }] of tasks.entries()) {
      const own = [...items.keys()].filter((i) => chosen[i]?.task === index);
      if (own.length === 0 || learned === undefined) continue;
      const priors = own.map((i) => logWeights(posterior, routing.router.labels, labels, i));
      const asked = { learned, labels, own, priors };
      const answers =
        encoded.kept === undefined
          ? await this.score(asked, encoded, top, signal)
          : await this.generate(asked, encoded, said, signal);
      own.forEach((i, row) => {
        items[i] = { ...items[i]!, answer: answers[row]! };
      });
    }
    return items;
  }

  /** Answers by label scoring: one pass a text. */
  private async score(
    { learned, labels, own, priors }: Asked,
    { items, prompts }: EncodedPrompts,
    top: number,
    signal?: AbortSignal,
  ): Promise<readonly Answer[]> {
    const asked = own.map((i) => prompts[i]!);
    const scores = await this.model.scores(learned, asked, labels, signal);
    const texts = asExamples(items);
    return own.map((i, row) => {
      const both = scores[row]!.map((value, label) => value + priors[row]![label]!);
      const ranked = rankLabels(labels, softmax(both), top);
      const [best = { label: "", score: 0 }] = ranked;
      const { text } = texts[i]!;
      return { text, ...best, task: learned.name, top: ranked, passes: PASSES_OF_AN_ANSWER };
    });
  }

  /** The same of a test set that is asked again, with what the adapter said freely: mostly that is the likeliest label. */
  private async generate(
    { learned, labels, own, priors }: Asked,
    { items, prompts }: EncodedPrompts,
    said: readonly (Continuation | undefined)[],
    signal?: AbortSignal,
  ): Promise<readonly GeneratedAnswer[]> {
    const asked = own.map((i) => prompts[i]!);
    const continued = own.map((i) => said[i]!);
    const best = await this.model.likeliest(learned, asked, continued, labels, signal, priors);
    const texts = asExamples(items);
    return own.map((i, row) => {
      const answer = { text: texts[i]!.text, label: best[row] ?? "", task: learned.name };
      return spokenAnswer(this.model.tokenizer, answer, continued[row]!, PASSES_OF_AN_ANSWER);
    });
  }

  /**
   * The router learned from texts inside the prompt; a text that is given whole is what stands there already, so nothing is
   * put around it.
   */
  async chooseTasks(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    texts: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly (number | undefined)[]> {
    const { tokenizer, maxTextTokens } = this.reader;
    const { encodings } = encodeAll(
      tokenizer,
      texts.map((text) => ({ text })),
      maxTextTokens,
      "prompt",
    );
    const { features } = this.settings;
    const rows = await this.reader.routingFeatures(encodings, features, signal);
    const posterior = await routing.router.posterior(rows, signal);
    return (await this.decide(routing, tasks, posterior)).map(({ task }) => task);
  }

  private async decide(
    { router }: TextRouter,
    tasks: readonly RoutedTask[],
    posterior: Posterior,
  ): Promise<readonly Decision[]> {
    return await decide(posterior, tasks, { router, fusion: firstPassOnly }, noHeads, 1);
  }
}
