/** SHA-256 (FIPS 180-4) in plain TypeScript, for where there is no Node: a browser's own digest answers in promises only. */

/** The first 32 bits of the fractional part of √p or ∛p. */
function fractionBits(root: number): number {
  return ((root - Math.floor(root)) * 2 ** 32) >>> 0;
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

const ROUNDS = 64;
const constants = Uint32Array.from(firstPrimes(ROUNDS), (prime) => fractionBits(Math.cbrt(prime)));
const initial = Uint32Array.from(firstPrimes(8), (prime) => fractionBits(Math.sqrt(prime)));

const rotate = (x: number, by: number) => (x >>> by) | (x << (32 - by));

/** The message with a one bit, zeros, and its length in bits behind it: whole blocks of 64 bytes. */
function padded(bytes: Uint8Array): DataView {
  const blocks = Math.ceil((bytes.length + 9) / 64);
  const message = new Uint8Array(blocks * 64);
  message.set(bytes);
  message[bytes.length] = 0x80;
  const view = new DataView(message.buffer);
  view.setBigUint64(message.length - 8, BigInt(bytes.length) * 8n);
  return view;
}

function takeBlock(state: Uint32Array, view: DataView, at: number, words: Uint32Array): void {
  for (let t = 0; t < 16; t++) words[t] = view.getUint32(at + 4 * t);
  for (let t = 16; t < ROUNDS; t++) {
    const [w15, w2] = [words[t - 15]!, words[t - 2]!];
    const s0 = rotate(w15, 7) ^ rotate(w15, 18) ^ (w15 >>> 3);
    const s1 = rotate(w2, 17) ^ rotate(w2, 19) ^ (w2 >>> 10);
    words[t] = words[t - 16]! + s0 + words[t - 7]! + s1;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let t = 0; t < ROUNDS; t++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + s1 + ((e & f) ^ (~e & g)) + constants[t]! + words[t]!) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => {
    state[i] = state[i]! + value;
  });
}

/** @returns the digest as lower-case hex */
export function plainSha256(bytes: Uint8Array): string {
  const state = initial.slice();
  const view = padded(bytes);
  const words = new Uint32Array(ROUNDS);
  for (let at = 0; at < view.byteLength; at += 64) takeBlock(state, view, at, words);
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}
