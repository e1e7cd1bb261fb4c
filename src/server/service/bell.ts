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

  /** Resolves once it was rung more often than that, after so long, or where the signal is aborted. */
  async after(count: number, signal: AbortSignal, ms?: number): Promise<void> {
    if (this.rung > count || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.listeners.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(wake, ms);
      this.listeners.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}
