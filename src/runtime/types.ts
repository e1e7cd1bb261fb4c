import type { HostTensor } from "../core/tensor.ts";
import type { Graph } from "../graph/types.ts";

export type Tensors = Readonly<Record<string, HostTensor>>;

/** Where products are computed. */
export type Device = "cpu" | "webgpu";

export interface CompileOptions {
  /** Threads of one run; default: the physical cores. The same number gives the same bytes. */
  readonly threads?: number;
  /**
   * Keep a packed copy of each weight beside the mapped file: faster products, more memory. Default true.
   * Without it, sessions over the same file share its pages.
   */
  readonly packWeights?: boolean;
  /**
   * Threads wait for their next product by spinning, which saves waking them: for a graph that runs again and again with nothing
   * else beside it. Default false: several graphs take turns, and threads that spin for one take processor time from the next.
   */
  readonly spin?: boolean;
  /** What the engine did is written to a file that begins so, when the executable is disposed of. */
  readonly profile?: string;
}

/** A compiled graph. Holds native memory: dispose of it. */
export interface Executable extends AsyncDisposable {
  /**
   * @param feeds a tensor for every graph input, of its type and shape; symbolic dimensions agree.
   * @returns a tensor for every graph output.
   * @throws EngineError naming the input that is missing or does not fit.
   */
  run(feeds: Tensors): Promise<Tensors>;
}

/** Something that runs graphs. All runtimes give the same values up to rounding. */
export interface Runtime {
  readonly name: string;
  compile(graph: Graph, options?: CompileOptions): Promise<Executable>;
}
