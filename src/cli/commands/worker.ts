import { join } from "node:path";
import { openArtefacts } from "../../artefacts/open.ts";
import { cacheFolder } from "../../io/cacheFolder.ts";
import { openConnection } from "../../sweep/queue/connection.ts";
import { serveMetrics } from "../../sweep/queue/metrics.ts";
import { startWorker } from "../../sweep/queue/worker.ts";
import { UsageError } from "../terminal/failure.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface WorkerFlags {
  readonly queue?: string;
  readonly artefacts?: string;
  readonly concurrency: number;
  readonly cache?: string;
  readonly metrics?: number;
  readonly lockSeconds: number;
}

export async function workerCommand(flags: WorkerFlags, terminal: Terminal): Promise<void> {
  const { queue: address = process.env.ACCRETE_QUEUE, artefacts, concurrency, lockSeconds } = flags;
  if (address === undefined)
    throw new UsageError("worker: no queue is given", { hint: "Give it: --queue redis://host:6379." });
  if (artefacts === undefined)
    throw new UsageError("worker: --artefacts is missing, where data, backbones and runs are shared", {
      hint: "Give the place that the sweep was given: a folder, or s3://bucket/prefix.",
    });
  const cache = flags.cache ?? join(cacheFolder(), "worker");
  using interrupt = new Interrupt();
  await using queue = await openConnection(address);
  const store = await openArtefacts(artefacts);
  const onLine = (line: string) => terminal.err(`${line}\n`);
  const { signal } = interrupt;
  const worker = startWorker(queue, { store, cache, concurrency, lockSeconds, onLine, signal });
  await using _metrics =
    flags.metrics === undefined ? undefined : await serveMetrics(queue, worker, flags.metrics, onLine);
  onLine(`worker ${worker.name} takes trials from ${queue.place}, ${concurrency} at once; Ctrl-C stops it`);
  await worker.ended;
}
