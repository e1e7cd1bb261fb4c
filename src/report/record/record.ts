/**
 * A run as the report sees it: the events of `events.jsonl`, put in order by task, and `metrics.json`.
 * Everything that is shown is a function of this record alone.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorCode, messageOf, StoreError } from "../../core/errors.ts";
import { computeProbing } from "../../core/probing.ts";
import {
  type AccuracyMatrix,
  type EventOf,
  type ProbingMetrics,
  type RunEvent,
  type RunHeader,
  type RunLevel,
  type RunMetrics,
  runEventSchema,
  runMetricsSchema,
} from "../../core/record.ts";
import { type AnswerSummary, summarizeAnswers } from "./answers.ts";

/** What happened to one task; the parts that have not come yet are undefined or empty. */
export interface TaskRecord {
  /** Counts from 0. */
  readonly task: number;
  readonly name: string;
  readonly labels: readonly string[];
  /** At word level the entity types that the labels are of. */
  readonly types: readonly string[] | undefined;
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
  /** Of the last evaluation; undefined as long as the run is not finished, and where no text gets a label. */
  readonly answers: AnswerSummary | undefined;
}

/**
 * The events of an `events.jsonl`, in file order.
 *
 * A last line without a line break that is no JSON is what a killed writer leaves; it is skipped.
 * @throws StoreError at any other bad line, with its number.
 */
export function parseEvents(text: string): RunEvent[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    if (line.trim() === "") return [];
    const isLast = index === lines.length - 1;
    if (isLast && parseJson(line) === undefined) return [];
    return parseAs(runEventSchema, line, `events.jsonl, line ${index + 1}`, "a run event");
  });
}

/** Undefined where the text is no JSON; JSON's own null is `{ json: null }`. */
function parseJson(text: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function parseAs<T>(schema: z.ZodType<T>, text: string, place: string, what: string): T {
  const value = parseJson(text);
  if (value === undefined) {
    const excerpt = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
    throw new StoreError(`${place}: not JSON: ${excerpt}`);
  }
  const parsed = schema.safeParse(value.json);
  if (parsed.success) return parsed.data;
  const { path = [], message = parsed.error.message } = parsed.error.issues[0] ?? {};
  const where = path.length === 0 ? "" : `${z.core.toDotPath(path)}: `;
  throw new StoreError(`${place}: not ${what}: ${where}${message}`);
}

/**
 * Puts a run's events in order. A resumed run repeats the task it was interrupted in; of repeated tasks, epochs and
 * steps the last one wins, and a repeated warning is kept once.
 * @param answers of a finished run's last evaluation
 * @param metrics what `metrics.json` holds; without it, those of the `run-finished` event, if there is one.
 * @throws StoreError if there is no `run-started` event.
 */
export function buildRunRecord(
  events: readonly RunEvent[],
  metrics?: RunMetrics,
  answers?: AnswerSummary,
): RunRecord {
  const header = last(events, "run-started")?.header;
  const first = events[0];
  const final = events.at(-1);
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
    resumes: all(events, "run-resumed").length,
    warnings: [...new Set(all(events, "warning").map(({ message }) => message))],
    tasks,
    cil: known?.cil.matrix ?? matrixOf(tasks, "cil"),
    til: known?.til.matrix ?? matrixOf(tasks, "til"),
    probing:
      (known?.level === undefined ? known?.probing : undefined) ?? computeProbing(all(events, "probed")),
    metrics: known,
    answers: known === undefined ? undefined : answers,
  };
}

function all<T extends RunEvent["type"]>(events: readonly RunEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is EventOf<T> => event.type === type);
}

function last<T extends RunEvent["type"]>(events: readonly RunEvent[], type: T): EventOf<T> | undefined {
  return events.findLast((event): event is EventOf<T> => event.type === type);
}

/** In the order of their numbers; of two with one number the later. */
function latest<E>(events: readonly E[], numberOf: (event: E) => number): E[] {
  const byNumber = new Map(events.map((event) => [numberOf(event), event]));
  return [...byNumber.values()].sort((a, b) => numberOf(a) - numberOf(b));
}

function collectTasks(header: RunHeader, events: readonly RunEvent[]): TaskRecord[] {
  const byTask = header.tasks.map((): RunEvent[] => []);
  for (const event of events)
    if ("task" in event) {
      byTask[event.task] ??= [];
      byTask[event.task]?.push(event);
    }
  return Array.from(byTask, (own = [], task) => {
    const started = last(own, "task-started");
    const planned = header.tasks[task];
    return {
      task,
      name: started?.name ?? planned?.name ?? `task-${task}`,
      labels: started?.labels ?? planned?.labels ?? [],
      types: planned?.types,
      started,
      steps: latest(all(own, "step"), ({ step }) => step),
      epochs: latest(all(own, "epoch"), ({ epoch }) => epoch),
      learned: last(own, "task-learned"),
      evaluated: last(own, "evaluated"),
      wordsEvaluated: last(own, "words-evaluated"),
    };
  });
}

/** What a task's predictions choose among: labels, at word level entity types. */
export function namesOf({ types, labels }: TaskRecord): readonly string[] {
  return types ?? labels;
}

/** Rows up to the first task without an evaluation. */
function matrixOf(tasks: readonly TaskRecord[], protocol: "cil" | "til"): AccuracyMatrix {
  const rows = tasks.map(
    ({ evaluated, wordsEvaluated }) => evaluated?.[protocol] ?? wordsEvaluated?.[protocol].perTask,
  );
  const end = rows.indexOf(undefined);
  return squareMatrix(rows.slice(0, end < 0 ? rows.length : end).flatMap((row) => (row ? [row] : [])));
}

/** Rows of growing length as a matrix whose upper triangle is null. */
export function squareMatrix(rows: readonly (readonly number[])[]): AccuracyMatrix {
  return rows.map((row) => rows.map((_, j) => row[j] ?? null));
}

/**
 * Reads a run folder's `events.jsonl` and, where the run is finished, `metrics.json` and `predictions.jsonl`.
 * @throws StoreError if there are no events, or a file is damaged.
 */
export async function readRunRecord(folder: string): Promise<RunRecord> {
  const events = await readIfThere(join(folder, "events.jsonl"));
  if (events === undefined)
    throw new StoreError(`${folder}: no events.jsonl`, {
      hint: "Give the folder that `out` named in the run.",
    });
  const path = join(folder, "metrics.json");
  const text = await readIfThere(path);
  const metrics = text === undefined ? undefined : parseAs(runMetricsSchema, text, path, "a run's metrics");
  const parsed = parseEvents(events);
  const finished = metrics !== undefined || last(parsed, "run-finished") !== undefined;
  const predictions = finished ? await readIfThere(join(folder, "predictions.jsonl")) : undefined;
  return buildRunRecord(parsed, metrics, summarizeAnswers(predictions ?? ""));
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return undefined;
    throw new StoreError(`${path}: cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}
