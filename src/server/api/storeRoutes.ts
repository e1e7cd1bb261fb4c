/** Our own routes that ask: `/stores/:name/predict`, `tag`, `status`, `versions`. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { TaggedText } from "../../continual/answers.ts";
import { toCharacterSpans } from "../../data/files/spans.ts";
import type { Snapshot } from "../engine/protocol.ts";
import type { Service } from "../service/service.ts";
import { body, json, refusals, type ServerEnv, withDeadline } from "./requests.ts";
import { answers, type Bodies } from "./schemas.ts";

const MOST_LISTED = 1000;
export const DEFAULT_LISTED = 100;

/** A page of a list of stores. */
export const pageQuery = z.strictObject({
  after: z.string().optional().openapi({ description: "Lists the names behind this one." }),
  limit: z.coerce.number().int().min(1).max(MOST_LISTED).optional().openapi({
    description: "Stores of a page; default 100.",
  }),
});

export const storeName = z.object({ name: z.string().openapi({ description: "A store that is served." }) });

/** Entities as transformers' pipelines give them, places in characters. */
export function toPipelineEntities({ text, entities }: TaggedText) {
  const spans = toCharacterSpans(text, entities);
  return entities.map(({ type, score, word }, i) => ({
    entity_group: type,
    score,
    word,
    start: spans[i]?.start ?? 0,
    end: spans[i]?.end ?? 0,
  }));
}

export function statusOf(service: Service, { status, ...snapshot }: Snapshot) {
  const { store, level, taskType, backbone, classes, tasks, prompt, problem } = snapshot;
  const { version, router, consolidated } = status;
  return {
    store,
    version,
    level,
    taskType,
    backbone,
    classes: [...classes],
    tasks: tasks.map(({ name, labels }) => ({ name, labels: [...labels] })),
    ...(router !== undefined && { router }),
    ...(consolidated !== undefined && { consolidated }),
    ...(prompt !== undefined && { prompt }),
    ...(problem !== undefined && { problem: service.discretion.say(problem) }),
    changesUnderWay: service.changesUnderWay(store),
  };
}

export function addStoreRoutes(app: OpenAPIHono<ServerEnv>, service: Service, bodies: Bodies): void {
  const { limits } = service;

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores",
      operationId: "stores",
      summary: "Names of stores, page by page; none is opened for that",
      request: { query: pageQuery },
      responses: {
        200: json(answers.stores, "Sorted by name; of open ones with the version that answers."),
        ...refusals,
      },
    }),
    async (c) => {
      const { after, limit = DEFAULT_LISTED } = c.req.valid("query");
      const { names, hasMore } = await service.names({ after, limit });
      const stores = names.map((name) => {
        const open = service.ifOpen(name);
        return {
          name,
          open: open !== undefined,
          ...(open && { version: open.status.version, backbone: open.backbone.name }),
        };
      });
      return c.json({ stores, hasMore }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/stores/{name}/predict",
      operationId: "predict",
      summary: "Label texts among everything learned, or within one task",
      request: { params: storeName, body: body(bodies.predict) },
      responses: { 200: json(answers.predictions, "An answer a text."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const { texts, ...options } = c.req.valid("json");
      const predictions = await withDeadline(c, limits.requestSeconds, (signal) =>
        service.predict(name, texts, options, signal),
      );
      const plain = predictions.map(({ set, top, ...rest }) => ({
        ...rest,
        top: [...top],
        ...(set && { set: [...set] }),
      }));
      return c.json({ predictions: plain }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/stores/{name}/tag",
      operationId: "tag",
      summary: "Find entities in texts",
      request: { params: storeName, body: body(bodies.predict) },
      responses: { 200: json(answers.tagged, "The entities of each text."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const { texts, task, exact } = c.req.valid("json");
      const tagged = await withDeadline(c, limits.requestSeconds, (signal) =>
        service.tag(name, texts, { task, exact }, signal),
      );
      const plain = tagged.map(({ entities: _, ...rest }, i) => ({
        ...rest,
        entities: tagged[i] === undefined ? [] : toPipelineEntities(tagged[i]),
      }));
      return c.json({ texts: plain }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/status",
      operationId: "status",
      summary: "What a store knows, and what answers",
      request: { params: storeName },
      responses: { 200: json(answers.status, "The version that answers."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      return c.json(statusOf(service, await service.open(name)), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/versions",
      operationId: "versions",
      summary: "The versions that are kept, the newest first",
      request: { params: storeName },
      responses: { 200: json(answers.versions, "Each with the change that made it."), ...refusals },
    }),
    async (c) => {
      const versions = await service.versions(c.req.valid("param").name);
      return c.json({ versions: [...versions] }, 200);
    },
  );
}
