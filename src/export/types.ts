/** What an export is made of, and what it gives. */
import type { FileContent } from "../io/atomic.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import type { ModelState, TaskState } from "../model/state.ts";

/** What something learned can be written as. */
export const exportKinds = ["onnx", "merged", "peft", "gguf-lora"] as const;
/** What a store can be exported as. */
export type ExportKind = (typeof exportKinds)[number];

/** What is exported. */
export interface ExportSource {
  /** The folder, for messages. */
  readonly where: string;
  readonly model: ContinualModel;
  readonly state: ModelState;
  /** The task that was asked for. */
  readonly task?: TaskState | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The files of an export, by their path in its folder, and what a user should know of them, one sentence each. */
export interface ExportedFiles {
  readonly files: ReadonlyMap<string, FileContent>;
  readonly notes: readonly string[];
}

export type Exporter = (source: ExportSource) => Promise<ExportedFiles>;
