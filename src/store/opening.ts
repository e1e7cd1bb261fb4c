/** Opening the folder of a store: its backbone, the present version, and the router that answers. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Override } from "../config/overrides.ts";
import type { ModelConfig } from "../config/schema.ts";
import type { LoadedBackbone } from "../continual/types.ts";
import { CheckpointError } from "../core/errors.ts";
import type { ChangeEvent } from "../model/changes.ts";
import type { ContinualModel, StateRouter } from "../model/continualModel.ts";
import { openModel } from "../model/openModel.ts";
import { loadBackbone } from "../model/settings/backbone.ts";
import { withStoreDefaults } from "../model/settings/settings.ts";
import type { ModelState } from "../model/state.ts";
import { readPresent, readSettings, readStore, type StoreManifest } from "../workspace/reading.ts";
import { type RouterFiles, routerReader } from "../workspace/routers.ts";
import type { SharedBackbones } from "./shared.ts";

/** How a store is opened. */
export interface StoreOptions {
  /** Begins a store with these settings where the folder has none. */
  readonly create?: ModelConfig | undefined;
  /** With `create`: settings that beat it, as `--set` gives them. */
  readonly overrides?: readonly Override[] | undefined;
  /** Where the backbone lies now; its hash must be the one that the store names. */
  readonly backbone?: string | undefined;
  /** Seconds that a change waits for another process to end its own; default 10. */
  readonly waitSeconds?: number | undefined;
  /**
   * Whether the consolidated router is fitted in a worker thread once nothing has changed for two seconds; default true.
   * Without it `consolidate` fits one.
   */
  readonly background?: boolean | undefined;
  /** Backbones that this store holds together with others of the process. */
  readonly shared?: SharedBackbones | undefined;
  /** Hears how a change goes on. */
  readonly onEvent?: ((event: ChangeEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a finished run is opened. */
export type OpenRunOptions = Pick<StoreOptions, "backbone" | "background" | "signal">;

/**
 * Loads the backbone that a store names.
 * @throws CheckpointError if it is another one by now
 */
export async function loadNamedBackbone(
  { backbone }: Pick<StoreManifest, "backbone">,
  { backbone: elsewhere, signal, shared }: Pick<StoreOptions, "backbone" | "signal" | "shared">,
): Promise<LoadedBackbone> {
  const place = elsewhere ?? backbone.source;
  const wanted = {
    revision: elsewhere === undefined ? backbone.revision : undefined,
    learnedWith: backbone.hash,
  };
  const loaded = await (shared?.load(place, wanted) ?? loadBackbone(place, { ...wanted, signal }));
  const checks = [
    ["backbone", backbone.hash, loaded.folder.hash],
    ["tokenizer", backbone.tokenizerHash, loaded.tokenizer.hash],
  ] as const;
  for (const [what, then, now] of checks)
    if (then !== now)
      throw new CheckpointError(
        `${place}: is not the ${what} that was learned with: hash ${now}, the manifest names ${then}`,
        {
          hint: "Give the folder of the backbone it was begun with.",
        },
      );
  return loaded;
}

/** What is open of a folder. */
export interface Opened {
  readonly model: ContinualModel;
  readonly manifest: StoreManifest;
  readonly state: ModelState;
}

/** Opens the latest router that stands of a version. @returns whether there is one, or none is needed */
async function openRouter(
  path: string,
  model: ContinualModel,
  { manifest, state }: Pick<Opened, "manifest" | "state">,
): Promise<boolean> {
  const stages = model.routerStages(state).toReversed();
  for (const stage of stages) {
    const read = routerReader(path, manifest.store.version, stage);
    if ((await model.openRouter(state, stage, read)) !== undefined) return true;
  }
  return stages.length === 0;
}

/** The present version with its router. A change deletes the router before, so that a reader may find it gone. */
export async function readAnswering(
  path: string,
  model: ContinualModel,
): Promise<Pick<Opened, "manifest" | "state">> {
  for (;;) {
    const present = await readPresent(path, model);
    if (await openRouter(path, model, present)) return present;
    const { store } = await readStore(path);
    if (store.version === present.manifest.store.version) return present;
  }
}

/** A router as it is kept; the first stage of a state's with what the fit of the next state goes on from. */
export async function filesOf(
  router: StateRouter | undefined,
  first: boolean,
  signal?: AbortSignal,
): Promise<RouterFiles | undefined> {
  if (router === undefined) return undefined;
  const files = await router.files({ signal });
  // Files are large: whoever asks meanwhile is answered between them.
  await nextTick();
  return { stage: router.stage, files: new Map([...files, ...(first ? router.totals() : [])]) };
}

export async function openFolder(path: string, options: StoreOptions): Promise<Opened> {
  const begun = await readStore(path);
  const settings = withStoreDefaults(await readSettings(path, begun));
  const loaded = await loadNamedBackbone(begun, options);
  const model = await openModel(settings, loaded, {
    trunks: "memory",
    openDevice: options.shared?.openDevice,
  });
  try {
    return { model, ...(await readAnswering(path, model)) };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}
