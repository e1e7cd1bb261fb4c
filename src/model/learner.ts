/** A model that learns task after task in memory. */

import { checkArguments } from "../config/arguments.ts";
import { requireCombination } from "../config/combinations.ts";
import { StoreError } from "../core/errors.ts";
import type {
  AnswerOptions,
  Change,
  ChangeOptions,
  ConsolidateOptions,
  Forgotten,
  Merged,
} from "./changes.ts";
import type { ContinualModel, StateRouter } from "./continualModel.ts";
import type { ForgetTarget } from "./forgetting.ts";
import { merge } from "./merging.ts";
import { openModel } from "./openModel.ts";
import { loadBackbone, readArchitecture } from "./settings/backbone.ts";
import { loadModelSettings, type ModelConfig, withStoreDefaults } from "./settings/settings.ts";
import { emptyState, type ModelState } from "./state.ts";
import { type Changed, Teachable } from "./teachable.ts";

interface Version {
  readonly state: ModelState;
  /** The version that `rollback` goes back to; absent where there is none. */
  readonly parent?: number | undefined;
}

/** A frozen backbone that learns task after task, without files or folders around it. */
export class Learner extends Teachable {
  private present: Version & { readonly number: number };
  private readonly past = new Map<number, Version>();
  /** Changes are made one after another. */
  private latest: Promise<unknown> = Promise.resolve();
  private disposed = false;

  constructor(model: ContinualModel, state: ModelState = emptyState) {
    super(model);
    this.present = { state, number: 0 };
  }

  protected get state(): ModelState {
    return this.present.state;
  }

  get version(): number {
    return this.present.number;
  }

  protected checkOpen(): void {
    if (this.disposed) throw new StoreError("this learner was disposed of");
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const made = this.latest.then(work);
    this.latest = made.catch(() => {});
    return made;
  }

  private take(next: Version): void {
    const { number, ...before } = this.present;
    this.past.set(number, before);
    this.present = { ...next, number: number + 1 };
  }

  protected change<T extends object>(
    work: (state: ModelState, note: (message: string) => void) => Promise<Changed<T>>,
    { signal, onEvent }: ChangeOptions,
  ): Promise<T & Change> {
    const note = (message: string) => onEvent?.({ type: "note", message });
    return this.inTurn(async () => {
      const { state, result } = await work(this.state, note);
      await this.fitImmediate(state, { signal, onEvent });
      signal?.throwIfAborted();
      this.take({ state, parent: this.version });
      return { ...result, version: this.version };
    });
  }

  protected async router(
    state: ModelState,
    { signal, onFitting }: AnswerOptions,
  ): Promise<StateRouter | undefined> {
    const standing = this.model.bestRouter(state);
    return standing ?? (await this.model.fitRouter(state, "immediate", { signal, onProgress: onFitting }));
  }

  /**
   * Fits the router that takes over from the one of the last change. Answers do not wait for it.
   * @returns whether there was another one to fit
   */
  async consolidate(options: ConsolidateOptions = {}): Promise<boolean> {
    this.checkOpen();
    checkArguments("consolidate", { options });
    const { signal, onFitting } = options;
    const { state } = this;
    if (this.model.bestRouter(state)?.stage === "consolidated") return false;
    await this.model.fitRouter(state, "consolidated", { signal, onProgress: onFitting });
    return this.model.routerStages(state).length > 0;
  }

  /** What is forgotten is gone from memory: there is no going back to versions before. */
  override async forget(target: ForgetTarget, options: ChangeOptions = {}): Promise<Forgotten> {
    const forgotten = await super.forget(target, options);
    this.past.clear();
    this.present = { state: this.state, number: this.version };
    return forgotten;
  }

  /**
   * Goes back: makes a next version that holds what an earlier one held.
   * @param version default: the one before
   * @throws StoreError where there is none, or something was forgotten since
   */
  async rollback(version?: number): Promise<Change> {
    this.checkOpen();
    checkArguments("rollback", { version });
    return await this.inTurn(async () => {
      const target = version ?? this.present.parent;
      const earlier = target === undefined ? undefined : this.past.get(target);
      if (earlier === undefined)
        throw new StoreError(
          `nothing to go back to: ${target === undefined ? "this is the first version that is kept" : `version ${target} is not kept`}`,
        );
      this.take(earlier);
      return { version: this.version };
    });
  }

  /**
   * Takes in what another learner learned: the union of both.
   * @throws StoreError if the two do not fit
   */
  async merge(other: Learner, options: ChangeOptions = {}): Promise<Merged> {
    this.checkOpen();
    checkArguments("learner.merge", { other, options });
    const { settings, loaded } = other.model;
    const backbone = { hash: loaded.folder.hash, tokenizerHash: loaded.tokenizer.hash };
    return await this.change((before) => {
      const theirs = { state: other.state, settings, backbone, called: "the other learner" };
      const { state, came } = merge(this.model, before, theirs, "this learner");
      return Promise.resolve({ state, change: "merged another learner", result: { tasks: came } });
    }, options);
  }

  /** Frees the native memory of its sessions. */
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
  checkArguments("createLearner", { config });
  const settings = withStoreDefaults(await loadModelSettings(config, "createLearner"));
  const { backbone, backboneRevision, precision, method, head, level } = settings;
  const family = await readArchitecture(backbone, backboneRevision);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, backbone);
  const loaded = await loadBackbone(backbone, { revision: backboneRevision, precision });
  return new Learner(await openModel(settings, loaded, { trunks: "memory" }));
}
