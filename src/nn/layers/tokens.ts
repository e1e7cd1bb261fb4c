/** What every network is fed, and what it gives. Dimensions: B batch, T tokens, D width. */
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { MASKED } from "./layers.ts";

/** The token inputs of a network, each int64 (B, T). */
export interface TokenInputs {
  readonly inputIds: Value;
  readonly attentionMask: Value;
  readonly tokenTypeIds: Value;
  readonly positionIds: Value;
}

export function declareTokenInputs(): TokenInputs {
  const tokens = (name: string) => op.input(name, "int64", ["B", "T"]);
  return {
    inputIds: tokens("input_ids"),
    attentionMask: tokens("attention_mask"),
    tokenTypeIds: tokens("token_type_ids"),
    positionIds: tokens("position_ids"),
  };
}

export interface HiddenStates {
  /** hidden[0]: the embeddings; hidden[i]: the output of layer i; each (B·T, D). */
  readonly hidden: readonly Value[];
  readonly last: Value;
}

/** What the lower layers gave for the same tokens, where a network is built from some layer on. */
export interface Trunk {
  readonly layers: number;
  /** (B·T, D) */
  readonly state: Value;
}

/** Zero where the mask is 1, MASKED where it is 0; of any shape. Added to attention scores. */
export function hide(mask: Value): Value {
  const present = op.cast(mask, "float32");
  return op.mul(op.sub(op.scalar(1, present), present), MASKED);
}
