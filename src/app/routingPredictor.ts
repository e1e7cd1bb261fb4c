/** What a run learned to route with, for prediction. */
import type { AdaptedBackbone, LearnedTask } from "../continual/adaptedBackbone.ts";
import { RouterFitter } from "../continual/routing/fit.ts";
import { fusionOf } from "../continual/routing/fusion.ts";
import { RoutedLearner, type RoutingSettings, statisticsFile } from "../continual/routing/routedLearner.ts";
import {
  type RoutedAnswer,
  type RouteOptions,
  type Routing,
  route,
} from "../continual/routing/routedPrediction.ts";
import { routeSelected } from "../continual/routing/routedSelection.ts";
import { type SelectorInference, TaskSelector } from "../continual/selector.ts";
import type { Encoding } from "../data/tokenizer.ts";
import type { Example } from "../data/types.ts";
import { checkTop, DEFAULT_TOP } from "./classify.ts";
import type { OpenedRun } from "./openedRun.ts";
import {
  detectorFile,
  featureConstants,
  readCompanion,
  readRoutingSummary,
  routerFile,
  routingSettingsOf,
} from "./routing.ts";
import { readSelector } from "./selection.ts";
import { resolveTraining } from "./structure.ts";
import type { Prediction, PredictOptions } from "./types.ts";

/** Says what a text is without asking every adapter. Holds native memory: dispose of it. */
export interface TextRouter extends AsyncDisposable {
  answer(encodings: readonly Encoding[], options: RouteOptions): Promise<readonly RoutedAnswer[]>;
}

/** What a run learned, opened. */
interface Learned {
  readonly run: OpenedRun;
  readonly model: AdaptedBackbone;
  /** In the order of learning. */
  readonly tasks: readonly LearnedTask[];
}

/** How texts are routed in a run of this configuration; undefined where nothing routes. */
export function textRouterOf(learned: Learned): (() => Promise<TextRouter>) | undefined {
  const { config, loaded } = learned.run;
  const settings = routingSettingsOf(config, loaded.backbone.config.layers);
  if (settings !== undefined) return () => openStatisticsRouter(learned, settings);
  const selector = config.method.adapter === "lora" ? config.method.selector : undefined;
  if (selector === undefined || selector.inference === "off") return undefined;
  const { kind, inference } = selector;
  return () => openSelectionRouter(learned, kind, inference);
}

async function openSelectionRouter(
  { run, model, tasks }: Learned,
  kind: TaskSelector["kind"],
  inference: SelectorInference,
): Promise<TextRouter> {
  const { seed } = run.config;
  const selector = new TaskSelector(model, { kind, training: resolveTraining(run.config), seed });
  // The network changes with every task: it is the newest one's that answers.
  const { bytes, where } = await readSelector(run.tasks.at(-1)?.where ?? "");
  selector.restore(bytes, where);
  return {
    answer: (encodings, options) => routeSelected(model, tasks, selector, inference, encodings, options),
    [Symbol.asyncDispose]: () => selector[Symbol.asyncDispose](),
  };
}

/** The router in the run's folder where it is that of these tasks; else one fitted anew to their statistics. */
async function openStatisticsRouter(learned: Learned, settings: RoutingSettings): Promise<TextRouter> {
  const { run, model, tasks } = learned;
  const routed = tasks.map((task) => ({ ...task, learned: task }));
  const saved = await readSaved(learned, settings);
  const rejects = run.config.router?.rejectRate !== undefined;
  const asked = saved === undefined || (rejects && saved.routing.detector === undefined);
  const fitted = asked ? await fitAnew(learned, settings, saved) : undefined;
  const { routing } = (fitted ?? saved)!;
  return {
    answer: (encodings, options) => route(model, routed, routing, encodings, options),
    [Symbol.asyncDispose]: async () => {
      await fitted?.holder[Symbol.asyncDispose]();
      await saved?.holder[Symbol.asyncDispose]();
    },
  };
}

interface OpenedStatistics {
  readonly routing: Routing;
  readonly holder: AsyncDisposable;
}

async function readSaved(
  { run, model }: Learned,
  settings: RoutingSettings,
): Promise<OpenedStatistics | undefined> {
  const saved = await readRoutingSummary(run.path);
  if (saved === undefined) return undefined;
  const { summary, router, detector } = saved;
  const known = run.tasks.map(({ files }) => files[statisticsFile]);
  if (JSON.stringify(known) !== JSON.stringify(summary.statistics)) return undefined;
  const holder = new RouterFitter((graph) => model.compile(graph));
  return {
    routing: {
      router: holder.decode(router, `${run.path}/${routerFile}`),
      features: { layers: summary.layers },
      fusion: fusionOf(settings),
      ...(detector && { detector: holder.decodeDetector(detector, `${run.path}/${detectorFile}`) }),
    },
    holder,
  };
}

/**
 * Fits what is not there yet to the tasks' statistics.
 * @param saved the router, where there is one; disposed of on failure
 * @throws CheckpointError if a task's statistics are missing
 */
async function fitAnew(
  { run, model }: Learned,
  settings: RoutingSettings,
  saved: OpenedStatistics | undefined,
): Promise<OpenedStatistics> {
  const { config, loaded } = run;
  const constants = featureConstants(model, loaded, settings.features.layers, config.seed);
  const learner = new RoutedLearner(model, settings, constants, config.seed);
  try {
    for (const { where } of run.tasks) await learner.recall((name) => readCompanion(where, name));
    const routing = saved?.routing ?? (await learner.current());
    const rate = config.router?.rejectRate;
    const detector = rate === undefined ? {} : { detector: await learner.detector(rate) };
    return { routing: { ...routing, ...detector }, holder: learner };
  } catch (error) {
    await learner[Symbol.asyncDispose]();
    await saved?.holder[Symbol.asyncDispose]();
    throw error;
  }
}

/** Routed answers as predictions. */
export async function classifyRouted(
  router: Pick<TextRouter, "answer">,
  { model, tasks }: { readonly model: AdaptedBackbone; readonly tasks: readonly { readonly name: string }[] },
  examples: readonly Example[],
  { top = DEFAULT_TOP, signal }: PredictOptions,
): Promise<Prediction[]> {
  checkTop(top);
  const { encodings } = model.encode(examples);
  const answers = await router.answer(encodings, { top, ...(signal && { signal }) });
  return answers.map(({ label, score, task, top: ranked, passes, unknown }, i) => ({
    text: examples[i]?.text ?? "",
    label: unknown === true ? null : label,
    score,
    task: task === undefined ? "" : (tasks[task]?.name ?? ""),
    top: ranked,
    ...(unknown === true && { unknown }),
    passes,
  }));
}
