/** Routers that take over, fitted one after another for stores of a place that were changed here, whether they are open or not. */
import { BackgroundConsolidation } from "../../store/background.ts";

export class Consolidations implements AsyncDisposable {
  private readonly backbone: string | undefined;
  private readonly onFitted: (name: string) => Promise<void>;
  private readonly all = new Map<string, BackgroundConsolidation>();

  /**
   * @param backbone where it lies now
   * @param onFitted told of a store whose router lies in its folder
   */
  constructor(backbone: string | undefined, onFitted: (name: string) => Promise<void>) {
    this.backbone = backbone;
    this.onFitted = onFitted;
  }

  /** Fits the router of a store once nothing has changed there for a while, and those before it are fitted. */
  schedule(name: string, folder: string): void {
    for (const [other, { state }] of this.all)
      if (state !== "waiting" && state !== "fitting") this.all.delete(other);
    const task = { path: folder, backbone: this.backbone };
    // Whoever has the store open sees the router at the next look.
    const own = this.all.get(name) ?? new BackgroundConsolidation(task, () => this.onFitted(name));
    this.all.set(name, own);
    own.schedule();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.all.values()].map((each) => each[Symbol.asyncDispose]()));
  }
}
