/** Runs that are listed: what they reached, and how they are getting on. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import { RequestError } from "../engine/errors.ts";
import type { Runs, RunView } from "../service/runs.ts";
import type { Service } from "../service/service.ts";
import { HEARTBEAT_MS } from "./changeRoutes.ts";
import { json, refusals, type ServerEnv } from "./requests.ts";

const summary = {
  id: z.string(),
  state: z.enum(["running", "finished", "stopped"]),
  backbone: z.string(),
  tasks: z.number(),
  tasksDone: z.number(),
  started: z.string(),
  lastEvent: z.string(),
  accuracy: z.number().optional().openapi({ description: "The mean over tasks, a fraction." }),
  forgetting: z.number().optional(),
  passesPerExample: z.number().optional(),
  trainSeconds: z.number().optional(),
};
const listSchema = z.object({ runs: z.array(z.object(summary).openapi("RunSummary")) }).openapi("Runs");
const viewSchema = z
  .object({
    ...summary,
    level: z.enum(["sentence", "word"]),
    taskNames: z.array(z.string()),
    matrix: z
      .array(z.array(z.number().nullable()))
      .openapi({ description: "Row k: accuracies after task k, one a task." }),
    loss: z.array(z.object({ step: z.number(), loss: z.number(), task: z.number() })),
    now: z
      .object({
        task: z.string(),
        step: z.number(),
        totalSteps: z.number(),
        loss: z.number(),
        learningRate: z.number(),
        examplesPerSecond: z.number(),
        secondsLeft: z.number(),
      })
      .optional(),
    log: z.array(z.object({ time: z.string(), message: z.string() })),
  })
  .openapi("RunView");

const runName = z.object({ id: z.string().openapi({ description: "As the list calls it." }) });

/** Notes may name folders. */
function plain({ discretion }: Service, { taskNames, matrix, loss, log, ...rest }: RunView) {
  return {
    ...rest,
    taskNames: [...taskNames],
    matrix: matrix.map((row) => [...row]),
    loss: [...loss],
    log: log.map(({ time, message }) => ({ time, message: discretion.say(message) })),
  };
}

/** @throws RequestError 404 where the server lists none */
function runsOf({ runs }: Service): Runs {
  if (runs !== undefined) return runs;
  throw new RequestError(404, "NO_RUNS", "this server lists no runs", {
    hint: "accrete serve --runs <folder> would.",
  });
}

export function addRunRoutes(app: OpenAPIHono<ServerEnv>, service: Service): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/runs",
      operationId: "runs",
      summary: "Runs that are listed, the newest first",
      responses: { 200: json(listSchema, "None where the server lists none."), ...refusals },
    }),
    async (c) => c.json({ runs: [...((await service.runs?.list()) ?? [])] }, 200),
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/runs/{id}",
      operationId: "run",
      summary: "A run: its accuracies, its loss, and what happened",
      request: { params: runName },
      responses: { 200: json(viewSchema, "As far as it has come."), ...refusals },
    }),
    async (c) => c.json(plain(service, await runsOf(service).view(c.req.valid("param").id)), 200),
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/runs/{id}/events",
      operationId: "runEvents",
      summary: "A run as server-sent events, whenever it has come further, until it has ended",
      request: { params: runName },
      responses: {
        200: {
          description: "`view`, as GET gives it.",
          content: { "text/event-stream": { schema: z.string() } },
        },
        ...refusals,
      },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      const runs = runsOf(service);
      await runs.view(id);
      return streamSSE(c, async (stream) => {
        const left = new AbortController();
        stream.onAbort(() => left.abort());
        const heartbeat = setInterval(() => void stream.write(": \n\n"), HEARTBEAT_MS);
        try {
          for await (const view of runs.watch(id, left.signal))
            await stream.writeSSE({ event: "view", data: JSON.stringify(plain(service, view)) });
        } finally {
          clearInterval(heartbeat);
        }
      });
    },
  );
}
