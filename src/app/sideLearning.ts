/** What goes on learning from task to task beside the adapters, each a part of a course. */
import type { LearnedTask } from "../continual/adaptedBackbone.ts";
import type { Course } from "./experimentKind.ts";

type SharedParts = Required<Pick<Course, "digest" | "companions" | "recall" | "runFiles">>;

/** Holds native memory: dispose of it. */
export interface SideLearning extends Partial<SharedParts>, AsyncDisposable {
  /** Takes in the next task as it was learned, now or by an earlier run. */
  readonly add?: (learned: LearnedTask) => void;
}

/** Several as one, in order; their files have different names. */
export function joinSides(sides: readonly SideLearning[]): SharedParts & {
  readonly add: (learned: LearnedTask) => void;
} & AsyncDisposable {
  return {
    digest: async (index, learned, watch) => {
      for (const side of sides) await side.digest?.(index, learned, watch);
    },
    add: (learned) => {
      for (const side of sides) side.add?.(learned);
    },
    companions: () => new Map(sides.flatMap((side) => [...(side.companions?.() ?? [])])),
    recall: async (folder) => {
      for (const side of sides) await side.recall?.(folder);
    },
    runFiles: async (signal) => {
      const files = new Map<string, Uint8Array>();
      for (const side of sides)
        for (const [name, bytes] of (await side.runFiles?.(signal)) ?? []) files.set(name, bytes);
      return files;
    },
    [Symbol.asyncDispose]: async () => {
      for (const side of sides) await side[Symbol.asyncDispose]();
    },
  };
}
