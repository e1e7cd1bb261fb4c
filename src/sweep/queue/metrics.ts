/** What a worker does, for Prometheus. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Counter, Gauge, Registry } from "prom-client";
import { messageOf, StoreError } from "../../core/errors.ts";
import type { QueueConnection } from "./connection.ts";
import { watchQueue } from "./watch.ts";
import type { RunningWorker } from "./worker.ts";

function workerMetrics(registry: Registry, worker: Pick<RunningWorker, "counts">): void {
  const registers = [registry];
  new Gauge({
    name: "accrete_worker_trials_running",
    help: "Trials that this worker runs now.",
    registers,
    collect() {
      this.set(worker.counts().work.length);
    },
  });
  new Gauge({
    name: "accrete_worker_examples_per_second",
    help: "Training examples a second, over its trials.",
    registers,
    collect() {
      this.set(worker.counts().work.reduce((sum, { examplesPerSecond = 0 }) => sum + examplesPerSecond, 0));
    },
  });
  new Counter({
    name: "accrete_worker_trials_total",
    help: "Trials that this worker ended since it began.",
    labelNames: ["outcome"],
    registers,
    collect() {
      const { done, failed } = worker.counts();
      this.reset();
      this.inc({ outcome: "done" }, done);
      this.inc({ outcome: "failed" }, failed);
    },
  });
}

/** Answers `GET /metrics` until it is disposed of. @throws StoreError where the port is taken */
export async function serveMetrics(
  connection: QueueConnection,
  worker: Pick<RunningWorker, "counts">,
  port: number,
  onLine: (line: string) => void,
): Promise<AsyncDisposable & { readonly port: number }> {
  const registry = new Registry();
  workerMetrics(registry, worker);
  const queue = watchQueue(connection);
  queue.register(registry);
  const server = createServer((request, response) => {
    if (request.url !== "/metrics") return void response.writeHead(404).end();
    registry.metrics().then(
      (text) => response.writeHead(200, { "Content-Type": registry.contentType }).end(text),
      () => response.writeHead(503).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new StoreError(`--metrics ${port}: ${messageOf(cause)}`, { cause, hint: "Give another port." })),
    );
    server.listen(port, resolve);
  });
  const address: AddressInfo | string | null = server.address();
  const own = typeof address === "object" && address !== null ? address.port : port;
  onLine(`metrics on port ${own}, /metrics`);
  return {
    port: own,
    async [Symbol.asyncDispose]() {
      server.close();
      await queue[Symbol.asyncDispose]();
    },
  };
}
