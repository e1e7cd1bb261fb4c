import { isEvaluation } from "../continual/metrics/runMetrics.ts";
import type { RunCost, RunEventBody } from "../core/record.ts";

const now = (): number => performance.now() / 1000;

/** Measures what a run costs, and estimates what is left of it. Seconds throughout. */
export class Timekeeper {
  private readonly plannedSteps: readonly number[];
  private trainSeconds = 0;
  private evalSeconds = 0;
  private finishedTasks = 0;
  private taskStart = 0;
  private taskSteps = 0;
  private taskExamples = 0;
  private taskTokens = 0;
  /** Steps done and the seconds they took, over all tasks of this process. */
  private paceSteps = 0;
  private paceSeconds = 0;
  private lastStep = 0;
  /** Of the evaluation after the latest task. */
  private evaluationSeconds = 0;

  /** @param plannedSteps of every task of the stream */
  constructor(plannedSteps: readonly number[]) {
    this.plannedSteps = plannedSteps;
  }

  /** Takes over what an interrupted run had spent. */
  replay(event: RunEventBody): void {
    if (event.type === "task-learned") {
      this.trainSeconds += event.seconds;
      this.finishedTasks += 1;
    }
    if (isEvaluation(event) || event.type === "probed") this.evalSeconds += event.seconds;
  }

  startTask(): void {
    this.taskStart = now();
    this.lastStep = this.taskStart;
    this.taskSteps = 0;
    this.taskExamples = 0;
    this.taskTokens = 0;
  }

  step(
    examples: number,
    tokens: number,
  ): { examplesPerSecond: number; tokensPerSecond: number; secondsLeft: number } {
    const time = now();
    this.taskSteps += 1;
    this.taskExamples += examples;
    this.taskTokens += tokens;
    this.paceSteps += 1;
    this.paceSeconds += time - this.lastStep;
    this.lastStep = time;
    const elapsed = Math.max(1e-9, time - this.taskStart);
    return {
      examplesPerSecond: this.taskExamples / elapsed,
      tokensPerSecond: this.taskTokens / elapsed,
      secondsLeft: this.secondsLeft(),
    };
  }

  /** The steps that remain at the pace so far, and evaluations that grow by one adapter and one test set a task. */
  private secondsLeft(): number {
    const pace = this.paceSeconds / Math.max(1, this.paceSteps);
    const steps =
      this.plannedSteps.slice(this.finishedTasks).reduce((sum, count) => sum + count, 0) - this.taskSteps;
    const perTask = this.evaluationSeconds / Math.max(1, this.finishedTasks);
    let evaluations = 0;
    for (let task = this.finishedTasks; task < this.plannedSteps.length; task++)
      evaluations += perTask * (task + 1);
    return Math.max(0, steps) * pace + evaluations;
  }

  /**
   * @param elsewhere seconds that another machine took for it
   * @returns the seconds the task took, saving included
   */
  finishTask(elsewhere = 0): number {
    const seconds = elsewhere + now() - this.taskStart;
    this.trainSeconds += seconds;
    this.finishedTasks += 1;
    return seconds;
  }

  /** @param elsewhere seconds that another machine took for a part of it */
  async evaluation<T>(
    evaluate: () => Promise<T>,
    elsewhere = 0,
  ): Promise<{ readonly value: T; readonly seconds: number }> {
    const { value, seconds } = await this.probing(evaluate);
    this.evalSeconds += elsewhere;
    this.evaluationSeconds = seconds;
    return { value, seconds: seconds + elsewhere };
  }

  /** Counts as evaluation, but grows with the tasks in another way. */
  async probing<T>(measure: () => Promise<T>): Promise<{ readonly value: T; readonly seconds: number }> {
    const start = now();
    const value = await measure();
    const seconds = now() - start;
    this.evalSeconds += seconds;
    return { value, seconds };
  }

  cost(): RunCost {
    return {
      trainSeconds: this.trainSeconds,
      evalSeconds: this.evalSeconds,
      // Node reports kibibytes.
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    };
  }
}
