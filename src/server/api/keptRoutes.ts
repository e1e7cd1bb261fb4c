/** Texts that were kept for review: listed, and deleted by request. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { RequestError } from "../engine/errors.ts";
import { type KeptTexts, keptReasons } from "../service/kept.ts";
import type { Review } from "../service/review.ts";
import type { Service } from "../service/service.ts";
import { body, json, refusals, type ServerEnv, withDeadline } from "./requests.ts";
import { answers, type Bodies } from "./schemas.ts";
import { storeName } from "./storeRoutes.ts";

const MOST_LISTED = 1000;

const listing = z.strictObject({
  reason: z.enum(keptReasons).optional(),
  limit: z.coerce.number().int().min(1).max(MOST_LISTED).optional().openapi({ description: "Default 100." }),
});

/** @throws RequestError 404 where the server keeps none */
async function keptOf(service: Service, store: string): Promise<KeptTexts> {
  await service.open(store);
  return service.kept ?? refuseNothingKept();
}

async function reviewOf(service: Service, store: string): Promise<Review> {
  await service.open(store);
  return service.review ?? refuseNothingKept();
}

function refuseNothingKept(): never {
  throw new RequestError(404, "NOTHING_KEPT", "this server keeps no texts", {
    hint: "accrete serve --keep-texts <days> would.",
  });
}

export function addKeptRoutes(app: OpenAPIHono<ServerEnv>, service: Service, bodies: Bodies): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/kept",
      operationId: "kept",
      summary: "Texts that were kept for review, the newest first",
      request: { params: storeName, query: listing },
      responses: { 200: json(answers.kept, "Unknown texts and corrections."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const { reason, limit = 100 } = c.req.valid("query");
      const texts = await (await keptOf(service, name)).list(name, limit, reason);
      return c.json({ texts: [...texts] }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/stores/{name}/kept/groups",
      operationId: "keptGroups",
      summary: "Kept texts that were unknown, those that are alike together",
      request: { params: storeName },
      responses: { 200: json(answers.groups, "The largest group first."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const groups = await withDeadline(c, service.limits.requestSeconds, async (signal) =>
        (await reviewOf(service, name)).groups(name, signal),
      );
      return c.json({ groups: groups.map((own) => [...own]) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/stores/{name}/kept/nearest",
      operationId: "nearest",
      summary: "Learned texts that are kept and most like one",
      request: { params: storeName, body: body(bodies.nearest) },
      responses: { 200: json(answers.near, "The nearest first."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const { text, most = 3 } = c.req.valid("json");
      const { classes } = await service.open(name);
      const texts = await withDeadline(c, service.limits.requestSeconds, async (signal) =>
        (await reviewOf(service, name)).nearest(name, classes, { text, most }, signal),
      );
      return c.json({ texts: [...texts] }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/stores/{name}/kept/delete",
      operationId: "deleteKept",
      summary: "Delete kept texts: one by its id, every copy of a text, or with neither all of them",
      request: { params: storeName, body: body(bodies.forgetKept) },
      responses: { 200: json(answers.removed, "How many are gone."), ...refusals },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const { id, text } = c.req.valid("json");
      const removed = await (await keptOf(service, name)).remove(
        name,
        (kept) => (id === undefined || kept.id === id) && (text === undefined || kept.text === text),
      );
      return c.json({ removed }, 200);
    },
  );
}
