import { DataError } from "../../core/errors.ts";
import { OpenedOnce } from "../../core/openedOnce.ts";
import { int64 } from "../../core/tensor.ts";
import { encodeAnswers, encodePrompt, type PromptTemplate } from "../../data/encoding/prompts.ts";
import { type Encoding, encodeEach, type Tokenizer } from "../../data/encoding/tokenizer.ts";
import type { Example } from "../../data/files/types.ts";
import {
  buildCausalTrainingGraph,
  buildMixedContinuationGraph,
  type CausalStructure,
} from "../../generate/graphs.ts";
import {
  type CausalModel,
  type Continuation,
  type GreedyOptions,
  generateGreedy,
  openCausalModel,
} from "../../generate/greedy.ts";
import { openScoringModel, type ScoringModel, scoreAnswers } from "../../generate/scoring.ts";
import { buildTrie } from "../../generate/trie.ts";
import type { Graph } from "../../graph/types.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import type { CompileOptions, Executable, Runtime } from "../../runtime/types.ts";
import type { TrainingGraph } from "../../train/graphs.ts";
import { TASK_OF } from "../../train/mixedGraph.ts";
import { parameterFeeds } from "../../train/trainer.ts";
import type { LearnedTask } from "../types.ts";
import { TaskStacks } from "./taskStack.ts";
import type { TrainedModel } from "./trainedModel.ts";

/** Tokens that an answer may have at least, as the original benchmark generates. */
const LEAST_NEW_TOKENS = 10;

/** A little more than half, as a natural logarithm: rounding may not make it less. */
const SURE = Math.log(0.501);

/** The likeliest label; the first of equals. @param row natural logarithms, one a label */
export function bestLabel(row: Float64Array, labels: readonly string[]): string | undefined {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return labels[best];
}

/** The tokens of texts as prompts, in their order. */
export interface EncodedPrompts {
  readonly prompts: readonly (readonly number[])[];
  readonly encodings: readonly Encoding[];
  /** How many texts were cut. */
  readonly truncated: number;
}

export interface GenerativeBackboneOptions {
  readonly structure: CausalStructure;
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly template: PromptTemplate;
  /** Every label that may be an answer, each once; the longest decides how many tokens are kept free for answers. */
  readonly labels: readonly string[];
  /** The token that ends an answer. */
  readonly endId: number;
  /** Tokens that end a generated text, `endId` among them. */
  readonly stopIds: readonly number[];
  /** Tokens of a prompt with its answer, special tokens included; longer texts are cut inside the prompt. */
  readonly maxLength: number;
  readonly threads?: number;
  /** Whether nothing else computes beside its steps and passes, so that the engine's threads may spin between products. */
  readonly alone?: boolean;
}

/**
 * A frozen decoder that answers with a label's words. One graph continues texts and one scores answers, for every
 * task: its adapter is fed.
 */
export class GenerativeBackbone implements TrainedModel, AsyncDisposable {
  readonly structure: CausalStructure;
  readonly tokenizer: Tokenizer;
  private readonly options: GenerativeBackboneOptions;
  private answers: ReadonlyMap<string, readonly number[]> = new Map();
  private readonly causal: OpenedOnce<CausalModel>;
  /** Opened where several adapters speak in one batch. */
  private readonly mixed: OpenedOnce<CausalModel>;
  private readonly stacks = new TaskStacks();
  private readonly scoring: OpenedOnce<ScoringModel>;

  /** @throws DataError if a label cannot be an answer, or two have the same words */
  constructor(options: GenerativeBackboneOptions) {
    this.options = options;
    this.structure = options.structure;
    this.tokenizer = options.tokenizer;
    this.expectLabels(options.labels);
    const { structure, runtime } = options;
    this.causal = new OpenedOnce(() => openCausalModel(structure, runtime, this.compileOptions));
    this.mixed = new OpenedOnce(() =>
      openCausalModel(structure, runtime, this.compileOptions, buildMixedContinuationGraph),
    );
    this.scoring = new OpenedOnce(() => openScoringModel(structure, runtime, this.compileOptions));
  }

  /**
   * Puts other labels in the place of those that may be answers so far: where tasks come one by one. A longer label
   * leaves less room for texts.
   * @param labels every label that may be an answer, each once
   * @throws DataError if a label cannot be an answer, or two have the same words; nothing has changed then
   */
  expectLabels(labels: readonly string[]): void {
    const { tokenizer, template, endId } = this.options;
    this.answers = encodeAnswers(tokenizer, template, labels, endId);
  }

  /** Tokens generated at most: enough for the longest label with its end token. */
  get maxNewTokens(): number {
    return Math.max(LEAST_NEW_TOKENS, ...[...this.answers.values()].map(({ length }) => length));
  }

  /** Positions that the adapter puts before every text. */
  get virtualTokens(): number {
    return adapterMethod(this.structure.adapter).virtualTokens;
  }

  /**
   * @param what names the texts in messages
   * @throws ConfigError if the prompt's own words leave no room for a text
   * @throws DataError naming the text (counted from 1) that cannot be put into the prompt
   */
  encode(examples: readonly Example[], what = "text"): EncodedPrompts {
    const { maxLength, template } = this.options;
    const total = Math.min(maxLength, this.structure.backbone.maxTokens - this.virtualTokens);
    const room = total - this.maxNewTokens;
    const encode = (example: Example) => encodePrompt(this.tokenizer, template, example, room);
    const { encodings, truncated } = encodeEach(examples, encode, what);
    const prompts = encodings.map(({ ids }) => ids);
    return {
      prompts,
      encodings: encodings.map((prompt) => ({ ...prompt, typeIds: prompt.ids.map(() => 0) })),
      truncated,
    };
  }

  /** A label's tokens, its end token last. @throws DataError if it is none of the labels */
  answer(label: string): readonly number[] {
    const found = this.answers.get(label);
    if (found === undefined) throw new DataError(`label "${label}" is none that this model was told of`);
    return found;
  }

  private get compileOptions(): CompileOptions {
    const { threads, alone = false } = this.options;
    return { ...(threads !== undefined && { threads }), ...(alone && { spin: true }) };
  }

  compile(graph: Graph, often = false): Promise<Executable> {
    const { spin = false, ...options } = this.compileOptions;
    return this.options.runtime.compile(graph, { ...options, ...(often && spin && { spin }) });
  }

  trainingGraph(backboneDropout: boolean): TrainingGraph {
    return buildCausalTrainingGraph(this.structure, backboneDropout);
  }

  /**
   * How likely each label is as an answer, through a task's adapter: one forward pass a text.
   * @returns for each prompt the natural logarithms of the labels' probabilities, in the labels' order
   */
  async scores(
    task: LearnedTask,
    prompts: readonly (readonly number[])[],
    labels: readonly string[],
    signal?: AbortSignal,
  ): Promise<Float64Array[]> {
    const trie = buildTrie(labels.map((label) => this.answer(label)));
    return scoreAnswers(await this.scoring.get(), prompts, trie, {
      parameters: parameterFeeds(task),
      ...(signal && { signal }),
    });
  }

  /**
   * The likeliest label as an answer to each prompt, through a task's adapter: what `scores` finds, mostly without it.
   * Answers exclude each other, so one that has more than half of all probability is the likeliest; only where what
   * the model said is no such answer are all labels scored.
   * @param said what `speak` found with the same adapter
   * @param priors of each prompt: log-weights of the labels, added to what the adapter gives them
   */
  async likeliest(
    task: LearnedTask,
    prompts: readonly (readonly number[])[],
    said: readonly Continuation[],
    labels: readonly string[],
    signal?: AbortSignal,
    priors?: readonly ArrayLike<number>[],
  ): Promise<readonly (string | undefined)[]> {
    const byTokens = new Map(labels.map((label) => [this.answer(label).join(), label]));
    const settled = said.map(({ ids, likelihood }, i) => {
      if (likelihood === undefined || likelihood.logProbability < SURE) return undefined;
      const label = byTokens.get([...ids, likelihood.end].join());
      const prior = priors?.[i];
      // What is the likeliest in both is the likeliest in their product.
      return prior === undefined || label === bestLabel(Float64Array.from(prior), labels) ? label : undefined;
    });
    const open = [...prompts.keys()].filter((i) => settled[i] === undefined);
    if (open.length === 0) return settled;
    const scores = await this.scores(
      task,
      open.map((i) => prompts[i] ?? []),
      labels,
      signal,
    );
    open.forEach((i, row) => {
      const prior = priors?.[i];
      const own = scores[row] ?? new Float64Array();
      settled[i] = bestLabel(
        prior === undefined ? own : own.map((value, label) => value + prior[label]!),
        labels,
      );
    });
    return settled;
  }

  /** What the model says of its own accord, through a task's adapter: one text a prompt. */
  async generate(
    task: LearnedTask,
    prompts: readonly (readonly number[])[],
    signal?: AbortSignal,
  ): Promise<string[]> {
    return (await this.speak(task, prompts, signal)).map(({ ids }) => this.tokenizer.decode(ids));
  }

  /** The same as tokens, with how likely they are. */
  async speak(
    task: LearnedTask,
    prompts: readonly (readonly number[])[],
    signal?: AbortSignal,
    maxNewTokens = this.maxNewTokens,
    onIds?: GreedyOptions["onIds"],
  ): Promise<readonly Continuation[]> {
    return generateGreedy(await this.causal.get(), prompts, {
      maxNewTokens,
      onIds,
      stopIds: this.options.stopIds,
      parameters: parameterFeeds(task),
      likelihoods: true,
      ...(signal && { signal }),
    });
  }

  /**
   * As `speak`, each prompt through its own task's adapter. Prompts of different tasks share batches.
   * @param tasks one a prompt
   */
  async speakEach(
    tasks: readonly LearnedTask[],
    prompts: readonly (readonly number[])[],
    signal?: AbortSignal,
    maxNewTokens = this.maxNewTokens,
    onIds?: GreedyOptions["onIds"],
  ): Promise<readonly Continuation[]> {
    const distinct = [...new Set(tasks)];
    const [only] = distinct;
    if (only === undefined) return [];
    if (distinct.length === 1) return await this.speak(only, prompts, signal, maxNewTokens, onIds);
    const { parameters, slots } = this.stacks.holding(distinct, distinct);
    return generateGreedy(await this.mixed.get(), prompts, {
      maxNewTokens,
      onIds,
      stopIds: this.options.stopIds,
      parameters,
      perBatch: (indices) => ({
        [TASK_OF]: int64(
          BigInt64Array.from(indices, (index) => BigInt(slots.get(tasks[index]!) ?? 0)),
          [indices.length],
        ),
      }),
      likelihoods: true,
      ...(signal && { signal }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.causal[Symbol.asyncDispose]();
    await this.mixed[Symbol.asyncDispose]();
    await this.scoring[Symbol.asyncDispose]();
  }
}
