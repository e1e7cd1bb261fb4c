/**
 * Texts of many requests, answered together: a bounded queue, out of which batches go to the engine. A batch takes texts of
 * like length that are asked alike, up to a budget of tokens.
 */
import { EngineError } from "../../core/errors.ts";
import type { Text } from "../../model/teachable.ts";
import { RequestError } from "../engine/errors.ts";

/** Two batches are with the engine: the next one is there when the one before ends. */
const BATCHES_UNDER_WAY = 2;

/** Texts of one batch at most: the engine makes one pass of them. */
const BATCH_TEXTS = 32;

/** What a pass costs besides its tokens, in tokens. */
const PASS_TOKENS = 64;

/** A text as a request has it. */
export type AskedText = Text;

const wordOrMark = /[\p{L}\p{N}]+|\S/gu;

/** Tokens of a text as they are reckoned without reading it: a word or a mark is one, or six characters are; two special ones. */
export function reckonTokens(text: AskedText): number {
  const whole = typeof text === "string" ? text : `${text.text} ${text.textPair ?? ""}`;
  return 2 + Math.max(whole.match(wordOrMark)?.length ?? 0, Math.ceil(whole.length / 6));
}

/** Texts that are asked in the same way of the same store share a batch. */
export interface Kind<A> {
  readonly key: string;
  readonly run: (texts: readonly AskedText[]) => Promise<readonly A[]>;
}

interface Waiting<A> {
  readonly settle: (answer: Promise<A>) => void;
  readonly text: AskedText;
  readonly tokens: number;
  readonly since: number;
  readonly isDropped: () => boolean;
}

export interface BatcherOptions {
  readonly queuedTexts: number;
  readonly batchTokens: number;
  readonly onBatch?: (batch: { readonly texts: number; readonly tokens: number }) => void;
  readonly onQueued?: (seconds: number) => void;
}

/**
 * Divides texts, the shortest first, into batches that cost least: a batch of n texts costs a pass and n times its longest
 * text. c(j) = min over i of c(i) + pass + (j − i) · tokens(j − 1).
 * @returns where the batch with a text of that place begins and ends
 */
export function cheapestBatch(
  tokens: readonly number[],
  place: number,
  batchTokens: number,
): readonly [start: number, end: number] {
  const costs = [0];
  const starts = [0];
  for (const [last, longest] of tokens.entries()) {
    let best = { start: last, cost: Number.POSITIVE_INFINITY };
    for (let start = last; start >= 0 && last - start < BATCH_TEXTS; start--) {
      const computed = (last + 1 - start) * longest;
      if (computed > batchTokens && start < last) break;
      const cost = (costs[start] ?? 0) + PASS_TOKENS + computed;
      if (cost < best.cost) best = { start, cost };
    }
    costs.push(best.cost);
    starts.push(best.start);
  }
  let end = tokens.length;
  while ((starts[end] ?? 0) > place) end = starts[end] ?? 0;
  return [starts[end] ?? 0, end];
}

/** The queue of one kind. */
class Line<A> {
  private waiting: Waiting<A>[] = [];
  private readonly run: Kind<A>["run"];

  constructor(run: Kind<A>["run"]) {
    this.run = run;
  }

  add(one: Waiting<A>): void {
    this.waiting.push(one);
  }

  /** Lets go of texts that nobody waits for any more. @returns how many those were, and since when the first one waits */
  head(): { readonly dropped: number; readonly since: number | undefined } {
    const kept = this.waiting.findIndex(({ isDropped }) => !isDropped());
    const { length } = this.waiting.splice(0, kept < 0 ? this.waiting.length : kept);
    return { dropped: length, since: this.waiting[0]?.since };
  }

  /**
   * The next batch: all that wait are divided by length so that computing them costs least, and the batch is taken that has the
   * text that has waited longest.
   */
  take(batchTokens: number): readonly Waiting<A>[] {
    const { waiting } = this;
    const [first] = waiting;
    if (first === undefined) return [];
    const byLength = waiting.toSorted((a, b) => a.tokens - b.tokens);
    const [start, end] = cheapestBatch(
      byLength.map(({ tokens }) => tokens),
      byLength.indexOf(first),
      batchTokens,
    );
    const taken = new Set(byLength.slice(start, end));
    this.waiting = waiting.filter((each) => !taken.has(each));
    return [...taken];
  }

  async answer(batch: readonly Waiting<A>[]): Promise<void> {
    try {
      const answers = await this.run(batch.map(({ text }) => text));
      batch.forEach(({ settle }, i) => {
        settle(given(answers[i]));
      });
    } catch (error) {
      // A text that cannot be answered is refused alone: those of other requests go on without it.
      for (const { text, settle } of batch) {
        const alone = batch.length === 1 ? Promise.reject(error) : this.alone(text);
        settle(alone);
        await alone.catch(() => {});
      }
    }
  }

  private async alone(text: AskedText): Promise<A> {
    const [answer] = await this.run([text]);
    return await given(answer);
  }
}

function given<A>(answer: A | undefined): Promise<A> {
  return answer === undefined
    ? Promise.reject(new EngineError("the engine gave fewer answers than there were texts"))
    : Promise.resolve(answer);
}

export class Batcher<A> {
  private readonly options: BatcherOptions;
  private readonly lines = new Map<string, Line<A>>();
  private underWay = 0;
  private queued = 0;
  /** Texts a second, a running mean, to say when it is worth asking again. */
  private rate = 0;

  constructor(options: BatcherOptions) {
    this.options = options;
  }

  get queuedTexts(): number {
    return this.queued;
  }

  /**
   * @returns an answer a text
   * @throws RequestError 429 where too many texts are waiting
   */
  async ask({ key, run }: Kind<A>, texts: readonly AskedText[], signal: AbortSignal): Promise<A[]> {
    signal.throwIfAborted();
    if (this.queued > 0 && this.queued + texts.length > this.options.queuedTexts)
      throw new RequestError(429, "OVERLOADED", `${this.queued} texts are waiting to be answered`, {
        hint: "Ask again later; Retry-After says when.",
        retryAfter: Math.max(1, Math.min(60, Math.ceil(this.queued / Math.max(this.rate, 1)))),
      });
    const line = this.lines.get(key) ?? new Line<A>(run);
    this.lines.set(key, line);
    this.queued += texts.length;
    const since = performance.now();
    let left = false;
    const isDropped = () => left || signal.aborted;
    const answers = texts.map(
      (text) =>
        new Promise<A>((settle) => line.add({ text, tokens: reckonTokens(text), since, isDropped, settle })),
    );
    const all = Promise.all(answers);
    this.pump();
    try {
      return await orAborted(all, signal);
    } finally {
      // What is still waiting of a request that failed need not be answered.
      left = true;
    }
  }

  private pump(): void {
    while (this.underWay < BATCHES_UNDER_WAY) {
      const line = this.next();
      if (line === undefined) return;
      const taken = line.take(this.options.batchTokens);
      this.queued -= taken.length;
      const batch = taken.filter(({ isDropped }) => !isDropped());
      this.underWay++;
      void this.measured(line, batch).finally(() => {
        this.underWay--;
        this.pump();
      });
    }
  }

  private async measured(line: Line<A>, batch: readonly Waiting<A>[]): Promise<void> {
    const start = performance.now();
    for (const { since } of batch) this.options.onQueued?.((start - since) / 1000);
    this.options.onBatch?.({
      texts: batch.length,
      tokens: batch.reduce((sum, { tokens }) => sum + tokens, 0),
    });
    await line.answer(batch);
    const seconds = Math.max((performance.now() - start) / 1000, 1e-3);
    this.rate = 0.8 * this.rate + (0.2 * batch.length) / seconds;
  }

  /** The line whose first text has waited longest. */
  private next(): Line<A> | undefined {
    let best: { readonly line: Line<A>; readonly since: number } | undefined;
    for (const [key, line] of this.lines) {
      const { dropped, since } = line.head();
      this.queued -= dropped;
      if (since === undefined) this.lines.delete(key);
      else if (best === undefined || since < best.since) best = { line, since };
    }
    return best?.line;
  }
}

/** What a promise gives, unless its signal is aborted before. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
