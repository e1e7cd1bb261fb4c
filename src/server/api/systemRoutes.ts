/** How the server is: health, information, metrics, and what it speaks. */
import { createRoute, type OpenAPIHono, type RouteHandler, z } from "@hono/zod-openapi";
import { packageVersion } from "../../core/packageInfo.ts";
import type { Service } from "../service/service.ts";
import { docsPage } from "./docsPage.ts";
import { json, refusals, type ServerEnv } from "./requests.ts";
import { DEFAULT_LISTED } from "./storeRoutes.ts";

const healthSchema = z.object({ status: z.enum(["ok", "starting", "stopping", "failed"]) }).openapi("Health");

const infoSchema = z
  .object({
    name: z.literal("accrete"),
    version: z.string(),
    started: z.string(),
    read_only: z.boolean(),
    lists_runs: z.boolean(),
    watches_queue: z.boolean(),
    keeps_texts_days: z.number().optional(),
    stores: z
      .array(z.object({ name: z.string(), version: z.number(), backbone: z.string() }))
      .openapi({ description: "Stores that are open, the first hundred by name; GET /stores lists all." }),
    open_stores: z.number(),
    limits: z.record(z.string(), z.number()),
    max_client_batch_size: z.number(),
    max_batch_tokens: z.number(),
  })
  .openapi("Info");

export function addSystemRoutes(
  app: OpenAPIHono<ServerEnv>,
  service: Service,
  { watchesQueue }: { readonly watchesQueue: boolean },
): void {
  const health = (path: "/health" | "/health/live" | "/health/ready", operationId: string, summary: string) =>
    createRoute({
      method: "get",
      path,
      operationId,
      summary,
      responses: { 200: json(healthSchema, "Yes."), 503: json(healthSchema, "No."), ...refusals },
    });

  app.openapi(health("/health/live", "live", "Whether the process can go on"), (c) =>
    service.isAlive ? c.json({ status: "ok" as const }, 200) : c.json({ status: "failed" as const }, 503),
  );
  const ready: RouteHandler<ReturnType<typeof health>, ServerEnv> = (c) => {
    if (service.isReady) return c.json({ status: "ok" as const }, 200);
    const notYet = service.isAlive ? "starting" : "failed";
    const health: z.infer<typeof healthSchema> = { status: service.isStopping ? "stopping" : notYet };
    return c.json(health, 503);
  };
  app.openapi(health("/health/ready", "ready", "Whether texts are answered"), ready);
  app.openapi(
    health("/health", "health", "As /health/ready, where text-embeddings-inference and vLLM have it"),
    ready,
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/info",
      operationId: "info",
      summary: "What is served, and with which limits",
      responses: { 200: json(infoSchema, "The server."), ...refusals },
    }),
    (c) => {
      const { openStores, limits, readOnly, startedAt, keepsDays } = service;
      return c.json(
        {
          name: "accrete" as const,
          version: packageVersion(),
          started: startedAt.toISOString(),
          read_only: readOnly,
          lists_runs: service.runs !== undefined,
          watches_queue: watchesQueue,
          ...(keepsDays !== undefined && { keeps_texts_days: keepsDays }),
          stores: openStores
            .map(({ store, status, backbone }) => ({
              name: store,
              version: status.version,
              backbone: backbone.name,
            }))
            .sort((a, b) => (a.name < b.name ? -1 : 1))
            .slice(0, DEFAULT_LISTED),
          open_stores: openStores.length,
          limits: { ...limits },
          max_client_batch_size: limits.textsPerRequest,
          max_batch_tokens: limits.batchTokens,
        },
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/metrics",
      operationId: "metrics",
      summary: "What was counted, for Prometheus",
      responses: {
        200: { description: "Prometheus' text format.", content: { "text/plain": { schema: z.string() } } },
        ...refusals,
      },
    }),
    async (c) => {
      const { registry } = service.metrics;
      const text = await registry.metrics();
      c.header("Content-Type", registry.contentType);
      return c.text(text, 200);
    },
  );

  const document = () =>
    app.getOpenAPI31Document({
      openapi: "3.1.0",
      info: {
        title: "Accrete",
        version: packageVersion(),
        description: "Stores that go on learning, asked and taught over HTTP.",
      },
      security: [{ bearer: [] }],
    });
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  app.get("/openapi.json", (c) => c.json(document()));
  app.get("/docs", (c) => c.html(docsPage(document())));
}
