/** Stands between a client and an S3 of the test's own: counts requests, and answers some of them badly. */
import { createServer, type OutgoingHttpHeaders, request as send } from "node:http";
import { onTestFinished } from "vitest";
import { freePort } from "./sweeps.ts";

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
}

/**
 * `late`: answered after a while; `refused`: with 503, and not passed on; `forbidden`: with 403; `lost`: passed on, and answered with 503; `cut`: passed on,
 * and the connection ends before the answer; `unconditional`: passed on without its conditions.
 */
export type Fault = "late" | "refused" | "forbidden" | "lost" | "cut" | "unconditional";

/** Of this connection alone. The host stays: it is signed. */
const hop = ["connection", "content-length", "expect", "transfer-encoding"];

interface Passed {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly bytes: Uint8Array;
}

function pass(
  target: string,
  { method, url }: Asked,
  headers: OutgoingHttpHeaders,
  body: Uint8Array | undefined,
): Promise<Passed> {
  const { hostname, port } = new URL(target);
  return new Promise((resolve, reject) => {
    const outgoing = send({ hostname, port, method, path: url, headers }, async (answer) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of answer) chunks.push(chunk);
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, bytes: Buffer.concat(chunks) });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/**
 * Where clients that are made from here on ask, until the test ends. One request after another is passed on: moto looks and
 * writes in two steps, S3 in one.
 */
export async function startProxy(
  target: string,
  fault: (asked: Asked) => Fault | undefined = () => undefined,
) {
  const asked: (Asked & { readonly status: number })[] = [];
  let last: Promise<unknown> = Promise.resolve();
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = "GET", url = "/" } = request;
    const how = fault({ method, url });
    const refuse = (status = 503) => {
      asked.push({ method, url, status });
      response.writeHead(status).end();
    };
    if (how === "refused") return refuse();
    if (how === "forbidden") return refuse(403);
    if (how === "late") await new Promise((resolve) => setTimeout(resolve, 100));
    const goesOn = ([name]: [string, unknown]) =>
      !hop.includes(name) && !(how === "unconditional" && name.startsWith("if-"));
    const headers = Object.fromEntries(Object.entries(request.headers).filter(goesOn));
    const body = ["GET", "HEAD"].includes(method) ? undefined : Buffer.concat(chunks);
    const passed = last.then(() => pass(target, { method, url }, headers, body));
    last = passed.catch(() => {});
    const { status, headers: answered, bytes } = await passed;
    if (how === "lost") return refuse();
    if (how === "cut") return void response.destroy();
    asked.push({ method, url, status });
    const { "transfer-encoding": _encoding, connection: _connection, ...kept } = answered;
    response.writeHead(status, kept);
    response.end(bytes);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const direct = process.env.AWS_ENDPOINT_URL ?? "";
  process.env.AWS_ENDPOINT_URL = `http://127.0.0.1:${port}`;
  onTestFinished(() => {
    process.env.AWS_ENDPOINT_URL = direct;
    server.closeAllConnections();
    server.close();
  });
  return { asked };
}
