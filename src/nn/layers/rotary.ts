// Dimensions: N = B·T rows, h heads, d head width.
import { float32, type HostTensor } from "../../core/tensor.ts";
import * as op from "../../graph/ops.ts";
import { multiplyDims } from "../../graph/shape.ts";
import type { Value } from "../../graph/types.ts";

/** How frequencies are changed for texts longer than the model was first trained on. */
export type RotaryScaling =
  /** Positions are divided by the factor (Chen et al. 2023). */
  | { readonly kind: "linear"; readonly factor: number }
  /** Low frequencies are divided, high ones stay, those in between are mixed (Llama 3.1). */
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalPositions: number;
    }
  /** The same by a ramp over the elements, and scores are made steeper (YaRN: Peng et al. 2023). */
  | {
      readonly kind: "yarn";
      readonly factor: number;
      readonly fastRotations: number;
      readonly slowRotations: number;
      readonly originalPositions: number;
      readonly truncate: boolean;
      readonly attentionFactor: number;
    }
  /** A divisor of its own for every frequency (LongRoPE: Ding et al. 2024). */
  | { readonly kind: "longrope"; readonly factors: readonly number[]; readonly attentionFactor: number };

/** Rotary position embeddings (Su et al. 2021), halves of a head's first `width` elements rotated against each other. */
export interface Rotary {
  readonly theta: number;
  /** Elements of each head that are rotated; even, at most the head's width. */
  readonly width: number;
  readonly scaling?: RotaryScaling;
}

type Kind = RotaryScaling["kind"];
type OfKind<K extends Kind> = Extract<RotaryScaling, { readonly kind: K }>;

/** YaRN's ramp: the element at which a frequency turns that often within the original length. */
function yarnElement(rotations: number, width: number, theta: number, positions: number): number {
  return (width * Math.log(positions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
}

/** frequencies (width / 2) → scaled ones; float32 throughout, as torch's. */
const scalings: {
  readonly [K in Kind]: (frequencies: Float32Array, scaling: OfKind<K>, rotary: Rotary) => Float32Array;
} = {
  linear: (frequencies, { factor }) => frequencies.map((frequency) => frequency / factor),
  llama3: (frequencies, scaling) => {
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
    return frequencies.map((frequency) => {
      const wavelength = (2 * Math.PI) / frequency;
      if (wavelength < originalPositions / high) return frequency;
      if (wavelength > originalPositions / low) return frequency / factor;
      const smooth = (originalPositions / wavelength - low) / (high - low);
      return ((1 - smooth) * frequency) / factor + smooth * frequency;
    });
  },
  yarn: (frequencies, scaling, { width, theta }) => {
    const { factor, fastRotations, slowRotations, originalPositions, truncate } = scaling;
    const at = (rotations: number) => yarnElement(rotations, width, theta, originalPositions);
    const [first, last] = [at(fastRotations), at(slowRotations)];
    const low = Math.max(truncate ? Math.floor(first) : first, 0);
    const end = Math.min(truncate ? Math.ceil(last) : last, width - 1);
    const high = end === low ? end + 0.001 : end;
    return frequencies.map((frequency, i) => {
      const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
      return (frequency / factor) * ramp + frequency * (1 - ramp);
    });
  },
  longrope: (frequencies, { factors }) => frequencies.map((frequency, i) => frequency / (factors[i] ?? 1)),
};

function scaled<K extends Kind>(
  frequencies: Float32Array,
  scaling: OfKind<K> & { readonly kind: K },
  rotary: Rotary,
): Float32Array {
  return scalings[scaling.kind](frequencies, scaling, rotary);
}

/**
 * What element i and its partner i + width/2 turn by at every position: θ^(−2i/width) (Su et al. 2021, eq. 34, in the
 * halves' order of Hugging Face), scaled. Rounded to float32 at each step, as torch does, so that long texts get the
 * same angles.
 * @returns (width / 2)
 */
export function rotaryFrequencies(rotary: Rotary): Float32Array {
  const { theta, width, scaling } = rotary;
  const plain = Float32Array.from({ length: width / 2 }, (_, i) => {
    const period = Math.fround(theta ** Math.fround((2 * i) / width));
    return Math.fround(1 / period);
  });
  return scaling === undefined ? plain : scaled(plain, scaling, rotary);
}

/** What cosines and sines are multiplied with. */
function attentionFactor({ scaling }: Rotary): number {
  return scaling?.kind === "yarn" || scaling?.kind === "longrope" ? scaling.attentionFactor : 1;
}

/** The angle per position of every element of a head, and the sign of its partner's sine; what does not turn has 0. */
function rotaryTables(rotary: Rotary, headWidth: number): readonly [HostTensor, HostTensor] {
  const [angles, signs] = [new Float32Array(headWidth), new Float32Array(headWidth)];
  const half = rotary.width / 2;
  rotaryFrequencies(rotary).forEach((angle, i) => {
    angles.fill(angle, i, i + 1).fill(angle, i + half, i + half + 1);
    signs.fill(-1, i, i + 1).fill(1, i + half, i + half + 1);
  });
  return [float32(angles, [headWidth]), float32(signs, [headWidth])];
}

/** Turns rows of heads by their positions. (N, h·d) → (N, h·d) for any number of heads h. */
export type Rotation = (x: Value, heads: number) => Value;

/** Elements that do not turn are left alone, whatever the factor: it multiplies those that turn. */
function factorTable(rotary: Rotary, headWidth: number): HostTensor {
  const values = new Float32Array(headWidth).fill(1).fill(attentionFactor(rotary), 0, rotary.width);
  return float32(values, [headWidth]);
}

/** x·cos + partner(x)·sin, at the positions of a batch; the identity without rotary positions. */
export function rotation(rotary: Rotary | undefined, headWidth: number, positionIds: Value): Rotation {
  if (rotary === undefined) return (x) => x;
  const [angles, signs] = rotaryTables(rotary, headWidth);
  const rows = multiplyDims(positionIds.shape);
  const positions = op.reshape(op.cast(positionIds, "float32"), [rows, 1, 1]);
  const turned = op.mul(positions, op.constant(angles)); // (N, 1, d)
  const factors = op.constant(factorTable(rotary, headWidth));
  const steeper = (x: Value) => (attentionFactor(rotary) === 1 ? x : op.mul(x, factors));
  const cos = steeper(op.cos(turned)); // (N, 1, d)
  const sin = steeper(op.mul(op.sin(turned), op.constant(signs))); // (N, 1, d)
  const half = rotary.width / 2;
  const bounds: readonly (readonly [number, number])[] = [
    [half, rotary.width],
    [0, half],
    ...(rotary.width < headWidth ? [[rotary.width, headWidth] as const] : []),
  ];
  return (x, heads) => {
    const perHead = op.reshape(x, [rows, heads, headWidth]); // (N, h, d)
    const partner = op.concat(
      bounds.map(([start, end]) => op.slice(perHead, -1, start, end)),
      -1,
    ); // (N, h, d)
    const result = op.add(op.mul(perHead, cos), op.mul(partner, sin)); // (N, h, d)
    return op.reshape(result, [rows, heads * headWidth]);
  };
}

/** The cosines and sines of the first half of each head's turned elements, at the positions of a batch: (N, width / 2). */
export function rotaryTurns(
  rotary: Rotary,
  positionIds: Value,
): { readonly cos: Value; readonly sin: Value } {
  const rows = multiplyDims(positionIds.shape);
  const positions = op.reshape(op.cast(positionIds, "float32"), [rows, 1]);
  const frequencies = op.constant(float32(rotaryFrequencies(rotary), [rotary.width / 2]));
  const angles = op.mul(positions, frequencies); // (N, width / 2)
  const factor = attentionFactor(rotary);
  const steeper = (x: Value) => (factor === 1 ? x : op.mul(x, factor));
  return { cos: steeper(op.cos(angles)), sin: steeper(op.sin(angles)) };
}

/** Each rotation once, however many layers share it. */
export function rotations(headWidth: number, positionIds: Value): (rotary: Rotary | undefined) => Rotation {
  const known = new Map<Rotary | undefined, Rotation>();
  return (rotary) => {
    const found = known.get(rotary) ?? rotation(rotary, headWidth, positionIds);
    known.set(rotary, found);
    return found;
  };
}
