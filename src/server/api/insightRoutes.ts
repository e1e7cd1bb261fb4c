/** Routes that look into a store: what it keeps, how well its classes are told apart, and whether it has become another. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import type { Quality } from "../engine/protocol.ts";
import type { Service } from "../service/service.ts";
import { HEARTBEAT_MS } from "./changeRoutes.ts";
import { body, json, refusals, type ServerEnv, withDeadline } from "./requests.ts";
import { answers, type Bodies } from "./schemas.ts";
import { statusOf, storeName } from "./storeRoutes.ts";

const version = z.coerce.number().int().min(1);
const judging = z.strictObject({
  version: version.optional().openapi({ description: "Default: the version that answers." }),
  against: version.optional().openapi({ description: "Compares the texts that both versions know." }),
});
const between = z.strictObject({ from: version, to: version });

function plain({ classes, tasks, confused, calibration, tooFew, ...tally }: Quality) {
  return {
    ...tally,
    classes: [...classes],
    tasks: [...tasks],
    confused: [...confused],
    calibration: [...calibration],
    tooFew: [...tooFew],
  };
}

export function addInsightRoutes(app: OpenAPIHono<ServerEnv>, service: Service, bodies: Bodies): void {
  const { requestSeconds } = service.limits;

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/classes",
      operationId: "classes",
      summary: "Classes and tasks: what is kept of them, and how often they were named",
      request: { params: storeName },
      responses: { 200: json(answers.described, "Sorted by name."), ...refusals },
    }),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const { classes, tasks, ...rest } = await withDeadline(c, requestSeconds, (signal) =>
        service.consult("describe", { store }, signal),
      );
      const used = classes.map(({ tasks, ...each }) => {
        const { answers = 0, last } = service.usage.of(store, each.label) ?? {};
        return { ...each, tasks: [...tasks], answers, ...(last !== undefined && { lastAnswered: last }) };
      });
      const listed = tasks.map(({ labels, ...each }) => ({ ...each, labels: [...labels] }));
      return c.json({ ...rest, classes: used, tasks: listed }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/quality",
      operationId: "quality",
      summary:
        "How well the classes of a version are told apart: each of its texts is answered by a fit without it",
      request: { params: storeName, query: judging },
      responses: {
        200: json(answers.quality, "Without `quality` where nothing can be judged."),
        ...refusals,
      },
    }),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const asked = c.req.valid("query");
      const found = await withDeadline(c, requestSeconds, (signal) =>
        service.consult("quality", { store, ...asked }, signal),
      );
      const { quality, compared, version } = found;
      return c.json(
        { version, ...(quality && { quality: plain(quality) }), ...(compared && { compared }) },
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/stores/{name}/preview",
      operationId: "preview",
      summary: "What corrections would do to held-out texts, without making the change",
      request: { params: storeName, body: body(bodies.corrections) },
      responses: { 200: json(answers.preview, "Before and after."), ...refusals },
    }),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const { corrections } = c.req.valid("json");
      const found = await withDeadline(c, requestSeconds, (signal) =>
        service.consult("preview", { store, corrections }, signal),
      );
      const { before, after, compared } = found;
      return c.json(
        {
          ...(before && { before: plain(before) }),
          ...(after && { after: plain(after) }),
          ...(compared && { compared }),
        },
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/differences",
      operationId: "differences",
      summary: "Classes that one version has and another has not, or with other texts",
      request: { params: storeName, query: between },
      responses: { 200: json(answers.differences, "Texts of each class in both."), ...refusals },
    }),
    async (c) => {
      const { name: store } = c.req.valid("param");
      const { from, to } = c.req.valid("query");
      const classes = await withDeadline(c, requestSeconds, (signal) =>
        service.consult("differences", { store, from, to }, signal),
      );
      return c.json({ classes: [...classes] }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/events",
      operationId: "storeEvents",
      summary: "A store's status as server-sent events, whenever it or its changes under way become others",
      request: { params: storeName },
      responses: {
        200: {
          description: "`status`, as GET status gives it.",
          content: { "text/event-stream": { schema: z.string() } },
        },
        ...refusals,
      },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      await service.open(name);
      return streamSSE(c, async (stream) => {
        const left = new AbortController();
        stream.onAbort(() => left.abort());
        const heartbeat = setInterval(() => void stream.write(": \n\n"), HEARTBEAT_MS);
        let told = "";
        try {
          for await (const snapshot of service.watch(name, left.signal)) {
            const data = JSON.stringify(statusOf(service, snapshot));
            if (data === told) continue;
            told = data;
            await stream.writeSSE({ event: "status", data });
          }
        } finally {
          clearInterval(heartbeat);
        }
      });
    },
  );
}
