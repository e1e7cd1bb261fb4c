/** What stands in the queue: names and hashes, never bytes. */
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { formatPiece, pieceNameSchema, taskParts } from "../../experiment/pieces.ts";

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
  /** Of all that its result is a function of: the sweep, the configuration, and what is read. */
  identity: hash,
  /** The resolved configuration, a tree with `config.yaml`. */
  config: hash,
  /** By key: `backbone`, `stream.train`. */
  inputs: z.record(z.string(), input),
  /** Where the trial was begun already: its folder. */
  from: hash.optional(),
  tasks: z.number().optional(),
  validate: z.boolean(),
  /** This piece of it alone. */
  piece: pieceNameSchema.optional(),
  /** What was computed apart, and is put together: so many tasks, with their answers or without. */
  pieces: z.object({ tasks: z.number(), answers: z.boolean() }).optional(),
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

/** What a job that was cancelled has failed with. */
export const cancelledReason = "cancelled";

/** What of a job says which it is. */
type Named = Pick<TrialJobData, "identity" | "trial" | "tasks" | "piece">;

/** How far the job has to bring the trial, as part of names. */
function goalOf({ tasks, piece }: Pick<TrialJobData, "tasks" | "piece">): string {
  if (piece !== undefined) return formatPiece(piece);
  return tasks === undefined ? "end" : `tasks-${tasks}`;
}

function placeOf({ identity, trial }: Pick<TrialJobData, "identity" | "trial">): string {
  return `${identity.slice(0, 16)}/${trial.replaceAll("/", "-")}`;
}

/** The same job has the same id, so that it is never there twice. */
export function jobIdOf(data: Named): string {
  return `${placeOf(data)}/${goalOf(data)}`.replaceAll("/", "-");
}

/** The name under which the folder is committed when the goal is reached; it is set once. */
export function resultName(data: Named): string {
  return `sweeps/${placeOf(data)}/${goalOf(data)}`;
}

/** The name of the folder as it was after its latest task. */
export function progressName(data: Pick<TrialJobData, "identity" | "trial">): string {
  return `sweeps/${placeOf(data)}/progress`;
}

/** The jobs that one which puts a run together waits for: of each task what is learned, then what is answered; and the baseline. */
export function piecesOf({ pieces, ...data }: TrialJobData): readonly (readonly TrialJobData[])[] {
  if (pieces === undefined) return [];
  const parts = taskParts.filter((part) => part === "learn" || pieces.answers);
  const tasks = Array.from({ length: pieces.tasks }, (_, task) =>
    parts.map((part) => ({ ...data, piece: { part, task } })),
  );
  return [...tasks, [{ ...data, piece: { part: "baseline" } }]];
}
