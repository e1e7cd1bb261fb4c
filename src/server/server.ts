/** Stores behind HTTP: a fetch handler, and what it stands on. */
import { isUtf8 } from "node:buffer";
import { OpenAPIHono } from "@hono/zod-openapi";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import { HTTPException } from "hono/http-exception";
import { requestId } from "hono/request-id";
import { routePath } from "hono/route";
import { secureHeaders } from "hono/secure-headers";
import { storesAt } from "../store/sources/openSource.ts";
import { addChangeRoutes } from "./api/changeRoutes.ts";
import { addInsightRoutes } from "./api/insightRoutes.ts";
import { addKeptRoutes } from "./api/keptRoutes.ts";
import { addOpenaiRoutes } from "./api/openaiRoutes.ts";
import { addPageRoutes, builtPage } from "./api/pageRoutes.ts";
import { refuse, refuseIssues, type ServerContext, type ServerEnv } from "./api/requests.ts";
import { addRunRoutes } from "./api/runRoutes.ts";
import { bodiesFor } from "./api/schemas.ts";
import { addStoreRoutes } from "./api/storeRoutes.ts";
import { addSystemRoutes } from "./api/systemRoutes.ts";
import { addTeiRoutes } from "./api/teiRoutes.ts";
import { addWorkerRoutes, type WatchedQueue } from "./api/workerRoutes.ts";
import { carry, RequestError } from "./engine/errors.ts";
import { authorize, clientOf, RateLimit, refuseStrangers, type Tokens } from "./guard.ts";
import { type LogEntry, noLog } from "./log.ts";
import { Service, type ServiceOptions } from "./service/service.ts";

/** What a server serves, and its limits. */
export interface ServerOptions extends ServiceOptions {
  /** Where copies of the stores of a bucket lie on this machine. */
  readonly cache?: string | undefined;
  readonly tokens?: Tokens | undefined;
  /** Origins whose pages may ask; default none. */
  readonly origins?: readonly string[] | undefined;
  /** Whether requests come from this machine alone, so that no other host may be asked for; default true. */
  readonly isLoopback?: boolean | undefined;
  /** Takes the address of a client from the proxy's `X-Forwarded-For`. */
  readonly trustsProxy?: boolean | undefined;
  /** A queue whose workers are shown; it stays its owner's to dispose of. */
  readonly queue?: WatchedQueue | undefined;
  /** The folder of the built page; default: where `npm run build` leaves it. */
  readonly page?: string | undefined;
  /** Told of every request; no text, token or query is among it. */
  readonly log?: ((entry: LogEntry) => void) | undefined;
}

/** Stores that are served. Holds native memory: dispose of it. */
export interface StoreServer extends AsyncDisposable {
  /** Answers a request, as `fetch` would; takes what the Node adapter of hono passes beside it. */
  readonly fetch: (request: Request, env?: ServerEnv["Bindings"]) => Response | Promise<Response>;
  readonly service: Service;
  /** Requests that are being answered. */
  readonly underWay: () => number;
  /** Resolves when every store that was named is open, or the place of many can be read; rejects with what stands against it. */
  readonly opened: Promise<void>;
}

/** What teaches may be larger than what asks. */
const teaching = /^\/stores\/[^/]+\/(?:learn|corrections|preview)$/;

function limitBodies({ bodyBytes, learnBodyBytes }: Service["limits"]) {
  const refuseLarger = (maxSize: number): never => {
    throw new RequestError(413, "TOO_LARGE", `the body is larger than ${maxSize} bytes`, {
      hint: "Ask for fewer texts at once.",
    });
  };
  const counting = (maxSize: number) => bodyLimit({ maxSize, onError: () => refuseLarger(maxSize) });
  const counters = { ask: counting(bodyBytes), teach: counting(learnBodyBytes) };
  return createMiddleware<ServerEnv>(async (c, next) => {
    const teaches = teaching.test(c.req.path);
    const [most, count] = teaches ? [learnBodyBytes, counters.teach] : [bodyBytes, counters.ask];
    const length = c.req.header("Content-Length");
    // A length that is told holds: HTTP's own framing takes no more.
    if (length === undefined || c.req.header("Transfer-Encoding") !== undefined) return await count(c, next);
    if (Number(length) > most) refuseLarger(most);
    await next();
  });
}

/** A body is JSON in UTF-8, and says so: a form of a foreign page cannot say so without being asked first. */
const readBody = createMiddleware<ServerEnv>(async (c, next) => {
  if (c.req.method !== "POST") return await next();
  const type = c.req.header("Content-Type") ?? "";
  if (!/^application\/json\s*(?:;|$)/i.test(type))
    throw new RequestError(415, "NOT_JSON", `the body is ${JSON.stringify(type)}, not application/json`, {
      hint: "Send the header Content-Type: application/json.",
    });
  const bytes = new Uint8Array(await c.req.arrayBuffer());
  if (!isUtf8(bytes))
    throw new RequestError(400, "NOT_UTF8", "the body is not UTF-8", { hint: "Send JSON in UTF-8." });
  await next();
});

/** The list of routes has its style within; it runs no script and asks nothing. */
const docsHeaders = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    styleSrc: ["'unsafe-inline'"],
    frameAncestors: ["'none'"],
  },
});

/** The page has its script and style from here alone, and asks nobody else. */
const pageHeaders = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'"],
    connectSrc: ["'self'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  },
});

/** What was thrown, as a request is refused with it. */
function asRequestError(error: unknown): unknown {
  if (!(error instanceof HTTPException)) return error;
  return new RequestError(error.status, "MALFORMED", error.message, {
    hint: "The body must be one JSON value; GET /openapi.json says which.",
  });
}

/** The route that answered, for metrics: paths that are none of ours are one. */
function routeOf(c: ServerContext): string {
  const path = routePath(c, -1);
  return path === "*" || path === "/*" ? "unknown" : path;
}

/**
 * Serves stores over HTTP.
 * @param stores name → folder of a store or a run; names are what requests call them. Or the folder whose sub-folders are the
 * stores, by their names: each is opened when it is first asked for
 * @example
 * await using server = createServer({ intents: "stores/intents" });
 * const answer = await server.fetch(new Request("http://localhost/v1/models"));
 */
export function createServer(
  stores: Readonly<Record<string, string>> | string,
  options: ServerOptions = {},
): StoreServer {
  const { tokens = {}, origins = [], isLoopback = true, trustsProxy = false, log = noLog, queue } = options;
  const at =
    typeof stores === "string" ? storesAt(stores, options.cache) : ({ kind: "folders", stores } as const);
  const service = new Service(at, options);
  const { limits, metrics, discretion } = service;
  queue?.register(metrics.registry);
  const rate = new RateLimit(limits.requestsPerSecond);
  const app = new OpenAPIHono<ServerEnv>({
    defaultHook: (result) => {
      if (!result.success) refuseIssues(result.error);
    },
  });
  let underWay = 0;

  app.use(requestId());
  app.use(async (c, next) => {
    const start = performance.now();
    underWay++;
    await next();
    underWay--;
    const [route, seconds] = [routeOf(c), (performance.now() - start) / 1000];
    const { status } = c.res;
    metrics.requests.inc({ route, method: c.req.method, status });
    metrics.latency.observe({ route }, seconds);
    const failure = c.get("failure");
    log({
      level: status < 500 ? "info" : status === 503 ? "warning" : "error",
      message: "request",
      request: c.get("requestId"),
      method: c.req.method,
      path: c.req.path,
      status,
      ms: Math.round(10_000 * seconds) / 10,
      client: clientOf(c, trustsProxy),
      ...(failure && { code: failure.code }),
    });
  });
  app.use((c, next) => (c.req.path === "/docs" ? docsHeaders : pageHeaders)(c, next));
  app.use(refuseStrangers(isLoopback && !trustsProxy && tokens.read === undefined, origins));
  if (origins.length > 0)
    app.use(cors({ origin: [...origins], allowHeaders: ["Authorization", "Content-Type"], maxAge: 600 }));
  app.use(async (c, next) => {
    rate.take(clientOf(c, trustsProxy));
    await next();
  });
  app.use(authorize(tokens));
  app.use(limitBodies(limits));
  app.use(readBody);

  const bodies = bodiesFor(limits);
  addPageRoutes(app, options.page ?? builtPage);
  addSystemRoutes(app, service, { watchesQueue: queue !== undefined });
  addRunRoutes(app, service);
  addWorkerRoutes(app, queue);
  addStoreRoutes(app, service, bodies);
  addChangeRoutes(app, service, bodies);
  addInsightRoutes(app, service, bodies);
  addKeptRoutes(app, service, bodies);
  addTeiRoutes(app, service, bodies);
  addOpenaiRoutes(app, service, bodies);

  app.notFound((c) =>
    refuse(c, {
      status: 404,
      code: "NO_SUCH_PATH",
      message: "there is nothing here",
      hint: "GET /docs lists what there is.",
    }),
  );
  app.onError((error, c) => {
    const refusal = discretion.refusalOf(asRequestError(error));
    if (refusal.status >= 500 && refusal.status !== 503)
      log({ level: "error", message: carry(error).message, request: c.get("requestId"), code: refusal.code });
    return refuse(c, refusal);
  });

  return {
    fetch: (request, env = {}) => app.fetch(request, env),
    service,
    underWay: () => underWay,
    opened: service.opened,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}
