/** Whether what two stores learned can stand side by side, and in what they differ where it cannot. */
import { StoreError } from "../../core/errors.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import { adapterHost, type ModelStructure } from "../../train/graphs.ts";
import { isRecord } from "../configIssues.ts";
import { fromSavedAdapter } from "../savedTask.ts";
import { resolveStructure } from "../structure.ts";
import type { StoreSettings } from "./settings.ts";
import type { StoreManifest } from "./storeFolder.ts";
import type { StoreModel } from "./storeModel.ts";
import type { StoreTask } from "./tasks.ts";

/** What messages call two stores. */
export interface Sides {
  readonly ours: string;
  readonly theirs: string;
}

/** @throws StoreError if the two were not learned on the same model, read in the same way */
export function checkAlike(own: StoreManifest, other: StoreManifest, { theirs: where }: Sides): void {
  const checks = [
    ["backbone", own.backbone.hash, other.backbone.hash],
    ["tokenizer", own.backbone.tokenizerHash, other.backbone.tokenizerHash],
    ["feature", JSON.stringify(own.feature), JSON.stringify(other.feature)],
  ] as const;
  for (const [what, ours, theirs] of checks)
    if (ours !== theirs)
      throw new StoreError(
        `${where}: has another ${what}, so that the two cannot be merged: ${theirs}, not ${ours}`,
        {
          hint: "Only stores on the same backbone, with the same feature, can be merged; learn the tasks of one anew.",
        },
      );
}

/**
 * Texts that one store cuts and the other does not have other features in each.
 * @throws StoreError naming both lengths
 */
export function checkSameLength(model: StoreModel, other: StoreSettings, { ours, theirs }: Sides): void {
  const { adapter } = resolveStructure(other, model.loaded);
  const { maxTokens } = model.structure.backbone;
  const length = Math.min(other.training.maxLength, maxTokens - adapterMethod(adapter).virtualTokens);
  if (length === model.reader.maxTextTokens) return;
  throw new StoreError(
    `${theirs}: cuts texts at ${length} tokens, ${ours} at ${model.reader.maxTextTokens} (training.maxLength, and what a prompt leaves room for), so that their features are not alike`,
    { hint: "Learn the tasks of one anew, in a store with the same training.maxLength." },
  );
}

/** Says of which two stores what cannot be joined is. */
export function between<T>({ ours, theirs }: Sides, join: () => T): T {
  try {
    return join();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const { hint } = error;
    throw new StoreError(`${ours} and ${theirs}: ${error.message}`, {
      cause: error,
      ...(hint !== undefined && { hint }),
    });
  }
}

/** Every fact by its name; of names in a list, what they are listed under. */
function flatten(value: unknown, path: readonly string[] = []): (readonly [string, string])[] {
  if (Array.isArray(value)) return value.map((member) => [String(member), path.join(" ")]);
  if (isRecord(value)) return Object.entries(value).flatMap(([key, each]) => flatten(each, [...path, key]));
  return [[path.join(" "), String(value)]];
}

/** How an adapter is built, fact by fact, each module by its name. */
function factsOf(structure: ModelStructure, prompt: string | undefined): ReadonlyMap<string, string> {
  return new Map(
    flatten({
      ...adapterMethod(structure.adapter).describe(adapterHost(structure)),
      ...structure.feature,
      head: structure.head.kind,
      ...(prompt !== undefined && { prompt }),
    }),
  );
}

/** What differs, and nothing else; modules that differ alike are told once. */
function differences(theirs: ReadonlyMap<string, string>, ours: ReadonlyMap<string, string>): string {
  const groups = new Map<string, string[]>();
  for (const name of new Set([...theirs.keys(), ...ours.keys()])) {
    const [their, our] = [theirs.get(name) ?? "nothing", ours.get(name) ?? "nothing"];
    if (their !== our)
      groups.set(`${their}, not ${our}`, [...(groups.get(`${their}, not ${our}`) ?? []), name]);
  }
  return [...groups]
    .map(([pair, [first, ...others]]) => {
      const more = others.length === 0 ? "" : ` and ${others.length} more`;
      return `${first}${more}: ${pair}`;
    })
    .join("; ");
}

/** One graph serves all adapters. @throws StoreError if an adapter is built otherwise than the store's */
export function checkStructure(model: StoreModel, { entry, saved, where }: StoreTask, { ours }: Sides): void {
  if (saved === undefined) return;
  const { structure, prompt } = fromSavedAdapter(entry.name, saved, model.loaded, where);
  const different = differences(factsOf(structure, prompt), factsOf(model.structure, model.reader.prompt));
  if (different === "") return;
  throw new StoreError(`${where}: its adapter is built otherwise than those of ${ours}: ${different}`, {
    hint: "Only adapters of the same method, head and prompt can stand side by side; learn its task anew.",
  });
}
