/** How far a trial is, read from its folder: nothing else keeps it. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorCode, StoreError } from "../core/errors.ts";
import type { RunEvent } from "../core/record.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { refuseHeld } from "../io/lock.ts";
import { parseEvents } from "../report/record/record.ts";
import type { Trial } from "./plan.ts";
import { fileNameOf, isFinished, runPath } from "./sweepFolder.ts";

type Named = Pick<Trial, "name">;

/** What its record says. */
export interface Progress {
  /** Tasks that are learned and evaluated. */
  readonly evaluated: number;
  /** Of the stream; undefined before it began. */
  readonly tasks: number | undefined;
  /** Of each learned task's adapter on its validation data, where it was measured. */
  readonly validation: readonly (number | undefined)[];
  /** Of the latest step. */
  readonly secondsLeft: number | undefined;
  readonly examplesPerSecond: number | undefined;
  /** Of the latest event, ISO 8601. */
  readonly time: string | undefined;
}

export function progressOf(events: readonly RunEvent[]): Progress {
  const evaluated = new Set<number>();
  const validation: (number | undefined)[] = [];
  let tasks: number | undefined;
  let step: Extract<RunEvent, { readonly type: "step" }> | undefined;
  for (const event of events) {
    if (event.type === "run-started") tasks = event.header.tasks.length;
    if (event.type === "evaluated" || event.type === "words-evaluated") evaluated.add(event.task);
    if (event.type === "task-learned") validation[event.task] = event.validationAccuracy;
    if (event.type === "step") step = event;
  }
  return {
    evaluated: evaluated.size,
    tasks,
    validation,
    secondsLeft: step?.secondsLeft,
    examplesPerSecond: step?.examplesPerSecond,
    time: events.at(-1)?.time,
  };
}

/** @param folder of the run, begun or not */
export async function readProgress(folder: string): Promise<Progress> {
  const path = join(folder, "events.jsonl");
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    if (errorCode(cause) === "ENOENT") return "";
    throw new StoreError(`${path}: cannot be read`, { cause });
  });
  // A line that is being written has no end yet.
  return progressOf(parseEvents(text.slice(0, text.lastIndexOf("\n") + 1)));
}

/** Whether it is finished, or has so many tasks. */
export async function hasReached(out: string, trial: Named, tasks: number | undefined): Promise<boolean> {
  if (isFinished(out, trial)) return true;
  return tasks !== undefined && (await readProgress(runPath(out, trial))).evaluated >= tasks;
}

/** Whether a process is at work in its folder. */
export async function isHeld(folder: string): Promise<boolean> {
  if (!existsSync(folder)) return false;
  try {
    await refuseHeld(folder);
    return false;
  } catch (error) {
    if (error instanceof StoreError && error.code === "STORE_BUSY") return true;
    throw error;
  }
}

const failureSchema = z.object({
  /** How often it was tried. */
  tries: z.number(),
  /** Of the last try; absent where a signal ended it. */
  exitCode: z.number().nullable(),
  /** The end of what it wrote. */
  log: z.string(),
  time: z.string(),
});
/** A trial that was given up. */
export type Failure = z.infer<typeof failureSchema>;

const failuresFolder = "failures";

function failurePath(out: string, trial: Named): string {
  return join(out, failuresFolder, `${fileNameOf(trial)}.json`);
}

export async function writeFailure(out: string, trial: Named, failure: Failure): Promise<void> {
  await makeFolder(join(out, failuresFolder));
  await writeFileAtomic(failurePath(out, trial), `${JSON.stringify(failure, null, 2)}\n`);
}

export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new StoreError(`${folder}: cannot be made`, { cause, exitCode: 1 });
  });
}

export async function readFailure(out: string, trial: Named): Promise<Failure | undefined> {
  const text = await readFile(failurePath(out, trial), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = failureSchema.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : undefined;
}

/** Whoever goes on with a sweep tries again what was given up. */
export async function clearFailures(out: string, trials: readonly Named[]): Promise<void> {
  for (const trial of trials) await rm(failurePath(out, trial), { force: true });
}
