/** Fitting a store's consolidated router in a worker thread, while the store answers and learns. */
import type { Worker } from "node:worker_threads";
import { z } from "zod";
import { messageOf } from "../core/errors.ts";
import { type RouterFitting, routerFittingSchema } from "../core/record.ts";
import { startWorker } from "../core/worker.ts";
import { Slots } from "./slots.ts";

/** Nothing has changed for so long when a fit begins. */
const QUIET_MS = 2000;

/** One fit at a time in a thread, whatever it has open: each takes the processor, a backbone and its sessions. */
const fits = new Slots(1);

/** `waiting` for changes to cease, `fitting`, or `failed`; `pending` where nothing is scheduled. */
export type ConsolidationState = "pending" | "waiting" | "fitting" | "failed";

/** What the worker is told. */
export interface ConsolidationTask {
  readonly path: string;
  readonly backbone: string | undefined;
}

/** What the worker tells. */
export const consolidationMessage = z.discriminatedUnion("type", [
  z.object({ type: z.literal("fitting"), fitting: routerFittingSchema }),
  z.object({ type: z.literal("done") }),
  z.object({ type: z.literal("failed"), message: z.string() }),
]);
export type ConsolidationMessage = z.infer<typeof consolidationMessage>;

/** One fit at a time, begun anew by every change. A process may end while it waits or fits. */
export class BackgroundConsolidation implements AsyncDisposable {
  private readonly task: ConsolidationTask;
  private readonly onDone: () => Promise<void>;
  private timer: NodeJS.Timeout | undefined;
  private worker: Worker | undefined;
  private readonly ending = new Map<Worker, Promise<unknown>>();
  state: ConsolidationState = "pending";
  /** What the fit is at. */
  fitting: RouterFitting | undefined;
  /** Why the last fit failed. */
  failure: string | undefined;

  /** @param onDone takes up what the worker has written */
  constructor(task: ConsolidationTask, onDone: () => Promise<void>) {
    this.task = task;
    this.onDone = onDone;
  }

  /** Begins a fit once nothing has been scheduled for a while. */
  schedule(): void {
    this.cancel();
    this.state = "waiting";
    const timer = setTimeout(
      () =>
        void fits.run(async () => {
          if (this.timer === timer) await this.fit();
        }),
      QUIET_MS,
    ).unref();
    this.timer = timer;
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.fitting = undefined;
    this.failure = undefined;
    this.state = "pending";
    const { worker } = this;
    this.worker = undefined;
    // It ends by itself: native code must not be cut off.
    worker?.postMessage("stop");
  }

  /** Resolves when the worker has ended, however it did. */
  private async fit(): Promise<void> {
    const worker = startWorker("consolidationWorker", import.meta.url, this.task);
    worker.unref();
    this.worker = worker;
    this.state = "fitting";
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    this.ending.set(worker, ended);
    void ended.then(() => this.ending.delete(worker));
    worker.on("message", (message) => {
      if (this.worker === worker) this.hear(consolidationMessage.parse(message));
    });
    worker.on("error", (error) => {
      if (this.worker === worker) this.fail(messageOf(error));
    });
    await ended;
  }

  private hear(message: ConsolidationMessage): void {
    if (message.type === "fitting") this.fitting = message.fitting;
    if (message.type === "failed") this.fail(message.message);
    if (message.type !== "done") return;
    this.fitting = undefined;
    this.state = "pending";
    this.onDone().catch((error: unknown) => this.fail(messageOf(error)));
  }

  private fail(message: string): void {
    this.state = "failed";
    this.fitting = undefined;
    this.failure = message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
    for (const worker of this.ending.keys()) worker.ref();
    await Promise.all(this.ending.values());
  }
}
