// Dimensions: B batch, T tokens, n virtual tokens before each text, M rows whose next token is asked for.
import { DataError } from "../core/errors.ts";
import { float32, type HostTensor, int64 } from "../core/tensor.ts";
import { LOGIT_ROWS } from "./graphs.ts";

/** A label that no loss is taken of, as in torch and transformers. */
export const IGNORED_LABEL = -100n;

/**
 * What a batch's labels feed into `buildCausalTrainingGraph`: the mean over the answer tokens.
 * @param labels (B, T), unshifted as transformers takes them: the token's own id where it is part of an answer, −100
 *   at prompt and padding. A text's first token follows nothing, so its label counts for nothing.
 * @param virtualTokens n, which the adapter puts before every text: rows count them too
 * @throws DataError if no token is an answer
 */
export function answerFeeds(labels: HostTensor<"int64">, virtualTokens = 0): Record<string, HostTensor> {
  const [batch = 0, tokens = 0] = labels.dims;
  const rows: bigint[] = [];
  const ids: bigint[] = [];
  for (let b = 0; b < batch; b++)
    // Behind virtual tokens the first token of a text follows the last of them, as under peft.
    for (let t = virtualTokens === 0 ? 1 : 0; t < tokens; t++) {
      const label = labels.data[b * tokens + t]!;
      if (label === IGNORED_LABEL) continue;
      rows.push(BigInt(b * (virtualTokens + tokens) + virtualTokens + t - 1));
      ids.push(label);
    }
  const count = rows.length;
  if (count === 0)
    throw new DataError("a batch has no answer tokens to learn from", {
      hint: "The prompt fills the whole length, or the label's text has no tokens.",
    });
  return {
    [LOGIT_ROWS]: int64(BigInt64Array.from(rows), [count]),
    answer_ids: int64(BigInt64Array.from(ids), [count]),
    answer_weights: float32(new Float32Array(count).fill(1 / count), [count]),
  };
}

/** The row of each text's last real token, which tells what comes after the text. @param mask (B, T) */
export function lastTokenRows(mask: HostTensor<"int64">): Record<string, HostTensor> {
  const [batch = 0, tokens = 0] = mask.dims;
  const rows = BigInt64Array.from({ length: batch }, (_, b) => {
    const last = mask.data.subarray(b * tokens, (b + 1) * tokens).lastIndexOf(1n);
    return BigInt(b * tokens + Math.max(0, last));
  });
  return { [LOGIT_ROWS]: int64(rows, [batch]) };
}
