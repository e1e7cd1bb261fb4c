/** The workers of a queue: who does what, and what waits. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Registry } from "prom-client";
import { AccreteError } from "../../core/errors.ts";
import { RequestError } from "../engine/errors.ts";
import { json, refusals, type ServerEnv } from "./requests.ts";

const work = z
  .object({
    sweep: z.string(),
    trial: z.string(),
    evaluated: z.number().openapi({ description: "Tasks that are learned and evaluated." }),
    tasks: z.number().optional(),
    examplesPerSecond: z.number().optional(),
    secondsLeft: z.number().optional(),
  })
  .openapi("Work");
const worker = z
  .object({
    name: z.string(),
    version: z.string(),
    concurrency: z.number(),
    waits: z.string().optional().openapi({ description: "Why it takes no jobs now." }),
    work: z.array(work).readonly(),
    done: z.number(),
    failed: z.number(),
    dead: z.boolean().openapi({ description: "Not heard of for 15 s." }),
    silentSeconds: z
      .number()
      .openapi({ description: "Since it was heard of; it tells of itself every 2 s." }),
  })
  .openapi("Worker");
const queueSchema = z
  .object({
    place: z.string().openapi({ description: "Of Redis, without a password." }),
    workers: z.array(worker).readonly(),
    jobs: z.record(z.string(), z.number()).openapi({ description: "Jobs by state, those of the last day." }),
  })
  .openapi("Queue");

/** A queue that a server shows: `accrete serve --queue` has that of `accrete worker`. */
export interface WatchedQueue {
  /** @throws AccreteError where it does not answer */
  readonly read: () => Promise<z.infer<typeof queueSchema>>;
  /** Adds its figures to the server's metrics. */
  readonly register: (registry: Registry) => void;
}

/** @throws RequestError 404 where none is watched, 503 where it does not answer */
async function readQueue(queue: WatchedQueue | undefined) {
  if (queue === undefined)
    throw new RequestError(404, "NO_QUEUE", "this server watches no queue of workers", {
      hint: "accrete serve --queue redis://host:6379 would.",
    });
  try {
    return await queue.read();
  } catch (error) {
    if (!(error instanceof AccreteError)) throw error;
    const { message, hint } = error;
    throw new RequestError(503, "QUEUE_SILENT", message, { hint: hint ?? "", retryAfter: 2 });
  }
}

export function addWorkerRoutes(app: OpenAPIHono<ServerEnv>, queue: WatchedQueue | undefined): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/workers",
      operationId: "workers",
      summary: "Workers of the queue that is watched, and its jobs",
      responses: { 200: json(queueSchema, "As they told of themselves."), ...refusals },
    }),
    async (c) => c.json(await readQueue(queue), 200),
  );
}
