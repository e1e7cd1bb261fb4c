import { int64 } from "../core/tensor.ts";
import type { Encoding } from "../data/encoding/tokenizer.ts";
import type { TrainingData } from "../train/trainer.ts";
import { answerFeeds, IGNORED_LABEL } from "./feeds.ts";

/** A prompt and the answer that is learned behind it. */
export interface AnsweredPrompt {
  readonly prompt: readonly number[];
  /** With its end token. */
  readonly answer: readonly number[];
}

/** Both together, as a text that the model reads. */
export function answeredEncoding({ prompt, answer }: AnsweredPrompt): Encoding {
  const ids = [...prompt, ...answer];
  return { ids, typeIds: ids.map(() => 0), truncated: false };
}

/**
 * What a batch of answered prompts is trained towards: the next token wherever that is part of an answer. Padding
 * stands on the right; on which side it stands changes no value, for a token's position counts real tokens.
 * @param virtualTokens that the adapter puts before every text
 */
export function answerTargets(
  examples: readonly AnsweredPrompt[],
  virtualTokens: number,
): TrainingData["targets"] {
  return ({ indices, length }) => {
    const tokens = length - virtualTokens;
    const labels = new BigInt64Array(indices.length * tokens).fill(IGNORED_LABEL);
    indices.forEach((index, row) => {
      const { prompt, answer } = examples[index]!;
      labels.set(BigInt64Array.from(answer, BigInt), row * tokens + prompt.length);
    });
    return answerFeeds(int64(labels, [indices.length, tokens]), virtualTokens);
  };
}
