/** A server that listens, takes no more than it can bear, and ends without losing what it was asked. */
import { IncomingMessage, Server, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { createAdaptorServer } from "@hono/node-server";
import { AccreteError, ConfigError, errorCode } from "../core/errors.ts";
import type { StoreServer } from "./server.ts";

/** Where a server listens. */
export interface ListenOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

/** A server that listens. */
export interface Listening {
  readonly url: string;
  readonly port: number;
  /**
   * Says that it is not ready, takes no more connections, waits for what is under way, and closes the stores. What is not
   * done after `drainSeconds` is cut off: a change that was not committed by then leaves nothing.
   */
  stop(): Promise<void>;
}

const KEEP_ALIVE_MS = 5000;
const LOOK_MS = 25;
/** What was sent before a client could see that the server is not ready is still taken. */
const GRACE_MS = 300;

/** Listens on a port. */
export async function listen(server: StoreServer, { host, port }: ListenOptions): Promise<Listening> {
  const { limits } = server.service;
  const http = createAdaptorServer({
    fetch: (request, { incoming, outgoing }) =>
      server.fetch(
        request,
        incoming instanceof IncomingMessage && outgoing instanceof ServerResponse
          ? { incoming, outgoing }
          : {},
      ),
    serverOptions: {
      headersTimeout: 1000 * limits.receiveSeconds,
      requestTimeout: 1000 * limits.receiveSeconds,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1000,
    },
  });
  if (!(http instanceof Server)) throw new AccreteError("SERVER", "the HTTP server is of another kind");
  http.maxConnections = limits.connections;
  await new Promise<void>((resolve, reject) => {
    http.once("error", (cause) => {
      const taken = errorCode(cause) === "EADDRINUSE";
      reject(
        new ConfigError(
          `${host}:${port}: ${taken ? "another process listens there" : "cannot listen there"}`,
          {
            cause,
            hint: "Choose another with --port or --host.",
          },
        ),
      );
    });
    http.listen(port, host, resolve);
  });
  const address = http.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  const shown = host.includes(":") ? `[${host}]` : host;
  const stop = async () => {
    const { service } = server;
    service.beginToStop();
    await sleep(GRACE_MS);
    const closed = new Promise((resolve) => http.close(resolve));
    const end = performance.now() + 1000 * limits.drainSeconds;
    const changes = service.drainChanges(limits.drainSeconds);
    while (server.underWay() > 0 && performance.now() < end) {
      http.closeIdleConnections();
      await sleep(LOOK_MS);
    }
    await changes;
    // Answers that are being sent have a moment to arrive.
    for (let i = 0; i < 20; i++) {
      http.closeIdleConnections();
      if (await Promise.race([closed.then(() => true), sleep(LOOK_MS).then(() => false)])) break;
    }
    http.closeAllConnections();
    await closed;
    await server[Symbol.asyncDispose]();
  };
  return { url: `http://${shown}:${bound}`, port: bound, stop };
}
