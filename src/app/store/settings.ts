/** What a store learns with: the sections of a configuration that do not speak of data. */
import { join } from "node:path";
import { stringify } from "yaml";
import type { z } from "zod";
import { ConfigError, type ConfigIssue, StoreError } from "../../core/errors.ts";
import { recipeNames } from "../../data/streamSpec.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import type { PromptTask } from "../../peft/promptTuning.ts";
import { readYaml, resolveBackbone } from "../config.ts";
import { configFields } from "../configFields.ts";
import { isRecord, toConfigIssues } from "../configIssues.ts";
import { checkedFields } from "../configSchema.ts";
import { applyOverrides, type Override } from "../overrides.ts";
import { configFile } from "../runFolder.ts";
import { promptTaskOf } from "../structure.ts";

const settingsSchema = configFields.pick({
  backbone: true,
  backboneRevision: true,
  method: true,
  router: true,
  head: true,
  level: true,
  feature: true,
  prompt: true,
  training: true,
  threads: true,
  seed: true,
});

/** As written; all but `backbone` have defaults. */
export type StoreConfig = z.input<typeof settingsSchema>;
export type StoreSettings = z.output<typeof settingsSchema>;

/** What a configuration needs beside the settings of a store, so that its rules can be asked. */
const anyStream = { stream: { train: "-", test: "-", tasks: 1 }, out: "-" };

/** What every configuration asks of the settings; those of words are another matter, which {@link requireLearnable} tells. */
function brokenRules(settings: StoreSettings): readonly ConfigIssue[] {
  if (settings.level !== "sentence") return [];
  const whole = { ...settings, ...anyStream };
  const checked = checkedFields.safeParse(whole);
  return checked.success ? [] : toConfigIssues(checkedFields, whole, checked.error);
}

function parseSettings(raw: unknown, where: string): StoreSettings {
  const parsed = settingsSchema.safeParse(raw);
  const issues = parsed.success
    ? brokenRules(parsed.data)
    : toConfigIssues(settingsSchema, raw, parsed.error);
  if (parsed.success && issues.length === 0) return parsed.data;
  throw new ConfigError(`${where}: ${issues.length === 1 ? "1 problem" : `${issues.length} problems`}`, {
    issues,
  });
}

/**
 * Checks the settings of a store to be.
 * @param overrides as `--set` gives them; they beat the configuration
 * @param baseDir folder that a relative path of a backbone starts from
 * @throws ConfigError with every problem at once, and where what is asked for cannot be learned bit by bit
 */
export function resolveSettings(
  config: StoreConfig,
  overrides: readonly Override[] = [],
  baseDir = process.cwd(),
): StoreSettings {
  const { raw, issues } = applyOverrides({ ...config }, overrides);
  if (issues.length > 0) throw new ConfigError("the store's settings are wrong", { issues });
  const settings = parseSettings(raw, "the store's settings");
  requireLearnable(settings, "a store");
  return { ...settings, backbone: resolveBackbone(settings.backbone, baseDir) };
}

/**
 * The settings of a store, or those of a run that it may become.
 * @throws StoreError where there are none; ConfigError where they are damaged
 */
export async function readSettings(folder: string): Promise<StoreSettings> {
  const path = join(folder, configFile);
  const all = await readYaml(path);
  // A run's file speaks of its stream and its folder as well.
  const own = Object.entries(all).filter(([key]) => key in settingsSchema.shape);
  return parseSettings(Object.fromEntries(own), path);
}

/** What the texts are, as far as it decides with which words a prompt begins: a run on a recipe knows. */
export async function readPromptTask(folder: string): Promise<PromptTask> {
  const { stream } = await readYaml(join(folder, configFile));
  const recipe = isRecord(stream) ? recipeNames.find((name) => name === stream.recipe) : undefined;
  return promptTaskOf(recipe === undefined ? {} : { recipe });
}

export async function writeSettings(folder: string, settings: StoreSettings): Promise<void> {
  const yaml = stringify(settings, { aliasDuplicateObjects: false, lineWidth: 0 });
  await writeFileAtomic(join(folder, configFile), yaml);
}

/** What was asked for that a store does not learn. */
interface Unlearnable {
  readonly what: string;
  /** What to do where the settings are still to be chosen. */
  readonly hint: string;
  /** What to do where they are fixed. */
  readonly goOn: string;
}

function anew(without: string): string {
  return `To go on learning, run anew without ${without}, or begin a store with accrete init and learn its tasks there from their data.`;
}

function findUnlearnable({ level, head, method, router }: StoreSettings): Unlearnable | undefined {
  if (level !== "sentence")
    return {
      what: `learns at level ${level}, a store at level sentence`,
      hint: "Teach it with accrete run.",
      goOn: "Teach it anew with accrete run, all tasks in its stream.",
    };
  if (head.kind === "none")
    return {
      what: "head: none answers in words, and a store learns with a head",
      hint: "Use head linear or cosine, or teach it with accrete run.",
      goOn: anew("head: none"),
    };
  const selects = method.adapter === "lora" && method.selector !== undefined;
  if (selects || router?.kind === "newlora" || router?.kind === "newlora-frozen")
    return {
      what: "has a selection network, which a run alone can train along",
      hint: "Leave method.selector out, and take a router on statistics: router.kind auto, lda, …",
      goOn: anew(selects ? "method.selector" : `router.kind: ${router?.kind}`),
    };
  return undefined;
}

/**
 * A store learns labels of sentences, each task with a head of its own.
 * @param state `begun`: of a folder, whose settings are fixed
 * @throws StoreError saying what else was asked for
 */
export function requireLearnable(
  settings: StoreSettings,
  where: string,
  state: "to be" | "begun" = "to be",
): void {
  const found = findUnlearnable(settings);
  if (found === undefined) return;
  const { what, hint, goOn } = found;
  throw new StoreError(`${where}: ${what}`, {
    hint: state === "to be" ? hint : `It answers with accrete predict as before. ${goOn}`,
  });
}
