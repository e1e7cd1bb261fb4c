// Dimensions: B batch, K key-value heads, C capacity in tokens, T new tokens, d head width.
import { EngineError } from "../core/errors.ts";
import { type HostTensor, int64, zeros } from "../core/tensor.ts";
import { pastInput } from "../nn/decoders/cachedAttention.ts";
import type { DecoderConfig } from "../nn/decoders/decoderConfig.ts";
import type { Tensors } from "../runtime/types.ts";
import { newKeyValue } from "./graphs.ts";

const parts = ["key", "value"] as const;

function rowsOf(outputs: Tensors, name: string): Float32Array | Float64Array {
  const data = outputs[name]?.data;
  if (data instanceof Float32Array || data instanceof Float64Array) return data;
  throw new EngineError(
    `output "${name}": expected keys or values, got ${outputs[name]?.dtype ?? "nothing"}`,
  );
}

/** How many of each text's tokens are none of padding. @param mask (B, T) */
function countTokens({ data, dims: [batch = 0, tokens = 0] }: HostTensor<"int64">): number[] {
  return Array.from({ length: batch }, (_, b) =>
    data.subarray(b * tokens, (b + 1) * tokens).reduce((count, bit) => count + Number(bit), 0),
  );
}

/**
 * The keys and values of everything read so far, with room for what is to come: nothing is copied as texts grow, and
 * every step has the same shapes. Each text stands from the first place on, without padding.
 */
export class KeyValueCache {
  private readonly config: DecoderConfig;
  private readonly capacity: number;
  /** Tokens of each text so far. */
  private readonly lengths: number[];
  /** Each (B, K, C, d), with the names of what it feeds and of what it takes in. */
  private readonly buffers: readonly {
    readonly past: string;
    readonly added: string;
    readonly tensor: HostTensor<"float32">;
  }[];

  /** @param capacity tokens that a text may have */
  constructor(config: DecoderConfig, batch: number, capacity: number) {
    const { layers, keyValueHeads, headWidth } = config;
    this.config = config;
    // The graph wants a past of at least one place, be it empty.
    this.capacity = Math.max(1, capacity);
    this.lengths = new Array<number>(batch).fill(0);
    const dims = [batch, keyValueHeads, this.capacity, headWidth];
    this.buffers = Array.from({ length: layers }, (_, layer) =>
      parts.map((part) => ({
        past: pastInput(layer, part),
        added: newKeyValue(layer, part),
        tensor: zeros(dims),
      })),
    ).flat();
  }

  /**
   * The inputs of the next tokens. They show the cache itself: run before appending.
   * @param mask (B, T) of those tokens, padding behind them
   */
  feeds(mask: HostTensor<"int64">): Record<string, HostTensor> {
    const counts = countTokens(mask);
    const lengths = BigInt64Array.from(this.lengths, (length, b) => BigInt(length + (counts[b] ?? 0)));
    const past = this.buffers.map(({ past, tensor }) => [past, tensor] as const);
    return { lengths: int64(lengths, [lengths.length]), ...Object.fromEntries(past) };
  }

  /**
   * Takes in what a run computed of its new tokens.
   * @param mask (B, T) of those tokens, as it was told to `feeds`
   * @throws EngineError if there is no room left
   */
  append(outputs: Tensors, mask: HostTensor<"int64">): void {
    const counts = countTokens(mask);
    const longest = Math.max(...this.lengths.map((length, b) => length + (counts[b] ?? 0)));
    if (longest > this.capacity)
      throw new EngineError(`the cache holds texts of ${this.capacity} tokens, not of ${longest}`);
    const { keyValueHeads, headWidth } = this.config;
    const [, tokens = 0] = mask.dims;
    for (const { added, tensor } of this.buffers) {
      const rows = rowsOf(outputs, added); // (B, T, K·d)
      counts.forEach((count, b) => {
        for (let head = 0; head < keyValueHeads; head++)
          for (let t = 0; t < count; t++) {
            const from = ((b * tokens + t) * keyValueHeads + head) * headWidth;
            const place = (b * keyValueHeads + head) * this.capacity + (this.lengths[b] ?? 0) + t;
            tensor.data.set(rows.subarray(from, from + headWidth), place * headWidth);
          }
      });
    }
    counts.forEach((count, b) => {
      this.lengths[b] = (this.lengths[b] ?? 0) + count;
    });
  }
}
