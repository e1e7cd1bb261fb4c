/** A worker thread that holds stores: passes of the engine block it, and the server's own thread goes on. */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { z } from "zod";
import { openSource } from "../../store/sources/openSource.ts";
import { carry } from "./errors.ts";
import { Hosting } from "./hosting.ts";
import type { Announcement, CallName, Request, Told } from "./protocol.ts";

const storesAt = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("folders"), stores: z.record(z.string(), z.string()) }),
  z.object({ kind: z.literal("root"), folder: z.string() }),
  z.object({ kind: z.literal("bucket"), url: z.string(), cache: z.string() }),
]);
const data = z
  .object({
    stores: storesAt,
    changes: z.boolean(),
    consolidates: z.boolean(),
    backbone: z.string().optional(),
    memoryBytes: z.number(),
    pollMs: z.number(),
    waitSeconds: z.number(),
  })
  .parse(workerData);

const hosting = openSource(data.stores, data.changes ? "writing" : "reading").then(
  (source) =>
    new Hosting(data, source, {
      onSnapshot: (snapshot) => announce({ type: "snapshot", snapshot }),
      onHolding: (holding) => announce({ type: "holding", holding }),
    }),
);
const ending = new AbortController();
const underWay = new Set<Promise<void>>();

function announce(announcement: Announcement): void {
  parentPort?.postMessage(announcement);
}

async function serve<C extends CallName>({ call, args, port }: Request<C>): Promise<void> {
  const stop = new AbortController();
  port.once("message", () => stop.abort());
  port.once("close", () => stop.abort());
  const signal = AbortSignal.any([stop.signal, ending.signal]);
  const tell = (message: Told<C>) => port.postMessage(message);
  try {
    const result = await (await hosting).answer(call, args, {
      signal,
      onEvent: (event) => tell({ type: "event", event }),
    });
    tell({ type: "done", result });
  } catch (error) {
    tell({ type: "failed", error: carry(error) });
  } finally {
    port.close();
  }
}

async function end(): Promise<void> {
  ending.abort();
  await Promise.allSettled(underWay);
  const open = await hosting.catch(() => undefined);
  await open?.[Symbol.asyncDispose]();
  announce({ type: "ended" });
  parentPort?.close();
}

parentPort?.on("message", (request: Request | "end") => {
  const done = (request === "end" ? end() : serve(request)).catch((error: unknown) =>
    announce({ type: "failed", error: carry(error) }),
  );
  if (request === "end") return;
  underWay.add(done);
  void done.finally(() => underWay.delete(done));
});

/** Looks for what others change in stores that are named; those of a large place are looked at when they are asked. */
async function watch(): Promise<void> {
  while (!ending.signal.aborted) {
    await sleep(data.pollMs, undefined, { signal: ending.signal, ref: false }).catch(() => {});
    if (!ending.signal.aborted) await (await hosting).lookAround();
  }
}

try {
  const open = await hosting;
  if (!data.changes) await open.openNamed();
  announce({ type: "opened" });
  if (!data.changes && data.stores.kind === "folders") void watch();
} catch (error) {
  announce({ type: "failed", error: carry(error) });
  await end();
}
