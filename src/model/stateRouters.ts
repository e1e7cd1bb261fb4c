import type { FitWatch } from "../continual/routers/fit.ts";
import type { ReadFile, RoutedTask, TaskRouting } from "../continual/routing/taskRouting.ts";
import type { AnswerOptions, EncodedItems, RoutedItem } from "../continual/taskTypes/taskType.ts";
import { StoreError } from "../core/errors.ts";
import type { StateRouter } from "./continualModel.ts";
import { learnedTasks, type ModelParts, selectorOf } from "./modelParts.ts";
import type { ModelState } from "./state.ts";

/** How a fitted router answers. */
type Route<E> = (
  tasks: readonly RoutedTask[],
  encoded: E,
  options: AnswerOptions,
) => Promise<readonly RoutedItem[]>;

export class StateRouters<E extends EncodedItems, R> implements AsyncDisposable {
  private readonly parts: ModelParts<E, R>;
  private readonly routers = new WeakMap<ModelState, Promise<StateRouter>>();
  private readonly routeOf = new WeakMap<StateRouter, { readonly route: Route<E>; readonly routing?: R }>();
  private readonly pending = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();

  constructor(parts: ModelParts<E, R>) {
    this.parts = parts;
  }

  /** Whether something routes among tasks. */
  get routes(): boolean {
    return this.parts.statistics !== undefined || this.parts.selection?.routing !== undefined;
  }

  fit(state: ModelState, watch: FitWatch = {}): Promise<StateRouter | undefined> {
    if (!this.routes) return Promise.resolve(undefined);
    const known = this.routers.get(state);
    if (known !== undefined) return unlessAborted(known, watch.signal);
    const router = this.makeRouter(state, { ...watch, signal: this.closing.signal });
    this.keepRouter(state, router);
    return unlessAborted(router, watch.signal);
  }

  private keepRouter(state: ModelState, router: Promise<StateRouter>): void {
    this.routers.set(state, router);
    this.pending.add(router);
    // A fit that failed is no answer for the next one who asks.
    router.catch(() => this.routers.delete(state)).finally(() => this.pending.delete(router));
  }

  private async makeRouter(state: ModelState, watch: FitWatch): Promise<StateRouter> {
    const { statistics } = this.parts;
    if (statistics === undefined) return this.selectionRouter(state);
    return this.statisticsRouter(state, statistics, await statistics.fit(state.tasks, watch));
  }

  async open(state: ModelState, read: ReadFile): Promise<StateRouter | undefined> {
    const { statistics } = this.parts;
    if (statistics === undefined) return await this.fit(state);
    const known = this.routers.get(state);
    if (known !== undefined) return await known;
    const routing = await statistics.open(state.tasks, read);
    if (routing === undefined) return undefined;
    const router = this.statisticsRouter(state, statistics, routing);
    this.keepRouter(state, Promise.resolve(router));
    return router;
  }

  private statisticsRouter(state: ModelState, statistics: TaskRouting<E, R>, routing: R): StateRouter {
    const router: StateRouter = {
      summary: statistics.summarize(routing),
      files: (watch) => statistics.encode(routing, state.tasks, watch),
    };
    const route: Route<E> = (tasks, encoded, options) => statistics.route(routing, tasks, encoded, options);
    this.routeOf.set(router, { route, routing });
    return router;
  }

  private selectionRouter(state: ModelState): StateRouter {
    const { selection } = this.parts;
    const network = selectorOf(state);
    if (selection?.routing === undefined || network === undefined)
      throw new StoreError("the selection network of the newest task is missing");
    const { routing, asTexts } = selection;
    const router: StateRouter = { summary: undefined, files: () => Promise.resolve(new Map()) };
    const route: Route<E> = (_, encoded, options) =>
      routing.route(network, learnedTasks(state), asTexts(encoded), options);
    this.routeOf.set(router, { route });
    return router;
  }

  /** How a router of this model answers. @throws StoreError for another one */
  routed(router: StateRouter | undefined) {
    const found = router && this.routeOf.get(router);
    if (found === undefined) throw new StoreError("this router belongs to another model, or there is none");
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closing.abort();
    await Promise.allSettled(this.pending);
  }
}

/** What several may wait for goes on when one of them waits no longer. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
