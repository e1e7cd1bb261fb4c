/** The pieces of hashes of 32 bits: FNV-1a, and murmur3's finaliser over it. Not for secrets, nor for identities. */

export const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** A hash that a number of at most 32 bits more has gone into. */
export function hashIn(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, FNV_PRIME);
}

/** murmur3's finaliser: spreads every input bit over the word. */
export function spreadBits(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
