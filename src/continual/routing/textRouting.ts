// Dimensions: n texts, F routing features, C classes, T tasks.
/** Routing of texts by statistics of their classes: the router names the class, heads are asked where it is not sure. */
import { ConfigError } from "../../core/errors.ts";
import { softmax } from "../../core/softmax.ts";
import { checkTop, DEFAULT_TOP, rankLabels } from "../answers.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { FittedRouter } from "../routers/fit.ts";
import type { PredictionSet } from "../routers/scores/conformal.ts";
import type { AnswerOptions, RoutedItem } from "../taskTypes/taskType.ts";
import { asExamples, type EncodedTexts } from "../taskTypes/textClassification.ts";
import { rowOf } from "../types.ts";
import { ClassRouting, noHeads, type TextRouter, type TextRoutingSettings, toItem } from "./classRouting.ts";
import { firstPassOnly } from "./fusion.ts";
import { type AskHeads, askingHeads, decide, route } from "./routedPrediction.ts";
import type { RoutedTask } from "./taskRouting.ts";
/** The router names the class; where it is not sure, the likeliest tasks' heads are asked too. */
export class TextRouting extends ClassRouting<EncodedTexts> {
  constructor(reader: AdaptedBackbone, settings: TextRoutingSettings) {
    super(reader, settings, { encodings: ({ encodings }) => encodings, kept: ({ kept }) => kept });
  }

  async route(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    encoded: EncodedTexts,
    { top = DEFAULT_TOP, only, coverage, signal }: AnswerOptions = {},
  ): Promise<readonly RoutedItem[]> {
    checkTop(top);
    const { secondPass, features, rejectRate } = this.settings;
    if (coverage !== undefined) requireSets(routing.router, only);
    if (only !== undefined) return await this.routeWithin(routing, tasks[only]!, encoded, top, signal);
    const { router } = routing;
    if (encoded.kept !== undefined) return await this.routeTest(routing, tasks, encoded, top, signal);
    const unknownThreshold = rejectRate === undefined ? undefined : router.unknownThreshold(rejectRate);
    const how = { router, features, fusion: secondPass, unknownThreshold };
    const answers = await route(this.reader, tasks, how, encoded.encodings, { top, coverage, signal });
    return answers.map((answer, i) => {
      const { set } = answer;
      const item = toItem(answer, answer.passes, tasks, encoded, i);
      return set === undefined
        ? item
        : { ...item, answer: { ...item.answer, ...namesOf(set, answer.label, router) } };
    });
  }

  /** A test set is asked after every task: what passes gave is kept, and the first pass is told apart. */
  private async routeTest(
    routing: TextRouter,
    tasks: readonly RoutedTask[],
    encoded: EncodedTexts,
    top: number,
    signal?: AbortSignal,
  ): Promise<readonly RoutedItem[]> {
    const { router } = routing;
    const posterior = await router.posterior(await this.features(encoded, signal), signal);
    const how = { router, fusion: this.settings.secondPass };
    const alone = await decide(posterior, tasks, { router, fusion: firstPassOnly }, noHeads, 1);
    const decided = await decide(posterior, tasks, how, this.headsOn(encoded, tasks, signal), top);
    return decided.map((decision, i) => ({
      ...toItem(decision, this.reader.routedPassesOf(decision.asked), tasks, encoded, i),
      first: toItem(alone[i]!, 1, tasks, encoded, i).answer,
      asked: decision.asked,
    }));
  }

  /** The logits that are kept already, or adapters above the trunk that was kept of the texts. */
  private headsOn(
    { encodings, kept }: EncodedTexts,
    tasks: readonly RoutedTask[],
    signal?: AbortSignal,
  ): AskHeads {
    return async (asked, rows) => {
      if (rows.length === 0) return [];
      const known = tasks.map(({ learned }) => learned && kept?.logits.get(learned));
      if (asked.every((task) => known[task] !== undefined))
        return rows.map((row, i) => rowOf(known[asked[i]!]!, row));
      const trunk = await this.reader.trunkRows(encodings, signal);
      return await askingHeads(this.reader, tasks, encodings, signal, trunk)(asked, rows);
    };
  }

  /** Chooses among the classes of a task that has statistics alone. */
  private async routeWithin(
    routing: TextRouter,
    { name, labels }: RoutedTask,
    encoded: EncodedTexts,
    top: number,
    signal?: AbortSignal,
  ): Promise<readonly RoutedItem[]> {
    const { router } = routing;
    const { values, classes } = await router.posterior(await this.features(encoded, signal), signal);
    const columns = router.labels.flatMap((label, i) => (labels.includes(label) ? i : []));
    const names = columns.map((column) => router.labels[column] ?? "");
    return asExamples(encoded.items).map(({ text }, row) => {
      const logs = columns.map((column) => values[row * classes + column] ?? Number.NEGATIVE_INFINITY);
      const ranked = rankLabels(names, softmax(logs), top);
      const [best = { label: "", score: 0 }] = ranked;
      return { answer: { text, ...best, task: name, top: ranked, passes: 1 }, task: undefined };
    });
  }
}

/** @throws ConfigError where no sets of labels can be given */
function requireSets({ kind, model }: FittedRouter, only: number | undefined): void {
  if (only !== undefined)
    throw new ConfigError("coverage: sets of labels are given among all classes, not within a task", {
      hint: "Leave the task out.",
    });
  if (model.members[0]?.type !== "density")
    throw new ConfigError(`coverage: router ${kind} keeps no texts that would calibrate sets of labels`, {
      hint: "router.kind: stacking, the default, and kernel-discriminant do.",
    });
}

/** The set by name: where it is not empty, the answer comes first. */
function namesOf({ columns, calibrated }: PredictionSet, label: string, { labels }: FittedRouter) {
  const named = columns.map((column) => labels[column]!);
  const set = named.length === 0 ? named : [label, ...named.filter((name) => name !== label)];
  return { set, ...(!calibrated && { setCalibrated: false as const }) };
}
