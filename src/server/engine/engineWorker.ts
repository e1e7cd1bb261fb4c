/** A worker thread that holds stores: passes of the engine block it, and the server's own thread goes on. */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { z } from "zod";
import { carry } from "./errors.ts";
import { Hosting } from "./hosting.ts";
import type { Announcement, CallName, Request, Told } from "./protocol.ts";

const data = z
  .object({
    stores: z.record(z.string(), z.string()),
    changes: z.boolean(),
    consolidates: z.boolean(),
    backbone: z.string().optional(),
    pollMs: z.number(),
    waitSeconds: z.number(),
  })
  .parse(workerData);

const hosting = new Hosting(data);
const ending = new AbortController();
const underWay = new Set<Promise<void>>();
const told = new Map<string, string>();

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
    const result = await hosting.answer(call, args, {
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
  await hosting[Symbol.asyncDispose]();
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

/** Tells how the stores are, whenever that changes. */
async function watch(): Promise<void> {
  while (!ending.signal.aborted) {
    await sleep(data.pollMs, undefined, { signal: ending.signal, ref: false }).catch(() => {});
    if (ending.signal.aborted) return;
    for (const name of hosting.names) {
      const snapshot = await hosting.keepUp(name);
      const text = JSON.stringify(snapshot);
      if (told.get(name) === text) continue;
      told.set(name, text);
      announce({ type: "snapshot", snapshot });
    }
  }
}

try {
  if (!data.changes)
    for (const name of hosting.names) {
      const snapshot = await hosting.warm(name);
      told.set(name, JSON.stringify(snapshot));
      announce({ type: "snapshot", snapshot });
    }
  announce({ type: "opened" });
  if (!data.changes) void watch();
} catch (error) {
  announce({ type: "failed", error: carry(error) });
  await end();
}
