/** Reading the original's flags, from its command line and its YAML file, with where each came from. */
import { describe, toConfigIssues } from "../../config/issues.ts";
import type { ConfigIssue } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import { type FlagName, flagMeanings, isFlag, type OriginalValues, originalSchema } from "./flags.ts";
import { otherFlags, ownerOfFlag } from "./methods.ts";

/** The command line beats the file. */
interface SetFlag {
  readonly value: unknown;
  readonly source: "command line" | "file";
  /** As it was typed: `--lr 1e-4`, or as it stands in the file: `lr: 1e-4`. */
  readonly written: string;
  /** What the file says, where the command line beats it. */
  readonly replaced?: unknown;
}

interface TypedFlag {
  readonly name: string;
  readonly values: readonly string[];
  readonly written: string;
}

const flagWord = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s;

/** Takes `--lr 1e-4 --PEFT_lora_target_modules query value --seed=1` apart. */
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

export interface SetFlags {
  readonly flags: ReadonlyMap<FlagName, SetFlag>;
  readonly others: readonly { readonly written: string; readonly method: string }[];
  readonly issues: readonly ConfigIssue[];
}

const LIST_FLAG: FlagName = "PEFT_lora_target_modules";

function shownName(name: string, source: SetFlag["source"]): string {
  return source === "file" ? name : `--${name}`;
}

function unknownFlag(name: string, source: SetFlag["source"]): ConfigIssue {
  const near = nearest(name, [...Object.keys(flagMeanings), ...otherFlags]);
  const expected =
    near === undefined
      ? "a flag of the original, which docs/original.md lists"
      : `the flag ${near} (did you mean it?)`;
  return { path: shownName(name, source), expected, received: `the unknown flag ${name}` };
}

export function collectFlags(file: Readonly<Record<string, unknown>>, typed: readonly TypedFlag[]): SetFlags {
  const flags = new Map<FlagName, SetFlag>();
  const others: { written: string; method: string }[] = [];
  const issues: ConfigIssue[] = [];
  const set = (name: string, flag: SetFlag, values: readonly string[]): void => {
    const method = ownerOfFlag(name);
    if (!isFlag(name)) {
      if (method === undefined) issues.push(unknownFlag(name, flag.source));
      else others.push({ written: shownName(name, flag.source), method });
    } else if (values.length !== 1 && (name !== LIST_FLAG || values.length === 0)) {
      issues.push({ path: `--${name}`, expected: "one value", received: values.join(" ") || "nothing" });
    } else {
      const before = flags.get(name);
      // Set anew, so that flags stand in the order in which they were typed.
      flags.delete(name);
      const replaced = before?.source === "file" ? before.value : before?.replaced;
      flags.set(name, replaced === undefined ? flag : { ...flag, replaced });
    }
  };
  for (const [name, value] of Object.entries(file)) {
    const written = `${name}: ${String(value)}`;
    set(name, { value, source: "file", written }, [written]);
  }
  for (const { name, values, written } of typed) {
    const value = name === LIST_FLAG ? values : values[0];
    set(name, { value, source: "command line", written }, values);
  }
  return { flags, others, issues };
}

/** How an issue or a refusal names a flag: as it was typed, or by name with what it is left at. */
export function nameFlag(name: FlagName, { flags }: SetFlags, values?: OriginalValues): string {
  const flag = flags.get(name);
  if (flag !== undefined) return shownName(name, flag.source);
  return `--${name}${values === undefined ? "" : ` (not given: ${describe(values[name])})`}`;
}

/** Every value, defaults filled in. @returns undefined with the issues where one is out of range */
export function readValues(set: SetFlags): {
  readonly values: OriginalValues | undefined;
  readonly issues: readonly ConfigIssue[];
} {
  const raw = Object.fromEntries([...set.flags].map(([name, { value }]) => [name, value]));
  const parsed = originalSchema.safeParse(raw);
  if (parsed.success) return { values: parsed.data, issues: set.issues };
  const issues = toConfigIssues(originalSchema, raw, parsed.error).map((issue) => ({
    ...issue,
    path: isFlag(issue.path) ? nameFlag(issue.path, set) : issue.path,
  }));
  return { values: undefined, issues: [...set.issues, ...issues] };
}

/** They decide no setting, but are looked at. */
const actedOn: ReadonlySet<FlagName> = new Set<FlagName>([
  "il_mode",
  "backbone_type",
  "backbone_random_init",
  "save_ckpt",
  "is_replay",
]);

/** Set flags that have no part here. `True` where it would ask for something is refused elsewhere. */
export function unusedFlags({ flags }: SetFlags): string[] {
  return [...flags]
    .filter(([name]) => flagMeanings[name]?.ours.length === 0 && !actedOn.has(name))
    .map(([name, { source }]) => shownName(name, source));
}
