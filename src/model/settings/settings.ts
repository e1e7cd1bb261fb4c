/** What a model learns with: the sections of a configuration that do not speak of data. */
import { join } from "node:path";
import { stringify } from "yaml";
import { loadExtensions, resolveExtensions } from "../../config/extensions.ts";
import { modelFields, type RouterConfig, type SelectorConfig } from "../../config/fields.ts";
import { isRecord, toConfigIssues } from "../../config/issues.ts";
import { readYaml, resolveBackbone } from "../../config/load.ts";
import { applyOverrides, type Override } from "../../config/overrides.ts";
import {
  type ModelConfig,
  modelSchema,
  type ResolvedConfig,
  routesBySelector,
  type ModelSettings as SchemaSettings,
} from "../../config/schema.ts";
import { ConfigError } from "../../core/errors.ts";
import { type RecipeName, recipeNames, type StreamSpec } from "../../data/streamSpec.ts";
import type { PromptTask } from "../../peft/promptTuning.ts";

export type { ModelConfig } from "../../config/schema.ts";
export { routesBySelector };

/** Everything that a model is made from. */
export interface ModelSettings extends Omit<SchemaSettings, "router"> {
  /** Absent: nothing routes. Without a kind the router follows from what is known. */
  readonly router?: (Omit<RouterConfig, "kind"> & Partial<Pick<RouterConfig, "kind">>) | undefined;
  /** What the texts are, as far as it decides with which words a prompt of `init: auto` begins. */
  readonly promptTask: PromptTask;
}

/** What the recipes' labels are. */
const promptTasks: { readonly [R in RecipeName]: PromptTask } = {
  clinc150: "intent",
  banking77: "intent",
  fewrel: "relation",
};

/** What a stream asks of its texts. */
export function promptTaskOf(
  { recipe }: { readonly recipe?: StreamSpec["recipe"] | undefined },
  level: SchemaSettings["level"],
): PromptTask {
  if (level === "word") return "word";
  return recipe === undefined ? "sentence" : promptTasks[recipe];
}

/** NewLoRA's network, where the method has one. */
export function selectorOf({ method }: Pick<SchemaSettings, "method">): SelectorConfig | undefined {
  return method.adapter === "lora" ? method.selector : undefined;
}

/** Why learned classes cannot be taken out again, or joined with another model's; undefined where they can. */
export function entanglementOf(settings: ModelSettings): string | undefined {
  const { level, outside, router } = settings;
  if (selectorOf(settings) !== undefined)
    return "all tasks share a selection network (method.selector), which saw each of them";
  if (level !== "word") return undefined;
  if (outside === "first") return "all heads compare with the first task's O (outside: first)";
  if (router?.unlabelled === "mark")
    return "a task's statistics hold what earlier tasks found in its sentences (router.unlabelled: mark)";
  return router !== undefined && (router.featureAdapter ?? "first") === "first"
    ? "features of words are read through the first task's adapter (router.featureAdapter: first)"
    : undefined;
}

/**
 * Checks settings, with defaults filled in.
 * @param where how messages name the place
 * @throws ConfigError with every problem at once
 */
export function resolveModelSettings(
  config: ModelConfig,
  where: string,
  overrides: readonly Override[] = [],
  baseDir = process.cwd(),
): ModelSettings {
  const { raw, issues: unplaced } = applyOverrides({ ...config }, overrides);
  const parsed = modelSchema.safeParse(raw);
  const issues = [...unplaced, ...(parsed.success ? [] : toConfigIssues(modelSchema, raw, parsed.error))];
  if (!parsed.success || issues.length > 0)
    throw new ConfigError(`${where}: the settings are wrong`, { issues });
  const settings = parsed.data;
  return {
    ...settings,
    ...resolveExtensions(settings, baseDir),
    backbone: resolveBackbone(settings.backbone, baseDir),
    promptTask: promptTaskOf({}, settings.level),
  };
}

/** As {@link resolveModelSettings}, once the extensions that the settings name are imported. */
export async function loadModelSettings(
  config: ModelConfig,
  where: string,
  overrides: readonly Override[] = [],
  baseDir = process.cwd(),
): Promise<ModelSettings> {
  await loadExtensions(applyOverrides({ ...config }, overrides).raw, baseDir);
  return resolveModelSettings(config, where, overrides, baseDir);
}

/** Enough for an adapter to learn what a handful of texts say. */
const STORE_MIN_STEPS = 60;

/**
 * A store and a learner route without being told, since which router there is to be follows from what is known; and they train on a
 * few texts until something is learned.
 */
export function withStoreDefaults(given: ModelSettings): ModelSettings {
  const settings = { ...given, training: { minSteps: STORE_MIN_STEPS, ...given.training } };
  if (settings.router !== undefined || selectorOf(settings) !== undefined) return settings;
  const words = settings.level === "word";
  return {
    ...settings,
    router: {
      topTasks: words ? "auto" : 1,
      secondPass: words ? "auto" : "off",
      // A router that reads words through the first task's adapter could not forget or merge.
      ...(words && { featureAdapter: "none" }),
    },
  };
}

export const configFile = "config.resolved.yaml";

/**
 * The settings of a store, or those of a run that it may become.
 * @param changes made since, key with dots → value
 * @throws ConfigError where they are missing or damaged
 */
export async function readModelSettings(
  folder: string,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<ModelSettings> {
  const path = join(folder, configFile);
  const all = await readYaml(path);
  await loadExtensions(all, folder);
  // A run's file speaks of its stream and its folder as well.
  const own = Object.fromEntries(
    Object.entries(all).filter(
      ([key, value]) => key in modelFields.shape && !(key === "router" && value === "none"),
    ),
  );
  const parsed = modelSchema.safeParse(own);
  if (!parsed.success)
    throw new ConfigError(`${path}: the settings are wrong`, {
      issues: toConfigIssues(modelSchema, own, parsed.error),
    });
  const { stream } = all;
  const recipe = isRecord(stream) ? recipeNames.find((each) => each === stream.recipe) : undefined;
  const settings = { ...parsed.data, promptTask: promptTaskOf({ recipe }, parsed.data.level) };
  return changeModelSettings(settings, changes, path);
}

/**
 * @param changes key, with dots, → value
 * @param where how messages name the place
 * @throws ConfigError with every problem at once
 */
export function changeModelSettings(
  settings: ModelSettings,
  changes: Readonly<Record<string, unknown>>,
  where: string,
): ModelSettings {
  if (Object.keys(changes).length === 0) return settings;
  // The default router is spelled out first: to change one of its settings changes no other.
  const { promptTask, ...before } = withStoreDefaults(settings);
  const overrides = Object.entries(changes).map(([key, value]) => ({ key, value, source: "set" }));
  const { raw, issues: unplaced } = applyOverrides(before, overrides);
  const parsed = modelSchema.safeParse(raw);
  const issues = [...unplaced, ...(parsed.success ? [] : toConfigIssues(modelSchema, raw, parsed.error))];
  if (!parsed.success || issues.length > 0)
    throw new ConfigError(`${where}: the settings are wrong`, { issues });
  return { ...parsed.data, promptTask };
}

/** The settings of a run's model. */
export function settingsOf(config: ResolvedConfig): ModelSettings {
  const { stream, out: _, probing: _probing, router, ...settings } = config;
  return {
    ...settings,
    ...(router !== undefined && router !== "none" && { router }),
    promptTask: promptTaskOf(stream, config.level),
  };
}

/** The settings as a store's file has them. */
export function toSettingsYaml({ promptTask: _, ...settings }: ModelSettings): string {
  return stringify(settings, { aliasDuplicateObjects: false, lineWidth: 0 });
}
