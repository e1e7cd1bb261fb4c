/** A worker thread that fits the consolidated router of a store, and keeps it in the store. */
import { parentPort, workerData } from "node:worker_threads";
import { z } from "zod";
import { messageOf } from "../core/errors.ts";
import type { ConsolidationMessage } from "./background.ts";
import { openStore } from "./store.ts";

const { path, backbone } = z.object({ path: z.string(), backbone: z.string().optional() }).parse(workerData);
const stop = new AbortController();
const { signal } = stop;

function tell(message: ConsolidationMessage): void {
  parentPort?.postMessage(message);
}

parentPort?.once("message", () => stop.abort());
try {
  await using store = await openStore(path, { background: false, signal, ...(backbone && { backbone }) });
  await store.consolidate({ signal, onFitting: (fitting) => tell({ type: "fitting", fitting }) });
  tell({ type: "done" });
} catch (error) {
  tell({ type: "failed", message: messageOf(error) });
} finally {
  parentPort?.close();
}
