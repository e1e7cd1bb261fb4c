/** Which backbones, adapters, heads and levels go together. What this table refuses is refused before anything is loaded. */
import { ConfigError } from "../core/errors.ts";
import type { RunLevel } from "../core/record.ts";
import type { Backbone } from "../nn/backbone.ts";
import { type Architecture, architectures, families } from "../nn/families.ts";
import type { AdapterKind } from "../peft/types.ts";
import type { HeadConfig } from "./fields.ts";

/** What is learned with: one choice on every axis. Every one that runs is evaluated class- and task-incrementally. */
export interface Combination {
  readonly family: Architecture;
  readonly adapter: AdapterKind;
  readonly head: HeadConfig["kind"];
  readonly level: RunLevel;
}

interface Allowed {
  readonly allowed: true;
}

interface Refused {
  readonly allowed: false;
  readonly reason: string;
  readonly hint: string;
}

export type Verdict = Allowed | Refused;

const runs: Allowed = { allowed: true };

/** An encoder has no head that gives words. */
export const encoderWritesNothing: Refused = {
  allowed: false,
  reason: "head: none answers in words, and an encoder writes none",
  hint: "Use head: linear or cosine, or a decoder such as GPT-2, GPT-NeoX or Llama.",
};

const wordsWantHead: Refused = {
  allowed: false,
  reason: "at level: word every word is classified by a head",
  hint: "use linear or cosine",
};

type PerAdapter = { readonly [A in AdapterKind]: Verdict };
type PerKind = { readonly [K in Backbone["kind"]]: PerAdapter };

const withAnyAdapter = (verdict: Verdict): PerAdapter => ({ lora: verdict, "prompt-tuning": verdict });

const withAnyBackbone = (verdict: Verdict): PerKind => ({
  encoder: withAnyAdapter(verdict),
  decoder: withAnyAdapter(verdict),
});

const verdicts: { readonly [L in RunLevel]: { readonly [H in HeadConfig["kind"]]: PerKind } } = {
  sentence: {
    linear: withAnyBackbone(runs),
    cosine: withAnyBackbone(runs),
    own: withAnyBackbone(runs),
    none: { encoder: withAnyAdapter(encoderWritesNothing), decoder: withAnyAdapter(runs) },
  },
  word: {
    linear: withAnyBackbone(runs),
    cosine: withAnyBackbone(runs),
    own: withAnyBackbone(runs),
    none: withAnyBackbone(wordsWantHead),
  },
};

/** Whether a combination runs, and why not. */
export function checkCombination({ family, adapter, head, level }: Combination): Verdict {
  return verdicts[level][head][families[family].kind][adapter];
}

/** What no backbone can help: the settings refuse each other. */
export function checkSettings({ adapter, head, level }: Omit<Combination, "family">): Verdict {
  const perKind = verdicts[level][head];
  const all = Object.values(perKind).map((perAdapter) => perAdapter[adapter]);
  return all.find(({ allowed }) => allowed) ?? all[0] ?? runs;
}

/** @param where the backbone, as the user named it */
export function combinationError(
  { reason, hint }: Refused,
  family: Architecture,
  where: string,
): ConfigError {
  return new ConfigError(`${where} (${family}): ${reason}`, { hint });
}

/** @throws ConfigError with the reason, if the table refuses the combination */
export function requireCombination(combination: Combination, where: string): void {
  const verdict = checkCombination(combination);
  if (!verdict.allowed) throw combinationError(verdict, combination.family, where);
}

function keysOf<K extends string>(table: { readonly [Key in K]: unknown }): K[] {
  const isKey = (name: string): name is K => Object.hasOwn(table, name);
  return Object.keys(table).filter(isKey);
}

/** Every combination there is, in the order of the table. */
export function allCombinations(): Combination[] {
  return keysOf(verdicts).flatMap((level) =>
    keysOf(verdicts[level]).flatMap((head) =>
      keysOf(verdicts[level][head].encoder).flatMap((adapter) =>
        architectures.map((family) => ({ family, adapter, head, level })),
      ),
    ),
  );
}
