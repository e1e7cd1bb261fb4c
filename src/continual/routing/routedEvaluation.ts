/** Routed class-incremental accuracy, a router on frozen features choosing among classes. */
import type { OutOfScopeMetrics, RoutedRow, RouterSummary } from "../../core/record.ts";
import type { Example } from "../../data/types.ts";
import { type AdaptedBackbone, type FeatureRows, type LearnedTask, rowOf } from "../adaptedBackbone.ts";
import { countRouted, type RoutedProtocol, type RoutedTest } from "../evaluation.ts";
import { largest, probabilitiesOf } from "./fusion.ts";
import type { OutOfScopeDetector } from "./outOfScope.ts";
import { auroc, falsePositiveRateAt95 } from "./rejection.ts";
import type { CurrentRouting, RoutedLearner } from "./routedLearner.ts";
import { type AskHeads, askingHeads, type Decision, decide, type RoutedTask } from "./routedPrediction.ts";
import type { Posterior } from "./types.ts";

/** What a record says of a router. */
export function summarizeRouter({ router, fusion, statistics }: CurrentRouting): RouterSummary {
  const { confident, weight, topTasks } = fusion;
  const below = Number.isFinite(confident) ? confident : null;
  return {
    kind: router.kind,
    heldOutAccuracy: router.choice.heldOutAccuracy,
    retainedBytes: router.retainedBytes,
    bytesPerClass: router.retainedBytes / Math.max(1, statistics.labels.length),
    ...(topTasks > 0 && { secondPass: { below, weight, topTasks } }),
  };
}

/** Texts of no class, and the share of known ones that may be rejected with them. */
export interface OutOfScopeTest {
  readonly examples: readonly Example[];
  readonly rejectRate: number;
  /** They are asked for once, when so many tasks are learned. */
  readonly afterTasks: number;
}

/**
 * Asks the router after each task. Where an adapter's logits on a test set are there already, the second pass of a text
 * reads them in place of running; its cost is counted all the same.
 */
export class RoutedEvaluator implements RoutedProtocol {
  readonly readsAdapters = false;
  readonly readsLogits = false;
  private readonly model: AdaptedBackbone;
  private readonly learner: RoutedLearner;
  private readonly outOfScope: OutOfScopeTest | undefined;
  /** Of each test set, in the order of learning: the backbone never changes. */
  private readonly features: FeatureRows[] = [];
  private outside: FeatureRows | undefined;

  constructor(model: AdaptedBackbone, learner: RoutedLearner, outOfScope?: OutOfScopeTest) {
    this.model = model;
    this.learner = learner;
    this.outOfScope = outOfScope;
  }

  async evaluate(
    tests: readonly RoutedTest[],
    learned: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<{ readonly routed: RoutedRow; readonly outOfScope?: OutOfScopeMetrics }> {
    const routing = await this.learner.current(signal);
    const tasks = learned.map((task) => ({ ...task, learned: task }));
    const answers: (readonly Decision[])[] = [];
    const first: number[] = [];
    for (const [own, test] of tests.entries()) {
      this.features[own] ??= await this.model.routingFeatures(test.encodings, routing.features, signal);
      const posterior = await routing.router.posterior(this.features[own], signal);
      first.push(countFirst(test, routing.router.labels, posterior));
      answers.push(await decide(posterior, tasks, routing, this.headsOn(test, tasks, signal), 1));
    }
    const asked = answers.flat().map((answer) => answer.asked);
    const meanAsked = asked.reduce((sum, count) => sum + count, 0) / Math.max(1, asked.length);
    const routed = {
      ...countRouted(tests, answers),
      passesPerExample: this.model.routedPassesOf(meanAsked),
      firstPassCorrect: first,
      router: summarizeRouter(routing),
    };
    const outOfScope = await this.measureRejection(tests, answers, routing, signal);
    return { routed, ...(outOfScope !== undefined && { outOfScope }) };
  }

  /** The logits that are there already, or adapters above the trunk that was kept of the test set. */
  private headsOn(test: RoutedTest, tasks: readonly RoutedTask[], signal?: AbortSignal): AskHeads {
    const { encodings, logits } = test;
    if (logits.length === tasks.length)
      return async (asked, rows) => rows.map((row, i) => rowOf(logits[asked[i]!]!, row));
    return async (asked, rows) => {
      if (rows.length === 0) return [];
      const trunk = await this.model.trunkRows(encodings, signal);
      return await askingHeads(this.model, tasks, encodings, signal, trunk)(asked, rows);
    };
  }

  private async measureRejection(
    tests: readonly RoutedTest[],
    answers: readonly (readonly Decision[])[],
    { features }: CurrentRouting,
    signal?: AbortSignal,
  ): Promise<OutOfScopeMetrics | undefined> {
    if (this.outOfScope?.afterTasks !== tests.length) return undefined;
    const { examples, rejectRate } = this.outOfScope;
    const detector = await this.learner.detector(rejectRate, signal);
    this.outside ??= await this.model.routingFeatures(
      this.model.encode(examples, "out of scope").encodings,
      features,
      signal,
    );
    const inside: Float64Array[] = [];
    for (const own of tests.keys()) inside.push(await detector.score(this.features[own]!, signal));
    const accepted = (own: number, row: number) => inside[own]![row]! <= detector.threshold;
    const right = tests.map(
      ({ examples: texts }, own) =>
        texts.filter(({ label }, row) => answers[own]?.[row]?.label === label && accepted(own, row)).length,
    );
    return summarizeRejection(detector, inside, await detector.score(this.outside, signal), right);
  }
}

/** Texts that the router gets right by itself. */
function countFirst({ examples }: RoutedTest, labels: readonly string[], posterior: Posterior): number {
  return examples.filter(({ label }, row) => labels[largest(probabilitiesOf(posterior, row))] === label)
    .length;
}

function summarizeRejection(
  { threshold, falseRejectRate }: OutOfScopeDetector,
  inside: readonly Float64Array[],
  outside: Float64Array,
  right: readonly number[],
): OutOfScopeMetrics {
  const scores = inside.flatMap((own) => [...own]);
  const share = (all: ArrayLike<number>) => {
    let above = 0;
    for (let i = 0; i < all.length; i++) if (all[i]! > threshold) above++;
    return above / all.length;
  };
  return {
    auroc: auroc(scores, outside),
    falsePositiveRateAt95: falsePositiveRateAt95(scores, outside),
    rejectRate: falseRejectRate,
    inScopeAccuracy: right.reduce((sum, count) => sum + count, 0) / scores.length,
    inScopeRejected: share(scores),
    outOfScopeRejected: share(outside),
  };
}
