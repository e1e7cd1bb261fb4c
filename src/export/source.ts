/** What the kinds of export ask of a store, and what they refuse. */
import { ConfigError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { TaskState } from "../model/state.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { ExportSource } from "./types.ts";

/** A task with its adapter. */
export interface AdaptedTask {
  readonly name: string;
  readonly saved: SavedAdapter;
}

/** @throws ConfigError naming the nearest task */
export function requireTask(tasks: readonly TaskState[], name: string, where: string): TaskState {
  const found = tasks.find((task) => task.name === name);
  if (found !== undefined) return found;
  const names = tasks.map((task) => task.name);
  const near = nearest(name, names);
  throw new ConfigError(
    `${where}: no task is called "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
    { hint: `Tasks: ${names.join(", ") || "none yet"}.` },
  );
}

/** The tasks that have adapters: the one that was asked for, else all. @throws ConfigError where there is none */
export function adaptedTasks({ where, state, task }: ExportSource): readonly AdaptedTask[] {
  const found = (task === undefined ? state.tasks : [task]).flatMap(({ name, saved }) =>
    saved === undefined ? [] : [{ name, saved }],
  );
  if (found.length > 0) return found;
  throw new ConfigError(
    task === undefined
      ? `${where}: no task has an adapter: all were learned as statistics alone`
      : `${where}: task "${task.name}" has no adapter: it was learned as statistics alone`,
    {
      hint: "--to onnx exports what statistics tell; learn a task without --statistics-only for an adapter.",
    },
  );
}

/** The one task to export. @throws ConfigError where there are several, and none was named */
export function oneTask(source: ExportSource): AdaptedTask {
  const [first, ...others] = adaptedTasks(source);
  if (first === undefined || others.length > 0)
    throw new ConfigError(`${source.where}: has several tasks, and one is exported at a time`, {
      hint: `Name it: --task ${[first, ...others].map((task) => task?.name).join(", --task ")}.`,
    });
  return first;
}

/** @throws ConfigError where the backbone is in 8 bits: what leaves this program computes with its own precision */
export function requireFloat({ where, model }: ExportSource, what: string): void {
  const { backbone } = model.loaded;
  const rounded = [...backbone.sites.keys()].some(
    (site) => backbone.parameters.quantized?.(`${site}.weight`) !== undefined,
  );
  if (rounded)
    throw new ConfigError(`${where}: was learned in int8, and ${what} would answer otherwise in float32`, {
      hint: "Learn it with precision: fp32; --to peft writes the adapters as they are.",
    });
}

/** What puts words around every text, where something does: a caller of an exported model has to do it. */
export function promptOf({ model: { settings, loaded, type } }: ExportSource): string | undefined {
  if (type.name === "token-classification") return undefined;
  const { prefix } = loaded.folder;
  return settings.prompt ?? (prefix === undefined ? undefined : `${prefix}{text}`);
}

/** Tokens that a text may have, special ones included. */
export function maxTokensOf({ model: { settings, loaded } }: ExportSource): number {
  return Math.min(settings.training.maxLength, loaded.backbone.maxTokens);
}

/** What a caller has to know of how texts are read. */
export function readingNotes(source: ExportSource): string[] {
  const prompt = promptOf(source);
  const { settings, loaded } = source.model;
  return [
    ...(prompt === undefined
      ? []
      : [`Texts go in as ${JSON.stringify(prompt)} says: put them into it first.`]),
    ...(settings.training.longText === "window"
      ? [
          `Texts of more than ${maxTokensOf(source)} tokens are cut here; the store reads them in several windows.`,
        ]
      : []),
    ...loaded.tokenizer.notes.map((note) => `${note} Other programs may follow tokenizer.json.`),
  ];
}
