/** Evaluation after each task: the answers that prediction gives, on test sets that are asked again and again. */

import { type Answer, isTagged } from "../continual/answers.ts";
import { measureCalibration } from "../continual/metrics/calibrationError.ts";
import type { RoutedTask, TaskRouting } from "../continual/routing/taskRouting.ts";
import type {
  AnswerOptions,
  EncodedItems,
  EvaluationFigures,
  Item,
  PredictionLine,
  RoutedItem,
  TaskToLearn,
  TaskType,
  TestedTask,
} from "../continual/taskTypes/taskType.ts";
import { goldOf } from "../continual/taskTypes/textScores.ts";
import type { LearnedTask } from "../continual/types.ts";
import type { OutOfScopeMetrics, UnseenRow } from "../core/record.ts";
import type { StateRouter } from "./continualModel.ts";
import type { ModelState } from "./state.ts";

export interface EvaluatorOptions {
  /** Texts that belong to no class of the stream. */
  readonly outOfScope?: readonly Item[] | undefined;
  /** They are asked for once, when so many tasks are learned. */
  readonly outOfScopeAfter?: number | undefined;
  /** What a task's adapter says of a test set, where that was computed elsewhere. */
  readonly outputs?: ((task: number, test: number) => Promise<Float32Array | undefined>) | undefined;
}

export interface EvaluateOptions {
  /** The router of the state; absent: nothing routes. */
  readonly router?: StateRouter | undefined;
  /** Another router of the state, whose accuracy is reported beside that one's. */
  readonly immediate?: StateRouter | undefined;
  /** What exact protocols gave for these very adapters and tests; they are then not asked again. */
  readonly known?: EvaluationFigures | undefined;
  /** The task that is learned next, for models that can be asked about it before. */
  readonly next?: TestedTask | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Exact, task given, or routed. */
export type Protocol = "cil" | "til" | "routed";

/** A line of `predictions.jsonl`: the answer to an item of a task's test set. */
export type RecordedPrediction = PredictionLine & {
  readonly protocol: Protocol;
  /** Tasks learned by then. */
  readonly learned: number;
  readonly task: string;
  /** From 0. */
  readonly index: number;
};

export interface EvaluatedState {
  readonly figures: EvaluationFigures;
  readonly predictions: readonly RecordedPrediction[];
}

export interface RunEvaluator {
  /** Puts the first task's test before the model. @returns what a reader should know of it, one sentence each */
  prepare(first: TestedTask): readonly string[];
  /**
   * Every protocol on the tests of all tasks learned so far.
   * @param tested the tasks of the state, in order, with their test items
   */
  evaluate(
    state: ModelState,
    tested: readonly TestedTask[],
    options?: EvaluateOptions,
  ): Promise<EvaluatedState>;
}

interface Parts<E extends EncodedItems, R> {
  readonly type: TaskType<E>;
  readonly statistics?: TaskRouting<E, R> | undefined;
  readonly routerOf: (router: StateRouter | undefined) => {
    readonly route: (
      tasks: readonly RoutedTask[],
      encoded: E,
      options: AnswerOptions,
    ) => Promise<readonly RoutedItem[]>;
    readonly routing?: R;
  };
  readonly untrained: (task: Pick<TaskToLearn, "name" | "labels">) => Promise<LearnedTask>;
  /** Tells the task type which labels may be answers: those of a state, and some more. */
  readonly expectLabels: (state: ModelState, more: readonly string[]) => void;
}

export class Evaluator<E extends EncodedItems, R> implements RunEvaluator {
  private readonly parts: Parts<E, R>;
  private readonly options: EvaluatorOptions;
  private readonly tests: E[] = [];
  private outside: E | undefined;
  /** Task-incremental answers never change: a task's own adapter stays as it is. */
  private readonly til: (readonly Answer[])[] = [];

  constructor(parts: Parts<E, R>, options: EvaluatorOptions) {
    this.parts = parts;
    this.options = options;
  }

  private test(index: number, { name, test }: TestedTask): E {
    this.tests[index] ??= this.parts.type.encode(test, { what: `test of ${name}`, keep: true });
    return this.tests[index];
  }

  prepare(first: TestedTask): readonly string[] {
    if (!this.parts.type.sharesTest) return [];
    const { cutWords = 0 } = this.test(0, first);
    if (cutWords === 0) return [];
    return [`Words of test beyond training.maxLength: ${cutWords}; entities in them count as missed.`];
  }

  async evaluate(
    state: ModelState,
    tested: readonly TestedTask[],
    { router, immediate, known, next, signal }: EvaluateOptions = {},
  ): Promise<EvaluatedState> {
    const { type, expectLabels } = this.parts;
    expectLabels(state, next?.labels ?? []);
    const learned = state.tasks.flatMap((task) => task.learned ?? []);
    const tests = type.sharesTest
      ? tested.slice(0, 1).map((task) => this.test(0, task))
      : tested.map((task, i) => this.test(i, task));
    const cil: (readonly Answer[])[] = [];
    if (known === undefined) {
      await this.takeOutputs(learned, tests);
      for (const test of tests) cil.push(await type.answer(learned, test, { top: 1, signal }));
      for (let own = this.til.length; own < tested.length; own++)
        this.til.push(
          await type.answer(learned, tests[type.sharesTest ? 0 : own]!, { only: own, top: 1, signal }),
        );
    }
    const til = known === undefined ? this.til.slice(0, tested.length) : [];
    const routed: (readonly RoutedItem[])[] = [];
    if (router !== undefined) {
      const { route } = this.parts.routerOf(router);
      for (const test of tests) routed.push(await route(state.tasks, test, { top: 1, signal }));
    }
    const answered = { tasks: tested, til, cil, ...(router && { routed }) };
    const beside = await this.immediateCorrect(state, tested, tests, immediate, signal);
    const scored = withImmediate(withCalibration(type.score(answered), tested, routed), beside);
    const figures = this.withKnown(scored, known, router);
    const outOfScope = await this.measureRejection(router, tests, routed, signal);
    const unseen = next && (await this.measureUnseen(learned, next, signal));
    return {
      figures: { ...figures, ...(outOfScope && { outOfScope }), ...(unseen && { unseen }) },
      predictions: this.record(tested, { til, cil, routed }),
    };
  }

  /** Of each pair of an adapter and a test set, once. */
  private async takeOutputs(learned: readonly LearnedTask[], tests: readonly E[]): Promise<void> {
    const { type } = this.parts;
    for (const [task, adapter] of learned.entries())
      for (const [test, encoded] of tests.entries()) {
        // Earlier ones were asked for after earlier tasks.
        if (task < learned.length - 1 && test < tests.length - 1) continue;
        const values = await this.options.outputs?.(task, test);
        if (values !== undefined) type.takeOutputs?.(adapter, encoded, values);
      }
  }

  /** How many items of each task another router gets right; undefined where there is none. */
  private async immediateCorrect(
    { tasks }: ModelState,
    tested: readonly TestedTask[],
    tests: readonly E[],
    immediate: StateRouter | undefined,
    signal?: AbortSignal,
  ): Promise<readonly number[] | undefined> {
    if (immediate === undefined || this.parts.type.sharesTest) return undefined;
    const { route } = this.parts.routerOf(immediate);
    const correct: number[] = [];
    for (const [own, test] of tests.entries()) {
      const items = await route(tasks, test, { top: 1, signal });
      const gold = tested[own]!.test.map(goldOf);
      correct.push(items.filter(({ answer }, i) => !isTagged(answer) && answer.label === gold[i]).length);
    }
    return correct;
  }

  /** The exact protocols' figures as they are known, and the router's in the record. */
  private withKnown(
    figures: EvaluationFigures,
    known: EvaluationFigures | undefined,
    router: StateRouter | undefined,
  ): EvaluationFigures {
    const { summary } = router ?? {};
    if (figures.type === "evaluated") {
      const { routed, ...exact } =
        known?.type === "evaluated" ? { ...known, routed: figures.routed } : figures;
      return { ...exact, ...(routed && { routed: { ...routed, ...(summary && { router: summary }) } }) };
    }
    const { routed, ...exact } =
      known?.type === "words-evaluated" ? { ...known, routed: figures.routed } : figures;
    return { ...exact, ...(routed && summary && { routed: { ...routed, router: summary } }) };
  }

  private async measureRejection(
    router: StateRouter | undefined,
    tests: readonly E[],
    routed: readonly (readonly RoutedItem[])[],
    signal?: AbortSignal,
  ): Promise<OutOfScopeMetrics | undefined> {
    const { outOfScope, outOfScopeAfter } = this.options;
    const { statistics, routerOf, type } = this.parts;
    if (outOfScope === undefined || router === undefined || outOfScopeAfter !== tests.length)
      return undefined;
    const { routing } = routerOf(router);
    if (routing === undefined) return undefined;
    this.outside ??= type.encode(outOfScope, { what: "out of scope", keep: true });
    return await statistics?.measureRejection?.(routing, tests, routed, this.outside, signal);
  }

  private async measureUnseen(
    learned: readonly LearnedTask[],
    next: TestedTask,
    signal?: AbortSignal,
  ): Promise<UnseenRow | undefined> {
    const { type, untrained } = this.parts;
    if (type.measureUnseen === undefined) return undefined;
    return await type.measureUnseen(learned, next, await untrained(next), signal);
  }

  private record(
    tested: readonly TestedTask[],
    answers: {
      readonly til: readonly (readonly Answer[])[];
      readonly cil: readonly (readonly Answer[])[];
      readonly routed: readonly (readonly RoutedItem[])[];
    },
  ): readonly RecordedPrediction[] {
    const { type } = this.parts;
    const lines = (protocol: Protocol, all: readonly (readonly Answer[])[]) =>
      all.flatMap((own, place) => {
        const alone = protocol === "til";
        // What all tasks are tested on is asked for the types of all so far, or of the one task alone.
        const asked = type.sharesTest && !alone ? tested.at(-1) : tested[place];
        const types = alone ? asked?.types : undefined;
        return own.map((answer, index) => ({
          protocol,
          learned: tested.length,
          task: asked!.name,
          index,
          ...type.describePrediction(asked!.test[index]!, answer, types),
        }));
      });
    const { til, cil, routed } = answers;
    return [
      ...lines("til", til),
      ...lines("cil", cil),
      ...lines(
        "routed",
        routed.map((own) => own.map(({ answer }) => answer)),
      ),
    ];
  }
}

function withImmediate(
  figures: EvaluationFigures,
  immediateCorrect: readonly number[] | undefined,
): EvaluationFigures {
  if (figures.type !== "evaluated" || figures.routed === undefined || immediateCorrect === undefined)
    return figures;
  return { ...figures, routed: { ...figures.routed, immediateCorrect: [...immediateCorrect] } };
}

/** What the scores of routed answers are worth, where they are of texts. */
function withCalibration(
  figures: EvaluationFigures,
  tested: readonly TestedTask[],
  routed: readonly (readonly RoutedItem[])[],
): EvaluationFigures {
  if (figures.type !== "evaluated" || figures.routed === undefined) return figures;
  const answers = routed.flat().flatMap(({ answer }) => (isTagged(answer) ? [] : [answer]));
  const gold = tested.flatMap(({ test }) => test.map(goldOf));
  if (answers.length !== gold.length) return figures;
  const calibration = measureCalibration(answers, gold);
  return { ...figures, routed: { ...figures.routed, ...(calibration && { calibration }) } };
}
