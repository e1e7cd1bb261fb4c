/** What a version of a store answers. */
import { type FittedRouter, RouterFitter } from "../../continual/routing/fit.ts";
import type { ClassStatistics } from "../../continual/routing/statistics.ts";
import { StoreError } from "../../core/errors.ts";
import type { Example } from "../../data/types.ts";
import { checkTop, classify, DEFAULT_TOP, findTask, rank } from "../classify.ts";
import type { Prediction, PredictOptions } from "../types.ts";
import type { Snapshot } from "./snapshot.ts";
import type { StoreModel } from "./storeModel.ts";
import type { StoreTask } from "./tasks.ts";

/** Holds native memory: dispose of it. */
export class StorePredictor implements AsyncDisposable {
  private readonly model: StoreModel;
  private readonly fitter: RouterFitter;
  /** A router is a function of the statistics, so it is fitted once a version. */
  private readonly routers = new WeakMap<ClassStatistics, Promise<FittedRouter>>();

  constructor(model: StoreModel) {
    this.model = model;
    this.fitter = new RouterFitter((graph) => model.reader.compile(graph));
  }

  /** @throws StoreError if nothing was learned yet, or classes cannot be compared with each other */
  async predict(
    snapshot: Snapshot,
    examples: readonly Example[],
    options: PredictOptions,
  ): Promise<Prediction[]> {
    const { tasks, learned } = snapshot;
    checkTop(options.top ?? DEFAULT_TOP);
    if (tasks.length === 0)
      throw new StoreError("the store has learned nothing yet", {
        hint: "accrete learn <store> --task name data.jsonl",
      });
    const { task: asked } = options;
    if (asked !== undefined && isAdapted(tasks, asked))
      return classify(this.model.reader, learned, examples, options);
    if (asked === undefined && !canCompare(tasks))
      return classify(this.model.reader, learned, examples, options);
    return this.route(snapshot, examples, options);
  }

  private async route(
    { statistics, tasks }: Snapshot,
    examples: readonly Example[],
    { task, top = DEFAULT_TOP, signal }: PredictOptions,
  ): Promise<Prediction[]> {
    const router = await this.router(statistics);
    const { reader } = this.model;
    const { encodings } = reader.encode(examples);
    const features = await reader.routingFeatures(encodings, statistics.constants, signal);
    const { values, classes } = await router.posterior(features, signal);
    const owner = (label: string) => tasks.findLast(({ entry }) => entry.labels.includes(label))?.entry.name;
    const own = task === undefined ? undefined : labelsOf(tasks, task);
    const columns = router.labels.flatMap((label, i) => (own?.includes(label) === false ? [] : i));
    return examples.map(({ text }, row) => {
      const scores = columns.map((column) => Math.exp(values[row * classes + column] ?? 0));
      const total = scores.reduce((sum, score) => sum + score, 0);
      const ranked = rank(
        columns.map((column) => router.labels[column] ?? ""),
        scores.map((score) => score / total),
        top,
      );
      const [best = { label: "", score: 0 }] = ranked;
      return { text, ...best, task: task ?? owner(best.label) ?? "", top: ranked, passes: 1 };
    });
  }

  /** The router of a version, fitted once. */
  router(statistics: ClassStatistics): Promise<FittedRouter> {
    const known = this.routers.get(statistics);
    if (known !== undefined) return known;
    const fit = this.fitter.fit(statistics, { kind: "lda", seed: this.model.settings.seed });
    this.routers.set(statistics, fit);
    // A fit that failed is no answer for the next one who asks.
    fit.catch(() => this.routers.delete(statistics));
    return fit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fitter[Symbol.asyncDispose]();
  }
}

function labelsOf(tasks: readonly StoreTask[], name: string): readonly string[] {
  return tasks.find(({ entry }) => entry.name === name)?.entry.labels ?? [];
}

/** @throws ConfigError naming the nearest where there is no such task */
function isAdapted(tasks: readonly StoreTask[], name: string): boolean {
  const named = tasks.map((each) => ({ name: each.entry.name, adapted: each.saved !== undefined }));
  return findTask(named, name).adapted;
}

/**
 * Whether statistics tell all classes apart; if not, whether adapters do.
 * @throws StoreError where some classes have statistics alone and others an adapter alone
 */
function canCompare(tasks: readonly StoreTask[]): boolean {
  const without = tasks.filter(({ statistics }) => statistics === undefined);
  const [first] = without;
  if (first === undefined) return true;
  const alone = tasks.find(({ saved }) => saved === undefined);
  if (alone === undefined) return false;
  throw new StoreError(
    `task "${first.entry.name}" has an adapter and no statistics, "${alone.entry.name}" statistics and no adapter: nothing compares their classes`,
    {
      hint: `Add statistics to the first: accrete learn <store> --task "${first.entry.name}" <its data> --statistics-only.`,
    },
  );
}
