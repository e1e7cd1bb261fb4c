// Dimensions: B batch, K key-value heads, C capacity in tokens, T new tokens, d head width.
import { EngineError } from "../core/errors.ts";
import { float32, type HostTensor, int64 } from "../core/tensor.ts";
import { PAST_POSITIONS, pastInput } from "../nn/decoders/decoder.ts";
import { type DecoderConfig, hasWindow } from "../nn/decoders/decoderConfig.ts";
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

/**
 * The keys and values of everything read so far, with room for what is to come. The room is fed too, masked: nothing
 * is copied as the text grows, and every step has the same shapes.
 */
export class KeyValueCache {
  private readonly config: DecoderConfig;
  private readonly batch: number;
  private readonly capacity: number;
  private readonly mask: BigInt64Array;
  /** The place of each token in its text; fed where a layer has a window. */
  private readonly positions: BigInt64Array;
  /** Real tokens of each text so far. */
  private readonly lengths: BigInt64Array;
  private readonly buffers: ReadonlyMap<string, Float32Array>;
  private used = 0;

  /** @param capacity tokens, padding included, that may be appended */
  constructor(config: DecoderConfig, batch: number, capacity: number) {
    this.config = config;
    this.batch = batch;
    // The graph wants a past of at least one place, be it masked.
    this.capacity = Math.max(1, capacity);
    this.mask = new BigInt64Array(batch * this.capacity);
    this.positions = new BigInt64Array(batch * this.capacity);
    this.lengths = new BigInt64Array(batch);
    const size = batch * config.keyValueHeads * this.capacity * config.headWidth;
    const buffers = new Map<string, Float32Array>();
    for (let layer = 0; layer < config.layers; layer++)
      for (const part of parts) buffers.set(pastInput(layer, part), new Float32Array(size));
    this.buffers = buffers;
  }

  /** The inputs of the next tokens. They show the cache itself: run before appending again. */
  feeds(): Record<string, HostTensor> {
    const { keyValueHeads, headWidth } = this.config;
    const dims = [this.batch, keyValueHeads, this.capacity, headWidth];
    const places = [this.batch, this.capacity];
    const feeds: Record<string, HostTensor> = { past_mask: int64(this.mask, places) };
    if (hasWindow(this.config)) feeds[PAST_POSITIONS] = int64(this.positions, places);
    for (const [name, buffer] of this.buffers) feeds[name] = float32(buffer, dims);
    return feeds;
  }

  /**
   * Takes in what a run computed of its new tokens.
   * @param mask (B, T) of those tokens: padding stays hidden for good
   * @throws EngineError if there is no room left
   */
  append(outputs: Tensors, mask: HostTensor<"int64">): void {
    const { keyValueHeads, headWidth, layers } = this.config;
    const [, tokens = 0] = mask.dims;
    if (this.used + tokens > this.capacity)
      throw new EngineError(`the cache holds ${this.capacity} tokens; ${this.used} + ${tokens} do not fit`);
    for (let b = 0; b < this.batch; b++)
      this.place(b, mask.data.subarray(b * tokens, (b + 1) * tokens), b * this.capacity + this.used);
    const length = tokens * headWidth;
    for (let layer = 0; layer < layers; layer++)
      for (const part of parts) {
        const rows = rowsOf(outputs, newKeyValue(layer, part));
        const buffer = this.buffers.get(pastInput(layer, part));
        for (let head = 0; head < this.batch * keyValueHeads; head++)
          buffer?.set(
            rows.subarray(head * length, (head + 1) * length),
            (head * this.capacity + this.used) * headWidth,
          );
      }
    this.used += tokens;
  }

  /** Marks new tokens of a text, and counts the real ones. */
  private place(text: number, mask: BigInt64Array, at: number): void {
    this.mask.set(mask, at);
    let next = this.lengths[text] ?? 0n;
    for (const [t, bit] of mask.entries()) if (bit === 1n) this.positions[at + t] = next++;
    this.lengths[text] = next;
  }
}
