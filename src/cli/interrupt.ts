/** npm, and timeout, pass on a Ctrl-C that the terminal sent to the whole group already: two signals, one wish. */
const sameWishMs = 1000;

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
    } else if (nowMs - this.#firstMs > sameWishMs) {
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

  [Symbol.dispose](): void {
    // Once stopped, the process is on its way out: a late twin of the signal must not kill it over its last words.
    if (this.#controller.signal.aborted) return;
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
  }
}
