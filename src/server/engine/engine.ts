/** The server's side of a worker thread that holds stores. */
import { MessageChannel, type Worker } from "node:worker_threads";
import { EngineError, messageOf } from "../../core/errors.ts";
import { startWorker } from "../../core/worker.ts";
import { CarriedAccreteError } from "./errors.ts";
import type { Announcement, Args, CallEvent, CallName, EngineData, Result, Told } from "./protocol.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: CallEvent) => void) | undefined;
}

export class Engine implements AsyncDisposable {
  private readonly worker: Worker;
  private readonly ended: Promise<void>;
  private dead: Error | undefined;
  /** Rejects where a store cannot be opened. */
  readonly opened: Promise<void>;
  /** Gives the reason when no call can be answered any more. */
  readonly died: Promise<Error>;

  constructor(data: EngineData, onAnnouncement: (announcement: Announcement) => void) {
    this.worker = startWorker("engineWorker", import.meta.url, data);
    const { worker } = this;
    let tellOfDeath: (error: Error) => void = () => {};
    this.died = new Promise((resolve) => {
      tellOfDeath = resolve;
    });
    const fail = (error: Error) => {
      this.dead ??= error;
      tellOfDeath(this.dead);
    };
    this.opened = new Promise((resolve, reject) => {
      worker.on("message", (message: Announcement) => {
        onAnnouncement(message);
        if (message.type === "opened") resolve();
        if (message.type === "failed") fail(new CarriedAccreteError(message.error));
        if (this.dead !== undefined) reject(this.dead);
      });
      worker.on("error", (error) => fail(new EngineError(`the engine's thread failed: ${messageOf(error)}`)));
      worker.on("exit", () => {
        fail(new EngineError("the engine's thread has ended"));
        reject(this.dead);
      });
    });
    // Whoever does not wait hears of it with the first call.
    this.opened.catch(() => {});
    this.ended = new Promise((resolve) => worker.once("exit", () => resolve()));
  }

  /** Whether calls can be answered. */
  get alive(): boolean {
    return this.dead === undefined;
  }

  /** @throws what the call is refused with; EngineError where the thread ends meanwhile */
  async call<C extends CallName>(
    call: C,
    args: Args<C>,
    { signal, onEvent }: CallOptions = {},
  ): Promise<Result<C>> {
    signal?.throwIfAborted();
    if (this.dead !== undefined) throw this.dead;
    const { port1, port2 } = new MessageChannel();
    const stop = () => port1.postMessage("stop");
    signal?.addEventListener("abort", stop, { once: true });
    try {
      return await new Promise<Result<C>>((resolve, reject) => {
        port1.on("message", (told: Told<C>) => {
          if (told.type === "event") onEvent?.(told.event);
          if (told.type === "done") resolve(told.result);
          if (told.type === "failed") reject(new CarriedAccreteError(told.error));
        });
        port1.on("close", () => reject(this.dead ?? new EngineError("the engine's thread has ended")));
        this.worker.postMessage({ call, args, port: port2 }, [port2]);
      });
    } finally {
      signal?.removeEventListener("abort", stop);
      port1.close();
    }
  }

  /** Aborts what is under way, and closes the stores. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.dead === undefined) this.worker.postMessage("end");
    await this.ended;
  }
}
