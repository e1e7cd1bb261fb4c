/** Joining what two models learned: whether it can stand side by side, and the union. */

import { checkSameConstants } from "../continual/statistics/statistics.ts";
import { StoreError } from "../core/errors.ts";
import { canonicalJson } from "../io/hash.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { ContinualModel, LearnEvent, Learned } from "./continualModel.ts";
import { learnedTasks } from "./modelParts.ts";
import { entanglementOf, type ModelSettings } from "./settings/settings.ts";
import type { ModelState, TaskState } from "./state.ts";
import { encodeTask, hashFiles } from "./taskFiles.ts";

/** Another model's state, with what it was learned with. */
export interface OtherState {
  readonly state: ModelState;
  readonly settings: ModelSettings;
  readonly backbone: { readonly hash: string; readonly tokenizerHash: string };
  /** What messages call it. */
  readonly called: string;
}

export interface MergedState {
  readonly state: ModelState;
  /** Tasks that came, under the names that they have here. */
  readonly came: readonly { readonly name: string; readonly was: string }[];
}

/** A name that no task has: `travel`, `travel.2`, … */
function freeName(name: string, taken: ReadonlySet<string>): string {
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}.${n}`;
    if (!taken.has(candidate)) return candidate;
  }
}

/** Byte for byte, and under one name. */
function isSame(a: TaskState, b: TaskState): boolean {
  return (
    a.name === b.name &&
    a.labels.length === b.labels.length &&
    canonicalJson(hashFiles(encodeTask(a))) === canonicalJson(hashFiles(encodeTask(b)))
  );
}

const alikeHint =
  "Only models whose tasks stand on their own, on the same backbone and read in the same way, can be merged; learn the tasks of one anew.";

/** @throws StoreError where what was learned cannot be joined with another model's */
export function requireMergeable(settings: ModelSettings, called: string): void {
  const reason = entanglementOf(settings);
  if (reason !== undefined)
    throw new StoreError(`${called}: cannot be merged: ${reason}`, { hint: alikeHint });
}

/** @throws StoreError naming what differs */
function checkAlike(model: ContinualModel, { settings, backbone, called }: OtherState, ours: string): void {
  const { loaded } = model;
  const checks = [
    ["backbone", loaded.folder.hash, backbone.hash],
    ["tokenizer", loaded.tokenizer.hash, backbone.tokenizerHash],
    ["level", model.settings.level, settings.level],
    [
      "training.longText",
      model.settings.training.longText ?? "truncate",
      settings.training.longText ?? "truncate",
    ],
    ["head: none", String(model.settings.head.kind === "none"), String(settings.head.kind === "none")],
  ] as const;
  for (const [what, own, other] of checks)
    if (own !== other)
      throw new StoreError(
        `${called}: has another ${what}, so that the two cannot be merged: ${other}, not ${own}`,
        {
          hint: alikeHint,
        },
      );
  const { maxTokens } = loaded.backbone;
  const lengthOf = ({ method, training }: ModelSettings) =>
    Math.min(
      training.maxLength,
      maxTokens -
        (method.adapter === "prompt-tuning" ? method.virtualTokens : adapterMethod(undefined).virtualTokens),
    );
  const [own, other] = [lengthOf(model.settings), lengthOf(settings)];
  if (own !== other)
    throw new StoreError(
      `${called}: cuts texts at ${other} tokens, ${ours} at ${own} (training.maxLength, and what a prompt leaves room for), so that their features are not alike`,
      { hint: "Learn the tasks of one anew, with the same training.maxLength." },
    );
}

/** Every fact by its name; of names in a list, what they are listed under. */
function flatten(value: unknown, path: readonly string[] = []): (readonly [string, string])[] {
  if (Array.isArray(value)) return value.map((member) => [String(member), path.join(" ")]);
  if (typeof value === "object" && value !== null)
    return Object.entries(value).flatMap(([key, each]) => flatten(each, [...path, key]));
  return [[path.join(" "), String(value)]];
}

/** What differs between two descriptions; modules that differ alike are told once. */
function differences(theirs: object, ours: object): string {
  const [their, our] = [new Map(flatten(theirs)), new Map(flatten(ours))];
  const groups = new Map<string, string[]>();
  for (const name of new Set([...their.keys(), ...our.keys()])) {
    const pair = `${their.get(name) ?? "nothing"}, not ${our.get(name) ?? "nothing"}`;
    if (their.get(name) !== our.get(name)) groups.set(pair, [...(groups.get(pair) ?? []), name]);
  }
  return [...groups]
    .map(
      ([pair, [first, ...others]]) =>
        `${first}${others.length === 0 ? "" : ` and ${others.length} more`}: ${pair}`,
    )
    .join("; ");
}

/**
 * What keeps a saved adapter from standing beside a model's own: one graph serves them all, and their heads have the same
 * kind of slots.
 * @param known adapters that would stand before it
 * @returns empty where nothing does
 */
export function buildDifferences(
  { type }: ContinualModel,
  saved: SavedAdapter,
  known: readonly unknown[],
): string {
  const { labels } = saved;
  const slots = (own: readonly string[]) => ({ slots: own.join(", ") });
  const expected = type.headLabels({ labels: type.ownLabels(labels) }, known);
  return differences(
    { ...type.describeSaved(saved), ...slots(labels) },
    { ...type.describe(), ...slots(expected) },
  );
}

/** @throws StoreError if an adapter is built otherwise than the model's */
function checkBuild(
  model: ContinualModel,
  { saved, name }: TaskState,
  known: readonly TaskState[],
  called: string,
  ours: string,
): void {
  if (saved === undefined) return;
  const adapters = known.filter((task) => task.saved !== undefined);
  const different = buildDifferences(model, saved, adapters);
  if (different === "") return;
  throw new StoreError(
    `${called}: the adapter of task "${name}" is built otherwise than those of ${ours}: ${different}`,
    {
      hint: "Only adapters of the same method, head and prompt can stand side by side; learn its task anew.",
    },
  );
}

/** @throws StoreError if features were made otherwise */
function checkFeatures(state: ModelState, other: OtherState, ours: string): void {
  const rowsOf = ({ tasks }: ModelState) => tasks.flatMap(({ rows }) => rows ?? []);
  const [own] = rowsOf(state);
  for (const rows of rowsOf(other.state)) {
    if (own === undefined) return;
    try {
      checkSameConstants(own.constants, rows.constants);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      throw new StoreError(`${ours} and ${other.called}: ${error.message}`, {
        cause: error,
        ...(error.hint !== undefined && { hint: error.hint }),
      });
    }
  }
}

/**
 * The union of two states. A task that is there already, byte for byte, comes once; another one of the same name gets a
 * new name. Which of two is taken into which does not matter to predictions made from statistics alone.
 * @param ours what messages call the model
 * @throws StoreError if the two do not fit
 */
export function merge(
  model: ContinualModel,
  state: ModelState,
  other: OtherState,
  ours: string,
): MergedState {
  requireMergeable(model.settings, ours);
  requireMergeable(other.settings, other.called);
  checkAlike(model, other, ours);
  checkFeatures(state, other, ours);
  const tasks = [...state.tasks];
  const came: { name: string; was: string }[] = [];
  for (const task of other.state.tasks) {
    checkBuild(model, task, tasks, other.called, ours);
    if (tasks.some((known) => isSame(known, task))) continue;
    const name = freeName(task.name, new Set(tasks.map((known) => known.name)));
    tasks.push(renamed(model, task, name));
    came.push({ name, was: task.name });
  }
  return { state: { tasks }, came };
}

/** As this model has it: adapters are restored here, so that the other model's memory may go. */
function renamed(model: ContinualModel, task: TaskState, name: string): TaskState {
  const { saved } = task;
  return { ...task, name, ...(saved && { learned: model.restore(name, saved, task.name) }) };
}

/** An adapter as it was read from a folder, and what the task is to be called. */
export interface FoundAdapter {
  readonly name: string;
  readonly saved: SavedAdapter;
  readonly folder: string;
}

/**
 * The state with an adapter that was saved elsewhere as one more task.
 * @throws StoreError if a task of that name is there, or the adapter is built otherwise than the model's
 */
export async function* takeIn(
  model: ContinualModel,
  state: ModelState,
  found: FoundAdapter,
): AsyncGenerator<LearnEvent, Learned> {
  const { name, saved, folder } = found;
  if (state.tasks.some((task) => task.name === name))
    throw new StoreError(`a task called "${name}" was learned already`, {
      code: "NAME_TAKEN",
      hint: "Give it another name.",
    });
  const different = buildDifferences(model, saved, learnedTasks(state));
  if (different !== "")
    throw new StoreError(`${folder}: is built otherwise than this model's adapters: ${different}`, {
      hint: "Create the model with the adapter's method, head, feature and prompt.",
    });
  const learned = model.restore(name, saved, folder);
  const task = { name, labels: learned.labels, saved, learned };
  return { state: { tasks: [...state.tasks, task] }, task, truncatedTexts: 0, stoppedEarly: false };
}
