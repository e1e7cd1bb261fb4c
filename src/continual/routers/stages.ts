/** Which kind of router answers right after a change, and which one takes over. */
import type { BuiltInRouterKind, RouterStage } from "../types.ts";
import type { FitOptions } from "./fit.ts";

export type StageKinds = { readonly [S in RouterStage]: FitOptions["kind"] };

/** Kinds whose fit takes too long to wait for: by iterations, or in thousands of random features. */
const fittedLater: ReadonlySet<FitOptions["kind"]> = new Set<BuiltInRouterKind | "auto">([
  "auto",
  "ranpac",
  "softmax",
  "network",
  "ensemble",
]);

const IMMEDIATE = "kernel-discriminant";
const CONSOLIDATED = "kernel-discriminant";

/**
 * The kinds of a router of texts. A kind in closed form is both at once, and so is one of an extension.
 * @param kind that the settings name
 */
export function stageKindsOf(kind: FitOptions["kind"] = CONSOLIDATED): StageKinds {
  return { immediate: fittedLater.has(kind) ? IMMEDIATE : kind, consolidated: kind };
}
