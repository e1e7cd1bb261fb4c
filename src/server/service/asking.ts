/** Answers of stores: texts of many requests in batches, by the thread that answers. */
import { findTask, type Prediction, type TaggedText } from "../../continual/answers.ts";
import { AccreteError } from "../../core/errors.ts";
import type { Completion } from "../../model/continualModel.ts";
import type { Engine } from "../engine/engine.ts";
import { RequestError } from "../engine/errors.ts";
import type { AskOptions, Snapshot } from "../engine/protocol.ts";
import { type AskedText, Batcher, type Kind } from "./batcher.ts";
import type { Limits } from "./limits.ts";
import type { Metrics } from "./metrics.ts";

type Answer = Prediction | TaggedText | Float32Array;

/** A store, or with a task one of its tasks. */
export interface Model {
  readonly store: string;
  readonly task?: string;
}

function isPrediction(answer: Answer): answer is Prediction {
  return "label" in answer;
}

function isTaggedText(answer: Answer): answer is TaggedText {
  return "entities" in answer;
}

/** @throws RequestError naming the nearest where the store has no such task */
export function requireTask({ store, tasks }: Snapshot, task: string | undefined): void {
  if (task === undefined) return;
  try {
    findTask(tasks, task);
  } catch (error) {
    if (!(error instanceof AccreteError)) throw error;
    throw new RequestError(404, "NO_SUCH_TASK", `store "${store}": ${error.message}`, {
      hint: error.hint ?? "",
    });
  }
}

/** @throws RequestError 409 where the store answers otherwise */
function requireKind({ store, taskType, level }: Snapshot, kind: "labels" | "entities" | "words"): void {
  const does = {
    labels: level === "sentence",
    entities: level === "word",
    words: taskType === "text-generation",
  };
  if (does[kind]) return;
  const what = { labels: "gives texts no label", entities: "tags no words", words: "generates no text" };
  throw new RequestError(409, "WRONG_KIND", `store "${store}" ${what[kind]}: it does ${taskType}`, {
    hint: level === "word" ? "POST /tag finds entities." : "POST /predict gives texts a label.",
  });
}

export interface AskingOptions {
  readonly reader: Engine;
  /** Opens a store where it is not open. */
  readonly open: (store: string) => Promise<Snapshot>;
  readonly limits: Limits;
  readonly metrics: Pick<Metrics, "batchTexts" | "batchTokens" | "queueTime">;
}

export class Asking {
  private readonly options: AskingOptions;
  private readonly batcher: Batcher<Answer>;
  private generating = 0;

  constructor(options: AskingOptions) {
    this.options = options;
    const { limits, metrics } = options;
    this.batcher = new Batcher({
      queuedTexts: limits.queuedTexts,
      batchTokens: limits.batchTokens,
      onBatch: ({ texts, tokens }) => {
        metrics.batchTexts.observe(texts);
        metrics.batchTokens.observe(tokens);
      },
      onQueued: (seconds) => metrics.queueTime.observe(seconds),
    });
  }

  get queuedTexts(): number {
    return this.batcher.queuedTexts;
  }

  private async ask(
    call: "predict" | "tag" | "embed",
    snapshot: Snapshot,
    texts: readonly AskedText[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<Answer[]> {
    requireTask(snapshot, options.task);
    const { store } = snapshot;
    const { reader } = this.options;
    const kind: Kind<Answer> = {
      key: JSON.stringify([call, store, options]),
      run: (batch) =>
        call === "embed"
          ? reader.call(call, { store, texts: batch })
          : reader.call(call, { store, texts: batch, options }),
    };
    return await this.batcher.ask(kind, texts, signal);
  }

  async predict(
    store: string,
    texts: readonly AskedText[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<Prediction[]> {
    const snapshot = await this.options.open(store);
    requireKind(snapshot, "labels");
    return (await this.ask("predict", snapshot, texts, options, signal)).filter(isPrediction);
  }

  async tag(
    store: string,
    texts: readonly string[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<TaggedText[]> {
    const snapshot = await this.options.open(store);
    requireKind(snapshot, "entities");
    return (await this.ask("tag", snapshot, texts, options, signal)).filter(isTaggedText);
  }

  async embed(store: string, texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
    const answers = await this.ask("embed", await this.options.open(store), texts, {}, signal);
    return answers.filter((answer) => answer instanceof Float32Array);
  }

  async generate(
    { store, task }: Model,
    prompts: readonly string[],
    maxNewTokens: number,
    signal: AbortSignal,
    onText: (prompt: number, text: string) => void = () => {},
  ): Promise<Completion[]> {
    const { open, limits, reader } = this.options;
    requireKind(await open(store), "words");
    if (this.generating > 0 && this.generating + prompts.length > limits.queuedPrompts)
      throw new RequestError(429, "OVERLOADED", `${this.generating} texts are being continued`, {
        hint: "Ask again later; Retry-After says when.",
        retryAfter: 5,
      });
    this.generating += prompts.length;
    try {
      return await reader.call(
        "generate",
        { store, prompts, maxNewTokens, ...(task !== undefined && { task }) },
        {
          signal,
          onEvent: (event) => {
            if (event.type === "generated") onText(event.prompt, event.text);
          },
        },
      );
    } finally {
      this.generating -= prompts.length;
    }
  }
}
