/** Routers that take over, fitted one after another for stores of a folder that were changed here, whether they are open or not. */
import { BackgroundConsolidation } from "../../store/background.ts";

export class Consolidations implements AsyncDisposable {
  private readonly backbone: string | undefined;
  private readonly all = new Map<string, BackgroundConsolidation>();

  /** @param backbone where it lies now */
  constructor(backbone: string | undefined) {
    this.backbone = backbone;
  }

  /** Fits the router of a store once nothing has changed there for a while, and those before it are fitted. */
  schedule(name: string, folder: string): void {
    for (const [other, { state }] of this.all)
      if (state !== "waiting" && state !== "fitting") this.all.delete(other);
    const task = { path: folder, backbone: this.backbone };
    // Whoever has the store open sees the router at the next look.
    const own = this.all.get(name) ?? new BackgroundConsolidation(task, async () => {});
    this.all.set(name, own);
    own.schedule();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.all.values()].map((each) => each[Symbol.asyncDispose]()));
  }
}
