import type { FitWatch } from "../continual/routers/fit.ts";
import type { ReadFile, RoutedTask, TaskRouting } from "../continual/routing/taskRouting.ts";
import type { AnswerOptions, EncodedItems, RoutedItem } from "../continual/taskTypes/taskType.ts";
import { type RouterStage, routerStages } from "../continual/types.ts";
import { StoreError } from "../core/errors.ts";
import { comparisonOf } from "./comparing.ts";
import type { StateRouter } from "./continualModel.ts";
import { learnedTasks, type ModelParts, selectorOf } from "./modelParts.ts";
import { type ModelState, tasksWithClasses } from "./state.ts";

/** How a fitted router answers. */
type Route<E> = (
  tasks: readonly RoutedTask[],
  encoded: E,
  options: AnswerOptions,
) => Promise<readonly RoutedItem[]>;

export class StateRouters<E extends EncodedItems, R> implements AsyncDisposable {
  private readonly parts: ModelParts<E, R>;
  private readonly routers = new WeakMap<ModelState, Map<RouterStage, Promise<StateRouter>>>();
  private readonly standing = new WeakMap<ModelState, Map<RouterStage, StateRouter>>();
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

  /** The stages of a state's router, in the order in which they answer; none where nothing routes among its tasks. */
  stages({ tasks }: ModelState): readonly RouterStage[] {
    const { statistics } = this.parts;
    if (!this.routes || tasksWithClasses(tasks).length === 0) return [];
    if (statistics === undefined) return ["consolidated"];
    if (comparisonOf(tasks) !== "statistics") return [];
    return statistics.consolidates(tasks) ? routerStages : ["consolidated"];
  }

  /** The latest stage that stands. */
  best(state: ModelState): StateRouter | undefined {
    const stages = this.standing.get(state);
    return stages?.get("consolidated") ?? stages?.get("immediate");
  }

  fit(state: ModelState, asked: RouterStage, watch: FitWatch = {}): Promise<StateRouter | undefined> {
    const stages = this.stages(state);
    const stage = stages.includes(asked) ? asked : stages[0];
    if (stage === undefined) return Promise.resolve(undefined);
    const known = this.routers.get(state)?.get(stage);
    if (known !== undefined) return unlessAborted(known, watch.signal);
    const router = this.makeRouter(state, stage, { ...watch, signal: this.closing.signal });
    this.keepRouter(state, stage, router);
    return unlessAborted(router, watch.signal);
  }

  private keepRouter(state: ModelState, stage: RouterStage, router: Promise<StateRouter>): void {
    const routers = entriesOf(this.routers, state);
    routers.set(stage, router);
    this.pending.add(router);
    router
      .then(
        (fitted) => entriesOf(this.standing, state).set(stage, fitted),
        // A fit that failed is no answer for the next one who asks.
        () => routers.delete(stage),
      )
      .finally(() => this.pending.delete(router));
  }

  private async makeRouter(state: ModelState, stage: RouterStage, watch: FitWatch): Promise<StateRouter> {
    const { statistics } = this.parts;
    if (statistics === undefined) return this.selectionRouter(state);
    return this.statisticsRouter(state, statistics, stage, await statistics.fit(state.tasks, stage, watch));
  }

  async open(state: ModelState, stage: RouterStage, read: ReadFile): Promise<StateRouter | undefined> {
    const { statistics } = this.parts;
    if (!this.stages(state).includes(stage)) return undefined;
    if (statistics === undefined) return await this.fit(state, stage);
    const known = this.routers.get(state)?.get(stage);
    if (known !== undefined) return await known;
    const routing = await statistics.open(state.tasks, stage, read);
    if (routing === undefined) return undefined;
    const router = Promise.resolve(this.statisticsRouter(state, statistics, stage, routing));
    this.keepRouter(state, stage, router);
    return await router;
  }

  async restoreTotals({ tasks }: ModelState, read: ReadFile): Promise<void> {
    await this.parts.statistics?.restoreTotals?.(tasks, read);
  }

  private statisticsRouter(
    state: ModelState,
    statistics: TaskRouting<E, R>,
    stage: RouterStage,
    routing: R,
  ): StateRouter {
    const router: StateRouter = {
      stage,
      summary: statistics.summarize(routing),
      files: (watch) => statistics.encode(routing, state.tasks, watch),
      totals: () => statistics.encodeTotals?.() ?? new Map(),
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
    const router: StateRouter = {
      stage: "consolidated",
      summary: undefined,
      files: () => Promise.resolve(new Map()),
      totals: () => new Map(),
    };
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

function entriesOf<K extends object, S, T>(of: WeakMap<K, Map<S, T>>, key: K): Map<S, T> {
  const entries = of.get(key) ?? new Map<S, T>();
  of.set(key, entries);
  return entries;
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
