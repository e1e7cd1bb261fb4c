/** Wakes whoever waits for something to change. */
export class Bell {
  private readonly listeners = new Set<() => void>();
  private rung = 0;

  /** How often it was rung so far. */
  get count(): number {
    return this.rung;
  }

  ring(): void {
    this.rung += 1;
    for (const listener of [...this.listeners]) listener();
  }

  /** Resolves once it was rung more often than that, or the signal is aborted. */
  async after(count: number, signal: AbortSignal): Promise<void> {
    if (this.rung > count || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.listeners.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.listeners.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}
