/** Runs below a folder, finished or under way, as the page shows them: read from their records, and read on as these grow. */
import { open, readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { StoreError } from "../../core/errors.ts";
import type { RunEvent } from "../../core/record.ts";
import { refuseHeld } from "../../io/lock.ts";
import { summarize } from "../../report/record/figures.ts";
import { buildRunRecord, parseEvents, type RunRecord } from "../../report/record/record.ts";
import { RequestError } from "../engine/errors.ts";

const eventsFile = "events.jsonl";
/** Folders within folders that are looked through: a sweep, or a folder of seeds, holds runs itself. */
const DEPTH = 2;
const MOST_RUNS = 500;
/** Points of a loss curve that are told. */
const MOST_POINTS = 240;
const MOST_LINES = 60;
const POLL_MS = 700;

export type RunState = "running" | "finished" | "stopped";

export interface RunSummary {
  readonly id: string;
  readonly state: RunState;
  readonly backbone: string;
  readonly tasks: number;
  readonly tasksDone: number;
  readonly started: string;
  readonly lastEvent: string;
  /** The mean over tasks: routed where something routes, else of all adapters asked. */
  readonly accuracy?: number;
  readonly forgetting?: number;
  readonly passesPerExample?: number;
  readonly trainSeconds?: number;
}

export interface RunView extends RunSummary {
  readonly level: "sentence" | "word";
  readonly taskNames: readonly string[];
  /** `matrix[k][j]`: after task k, on task j. */
  readonly matrix: readonly (readonly (number | null)[])[];
  readonly loss: readonly { readonly step: number; readonly loss: number; readonly task: number }[];
  readonly now?: {
    readonly task: string;
    readonly step: number;
    readonly totalSteps: number;
    readonly loss: number;
    readonly learningRate: number;
    readonly examplesPerSecond: number;
    readonly secondsLeft: number;
  };
  readonly log: readonly { readonly time: string; readonly message: string }[];
}

/** The events of a run's file so far; asked again it reads what came since. */
class EventReader {
  private readonly path: string;
  private offset = 0;
  private rest = "";
  readonly events: RunEvent[] = [];

  constructor(path: string) {
    this.path = path;
  }

  /** @returns whether something came */
  async readOn(): Promise<boolean> {
    await using file = await open(this.path);
    const { size } = await file.stat();
    if (size < this.offset) {
      // It was begun anew.
      this.offset = 0;
      this.rest = "";
      this.events.length = 0;
    }
    if (size === this.offset) return false;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - this.offset), {
      position: this.offset,
    });
    this.offset += bytesRead;
    const text = this.rest + buffer.toString("utf8", 0, bytesRead);
    const end = text.lastIndexOf("\n") + 1;
    this.rest = text.slice(end);
    this.events.push(...parseEvents(text.slice(0, end)));
    return end > 0;
  }
}

/** What is said of an event, for people; undefined for steps and the like, which figures show. */
function sayEvent(event: RunEvent, { tasks }: RunRecord): string | undefined {
  switch (event.type) {
    case "run-started":
      return `Started: ${event.header.tasks.length} tasks on ${basename(event.header.backbone.name)}`;
    case "run-resumed":
      return `Went on after ${event.finishedTasks} finished tasks`;
    case "warning":
      return `Note: ${event.message}`;
    case "task-started":
      return `Task ${event.name}: ${event.labels.length} classes, ${event.trainExamples} texts to learn from`;
    case "task-learned":
      return `Task ${event.name} was learned in ${event.seconds.toFixed(1)} s`;
    case "evaluated":
    case "words-evaluated":
      return `Tested after task ${tasks[event.task]?.name ?? event.task + 1}`;
    case "run-finished":
      return "Finished";
    default:
      return undefined;
  }
}

function thinned<T>(all: readonly T[], most: number): readonly T[] {
  const step = Math.max(1, Math.ceil(all.length / most));
  return all.filter((_, i) => i % step === 0 || i === all.length - 1);
}

function figuresOf(record: RunRecord): Omit<RunSummary, "id" | "state"> {
  const { totalTasks, evaluatedTasks, trainSeconds, ...figures } = summarize(record);
  const { headline, forgetting, passesPerExample } = figures.routed ?? figures.cil;
  return {
    backbone: basename(record.header.backbone.name),
    tasks: totalTasks,
    tasksDone: evaluatedTasks,
    started: record.startedAt,
    lastEvent: record.lastEventAt,
    ...(headline !== undefined && { accuracy: headline }),
    ...(forgetting !== undefined && { forgetting }),
    ...(passesPerExample !== undefined && { passesPerExample }),
    ...(trainSeconds !== undefined && { trainSeconds }),
  };
}

function viewOf(summary: RunSummary, record: RunRecord, events: readonly RunEvent[]): RunView {
  const figures = summarize(record);
  const steps = events.filter((event) => event.type === "step");
  const last = steps.at(-1);
  const log = events.flatMap((event) => {
    const message = sayEvent(event, record);
    return message === undefined ? [] : { time: event.time, message };
  });
  return {
    ...summary,
    level: record.level,
    taskNames: record.tasks.map(({ name }) => name),
    matrix: (figures.routed ?? figures.cil).matrix,
    loss: thinned(
      steps.map(({ task, loss }, step) => ({ step, loss, task })),
      MOST_POINTS,
    ),
    ...(last &&
      summary.state === "running" && {
        now: {
          task: record.tasks[last.task]?.name ?? "",
          step: last.step,
          totalSteps: last.totalSteps,
          loss: last.loss,
          learningRate: last.learningRate,
          examplesPerSecond: last.examplesPerSecond,
          secondsLeft: last.secondsLeft,
        },
      }),
    log: log.slice(-MOST_LINES),
  };
}

export class Runs {
  private readonly root: string;
  private readonly readers = new Map<string, EventReader>();

  /** @param folder of runs, or a run itself; it may not be there yet */
  constructor(folder: string) {
    this.root = resolve(folder);
  }

  private async find(folder: string, id: string, depth: number): Promise<readonly string[]> {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    if (entries.some(({ name }) => name === eventsFile)) return [id];
    if (depth === 0) return [];
    const inside: string[] = [];
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith("."))
        inside.push(...(await this.find(join(folder, entry.name), join(id, entry.name), depth - 1)));
    return inside;
  }

  private async ids(): Promise<readonly string[]> {
    return (await this.find(this.root, "", DEPTH)).slice(0, MOST_RUNS);
  }

  private folderOf(id: string): string {
    return join(this.root, id);
  }

  private async stateOf(id: string, record: RunRecord): Promise<RunState> {
    if (record.metrics !== undefined) return "finished";
    return await refuseHeld(this.folderOf(id)).then(
      () => "stopped",
      () => "running",
    );
  }

  private async read(id: string) {
    const path = join(this.folderOf(id), eventsFile);
    const reader = this.readers.get(id) ?? new EventReader(path);
    this.readers.set(id, reader);
    await reader.readOn();
    const record = buildRunRecord(reader.events);
    const name = id === "" ? basename(this.root) : id;
    const summary = { id: name, state: await this.stateOf(id, record), ...figuresOf(record) };
    return { summary, record, events: reader.events };
  }

  /** The newest first; what cannot be read is left out. */
  async list(): Promise<readonly RunSummary[]> {
    const found: RunSummary[] = [];
    for (const id of await this.ids())
      await this.read(id).then(
        ({ summary }) => found.push(summary),
        () => {},
      );
    return found.sort((a, b) => (a.started < b.started ? 1 : -1));
  }

  /** @throws RequestError 404 where there is no such run */
  async view(name: string): Promise<RunView> {
    const id = (await this.ids()).find((each) => (each === "" ? basename(this.root) : each) === name);
    if (id === undefined)
      throw new RequestError(404, "NO_SUCH_RUN", `no run is called ${JSON.stringify(name)}`, {
        hint: "GET /runs lists them.",
      });
    try {
      const { summary, record, events } = await this.read(id);
      return viewOf(summary, record, events);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      throw new RequestError(404, "NO_SUCH_RUN", `run "${name}" has not begun, or its record is damaged`);
    }
  }

  /** The view of a run now, and whenever it has become another, until it has ended. */
  async *watch(name: string, signal: AbortSignal): AsyncGenerator<RunView> {
    let told = "";
    while (!signal.aborted) {
      const view = await this.view(name);
      const text = JSON.stringify(view);
      if (text !== told) yield view;
      told = text;
      if (view.state === "finished") return;
      await sleep(POLL_MS, undefined, { signal, ref: false }).catch(() => {});
    }
  }
}
