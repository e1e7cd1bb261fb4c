import { setTimeout as sleep } from "node:timers/promises";

/** npm and timeout pass on a Ctrl-C that the terminal sent to the whole group already: one key, two signals. */
const samePressMs = 1000;
/** The second of the two comes within milliseconds; a busy machine takes longer to deliver it. */
const duplicateMs = 300;

/**
 * Turns Ctrl-C and a polite kill into an abort, so that work stops between two steps with its files whole.
 * A second Ctrl-C ends the process at once.
 */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  #firstMs = 0;
  readonly #onSignal = (): void => {
    const nowMs = performance.now();
    if (!this.#controller.signal.aborted) {
      this.#firstMs = nowMs;
      this.#controller.abort();
    } else if (nowMs - this.#firstMs > samePressMs) {
      process.exit(1);
    }
  };

  constructor() {
    process.on("SIGINT", this.#onSignal);
    process.on("SIGTERM", this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * After an abort: waits until the signal's duplicate has come. Node removes its handlers while it exits, and a
   * duplicate in those milliseconds would kill the process in place of its exit code.
   */
  async waitForDuplicateSignal(): Promise<void> {
    const leftMs = this.#firstMs + duplicateMs - performance.now();
    if (leftMs > 0) await sleep(leftMs);
  }

  [Symbol.dispose](): void {
    // Once stopped, the process is on its way out: a late duplicate of the signal must not kill it.
    if (this.#controller.signal.aborted) return;
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
  }
}
