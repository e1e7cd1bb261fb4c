// Dimensions: n rows and columns.
/**
 * Eigenvalues and vectors of a small symmetric matrix, in plain loops: Householder's reduction to tridiagonal form, then the
 * implicit QL method (Bowdler, Martin, Reinsch & Wilkinson 1968, as in EISPACK's tred2 and tql2).
 */
import { EngineError } from "../core/errors.ts";

export interface SymmetricEigen {
  /** (n), rising. */
  readonly values: Float64Array;
  /** (n, n), row-major: column j is the vector of value j, of length 1. */
  readonly vectors: Float64Array;
}

/** Sweeps after which a value that does not converge is an error. */
const MOST_SWEEPS = 60;

/** @param matrix (n, n), of which the lower triangle is read */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  const v = matrix.slice();
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) v[i * n + j] = v[j * n + i]!;
  const d = new Float64Array(n);
  const e = new Float64Array(n);
  if (n > 0) {
    tridiagonalize(v, d, e, n);
    diagonalize(v, d, e, n);
  }
  return sorted(v, d, n);
}

function tridiagonalize(v: Float64Array, d: Float64Array, e: Float64Array, n: number): void {
  for (let j = 0; j < n; j++) d[j] = v[j * n + n - 1]!;
  for (let i = n - 1; i > 0; i--) {
    let scale = 0;
    let h = 0;
    for (let k = 0; k < i; k++) scale += Math.abs(d[k]!);
    if (scale === 0) {
      e[i] = d[i - 1]!;
      for (let j = 0; j < i; j++) {
        d[j] = v[j * n + i - 1]!;
        v[j * n + i] = 0;
        v[i * n + j] = 0;
      }
    } else {
      for (let k = 0; k < i; k++) {
        d[k] = d[k]! / scale;
        h += d[k]! * d[k]!;
      }
      const f = d[i - 1]!;
      const g = f > 0 ? -Math.sqrt(h) : Math.sqrt(h);
      e[i] = scale * g;
      h -= f * g;
      d[i - 1] = f - g;
      for (let j = 0; j < i; j++) e[j] = 0;
      for (let j = 0; j < i; j++) {
        const own = d[j]!;
        v[i * n + j] = own;
        let sum = e[j]! + v[j * n + j]! * own;
        for (let k = j + 1; k < i; k++) {
          sum += v[j * n + k]! * d[k]!;
          e[k] = e[k]! + v[j * n + k]! * own;
        }
        e[j] = sum;
      }
      let dot = 0;
      for (let j = 0; j < i; j++) {
        e[j] = e[j]! / h;
        dot += e[j]! * d[j]!;
      }
      const half = dot / (h + h);
      for (let j = 0; j < i; j++) e[j] = e[j]! - half * d[j]!;
      for (let j = 0; j < i; j++) {
        const [own, next] = [d[j]!, e[j]!];
        for (let k = j; k < i; k++) v[j * n + k] = v[j * n + k]! - (own * e[k]! + next * d[k]!);
        d[j] = v[j * n + i - 1]!;
        v[j * n + i] = 0;
      }
    }
    d[i] = h;
  }
  accumulateTransformations(v, d, n);
  e[0] = 0;
}

function accumulateTransformations(v: Float64Array, d: Float64Array, n: number): void {
  for (let i = 0; i < n - 1; i++) {
    v[i * n + n - 1] = v[i * n + i]!;
    v[i * n + i] = 1;
    const h = d[i + 1]!;
    if (h !== 0) {
      for (let k = 0; k <= i; k++) d[k] = v[(i + 1) * n + k]! / h;
      for (let j = 0; j <= i; j++) {
        let g = 0;
        for (let k = 0; k <= i; k++) g += v[(i + 1) * n + k]! * v[j * n + k]!;
        for (let k = 0; k <= i; k++) v[j * n + k] = v[j * n + k]! - g * d[k]!;
      }
    }
    for (let k = 0; k <= i; k++) v[(i + 1) * n + k] = 0;
  }
  for (let j = 0; j < n; j++) {
    d[j] = v[j * n + n - 1]!;
    v[j * n + n - 1] = 0;
  }
  v[n * n - 1] = 1;
}

function diagonalize(v: Float64Array, d: Float64Array, e: Float64Array, n: number): void {
  for (let i = 1; i < n; i++) e[i - 1] = e[i]!;
  e[n - 1] = 0;
  let shift = 0;
  let largest = 0;
  for (let l = 0; l < n; l++) {
    largest = Math.max(largest, Math.abs(d[l]!) + Math.abs(e[l]!));
    let m = l;
    while (m < n - 1 && Math.abs(e[m]!) > Number.EPSILON * largest) m++;
    for (let sweep = 0; m > l && Math.abs(e[l]!) > Number.EPSILON * largest; sweep++) {
      if (sweep === MOST_SWEEPS) throw new EngineError(`eigenvalue ${l} of ${n} does not converge`);
      shift += rotate(v, d, e, n, l, m);
    }
    d[l] = d[l]! + shift;
    e[l] = 0;
  }
}

/** One implicit QL step on rows l to m. @returns the shift taken off the values from l on */
function rotate(v: Float64Array, d: Float64Array, e: Float64Array, n: number, l: number, m: number): number {
  let g = d[l]!;
  let p = (d[l + 1]! - g) / (2 * e[l]!);
  let r = p < 0 ? -Math.hypot(p, 1) : Math.hypot(p, 1);
  d[l] = e[l]! / (p + r);
  d[l + 1] = e[l]! * (p + r);
  const next = d[l + 1]!;
  const h = g - d[l]!;
  for (let i = l + 2; i < n; i++) d[i] = d[i]! - h;
  p = d[m]!;
  let [c, c2, c3, s, s2] = [1, 1, 1, 0, 0];
  const el1 = e[l + 1]!;
  for (let i = m - 1; i >= l; i--) {
    c3 = c2;
    c2 = c;
    s2 = s;
    g = c * e[i]!;
    const own = c * p;
    r = Math.hypot(p, e[i]!);
    e[i + 1] = s * r;
    s = e[i]! / r;
    c = p / r;
    p = c * d[i]! - s * g;
    d[i + 1] = own + s * (c * g + s * d[i]!);
    const at = i * n;
    const above = at + n;
    for (let k = 0; k < n; k++) {
      const vector = v[above + k]!;
      v[above + k] = s * v[at + k]! + c * vector;
      v[at + k] = c * v[at + k]! - s * vector;
    }
  }
  p = (-s * s2 * c3 * el1 * e[l]!) / next;
  e[l] = s * p;
  d[l] = c * p;
  return h;
}

function sorted(v: Float64Array, d: Float64Array, n: number): SymmetricEigen {
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => d[a]! - d[b]!);
  const vectors = new Float64Array(n * n);
  for (let row = 0; row < n; row++)
    order.forEach((from, to) => {
      vectors[row * n + to] = v[from * n + row]!;
    });
  return { values: Float64Array.from(order, (i) => d[i]!), vectors };
}
