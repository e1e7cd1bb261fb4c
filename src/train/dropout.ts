import type { Rng } from "../core/random.ts";
import { type HostTensor, sizeOf, uint8 } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import { evaluateDim, type Shape } from "../graph/shape.ts";
import type { Dropout } from "../nn/layers/layers.ts";

/** One dropout of a training graph: an input of zeros and ones, filled anew at every step. */
export interface DropoutMask {
  readonly input: string;
  readonly site: string;
  readonly shape: Shape;
  readonly rate: number;
}

/**
 * Dropout (Srivastava et al. 2014) whose masks are fed as bytes: x · mask / (1 − rate). A mask is a function
 * of (seed, task, step, site), so that a resumed run and any runtime draw the same; the engine's own Dropout
 * keeps its generator inside the session, where nothing can reproduce it.
 */
export function maskedDropout(): { readonly dropout: Dropout; readonly masks: readonly DropoutMask[] } {
  const masks: DropoutMask[] = [];
  const uses = new Map<string, number>();
  const dropout: Dropout = (place, x, rate) => {
    if (rate === 0) return x;
    const use = (uses.get(place) ?? 0) + 1;
    uses.set(place, use);
    // A layer may read two inputs, each with a mask of its own.
    const site = use === 1 ? place : `${place}#${use}`;
    const name = `dropout/${site}`;
    masks.push({ input: name, site, shape: x.shape, rate });
    const kept = op.cast(op.input(name, "uint8", x.shape), x.dtype);
    // The mask is scaled, not what it is laid on: forward and backward read the same.
    return op.mul(x, op.mul(kept, 1 / (1 - rate)));
  };
  return { dropout, masks };
}

/** 1 where 16 random bits say that an element is kept; by the sign of a difference, for no branch foresees chance. */
function isKept(bits: number, threshold: number): number {
  return ((bits - threshold) >> 31) + 1;
}

/** Fills bytes with 1 where kept; 16 random bits an element, so the rate is exact to 1/65536. */
function fillMask(bytes: Uint8Array, rate: number, rng: Rng): void {
  const threshold = Math.round(rate * 65536);
  const even = bytes.length & ~1;
  for (let i = 0; i < even; i += 2) {
    const bits = rng.uint32();
    bytes[i] = isKept(bits & 0xffff, threshold);
    bytes[i + 1] = isKept(bits >>> 16, threshold);
  }
  if (even < bytes.length) bytes[even] = isKept(rng.uint32() & 0xffff, threshold);
}

/** Bytes of masks, by their inputs. */
export type MaskRoom = Map<string, Uint8Array>;

function bytesOf(room: MaskRoom, input: string, size: number): Uint8Array {
  const known = room.get(input);
  if (known !== undefined && known.length >= size) return known.subarray(0, size);
  const bytes = new Uint8Array(size);
  room.set(input, bytes);
  return bytes;
}

/**
 * The masks of one step.
 * @param rng the step's own generator
 * @param room where the masks lie, until the next step draws its own there: new bytes at every step keep the garbage collector busy
 */
export function dropoutFeeds(
  masks: readonly DropoutMask[],
  bindings: ReadonlyMap<string, number>,
  rng: Rng,
  room: MaskRoom = new Map(),
): Record<string, HostTensor> {
  const feeds: Record<string, HostTensor> = {};
  for (const { input, site, shape, rate } of masks) {
    const dims = shape.map((dim) => evaluateDim(dim, bindings));
    const bytes = bytesOf(room, input, sizeOf(dims));
    fillMask(bytes, rate, rng.fork(site));
    feeds[input] = uint8(bytes, dims);
  }
  return feeds;
}
