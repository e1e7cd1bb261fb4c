/**
 * A run as the report sees it: the events of `events.jsonl`, put in order by task, and `metrics.json`.
 * Everything that is shown is a function of this record alone.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { computeProbing } from "../../core/probing.ts";
import type {
  AccuracyMatrix,
  ProbingMetrics,
  RunEvent,
  RunHeader,
  RunLevel,
  RunMetrics,
} from "../../core/record.ts";
import { runEventSchema, runMetricsSchema } from "./schema.ts";

/** The events of one type. */
export type EventOf<T extends RunEvent["type"]> = Extract<RunEvent, { readonly type: T }>;

/** What happened to one task; the parts that have not come yet are undefined or empty. */
export interface TaskRecord {
  /** Counts from 0. */
  readonly task: number;
  readonly name: string;
  readonly labels: readonly string[];
  /** At word level the entity types that the labels are of. */
  readonly types?: readonly string[];
  readonly started: EventOf<"task-started"> | undefined;
  readonly steps: readonly EventOf<"step">[];
  readonly epochs: readonly EventOf<"epoch">[];
  readonly learned: EventOf<"task-learned"> | undefined;
  readonly evaluated: EventOf<"evaluated"> | undefined;
  /** At word level, in place of `evaluated`. */
  readonly wordsEvaluated: EventOf<"words-evaluated"> | undefined;
}

export interface RunRecord {
  readonly header: RunHeader;
  readonly level: RunLevel;
  /** ISO 8601 in UTC, of the first and the last event. */
  readonly startedAt: string;
  readonly lastEventAt: string;
  readonly resumes: number;
  readonly warnings: readonly string[];
  /** All tasks of the run, those not yet begun too. */
  readonly tasks: readonly TaskRecord[];
  /** Rows for the tasks evaluated so far, each as long as there are rows. */
  readonly cil: AccuracyMatrix;
  readonly til: AccuracyMatrix;
  /** What probes found so far; undefined where the run does not probe. */
  readonly probing: ProbingMetrics | undefined;
  /** Undefined as long as the run is not finished. */
  readonly metrics: RunMetrics | undefined;
}

/**
 * The events of an `events.jsonl`, in file order.
 *
 * A last line without a line break that is no JSON is what a killed writer leaves; it is skipped.
 *
 * @throws StoreError at any other bad line, with its number.
 */
export function parseEvents(text: string): RunEvent[] {
  const lines = text.split("\n");
  const events: RunEvent[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const value = parseJson(line);
    if (value === undefined) {
      if (index === lines.length - 1) break;
      throw new StoreError(`events.jsonl, line ${index + 1}: not JSON: ${excerpt(line)}`);
    }
    const parsed = runEventSchema.safeParse(value.json);
    if (!parsed.success)
      throw new StoreError(`events.jsonl, line ${index + 1}: not a run event: ${firstIssue(parsed.error)}`);
    events.push(parsed.data);
  }
  return events;
}

/** Undefined where the text is no JSON; JSON's own null is `{ json: null }`. */
function parseJson(text: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function excerpt(line: string): string {
  return JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}…` : line);
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return error.message;
  return issue.path.length === 0 ? issue.message : `${z.core.toDotPath(issue.path)}: ${issue.message}`;
}

/**
 * Puts a run's events in order. A resumed run repeats the task it was interrupted in; of repeated tasks, epochs and
 * steps the last one wins, and a warning that was given again is kept once.
 *
 * @param metrics what `metrics.json` holds; without it, those of the `run-finished` event, if there is one.
 * @throws StoreError if there is no `run-started` event.
 */
export function buildRunRecord(events: readonly RunEvent[], metrics?: RunMetrics): RunRecord {
  const header = last(events, "run-started")?.header;
  const first = events[0];
  const final = events[events.length - 1];
  if (header === undefined || first === undefined || final === undefined)
    throw new StoreError("the run has no run-started event", {
      hint: "The run stopped before it began; start it again.",
    });
  const tasks = collectTasks(header, events);
  const known = metrics ?? last(events, "run-finished")?.metrics;
  return {
    header,
    level: header.level ?? "sentence",
    startedAt: first.time,
    lastEventAt: final.time,
    resumes: events.filter((event) => event.type === "run-resumed").length,
    warnings: [...new Set(events.flatMap((event) => (event.type === "warning" ? [event.message] : [])))],
    tasks,
    cil: known?.cil.matrix ?? matrixOf(tasks, "cil"),
    til: known?.til.matrix ?? matrixOf(tasks, "til"),
    probing:
      (known?.level === undefined ? known?.probing : undefined) ??
      computeProbing(events.filter((event) => event.type === "probed")),
    metrics: known,
  };
}

function last<T extends RunEvent["type"]>(events: readonly RunEvent[], type: T): EventOf<T> | undefined {
  return events.findLast((event): event is EventOf<T> => event.type === type);
}

/** What a task's events leave behind; steps and epochs by number, so that a repetition replaces. */
interface Draft {
  started?: EventOf<"task-started">;
  learned?: EventOf<"task-learned">;
  evaluated?: EventOf<"evaluated">;
  wordsEvaluated?: EventOf<"words-evaluated">;
  readonly steps: Map<number, EventOf<"step">>;
  readonly epochs: Map<number, EventOf<"epoch">>;
}

function collectTasks(header: RunHeader, events: readonly RunEvent[]): TaskRecord[] {
  const drafts: Draft[] = [];
  const draft = (task: number): Draft => {
    for (let next = drafts.length; next <= task; next++) drafts.push({ steps: new Map(), epochs: new Map() });
    return drafts[task]!;
  };
  for (const task of header.tasks.keys()) draft(task);
  for (const event of events) {
    if (event.type === "task-started") draft(event.task).started = event;
    else if (event.type === "step") draft(event.task).steps.set(event.step, event);
    else if (event.type === "epoch") draft(event.task).epochs.set(event.epoch, event);
    else if (event.type === "task-learned") draft(event.task).learned = event;
    else if (event.type === "evaluated") draft(event.task).evaluated = event;
    else if (event.type === "words-evaluated") draft(event.task).wordsEvaluated = event;
  }
  return drafts.map((found, task) => ({
    task,
    name: found.started?.name ?? header.tasks[task]?.name ?? `task-${task}`,
    labels: found.started?.labels ?? header.tasks[task]?.labels ?? [],
    started: found.started,
    steps: [...found.steps.values()].sort((a, b) => a.step - b.step),
    epochs: [...found.epochs.values()].sort((a, b) => a.epoch - b.epoch),
    learned: found.learned,
    evaluated: found.evaluated,
    wordsEvaluated: found.wordsEvaluated,
    ...typesOf(header, task),
  }));
}

function typesOf(header: RunHeader, task: number): Pick<TaskRecord, "types"> {
  const types = header.tasks[task]?.types;
  return types === undefined ? {} : { types };
}

/** What a task's predictions choose among: labels, at word level entity types. */
export function namesOf({ types, labels }: TaskRecord): readonly string[] {
  return types ?? labels;
}

/** One protocol's part of an evaluation, of whatever level. */
export interface ProtocolView {
  /** Row k of its matrix. */
  readonly row: readonly number[];
  readonly passesPerExample: number;
}

/** An evaluation as the drawings see it; undefined where the task has none. */
export function evaluationOf({
  evaluated,
  wordsEvaluated,
}: TaskRecord):
  | { readonly cil: ProtocolView; readonly til: ProtocolView; readonly seconds: number }
  | undefined {
  if (wordsEvaluated !== undefined) {
    const { cil, til, seconds } = wordsEvaluated;
    return { cil: { ...cil, row: cil.perTask }, til: { ...til, row: til.perTask }, seconds };
  }
  if (evaluated === undefined) return undefined;
  const { cil, til, passesPerExample, seconds } = evaluated;
  return { cil: { row: cil, passesPerExample }, til: { row: til, passesPerExample: 1 }, seconds };
}

/** Rows up to the first task without an evaluation. */
function matrixOf(tasks: readonly TaskRecord[], protocol: "cil" | "til"): AccuracyMatrix {
  const rows: (readonly number[])[] = [];
  for (const task of tasks) {
    const evaluation = evaluationOf(task);
    if (evaluation === undefined) break;
    rows.push(evaluation[protocol].row);
  }
  return rows.map((row) => rows.map((_, j) => row[j] ?? null));
}

/**
 * Reads a run folder's `events.jsonl` and, where the run is finished, `metrics.json`.
 *
 * @throws StoreError if there are no events, or a file is damaged.
 */
export async function readRunRecord(folder: string): Promise<RunRecord> {
  const text = await readIfThere(join(folder, "events.jsonl"));
  if (text === undefined)
    throw new StoreError(`${folder}: no events.jsonl`, {
      hint: "Give the folder that `out` named in the run.",
    });
  return buildRunRecord(parseEvents(text), await readMetrics(join(folder, "metrics.json")));
}

async function readMetrics(path: string): Promise<RunMetrics | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const value = parseJson(text);
  if (value === undefined) throw new StoreError(`${path}: not JSON: ${excerpt(text)}`);
  const parsed = runMetricsSchema.safeParse(value.json);
  if (!parsed.success) throw new StoreError(`${path}: not a run's metrics: ${firstIssue(parsed.error)}`);
  return parsed.data;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new StoreError(`${path}: cannot be read: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}
