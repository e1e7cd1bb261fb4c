/** What stands in the queue: names and hashes, never bytes. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
/** What a configuration names, as a tree of the artefact store; a single file lies in it under its name. */
const input = z.object({ tree: hash, file: z.string().optional() });

const trialJobSchema = z.object({
  /** Of Accrete, whose workers alone take it. */
  version: z.string(),
  /** The sweep's name, and what tells it from another of that name. */
  sweep: z.string(),
  plan: z.string(),
  trial: z.string(),
  /** The resolved configuration, a tree with `config.yaml`. */
  config: hash,
  /** By key: `backbone`, `stream.train`. */
  inputs: z.record(z.string(), input),
  /** Where the trial was begun already: its folder. */
  from: hash.optional(),
  tasks: z.number().optional(),
  validate: z.boolean(),
});
export type TrialJobData = z.infer<typeof trialJobSchema>;
export type JobInput = z.infer<typeof input>;

/** @throws StoreError for what somebody else put there */
export function parseJob(data: unknown): TrialJobData {
  const parsed = trialJobSchema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new StoreError("the queue holds a job that is none of Accrete's trials", {
    cause: parsed.error,
    exitCode: 1,
    hint: "Give Accrete a database of its own: redis://host:6379/1.",
  });
}

/** How far the job has to bring the trial, as part of names. */
export function goalOf({ tasks }: Pick<TrialJobData, "tasks">): string {
  return tasks === undefined ? "end" : `tasks-${tasks}`;
}

/** The same job has the same id, so that it is never there twice. */
export function jobIdOf(data: Pick<TrialJobData, "plan" | "trial" | "tasks">): string {
  return `${data.plan.slice(0, 16)}-${data.trial.replaceAll("/", "-")}-${goalOf(data)}`;
}

/** The name under which the run's folder is committed when the goal is reached; it is set once. */
export function resultName(data: Pick<TrialJobData, "plan" | "trial" | "tasks">): string {
  return `sweeps/${data.plan.slice(0, 16)}/${data.trial.replaceAll("/", "-")}/${goalOf(data)}`;
}

/** The name of the folder as it was after its latest task. */
export function progressName(data: Pick<TrialJobData, "plan" | "trial">): string {
  return `sweeps/${data.plan.slice(0, 16)}/${data.trial.replaceAll("/", "-")}/progress`;
}
