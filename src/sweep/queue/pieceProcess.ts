/**
 * Processes that compute pieces of runs and stay for the next one: to start a process and to open a run's model and data takes
 * as long as a short task.
 */
import { once } from "node:events";
import { join } from "node:path";
import { z } from "zod";
import { StoreError } from "../../core/errors.ts";
import { type PieceMaker, pieceNameSchema } from "../../experiment/pieces.ts";
import { type ChildEnd, type StartedChild, startChild, stopWith } from "../childRun.ts";

const requestSchema = z.object({
  piece: pieceNameSchema,
  /** The folder of the run's pieces. */
  folder: z.string(),
});
export type PieceRequest = z.infer<typeof requestSchema>;

/** What ends a process that is asked for nothing more. */
const lastWord = "end";

/**
 * The process's side: computes what its parent asks for, one piece after another, and says so when each is written.
 * @throws StoreError where no parent can ask; what a piece throws
 */
export async function answerRequests(maker: PieceMaker, signal: AbortSignal): Promise<void> {
  const { channel } = process;
  if (channel === undefined || channel === null)
    throw new StoreError("--asked is how a worker starts its processes; nobody can ask this one");
  // Whoever waits for a request is at work.
  channel.ref();
  try {
    for (;;) {
      const [message]: unknown[] = await once(process, "message", { signal });
      if (message === lastWord) return;
      const { piece, folder } = requestSchema.parse(message);
      await maker.compute(piece, folder, { signal });
      process.send?.("done");
    }
  } finally {
    channel.unref();
  }
}

/** How long a process waits for its next piece. */
const idleMs = 10_000;

interface Waiting extends StartedChild {
  /** What it was started with: the run. */
  readonly run: string;
  readonly timer: NodeJS.Timeout;
}

/** A worker's processes for pieces. Each job that begins takes the place of one that waits, so there are never more than jobs at once. */
export class PieceProcesses implements AsyncDisposable {
  readonly #folder: string;
  readonly #waiting = new Set<Waiting>();
  #started = 0;

  /** @param folder takes what they write to standard error */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * @param run arguments of `accrete run` that say which run it is
   * @returns exit code 0 when the piece is written; the end of its process where it failed
   */
  async compute(run: readonly string[], request: PieceRequest, signal: AbortSignal): Promise<ChildEnd> {
    const key = run.join("\0");
    const started = (await this.#take(key)) ?? (await this.#start(run));
    const { child, end } = started;
    const release = stopWith(child, signal);
    const answered = new Promise<ChildEnd>((resolve) => {
      child.once("message", () => resolve({ exitCode: 0, log: "" }));
    });
    // It may have ended by now: `end` says so.
    child.send(request, () => {});
    const outcome = await Promise.race([answered, end]).finally(() => {
      release();
      child.removeAllListeners("message");
    });
    if (child.exitCode === null && child.signalCode === null && !signal.aborted) this.#keep(started, key);
    return outcome;
  }

  /** Ends one that waits, where there is one: another kind of job begins in its place. */
  async giveWay(): Promise<void> {
    const [oldest] = this.#waiting;
    if (oldest !== undefined) await this.#end(oldest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#waiting].map((each) => this.#end(each)));
  }

  async #take(run: string): Promise<StartedChild | undefined> {
    for (const each of this.#waiting) {
      if (each.run !== run) continue;
      clearTimeout(each.timer);
      this.#waiting.delete(each);
      return each;
    }
    await this.giveWay();
    return undefined;
  }

  async #start(run: readonly string[]): Promise<StartedChild> {
    this.#started += 1;
    return await startChild(["run", ...run, "--asked"], join(this.#folder, `${this.#started}`));
  }

  #keep({ child, end }: StartedChild, run: string): void {
    const waiting = { child, end, run, timer: setTimeout(() => void this.#end(waiting), idleMs) };
    // One that is killed while it waits is not asked again.
    void end.catch(() => {}).then(() => this.#forget(waiting));
    this.#waiting.add(waiting);
  }

  #forget(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
  }

  async #end(waiting: Waiting): Promise<void> {
    this.#forget(waiting);
    waiting.child.send(lastWord, () => {});
    await waiting.end.catch(() => {});
  }
}
