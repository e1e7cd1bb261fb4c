// Dimensions: B batch, T tokens, K poolings.
/**
 * What a model is fed beside tokens and mask, computed from the mask: for models that leave this program, and whose callers know of
 * neither positions nor pooling. `tokenFeeds` and `poolingWeights` (features.ts) make the same on the host.
 */
import { float32 } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import type { Value } from "../graph/types.ts";
import type { TokenLayout, TokenPooling } from "./features.ts";
import type { TokenInputs } from "./layers/tokens.ts";

/** What a mask says of each token. */
interface MaskedTokens {
  /** (B, T): 1 on a text's tokens, 0 on padding. */
  readonly real: Value;
  /** (B, T): how many of the text's tokens stand up to here, this one included. */
  readonly counts: Value;
  /** (B, 1): how many there are. */
  readonly total: Value;
}

/** @param mask int64 (B, T) @param longest tokens that a text has at most */
function countTokens(mask: Value, longest: number): MaskedTokens {
  const real = op.cast(mask, "float32");
  const numbers = op.constant(
    float32(
      Float32Array.from({ length: longest }, (_, t) => t),
      [longest],
    ),
  );
  const places = op.slice(numbers, 0, 0, "T"); // (T)
  const later = op.greater(op.reshape(places, ["T", 1]), op.reshape(places, [1, "T"])); // (T, T)
  const upTo = op.where(later, op.scalar(0, real), op.scalar(1, real));
  return { real, counts: op.matmul(real, upTo), total: op.reduceSum(real, [1], true) };
}

/** Inputs of a model that only tokens and mask, and segments where it knows them, are fed to. */
export interface MaskedInputs extends TokenInputs {
  readonly tokens: MaskedTokens;
}

/**
 * @param longest tokens that a text has at most
 * @returns inputs of which `input_ids`, `attention_mask` and, of a model that knows segments, `token_type_ids` are fed
 */
export function declareMaskedInputs(layout: TokenLayout, longest: number): MaskedInputs {
  const input = (name: string) => op.input(name, "int64", ["B", "T"]);
  const [inputIds, attentionMask] = [input("input_ids"), input("attention_mask")];
  const tokens = countTokens(attentionMask, longest);
  const { firstPosition: first, typeVocabularySize } = layout;
  const positions = op.where(
    op.greater(tokens.real, 0),
    op.add(tokens.counts, first - 1),
    op.scalar(Math.max(0, first - 1), tokens.counts),
  );
  return {
    inputIds,
    attentionMask,
    tokenTypeIds: typeVocabularySize > 1 ? input("token_type_ids") : op.mul(inputIds, 0),
    positionIds: op.cast(positions, "int64"),
    tokens,
  };
}

type MaskedPooling = (tokens: MaskedTokens) => Value;

/** 1 where the count is that number, on a text's own tokens. */
function at({ real, counts }: MaskedTokens, count: Value): Value {
  const here = op.where(op.equal(counts, count), op.scalar(1, real), op.scalar(0, real));
  return op.mul(here, real);
}

const first: MaskedPooling = (tokens) => at(tokens, op.scalar(1, tokens.counts));
const mean: MaskedPooling = ({ real, total }) => op.div(real, total);

/** Each (B, T), as the rows of `poolingWeights` are: a text's tokens stand together, without virtual ones. */
const poolings: { readonly [P in TokenPooling]: MaskedPooling } = {
  cls: first,
  mean,
  last: (tokens) => at(tokens, tokens.total),
  max: mean,
  "mean-sqrt-len": ({ real, total }) => op.div(real, op.sqrt(total)),
  "weighted-mean": ({ real, counts }) => {
    const own = op.mul(real, counts);
    return op.div(own, op.reduceSum(own, [1], true));
  },
  pooler: first,
  "peft-first": first,
  "peft-first-pooler": first,
};

/** @returns (B, K, T) */
export function maskedPoolingWeights(kinds: readonly TokenPooling[], { tokens }: MaskedInputs): Value {
  return op.concat(
    kinds.map((kind) => op.reshape(poolings[kind](tokens), ["B", 1, "T"])),
    1,
  );
}
