import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { CheckpointError, loadConfig, type ResolvedConfig, type RunEvent, runExperiment } from "accrete-lm";
import { type Client, createClient } from "accrete-lm/client";
import { type Metric, registerMetric } from "accrete-lm/extend";
import { createServer, type StoreServer } from "accrete-lm/server";
import type { OpenOptions, WebStore } from "accrete-lm/web";

const tasks: Metric = (run) => run.tasks.length;
registerMetric("tasks", tasks);

const file = fileURLToPath(new URL("demo/demo.yaml", import.meta.resolve("accrete-lm/package.json")));
const { config }: { config: ResolvedConfig } = await loadConfig(file);
const events: AsyncGenerator<RunEvent> = runExperiment({
  ...config,
  backbone: "/no/such/model",
  out: "runs/none",
});
await assert.rejects(events.next(), (error) => error instanceof CheckpointError && error.exitCode === 2);
const server: StoreServer = createServer({});
await server.opened;
const client: Client = createClient({
  baseUrl: "http://localhost",
  fetch: (request) => server.fetch(request),
});
assert.deepEqual((await client.models()).data, []);
await server[Symbol.asyncDispose]();

// Of what runs in browsers the types alone: its engine is an optional peer.
const openWeb = (open: typeof WebStore.open, options: OpenOptions): Promise<WebStore> =>
  open("/store", options);
assert.equal(openWeb.length, 2);

console.log(`accrete-lm knows ${config.stream.taskList?.length ?? 0} tasks of its demo`);
