// Dimensions: B batch, T tokens, D width.
/** What a trunk gave for texts, so that whatever lies above it can go on from there. */
import { float32, type HostTensor } from "../../core/tensor.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import { TRUNK_STATE } from "../../train/graphs.ts";
import type { BatchView } from "../../train/trainer.ts";

/** The trunk's states of a set of texts, each its own tokens without padding. */
export class TrunkRows {
  /** How many the trunk has. */
  readonly layers: number;
  private readonly width: number;
  /** Of each text, (its tokens, D). */
  private readonly states: readonly Float32Array[];

  private constructor(layers: number, width: number, states: readonly Float32Array[]) {
    this.layers = layers;
    this.width = width;
    this.states = states;
  }

  /**
   * @param lengths tokens of each text
   * @param values their states one below the other, (sum of lengths, D); absent: room for them, to be filled by {@link put}
   */
  static allocate(
    lengths: readonly number[],
    layers: number,
    width: number,
    values?: Float32Array,
  ): TrunkRows {
    const all = values ?? new Float32Array(lengths.reduce((sum, length) => sum + length, 0) * width);
    let next = 0;
    const states = lengths.map((length) => {
      const start = next;
      next += length * width;
      return all.subarray(start, next);
    });
    return new TrunkRows(layers, width, states);
  }

  /** Text `index`'s states, (its tokens, D). */
  of(index: number): Float32Array {
    return this.states[index]!;
  }

  /** Some of the texts, or a text several times: not a copy, what is put into it is put into this too. */
  pick(texts: readonly number[]): TrunkRows {
    return new TrunkRows(
      this.layers,
      this.width,
      texts.map((text) => this.of(text)),
    );
  }

  /** Takes in what a batch gave, (B·T, D). */
  put({ indices, length }: BatchView, state: Float32Array): void {
    for (const [row, index] of indices.entries()) {
      const own = this.of(index);
      const start = row * length * this.width;
      own.set(state.subarray(start, start + own.length));
    }
  }

  /** What a batch feeds: `trunk_state` (B·T, D), zeros at padding, which nothing reads. */
  feeds({ indices, length }: BatchView): Record<string, HostTensor<"float32">> {
    const { width } = this;
    const state = new Float32Array(indices.length * length * width);
    for (const [row, index] of indices.entries()) state.set(this.of(index), row * length * width);
    return { [TRUNK_STATE]: float32(state, [indices.length * length, width]) };
  }
}

/** Texts that two passes go over together. */
export interface TwoPassPart<E extends Encoding> {
  readonly encodings: readonly E[];
  /** The first pass fills it, the second goes on from it; absent where the second has nothing to go on from. */
  readonly trunk?: TrunkRows;
}

/**
 * Texts in their order, in parts whose states fit in memory; a text that does not is a part by itself.
 * @param mostBytes that the states of a part may take
 */
export function* twoPassParts<E extends Encoding>(
  encodings: readonly E[],
  layers: number,
  width: number,
  mostBytes: number,
): Generator<TwoPassPart<E>> {
  const mostTokens = mostBytes / (width * Float32Array.BYTES_PER_ELEMENT);
  const room = (part: readonly E[]): TwoPassPart<E> => {
    const lengths = part.map(({ ids }) => ids.length);
    return { encodings: part, trunk: TrunkRows.allocate(lengths, layers, width) };
  };
  let part: E[] = [];
  let tokens = 0;
  for (const encoding of encodings) {
    if (part.length > 0 && tokens + encoding.ids.length > mostTokens) {
      yield room(part);
      part = [];
      tokens = 0;
    }
    part.push(encoding);
    tokens += encoding.ids.length;
  }
  if (part.length > 0) yield room(part);
}
