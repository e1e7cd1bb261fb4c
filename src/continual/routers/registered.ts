// Dimensions: n rows, F routing features, C classes.
/** Routers that programs outside the package register. */
import { ConfigError } from "../../core/errors.ts";
import { Registry } from "../../core/registry.ts";
import { dequantize } from "../statistics/fixedRows.ts";
import type { FeatureRows } from "../types.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { trainingRows } from "./heldOut.ts";
import { type RegisteredMember, routerMembers } from "./members.ts";
import { askRegistered, type FittedRegistered, type Member, type RegisteredRouter } from "./routerModel.ts";
import { fitInverseTemperature } from "./scores/calibration.ts";

/** What a router is fitted to. */
export interface RowsToFit {
  /** C classes, sorted by code unit. */
  readonly labels: readonly string[];
  /** (n, F), ordered by class; each layer's part of length 1. */
  readonly features: FeatureRows;
  /** (n), the class of each row as its place among the labels. */
  readonly targets: Int32Array;
}

/** What a registered router is fitted with. */
export interface RegisteredFitOptions {
  /** Of whatever is drawn by chance: a fit is a function of rows and seed. */
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a kind of router is fitted. */
export interface RouterDefinition {
  /** Asked twice: without the held-out rows, to measure it and to set its temperature; then with all rows. */
  fit(rows: RowsToFit, options: RegisteredFitOptions): RegisteredRouter | Promise<RegisteredRouter>;
  /** The inverse of a router's `encode`. */
  decode?(bytes: Uint8Array): RegisteredRouter;
}

const definitions = new Registry<never, RouterDefinition>("router", {});

/**
 * Adds a kind of router, for `router.kind`.
 * @throws ConfigError if the name is taken, or there is no `fit`
 */
export function registerRouter(kind: string, definition: RouterDefinition): void {
  if (typeof definition?.fit !== "function")
    throw new ConfigError(`registerRouter: ${kind} has no function fit`, { code: "ARGUMENT" });
  routerMembers.register(kind, [{ type: "registered", kind, reads: "all", weight: 1 }]);
  definitions.register(kind, definition);
}

async function fitRegistered(
  { statistics, seed, signal }: FitContext,
  kind: string,
  part: "fit" | "all",
): Promise<RegisteredRouter> {
  const { rows, targets } = trainingRows(statistics, part);
  const fitting = { labels: statistics.labels, features: dequantize(rows), targets };
  return await definitions.get(kind).fit(fitting, { seed, signal });
}

export async function chooseRegistered(
  context: FitContext,
  { kind, weight }: RegisteredMember,
): Promise<ChosenMember<FittedRegistered>> {
  const { split, statistics } = context;
  const router = await fitRegistered(context, kind, "fit");
  const logits = await askRegistered({ kind, router }, split.judges, statistics.labels.length);
  const beta = fitInverseTemperature(logits, split.targets);
  return {
    settings: { temperature: 1 / beta },
    beta,
    weight,
    logits,
    finish: async () => ({
      type: "registered",
      kind,
      router: await fitRegistered(context, kind, "all"),
      beta,
      weight,
    }),
  };
}

/** Whether a file can hold a member. */
export function isSavable(member: Member): boolean {
  if (member.type !== "registered") return true;
  return member.router.encode !== undefined && definitions.get(member.kind).decode !== undefined;
}

/** @throws ConfigError if the kind is not registered, or decodes nothing */
export function decodeRegistered(kind: string, bytes: Uint8Array): RegisteredRouter {
  const router = definitions.get(kind).decode?.(bytes);
  if (router !== undefined) return router;
  throw new ConfigError(`router ${kind}: its extension reads no saved router any more`, {
    hint: "Delete the folder router/ beside the manifest: it is then fitted anew.",
  });
}
