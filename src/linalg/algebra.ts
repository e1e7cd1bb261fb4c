// Dimensions: (M, K) times (K, N).
/** Dense products on the engine: many times faster than loops over typed arrays, in float64 too. */
import { EngineError } from "../core/errors.ts";
import { float32, float64 } from "../core/tensor.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph } from "../graph/types.ts";
import type { Executable } from "../runtime/types.ts";

/** A row-major matrix of float64. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** A row-major matrix of float32. */
export interface Matrix32 {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

export type Transposed = "none" | "first" | "second";

/** What compiles a graph, e.g. a runtime's `compile`. */
export type Compile = (graph: Graph) => Promise<Executable>;

type FloatType = "float32" | "float64";

function productGraph(dtype: FloatType, transposed: Transposed): Graph {
  const a = op.input("a", dtype, transposed === "first" ? ["K", "M"] : ["M", "K"]);
  const b = op.input("b", dtype, transposed === "second" ? ["N", "K"] : ["K", "N"]);
  const options = { transposeA: transposed === "first", transposeB: transposed === "second" };
  return createGraph({ product: op.gemm(a, b, options) }); // (M, N)
}

/**
 * A row alone, twice. The engine adds up a row's product in the same order beside one other row or 63, but in another order where it
 * is alone.
 */
function twice<V extends Float32Array | Float64Array>(row: V, into: V): V {
  into.set(row);
  into.set(row, row.length);
  return into;
}

/**
 * Products of matrices, one compiled graph for each type and transposition. What a row of the first gives is the same, bit for bit,
 * whatever rows stand beside it. Holds native memory: dispose of it.
 */
export class Algebra implements AsyncDisposable {
  private readonly compile: Compile;
  private readonly sessions = new Map<string, Promise<Executable>>();

  constructor(compile: Compile) {
    this.compile = compile;
  }

  /** `first`: aᵀ·b, `second`: a·bᵀ. @returns (M, N) in float64 */
  async product(a: Matrix, b: Matrix, transposed: Transposed = "none"): Promise<Matrix> {
    const session = await this.session("float64", transposed);
    const alone = a.rows === 1 && transposed !== "first";
    const left = alone ? twice(a.values, new Float64Array(2 * a.columns)) : a.values;
    const { product } = await session.run({
      a: float64(left, [alone ? 2 : a.rows, a.columns]),
      b: float64(b.values, [b.rows, b.columns]),
    });
    const [rows = 0, columns = 0] = product?.dims ?? [];
    if (!(product?.data instanceof Float64Array)) throw new EngineError("a product of float64 is none");
    if (alone) return { rows: 1, columns, values: product.data.subarray(0, columns) };
    return { rows, columns, values: product.data };
  }

  /** As {@link product}, in float32: exact where all numbers are whole and every partial sum is below 2^24. */
  async product32(a: Matrix32, b: Matrix32, transposed: Transposed = "none"): Promise<Matrix32> {
    const session = await this.session("float32", transposed);
    const alone = a.rows === 1 && transposed !== "first";
    const left = alone ? twice(a.values, new Float32Array(2 * a.columns)) : a.values;
    const { product } = await session.run({
      a: float32(left, [alone ? 2 : a.rows, a.columns]),
      b: float32(b.values, [b.rows, b.columns]),
    });
    const [rows = 0, columns = 0] = product?.dims ?? [];
    if (!(product?.data instanceof Float32Array)) throw new EngineError("a product of float32 is none");
    if (alone) return { rows: 1, columns, values: product.data.subarray(0, columns) };
    return { rows, columns, values: product.data };
  }

  private async session(dtype: FloatType, transposed: Transposed): Promise<Executable> {
    const key = `${dtype} ${transposed}`;
    // Whoever asks while it compiles waits for the same session: a second one would never be released.
    const compiling = this.sessions.get(key) ?? this.compile(productGraph(dtype, transposed));
    this.sessions.set(key, compiling);
    try {
      return await compiling;
    } catch (error) {
      // Whoever asks next tries anew.
      this.sessions.delete(key);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const held = [...this.sessions.values()];
    this.sessions.clear();
    for (const session of held) await (await session)[Symbol.asyncDispose]();
  }
}
