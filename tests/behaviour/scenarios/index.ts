import type { Closeness } from "../golden.ts";
import type { Scenario } from "../scenario.ts";
import { generation } from "./generation.ts";
import { learners } from "./learners.ts";
import { newlora } from "./newlora.ts";
import { routed } from "./routed.ts";
import { sentences } from "./sentences.ts";
import { stores } from "./stores.ts";
import { words } from "./words.ts";

export const scenarios: readonly Scenario[] = [
  ...sentences,
  ...newlora,
  ...routed,
  ...words,
  ...generation,
  ...stores,
  ...learners,
];

/** Some scenarios must compute what another one does. */
export function goldenNameOf(scenario: Scenario): string {
  return (scenario.kind === "run" && scenario.equals) || scenario.name;
}

/** @param exact whether this machine is like the one that recorded */
export function closenessOf({ sensitive }: Scenario, exact: boolean): Closeness {
  return exact ? "exact" : sensitive === true ? "rough" : "near";
}
