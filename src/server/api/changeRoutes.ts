/** Our own routes that change a store. Every change is a job; short ones are waited for. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import { CarriedAccreteError, RequestError } from "../engine/errors.ts";
import type { CallEvent } from "../engine/protocol.ts";
import type { Job } from "../service/jobs.ts";
import type { Service } from "../service/service.ts";
import { body, json, refusals, type ServerContext, type ServerEnv } from "./requests.ts";
import { answers, type Bodies } from "./schemas.ts";
import { storeName } from "./storeRoutes.ts";

/** A comment goes to whoever watches, so that no proxy takes the connection for dead. */
export const HEARTBEAT_MS = 15_000;

const jobName = storeName.extend({ id: z.string() });
const waiting = z.strictObject({
  wait: z.enum(["true", "false"]).optional().openapi({
    description: "Whether to answer when the change is made; tasks with adapters are not waited for.",
  }),
});
const changed = {
  200: json(answers.job, "The change is made: `result` has its version."),
  202: json(answers.job, "The change is under way: watch its events, or ask for the job."),
  ...refusals,
} as const;

function describeJob({ discretion }: Service, job: Job) {
  const { id, store, kind, state, created, ended, result, error } = job;
  const refusal = error === undefined ? undefined : discretion.refusalOf(new CarriedAccreteError(error));
  return {
    id,
    store,
    kind,
    state,
    created,
    ...(ended !== undefined && { ended }),
    ...(result !== undefined && { result: Object.fromEntries(Object.entries(result)) }),
    ...(refusal && {
      error: {
        code: refusal.code,
        message: refusal.message,
        ...(refusal.hint !== undefined && { hint: refusal.hint }),
      },
    }),
    events: `/stores/${encodeURIComponent(store)}/jobs/${id}/events`,
  };
}

/** What is told of an event; notes may name folders. */
function describeEvent({ discretion }: Service, event: CallEvent | { readonly type: "state" }): string {
  return JSON.stringify(event.type === "note" ? { ...event, message: discretion.say(event.message) } : event);
}

/** Waits for a job as long as a request may take. @throws what the change was refused with */
async function settled(service: Service, job: Job): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, 1000 * service.limits.requestSeconds);
  });
  try {
    await Promise.race([job.done, late]);
  } finally {
    clearTimeout(timer);
  }
  return job.hasEnded;
}

/** Kept texts follow a change that was made; one that was not leaves them as they are. */
function keepWhenDone(job: Job, keep: () => Promise<void> | undefined): void {
  void job.done.then(keep).catch(() => {});
}

export function addChangeRoutes(app: OpenAPIHono<ServerEnv>, service: Service, bodies: Bodies): void {
  const respond = async (c: ServerContext, job: Job, wait: boolean) => {
    c.header("Location", `/stores/${encodeURIComponent(job.store)}/jobs/${job.id}`);
    const isMade = wait && (await settled(service, job));
    return isMade ? c.json(describeJob(service, job), 200) : c.json(describeJob(service, job), 202);
  };
  const route = <P extends string, S extends z.ZodType>(
    path: P,
    operationId: string,
    summary: string,
    schema: S,
  ) =>
    createRoute({
      method: "post",
      path,
      operationId,
      summary,
      request: { params: storeName, query: waiting, body: body(schema) },
      responses: changed,
    });

  app.openapi(
    route("/stores/{name}/learn", "learn", "Teach a task, or a class of a few examples", bodies.learn),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const given = c.req.valid("json");
      const { wait } = c.req.valid("query");
      if ("class" in given) {
        const { class: label, texts, task } = given;
        const job = await service.change("learn", "learnClass", { store, label, texts, task });
        keepWhenDone(job, () =>
          service.review?.keepTaught(
            store,
            "taught",
            texts.map((text) => ({ text, label })),
          ),
        );
        return await respond(c, job, wait !== "false");
      }
      const { task: name, examples, validation, types, statisticsOnly = false } = given;
      const task = {
        name,
        train: examples.map(plainItem),
        ...(validation && { validation: validation.map(plainItem) }),
        ...(types && { types }),
      };
      const job = await service.change("learn", "learn", { store, task, statisticsOnly });
      return await respond(c, job, wait === "true" || (wait === undefined && statisticsOnly));
    },
  );

  app.openapi(
    route("/stores/{name}/forget", "forget", "Forget a class or a task", bodies.forget),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const { purge = false, ifVersion, ...target } = c.req.valid("json");
      const job = await service.change("forget", "forget", { store, target, purge }, { ifVersion });
      if (purge && "class" in target) keepWhenDone(job, () => service.review?.forget(store, target.class));
      return await respond(c, job, c.req.valid("query").wait !== "false");
    },
  );

  app.openapi(
    route("/stores/{name}/rollback", "rollback", "Go back to an earlier version", bodies.rollback),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const { to, ifVersion } = c.req.valid("json");
      const job = await service.change("rollback", "rollback", { store, to }, { ifVersion });
      return await respond(c, job, c.req.valid("query").wait !== "false");
    },
  );

  app.openapi(
    route("/stores/{name}/merge", "merge", "Take in what another store learned", bodies.merge),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const { other } = c.req.valid("json");
      await service.open(other);
      const job = await service.change("merge", "merge", { store, other });
      return await respond(c, job, c.req.valid("query").wait !== "false");
    },
  );

  app.openapi(
    route(
      "/stores/{name}/corrections",
      "correct",
      "Teach texts with their right labels, all as one change",
      bodies.corrections,
    ),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const { corrections } = c.req.valid("json");
      const job = await service.change("corrections", "correct", { store, corrections });
      keepWhenDone(job, () => service.review?.keepTaught(store, "correction", corrections));
      return await respond(c, job, c.req.valid("query").wait !== "false");
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/jobs",
      operationId: "jobs",
      summary: "The changes of a store since the server was started",
      request: { params: storeName },
      responses: { 200: json(answers.jobs, "The oldest first."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      await service.open(name);
      return c.json({ jobs: service.jobs.of(name).map((job) => describeJob(service, job)) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/jobs/{id}",
      operationId: "job",
      summary: "How a change is getting on",
      request: { params: jobName },
      responses: { 200: json(answers.job, "The job."), ...refusals },
    }),
    (c) => {
      const { name, id } = c.req.valid("param");
      return c.json(describeJob(service, service.jobs.find(name, id)), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/stores/{name}/jobs/{id}",
      operationId: "cancelJob",
      summary: "Cancel a change: the store stays as it was",
      request: { params: jobName },
      responses: { 200: json(answers.job, "The job as it ended."), ...refusals },
    }),
    async (c) => {
      const { name, id } = c.req.valid("param");
      const job = service.jobs.find(name, id);
      if (job.hasEnded)
        throw new RequestError(409, "JOB_ENDED", `job ${id} has ended: ${job.state}`, {
          hint: "POST rollback takes the last change back.",
        });
      job.cancel();
      await settled(service, job).catch(() => {});
      return c.json(describeJob(service, job), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/jobs/{id}/events",
      operationId: "jobEvents",
      summary: "A change's progress as server-sent events, until it has ended",
      request: { params: jobName },
      responses: {
        200: {
          description: "`state` when it changes; `started`, `step`, `epoch`, `features` … meanwhile.",
          content: { "text/event-stream": { schema: z.string() } },
        },
        ...refusals,
      },
    }),
    (c) => {
      const { name, id } = c.req.valid("param");
      const job = service.jobs.find(name, id);
      const after = Number(c.req.header("Last-Event-ID") ?? 0) || 0;
      return streamSSE(c, async (stream) => {
        const left = new AbortController();
        stream.onAbort(() => left.abort());
        const heartbeat = setInterval(() => void stream.write(": \n\n"), HEARTBEAT_MS);
        try {
          for await (const { number, event } of job.watch(after, left.signal))
            await stream.writeSSE({
              id: String(number),
              event: event.type,
              data: describeEvent(service, event),
            });
        } finally {
          clearInterval(heartbeat);
        }
      });
    },
  );
}

type Given =
  | { readonly text: string; readonly textPair?: string | undefined; readonly label: string }
  | { readonly words: readonly string[]; readonly tags: readonly string[] };

function plainItem(item: Given) {
  if ("words" in item) return item;
  const { text, label, textPair } = item;
  return { text, label, ...(textPair !== undefined && { textPair }) };
}
