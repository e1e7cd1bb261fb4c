/** Changing settings of a store that has learned: those that leave features and adapters as they are. */
import { isDeepStrictEqual } from "node:util";
import type { Override } from "../config/overrides.ts";
import type { LoadedBackbone } from "../continual/types.ts";
import { ConfigError, type ConfigIssue } from "../core/errors.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { openModel } from "../model/openModel.ts";
import { changeModelSettings, withStoreDefaults } from "../model/settings/settings.ts";
import type { openDevice } from "../runtime/devices.ts";
import { inTurn } from "../workspace/queue.ts";
import { asStore, readSettings, readState, readStore, type StoreManifest } from "../workspace/reading.ts";
import { Workspace } from "../workspace/workspace.ts";
import { requireFinished } from "./adopted.ts";
import { filesOf } from "./opening.ts";
import { lockingOf, type WaitOptions } from "./upkeep.ts";

/** What can be changed: how the router is fitted and decides, and how the next adapters are trained. */
const changeable: ReadonlySet<string> = new Set([
  "router.kind",
  "router.topTasks",
  "router.secondPass",
  "router.rejectRate",
  "keepVersions",
  "threads",
  "device",
  ...[
    "epochs",
    "minSteps",
    "batchSize",
    "learningRate",
    "headLearningRate",
    "weightDecay",
    "schedule",
    "warmup",
  ].map((key) => `training.${key}`),
  ...["gradientClipping", "earlyStopping", "backboneDropout"].map((key) => `training.${key}`),
]);

/** Why the others cannot, by how their keys begin. */
const reasons: readonly (readonly [prefix: string, reason: string])[] = [
  ["router.layers", "what is kept of every text was read from these layers"],
  ["router.featureAdapter", "what is kept of every word was read that way"],
  ["router", "it is no setting of the router that can change by itself"],
  ["training.longText", "what is kept of long texts was read this way"],
  ["training.maxLength", "what is kept of every text was read up to this length"],
  ["feature", "heads were trained on vectors made this way"],
  ["method", "the adapters that were learned are built this way"],
  ["head", "the heads that were learned are of this kind"],
  ["prompt", "adapters and features were made with these words around each text"],
  ["level", "it decides what the tasks are"],
  ["outside", "the heads that were learned have their O this way"],
  ["seed", "random features of the router hang on it"],
  ["precision", "adapters and features are those of a backbone in this precision"],
  ["backbone", "adapters and features are this backbone's"],
];

function refusalOf(key: string, value: unknown): ConfigIssue | undefined {
  if (changeable.has(key)) return undefined;
  const reason = reasons.find(([prefix]) => key === prefix || key.startsWith(`${prefix}.`))?.[1];
  const expected =
    reason === undefined
      ? `one of the settings that can change: ${[...changeable].join(", ")}`
      : `to stay as it is: ${reason}`;
  return { path: key, expected, received: JSON.stringify(value) ?? "nothing" };
}

/** Whether two versions are answered with the same settings. */
export function sameSettings(a: StoreManifest, b: StoreManifest): boolean {
  return isDeepStrictEqual(a.store.settings ?? {}, b.store.settings ?? {});
}

/** Opens the model of a version on a backbone that is loaded. */
export async function openVersion(
  path: string,
  manifest: StoreManifest,
  loaded: LoadedBackbone,
  open?: typeof openDevice,
): Promise<ContinualModel> {
  const settings = withStoreDefaults(await readSettings(path, manifest));
  return await openModel(settings, loaded, { trunks: "memory", openDevice: open });
}

/**
 * Makes a next version with other settings and the same tasks.
 * @throws ConfigError where a setting cannot change, with the reason, or is wrong
 */
export async function changeSettings(
  path: string,
  overrides: readonly Override[],
  loaded: LoadedBackbone,
  options: WaitOptions = {},
): Promise<StoreManifest> {
  const issues = overrides.flatMap(({ key, value }) => refusalOf(key, value) ?? []);
  if (overrides.length === 0 || issues.length > 0)
    throw new ConfigError(
      `${path}: ${overrides.length === 0 ? "no setting to change" : "cannot be changed"}`,
      {
        issues,
        hint: "For example router.kind=lda, or router.rejectRate=0.05; a new store takes any setting.",
      },
    );
  await requireFinished(path);
  return await inTurn(path, async () => {
    await using workspace = await Workspace.open(path, lockingOf(options));
    const before = await readStore(path);
    const wanted = Object.fromEntries(overrides.map(({ key, value }) => [key, value]));
    const settings = withStoreDefaults(changeModelSettings(await readSettings(path, before), wanted, "set"));
    await using model = await openModel(settings, loaded, { trunks: "memory" });
    const state = await readState(path, before, model);
    const router = await filesOf(await model.fitRouter(state, "immediate"), true, options.signal);
    const change = `set ${overrides.map(({ key, value }) => `${key}=${JSON.stringify(value)}`).join(" ")}`;
    const kept = jsonOf({ ...before.store.settings, ...wanted });
    return asStore(await workspace.commit(state, change, router, kept));
  });
}

function jsonOf(value: Readonly<Record<string, unknown>>): StoreManifest["store"]["settings"] {
  return JSON.parse(JSON.stringify(value));
}
