/** What a version of a store answers. */
import { fusionOf } from "../../continual/routing/fusion.ts";
import { route } from "../../continual/routing/routedPrediction.ts";
import { StoreError } from "../../core/errors.ts";
import { softmax } from "../../core/softmax.ts";
import type { Example } from "../../data/types.ts";
import { checkTop, classify, DEFAULT_TOP, findTask, rank } from "../classify.ts";
import { classifyRouted, type TextRouter } from "../routingPredictor.ts";
import type { Prediction, PredictOptions } from "../types.ts";
import { comparisonOf } from "./comparing.ts";
import type { Snapshot } from "./snapshot.ts";
import type { StoreModel } from "./storeModel.ts";
import type { StoreTask } from "./tasks.ts";

export class StorePredictor {
  private readonly store: string;
  private readonly model: StoreModel;

  /** @param store its folder */
  constructor(store: string, model: StoreModel) {
    this.store = store;
    this.model = model;
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
    const one = asked === undefined ? undefined : taskNamed(tasks, asked);
    if (one !== undefined && one.saved === undefined)
      return this.routeWithin(snapshot, one, examples, options);
    const exact = options.exact === true && haveAdapters(tasks);
    if (one !== undefined || exact || !statisticsTell(tasks))
      return classify(this.model.reader, learned, examples, options);
    return this.route(snapshot, examples, options);
  }

  private async route(
    { statistics, routed, manifest }: Snapshot,
    examples: readonly Example[],
    { top = DEFAULT_TOP, signal, onFitting }: PredictOptions,
  ): Promise<Prediction[]> {
    const { reader, routers, settings } = this.model;
    const version = { store: this.store, number: manifest.store.version };
    const rate = settings.router?.rejectRate;
    const detector =
      rate === undefined ? undefined : await routers.detector(statistics, rate, version, signal);
    const routing = {
      router: await routers.of(statistics, version, { signal, onProgress: onFitting }),
      features: statistics.constants,
      fusion: fusionOf(this.model.routing),
      ...(detector && { detector }),
    };
    const textRouter: Pick<TextRouter, "answer"> = {
      answer: (encodings, how) => route(reader, routed, routing, encodings, how),
    };
    const places = { model: reader, tasks: routed };
    return classifyRouted(textRouter, places, examples, { top, ...(signal && { signal }) });
  }

  /** Chooses among the classes of a task that has statistics alone. */
  private async routeWithin(
    { statistics, manifest }: Snapshot,
    { entry }: StoreTask,
    examples: readonly Example[],
    { top = DEFAULT_TOP, signal, onFitting }: PredictOptions,
  ): Promise<Prediction[]> {
    const { reader, routers } = this.model;
    const version = { store: this.store, number: manifest.store.version };
    const router = await routers.of(statistics, version, { signal, onProgress: onFitting });
    const { encodings } = reader.encode(examples);
    const features = await reader.routingFeatures(encodings, statistics.constants, signal);
    const { values, classes } = await router.posterior(features, signal);
    const columns = router.labels.flatMap((label, i) => (entry.labels.includes(label) ? i : []));
    return examples.map(({ text }, row) => {
      const logs = columns.map((column) => values[row * classes + column] ?? Number.NEGATIVE_INFINITY);
      const ranked = rank(
        columns.map((column) => router.labels[column] ?? ""),
        softmax(logs),
        top,
      );
      const [best = { label: "", score: 0 }] = ranked;
      return { text, ...best, task: entry.name, top: ranked, passes: 1 };
    });
  }
}

/** @throws ConfigError naming the nearest where there is no such task */
function taskNamed(tasks: readonly StoreTask[], name: string): StoreTask {
  return findTask(
    tasks.map((task) => ({ name: task.entry.name, task })),
    name,
  ).task;
}

/** @throws StoreError naming a task that has none */
function haveAdapters(tasks: readonly StoreTask[]): boolean {
  const without = tasks.find(({ saved }) => saved === undefined);
  if (without === undefined) return true;
  throw new StoreError(`exact answers ask every task's adapter, and "${without.entry.name}" has none`, {
    hint: "Leave exact out: its classes are told apart by their statistics.",
  });
}

/** @throws StoreError where some classes have statistics alone and others an adapter alone */
function statisticsTell(tasks: readonly StoreTask[]): boolean {
  const comparison = comparisonOf(tasks);
  if (typeof comparison === "string") return comparison === "statistics";
  throw new StoreError(comparison.message, { hint: comparison.hint });
}
