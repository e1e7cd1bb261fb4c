/** What every route needs of a request: its deadline, and how answers and refusals are written. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { type Refusal, RequestError } from "../engine/errors.ts";
import { answers } from "./schemas.ts";

/** What the adapter for Node's servers passes beside a request. */
export interface ServerEnv {
  Bindings: { readonly incoming?: IncomingMessage; readonly outgoing?: ServerResponse };
  Variables: { requestId: string; failure?: Refusal };
}

export type ServerContext = Context<ServerEnv>;

export const json = <S extends z.ZodType>(schema: S, description: string) => ({
  content: { "application/json": { schema } },
  description,
});

export const body = <S extends z.ZodType>(schema: S) => ({
  content: { "application/json": { schema } },
  required: true,
});

export const refusals = { default: json(answers.error, "What was refused, why, and what to do.") } as const;

/** Whoever asked has gone away. */
const CLIENT_LEFT = 499;

/**
 * Does work that ends with its client, and after so long.
 * @throws RequestError 504 where it took longer
 */
export async function withDeadline<T>(
  c: ServerContext,
  seconds: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const late = () =>
    stop.abort(
      new RequestError(504, "TIMEOUT", `no answer within ${seconds} s`, {
        hint: "Ask for fewer texts at once, or later.",
      }),
    );
  const left = () => stop.abort(new RequestError(CLIENT_LEFT, "CLIENT_LEFT", "the client has gone away"));
  const timer = setTimeout(late, 1000 * seconds);
  // Node's own response says it without a web request being made for it, which costs as much as the rest of a request.
  const { outgoing } = c.env;
  const client = outgoing === undefined ? c.req.raw.signal : undefined;
  outgoing?.once("close", left);
  client?.addEventListener("abort", left, { once: true });
  try {
    return await work(stop.signal);
  } finally {
    clearTimeout(timer);
    outgoing?.off("close", left);
    client?.removeEventListener("abort", left);
  }
}

const MOST_ISSUES = 5;

/** Of a union the alternative that came nearest: the one that says least against the value. */
function told(issue: z.core.$ZodIssue): readonly string[] {
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const [nearest = []] = issue.errors.toSorted((a, b) => a.length - b.length || depthOf(b) - depthOf(a));
    return nearest.flatMap((inner) => told({ ...inner, path: [...issue.path, ...inner.path] }));
  }
  const where = issue.path.map(String).join(".");
  return [`${where === "" ? "" : `${where}: `}${issue.message}`];
}

function depthOf(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map(({ path }) => path.length));
}

/** @throws RequestError 422 naming the fields that are wrong */
export function refuseIssues(error: z.ZodError): never {
  const all = error.issues.flatMap(told);
  const more = all.length > MOST_ISSUES ? [`and ${all.length - MOST_ISSUES} more`] : [];
  throw new RequestError(422, "VALIDATION", [...all.slice(0, MOST_ISSUES), ...more].join("; "), {
    hint: "GET /openapi.json says what a request may hold.",
  });
}

/** text-embeddings-inference's kinds of errors, and what it lacks in the same manner. */
const errorTypes: Readonly<Record<number, string>> = {
  400: "Validation",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  413: "Validation",
  415: "Validation",
  422: "Validation",
  429: "Overloaded",
  503: "Unhealthy",
  507: "Backend",
};

/** OpenAI's names of them. */
const openaiTypes: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  429: "rate_limit_error",
};

function speaksOpenai(path: string): boolean {
  return path.startsWith("/v1/") || path === "/classify";
}

/** A refusal in the words of whom the path belongs to. */
export function refuse(c: ServerContext, refusal: Refusal): Response {
  const { status, code, message, hint, retryAfter } = refusal;
  c.set("failure", refusal);
  const said = hint === undefined ? message : `${message}${/[.?!]$/.test(message) ? "" : "."} ${hint}`;
  const type = openaiTypes[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
  const content = speaksOpenai(c.req.path)
    ? { error: { message: said, type, param: null, code } }
    : {
        error: said,
        error_type: errorTypes[status] ?? "Backend",
        code,
        request_id: c.get("requestId"),
      };
  const headers = new Headers({ "Content-Type": "application/json", "X-Request-Id": c.get("requestId") });
  if (retryAfter !== undefined) headers.set("Retry-After", String(retryAfter));
  if (status === 401) headers.set("WWW-Authenticate", 'Bearer realm="accrete"');
  return new Response(JSON.stringify(content), { status, headers });
}
