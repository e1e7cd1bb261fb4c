// Dimensions: B batch, K key-value heads, C capacity in tokens, T new tokens, d head width.
import { EngineError } from "../core/errors.ts";
import { type HostTensor, int64, zeros } from "../core/tensor.ts";
import { pastInput } from "../nn/decoders/cachedAttention.ts";
import type { DecoderConfig } from "../nn/decoders/decoderConfig.ts";
import type { Tensors } from "../runtime/types.ts";
import { NEW_KEY_VALUES } from "./graphs.ts";

const parts = ["key", "value"] as const;

function rowsOf(outputs: Tensors): Float32Array | Float64Array {
  const data = outputs[NEW_KEY_VALUES]?.data;
  if (data instanceof Float32Array || data instanceof Float64Array) return data;
  throw new EngineError(
    `output "${NEW_KEY_VALUES}": expected keys and values, got ${outputs[NEW_KEY_VALUES]?.dtype ?? "nothing"}`,
  );
}

/** How many of each text's tokens are none of padding. @param mask (B, T) */
function countTokens({ data, dims: [batch = 0, tokens = 0] }: HostTensor<"int64">): number[] {
  return Array.from({ length: batch }, (_, b) =>
    data.subarray(b * tokens, (b + 1) * tokens).reduce((count, bit) => count + Number(bit), 0),
  );
}

/**
 * The keys and values of everything read so far, with room for what is to come: it stays where it is as texts grow,
 * and every step has the same shapes. Each text stands from the first place on, without padding.
 */
export class KeyValueCache {
  private readonly config: DecoderConfig;
  private readonly capacity: number;
  /** Tokens of each text so far. */
  private readonly lengths: number[];
  /** Of each layer its keys and its values, (B, K, C, d), by what they are fed as. */
  private readonly buffers: ReadonlyMap<string, HostTensor<"float32">>;

  /** @param capacity tokens that a text may have */
  constructor(config: DecoderConfig, batch: number, capacity: number) {
    const { layers, keyValueHeads, headWidth } = config;
    this.config = config;
    // The graph wants a past of at least one place, be it empty.
    this.capacity = Math.max(1, capacity);
    this.lengths = new Array<number>(batch).fill(0);
    const dims = [batch, keyValueHeads, this.capacity, headWidth];
    const buffers = new Map<string, HostTensor<"float32">>();
    for (let layer = 0; layer < layers; layer++)
      for (const part of parts) buffers.set(pastInput(layer, part), zeros(dims));
    this.buffers = buffers;
  }

  /**
   * The inputs of the next tokens. They show the cache itself: run before appending.
   * @param mask (B, T) of those tokens, padding behind them
   */
  feeds(mask: HostTensor<"int64">): Record<string, HostTensor> {
    const counts = countTokens(mask);
    const lengths = BigInt64Array.from(this.lengths, (length, b) => BigInt(length + (counts[b] ?? 0)));
    return { lengths: int64(lengths, [lengths.length]), ...Object.fromEntries(this.buffers) };
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
    const [batch = 0, tokens = 0] = mask.dims;
    const rows = rowsOf(outputs); // (B, T, L·2·K·d)
    const rowLength = rows.length / (batch * tokens);
    counts.forEach((count, b) => {
      const start = this.lengths[b] ?? 0;
      for (let t = 0; t < count; t++) {
        let from = (b * tokens + t) * rowLength;
        for (const { data } of this.buffers.values())
          for (let head = 0; head < keyValueHeads; head++, from += headWidth) {
            const place = (b * keyValueHeads + head) * this.capacity + start + t;
            data.set(rows.subarray(from, from + headWidth), place * headWidth);
          }
      }
      this.lengths[b] = start + count;
    });
  }
}
