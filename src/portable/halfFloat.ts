/** Half-precision numbers as bits: IEEE binary16 ("float16") and the upper half of a float32 ("bfloat16"). */

const floatView = new Float32Array(1);
const bitsView = new Uint32Array(floatView.buffer);

function float32Bits(value: number): number {
  floatView[0] = value;
  return bitsView[0]!;
}

function float32FromBits(bits: number): number {
  bitsView[0] = bits;
  return floatView[0]!;
}

/** Exact: every half is a float32. */
export function halfToFloat32(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Shifts right, rounding to the nearest integer and ties to the even one. */
function shiftRounding(value: number, shift: number): number {
  const kept = value >>> shift;
  const rest = value & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return rest > tie || (rest === tie && (kept & 1) === 1) ? kept + 1 : kept;
}

/** Rounds to the nearest half, ties to even; from 65520 upwards to infinity, as the standard asks. */
export function float32ToHalf(value: number): number {
  const bits = float32Bits(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  // A carry out of the fraction raises the exponent, and out of the largest finite half gives infinity.
  if (magnitude >= 0x38800000) return sign | shiftRounding(magnitude - 0x38000000, 13);
  const shift = 126 - (magnitude >>> 23);
  // Below half of the smallest subnormal, 2⁻²⁵, everything rounds to zero.
  if (shift > 24) return sign;
  return sign | shiftRounding((magnitude & 0x7fffff) | 0x800000, shift);
}

export function widenHalf(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, halfToFloat32);
}

export function narrowToHalf(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, float32ToHalf);
}

export function widenBfloat16(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (value) => float32FromBits(value << 16));
}
