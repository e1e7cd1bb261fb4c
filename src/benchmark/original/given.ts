/** Reading the original's flags, from its command line and its YAML file, with where each came from. */

import { describe, toConfigIssues } from "../../config/issues.ts";
import type { ConfigIssue } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import {
  type FlagName,
  flagMeanings,
  flagNames,
  isFlag,
  type OriginalValues,
  originalSchema,
} from "./flags.ts";
import { otherFlags, ownerOfFlag } from "./methods.ts";

/** A flag as it was given; the command line beats the file. */
export interface GivenFlag {
  readonly value: unknown;
  readonly source: "command line" | "file";
  /** As it was typed: `--lr 1e-4`, or as it stands in the file: `lr: 1e-4`. */
  readonly written: string;
  /** What the file says, where the command line beats it. */
  readonly replaced?: unknown;
}

export interface TypedFlag {
  readonly name: string;
  readonly values: readonly string[];
  readonly written: string;
}

const flagWord = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s;

/**
 * Takes `--lr 1e-4 --PEFT_lora_target_modules query value --seed=1` apart.
 *
 * @returns the flags in order, and what stands where no value can
 */
export function parseWords(words: readonly string[]): {
  readonly flags: readonly TypedFlag[];
  readonly stray: readonly string[];
} {
  const flags: { name: string; values: string[]; written: string }[] = [];
  const stray: string[] = [];
  for (const word of words) {
    const match = flagWord.exec(word);
    const last = flags.at(-1);
    if (match !== null) {
      const [, name = "", value] = match;
      flags.push({ name, values: value === undefined ? [] : [value], written: word });
    } else if (last === undefined) {
      stray.push(word);
    } else {
      last.values.push(word);
      last.written += ` ${word}`;
    }
  }
  return { flags, stray };
}

/** The one flag that takes several words. */
const LIST_FLAG: FlagName = "PEFT_lora_target_modules";

function unknownFlag(name: string, source: GivenFlag["source"]): ConfigIssue {
  const near = nearest(name, [...flagNames, ...otherFlags]);
  const shown = source === "file" ? name : `--${name}`;
  return {
    path: shown,
    expected:
      near === undefined
        ? "a flag of the original, which docs/original.md lists"
        : `the flag ${near} (did you mean it?)`,
    received: `the unknown flag ${name}`,
  };
}

export interface Given {
  readonly flags: ReadonlyMap<FlagName, GivenFlag>;
  /** Flags of the original that only other methods read. */
  readonly others: readonly { readonly written: string; readonly method: string }[];
  readonly issues: readonly ConfigIssue[];
}

interface Entry {
  readonly name: string;
  readonly flag: GivenFlag;
  readonly issue?: ConfigIssue;
}

function fromTyped({ name, values, written }: TypedFlag): Entry {
  const several = name === LIST_FLAG;
  const flag = { value: several ? values : values[0], source: "command line", written } as const;
  if (values.length === 0 || (values.length > 1 && !several)) {
    const received = values.length === 0 ? "nothing" : values.join(" ");
    return { name, flag, issue: { path: `--${name}`, expected: "one value", received } };
  }
  return { name, flag };
}

/** Puts file and command line together. */
export function collectGiven(file: Readonly<Record<string, unknown>>, typed: readonly TypedFlag[]): Given {
  const flags = new Map<FlagName, GivenFlag>();
  const others: { written: string; method: string }[] = [];
  const issues: ConfigIssue[] = [];
  const entries: Entry[] = [
    ...Object.entries(file).map(([name, value]) => ({
      name,
      flag: { value, source: "file", written: `${name}: ${String(value)}` } as const,
    })),
    ...typed.map(fromTyped),
  ];
  for (const { name, flag, issue } of entries) {
    const method = ownerOfFlag(name);
    if (!isFlag(name)) {
      if (method === undefined) issues.push(unknownFlag(name, flag.source));
      else others.push({ written: flag.source === "file" ? name : `--${name}`, method });
      continue;
    }
    if (issue !== undefined) {
      issues.push(issue);
      continue;
    }
    const before = flags.get(name);
    // Set anew, so that flags stand in the order in which they were typed.
    flags.delete(name);
    const replaced = before?.source === "file" ? before.value : before?.replaced;
    flags.set(name, replaced === undefined ? flag : { ...flag, replaced });
  }
  return { flags, others, issues };
}

/** How an issue or a refusal names a flag: as it was typed, or by name with what it is left at. */
export function nameFlag(name: FlagName, given: Given, values?: OriginalValues): string {
  const flag = given.flags.get(name);
  if (flag?.source === "command line") return `--${name}`;
  if (flag !== undefined) return name;
  const left = values === undefined ? "" : ` (not given: ${describe(values[name])})`;
  return `--${name}${left}`;
}

/** Every value, defaults filled in. @returns undefined with the issues where one is out of range */
export function readValues(given: Given): {
  readonly values: OriginalValues | undefined;
  readonly issues: readonly ConfigIssue[];
} {
  const raw = Object.fromEntries([...given.flags].map(([name, { value }]) => [name, value]));
  const parsed = originalSchema.safeParse(raw);
  if (parsed.success) return { values: parsed.data, issues: given.issues };
  const issues = toConfigIssues(originalSchema, raw, parsed.error).map((issue) => ({
    ...issue,
    path: isFlag(issue.path) ? nameFlag(issue.path, given) : issue.path,
  }));
  return { values: undefined, issues: [...given.issues, ...issues] };
}

/** They decide no setting, but are looked at. */
const actedOn: ReadonlySet<FlagName> = new Set<FlagName>([
  "il_mode",
  "backbone_type",
  "backbone_random_init",
  "save_ckpt",
  "is_replay",
]);

/** Flags given that have no part here. `True` where it would ask for something is refused elsewhere. */
export function unusedFlags(given: Given): string[] {
  return [...given.flags]
    .filter(([name]) => flagMeanings[name].ours.length === 0 && !actedOn.has(name))
    .map(([name, { source }]) => (source === "file" ? name : `--${name}`));
}
