/** Which kind of router answers right after a change, and which one takes over. */
import type { RouterStage } from "../types.ts";
import type { FitOptions } from "./fit.ts";
import { defaultTextKind, immediateKind } from "./members.ts";

export type StageKinds = { readonly [S in RouterStage]: FitOptions["kind"] };

/**
 * The kinds of a router of texts.
 * @param kind that the settings name
 */
export function stageKindsOf(kind: FitOptions["kind"] = "auto"): StageKinds {
  const consolidated = kind === "auto" ? defaultTextKind : kind;
  return { immediate: immediateKind(consolidated), consolidated };
}
