import type { RunEvent, RunHeader, RunLevel } from "../../core/record.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatFitting,
  formatPairs,
  formatPercent,
} from "./format.ts";
import { RenewingLine } from "./renewingLine.ts";
import type { Terminal } from "./terminal.ts";

type EventOf<T extends RunEvent["type"]> = Extract<RunEvent, { readonly type: T }>;

/** What leaves a line of its own. */
type LineEvent = Exclude<RunEvent, EventOf<"step"> | EventOf<"router-fitting">>;

const chosenAmong: { readonly [L in RunLevel]: string } = { sentence: "labels", word: "entity types" };

/** Before a long run: what it is going to do, and with how much. */
function formatRunHeader(header: RunHeader): string {
  const router = header.config["router.kind"];
  const names = new Set(header.tasks.flatMap(({ types, labels }) => types ?? labels)).size;
  return formatPairs([
    ["backbone", `${header.backbone.name} (${header.backbone.hash.slice(0, 12)})`],
    ["frozen", `${formatCount(header.backbone.parameters)} parameters`],
    ["trainable", `${formatCount(header.trainableParametersPerTask)} parameters a task`],
    ...(header.selectorParameters === undefined
      ? []
      : [["selector", `${formatCount(header.selectorParameters)} parameters, shared by all tasks`] as const]),
    ["tasks", `${header.tasks.length}, ${names} ${chosenAmong[header.level ?? "sentence"]} in all`],
    [
      "memory",
      `about ${formatBytes(4 * header.backbone.parameters)} of weights a session, activations on top`,
    ],
    ...(typeof router === "string" ? [["router", `${router}, fitted anew after each task`] as const] : []),
    ["seed", String(header.seed)],
  ]);
}

/**
 * Tells a person how a run goes: on a terminal one line that renews itself, otherwise a plain line an epoch and a task.
 */
export class ProgressPrinter {
  readonly #terminal: Terminal;
  readonly #line: RenewingLine;
  #header: RunHeader | undefined;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#line = new RenewingLine(terminal);
  }

  print(event: RunEvent): void {
    if (event.type === "step") this.#printStep(event);
    else if (event.type === "router-fitting") this.#printFitting(event);
    else this.#printLine(event);
  }

  /** Takes the renewing line away, so that what follows starts on a clean one. */
  clear(): void {
    this.#line.clear();
  }

  #printStep(event: EventOf<"step">): void {
    const parts = [
      `task ${event.task + 1}/${this.#taskCount()}`,
      `epoch ${event.epoch + 1}`,
      `step ${event.step}/${event.totalSteps}`,
      `loss ${event.loss.toFixed(3)}`,
      `${formatCount(event.examplesPerSecond)} examples/s`,
      `${formatCount(event.tokensPerSecond)} tokens/s`,
      `${formatDuration(event.secondsLeft)} left`,
    ];
    this.#line.say(parts.join(" · "));
  }

  #printFitting(event: EventOf<"router-fitting">): void {
    this.#line.say(`${this.#taskTitle(event.task)} · ${formatFitting(event)}`);
  }

  #printLine(event: LineEvent): void {
    const text = this.#describe(event);
    if (text === undefined) return;
    this.clear();
    this.#terminal.err(text.endsWith("\n") ? text : `${text}\n`);
    if (event.type === "task-learned") this.#printWaiting(event.task);
  }

  /** What goes on between two events that may lie minutes apart. */
  #printWaiting(task: number): void {
    this.#line.say(`${this.#taskTitle(task)} · evaluating …`);
  }

  #describe(event: LineEvent): string | undefined {
    switch (event.type) {
      case "run-started":
        this.#header = event.header;
        return formatRunHeader(event.header);
      case "run-resumed":
        return `resumed: ${event.finishedTasks} of ${this.#taskCount()} tasks were done`;
      case "warning":
        return `note: ${event.message}`;
      case "task-started":
        return (
          `${this.#taskTitle(event.task)} ${event.name}: ${event.labels.length} labels, ` +
          `${formatCount(event.trainExamples)} train, ${formatCount(event.validationExamples)} validation, ` +
          `${formatCount(event.testExamples)} test, ${formatCount(event.totalSteps)} steps`
        );
      case "epoch": {
        const { validationAccuracy } = event;
        const validation =
          validationAccuracy === undefined ? "" : `, validation ${formatPercent(validationAccuracy)}`;
        return `${this.#taskTitle(event.task)} epoch ${event.epoch + 1}: loss ${event.meanLoss.toFixed(4)}${validation}`;
      }
      case "task-learned": {
        const cut =
          event.truncatedTexts === 0 ? "" : `, ${formatCount(event.truncatedTexts)} texts cut to maxLength`;
        const early = event.stoppedEarly ? ", stopped early" : "";
        return `${this.#taskTitle(event.task)} learned in ${formatDuration(event.seconds)}${early}${cut}`;
      }
      case "evaluated":
        return (
          `${this.#taskTitle(event.task)} evaluated: CIL ${formatPercent(mean(event.cil))}, ` +
          `TIL ${formatPercent(mean(event.til))}${routedPart(event)} on ${counted(event.cil.length)} (${formatDuration(event.seconds)})`
        );
      case "words-evaluated":
        return (
          `${this.#taskTitle(event.task)} evaluated: CIL micro F1 ${formatPercent(event.cil.microF1)}, ` +
          `TIL ${formatPercent(event.til.microF1)}${routedWordsPart(event)} on ${counted(event.cil.perTask.length)} (${formatDuration(event.seconds)})`
        );
      case "baseline-measured":
        return `baseline, ${event.baseline.method}: CIL ${formatPercent(event.baseline.cil)}, TIL ${formatPercent(event.baseline.til)} (${formatDuration(event.baseline.seconds)})`;
      case "probed": {
        const what = event.learned === 0 ? "the backbone alone" : this.#taskTitle(event.learned - 1);
        const found = Object.entries(event.accuracies).map(
          ([kind, accuracies]) => `${kind} ${formatPercent(mean(accuracies))}`,
        );
        return `${what} probed: ${found.join(", ")} (${formatDuration(event.seconds)})`;
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

function routedPart({ routed }: EventOf<"evaluated">): string {
  if (routed === undefined) return "";
  const passes = routed.passesPerExample.toFixed(2);
  return `, routed ${formatPercent(mean(routed.accuracy))} at ${passes} passes a text`;
}

function routedWordsPart({ routed }: EventOf<"words-evaluated">): string {
  if (routed === undefined) return "";
  return `, routed ${formatPercent(routed.microF1)} at ${routed.passesPerExample.toFixed(2)} passes a sentence`;
}

function counted(tasks: number): string {
  return `${tasks} ${tasks === 1 ? "task" : "tasks"}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
