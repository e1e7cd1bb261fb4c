import type { EventOf, RunEvent, RunHeader, RunLevel } from "../../core/record.ts";
import { mean, scoresOf } from "../../report/record/figures.ts";
import { plural } from "../../report/record/format.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatEpoch,
  formatFitting,
  formatPairs,
  formatPercent,
  formatStep,
} from "./format.ts";
import { lasting, Progress, passing, type Shown } from "./renewingLine.ts";

const chosenAmong: { readonly [L in RunLevel]: string } = { sentence: "labels", word: "entity types" };

/** Before a long run: what it is going to do, and with how much. */
function formatRunHeader(header: RunHeader): string {
  const router = header.config["router.kind"];
  const int8 = header.config.precision === "int8";
  const names = new Set(header.tasks.flatMap(({ types, labels }) => types ?? labels)).size;
  return formatPairs([
    ["backbone", `${header.backbone.name} (${header.backbone.hash.slice(0, 12)})`],
    [
      "frozen",
      `${formatCount(header.backbone.parameters)} parameters${int8 ? ", linear layers in 8 bits" : ""}`,
    ],
    ["trainable", `${formatCount(header.trainableParametersPerTask)} parameters a task`],
    ...(header.selectorParameters === undefined
      ? []
      : [["selector", `${formatCount(header.selectorParameters)} parameters, shared by all tasks`] as const]),
    ["tasks", `${header.tasks.length}, ${names} ${chosenAmong[header.level ?? "sentence"]} in all`],
    [
      "memory",
      `${int8 ? "less than" : "about"} ${formatBytes(4 * header.backbone.parameters)} of weights a session, activations on top`,
    ],
    ...(typeof router === "string" ? [["router", `${router}, fitted anew after each task`] as const] : []),
    ["seed", String(header.seed)],
  ]);
}

/** What a person is shown of a run: lasting lines, and on a terminal one line that renews itself. */
export class ProgressPrinter extends Progress<RunEvent> {
  #header: RunHeader | undefined;

  override print(event: RunEvent): void {
    super.print(event);
    // What goes on between two events that may lie minutes apart.
    if (event.type === "task-learned") this.say(`${this.#taskTitle(event.task)} · evaluating …`);
  }

  protected describe(event: RunEvent): Shown | undefined {
    switch (event.type) {
      case "run-started":
        this.#header = event.header;
        return lasting(formatRunHeader(event.header).trimEnd());
      case "run-resumed":
        return lasting(`resumed: ${event.finishedTasks} of ${this.#taskCount()} tasks were done`);
      case "warning":
        return lasting(`note: ${event.message}`);
      case "task-started":
        return lasting(
          `${this.#taskTitle(event.task)} ${event.name}: ${event.labels.length} labels, ` +
            `${formatCount(event.trainExamples)} train, ${formatCount(event.validationExamples)} validation, ` +
            `${formatCount(event.testExamples)} test, ${formatCount(event.totalSteps)} steps`,
        );
      case "step": {
        const parts = [
          this.#taskTitle(event.task),
          formatStep(event),
          `${formatCount(event.examplesPerSecond)} examples/s`,
          `${formatCount(event.tokensPerSecond)} tokens/s`,
          `${formatDuration(event.secondsLeft)} left`,
        ];
        return passing(parts.join(" · "));
      }
      case "epoch":
        return lasting(`${this.#taskTitle(event.task)} ${formatEpoch(event)}`);
      case "task-learned": {
        const cut =
          event.truncatedTexts === 0 ? "" : `, ${formatCount(event.truncatedTexts)} texts cut to maxLength`;
        const early = event.stoppedEarly ? ", stopped early" : "";
        const title = this.#taskTitle(event.task);
        return lasting(`${title} learned in ${formatDuration(event.seconds)}${early}${cut}`);
      }
      case "router-fitting":
        return passing(`${this.#taskTitle(event.task)} · ${formatFitting(event)}`);
      case "evaluated":
      case "words-evaluated":
        return lasting(`${this.#taskTitle(event.task)} evaluated: ${formatEvaluation(event)}`);
      case "baseline-measured": {
        const { method, cil, til, seconds } = event.baseline;
        return lasting(
          `baseline, ${method}: CIL ${formatPercent(cil)}, TIL ${formatPercent(til)} (${formatDuration(seconds)})`,
        );
      }
      case "probed": {
        const what = event.learned === 0 ? "the backbone alone" : this.#taskTitle(event.learned - 1);
        const found = Object.entries(event.accuracies).map(
          ([kind, accuracies]) => `${kind} ${formatPercent(mean(accuracies) ?? 0)}`,
        );
        return lasting(`${what} probed: ${found.join(", ")} (${formatDuration(event.seconds)})`);
      }
      case "run-finished":
        return undefined;
    }
  }

  #taskTitle(task: number): string {
    return `task ${task + 1}/${this.#taskCount()}`;
  }

  #taskCount(): string {
    return String(this.#header?.tasks.length ?? "?");
  }
}

function formatEvaluation(event: EventOf<"evaluated" | "words-evaluated">): string {
  const ofTexts = event.type === "evaluated";
  const task = ofTexts ? { evaluated: event } : { wordsEvaluated: event };
  const [cil, til, routed] = (["cil", "til", "routed"] as const).map((protocol) => scoresOf(task, protocol));
  const percent = (scores: typeof cil) => formatPercent(scores?.headline ?? 0);
  const chosen =
    routed &&
    `, routed ${percent(routed)} at ${routed.passesPerExample.toFixed(2)} passes a ${ofTexts ? "text" : "sentence"}`;
  const counted = `${plural(cil?.row.length ?? 0, "task")} (${formatDuration(event.seconds)})`;
  return `CIL ${ofTexts ? "" : "micro F1 "}${percent(cil)}, TIL ${percent(til)}${chosen ?? ""} on ${counted}`;
}
