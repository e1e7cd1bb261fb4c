/** Who may ask what: tokens, hosts, origins, and how often. */
import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import type { ServerContext, ServerEnv } from "./api/requests.ts";
import { RequestError } from "./engine/errors.ts";

/** What a request needs: nothing, the token for reading, or the one for changing. */
export type Access = "open" | "read" | "change";

/** Who may ask and who may change. */
export interface Tokens {
  /** Without it whoever reaches the server may read. */
  readonly read?: string | undefined;
  /** May read, too. Without it nobody may change where a token for reading is asked for, and without both everybody. */
  readonly change?: string | undefined;
}

const open = new Set(["/", "/health", "/health/live", "/health/ready", "/openapi.json", "/docs"]);
/** The files of the page, which are in every copy of the package. */
const pageFile = /^\/page\/[^/]+$/;
/** What is asked with POST and changes nothing. */
const asking = /^\/(?:predict|embed|tag|classify|v1\/completions|stores\/[^/]+\/(?:predict|tag))$/;
/** What is read with GET and holds texts of others. */
const kept = /^\/stores\/[^/]+\/kept(?:\/groups)?$/;

/** What is not known to read needs the token for changing. */
export function accessOf(method: string, path: string): Access {
  if (method === "GET" || method === "HEAD") {
    if (open.has(path) || pageFile.test(path)) return "open";
    return kept.test(path) ? "change" : "read";
  }
  return method === "POST" && asking.test(path) ? "read" : "change";
}

/** Compares in a time that says nothing of where two differ, nor of their lengths. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
}

export function authorize(tokens: Tokens) {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const access = accessOf(c.req.method, c.req.path);
    const { read, change } = tokens;
    const isFree = access === "open" || (read === undefined && (access === "read" || change === undefined));
    if (isFree) return await next();
    const given = bearerOf(c.req.header("Authorization"));
    const fits = (token: string | undefined) =>
      given !== undefined && token !== undefined && isSame(given, token);
    const [mayRead, mayChange] = [fits(read), fits(change)];
    if (mayChange || (mayRead && access === "read")) return await next();
    if (mayRead)
      throw new RequestError(403, "FORBIDDEN", "this token may read, and not change", {
        hint: "Send the token for changing.",
      });
    throw new RequestError(
      401,
      "UNAUTHORIZED",
      given === undefined ? "no token" : "a token that is not known",
      {
        hint: "Send the header Authorization: Bearer <token>.",
      },
    );
  });
}

const loopbackNames = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** The host of a `Host` header, without its port. */
function hostOf(header: string): string {
  return header.replace(/:\d+$/, "").toLowerCase();
}

/**
 * A web page that a user of this machine looks at must not speak to the server behind their back: names that resolve here but
 * are not this machine's are refused, and so are origins that were not allowed.
 * @param isLocal whether requests name this machine: it listens for it alone, no proxy stands before it, and no token is asked for
 */
export function refuseStrangers(isLocal: boolean, origins: readonly string[]) {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const host = c.req.header("Host");
    if (isLocal && host !== undefined && !loopbackNames.has(hostOf(host)))
      throw new RequestError(403, "FORBIDDEN", "this server answers to localhost alone", {
        hint: "Ask http://127.0.0.1, or start it with --host.",
      });
    const origin = c.req.header("Origin");
    const isOwn = origin !== undefined && host !== undefined && origin.endsWith(`//${host}`);
    if (origin !== undefined && !isOwn && !origins.includes(origin))
      throw new RequestError(403, "FORBIDDEN", "pages of this origin may not ask here", {
        hint: "accrete serve --cors <origin> allows one.",
      });
    await next();
  });
}

/** The address that a request came from; behind a proxy that is trusted the one that it names last. */
export function clientOf(c: ServerContext, trustsProxy: boolean): string {
  const direct = c.env?.incoming?.socket?.remoteAddress ?? "";
  if (!trustsProxy) return direct;
  return c.req.header("X-Forwarded-For")?.split(",").at(-1)?.trim() ?? direct;
}

/** Addresses that are remembered; beyond, those that have asked least lately are forgotten. */
const MOST_ADDRESSES = 10_000;

/** As many requests a second as allowed, and as many again at once. */
export class RateLimit {
  private readonly perSecond: number;
  private readonly now: () => number;
  private readonly buckets = new Map<string, { left: number; at: number }>();

  constructor(perSecond: number, now: () => number = () => performance.now() / 1000) {
    this.perSecond = perSecond;
    this.now = now;
  }

  /** @throws RequestError 429 */
  take(client: string): void {
    if (this.perSecond === 0) return;
    const now = this.now();
    const most = 2 * this.perSecond;
    const before = this.buckets.get(client) ?? { left: most, at: now };
    const left = Math.min(most, before.left + (now - before.at) * this.perSecond);
    this.buckets.delete(client);
    this.buckets.set(client, { left: Math.max(0, left - 1), at: now });
    if (this.buckets.size > MOST_ADDRESSES) this.buckets.delete(this.buckets.keys().next().value ?? "");
    if (left >= 1) return;
    throw new RequestError(429, "RATE_LIMITED", `more than ${this.perSecond} requests a second`, {
      hint: "Ask again later; Retry-After says when.",
      retryAfter: Math.max(1, Math.ceil((1 - left) / this.perSecond)),
    });
  }
}
