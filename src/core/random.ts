/**
 * Seeded randomness by name: every stream is a function of (seed, path), so the order in which parts of a
 * program draw never matters, and a resumed run draws what the uninterrupted one would have drawn.
 */
import { FNV_OFFSET, hashIn, spreadBits } from "./hashing.ts";

export interface Rng {
  /** A generator of its own for a named purpose, e.g. `rng.fork("task-3", "step", 17, site)`. */
  fork(...path: readonly (string | number)[]): Rng;
  /** The next 32 random bits. */
  uint32(): number;
  /** Uniform in [0, 1), 32 bits of resolution. */
  uniform(): number;
  /** Uniform integer in [0, n), without modulo bias that matters (n ≪ 2³²). */
  integer(n: number): number;
  /** Standard normal (Box–Muller). */
  normal(): number;
}

function hashInto(hash: number, part: string): number {
  let h = hash;
  for (let i = 0; i < part.length; i++) h = hashIn(h, part.charCodeAt(i));
  // A separator, so that ("ab", "c") and ("a", "bc") differ.
  return hashIn(h, 0x1f) >>> 0;
}

/** sfc32 (Chris Doty-Humphrey): small, fast, passes PractRand; four words of state from the path's hash. */
class Sfc32 implements Rng {
  // Words of 32 bits with a sign from the beginning: V8 then keeps them as such, and a draw takes a third of the time.
  private a = 0;
  private b = 0;
  private c = 0;
  private counter = 1;
  private readonly low: number;
  private readonly high: number;

  constructor(low: number, high: number) {
    this.low = low;
    this.high = high;
    this.a = spreadBits(low) | 0;
    this.b = spreadBits(high ^ 0x9e3779b9) | 0;
    this.c = spreadBits(low ^ Math.imul(high, 0x85ebca6b)) | 0;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  fork(...path: readonly (string | number)[]): Rng {
    let low = this.low;
    let high = this.high;
    for (const part of path) {
      low = hashInto(low, String(part));
      high = hashInto(spreadBits(high ^ low), String(part));
    }
    return new Sfc32(low, high);
  }

  uint32(): number {
    const t = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  uniform(): number {
    return this.uint32() / 4294967296;
  }

  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  normal(): number {
    const u = 1 - this.uniform();
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * this.uniform());
  }
}

export function createRng(seed: number): Rng {
  const low = hashInto(FNV_OFFSET, String(seed));
  return new Sfc32(low, spreadBits(low ^ 0xdeadbeef));
}

/** Fisher–Yates; returns a new array. */
export function shuffled<T>(items: readonly T[], rng: Rng): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = rng.integer(i + 1);
    const held = result[i]!;
    result[i] = result[j]!;
    result[j] = held;
  }
  return result;
}
