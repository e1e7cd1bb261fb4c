// Dimensions: V vocabulary entries, D the student's width, E the teacher's.
import { CheckpointError } from "../../src/core/errors.ts";
import { float32, type HostTensor } from "../../src/core/tensor.ts";

/**
 * Where each vocabulary entry starts: the teacher's vector of the entry as a one-word sentence, on its D main axes.
 * A student that starts from random embeddings has to find every word's meaning within the few times it meets it;
 * one that starts here begins as a bag of word vectors and spends its training on how words combine.
 */
export interface WarmStart {
  /** (V, D), standard deviation `deviation` over all elements. */
  readonly embeddings: HostTensor<"float32">;
  /** (E, D): back from the axes to the teacher's space. */
  readonly projection: HostTensor<"float32">;
}

/** Wide enough to stand out from the position and type embeddings, which are drawn at 0.02. */
const deviation = 0.05;

/** Σ (x − mean)(x − mean)ᵀ over the rows of x (V, E); float64, row-major. */
function scatterMatrix(centred: Float64Array, width: number): Float64Array {
  const scatter = new Float64Array(width * width);
  for (let start = 0; start < centred.length; start += width) {
    for (let i = 0; i < width; i++) {
      const value = centred[start + i]!;
      for (let j = i; j < width; j++) scatter[i * width + j]! += value * centred[start + j]!;
    }
  }
  for (let i = 0; i < width; i++)
    for (let j = 0; j < i; j++) scatter[i * width + j] = scatter[j * width + i]!;
  return scatter;
}

/** Rotates rows p and q of a matrix: (p, q) ← (c·p − s·q, s·p + c·q). */
function rotateRows(matrix: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let k = 0; k < n; k++) {
    const a = matrix[p * n + k]!;
    const b = matrix[q * n + k]!;
    matrix[p * n + k] = c * a - s * b;
    matrix[q * n + k] = s * a + c * b;
  }
}

function rotateColumns(matrix: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let row = 0; row < n * n; row += n) {
    const a = matrix[row + p]!;
    const b = matrix[row + q]!;
    matrix[row + p] = c * a - s * b;
    matrix[row + q] = s * a + c * b;
  }
}

/**
 * Eigenvectors of a symmetric matrix by cyclic Jacobi rotations (Golub & Van Loan, §8.5), largest eigenvalue first.
 * @returns one eigenvector a row; its largest component is positive, so that the sign is settled.
 */
export function principalAxes(symmetric: Float64Array, n: number): readonly Float64Array[] {
  const a = symmetric.slice();
  const vectors = new Float64Array(n * n);
  let trace = 0;
  for (let i = 0; i < n; i++) {
    vectors[i * n + i] = 1;
    trace += Math.abs(a[i * n + i]!);
  }
  const negligible = (1e-12 * trace) / n;
  for (let sweep = 0, rotated = true; rotated && sweep < 50; sweep++) {
    rotated = false;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) {
        const off = a[p * n + q]!;
        if (Math.abs(off) <= negligible) continue;
        rotated = true;
        const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * off);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        rotateRows(a, n, p, q, c, t * c);
        rotateColumns(a, n, p, q, c, t * c);
        rotateRows(vectors, n, p, q, c, t * c);
      }
    }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j]! - a[i * n + i]!);
  return order.map((i) => {
    const axis = vectors.slice(i * n, (i + 1) * n);
    const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
    return largest < 0 ? axis.map((value) => -value) : axis;
  });
}

/**
 * @param vectors (V, E): the teacher's vector of each vocabulary entry.
 * @param width D, at most E.
 * @throws CheckpointError if there are no rows, or fewer axes than asked for.
 */
export function warmStart(vectors: HostTensor<"float32">, width: number): WarmStart {
  const [entries = 0, teacherWidth = 0] = vectors.dims;
  if (entries === 0 || width > teacherWidth)
    throw new CheckpointError(`cannot lay ${entries} vectors of ${teacherWidth} on ${width} axes`);
  const centred = Float64Array.from(vectors.data);
  for (let column = 0; column < teacherWidth; column++) {
    let sum = 0;
    for (let i = column; i < centred.length; i += teacherWidth) sum += centred[i]!;
    for (let i = column; i < centred.length; i += teacherWidth) centred[i]! -= sum / entries;
  }
  const axes = principalAxes(scatterMatrix(centred, teacherWidth), teacherWidth).slice(0, width);
  const embeddings = new Float32Array(entries * width);
  let squares = 0;
  for (let entry = 0; entry < entries; entry++) {
    axes.forEach((axis, d) => {
      let dot = 0;
      for (let e = 0; e < teacherWidth; e++) dot += axis[e]! * centred[entry * teacherWidth + e]!;
      embeddings[entry * width + d] = dot;
      squares += dot * dot;
    });
  }
  const scale = deviation / Math.sqrt(squares / embeddings.length);
  for (let i = 0; i < embeddings.length; i++) embeddings[i]! *= scale;
  const projection = Float32Array.from(
    { length: teacherWidth * width },
    (_, i) => axes[i % width]![Math.floor(i / width)]!,
  );
  return {
    embeddings: float32(embeddings, [entries, width]),
    projection: float32(projection, [teacherWidth, width]),
  };
}
