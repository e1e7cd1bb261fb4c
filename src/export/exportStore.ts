/** Writes what a store or a run learned as other programs read it. */
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { refuseForeign, writeFolderAtomic } from "../io/atomic.ts";
import { openFolder } from "../store/opening.ts";
import { exportGguf } from "./ggufLora.ts";
import { exportMerged } from "./merged.ts";
import { exportPeft } from "./peftFolders.ts";
import { exportRouted } from "./routed.ts";
import { requireTask } from "./source.ts";
import { type Exporter, type ExportKind, exportKinds } from "./types.ts";

const exporters: { readonly [K in ExportKind]: Exporter } = {
  onnx: exportRouted,
  merged: exportMerged,
  peft: exportPeft,
  "gguf-lora": exportGguf,
};

/** How a store is exported. */
export interface ExportOptions {
  /**
   * `onnx`: encoder and immediate router as one model of all classes, also for `accrete-lm/web`; `merged`: one task's LoRA merged
   * into the weights; `peft`: adapter folders; `gguf-lora`: adapters of decoders for llama.cpp.
   */
  readonly to: ExportKind;
  /** The folder to make; default: the store's name with the kind behind it, in the working directory. */
  readonly out?: string | undefined;
  /** Exports this task alone. */
  readonly task?: string | undefined;
  /** Where the backbone lies now; its hash must be the one that the store names. */
  readonly backbone?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was written. */
export interface Exported {
  readonly kind: ExportKind;
  readonly folder: string;
  /** In the order of their names. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** What a user should know of it, one sentence each. */
  readonly notes: readonly string[];
}

function checkKind(to: string): ExportKind {
  const kind = exportKinds.find((known) => known === to);
  if (kind !== undefined) return kind;
  const near = nearest(to, exportKinds);
  throw new ConfigError(
    `export: there is no kind "${to}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
    { hint: `Kinds: ${exportKinds.join(", ")}.` },
  );
}

/**
 * Exports a store or a finished run. The folder is written whole or not at all.
 * @throws ConfigError for what cannot be exported, with the reason
 * @throws StoreError where the folder exists and holds something
 */
export async function exportStore(folder: string, options: ExportOptions): Promise<Exported> {
  const kind = checkKind(options.to);
  const path = resolve(folder);
  const out = resolve(options.out ?? `${basename(path)}-${kind}`);
  await refuseForeign(out, () => false);
  const { backbone, signal } = options;
  const { model, state } = await openFolder(path, { backbone, signal, background: false });
  await using _ = model;
  const task = options.task === undefined ? undefined : requireTask(state.tasks, options.task, folder);
  const { files, notes } = await exporters[kind]({ where: folder, model, state, task, signal });
  signal?.throwIfAborted();
  await writeFolderAtomic(out, files);
  const written = [...files.keys()].sort();
  const sizes = await Promise.all(
    written.map(async (name) => ({ name, bytes: (await stat(join(out, name))).size })),
  );
  return { kind, folder: out, files: sizes, notes };
}
