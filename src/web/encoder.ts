// Dimensions: n texts, B of a batch, T tokens, F routing features.
/** The exported encoder: from texts to what routers read. */
import type { FeatureRows } from "../continual/types.ts";
import { asFloat32 } from "../core/tensor.ts";
import { collate, planEvaluationBatches } from "../data/encoding/batching.ts";
import { encodePrompted, promptTemplate } from "../data/encoding/prompts.ts";
import { type Encoding, encodeEach, type Tokenizer } from "../data/encoding/tokenizer.ts";
import { nextTick } from "../portable/nextTick.ts";
import type { Executable } from "../runtime/types.ts";

/** Texts of one pass: few, so that a page stays alive between passes. */
const BATCH = 8;

export interface EncoderOptions {
  readonly model: Executable;
  readonly tokenizer: Tokenizer;
  /** Tokens that a text may have. */
  readonly maxTokens: number;
  /** What texts are put into. */
  readonly prompt?: string | undefined;
  /** F */
  readonly width: number;
}

/** Holds memory of the engine: dispose of it. */
export class Encoder implements AsyncDisposable {
  private readonly options: EncoderOptions;

  constructor(options: EncoderOptions) {
    this.options = options;
  }

  private encode(texts: readonly string[]): readonly Encoding[] {
    const { tokenizer, maxTokens, prompt } = this.options;
    const examples = texts.map((text) => ({ text }));
    const template = prompt === undefined ? undefined : promptTemplate(prompt);
    const encode = (example: { readonly text: string }) =>
      template === undefined
        ? tokenizer.encode(example, maxTokens)
        : encodePrompted(tokenizer, template, example, maxTokens);
    return encodeEach(examples, encode, "text").encodings;
  }

  /** @returns (n, F), each layer's part of length 1, in the order of the texts */
  async features(texts: readonly string[], signal?: AbortSignal): Promise<FeatureRows> {
    const { model, tokenizer, width } = this.options;
    const encodings = this.encode(texts);
    const values = new Float32Array(texts.length * width);
    for (const indices of planEvaluationBatches(
      encodings.map(({ ids }) => ids.length),
      BATCH,
    )) {
      signal?.throwIfAborted();
      const batch = collate(
        indices.map((index) => encodings[index]!),
        tokenizer.padId,
      );
      const outputs = await model.run({
        input_ids: batch.inputIds,
        attention_mask: batch.attentionMask,
        token_type_ids: batch.tokenTypeIds,
      });
      const { data } = asFloat32(outputs.features, "features");
      indices.forEach((index, row) => {
        values.set(data.subarray(row * width, (row + 1) * width), index * width);
      });
      await nextTick();
    }
    return { rows: texts.length, width, values };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.options.model[Symbol.asyncDispose]();
  }
}
