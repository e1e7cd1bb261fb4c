// Dimensions: n texts, F routing features, C classes.
/** Fitting routers to statistics. */
import { EngineError } from "../../core/errors.ts";
import type { Graph } from "../../graph/types.ts";
import type { Executable } from "../../runtime/types.ts";
import type { ClassStatistics } from "./statistics.ts";
import type { Router, RouterKind } from "./types.ts";

/** What compiles a graph: `AdaptedBackbone.compile`, or a runtime's. */
export type Compile = (graph: Graph) => Promise<Executable>;

export interface FitOptions {
  /** `auto` takes the kind that does best on held-out rows. */
  readonly kind: RouterKind | "auto";
  /** Of the network's beginning and order; random projections hang on the constants' own seed. */
  readonly seed: number;
  readonly signal?: AbortSignal;
}

/** What a fit settled on, and what it rests on. */
export interface RouterChoice {
  readonly kind: RouterKind;
  /** Hyperparameters by name, e.g. shrinkage, lambda, temperature. */
  readonly settings: Readonly<Record<string, number>>;
  /** Share of held-out rows of which the arg-max was right, fitted without them; null where there are none. */
  readonly heldOutAccuracy: number | null;
  readonly heldOutRows: number;
  /** Of every kind that was tried, its held-out accuracy. */
  readonly tried: readonly { readonly kind: RouterKind; readonly heldOutAccuracy: number | null }[];
}

export interface FittedRouter extends Router {
  readonly choice: RouterChoice;
  /** Bytes of the statistics that it was fitted to. */
  readonly retainedBytes: number;
}

/**
 * Fits routers and lets them answer. Holds native memory: dispose of it, after which its routers no longer answer.
 */
export class RouterFitter implements AsyncDisposable {
  readonly compile: Compile;

  constructor(compile: Compile) {
    this.compile = compile;
  }

  /**
   * Fits a router to the classes seen so far: a function of the statistics and the options, to the last bit.
   * @throws DataError if there is no class
   */
  async fit(_statistics: ClassStatistics, options: FitOptions): Promise<FittedRouter> {
    throw new EngineError(`router ${options.kind} is not there yet`);
  }

  /** The bytes of a fitted router, `router.safetensors`: enough to answer without the statistics. */
  encode(router: FittedRouter): Uint8Array {
    throw new EngineError(`router ${router.kind} is not there yet`);
  }

  /**
   * @param where names the file in errors
   * @throws StoreError if the file is of another version or damaged
   */
  decode(_bytes: Uint8Array, where: string): FittedRouter {
    throw new EngineError(`${where}: not there yet`);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
