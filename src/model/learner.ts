/** A model that learns task after task in memory. */

import { requireCombination } from "../config/combinations.ts";
import { StoreError } from "../core/errors.ts";
import type { ContinualModel, StateRouter } from "./continualModel.ts";
import { merge } from "./merging.ts";
import { openModel } from "./openModel.ts";
import { loadBackbone, readArchitecture } from "./settings/backbone.ts";
import { type ModelConfig, resolveModelSettings, withDefaultRouter } from "./settings/settings.ts";
import { emptyState, type ModelState } from "./state.ts";
import { type AnswerOptions, type Change, type Changed, type ChangeOptions, Teachable } from "./teachable.ts";

/** A frozen backbone that learns task after task, without files or folders around it. */
export class Learner extends Teachable {
  protected state: ModelState = emptyState;
  private changes = 0;
  /** Changes are made one after another. */
  private latest: Promise<unknown> = Promise.resolve();
  private disposed = false;

  constructor(model: ContinualModel, state: ModelState = emptyState) {
    super(model);
    this.state = state;
  }

  get version(): number {
    return this.changes;
  }

  protected checkOpen(): void {
    if (this.disposed) throw new StoreError("this learner was disposed of");
  }

  protected change<T extends object>(
    work: (state: ModelState, note: (message: string) => void) => Promise<Changed<T>>,
    { signal, onEvent }: ChangeOptions,
  ): Promise<T & Change> {
    const note = (message: string) => onEvent?.({ type: "note", message });
    const made = this.latest.then(async () => {
      const { state, result } = await work(this.state, note);
      signal?.throwIfAborted();
      this.state = state;
      this.changes += 1;
      return { ...result, version: this.changes };
    });
    this.latest = made.catch(() => {});
    return made;
  }

  protected router(
    state: ModelState,
    { signal, onFitting }: AnswerOptions,
  ): Promise<StateRouter | undefined> {
    return this.model.fitRouter(state, { signal, onProgress: onFitting });
  }

  /**
   * Takes in what another learner learned: the union of both.
   * @throws StoreError if the two do not fit
   */
  merge(other: Learner, options: ChangeOptions = {}) {
    this.checkOpen();
    const { settings, loaded } = other.model;
    const backbone = { hash: loaded.folder.hash, tokenizerHash: loaded.tokenizer.hash };
    return this.change((before) => {
      const theirs = { state: other.state, settings, backbone, called: "the other learner" };
      const { state, came } = merge(this.model, before, theirs, "this learner");
      return Promise.resolve({ state, change: "merged another learner", result: { tasks: came } });
    }, options);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    await this.latest;
    await super[Symbol.asyncDispose]();
  }
}

/**
 * Opens a backbone to learn tasks with: labels of texts with a head (`head: linear`, `cosine`) or in words (`head: none`),
 * or entities (`level: word`).
 *
 * @example
 * await using learner = await createLearner({ backbone: "models/minilm-l6" });
 * await learner.learn({ name: "travel", train });
 * const [answer] = await learner.predict(["when does the next train leave?"]);
 *
 * @throws ConfigError, CheckpointError for settings or a backbone that cannot be used
 */
export async function createLearner(config: ModelConfig): Promise<Learner> {
  const settings = withDefaultRouter(resolveModelSettings(config, "createLearner"));
  const { backbone, backboneRevision, method, head, level } = settings;
  const family = await readArchitecture(backbone, backboneRevision);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, backbone);
  const loaded = await loadBackbone(backbone, backboneRevision);
  return new Learner(await openModel(settings, loaded, { trunks: "memory" }));
}
